// SPDX-License-Identifier: MIT
#include <gaze/render/ground.hpp>

#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"
#include "sound/word_timing.hpp"
#include "text/text_analysis.hpp"

namespace gaze {
namespace {

GroundedAnswer measured(const PictureMedium&, const AttentionRecord& record, const MediumMap& map,
                        const ops::Route& route) {
  Analysis analysis = analyse(record, map, route, nullptr);
  return {std::move(analysis.words), std::move(analysis.summary)};
}

GroundedAnswer measured(const SoundMedium& medium, const AttentionRecord& record, const MediumMap& map,
                        const ops::Route& route) {
  WordTiming timing = analyse_sound(record, map, medium, route).timing;
  GroundedAnswer answer{{}, std::move(timing.summary)};
  for (TimedWord& word : timing.words) answer.words.push_back(std::move(word));
  return answer;
}

GroundedAnswer measured(const TextMedium& medium, const AttentionRecord& record, const MediumMap& map,
                        const ops::Route& route) {
  TextAnalysis text = analyse_text(record, map, medium, route);
  return {std::move(text.words), std::move(text.summary)};
}

}  // namespace

GroundedAnswer ground(const AttentionRecord& record) {
  wait_on_stream(record);
  const ops::Route route = ops::route_to(record.device());
  check_record(record, route);
  const MediumMap& map = record.maps.front();
  return std::visit([&](const auto& medium) { return measured(medium, record, map, route); }, map.medium);
}

}  // namespace gaze

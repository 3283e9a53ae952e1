// SPDX-License-Identifier: MIT
#include <gaze/render/sources.hpp>

#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"
#include "text/text_analysis.hpp"

namespace gaze {

AnswerSources answer_sources(const AttentionRecord& record) {
  wait_on_stream(record);
  const ops::Route route = ops::route_to(record.device());
  check_record(record, route);
  for (const MediumMap& map : record.maps) {
    const auto* medium = std::get_if<TextMedium>(&map.medium);
    if (medium == nullptr) continue;
    const TextAnalysis text = analyse_text(record, map, *medium, route);
    const auto* mass = text.mass_lp.const_data_ptr<float>();
    const size_t count = text.parts.parts.size();
    AnswerSources found;
    found.passages_entropy = passages_entropy(text, 0).value_or(0);
    found.flat = is_flat(text);
    for (size_t p = 0; p < count; ++p) {
      const TextPart& part = text.parts.parts[p];
      found.sources.push_back({part.kind, part.id, part.is == TextPart::Is::Source, static_cast<double>(mass[p])});
    }
    for (size_t w = 0; w < text.words.size(); ++w) {
      found.words.push_back(text.words[w].word);
      const float* row = mass + (w + 1) * count;
      found.mass_ws.emplace_back(row, row + count);
    }
    return found;
  }
  throw Error("answer_sources: expected a map over a text, got none. Give the request its text.",
              DropReason::GridMismatch);
}

}  // namespace gaze

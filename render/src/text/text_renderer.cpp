// SPDX-License-Identifier: MIT
#include "text/text_renderer.hpp"

#include <utility>

#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "text/report_text.hpp"
#include "text/sources_json.hpp"
#include "text/text_analysis.hpp"
#include "text/text_pictures.hpp"

namespace gaze {
namespace {

constexpr int64_t kMostStored = int64_t{1} << 24;  ///< weights: a bundle is for people's disks

TextFacts facts_of(const TextMedium& medium, const TextAnalysis& text, std::string file) {
  TextFacts facts;
  facts.file = std::move(file);
  facts.prompt_tokens = static_cast<int64_t>(text.keys.key_of_token.size());
  facts.answer_key = medium.answer_key >= 0 ? text.keys.prompt : -1;
  const auto* mass = text.mass_lp.const_data_ptr<float>();
  for (size_t p = 0; p < text.parts.parts.size(); ++p) {
    const TextPart& part = text.parts.parts[p];
    facts.sources.push_back({part.kind, part.id, static_cast<double>(mass[p])});
  }
  facts.passages_entropy = passages_entropy(text, 0);
  facts.flat = is_flat(text);
  facts.notes = text.keys.notes;
  facts.notes.insert(facts.notes.end(), text.parts.notes.begin(), text.parts.notes.end());
  return facts;
}

void write_maps(const TextAnalysis& text, const RenderTask& task, Artifacts& artifacts, TextFacts& facts) {
  if (text.share_tk.numel() > kMostStored) {
    facts.notes.push_back(
        "maps.safetensors holds the shares of the sources alone: the text is too long for those of "
        "its tokens.");
    artifacts.add(task.file("maps.safetensors"),
                  serialise_safetensors({{"mass_tp", text.mass_tp}}, {{"gaze_maps", "1"}}));
    return;
  }
  artifacts.add(task.file("maps.safetensors"),
                serialise_safetensors({{"map_tk", text.share_tk.to(at::kHalf)}, {"mass_tp", text.mass_tp}},
                                      {{"gaze_maps", "1"}}));
}

}  // namespace

MapFacts render_map(const TextMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const TextAnalysis text = analyse_text(task.record, task.map, medium, task.route());
  MapFacts facts;
  const PictureChoice& wanted = task.options.pictures;
  const bool draws = task.options.delivery == Delivery::Frame;
  if (draws && wanted.overlay) {
    facts.summary.file = task.picture("text");
    artifacts.add(facts.summary.file,
                  encode_image(draw_text_sheet(task.record, task.map, text, task.pages), task.options.format));
  }
  if (draws && wanted.sheet) {
    artifacts.add(task.picture("matrix"),
                  encode_image(draw_text_matrix(task.record, task.map, text, task.pages), task.options.format));
  }
  const std::string file = task.file("sources.json");
  artifacts.add(file, sources_json(task.record, medium, text));
  facts.text = facts_of(medium, text, file);
  write_maps(text, task, artifacts, *facts.text);
  if (draws) facts.report_text = report_text(text);
  facts.tokens = text.tokens;
  facts.summary.facts = text.summary;
  for (const WordFacts& word : text.words) facts.words.push_back({word, {}});
  facts.range_max_lift = text.range_max_lift;
  facts.sinks_subtracted = text.sinks_subtracted;
  facts.word_rule = text.word_rule;
  if (task.map.detail) facts.detail.emplace().left_out = task.map.detail->left_out;
  return facts;
}

}  // namespace gaze

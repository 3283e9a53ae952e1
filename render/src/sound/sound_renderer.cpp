// SPDX-License-Identifier: MIT
#include "sound/sound_renderer.hpp"

#include <ATen/ops/stack.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "maps/content_words.hpp"
#include "media/detail.hpp"
#include "sound/small_wav.hpp"
#include "sound/sound_pictures.hpp"
#include "sound/sound_plots.hpp"
#include "sound/word_files.hpp"
#include "sound/word_timing.hpp"

namespace gaze {
namespace {

SoundPictures names_of(const SoundAnalysis& heard, const RenderTask& task) {
  const PictureChoice& wanted = task.options.pictures;
  SoundPictures names;
  if (wanted.overlay) names.summary = task.picture("overlay");
  if (wanted.sheet) names.sheet = task.picture("sheet");
  for (size_t w = 0; w < heard.timing.words.size(); ++w) {
    const Word& word = heard.timing.words[w].word;
    const bool draws = wanted.words && (wanted.function_words || draws_content(word));
    names.words.push_back(draws ? task.word(w, word) : std::string());
  }
  return names;
}

void draw_pages(const SoundAnalysis& heard, const SoundPictures& names, const RenderTask& task, Artifacts& artifacts,
                ReportSound& report) {
  FramePipeline frames(task.ring);
  const auto encode_word = encoder_of_alike(task.options.format);
  draw_sound(task.record, task.map, heard, names, frames, task.pages,
             {[&](const std::string& name, const at::Tensor& rgb_hwc) {
                artifacts.add(name, encode_image(rgb_hwc, task.options.format));
              },
              [&](const std::string& name, const at::Tensor& rgb_hwc) { artifacts.add(name, encode_word(rgb_hwc)); },
              [&](const at::Tensor& rgb_hwc) { report.jpeg = encode_image(rgb_hwc, ImageFormat::Jpeg); }});
}

// What the page shows and plays of a recording.
ReportSound report_of(const SoundAnalysis& heard, const at::Tensor& shown_lc, bool plays, const ops::Route& route) {
  ReportSound report;
  report.shown_lc = shown_lc;
  report.lift_lc = fetch(heard.lift_lc.contiguous(), route, ops::Cargo::Map);
  report.first_seconds = heard.first_seconds;
  report.seconds_per_cell = heard.seconds_per_key;
  const SoundLayout layout = lay_out_sound(heard.recording.seconds(), heard.recording.samples_ct.size(0));
  report.rows = layout.rows;
  report.seconds_per_row = layout.seconds_per_row;
  if (plays) report.wav = small_wav(heard.recording, route);
  return report;
}

void write_words(const WordTiming& timing, const RenderTask& task, Artifacts& artifacts) {
  artifacts.add(task.file("words.json"), words_json(timing));
  const std::vector<WordFile>& wanted = task.options.word_files;
  const auto wants = [&](WordFile file) { return std::find(wanted.begin(), wanted.end(), file) != wanted.end(); };
  if (wants(WordFile::Vtt)) artifacts.add(task.file("words.vtt"), words_vtt(timing));
  if (wants(WordFile::Srt)) artifacts.add(task.file("words.srt"), words_srt(timing));
  if (wants(WordFile::TextGrid)) artifacts.add(task.file("words.TextGrid"), words_textgrid(timing));
}

/// @param shown_lc  of the analysis, on the host
void write_maps(const SoundAnalysis& heard, const at::Tensor& shown_lc, const RenderTask& task, Artifacts& artifacts) {
  const auto here = [&](const at::Tensor& map) { return fetch(map.contiguous(), task.route(), ops::Cargo::Map); };
  const at::Tensor map_tc = lay_out(heard.map_tk, heard.parts, heard.seconds_per_key, heard.shown_lc.size(1));
  artifacts.add(task.file("maps.safetensors"),
                serialise_safetensors({{"map_tc", map_tc},
                                       {"lift_tc", here(heard.lift_tc)},
                                       {"shown_wc", shown_lc.narrow(0, 1, shown_lc.size(0) - 1)},
                                       {"mass_t", here(heard.mass_t)}},
                                      {{"gaze_maps", "1"}}));
}

std::optional<DetailFacts> write_detail(const SoundAnalysis& heard, const RenderTask& task, Artifacts& artifacts) {
  if (!task.map.detail) return std::nullopt;
  const auto to_cells = [&](const at::Tensor& rows_htk) {
    std::vector<at::Tensor> heads;
    for (const at::Tensor& rows_tk : rows_htk.unbind())
      heads.push_back(
          lay_out(heard_keys(rows_tk, heard.parts), heard.parts, heard.seconds_per_key, heard.shown_lc.size(1)));
    return at::stack(heads);
  };
  const auto here = [&](const at::Tensor& of_t) { return fetch(of_t, task.route(), ops::Cargo::Figures); };
  const std::vector<WordFacts> words(heard.timing.words.begin(), heard.timing.words.end());
  return add_detail({to_cells, words, heard.timing.summary, here(heard.visible_t), here(heard.focus_t)}, task,
                    artifacts);
}

MapFacts facts_of(const ops::ReduceOptions& reduce, const SoundAnalysis& heard, const SoundPictures& names) {
  const WordTiming& timing = heard.timing;
  MapFacts facts;
  facts.tokens = heard.tokens;
  facts.word_rule = heard.word_rule;
  facts.range_max_lift = timing.range_max_lift;
  facts.sinks_subtracted = timing.sinks_subtracted;
  // The mass of all keys is measured; what of it is the padding's is told by the map.
  facts.mass_is_exact = timing.summary.mass_on_padding == 0 ||
                        (reduce.heads == ops::HeadReduce::Mean && reduce.layers == ops::LayerReduce::Mean);
  SoundFacts& sound = facts.sound.emplace();
  sound.seconds = timing.seconds;
  sound.start_seconds = timing.start_seconds;
  sound.seconds_per_key = timing.seconds_per_key;
  if (heard.recording.samples_ct.defined()) {
    sound.sample_rate_hz = heard.recording.sample_rate_hz;
    sound.channels = heard.recording.samples_ct.size(0);
    sound.note = heard.recording.note;
  }
  sound.padding = timing.summary.mass_on_padding;
  facts.summary = {timing.summary, names.summary, timing.summary};
  for (size_t w = 0; w < timing.words.size(); ++w) {
    facts.words.push_back({timing.words[w], names.words[w], timing.words[w]});
  }
  return facts;
}

}  // namespace

MapFacts render_map(const SoundMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const SoundAnalysis heard = analyse_sound(task.record, task.map, medium, task.route());
  const at::Tensor shown_lc = fetch(heard.shown_lc.contiguous(), task.route(), ops::Cargo::Map);
  SoundPictures names;
  std::optional<ReportSound> report;
  if (task.options.delivery == Delivery::Frame) {
    if (medium.sound.empty()) decode(medium.sound);  // says what is missing
    names = names_of(heard, task);
    report = report_of(heard, shown_lc, task.record.content == Content::Full, task.route());
    draw_pages(heard, names, task, artifacts, *report);
  } else {
    names.words.resize(heard.timing.words.size());
  }
  write_words(heard.timing, task, artifacts);
  write_maps(heard, shown_lc, task, artifacts);
  MapFacts facts = facts_of(task.record.reduce, heard, names);
  facts.report_sound = std::move(report);
  facts.detail = write_detail(heard, task, artifacts);
  return facts;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "bundle/sound_bundle.hpp"

#include <algorithm>

#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "sound/sound_pictures.hpp"
#include "sound/word_files.hpp"
#include "sound/word_timing.hpp"

namespace gaze {
namespace {

SoundPictures draw_pages(const AttentionRecord& record, const BundleOptions& options, const SoundAnalysis& heard,
                         FrameRing& ring, PageMemory& pages, BundleFiles& parts) {
  if (record.sound.empty()) decode(record.sound);  // says what is missing
  SoundPictures names{picture_file("overlay", options.format), picture_file("sheet", options.format), {}};
  for (size_t w = 0; w < heard.hearing.words.size(); ++w) {
    names.words.push_back(word_file(w, heard.hearing.words[w].word, options.format));
  }
  if (!names.words.empty()) parts.staged.make_subdirectory("words");
  FramePipeline frames(ring);
  const auto encode_word = encoder_of_alike(options.format);
  draw_sound(record, heard, names, frames, pages,
             {[&](const std::string& name, const at::Tensor& rgb_hwc) {
                parts.write(name, encode_image(rgb_hwc, options.format));
              },
              [&](const std::string& name, const at::Tensor& rgb_hwc) { parts.write(name, encode_word(rgb_hwc)); }});
  return names;
}

void write_words(const WordTiming& hearing, const std::vector<WordFile>& wanted, BundleFiles& parts) {
  parts.write("words.json", words_json(hearing));
  const auto wants = [&](WordFile file) { return std::find(wanted.begin(), wanted.end(), file) != wanted.end(); };
  if (wants(WordFile::Vtt)) parts.write("words.vtt", words_vtt(hearing));
  if (wants(WordFile::Srt)) parts.write("words.srt", words_srt(hearing));
  if (wants(WordFile::TextGrid)) parts.write("words.TextGrid", words_textgrid(hearing));
}

void write_maps(const SoundAnalysis& heard, const ops::Route& route, BundleFiles& parts) {
  const auto here = [&](const at::Tensor& map) { return fetch(map.contiguous(), route, ops::Cargo::Map); };
  const int64_t words = heard.shown_lc.size(0) - 1;
  const at::Tensor map_tc = lay_out(heard.map_tk, heard.parts, heard.seconds_per_key, heard.shown_lc.size(1));
  parts.write("maps.safetensors", serialise_safetensors({{"map_tc", map_tc},
                                                         {"lift_tc", here(heard.lift_tc)},
                                                         {"shown_wc", here(heard.shown_lc.narrow(0, 1, words))},
                                                         {"mass_t", here(heard.mass_t)}},
                                                        {{"gaze_maps", "1"}}));
}

void note(const AttentionRecord& record, const SoundAnalysis& heard, const SoundPictures& names,
          RequestFacts& sidecar) {
  const WordTiming& hearing = heard.hearing;
  sidecar.measured = true;
  sidecar.tokens = heard.tokens;
  sidecar.range_max_lift = hearing.range_max_lift;
  sidecar.sinks_subtracted = hearing.sinks_subtracted;
  // The mass of all keys is measured; what of it is the padding's is told by the map.
  sidecar.mass_is_exact = hearing.summary.mass_on_padding == 0 || (record.reduce.heads == ops::HeadReduce::Mean &&
                                                                   record.reduce.layers == ops::LayerReduce::Mean);
  SoundFacts facts;
  facts.seconds = hearing.seconds;
  facts.start_seconds = hearing.start_seconds;
  facts.seconds_per_key = hearing.seconds_per_key;
  if (heard.recording.samples_ct.defined()) {
    facts.sample_rate_hz = heard.recording.sample_rate_hz;
    facts.channels = heard.recording.samples_ct.size(0);
  }
  facts.padding = hearing.summary.mass_on_padding;
  sidecar.sound = facts;
  sidecar.summary = {hearing.summary, names.summary, hearing.summary};
  for (size_t w = 0; w < hearing.words.size(); ++w) {
    sidecar.words.push_back({hearing.words[w], names.words[w], hearing.words[w]});
  }
}

}  // namespace

void write_sound(const AttentionRecord& record, const BundleOptions& options, FrameRing& ring, PageMemory& pages,
                 BundleFiles& parts) {
  const ops::Route& route = ring.route();
  const SoundAnalysis heard = analyse_sound(record, route);
  SoundPictures names;
  names.words.resize(heard.hearing.words.size());
  const bool frames = options.delivery == Delivery::Frame;
  if (frames) names = draw_pages(record, options, heard, ring, pages, parts);
  write_words(heard.hearing, options.word_files, parts);
  if (!frames || options.maps) write_maps(heard, route, parts);
  note(record, heard, names, parts.sidecar);
}

}  // namespace gaze

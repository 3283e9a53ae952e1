// SPDX-License-Identifier: MIT
#include "speech.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/fft_irfft.h>
#include <ATen/ops/fft_rfft.h>
#include <ATen/ops/zeros.h>
#include <gaze/render/audio_file.hpp>
#include <gaze/render/words.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "console.hpp"
#include "samples.hpp"
#include "tokens.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kMostTokens = 30;

nlohmann::json read_list(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Refusal("--data: expected " + path + ", found none. Name the folder that holds models/ and data/.");
  try {
    return nlohmann::json::parse(file);
  } catch (const nlohmann::json::exception& error) {
    throw Refusal(path + ": expected JSON, got " + error.what() + ". Restore the file.");
  }
}

}  // namespace

Speech open_speech(const std::string& model_path) {
  Speech speech;
  speech.model_path = model_path;
  const std::string profile = profile_beside(model_path);
  if (profile.empty())
    throw Refusal("model: expected profile.json beside " + model_path +
                  ", found none. Use a speech model with its own folder.");
  speech.profile = read_profile(profile);
  if (speech.profile.vocabulary.empty() || !speech.profile.sound || speech.profile.geometry->cols < 1)
    throw Refusal(profile +
                  ": expected tokens.vocabulary, sound and geometry.time.keys, got none. Use a speech model "
                  "with its own folder.");
  speech.window_seconds =
      static_cast<double>(speech.profile.geometry->cols) * speech.profile.geometry->time->seconds_per_key;
  return speech;
}

std::vector<std::string> spoken_words(const std::string& samples) {
  return read_list(samples + "/data/speech/held_out.json").at("words").get<std::vector<std::string>>();
}

WordMatches matched_words(const std::vector<std::string>& said, const std::vector<std::string>& heard) {
  const size_t wide = heard.size() + 1;
  std::vector<int64_t> cost((said.size() + 1) * wide);
  for (size_t i = 0; i <= said.size(); ++i) {
    for (size_t j = 0; j <= heard.size(); ++j) {
      int64_t& here = cost[i * wide + j];
      if (i == 0 || j == 0) {
        here = static_cast<int64_t>(i + j);
        continue;
      }
      here = std::min({cost[(i - 1) * wide + j] + 1, cost[i * wide + j - 1] + 1,
                       cost[(i - 1) * wide + j - 1] + (said[i - 1] == heard[j - 1] ? 0 : 1)});
    }
  }
  std::vector<Match> matches;
  for (size_t i = said.size(), j = heard.size(); i > 0 && j > 0;) {
    const int64_t here = cost[i * wide + j];
    const bool same = said[i - 1] == heard[j - 1];
    if (here == cost[(i - 1) * wide + j - 1] + (same ? 0 : 1)) {
      --i, --j;
      if (same) matches.push_back({i, j});
    } else if (here == cost[(i - 1) * wide + j] + 1) {
      --i;
    } else {
      --j;
    }
  }
  return {cost.back(), matches};
}

std::vector<int64_t> spoken_ids(const Speech& speech, const std::vector<std::string>& words) {
  const std::vector<std::string>& vocabulary = speech.profile.vocabulary;
  std::vector<int64_t> ids;
  for (const std::string& word : words) {
    // From left to right the longest piece that fits.
    for (std::string rest = " " + word; !rest.empty();) {
      size_t best = vocabulary.size();
      for (size_t id = 0; id < vocabulary.size(); ++id) {
        const bool fits = !vocabulary[id].empty() && rest.starts_with(vocabulary[id]);
        if (fits && (best == vocabulary.size() || vocabulary[id].size() > vocabulary[best].size())) best = id;
      }
      if (best == vocabulary.size())
        throw Refusal("tokens.vocabulary: expected pieces that write " + word + ", got none. Use a speech model.");
      ids.push_back(static_cast<int64_t>(best));
      rest.erase(0, vocabulary[best].size());
    }
  }
  return ids;
}

scenes::RecordingComposer held_out_composer(const std::string& samples) {
  const Audio audio = read_audio(samples + "/data/speech/held_out.ogg");
  const nlohmann::json list = read_list(samples + "/data/speech/held_out.json");
  const float* all = audio.samples_ct.const_data_ptr<float>();
  std::vector<scenes::Clip> clips;
  for (const auto& entry : list.at("clips")) {
    const auto first = entry.at("first").get<int64_t>();
    const auto count = entry.at("samples").get<int64_t>();
    if (audio.sample_rate_hz != scenes::kSampleRateHz || first < 0 || count < 1 ||
        count > audio.samples_ct.size(1) - first)
      throw Refusal("held_out.json: expected clips within held_out.ogg, got others. Restore both files.");
    clips.push_back({entry.at("word").get<int>(), entry.at("voice").get<int>(), {all + first, all + first + count}});
  }
  return scenes::RecordingComposer(std::move(clips));
}

at::Tensor model_input(const at::Tensor& samples_ct, int64_t sample_rate_hz) {
  at::Tensor mono_s = samples_ct.to(at::kFloat).mean(0);
  const int64_t common = std::gcd<int64_t>(sample_rate_hz, scenes::kSampleRateHz);
  const int64_t from = sample_rate_hz / common;
  const int64_t to = scenes::kSampleRateHz / common;
  if (from == to) return mono_s;
  const int64_t samples = mono_s.size(0);
  const int64_t wanted = (samples * to + from - 1) / from;
  // Some silence, for the spectrum joins the end to the beginning; then whole steps of both rates.
  const int64_t steps = (samples + sample_rate_hz / 10 + from - 1) / from;
  mono_s = at::constant_pad_nd(mono_s, {0, steps * from - samples});
  at::Tensor spectrum = at::fft_rfft(mono_s);
  const int64_t kept = steps * to / 2 + 1;
  if (kept < spectrum.size(0)) spectrum = spectrum.narrow(0, 0, kept);
  const double scale = static_cast<double>(to) / static_cast<double>(from);
  return (at::fft_irfft(spectrum, steps * to) * scale).narrow(0, 0, wanted).contiguous();
}

std::vector<double> parts_of(const at::Tensor& input_s, double window_seconds) {
  constexpr int64_t kFrame = scenes::kSampleRateHz / 50;
  const auto window = static_cast<int64_t>(window_seconds * scenes::kSampleRateHz);
  std::vector<double> starts = {0};
  for (int64_t start = 0; input_s.size(0) - start > window;) {
    const int64_t first = start + window * 3 / 4;
    const int64_t frames = (start + window - first) / kFrame;
    const at::Tensor level_f = input_s.narrow(0, first, frames * kFrame).view({frames, kFrame}).square().mean(1);
    start = first + level_f.argmin().item<int64_t>() * kFrame + kFrame / 2;
    starts.push_back(static_cast<double>(start) / scenes::kSampleRateHz);
  }
  return starts;
}

int64_t most_rows(const Speech& speech, double seconds) {
  // A part is three quarters of a window at least, and its end token has a row.
  return static_cast<int64_t>(std::ceil(seconds / (speech.window_seconds * 3 / 4))) * (kMostTokens + 1);
}

std::vector<std::string> answer(const Speech& speech, Model& model, const at::Tensor& input_s, at::Device device,
                                Request& request) {
  const std::vector<double> starts = parts_of(input_s, speech.window_seconds);
  const auto window = static_cast<int64_t>(speech.window_seconds * scenes::kSampleRateHz);
  std::vector<std::string> labels;
  size_t rows = 0;
  for (size_t part = 0; part < starts.size(); ++part) {
    const auto first = static_cast<int64_t>(starts[part] * scenes::kSampleRateHz);
    const auto end =
        part + 1 < starts.size() ? static_cast<int64_t>(starts[part + 1] * scenes::kSampleRateHz) : input_s.size(0);
    // What is cut off is heard in the next part; the window's rest is filled up with zeros.
    if (starts.size() > 1) request.window(starts[part], static_cast<double>(end - first) / scenes::kSampleRateHz);
    const at::Tensor input_bs = input_s.narrow(0, first, std::min(window, end - first)).unsqueeze(0).to(device);
    const at::Tensor ids_bt = model.generate(input_bs, row_of({kBegin}).to(device), kMostTokens);
    for (std::string& text : texts_of(ids_bt[0], speech.profile)) labels.push_back(std::move(text));
    // The end token's row lies between the words of two parts.
    rows += static_cast<size_t>(ids_bt.size(1));
    if (part + 1 < starts.size() && labels.size() < rows) labels.emplace_back("<end of part>");
  }
  std::vector<std::string> words;
  for (const Word& word : merge_words(labels)) words.push_back(word.text);
  request.label(std::move(labels));
  return words;
}

}  // namespace gaze::cli

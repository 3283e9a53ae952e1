// SPDX-License-Identifier: MIT
#include "hearing.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/sound.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "alignment.hpp"
#include "analysis.hpp"
#include "arrival.hpp"
#include "side_stream.hpp"

namespace gaze {
namespace {

constexpr double kNowhere = std::numeric_limits<double>::quiet_NaN();
constexpr double kReachSeconds = 0.12;  // how far a mark may move to the sound's own rise or fall

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", seconds);
  return text;
}

[[noreturn]] void refuse(const std::string& text) { throw Error(text, DropReason::GridMismatch); }

// Rounding of times and rates must not make a cell more or less.
int64_t cells_begun_before(double seconds, const Timeline& time) {
  return static_cast<int64_t>(std::ceil((seconds - time.first_seconds) / time.seconds_per_key - 1e-6));
}

void check_windows(const AttentionRecord& record, double seconds) {
  for (size_t i = 0; i < record.windows.size(); ++i) {
    const SoundWindow& window = record.windows[i];
    const double least = i == 0 ? 0 : record.windows[i - 1].start_seconds;
    if (window.start_seconds >= least && window.start_seconds < seconds) continue;
    refuse("window: expected a start of " + seconds_text(least) + " or later, before the sound's end at " +
           seconds_text(seconds) + ", got " + seconds_text(window.start_seconds) +
           ". Say in seconds where time 0 of the keys lies in the request's sound.");
  }
}

// Whether what the model heard can be this recording.
void check_length(const AttentionRecord& record, double seconds) {
  const Geometry& geometry = record.geometry;
  const Timeline& time = *geometry.time;
  const double covered = time.first_seconds + static_cast<double>(geometry.cols) * time.seconds_per_key;
  const double last_start = record.windows.empty() ? 0 : record.windows.back().start_seconds;
  // A stem without padding drops a few keys at the end.
  const double slack = std::max(5 * time.seconds_per_key, 0.02 * covered);
  const std::string keys = std::to_string(geometry.cols) + " keys of " + seconds_text(time.seconds_per_key);
  if (last_start + covered + slack < seconds) {
    refuse("sound: expected at most " + seconds_text(last_start + covered) + ", which " + keys + " cover" +
           (last_start > 0 ? " in the last window" : "") + ", got " + seconds_text(seconds) +
           ". Give the part that the model heard (start_seconds says where it begins), or call Request::window for "
           "every part.");
  }
  if (time.whole && std::abs(last_start + covered - seconds) > slack) {
    refuse("sound: expected about " + seconds_text(last_start + covered) + ", which " + keys + " cover, got " +
           seconds_text(seconds) + ". Give the recording the model heard, at its true sample rate.");
  }
}

// [tokens, keys of a window] -> [tokens, cells of the recording]; what falls beyond it is left out. A window that
// begins between two cells gives each its share.
at::Tensor lay_out(const AttentionRecord& record, int64_t cells) {
  const at::Tensor& map_tk = record.map_tc;
  const int64_t keys = map_tk.size(1);
  if (record.windows.empty() || (record.windows.size() == 1 && record.windows[0].start_seconds == 0)) {
    if (keys >= cells) return map_tk.narrow(1, 0, cells);
    at::Tensor map_tc = at::zeros({map_tk.size(0), cells}, map_tk.options());
    map_tc.narrow(1, 0, keys).copy_(map_tk);
    return map_tc;
  }
  at::Tensor map_tc = at::zeros({map_tk.size(0), cells}, map_tk.options());
  const auto add = [&](int64_t first_token, int64_t tokens, int64_t at, double share) {
    const int64_t count = std::min(keys, cells - at);
    if (share <= 0 || count <= 0) return;
    map_tc.narrow(0, first_token, tokens)
        .narrow(1, at, count)
        .add_(map_tk.narrow(0, first_token, tokens).narrow(1, 0, count), share);
  };
  for (size_t i = 0; i < record.windows.size(); ++i) {
    const int64_t first = std::min(i == 0 ? 0 : record.windows[i].first_token, map_tk.size(0));
    const int64_t end =
        i + 1 < record.windows.size() ? std::min(record.windows[i + 1].first_token, map_tk.size(0)) : map_tk.size(0);
    if (end <= first) continue;
    const double place = record.windows[i].start_seconds / record.geometry.time->seconds_per_key;
    const double whole = std::floor(place + 1e-6);
    const double rest = std::max(0.0, place - whole);
    add(first, end - first, static_cast<int64_t>(whole), 1 - rest);
    add(first, end - first, static_cast<int64_t>(whole) + 1, rest);
  }
  return map_tc;
}

// From the first to the last of the windows in which the word's tokens were made.
TimeSpan reach_of(const AttentionRecord& record, const Word& word, double seconds) {
  TimeSpan reach{0, seconds};
  const std::vector<SoundWindow>& windows = record.windows;
  for (size_t i = 0; i < windows.size(); ++i) {
    const bool begins_before = i == 0 || windows[i].first_token < word.first + std::max<int64_t>(word.count, 1);
    if (!begins_before) break;
    const double end = windows[i].start_seconds + record.geometry.time->first_seconds +
                       static_cast<double>(record.geometry.cols) * record.geometry.time->seconds_per_key;
    if (i == 0 || windows[i].first_token <= word.first) reach.start = windows[i].start_seconds;
    reach.end = std::min(end, seconds);
  }
  return reach;
}

// A model's input is filled up with zeros; samples after the last other one are padding.
Recording without_padding(Recording recording, const ops::Route& route) {
  const at::Tensor heard_s = recording.samples_ct.ne(0).any(0);
  // The index of the last true: the first one of the reversed row.
  const at::Tensor trailing =
      at::where(heard_s.any(), heard_s.flip(0).to(at::kInt).argmax(), at::zeros({}, at::kLong).to(heard_s.device()));
  const auto cut = static_cast<int64_t>(
      *fetch(trailing.to(at::kDouble).view({1}), route, ops::Cargo::Figures).const_data_ptr<double>());
  recording.samples_ct = recording.samples_ct.narrow(1, 0, recording.samples_ct.size(1) - cut).contiguous();
  return recording;
}

std::vector<float> levels(const Recording& recording, const Timeline& time, int64_t cells, const ops::Route& route) {
  const auto rate = static_cast<double>(recording.sample_rate_hz);
  const at::Tensor envelope_ckw =
      ops::envelope(recording.samples_ct, {time.first_seconds * rate, time.seconds_per_key * rate, cells});
  const at::Tensor level_k =
      fetch(envelope_ckw.select(1, 2).square().mean(0).sqrt().contiguous(), route, ops::Cargo::Figures);
  std::vector<float> values(level_k.const_data_ptr<float>(), level_k.const_data_ptr<float>() + cells);
  const auto broken = std::find_if(values.begin(), values.end(), [](float level) { return !std::isfinite(level); });
  if (broken != values.end()) {
    throw Error(
        "sound: expected finite samples, got NaN or infinity near " +
            seconds_text(time.first_seconds + static_cast<double>(broken - values.begin()) * time.seconds_per_key) +
            ". Check what fills the buffer.",
        DropReason::DecodeFailed);
  }
  return values;
}

std::vector<double> hottest_cells(const at::Tensor& shown_lc, const ops::Route& route) {
  const at::Tensor none_l = shown_lc.amax({1}).le(0);
  const at::Tensor cell_l = shown_lc.argmax(1).to(at::kDouble).masked_fill(none_l, -1).contiguous();
  const at::Tensor host_l = fetch(cell_l, route, ops::Cargo::Figures);
  return {host_l.const_data_ptr<double>(), host_l.const_data_ptr<double>() + host_l.numel()};
}

HeardWord describe_word(const Finding& finding) {
  HeardWord word;
  word.word = finding.word;
  word.start_seconds = word.end_seconds = word.hot_seconds = kNowhere;
  word.mass = finding.mass;
  word.max_lift = finding.max_lift;
  word.entropy = finding.entropy;
  word.diffuse = finding.diffuse;
  word.range_max_lift = finding.range_max_lift;
  word.flags = finding.flags;
  return word;
}

double mean_of(const std::vector<double>& values_t, int64_t first, int64_t count) {
  double sum = 0;
  for (int64_t t = first; t < first + count; ++t) sum += values_t[static_cast<size_t>(t)];
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

bool is_silent(const std::vector<float>& level_k, const WordSpan& span, float silence) {
  // Over the whole span: in noise single keys of a pause are as loud as speech.
  double sum = 0;
  for (int64_t k = span.first; k < span.end; ++k) {
    const double level = level_k[static_cast<size_t>(k)];
    sum += level * level;
  }
  return std::sqrt(sum / static_cast<double>(span.end - span.first)) < silence;
}

void mark_words(const AttentionRecord& record, const std::vector<double>& padding_t, const std::vector<double>& hot_l,
                HeardAnalysis& heard) {
  Hearing& hearing = heard.hearing;
  const double origin = hearing.start_seconds + heard.first_seconds;
  const auto seconds_at = [&](double cell) { return origin + cell * heard.seconds_per_key; };
  std::vector<Word> words;
  for (const HeardWord& word : hearing.words) words.push_back(word.word);
  const at::Tensor& map_tc = heard.map_tc;
  std::vector<WordSpan> spans = align_words(map_tc.const_data_ptr<float>(), map_tc.size(0), map_tc.size(1), words);
  if (record.style.align_to_energy && !heard.level_k.empty()) {
    align_to_energy(spans, heard.level_k, static_cast<int64_t>(std::lround(kReachSeconds / heard.seconds_per_key)));
  }
  const float silence = heard.level_k.empty() ? 0 : silence_level(heard.level_k);
  for (size_t w = 0; w < spans.size(); ++w) {
    HeardWord& word = hearing.words[w];
    word.start_seconds = std::max(hearing.start_seconds, seconds_at(static_cast<double>(spans[w].first)));
    word.end_seconds = std::min(hearing.start_seconds + hearing.seconds, seconds_at(static_cast<double>(spans[w].end)));
    word.confidence = spans[w].confidence;
    word.silence = !heard.level_k.empty() && is_silent(heard.level_k, spans[w], silence);
    word.mass_on_padding = mean_of(padding_t, word.word.first, word.word.count);
    if (hot_l[w + 1] >= 0) word.hot_seconds = seconds_at(hot_l[w + 1] + 0.5);
  }
  // As the summary's mass: the mean over words, or tokens where there are none.
  hearing.summary.mass_on_padding = words.empty() ? mean_of(padding_t, 0, static_cast<int64_t>(padding_t.size())) : 0;
  for (const HeardWord& word : hearing.words)
    hearing.summary.mass_on_padding += word.mass_on_padding / static_cast<double>(words.size());
  if (hot_l[0] >= 0) hearing.summary.hot_seconds = seconds_at(hot_l[0] + 0.5);
}

}  // namespace

HeardAnalysis analyse_sound(const AttentionRecord& record, const ops::Route& route) {
  check_record(record, route);
  const Timeline& time = *record.geometry.time;
  HeardAnalysis heard;
  heard.first_seconds = time.first_seconds;
  heard.seconds_per_key = time.seconds_per_key;
  Hearing& hearing = heard.hearing;
  hearing.start_seconds = record.sound.start_seconds;
  hearing.seconds_per_key = time.seconds_per_key;
  int64_t cells = record.map_tc.size(1);
  if (!record.sound.empty()) {
    heard.recording = decode(record.sound);
    if (record.sound.padded)
      heard.recording = without_padding(std::move(heard.recording), ops::route_to(heard.recording.samples_ct.device()));
    hearing.seconds = heard.recording.seconds();
    check_windows(record, hearing.seconds);
    check_length(record, hearing.seconds);
    cells = std::max<int64_t>(1, cells_begun_before(hearing.seconds, time));
    heard.recording.samples_ct = ops::to_device(heard.recording.samples_ct, route, ops::Cargo::Picture);
    heard.level_k = levels(heard.recording, time, cells, route);
  } else {
    hearing.seconds = time.first_seconds + static_cast<double>(cells) * time.seconds_per_key;
    check_windows(record, hearing.seconds);
  }

  AttentionRecord cut = record;
  cut.map_tc = lay_out(record, cells).contiguous();
  const at::Tensor whole_t = record.map_tc.sum(1);
  const at::Tensor share_t = at::where(whole_t > 0, cut.map_tc.sum(1) / whole_t, at::zeros_like(whole_t));
  cut.mass_t = record.mass_t * share_t;
  cut.geometry.cols = cells;
  cut.geometry.time->whole = false;
  cut.keys = 0;  // windows may make more cells than a row has keys
  cut.picture = {};
  const Analysis analysis = analyse(cut, route, nullptr);
  heard.tokens = analysis.tokens;
  heard.value_lc = analysis.value_lc;
  heard.shown_lc = analysis.shown_lc;
  heard.lift_lc = analysis.lift_lc;
  heard.map_tc = fetch(analysis.map_tc, route, ops::Cargo::Map);
  heard.lift_tc = analysis.lift_tc;
  heard.mass_t = analysis.mass_t;
  hearing.range_max_lift = analysis.range_max_lift;
  hearing.sinks_subtracted = analysis.sinks_subtracted;
  hearing.summary = describe_word(analysis.summary);
  for (const Finding& finding : analysis.words) {
    hearing.words.push_back(describe_word(finding));
    heard.reach_w.push_back(reach_of(record, finding.word, hearing.seconds));
  }

  const at::Tensor padding_t =
      fetch((record.mass_t - cut.mass_t).clamp_min(0).to(at::kDouble).contiguous(), route, ops::Cargo::Figures);
  const int64_t tokens = analysis.map_tc.size(0);
  const std::vector<double> padding(padding_t.const_data_ptr<double>(), padding_t.const_data_ptr<double>() + tokens);
  mark_words(record, padding, hottest_cells(analysis.shown_lc, route), heard);
  return heard;
}

Hearing hear(const AttentionRecord& record) {
  wait_on_stream(record);
  if (!record.geometry.time && record.error.empty()) {
    refuse("geometry.time: expected keys that follow one another in time, got those of a picture. Call compose().");
  }
  return analyse_sound(record, ops::route_to(record.map_tc.defined() ? record.map_tc.device() : at::Device(at::kCPU)))
      .hearing;
}

}  // namespace gaze

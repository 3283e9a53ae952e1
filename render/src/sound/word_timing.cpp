// SPDX-License-Identifier: MIT
#include "sound/word_timing.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/sound.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/device_event.hpp"
#include "maps/map_analysis.hpp"
#include "maps/punctuation.hpp"
#include "maps/side_stream.hpp"
#include "page/time_axis.hpp"
#include "sound/alignment.hpp"

namespace gaze {
namespace {

constexpr double kNowhere = std::numeric_limits<double>::quiet_NaN();
constexpr double kReachSeconds = 0.12;  // how far a mark may move to the sound's own rise or fall

// From the first to the last of the parts in which the word's tokens were made.
TimeSpan reach_of(const std::vector<SoundPart>& parts, const Word& word, const SoundAnalysis& heard) {
  TimeSpan reach{heard.timing.seconds, 0};
  for (const SoundPart& part : parts) {
    if (part.end_token <= word.first || part.first_token >= word.first + word.count) continue;
    const double end =
        part.start_seconds + heard.first_seconds + static_cast<double>(part.keys) * heard.seconds_per_key;
    reach.start = std::min(reach.start, part.start_seconds);
    reach.end = std::max(reach.end, std::min(end, heard.timing.seconds));
  }
  return reach;
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

TimedWord not_yet_heard(const WordFacts& facts) {
  TimedWord word{facts, {}};
  word.start_seconds = word.end_seconds = word.hot_seconds = kNowhere;
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

// The levels under a part's keys.
std::vector<float> levels_of(const SoundPart& part, const SoundAnalysis& heard) {
  const auto cells = static_cast<int64_t>(heard.level_k.size());
  const int64_t first =
      std::clamp<int64_t>(std::llround(part.start_seconds / heard.seconds_per_key), 0, std::max<int64_t>(0, cells - 1));
  const int64_t end = std::min(first + std::max<int64_t>(part.keys, 1), cells);
  std::vector<float> levels(heard.level_k.begin() + first, heard.level_k.begin() + end);
  if (!levels.empty()) levels.resize(static_cast<size_t>(std::max<int64_t>(part.keys, 1)), levels.back());
  return levels;
}

// Rows of a part's tokens, and its words as runs of these rows.
struct SaidRows {
  std::vector<int64_t> row_t;  // token of the recording
  std::vector<Word> words;
};

// Punctuation is not said: its row looks at the pause or at the next word, whose start would wait for it. A word of
// nothing else keeps its rows.
SaidRows said_rows(const SoundPart& part, int64_t tokens, const std::vector<TimedWord*>& marked,
                   const std::vector<bool>& punctuation_t) {
  const auto unsaid = [&](int64_t t) { return punctuation_t[static_cast<size_t>(t)]; };
  SaidRows said;
  const auto keep = [&](int64_t first, int64_t end, bool all) {
    for (int64_t t = first; t < end; ++t) {
      if (all || !unsaid(t)) said.row_t.push_back(t);
    }
  };
  int64_t next = part.first_token;
  for (const TimedWord* word : marked) {
    const int64_t first = word->word.first, end = std::min(first + word->word.count, part.first_token + tokens);
    keep(next, first, true);
    Word run{.text = {}, .first = static_cast<int64_t>(said.row_t.size())};
    keep(first, end, false);
    if (static_cast<int64_t>(said.row_t.size()) == run.first) keep(first, end, true);
    run.count = static_cast<int64_t>(said.row_t.size()) - run.first;
    said.words.push_back(run);
    next = end;
  }
  keep(next, part.first_token + tokens, true);
  return said;
}

// Marks the words whose first token the part holds, from its own keys: others cannot tell it where they lie.
void mark_part(const SoundPart& part, const Style& style, float silence, const std::vector<bool>& punctuation_t,
               SoundAnalysis& heard) {
  WordTiming& timing = heard.timing;
  std::vector<TimedWord*> marked;
  for (TimedWord& word : timing.words) {
    if (word.word.first >= part.first_token && word.word.first < part.end_token) marked.push_back(&word);
  }
  if (marked.empty()) return;
  const int64_t tokens = std::min(part.end_token, heard.map_tk.size(0)) - part.first_token;
  SaidRows said = said_rows(part, tokens, marked, punctuation_t);
  const auto rows = static_cast<int64_t>(said.row_t.size());
  const at::Tensor map_tk = heard.map_tk.narrow(1, 0, part.keys).index_select(0, at::tensor(said.row_t));
  std::vector<WordSpan> spans = align_words(map_tk.const_data_ptr<float>(), rows, part.keys, said.words);
  const std::vector<float> level_k = levels_of(part, heard);
  if (style.align_to_energy && !level_k.empty()) {
    align_to_energy(spans, level_k, static_cast<int64_t>(std::lround(kReachSeconds / heard.seconds_per_key)));
  }
  const double origin = timing.start_seconds + part.start_seconds + heard.first_seconds;
  const auto seconds_at = [&](int64_t key) {
    return std::clamp(origin + static_cast<double>(key) * heard.seconds_per_key, timing.start_seconds,
                      timing.start_seconds + timing.seconds);
  };
  for (size_t w = 0; w < spans.size(); ++w) {
    marked[w]->start_seconds = seconds_at(spans[w].first);
    marked[w]->end_seconds = seconds_at(spans[w].end);
    marked[w]->share_within = spans[w].share_within;
    marked[w]->silence = !level_k.empty() && is_silent(level_k, spans[w], silence);
  }
}

void mark_words(const AttentionRecord& record, const std::vector<double>& padding_t, const std::vector<double>& hot_l,
                SoundAnalysis& heard) {
  WordTiming& timing = heard.timing;
  const float silence = heard.level_k.empty() ? 0 : silence_level(heard.level_k);
  std::vector<bool> punctuation_t = punctuation_tokens(record.labels, record.spelling.get());
  punctuation_t.resize(static_cast<size_t>(heard.map_tk.size(0)));
  for (const SoundPart& part : heard.parts) mark_part(part, record.style, silence, punctuation_t, heard);
  const auto seconds_at = [&](double cell) {
    return timing.start_seconds + heard.first_seconds + (cell + 0.5) * heard.seconds_per_key;
  };
  for (size_t w = 0; w < timing.words.size(); ++w) {
    TimedWord& word = timing.words[w];
    word.mass_on_padding = mean_of(padding_t, word.word.first, word.word.count);
    if (hot_l[w + 1] >= 0) word.hot_seconds = seconds_at(hot_l[w + 1]);
  }
  // As the summary's mass: the mean over words, or tokens where there are none.
  const std::vector<TimedWord>& words = timing.words;
  timing.summary.mass_on_padding = words.empty() ? mean_of(padding_t, 0, static_cast<int64_t>(padding_t.size())) : 0;
  for (const TimedWord& word : words)
    timing.summary.mass_on_padding += word.mass_on_padding / static_cast<double>(words.size());
  if (hot_l[0] >= 0) timing.summary.hot_seconds = seconds_at(hot_l[0]);
}

}  // namespace

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

SoundAnalysis analyse_sound(const AttentionRecord& record, const MediumMap& map, const SoundMedium& medium,
                            const ops::Route& route) {
  const Timeline& time = *medium.geometry.time;
  const Sound& sound = medium.sound;
  SoundAnalysis heard;
  heard.first_seconds = time.first_seconds;
  heard.seconds_per_key = time.seconds_per_key;
  WordTiming& timing = heard.timing;
  timing.start_seconds = sound.start_seconds;
  timing.seconds_per_key = time.seconds_per_key;
  if (!sound.empty()) {
    heard.recording = decode(sound);
    if (sound.padded)
      heard.recording = without_padding(std::move(heard.recording), ops::route_to(heard.recording.samples_ct.device()));
    timing.seconds = heard.recording.seconds();
  } else {
    timing.seconds = covered_seconds(medium);
  }
  heard.parts = divide(medium, map.map_tk, timing.seconds);
  const int64_t cells = cells_of(timing.seconds, time);
  if (!sound.empty()) {
    heard.recording.samples_ct = ops::to_device(heard.recording.samples_ct, route, ops::Cargo::Picture);
    // Of the silence that stands for a recording nothing is told.
    if (record.content == Content::Full) heard.level_k = levels(heard.recording, time, cells, route);
  }

  // Normalised as the model had its keys, part by part alike; then laid out over the recording.
  MediumMap cut = map;
  cut.map_tk = heard_keys(map.map_tk, heard.parts).contiguous();
  const at::Tensor whole_t = map.map_tk.sum(1);
  const at::Tensor share_t = at::where(whole_t > 0, cut.map_tk.sum(1) / whole_t, at::zeros_like(whole_t));
  cut.mass_t = map.mass_t * share_t;
  cut.geometry().cols = cut.map_tk.size(1);
  cut.geometry().time->whole = false;
  const RowLayout layout{
      [&](const at::Tensor& rows_tk) { return lay_out(rows_tk, heard.parts, heard.seconds_per_key, cells); },
      heard_keys(at::ones_like(map.map_tk), heard.parts)};
  const Analysis analysis = analyse(record, cut, route, nullptr, &layout);
  heard.tokens = analysis.tokens;
  heard.word_rule = analysis.word_rule;
  heard.value_lc = analysis.value_lc;
  heard.shown_lc = analysis.shown_lc;
  heard.lift_lc = analysis.lift_lc;
  heard.map_tk = fetch(analysis.map_tc, route, ops::Cargo::Map);
  heard.lift_tc = analysis.lift_tc;
  heard.mass_t = analysis.mass_t;
  heard.visible_t = analysis.visible_t;
  heard.focus_t = analysis.focus_t;
  timing.range_max_lift = analysis.range_max_lift;
  timing.sinks_subtracted = analysis.sinks_subtracted;
  timing.summary = not_yet_heard(analysis.summary);
  for (const WordFacts& facts : analysis.words) {
    timing.words.push_back(not_yet_heard(facts));
    heard.reach_w.push_back(reach_of(heard.parts, facts.word, heard));
  }

  const at::Tensor padding_t =
      fetch((map.mass_t - cut.mass_t).clamp_min(0).to(at::kDouble).contiguous(), route, ops::Cargo::Figures);
  const int64_t tokens = analysis.map_tc.size(0);
  const std::vector<double> padding(padding_t.const_data_ptr<double>(), padding_t.const_data_ptr<double>() + tokens);
  mark_words(record, padding, hottest_cells(analysis.shown_lc, route), heard);
  return heard;
}

WordTiming time_words(const AttentionRecord& record) {
  wait_on_stream(record);
  const ops::Route route = ops::route_to(record.device());
  check_record(record, route);
  for (const MediumMap& map : record.maps) {
    if (const auto* medium = std::get_if<SoundMedium>(&map.medium)) {
      return analyse_sound(record, map, *medium, route).timing;
    }
  }
  throw Error("geometry.time: expected keys that follow one another in time, got those of a picture. Call compose().",
              DropReason::GridMismatch);
}

}  // namespace gaze

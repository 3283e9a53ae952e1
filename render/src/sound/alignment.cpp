// SPDX-License-Identifier: MIT
#include "sound/alignment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gaze {
namespace {

// A median of seven keys, as in openai/whisper's timing.py, reaches three keys to either side.
constexpr int64_t kReach = 3;
// A row of which the filter leaves less than this share was narrower than it.
constexpr double kLeastFiltered = 0.25;
// A row's background: what this share of its keys lies at or below.
constexpr double kBackgroundQuantile = 0.4;
// A word's own keys lie above this share of its peak: lower, it reaches into pauses; higher, it loses soft ends.
constexpr double kShareOfPeak = 0.15;
// Spread of a column below which it is rounding, as a share of its mean.
constexpr double kLeastSpread = 1e-5;
// The recording's quiet: what this share of its keys lies at or below.
constexpr double kQuietQuantile = 0.15;
// Sound is louder than the quiet by 3 dB.
constexpr float kAboveQuiet = 1.4F;
// Silence is softer than the loudest key by 6 dB at the least, by 40 dB at the most.
constexpr float kLeastBelowLoudest = 0.5F, kMostBelowLoudest = 0.01F;
// Where the recording does not tell its quiet: 60 dB below full scale.
constexpr float kInaudible = 1e-3F;

using Values = std::vector<float>;

int64_t reflected(int64_t k, int64_t keys) { return k < 0 ? -k : k >= keys ? 2 * (keys - 1) - k : k; }

void order(float& low, float& high) {
  const float least = std::min(low, high);
  high = std::max(low, high);
  low = least;
}

// Of seven: the extremes of five go, then those of the rest and the sixth, then the seventh decides. Without branches,
// so that neighbours are done side by side.
float median(const float* seven) {
  float a = seven[0], b = seven[1], c = seven[2], d = seven[3], e = seven[4], f = seven[5], g = seven[6];
  order(a, b), order(c, d), order(a, c), order(b, d), order(a, e), order(d, e);
  order(b, c), order(d, f), order(b, d), order(c, f);
  order(c, d);
  return std::max(c, std::min(d, g));
}

// Along each row.
Values median_filtered(const Values& map_tk, int64_t tokens, int64_t keys) {
  if (keys <= kReach) return map_tk;
  Values out_tk(map_tk.size());
  Values padded_k(static_cast<size_t>(keys + 2 * kReach));
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row_k = map_tk.data() + t * keys;
    std::copy(row_k, row_k + keys, padded_k.begin() + kReach);
    for (int64_t i = 1; i <= kReach; ++i) {
      padded_k[static_cast<size_t>(kReach - i)] = row_k[reflected(-i, keys)];
      padded_k[static_cast<size_t>(kReach + keys - 1 + i)] = row_k[reflected(keys - 1 + i, keys)];
    }
    const float* near_k = padded_k.data();
    float* out_k = out_tk.data() + t * keys;
    for (int64_t k = 0; k < keys; ++k) out_k[k] = median(near_k + k);
  }
  return out_tk;
}

float quantile(Values values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

// Takes off what each row has everywhere.
void subtract_background(Values& map_tk, int64_t tokens, int64_t keys) {
  for (int64_t t = 0; t < tokens; ++t) {
    const auto row = map_tk.begin() + t * keys;
    const float background = quantile(Values(row, row + keys), kBackgroundQuantile);
    std::transform(row, row + keys, row, [&](float value) { return std::max(0.F, value - background); });
  }
}

// Attention to single keys, all of which the filter took for noise: such a row would have no place, and is kept.
void restore_narrow_rows(Values& smooth_tk, const Values& clean_tk, int64_t tokens, int64_t keys) {
  for (int64_t t = 0; t < tokens; ++t) {
    const auto clean = clean_tk.begin() + t * keys;
    const auto smooth = smooth_tk.begin() + t * keys;
    const double all = std::accumulate(clean, clean + keys, 0.0);
    if (std::accumulate(smooth, smooth + keys, 0.0) < kLeastFiltered * all) std::copy(clean, clean + keys, smooth);
  }
}

std::vector<double> column_sums(const Values& map_tk, int64_t first, int64_t count, int64_t keys) {
  std::vector<double> sum_k(static_cast<size_t>(keys));
  for (int64_t t = first; t < first + count; ++t) {
    for (int64_t k = 0; k < keys; ++k) sum_k[static_cast<size_t>(k)] += map_tk[static_cast<size_t>(t * keys + k)];
  }
  return sum_k;
}

Values z_scores(Values map_tk, int64_t tokens, int64_t keys) {
  std::vector<double> mean_k = column_sums(map_tk, 0, tokens, keys);
  for (double& mean : mean_k) mean /= static_cast<double>(tokens);
  std::vector<double> square_k(mean_k.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t k = 0; k < mean_k.size(); ++k) {
      const double off = map_tk[static_cast<size_t>(t * keys) + k] - mean_k[k];
      square_k[k] += off * off;
    }
  }
  std::vector<double> scale_k(mean_k.size());
  for (size_t k = 0; k < mean_k.size(); ++k) {
    const double spread = std::sqrt(square_k[k] / static_cast<double>(tokens));
    scale_k[k] = spread > kLeastSpread * mean_k[k] ? 1 / spread : 0;
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t k = 0; k < mean_k.size(); ++k) {
      float& value = map_tk[static_cast<size_t>(t * keys) + k];
      value = static_cast<float>((value - mean_k[k]) * scale_k[k]);
    }
  }
  return map_tk;
}

// A word's mean row less the mean of the other words' and tokens': what all attend to, as to a sink, is nobody's.
Values own_attention(const Values& map_tk, const std::vector<double>& sum_k, const Word& word, int64_t tokens,
                     int64_t keys) {
  const std::vector<double> own_k = column_sums(map_tk, word.first, word.count, keys);
  const auto count = static_cast<double>(word.count);
  const auto others = static_cast<double>(tokens - word.count);
  Values out_k(own_k.size());
  for (size_t k = 0; k < out_k.size(); ++k) {
    const double elsewhere = others > 0 ? (sum_k[k] - own_k[k]) / others : 0;
    out_k[k] = static_cast<float>(std::max(0.0, own_k[k] / count - elsewhere));
  }
  return out_k;
}

// The stretch of the run that rises above a share of the run's peak the most, gaps in it set against it: a lone blip
// far from the rest does not count.
void keep_own_keys(WordSpan& span, const Values& own_k) {
  const auto run = own_k.begin() + span.first;
  const double least = kShareOfPeak * *std::max_element(run, own_k.begin() + span.end);
  double sum = 0, best = 0;
  int64_t first = span.first;
  WordSpan kept = span;
  for (int64_t k = span.first; k < span.end; ++k) {
    if (sum <= 0) {
      sum = 0;
      first = k;
    }
    sum += own_k[static_cast<size_t>(k)] - least;
    if (sum > best) {
      best = sum;
      kept.first = first;
      kept.end = k + 1;
    }
  }
  span = kept;
}

// Every span gets a key of its own; words that outnumber the keys share them.
void part(std::vector<WordSpan>& spans, int64_t keys) {
  const auto count = static_cast<int64_t>(spans.size());
  if (count > keys) {
    for (int64_t i = 0; i < count; ++i) {
      WordSpan& span = spans[static_cast<size_t>(i)];
      span.first = i * keys / count;
      span.end = span.first + 1;
    }
    return;
  }
  int64_t taken = 0;
  for (WordSpan& span : spans) {
    span.first = std::max(span.first, taken);
    span.end = taken = std::max(span.end, span.first + 1);
  }
  int64_t limit = keys;
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
    span->end = std::min(span->end, limit);
    span->first = limit = std::min(span->first, span->end - 1);
  }
}

double share_within(const WordSpan& span, const Values& own_k) {
  double within = 0, all = 0;
  for (int64_t k = 0; k < static_cast<int64_t>(own_k.size()); ++k) {
    const double value = own_k[static_cast<size_t>(k)];
    all += value;
    if (k >= span.first && k < span.end) within += value;
  }
  return all > 0 ? within / all : 0;
}

}  // namespace

std::vector<KeyRun> warp(const std::vector<float>& score_tk, int64_t tokens, int64_t keys) {
  if (tokens <= 0 || keys <= 0) return {};
  enum Step : uint8_t { kBoth, kKey, kToken };
  std::vector<Step> step_tk(score_tk.size());
  std::vector<double> before_k(static_cast<size_t>(keys)), now_k(before_k.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t k = 0; k < keys; ++k) {
      const auto at = static_cast<size_t>(k);
      constexpr double kNever = -std::numeric_limits<double>::infinity();
      const double both = t > 0 && k > 0 ? before_k[at - 1] : kNever;
      const double key = k > 0 ? now_k[at - 1] : kNever;
      const double token = t > 0 ? before_k[at] : kNever;
      const Step step = both >= key && both >= token ? kBoth : key >= token ? kKey : kToken;
      const double best = step == kBoth ? both : step == kKey ? key : token;
      const auto cell = static_cast<size_t>(t * keys + k);
      now_k[at] = (t == 0 && k == 0 ? 0 : best) + score_tk[cell];
      step_tk[cell] = step;
    }
    std::swap(before_k, now_k);
  }
  std::vector<KeyRun> runs(static_cast<size_t>(tokens));
  runs.back().last = keys - 1;
  for (int64_t t = tokens - 1, k = keys - 1; t > 0 || k > 0;) {
    const Step step = step_tk[static_cast<size_t>(t * keys + k)];
    if (step != kKey) runs[static_cast<size_t>(t)].first = k;
    if (step != kToken) --k;
    if (step != kKey) runs[static_cast<size_t>(--t)].last = k;
  }
  return runs;
}

std::vector<WordSpan> align_words(const float* map_tk, int64_t tokens, int64_t keys, const std::vector<Word>& words) {
  std::vector<WordSpan> spans(words.size(), {.first = 0, .end = 1});
  if (tokens <= 0 || keys <= 0) return spans;
  Values clean_tk(map_tk, map_tk + tokens * keys);
  for (float& value : clean_tk) value = std::isfinite(value) ? std::max(0.F, value) : 0.F;
  Values smooth_tk = median_filtered(clean_tk, tokens, keys);
  subtract_background(clean_tk, tokens, keys);
  subtract_background(smooth_tk, tokens, keys);
  restore_narrow_rows(smooth_tk, clean_tk, tokens, keys);
  const std::vector<KeyRun> runs = warp(z_scores(smooth_tk, tokens, keys), tokens, keys);
  for (size_t w = 0; w < words.size(); ++w) {
    spans[w].first = runs[static_cast<size_t>(words[w].first)].first;
    spans[w].end = runs[static_cast<size_t>(words[w].first + words[w].count - 1)].last + 1;
  }
  part(spans, keys);
  const std::vector<double> smooth_sum_k = column_sums(smooth_tk, 0, tokens, keys);
  const std::vector<double> clean_sum_k = column_sums(clean_tk, 0, tokens, keys);
  for (size_t w = 0; w < words.size(); ++w) {
    keep_own_keys(spans[w], own_attention(smooth_tk, smooth_sum_k, words[w], tokens, keys));
    spans[w].share_within = share_within(spans[w], own_attention(clean_tk, clean_sum_k, words[w], tokens, keys));
  }
  return spans;
}

void align_to_energy(std::vector<WordSpan>& spans, const std::vector<float>& level_k, int64_t reach) {
  const auto keys = static_cast<int64_t>(level_k.size());
  if (keys == 0) return;
  const float least = silence_level(level_k);
  const auto sounds = [&](int64_t k) { return k >= 0 && k < keys && level_k[static_cast<size_t>(k)] >= least; };
  // The first or last key of a word, moved; `outer` and `inner` are as far as it may go.
  const auto moved = [&](int64_t from, int64_t outward, int64_t outer, int64_t inner) {
    int64_t k = from;
    if (sounds(from)) {
      while (k != outer && std::abs(k - from) < reach && sounds(k + outward)) k += outward;
      return sounds(k + outward) ? from : k;
    }
    while (k != inner && std::abs(k - from) < reach && !sounds(k)) k -= outward;
    return sounds(k) ? k : from;
  };
  for (size_t i = 0; i < spans.size(); ++i) {
    WordSpan& span = spans[i];
    const int64_t before = i > 0 ? spans[i - 1].end : 0;
    const int64_t after = i + 1 < spans.size() ? spans[i + 1].first : keys;
    span.first = moved(span.first, -1, std::min(before, span.first), span.end - 1);
    span.end = moved(span.end - 1, 1, std::max(after, span.end) - 1, span.first) + 1;
  }
}

float silence_level(const std::vector<float>& level_k) {
  Values clean_k = level_k;
  for (float& level : clean_k) level = std::isfinite(level) ? level : 0.F;
  const float loudest = clean_k.empty() ? 0.F : *std::max_element(clean_k.begin(), clean_k.end());
  const float quiet = clean_k.empty() ? 0.F : quantile(clean_k, kQuietQuantile);
  if (quiet >= kLeastBelowLoudest * loudest) return kInaudible;
  return std::clamp(kAboveQuiet * quiet, kMostBelowLoudest * loudest, kLeastBelowLoudest * loudest);
}

}  // namespace gaze

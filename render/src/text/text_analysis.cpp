// SPDX-License-Identifier: MIT
#include "text/text_analysis.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "device/device_event.hpp"
#include "maps/map_analysis.hpp"

namespace gaze {
namespace {

const char* const kNoVerdict = "Of texts no verdict is told; sources.json has the shares of their parts.";

/// Keys of a cache of fixed size that no token of this answer filled are no tokens.
int64_t filled_keys(const MediumMap& map, const TextMedium& medium) {
  const int64_t keys = map.map_tk.size(1);
  return medium.answer_key < 0 ? keys : std::min(keys, medium.answer_key + map.tokens());
}

/// Which keys some token looked at.
std::vector<bool> seen_keys(const MediumMap& map, const ops::Route& route) {
  const at::Tensor sum_k = fetch(map.map_tk.sum(0).contiguous(), route, ops::Cargo::Figures);
  const auto* sum = sum_k.const_data_ptr<float>();
  std::vector<bool> seen;
  for (int64_t k = 0; k < sum_k.size(0); ++k) seen.push_back(sum[k] > 0);
  return seen;
}

/// Of every row: 1 where it has a key that is a word, else 0.
at::Tensor reach_of(const MediumMap& map, const TextAnalysis& text, int64_t answer_key, const ops::Route& route) {
  std::vector<float> is_read;
  for (const int32_t part : text.parts.part_k)
    is_read.push_back(text.parts.parts[static_cast<size_t>(part)].is_read() ? 1.0F : 0.0F);
  const at::Tensor read_k = at::tensor(is_read);
  at::Tensor reach_tk = read_k.unsqueeze(0).repeat({map.tokens(), 1});
  if (const int64_t own = reach_tk.size(1) - answer_key; answer_key >= 0 && own > 0) {
    at::Tensor own_to = reach_tk.narrow(1, answer_key, own);
    own_to.copy_(own_to.tril(-1));
  }
  return ops::to_device(reach_tk, route, ops::Cargo::Table);
}

at::Tensor shares(const at::Tensor& map_tk) {
  const at::Tensor sum_t1 = map_tk.sum(1, true);
  return at::where(sum_t1 > 0, map_tk / sum_t1, at::zeros_like(map_tk));
}

/// The whole answer, then each word.
at::Tensor merged(const at::Tensor& rows_tn, const std::vector<WordFacts>& words) {
  if (words.empty()) return rows_tn.mean(0, true);
  std::vector<at::Tensor> rows{at::Tensor()}, content;
  for (const WordFacts& facts : words) {
    rows.push_back(rows_tn.narrow(0, facts.word.first, facts.word.count).mean(0));
    if (facts.content) content.push_back(rows.back());
  }
  rows.front() = content.empty() ? at::stack(at::TensorList(rows.data() + 1, rows.size() - 1)).mean(0)
                                 : at::stack(content).mean(0);
  return at::stack(rows);
}

/// Row 0 over the same words as that of the shares.
at::Tensor whole_answer_first(const at::Tensor& rows_lk, const std::vector<WordFacts>& words) {
  std::vector<at::Tensor> content;
  for (size_t w = 0; w < words.size(); ++w) {
    if (words[w].content) content.push_back(rows_lk[static_cast<int64_t>(w) + 1]);
  }
  if (content.empty()) return rows_lk;
  at::Tensor made_lk = rows_lk.clone();
  made_lk[0].copy_(at::stack(content).mean(0));
  return made_lk;
}

/// Of a long text a word looks at so few words that a percentile of all would be nothing: colours end where nine of ten
/// words of the answer have their strongest, those of the whole answer at its own.
void set_ranges(bool each_its_own, TextAnalysis& text) {
  constexpr double kShareOfWords = 0.9;
  if (text.read.empty()) return;
  const at::Tensor peak_l = std::get<0>(text.shown_lr.max(1)).contiguous();
  std::vector<float> peaks(peak_l.const_data_ptr<float>(), peak_l.const_data_ptr<float>() + peak_l.size(0));
  const auto or_one = [](float peak) { return peak > 0 ? static_cast<double>(peak) : 1; };
  text.summary.range_max_lift = or_one(peaks.front());
  if (text.words.empty()) return;
  std::vector<float> rising(peaks.begin() + 1, peaks.end());
  std::sort(rising.begin(), rising.end());
  const auto last = static_cast<double>(rising.size() - 1);
  text.range_max_lift = or_one(rising[static_cast<size_t>(std::ceil(kShareOfWords * last))]);
  for (size_t w = 0; w < text.words.size(); ++w)
    text.words[w].range_max_lift = each_its_own ? or_one(peaks[w + 1]) : text.range_max_lift;
}

at::Tensor by_part(const at::Tensor& share_nk, const TextParts& parts) {
  at::Tensor mass_np = at::zeros({share_nk.size(0), static_cast<int64_t>(parts.parts.size())}, share_nk.options());
  return mass_np.index_add_(1, at::tensor(parts.part_k), share_nk);
}

/// No space is written before it, though a tokenizer does not say so.
bool closes(const std::string& word) {
  return !word.empty() && word.find_first_not_of(".,;:!?)]}%") == std::string::npos;
}

void find_words(const AttentionRecord& record, const TextMedium& medium, TextAnalysis& text) {
  const auto add = [&](const std::vector<Word>& words, int64_t first_key) {
    for (const Word& word : words) {
      const int64_t last = first_key + word.first + word.count - 1;
      const int32_t part = text.parts.part_k[static_cast<size_t>(last)];
      if (!text.parts.parts[static_cast<size_t>(part)].is_read()) continue;
      text.read.push_back({word.text, first_key + word.first, word.count, part, word.joined || closes(word.text)});
    }
  };
  const std::vector<std::string>& label_k = text.keys.label_k;
  const auto prompt_end = label_k.begin() + text.keys.prompt;
  add(merge_words({label_k.begin(), prompt_end}, medium.text.tokens.empty() ? medium.spelling.get() : nullptr), 0);
  add(merge_words({prompt_end, label_k.end()}, record.spelling.get()), text.keys.prompt);
}

/// Of words the strongest of their keys.
at::Tensor strongest(const at::Tensor& value_lk, const std::vector<ReadWord>& read) {
  const int64_t rows = value_lk.size(0), keys = value_lk.size(1), words = static_cast<int64_t>(read.size());
  at::Tensor value_lr = at::zeros({rows, words}, value_lk.options());
  const auto* from = value_lk.const_data_ptr<float>();
  auto* to = value_lr.mutable_data_ptr<float>();
  for (int64_t l = 0; l < rows; ++l) {
    for (int64_t r = 0; r < words; ++r) {
      const ReadWord& word = read[static_cast<size_t>(r)];
      const float* first = from + l * keys + word.first_key;
      to[l * words + r] = *std::max_element(first, first + word.keys);
    }
  }
  return value_lr;
}

const float* row_of(const at::Tensor& value_ln, int64_t l) {
  return value_ln.const_data_ptr<float>() + l * value_ln.size(1);
}

/// The words of a part follow one another.
std::pair<size_t, size_t> words_of(const TextAnalysis& text, int32_t part) {
  const auto is = [&](const ReadWord& word) { return word.part == part; };
  const auto first = std::find_if(text.read.begin(), text.read.end(), is);
  const auto last = std::find_if(text.read.rbegin(), text.read.rend(), is).base();
  if (first == text.read.end()) return {0, 0};
  return {static_cast<size_t>(first - text.read.begin()), static_cast<size_t>(last - text.read.begin())};
}

}  // namespace

TextAnalysis analyse_text(const AttentionRecord& record, const MediumMap& map, const TextMedium& medium,
                          const ops::Route& route) {
  MediumMap whole = map;
  TextMedium filled = medium;
  filled.geometry.cols = filled_keys(map, medium);
  whole.map_tk = map.map_tk.narrow(1, 0, filled.geometry.cols).contiguous();
  TextAnalysis text;
  text.keys = read_keys(record, filled, route);
  text.parts = divide_keys(filled, text.keys, seen_keys(whole, route));

  // Sinks and other media are told apart, and are no words: what is shown is shown without them.
  const at::Tensor reach_tk = reach_of(whole, text, medium.answer_key < 0 ? -1 : text.keys.prompt, route);
  MediumMap words_alone = whole;
  words_alone.map_tk = whole.map_tk * reach_tk;
  const at::Tensor whole_t = whole.map_tk.sum(1);
  words_alone.mass_t =
      map.mass_t * at::where(whole_t > 0, words_alone.map_tk.sum(1) / whole_t, at::zeros_like(whole_t));
  words_alone.geometry().cols = filled.geometry.cols;
  const RowLayout layout{[](const at::Tensor& rows_tk) { return rows_tk; }, reach_tk};
  const Analysis analysis = analyse(record, words_alone, route, nullptr, &layout);
  text.tokens = analysis.tokens;
  text.words = analysis.words;
  text.summary = analysis.summary;
  text.summary.grounding.why = kNoVerdict;
  for (WordFacts& word : text.words) word.grounding.why = kNoVerdict;
  text.word_rule = analysis.word_rule;
  text.range_max_lift = analysis.range_max_lift;
  text.sinks_subtracted = analysis.sinks_subtracted;

  const auto here = [&](const at::Tensor& rows) { return fetch(rows.contiguous(), route, ops::Cargo::Map); };
  text.share_tk = shares(here(whole.map_tk));
  text.share_lk = merged(text.share_tk, text.words);
  text.mass_tp = by_part(text.share_tk, text.parts);
  text.mass_lp = by_part(text.share_lk, text.parts);
  find_words(record, medium, text);
  text.shown_lr = strongest(whole_answer_first(here(analysis.shown_lc), text.words), text.read);
  text.lift_lr = strongest(whole_answer_first(here(analysis.lift_lc), text.words), text.read);
  set_ranges(record.style.normalise.per_map_min_max, text);
  return text;
}

std::vector<size_t> top_words(const TextAnalysis& text, int64_t l, int32_t part, size_t most) {
  const auto [first, end] = words_of(text, part);
  const float* shown_r = row_of(text.shown_lr, l);
  const float* lift_r = row_of(text.lift_lr, l);
  std::vector<size_t> top;
  for (size_t r = first; r < end; ++r) {
    if (text.read[r].part == part && shown_r[r] > 0 && lift_r[r] > 1) top.push_back(r);
  }
  const size_t kept = std::min(most, top.size());
  std::partial_sort(top.begin(), top.begin() + static_cast<std::ptrdiff_t>(kept), top.end(),
                    [&](size_t a, size_t b) { return shown_r[a] != shown_r[b] ? shown_r[a] > shown_r[b] : a < b; });
  top.resize(kept);
  return top;
}

std::vector<int64_t> matrix_keys(const TextAnalysis& text) {
  const at::Tensor seen_k = text.share_tk.sum(0);
  const auto* seen = seen_k.const_data_ptr<float>();
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < text.keys.size(); ++k) {
    const auto key = static_cast<size_t>(k);
    if (!text.keys.between_k[key] && (!text.keys.special_k[key] || seen[k] > 0)) keys.push_back(k);
  }
  return keys;
}

double mass_of(const TextAnalysis& text, int64_t l, const ReadWord& word) {
  const float* share_k = row_of(text.share_lk, l) + word.first_key;
  double mass = 0;
  for (int64_t i = 0; i < word.keys; ++i) mass += static_cast<double>(share_k[i]);
  return mass;
}

ReadWindow best_window(const TextAnalysis& text, int64_t l, int32_t part, size_t window) {
  const auto [first, end] = words_of(text, part);
  ReadWindow best{first, std::min(window, end - first), 0};
  double mass = 0;
  for (size_t r = first; r < end; ++r) {
    mass += mass_of(text, l, text.read[r]);
    if (r >= first + window) mass -= mass_of(text, l, text.read[r - window]);
    const size_t begin = r + 1 >= first + window ? r + 1 - window : first;
    if (mass > best.mass && (r + 1 == end || r + 1 >= first + window)) best = {begin, r + 1 - begin, mass};
  }
  return best;
}

std::optional<double> passages_entropy(const TextAnalysis& text, int64_t l) {
  const char* const passage = name(SourceKind::Passage);
  std::vector<double> density;
  double total = 0;
  for (size_t p = 0; p < text.parts.parts.size(); ++p) {
    const TextPart& part = text.parts.parts[p];
    const auto keys = std::count(text.parts.part_k.begin(), text.parts.part_k.end(), static_cast<int32_t>(p));
    if (part.is != TextPart::Is::Source || part.kind != passage || keys == 0) continue;
    density.push_back(static_cast<double>(row_of(text.mass_lp, l)[p]) / static_cast<double>(keys));
    total += density.back();
  }
  if (density.size() < 2 || total <= 0) return std::nullopt;
  double entropy = 0;
  for (const double of_passage : density) {
    const double share = of_passage / total;
    if (share > 0) entropy -= share * std::log(share);
  }
  return entropy / std::log(static_cast<double>(density.size()));
}

bool is_flat(const TextAnalysis& text) { return passages_entropy(text, 0).value_or(0) > kFlatEntropy; }

double lift_of(const TextAnalysis& text, int64_t l, int32_t part) {
  const auto keys = std::count(text.parts.part_k.begin(), text.parts.part_k.end(), part);
  if (keys == 0) return 0;
  return static_cast<double>(row_of(text.mass_lp, l)[part]) * static_cast<double>(text.keys.size()) /
         static_cast<double>(keys);
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "text/report_text.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

#include "tokens/pieces.hpp"

namespace gaze {
namespace {

constexpr int64_t kMostValues = 1'500'000;  ///< of words: two bytes each
constexpr int64_t kMostWords = 20'000;      ///< elements of a page: more take seconds to lay out
constexpr int64_t kMostCells = 120'000;     ///< of the matrix of tokens
constexpr size_t kBeside = 12;              ///< words shown on either side of one that was looked at

/// Of all words those that are shown, in order.
std::vector<int64_t> shown_words(const TextAnalysis& text) {
  const int64_t rows = text.shown_lr.size(0), words = text.shown_lr.size(1);
  std::vector<int64_t> all(static_cast<size_t>(words));
  std::iota(all.begin(), all.end(), int64_t{0});
  const int64_t most = std::clamp<int64_t>(kMostValues / rows, 64, kMostWords);
  if (words <= most) return all;
  const at::Tensor peak_r = text.shown_lr.amax({0});
  const auto* peak = peak_r.const_data_ptr<float>();
  std::vector<int64_t> order = all;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return peak[a] > peak[b]; });
  std::vector<bool> keep(all.size());
  int64_t kept = 0;
  for (const int64_t word : order) {
    const int64_t first = std::max<int64_t>(0, word - static_cast<int64_t>(kBeside));
    const int64_t end = std::min(words, word + static_cast<int64_t>(kBeside) + 1);
    for (int64_t r = first; r < end && kept < most; ++r) {
      if (keep[static_cast<size_t>(r)]) continue;
      keep[static_cast<size_t>(r)] = true;
      ++kept;
    }
    if (kept >= most) break;
  }
  std::vector<int64_t> shown;
  for (const int64_t word : all) {
    if (keep[static_cast<size_t>(word)]) shown.push_back(word);
  }
  return shown;
}

void add_matrix(const TextAnalysis& text, ReportText& page) {
  const std::vector<int64_t> keys = matrix_keys(text);
  if (static_cast<int64_t>(keys.size()) * text.share_tk.size(0) > kMostCells) return;
  for (const int64_t k : keys) {
    const auto key = static_cast<size_t>(k);
    page.keys.push_back({text.keys.label_k[key], text.parts.part_k[key]});
  }
  page.share_tk = text.share_tk.index_select(1, at::tensor(keys));
}

}  // namespace

ReportText report_text(const TextAnalysis& text) {
  ReportText page;
  for (const TextPart& part : text.parts.parts) {
    page.parts.push_back({part.kind, part.id, part.is == TextPart::Is::Source, part.is == TextPart::Is::Sink});
  }
  const std::vector<int64_t> shown = shown_words(text);
  int64_t next = 0;
  for (const int64_t r : shown) {
    const ReadWord& word = text.read[static_cast<size_t>(r)];
    page.words.push_back({word.text, word.part, word.joined, r != next});
    next = r + 1;
  }
  page.cut = static_cast<int64_t>(text.read.size() - shown.size());
  page.mass_lp = text.mass_lp;
  const at::Tensor index = at::tensor(shown, at::kLong);
  page.shown_lr = text.shown_lr.index_select(1, index);
  page.lift_lr = text.lift_lr.index_select(1, index);
  add_matrix(text, page);
  return page;
}

}  // namespace gaze

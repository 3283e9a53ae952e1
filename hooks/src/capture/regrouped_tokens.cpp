// SPDX-License-Identifier: MIT
// What a batch whose rows were gathered anew, as by a search with beams, makes of the tokens that were captured.
#include <gaze/render/status.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

#include "capture/token_capture.hpp"

namespace gaze {

void TokenCapture::reorder(const std::vector<int64_t>& from) {
  add_waiting();
  regrouped_ = true;
  if (!placed_) return reorder_sources(from);
  if (detail_) detail_->reorder(from);
  std::vector<std::vector<RowAccumulators>> gathered_mr;
  for (size_t m = 0; m < spans_.size(); ++m) {
    std::vector<RowAccumulators> accumulators;
    for (Row& row : rows_) accumulators.push_back(std::move(row.sums[m].accumulators));
    gathered_mr.push_back(gather_rows(std::move(accumulators), from, tokens()));
  }
  std::vector<Row> rows;
  rollout_bytes_ = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const auto before = from.begin() + static_cast<std::ptrdiff_t>(i);
    const bool again = std::find(from.begin(), before, from[i]) != before;
    rows.push_back(rows_[static_cast<size_t>(from[i])]);
    for (size_t m = 0; m < spans_.size(); ++m) {
      Sums& sums = rows.back().sums[m];
      sums.accumulators = std::move(gathered_mr[m][i]);
      if (again) sums.rollout = sums.rollout.clone();
      rollout_bytes_ += sums.rollout.bytes();
    }
  }
  rows_ = std::move(rows);
}

void TokenCapture::reorder_sources(const std::vector<int64_t>& from) {
  std::vector<int64_t> sources;
  for (const int64_t row : from) sources.push_back(sources_.empty() ? row : sources_[static_cast<size_t>(row)]);
  sources_ = std::move(sources);
}

std::vector<int64_t> TokenCapture::encoded_rows_of(size_t rows) const {
  std::vector<int64_t> own(rows);
  std::iota(own.begin(), own.end(), 0);
  return sources_.size() == rows && !latent_maps_.are_of(static_cast<int64_t>(rows)) ? sources_ : own;
}

int64_t TokenCapture::encoded_rows(size_t rows) const {
  const std::vector<int64_t> encoded = encoded_rows_of(rows);
  return encoded.empty() ? 0 : *std::max_element(encoded.begin(), encoded.end()) + 1;
}

void TokenCapture::reorder_tokens(const std::vector<std::vector<int64_t>>& from) {
  if (rolls_out_) {
    throw Error(
        "reorder_tokens: expected rows that say what they were made of, got a rollout, whose rows hold what went "
        "before. "
        "Call Request::reorder at every step, or choose another way for layers.",
        DropReason::ShapeMismatch);
  }
  add_waiting();
  regrouped_ = true;
  if (detail_) detail_->leave("an answer's tokens were made in several rows of the batch");
  if (!placed_) return;
  std::vector<Row> rows;
  for (const std::vector<int64_t>& row_of_token : from) {
    rows.push_back(rows_[static_cast<size_t>(row_of_token.front())]);
    rows.back().tokens = static_cast<int64_t>(row_of_token.size());
    for (size_t m = 0; m < spans_.size(); ++m) {
      std::vector<const RowAccumulators*> of_tokens;
      for (const int64_t row : row_of_token) of_tokens.push_back(&rows_[static_cast<size_t>(row)].sums[m].accumulators);
      rows.back().sums[m].accumulators = gather_tokens(of_tokens, tokens());
    }
  }
  rows_ = std::move(rows);
}

}  // namespace gaze

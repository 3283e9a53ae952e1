// SPDX-License-Identifier: MIT
// The maps of every head of every selected site, kept beside the sums to look closer at. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "capture/attention_call.hpp"
#include "capture/capture.hpp"

namespace gaze {

/// Of one request. What cannot be kept is left out, with the reason: the request goes on without.
class HeadDetail {
 public:
  explicit HeadDetail(const CaptureRules& rules) : rules_(rules) {}

  /// The rows of a call, of all batch rows. Later rows of the same token take the place of earlier ones. Enqueued on
  /// the call's device; memory grows by doubling, one byte a weight, up to the rules' budget.
  /// @param media  the keys of each medium, the same at every call
  void add(int64_t site, const AttentionCall& call, const ops::RowRange& rows,
           const std::vector<KeySpan>& media) noexcept;
  /// Row i goes on from what row from[i] was.
  void reorder(const std::vector<int64_t>& from) noexcept;
  /// From now on nothing is kept, and what was is freed. @param why  a literal
  void leave(const char* why) noexcept;

  /// What was kept of a batch row on one medium, of the first `tokens` tokens, on `device`.
  [[nodiscard]] Detail of(int64_t row, size_t medium, int64_t tokens, at::Device device) const;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

 private:
  struct Kept {  // of one site on one medium; room for tokens beyond those that were kept holds zeros
    at::Tensor root_bhtk, most_bht;
  };
  struct Site {
    int64_t site = 0;
    std::vector<Kept> media;
  };
  Site& at(int64_t site, const AttentionCall& call, const std::vector<KeySpan>& media);
  void make_room(Site& kept, int64_t tokens);

  const CaptureRules& rules_;
  std::vector<Site> sites_;  // ascending
  int64_t bytes_ = 0;
  const char* left_out_ = nullptr;
};

}  // namespace gaze

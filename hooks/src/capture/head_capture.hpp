// SPDX-License-Identifier: MIT
// The rows of an answer of every head by itself, for choosing among heads. Knows no TorchScript.
#pragma once

#include <vector>

#include "capture/token_capture.hpp"

namespace gaze {

/// Rows of one call of a selected site, of every head by itself.
struct HeadRows {
  int64_t site = 0;
  int64_t batch = 0;  ///< batch row
  int64_t first_token = 0;
  at::Tensor map_hts;  ///< float32 [heads, tokens, span] on the CPU: weights of the medium's keys
};

class HeadCapture final : public TokenCapture {
 public:
  explicit HeadCapture(const CaptureRules& rules) : TokenCapture(rules, Looks::AtMedium, /*rolls_out=*/false) {}

  std::vector<HeadRows> kept;  ///< in the order of the calls

 private:
  void add(int64_t site, const AttentionCall& call, const ops::RowRange& rows) override;
  void forget(int64_t site, int64_t first_token) override;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Where the pictures of a prompt are, by the prompt's own token ids. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/geometry.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

class PromptSpans {
 public:
  /// One pass over the ids. From a device they are copied first, and the thread waits for the device's current stream.
  /// @param ids  int64 or int32 [batch, tokens]; others are remembered as a reason
  void read(const at::Tensor& ids, int64_t placeholder);
  /// The spans of a batch row. @param pictures  how many there must be; 0: any number but none
  /// @throws gaze::Error (GridMismatch) when there were no ids that could be read, no run, or another number of them.
  [[nodiscard]] const std::vector<KeySpan>& of(int64_t row, int64_t pictures) const;

 private:
  std::vector<std::vector<KeySpan>> spans_;  // by batch row
  int64_t placeholder_ = 0;
  int64_t tokens_ = 0;
  std::string unread_ =
      "expected the prompt's token ids before the first attention, got none. Let spans.argument name the method that "
      "gets them";
};

}  // namespace gaze

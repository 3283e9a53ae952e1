// SPDX-License-Identifier: MIT
// What decoders of sounds hand over, put in its place.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gaze {

constexpr int64_t kMaxSamples = int64_t{1} << 29;  // of all channels; 2 GiB of float32

/// Samples as they come, one block at a time: those of a channel beside each other, within -1..1.
/// @param fixed  the file says how many there are; otherwise there is room for more and more
class SampleBlocks {
 public:
  SampleBlocks(int64_t channels, int64_t frames, bool fixed)
      : samples_ct_(at::empty({channels, fixed ? frames : kBlock}, at::kFloat)), fixed_(fixed) {}
  /// False when one is not finite.
  bool add(const float* block_tc, int64_t count) {
    while (!fixed_ && taken_ + count > samples_ct_.size(1))
      samples_ct_ = at::constant_pad_nd(samples_ct_, {0, samples_ct_.size(1)});
    const int64_t channels = samples_ct_.size(0);
    for (int64_t c = 0; c < channels; ++c) {
      float* const to = samples_ct_.mutable_data_ptr<float>() + c * samples_ct_.size(1) + taken_;
      for (int64_t t = 0; t < count; ++t) {
        const float value = block_tc[t * channels + c];
        if (!std::isfinite(value)) return false;
        to[t] = std::clamp(value, -1.0F, 1.0F);
      }
    }
    taken_ += count;
    return true;
  }
  [[nodiscard]] int64_t taken() const { return taken_; }
  [[nodiscard]] at::Tensor samples_ct() const { return samples_ct_.narrow(1, 0, taken_).contiguous(); }
  static constexpr int64_t kBlock = 16384;

 private:
  at::Tensor samples_ct_;
  bool fixed_;
  int64_t taken_ = 0;
};

}  // namespace gaze

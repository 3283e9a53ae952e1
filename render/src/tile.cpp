// SPDX-License-Identifier: MIT
#include "tile.hpp"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/upsample_bicubic2d.h>

namespace gaze {

at::Tensor scale_picture(const at::Tensor& rgb_hwc, int64_t height, int64_t width) {
  const at::Tensor picture = rgb_hwc.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat).contiguous();
  const bool shrinks = height < rgb_hwc.size(0) || width < rgb_hwc.size(1);
  const at::Tensor scaled = shrinks ? at::adaptive_avg_pool2d(picture, {height, width})
                                    : at::upsample_bicubic2d(picture, {height, width}, false);
  return scaled.squeeze(0).permute({1, 2, 0}).round().clamp(0, 255).to(at::kByte).contiguous();
}

}  // namespace gaze

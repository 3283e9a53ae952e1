// SPDX-License-Identifier: MIT
#include "picture/grey.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cstdint>

namespace gaze {
namespace {

constexpr int kRed = 77, kGreen = 150, kBlue = 29;  // of 256
constexpr int kDarkest = 64, kRange = 153;          // of 255

at::Tensor greyed_elsewhere(const at::Tensor& rgb_hwc) {
  const at::Tensor wide_hwc = rgb_hwc.to(at::kInt);
  const at::Tensor luma_yx =
      (wide_hwc.select(2, 0) * kRed + wide_hwc.select(2, 1) * kGreen + wide_hwc.select(2, 2) * kBlue + 128)
          .bitwise_right_shift(8);
  const at::Tensor grey_yx = (luma_yx * kRange + 127).floor_divide(255) + kDarkest;
  return grey_yx.to(at::kByte).unsqueeze(2).expand(rgb_hwc.sizes()).contiguous();
}

}  // namespace

at::Tensor greyed(const at::Tensor& rgb_hwc) {
  if (!rgb_hwc.is_cpu()) return greyed_elsewhere(rgb_hwc);
  std::array<uint8_t, 256> grey_of_luma;
  for (int luma = 0; luma < 256; ++luma)
    grey_of_luma[static_cast<size_t>(luma)] = static_cast<uint8_t>((luma * kRange + 127) / 255 + kDarkest);
  at::Tensor grey_hwc = at::empty(rgb_hwc.sizes(), rgb_hwc.options());
  const auto* from = rgb_hwc.const_data_ptr<uint8_t>();
  auto* to = grey_hwc.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < rgb_hwc.numel(); i += 3) {
    const int luma = (from[i] * kRed + from[i + 1] * kGreen + from[i + 2] * kBlue + 128) >> 8;
    to[i] = to[i + 1] = to[i + 2] = grey_of_luma[static_cast<size_t>(luma)];
  }
  return grey_hwc;
}

at::Tensor ground_of(const at::Tensor& rgb_hwc, const Style& style) {
  return style.ground == Ground::Grey ? greyed(rgb_hwc) : rgb_hwc;
}

}  // namespace gaze

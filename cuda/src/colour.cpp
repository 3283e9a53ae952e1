// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/ops/colour.hpp>

#include "check.hpp"
#include "picture_checks.hpp"
#include "quiet.hpp"

namespace gaze::ops {

at::Tensor colour(const at::Tensor& value, Colormap colormap) {
  constexpr const char* op = "colour";
  check_like(op, "value", value, at::kFloat, value.defined() ? value.device() : at::Device(at::kCPU));
  check_colormap(op, colormap);
  const Quiet quiet;
  const at::Tensor read = value.contiguous();
  auto sizes = value.sizes().vec();
  sizes.push_back(3);
  at::Tensor out_rgb = at::empty(sizes, value.options().dtype(at::kByte));
  kernels_for(value).colour({read.const_data_ptr<float>(), read.numel(), static_cast<kernels::Colormap>(colormap),
                             out_rgb.data_ptr<uint8_t>()},
                            value.get_device());
  return out_rgb;
}

}  // namespace gaze::ops

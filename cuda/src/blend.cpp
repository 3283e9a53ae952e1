// SPDX-License-Identifier: MIT
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/blend.hpp>

#include "check.hpp"
#include "picture_checks.hpp"
#include "quiet.hpp"

namespace gaze::ops {

at::Tensor blend(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                 const BlendOptions& options) {
  constexpr const char* op = "blend";
  check_like(op, "rgb_hwc", rgb_hwc, at::kByte, rgb_hwc.defined() ? rgb_hwc.device() : at::Device(at::kCPU));
  GAZE_CHECK(rgb_hwc.dim() == 3 && rgb_hwc.size(2) == 3, op, "rgb_hwc", "[height, width, 3], got ", rgb_hwc.sizes());
  GAZE_CHECK(rgb_hwc.is_contiguous(), op, "rgb_hwc", "a contiguous tensor, got strides ", rgb_hwc.strides());
  check_like(op, "colour_hwc", colour_hwc, at::kByte, rgb_hwc.device());
  check_sizes(op, "colour_hwc", colour_hwc, rgb_hwc.sizes());
  check_like(op, "value_yx", value_yx, at::kFloat, rgb_hwc.device());
  check_sizes(op, "value_yx", value_yx, {rgb_hwc.size(0), rgb_hwc.size(1)});
  check_blend(op, options);
  const Quiet quiet;
  const at::Tensor colour = colour_hwc.contiguous(), value = value_yx.contiguous();
  at::Tensor out_hwc = at::empty(rgb_hwc.sizes(), rgb_hwc.options());
  kernels_for(rgb_hwc).blend(
      {rgb_hwc.const_data_ptr<uint8_t>(), colour.const_data_ptr<uint8_t>(), value.const_data_ptr<float>(),
       value.numel(), static_cast<float>(options.alpha_max), static_cast<float>(options.alpha_start),
       static_cast<float>(options.alpha_full), out_hwc.data_ptr<uint8_t>()},
      rgb_hwc.get_device());
  return out_hwc;
}

at::Tensor top_mass(const at::Tensor& map_tc, double share) {
  constexpr const char* op = "top_mass";
  check_like(op, "map_tc", map_tc, at::kFloat, map_tc.defined() ? map_tc.device() : at::Device(at::kCPU));
  GAZE_CHECK(map_tc.dim() == 2, op, "map_tc", "[tokens, cells], got ", map_tc.sizes());
  GAZE_CHECK(share >= 0 && share <= 1, op, "share", "0..1, got ", share);
  const Quiet quiet;
  const auto [sorted_tc, cell_tc] = at::sort(map_tc, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  const at::Tensor held_tc = at::cumsum(sorted_tc, 1, at::kDouble);
  // A cell belongs to the set when the ones before it hold too little.
  const at::Tensor wanted_t = map_tc.size(1) > 0 ? held_tc.narrow(1, map_tc.size(1) - 1, 1).mul(share) : held_tc;
  const at::Tensor needed_tc = held_tc.sub(sorted_tc).lt(wanted_t).logical_and(sorted_tc.gt(0));
  return at::zeros_like(needed_tc).scatter(1, cell_tc, needed_tc);
}

}  // namespace gaze::ops

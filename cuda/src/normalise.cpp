// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/ops/normalise.hpp>

#include "check.hpp"
#include "quiet.hpp"

namespace gaze::ops {
namespace {

/// Fewer tokens have no mean worth subtracting.
constexpr int64_t kTokensForSinks = 4;
static_assert(kDiffuseEntropy == kernels::kDiffuseEntropy);

}  // namespace

Normalised normalise(const at::Tensor& map_tc, const at::Tensor& visible_t, const NormaliseOptions& options) {
  constexpr const char* op = "normalise";
  check_like(op, "map_tc", map_tc, at::kFloat, map_tc.defined() ? map_tc.device() : at::Device(at::kCPU));
  GAZE_CHECK(map_tc.dim() == 2, op, "map_tc", "[tokens, cells], got ", map_tc.sizes());
  GAZE_CHECK(map_tc.numel() < int64_t{1} << 32, op, "map_tc", "fewer than 2^32 values, got ", map_tc.sizes());
  check_like(op, "visible_t", visible_t, at::kFloat, map_tc.device());
  check_sizes(op, "visible_t", visible_t, {map_tc.size(0)});
  GAZE_CHECK(options.percentile > 0 && options.percentile <= 1, op, "options.percentile", "a share in (0, 1], got ",
             options.percentile);
  const Quiet quiet;
  const at::Tensor map = map_tc.contiguous(), visible = visible_t.contiguous();
  const int64_t tokens = map_tc.size(0), cells = map_tc.size(1);
  const auto real = map_tc.options();
  Normalised out;
  out.lift_tc = at::empty({tokens, cells}, real);
  out.shown_tc = at::empty({tokens, cells}, real);
  out.value_tc = at::empty({tokens, cells}, real);
  out.max_lift_t = at::empty({tokens}, real);
  out.entropy_t = at::empty({tokens}, real);
  out.diffuse_t = at::empty({tokens}, real.dtype(at::kBool));
  out.range_max = at::empty({}, real);
  out.sinks_subtracted = options.subtract_sinks && tokens >= kTokensForSinks;
  kernels::NormaliseParams p;
  p.map_tc = map.const_data_ptr<float>();
  p.visible_t = visible.const_data_ptr<float>();
  p.tokens = tokens;
  p.cells = cells;
  p.subtract_sinks = out.sinks_subtracted;
  p.per_map_min_max = options.per_map_min_max;
  p.percentile = options.percentile;
  p.lift_tc = out.lift_tc.data_ptr<float>();
  p.shown_tc = out.shown_tc.data_ptr<float>();
  p.value_tc = out.value_tc.data_ptr<float>();
  p.max_lift_t = out.max_lift_t.data_ptr<float>();
  p.entropy_t = out.entropy_t.data_ptr<float>();
  p.diffuse_t = out.diffuse_t.data_ptr<bool>();
  p.range_max = out.range_max.data_ptr<float>();
  kernels_for(map).normalise(p, map.get_device());
  return out;
}

}  // namespace gaze::ops

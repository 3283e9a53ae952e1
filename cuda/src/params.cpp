// SPDX-License-Identifier: MIT
#include "params.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "axis.hpp"
#include "check.hpp"
#include "colormap_tables.hpp"

namespace gaze::ops {
namespace {

static_assert(static_cast<int>(HeadReduce::TopK) == static_cast<int>(kernels::HeadReduce::TopK));
static_assert(static_cast<int>(LayerReduce::Weighted) == static_cast<int>(kernels::LayerReduce::Weighted));
static_assert(static_cast<int>(Colormap::Diverging) == static_cast<int>(kernels::Colormap::Diverging));
static_assert(kAsGoodAsMasked == kernels::kAsGoodAsMasked);
static_assert(int{kRowNonFinite} == int{kernels::kRowNonFinite} && int{kRowSum} == int{kernels::kRowSum} &&
              int{kRowFullyMasked} == int{kernels::kRowFullyMasked});

/// A side of a picture, so that kernels may count pixels in 32 bits.
constexpr int64_t kMostPixels = std::numeric_limits<int32_t>::max() / 4;

kernels::DType weight_dtype(const char* op, const char* argument, const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return kernels::DType::F32;
    case at::kHalf:
      return kernels::DType::F16;
    case at::kBFloat16:
      return kernels::DType::BF16;
    default:
      GAZE_CHECK(false, op, argument, "Float, Half or BFloat16, got ", x.scalar_type());
  }
}

/// Rounding in the weights' dtype, summed over a long row.
float sum_tolerance(kernels::DType dtype) {
  return dtype == kernels::DType::F32 ? 1e-3f : dtype == kernels::DType::F16 ? 5e-3f : 2e-2f;
}

/// Address of an element; the tensor's dtype decides the step.
const void* element(const at::Tensor& x, int64_t index) {
  return static_cast<const char*>(x.const_data_ptr()) + index * static_cast<int64_t>(x.element_size());
}

void check_queries(const char* op, const Window& window, int64_t batches, int64_t queries) {
  GAZE_CHECK(window.batch >= 0 && window.batch < batches, op, "window.batch", "0..", batches - 1, ", got ",
             window.batch);
  GAZE_CHECK(window.first_query >= 0 && window.queries >= 0 && window.first_query <= queries &&
                 window.queries <= queries - window.first_query,
             op, "window.queries", "rows within 0..", queries, ", got ", window.queries, " from ", window.first_query);
}

kernels::Reduction reduction(const char* op, const ReduceOptions& options, int64_t heads) {
  GAZE_CHECK(options.heads >= HeadReduce::Mean && options.heads <= HeadReduce::TopK, op, "options.heads",
             "a HeadReduce, got ", static_cast<int64_t>(options.heads));
  GAZE_CHECK(options.layers != LayerReduce::Rollout, op, "options.layers",
             "a reduction that can be accumulated, got Rollout (see gaze::ops::rollout)");
  GAZE_CHECK(options.layers >= LayerReduce::Mean && options.layers < LayerReduce::Rollout, op, "options.layers",
             "a LayerReduce, got ", static_cast<int64_t>(options.layers));
  GAZE_CHECK(options.heads != HeadReduce::One || (options.head >= 0 && options.head < heads), op, "options.head", "0..",
             heads - 1, ", got ", options.head);
  GAZE_CHECK(options.heads != HeadReduce::TopK || options.k >= 1, op, "options.k", "at least 1, got ", options.k);
  return {static_cast<kernels::HeadReduce>(options.heads), static_cast<kernels::LayerReduce>(options.layers),
          options.head, options.k};
}

/// What `window` chooses of `heads` heads, the head of K of each being that by `group`.
kernels::HeadPick pick(const char* op, const Window& window, int64_t heads, int64_t group) {
  kernels::HeadPick picked;
  const auto count = static_cast<int64_t>(window.heads.size());
  GAZE_CHECK(count <= kernels::kMostPicked, op, "window.heads", "at most ", kernels::kMostPicked, ", got ", count);
  int64_t least = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = window.heads[static_cast<size_t>(i)];
    GAZE_CHECK(head >= least && head < std::min<int64_t>(heads, 256), op, "window.heads", "ascending heads in 0..",
               std::min<int64_t>(heads, 256) - 1, ", got ", window.heads);
    picked.head[i] = static_cast<uint8_t>(head / group);
    least = head + 1;
  }
  picked.some = count > 0;
  return picked;
}

/// The rows the window goes to.
kernels::AccumulatorRows rows(const char* op, const Accumulator& accumulator, const Window& window, int64_t keys,
                              at::Device device) {
  const at::Tensor& map = accumulator.map_tc;
  check_like(op, "accumulator.map_tc", map, at::kFloat, device);
  GAZE_CHECK(map.dim() == 2 && map.size(1) >= 1, op, "accumulator.map_tc", "[tokens, cells], got ", map.sizes());
  GAZE_CHECK(map.is_contiguous(), op, "accumulator.map_tc", "a contiguous tensor, got strides ", map.strides());
  const int64_t tokens = map.size(0), cells = map.size(1);
  const auto check_column = [&](const char* argument, const at::Tensor& x, at::ScalarType dtype) {
    check_like(op, argument, x, dtype, device);
    GAZE_CHECK(x.dim() == 1 && x.size(0) == tokens, op, argument, "[", tokens, "], got ", x.sizes());
    GAZE_CHECK(x.is_contiguous(), op, argument, "a contiguous tensor, got strides ", x.strides());
  };
  check_column("accumulator.weight_t", accumulator.weight_t, at::kFloat);
  check_column("accumulator.mass_t", accumulator.mass_t, at::kFloat);
  check_column("accumulator.visible_t", accumulator.visible_t, at::kFloat);
  check_column("accumulator.calls_t", accumulator.calls_t, at::kInt);
  check_column("accumulator.flags_t", accumulator.flags_t, at::kInt);
  check_column("accumulator.rows_t", accumulator.rows_t, at::kInt);
  GAZE_CHECK(window.first_key >= 0 && window.first_key <= keys && cells <= keys - window.first_key, op,
             "window.first_key", cells, " cells within ", keys, " keys, got first key ", window.first_key);
  GAZE_CHECK(window.first_token >= 0 && window.first_token <= tokens && window.queries <= tokens - window.first_token,
             op, "window.first_token", "rows within an accumulator of ", tokens, " tokens, got ", window.queries,
             " from ", window.first_token);
  const int64_t t = window.first_token;
  return {map.data_ptr<float>() + t * cells,           accumulator.weight_t.data_ptr<float>() + t,
          accumulator.mass_t.data_ptr<float>() + t,    accumulator.visible_t.data_ptr<float>() + t,
          accumulator.calls_t.data_ptr<int32_t>() + t, accumulator.flags_t.data_ptr<int32_t>() + t,
          accumulator.rows_t.data_ptr<int32_t>() + t,  cells};
}

void check_place(const char* op, const CellAffine& place) {
  GAZE_CHECK(std::isfinite(place.scale_x) && std::isfinite(place.offset_x) && std::isfinite(place.scale_y) &&
                 std::isfinite(place.offset_y),
             op, "place", "finite numbers, got ", place.scale_x, ", ", place.offset_x, ", ", place.scale_y, ", ",
             place.offset_y);
}

void check_colormap(const char* op, Colormap colormap) {
  GAZE_CHECK(colormap >= Colormap::Turbo && colormap <= Colormap::Diverging, op, "colormap", "a Colormap, got ",
             static_cast<int64_t>(colormap));
}

void check_blend(const char* op, const BlendOptions& options) {
  GAZE_CHECK(options.alpha_max >= 0 && options.alpha_max <= 1, op, "options.alpha_max", "0..1, got ",
             options.alpha_max);
  GAZE_CHECK(options.alpha_start >= 0 && options.alpha_start <= 1, op, "options.alpha_start", "0..1, got ",
             options.alpha_start);
}

void check_columns(const char* op, const Columns& columns) {
  GAZE_CHECK(std::isfinite(columns.first), op, "columns.first", "a finite number, got ", columns.first);
  GAZE_CHECK(std::isfinite(columns.per_column) && columns.per_column > 0, op, "columns.per_column",
             "a finite number above 0, got ", columns.per_column);
  GAZE_CHECK(columns.count >= 0 && columns.count <= kMostPixels, op, "columns.count", "0..", kMostPixels, ", got ",
             columns.count);
}

/// A plot that is drawn all over.
void check_plot(const char* op, const at::Tensor& out_hwc, at::Device device) {
  check_like(op, "out_hwc", out_hwc, at::kByte, device);
  GAZE_CHECK(out_hwc.dim() == 3 && out_hwc.size(2) == 3 && out_hwc.numel() > 0, op, "out_hwc",
             "[height, width, 3] with at least one pixel, got ", out_hwc.sizes());
  GAZE_CHECK(out_hwc.is_contiguous(), op, "out_hwc", "a contiguous tensor, got strides ", out_hwc.strides());
  GAZE_CHECK(out_hwc.size(0) <= kMostPixels && out_hwc.size(1) <= kMostPixels, op, "out_hwc", "at most ", kMostPixels,
             " pixels a side, got ", out_hwc.sizes());
}

/// Colour and opacity of every level.
void fill_levels(Colormap colormap, const BlendOptions& options, std::uint32_t* level_rgba) {
  constexpr int kLast = kernels::kLevels - 1;
  const kernels::ColourTable& table = *kernels::kColourTables[static_cast<int>(colormap)];
  for (int level = 0; level <= kLast; ++level) {
    const int low = 255 * level / kLast, share = 255 * level % kLast, high = std::min(low + 1, 255);
    const double value = static_cast<double>(level) / kLast;
    double alpha = 0;
    if (value > options.alpha_start) {
      const double s = (value - options.alpha_start) / (1 - options.alpha_start);
      alpha = 255 * options.alpha_max * s * s * (3 - 2 * s);
    }
    level_rgba[level] = static_cast<std::uint32_t>(alpha + 0.5) << 24;
    for (int channel = 0; channel < 3; ++channel) {
      const int sum = table[low][channel] * (kLast - share) + table[high][channel] * share;
      level_rgba[level] |= static_cast<std::uint32_t>((sum + kLast / 2) / kLast) << (8 * channel);
    }
  }
}

/// The first pixel that lies on the grid, and one past the last; equal when none does.
std::pair<int64_t, int64_t> seen(double scale, double offset, int64_t cells, int64_t pixels) {
  const auto is_seen = [&](int64_t pixel) {
    const int64_t cell = kernels::cell(kernels::place(scale, offset, pixel), cells);
    return cell >= 0 && cell < cells;
  };
  int64_t first = 0, end = pixels;
  while (first < end && !is_seen(first)) ++first;
  while (end > first && !is_seen(end - 1)) --end;
  return {first, end};
}

}  // namespace

kernels::ReduceParams reduce_params(const at::Tensor& attn_bhqk, const Window& window, const ReduceOptions& options,
                                    const Accumulator& accumulator) {
  constexpr const char* op = "reduce";
  check_tensor(op, "attn_bhqk", attn_bhqk);
  GAZE_CHECK(attn_bhqk.dim() == 4 && attn_bhqk.size(1) >= 1, op, "attn_bhqk",
             "[batch, heads, queries, keys] with at least one head, got ", attn_bhqk.sizes());
  check_queries(op, window, attn_bhqk.size(0), attn_bhqk.size(2));
  kernels::ReduceParams p;
  p.dtype = weight_dtype(op, "attn_bhqk", attn_bhqk);
  p.attn_hqk = element(attn_bhqk, window.batch * attn_bhqk.stride(0) + window.first_query * attn_bhqk.stride(2));
  p.heads = attn_bhqk.size(1);
  p.queries = window.queries;
  p.keys = attn_bhqk.size(3);
  p.stride_h = attn_bhqk.stride(1);
  p.stride_q = attn_bhqk.stride(2);
  p.stride_k = attn_bhqk.stride(3);
  p.first_key = window.first_key;
  p.sum_least = window.partial ? 0 : 1 - sum_tolerance(p.dtype);
  p.sum_most = 1 + sum_tolerance(p.dtype);
  p.all_heads = p.heads;
  p.pick = pick(op, window, p.all_heads, 1);
  if (p.pick.some) p.heads = static_cast<int64_t>(window.heads.size());
  p.by = reduction(op, options, p.heads);
  p.to = rows(op, accumulator, window, p.keys, attn_bhqk.device());
  return p;
}

kernels::AttendParams attend_params(const char* op, const Scores& scores, const Window& window) {
  const at::Tensor& q = scores.q_bhqd;
  const at::Tensor& k = scores.k_bhkd;
  check_tensor(op, "q_bhqd", q);
  GAZE_CHECK(q.dim() == 4 && q.size(1) >= 1 && q.size(3) >= 1, op, "q_bhqd",
             "[batch, heads, queries, size] with at least one head and size, got ", q.sizes());
  kernels::AttendParams p;
  p.dtype = weight_dtype(op, "q_bhqd", q);
  check_like(op, "k_bhkd", k, q.scalar_type(), q.device());
  GAZE_CHECK(k.dim() == 4 && k.size(0) == q.size(0) && k.size(3) == q.size(3), op, "k_bhkd",
             "[batch, kv_heads, keys, size] = [", q.size(0), ", *, *, ", q.size(3), "], got ", k.sizes());
  GAZE_CHECK(k.size(1) >= 1 && q.size(1) % k.size(1) == 0, op, "k_bhkd", "kv_heads that divide ", q.size(1),
             " heads, got ", k.size(1));
  check_queries(op, window, q.size(0), q.size(2));
  p.q_hqd = element(q, window.batch * q.stride(0) + window.first_query * q.stride(2));
  p.k_hkd = element(k, window.batch * k.stride(0));
  p.heads = q.size(1);
  p.kv_heads = k.size(1);
  p.queries = window.queries;
  p.keys = k.size(2);
  p.size = q.size(3);
  p.q_stride_h = q.stride(1);
  p.q_stride_q = q.stride(2);
  p.q_stride_d = q.stride(3);
  p.k_stride_h = k.stride(1);
  p.k_stride_k = k.stride(2);
  p.k_stride_d = k.stride(3);
  p.causal = scores.causal;
  GAZE_CHECK(scores.causal_offset >= 0, op, "causal_offset", "at least 0, got ", scores.causal_offset);
  p.first_query = window.first_query + scores.causal_offset;
  const double scale = scores.scale.value_or(1 / std::sqrt(static_cast<double>(p.size)));
  GAZE_CHECK(std::isfinite(scale), op, "scale", "a finite number, got ", scale);
  p.scale = static_cast<float>(scale);

  if (scores.mask.has_value() && scores.mask->defined()) {
    const at::Tensor& mask = *scores.mask;
    check_tensor(op, "mask", mask);
    GAZE_CHECK(mask.device() == q.device(), op, "mask", "device ", q.device(), ", got ", mask.device());
    p.mask_dtype = mask.scalar_type() == at::kBool ? kernels::DType::Bool : weight_dtype(op, "mask (Bool aside)", mask);
    const int64_t full[4] = {q.size(0), p.heads, q.size(2), p.keys};
    int64_t stride[4] = {};
    bool fits = mask.dim() <= 4;
    for (int64_t d = 0; fits && d < mask.dim(); ++d) {
      const int64_t axis = d + 4 - mask.dim();
      fits = mask.size(d) == full[axis] || mask.size(d) == 1;
      stride[axis] = mask.size(d) == 1 ? 0 : mask.stride(d);
    }
    GAZE_CHECK(fits, op, "mask", "a shape that broadcasts to ", at::IntArrayRef(full), ", got ", mask.sizes());
    p.mask_hqk = element(mask, window.batch * stride[0] + window.first_query * stride[2]);
    p.mask_stride_h = stride[1];
    p.mask_stride_q = stride[2];
    p.mask_stride_k = stride[3];
  }
  return p;
}

kernels::AttendReduceParams attend_reduce_params(const Scores& scores, const Window& window,
                                                 const ReduceOptions& options, const Accumulator& accumulator) {
  constexpr const char* op = "attend_reduce";
  kernels::AttendReduceParams p;
  p.scores = attend_params(op, scores, window);
  p.first_key = window.first_key;
  kernels::AttendParams& a = p.scores;
  a.all_heads = a.heads;
  a.q_pick = pick(op, window, a.all_heads, 1);
  a.k_pick = pick(op, window, a.all_heads, a.all_heads / a.kv_heads);
  if (a.q_pick.some) a.heads = a.kv_heads = static_cast<int64_t>(window.heads.size());
  p.by = reduction(op, options, p.scores.heads);
  p.to = rows(op, accumulator, window, p.scores.keys, scores.q_bhqd.device());
  return p;
}

kernels::OverlayParams overlay_params(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                                      const std::optional<at::Tensor>& inside_yx, const CellAffine& place,
                                      const OverlayOptions& options, const at::Tensor& out_hwc) {
  constexpr const char* op = "overlay";
  const auto check_picture = [&](const char* argument, const at::Tensor& x) {
    check_like(op, argument, x, at::kByte, rgb_hwc.device());
    GAZE_CHECK(x.dim() == 3 && x.size(2) == 3 && x.numel() > 0, op, argument,
               "[height, width, 3] with at least one pixel, got ", x.sizes());
    GAZE_CHECK(x.is_contiguous(), op, argument, "a contiguous tensor, got strides ", x.strides());
  };
  check_tensor(op, "rgb_hwc", rgb_hwc);
  check_picture("rgb_hwc", rgb_hwc);
  check_picture("out_hwc", out_hwc);
  check_sizes(op, "out_hwc", out_hwc, rgb_hwc.sizes());
  const auto* rgb = rgb_hwc.const_data_ptr<uint8_t>();
  auto* out = out_hwc.mutable_data_ptr<uint8_t>();
  GAZE_CHECK(out + out_hwc.numel() <= rgb || rgb + rgb_hwc.numel() <= out, op, "out_hwc",
             "memory apart from rgb_hwc's, got an overlap");
  check_like(op, "value_yx", value_yx, at::kFloat, rgb_hwc.device());
  GAZE_CHECK(value_yx.dim() == 2 && value_yx.numel() > 0, op, "value_yx", "[rows, cols] with at least one cell, got ",
             value_yx.sizes());
  GAZE_CHECK(value_yx.is_contiguous(), op, "value_yx", "a contiguous tensor, got strides ", value_yx.strides());
  GAZE_CHECK(value_yx.numel() <= kMostPixels && rgb_hwc.size(0) <= kMostPixels && rgb_hwc.size(1) <= kMostPixels, op,
             "value_yx, rgb_hwc", "at most ", kMostPixels, " cells and pixels a side, got ", value_yx.sizes(), ", ",
             rgb_hwc.sizes());
  kernels::OverlayParams p;
  if (inside_yx.has_value() && inside_yx->defined()) {
    check_like(op, "inside_yx", *inside_yx, at::kBool, rgb_hwc.device());
    check_sizes(op, "inside_yx", *inside_yx, value_yx.sizes());
    GAZE_CHECK(inside_yx->is_contiguous(), op, "inside_yx", "a contiguous tensor, got strides ", inside_yx->strides());
    p.inside_yx = inside_yx->const_data_ptr<bool>();
  }
  check_place(op, place);
  check_colormap(op, options.colormap);
  check_blend(op, options.blend);
  GAZE_CHECK(options.contour_pixels >= 1 && options.contour_pixels <= 64, op, "options.contour_pixels", "1..64, got ",
             options.contour_pixels);
  GAZE_CHECK(options.border_pixels >= 0 && options.border_pixels <= 64, op, "options.border_pixels", "0..64, got ",
             options.border_pixels);
  p.rgb = rgb;
  p.height = rgb_hwc.size(0);
  p.width = rgb_hwc.size(1);
  p.value_yx = value_yx.const_data_ptr<float>();
  p.rows = value_yx.size(0);
  p.cols = value_yx.size(1);
  p.scale_x = place.scale_x;
  p.offset_x = place.offset_x;
  p.scale_y = place.scale_y;
  p.offset_y = place.offset_y;
  p.exact = options.interpolation == Interpolation::Exact;
  p.reach = options.contour_pixels;
  std::tie(p.seen_left, p.seen_right) = seen(p.scale_x, p.offset_x, p.cols, p.width);
  std::tie(p.seen_top, p.seen_bottom) = seen(p.scale_y, p.offset_y, p.rows, p.height);
  // Less than a border would fill is left without one.
  const int64_t shorter = std::min(p.seen_right - p.seen_left, p.seen_bottom - p.seen_top);
  p.border_width = shorter < options.border_pixels ? 0 : options.border_pixels;
  p.border_length = std::max<int64_t>(1, 6 * options.border_pixels);
  fill_levels(options.colormap, options.blend, p.level_rgba);
  p.out_rgb = out;
  return p;
}

NormaliseCall normalise_call(const at::Tensor& map_tc, const at::Tensor& visible_t, const NormaliseOptions& options) {
  constexpr const char* op = "normalise";
  check_like(op, "map_tc", map_tc, at::kFloat, map_tc.defined() ? map_tc.device() : at::Device(at::kCPU));
  GAZE_CHECK(map_tc.dim() == 2, op, "map_tc", "[tokens, cells], got ", map_tc.sizes());
  check_like(op, "visible_t", visible_t, at::kFloat, map_tc.device());
  check_sizes(op, "visible_t", visible_t, {map_tc.size(0)});
  GAZE_CHECK(options.percentile > 0 && options.percentile <= 1, op, "options.percentile", "a share in (0, 1], got ",
             options.percentile);
  NormaliseCall call;
  call.map_tc = map_tc.contiguous();
  call.visible_t = visible_t.contiguous();
  const int64_t tokens = map_tc.size(0), cells = map_tc.size(1);
  const auto real = map_tc.options();
  Normalised& out = call.out;
  out.lift_tc = at::empty({tokens, cells}, real);
  out.shown_tc = at::empty({tokens, cells}, real);
  out.value_tc = at::empty({tokens, cells}, real);
  out.max_lift_t = at::empty({tokens}, real);
  out.entropy_t = at::empty({tokens}, real);
  out.diffuse_t = at::empty({tokens}, real.dtype(at::kBool));
  out.range_max = at::empty({}, real);
  static_assert(kDiffuseEntropy == kernels::kDiffuseEntropy);
  out.sinks_subtracted = options.subtract_sinks && tokens >= kTokensForSinks;
  kernels::NormaliseParams& p = call.params;
  p.map_tc = call.map_tc.const_data_ptr<float>();
  p.visible_t = call.visible_t.const_data_ptr<float>();
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
  return call;
}

ResampleCall resample_call(const at::Tensor& map_yx, const CellAffine& place, int64_t height, int64_t width,
                           Interpolation interpolation) {
  constexpr const char* op = "resample";
  check_like(op, "map_yx", map_yx, at::kFloat, map_yx.defined() ? map_yx.device() : at::Device(at::kCPU));
  GAZE_CHECK(map_yx.dim() == 2 && map_yx.numel() > 0, op, "map_yx", "[rows, cols] with at least one cell, got ",
             map_yx.sizes());
  check_place(op, place);
  GAZE_CHECK(height >= 1 && width >= 1, op, "height, width", "at least 1 x 1 pixels, got ", height, " x ", width);
  ResampleCall call;
  call.out_yx = at::empty({height, width}, map_yx.options());
  kernels::ResampleParams& p = call.params;
  p.map_yx = map_yx.const_data_ptr<float>();
  p.rows = map_yx.size(0);
  p.cols = map_yx.size(1);
  p.stride_y = map_yx.stride(0);
  p.stride_x = map_yx.stride(1);
  p.scale_x = place.scale_x;
  p.offset_x = place.offset_x;
  p.scale_y = place.scale_y;
  p.offset_y = place.offset_y;
  p.height = height;
  p.width = width;
  p.exact = interpolation == Interpolation::Exact;
  p.out_yx = call.out_yx.data_ptr<float>();
  return call;
}

ColourCall colour_call(const at::Tensor& value, Colormap colormap) {
  constexpr const char* op = "colour";
  check_like(op, "value", value, at::kFloat, value.defined() ? value.device() : at::Device(at::kCPU));
  check_colormap(op, colormap);
  ColourCall call;
  call.value = value.contiguous();
  auto sizes = value.sizes().vec();
  sizes.push_back(3);
  call.out_rgb = at::empty(sizes, value.options().dtype(at::kByte));
  call.params = {call.value.const_data_ptr<float>(), call.value.numel(), static_cast<kernels::Colormap>(colormap),
                 call.out_rgb.data_ptr<uint8_t>()};
  return call;
}

BlendCall blend_call(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
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
  BlendCall call;
  call.rgb_hwc = rgb_hwc;
  call.colour_hwc = colour_hwc.contiguous();
  call.value_yx = value_yx.contiguous();
  call.out_hwc = at::empty(rgb_hwc.sizes(), rgb_hwc.options());
  call.params = {rgb_hwc.const_data_ptr<uint8_t>(),     call.colour_hwc.const_data_ptr<uint8_t>(),
                 call.value_yx.const_data_ptr<float>(), value_yx.numel(),
                 static_cast<float>(options.alpha_max), static_cast<float>(options.alpha_start),
                 call.out_hwc.data_ptr<uint8_t>()};
  return call;
}

ContourCall contour_call(const at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels) {
  constexpr const char* op = "contour";
  check_like(op, "rgb_hwc", rgb_hwc, at::kByte, rgb_hwc.defined() ? rgb_hwc.device() : at::Device(at::kCPU));
  GAZE_CHECK(rgb_hwc.dim() == 3 && rgb_hwc.size(2) == 3, op, "rgb_hwc", "[height, width, 3], got ", rgb_hwc.sizes());
  GAZE_CHECK(rgb_hwc.is_contiguous(), op, "rgb_hwc", "a contiguous tensor, got strides ", rgb_hwc.strides());
  check_like(op, "inside_yx", inside_yx, at::kBool, rgb_hwc.device());
  check_sizes(op, "inside_yx", inside_yx, {rgb_hwc.size(0), rgb_hwc.size(1)});
  GAZE_CHECK(width_pixels >= 1 && width_pixels <= 64, op, "width_pixels", "1..64, got ", width_pixels);
  ContourCall call;
  call.inside_yx = inside_yx.contiguous();
  call.params = {rgb_hwc.data_ptr<uint8_t>(), call.inside_yx.const_data_ptr<bool>(), rgb_hwc.size(0), rgb_hwc.size(1),
                 width_pixels};
  return call;
}

EnvelopeCall envelope_call(const at::Tensor& samples_ct, const Columns& columns) {
  constexpr const char* op = "envelope";
  check_like(op, "samples_ct", samples_ct, at::kFloat,
             samples_ct.defined() ? samples_ct.device() : at::Device(at::kCPU));
  GAZE_CHECK(samples_ct.dim() == 2 && samples_ct.numel() > 0, op, "samples_ct",
             "[channels, samples] with at least one sample, got ", samples_ct.sizes());
  GAZE_CHECK(samples_ct.is_contiguous(), op, "samples_ct", "a contiguous tensor, got strides ", samples_ct.strides());
  check_columns(op, columns);
  const int64_t channels = samples_ct.size(0);
  GAZE_CHECK(channels <= kMostPixels / std::max<int64_t>(columns.count, 1), op, "columns.count", "at most ",
             kMostPixels, " columns of all channels, got ", columns.count, " of each of ", channels);
  EnvelopeCall call;
  call.out_ckw = at::empty({channels, 3, columns.count}, samples_ct.options());
  call.params = {samples_ct.const_data_ptr<float>(),
                 channels,
                 samples_ct.size(1),
                 columns.first,
                 columns.per_column,
                 columns.count,
                 call.out_ckw.data_ptr<float>()};
  return call;
}

kernels::WaveformParams waveform_params(const at::Tensor& envelope_ckw, double full_scale, const at::Tensor& out_hwc) {
  constexpr const char* op = "draw_waveform";
  check_like(op, "envelope_ckw", envelope_ckw, at::kFloat,
             envelope_ckw.defined() ? envelope_ckw.device() : at::Device(at::kCPU));
  check_plot(op, out_hwc, envelope_ckw.device());
  const int64_t height = out_hwc.size(0), width = out_hwc.size(1);
  GAZE_CHECK(envelope_ckw.dim() == 3 && envelope_ckw.size(0) >= 1 && envelope_ckw.size(1) == 3 &&
                 envelope_ckw.size(2) == width,
             op, "envelope_ckw", "[channels, 3, ", width, "] with at least one channel, got ", envelope_ckw.sizes());
  GAZE_CHECK(envelope_ckw.is_contiguous(), op, "envelope_ckw", "a contiguous tensor, got strides ",
             envelope_ckw.strides());
  GAZE_CHECK(height >= envelope_ckw.size(0), op, "out_hwc", "at least one row for each of ", envelope_ckw.size(0),
             " channels, got ", out_hwc.sizes());
  GAZE_CHECK(std::isfinite(full_scale) && full_scale > 0, op, "full_scale", "a finite number above 0, got ",
             full_scale);
  return {envelope_ckw.const_data_ptr<float>(), envelope_ckw.size(0), height, width, full_scale,
          out_hwc.mutable_data_ptr<uint8_t>()};
}

kernels::SpectrogramParams spectrogram_params(const at::Tensor& mel_mt, const Columns& columns,
                                              const at::Tensor& out_hwc) {
  constexpr const char* op = "draw_spectrogram";
  check_like(op, "mel_mt", mel_mt, at::kFloat, mel_mt.defined() ? mel_mt.device() : at::Device(at::kCPU));
  GAZE_CHECK(mel_mt.dim() == 2 && mel_mt.numel() > 0, op, "mel_mt", "[mels, frames] with at least one of each, got ",
             mel_mt.sizes());
  GAZE_CHECK(mel_mt.is_contiguous(), op, "mel_mt", "a contiguous tensor, got strides ", mel_mt.strides());
  check_plot(op, out_hwc, mel_mt.device());
  check_columns(op, columns);
  GAZE_CHECK(columns.count == out_hwc.size(1), op, "columns.count", "the ", out_hwc.size(1),
             " pixel columns of out_hwc, got ", columns.count);
  return {mel_mt.const_data_ptr<float>(),
          mel_mt.size(0),
          mel_mt.size(1),
          columns.first,
          columns.per_column,
          out_hwc.size(0),
          out_hwc.size(1),
          out_hwc.mutable_data_ptr<uint8_t>()};
}

}  // namespace gaze::ops

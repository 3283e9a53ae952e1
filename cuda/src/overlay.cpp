// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/ops/overlay.hpp>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "axis.hpp"
#include "check.hpp"
#include "colormap_tables.hpp"
#include "overlay_params.hpp"
#include "picture_checks.hpp"

namespace gaze::ops {
namespace {

void check_place(const char* op, const CellAffine& place) {
  GAZE_CHECK(std::isfinite(place.scale_x) && std::isfinite(place.offset_x) && std::isfinite(place.scale_y) &&
                 std::isfinite(place.offset_y),
             op, "place", "finite numbers, got ", place.scale_x, ", ", place.offset_x, ", ", place.scale_y, ", ",
             place.offset_y);
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
      const double s =
          value < options.alpha_full ? (value - options.alpha_start) / (options.alpha_full - options.alpha_start) : 1;
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
  GAZE_CHECK(options.most_sms >= 0, op, "options.most_sms", "0 (all) or more, got ", options.most_sms);
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
  p.most_sms = options.most_sms;
  return p;
}

at::Tensor overlay_levels(Colormap colormap, const BlendOptions& options) {
  at::Tensor levels_la = at::empty({kernels::kLevels, 4}, at::kByte);
  std::uint32_t level_rgba[kernels::kLevels];
  fill_levels(colormap, options, level_rgba);
  auto* byte = levels_la.mutable_data_ptr<uint8_t>();
  for (const std::uint32_t rgba : level_rgba) {
    for (int shift = 0; shift < 32; shift += 8) *byte++ = static_cast<uint8_t>(rgba >> shift);
  }
  return levels_la;
}

void overlay_out(const at::Tensor& rgb_hwc, const at::Tensor& value_yx, const std::optional<at::Tensor>& inside_yx,
                 const CellAffine& place, const OverlayOptions& options, at::Tensor& out_hwc) {
  const auto params = overlay_params(rgb_hwc, value_yx, inside_yx, place, options, out_hwc);
  kernels_for(rgb_hwc).overlay(params, rgb_hwc.get_device());
}

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
#include "paint.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace gaze {
namespace {

// Thin on a thumbnail, still visible on a 40-megapixel photograph.
int64_t line_width(const Placement& placement) {
  const auto shorter = static_cast<double>(std::min(placement.width, placement.height));
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(shorter / 200)), 1, 16);
}

// An outline must not hide the small cells it encloses.
int64_t contour_width(const Placement& placement) {
  const double cell = 1 / std::max(placement.affine.scale_x, placement.affine.scale_y);
  return std::clamp<int64_t>(static_cast<int64_t>(cell / 10), 1, line_width(placement));
}

// White and dark dashes in turn show on any picture. `line` is a view [along, across, 3].
void dash(const at::Tensor& line, int64_t length) {
  const int64_t along = line.size(0);
  at::Tensor pattern = at::empty({along, 1, 3}, at::kByte);
  auto* out = pattern.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < along; ++i) std::fill_n(out + 3 * i, 3, (i / length) % 2 == 0 ? uint8_t{245} : uint8_t{40});
  line.copy_(pattern);
}

// The dark outer edge of a contour may lie beyond what the model saw.
void restore_unseen(at::Tensor& rgb_hwc, const at::Tensor& base_hwc, const Placement::Seen& seen) {
  const auto restore = [&](int64_t axis, int64_t begin, int64_t end) {
    if (begin < end) rgb_hwc.slice(axis, begin, end).copy_(base_hwc.slice(axis, begin, end));
  };
  restore(0, 0, seen.top);
  restore(0, seen.bottom, rgb_hwc.size(0));
  restore(1, 0, seen.left);
  restore(1, seen.right, rgb_hwc.size(1));
}

void draw_seen_border(at::Tensor& rgb_hwc, const Placement& placement) {
  const Placement::Seen seen = placement.seen();
  const int64_t width = std::max<int64_t>(1, line_width(placement) / 2);
  const int64_t length = 6 * width;
  if (seen.right - seen.left < width || seen.bottom - seen.top < width) return;
  const at::Tensor inside = rgb_hwc.slice(0, seen.top, seen.bottom).slice(1, seen.left, seen.right);
  if (seen.left > 0) dash(inside.narrow(1, 0, width), length);
  if (seen.right < placement.width) dash(inside.narrow(1, inside.size(1) - width, width), length);
  if (seen.top > 0) dash(inside.narrow(0, 0, width).transpose(0, 1), length);
  if (seen.bottom < placement.height) dash(inside.narrow(0, inside.size(0) - width, width).transpose(0, 1), length);
}

// One axis of the grid over the pixels of a picture.
struct Axis {
  double scale, offset;
  int64_t cells, pixels;

  [[nodiscard]] double cell(int64_t pixel) const { return scale * (static_cast<double>(pixel) + 0.5) + offset; }
  [[nodiscard]] double pixel(double cell) const { return (cell - offset) / scale - 0.5; }
  [[nodiscard]] bool seen(int64_t pixel) const {
    return pixel >= 0 && pixel < pixels && cell(pixel) >= 0 && cell(pixel) < static_cast<double>(cells);
  }
  // First seen pixel, and one past the last; equal when none is.
  [[nodiscard]] std::pair<int64_t, int64_t> seen_range() const {
    auto first = static_cast<int64_t>(std::clamp(std::floor(pixel(0)), 0.0, static_cast<double>(pixels)));
    auto last = static_cast<int64_t>(
        std::clamp(std::ceil(pixel(static_cast<double>(cells))), -1.0, static_cast<double>(pixels - 1)));
    while (first < pixels && !seen(first)) ++first;
    while (last >= first && !seen(last)) --last;
    return {first, last + 1};
  }
};

std::pair<Axis, Axis> axes(const Placement& placement) {
  return {Axis{placement.affine.scale_x, placement.affine.offset_x, placement.cols, placement.width},
          Axis{placement.affine.scale_y, placement.affine.offset_y, placement.rows, placement.height}};
}

// A sample position on one axis: value = (1 - t) map[low] + t map[high].
struct Sample {
  int64_t pixel, low, high;
  double t;
};

// Between neighbouring cell centres the resampled value is monotonous along an axis, so its maximum lies beside a
// centre or at the border of what is seen. Centres come first: a plateau towards the border must not win.
std::vector<Sample> candidates(const Axis& axis, ops::Interpolation interpolation) {
  std::vector<int64_t> pixels;
  for (int64_t cell = 0; cell < axis.cells; ++cell) {
    const double centre = axis.pixel(static_cast<double>(cell) + 0.5);
    pixels.push_back(static_cast<int64_t>(std::floor(centre)));
    pixels.push_back(static_cast<int64_t>(std::ceil(centre)));
  }
  const auto [first, end] = axis.seen_range();
  pixels.push_back(first);
  pixels.push_back(end - 1);
  std::vector<Sample> samples;
  std::set<int64_t> known;
  for (const int64_t pixel : pixels) {
    if (!axis.seen(pixel) || !known.insert(pixel).second) continue;
    const double cell = axis.cell(pixel);
    if (interpolation == ops::Interpolation::Exact) {
      const auto low = static_cast<int64_t>(std::floor(cell));
      samples.push_back({pixel, low, low, 0.0});
    } else {
      const double centred = std::clamp(cell - 0.5, 0.0, static_cast<double>(axis.cells - 1));
      const auto low = static_cast<int64_t>(std::floor(centred));
      samples.push_back({pixel, low, std::min(low + 1, axis.cells - 1), centred - static_cast<double>(low)});
    }
  }
  return samples;
}

// 5 x 7 pixels per letter, one row of 5 bits each.
constexpr uint8_t kDiffuse[7][7] = {
    {0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110},  // D
    {0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110},  // I
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000},  // F
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000},  // F
    {0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110},  // U
    {0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110},  // S
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111},  // E
};
constexpr int64_t kStampWidth = 7 * 6 + 7, kStampHeight = 7 + 6;  // letters, a column between them, 4 and 3 around

at::Tensor make_stamp() {
  at::Tensor stamp_hwc = at::empty({kStampHeight, kStampWidth, 3}, at::kByte);
  auto* out = stamp_hwc.mutable_data_ptr<uint8_t>();
  std::fill_n(out, stamp_hwc.numel(), uint8_t{32});
  for (int64_t letter = 0; letter < 7; ++letter) {
    for (int64_t y = 0; y < 7; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        if ((kDiffuse[letter][y] >> (4 - x) & 1) == 0) continue;
        std::fill_n(out + 3 * ((y + 3) * kStampWidth + 4 + 6 * letter + x), 3, uint8_t{245});
      }
    }
  }
  return stamp_hwc;
}

}  // namespace

Placement::Seen Placement::seen() const {
  const auto [x, y] = axes(*this);
  const auto [left, right] = x.seen_range();
  const auto [top, bottom] = y.seen_range();
  return {left, right, top, bottom};
}

Placement place_scaled(const Geometry& geometry, int64_t original_width, int64_t original_height, int64_t width,
                       int64_t height) {
  ops::CellAffine affine = place(geometry, original_width, original_height);
  affine.scale_x *= static_cast<double>(original_width) / static_cast<double>(width);
  affine.scale_y *= static_cast<double>(original_height) / static_cast<double>(height);
  return {geometry.rows, geometry.cols, affine, width, height};
}

at::Tensor paint(const at::Tensor& base_hwc, const Layer& layer, const Placement& placement, const Style& style) {
  const int64_t rows = placement.rows;
  const int64_t cols = placement.cols;
  at::Tensor rgb_hwc;
  if (layer.diffuse) {
    rgb_hwc = base_hwc.clone();
  } else {
    const at::Tensor value_yx = ops::resample(layer.value_c.view({rows, cols}), placement.affine, placement.height,
                                              placement.width, style.interpolation);
    rgb_hwc = ops::blend(base_hwc, ops::colour(value_yx, style.colormap), value_yx, style.blend);
    if (style.contour) {
      const at::Tensor inside_c = ops::top_mass(layer.shown_c.unsqueeze(0), style.contour_share);
      const at::Tensor inside_yx = ops::resample(inside_c.view({rows, cols}).to(at::kFloat), placement.affine,
                                                 placement.height, placement.width, ops::Interpolation::Exact);
      ops::contour(rgb_hwc, inside_yx > 0.5, contour_width(placement));
      restore_unseen(rgb_hwc, base_hwc, placement.seen());
    }
  }
  draw_seen_border(rgb_hwc, placement);
  if (layer.diffuse) stamp_diffuse(rgb_hwc);
  return rgb_hwc;
}

void stamp_diffuse(at::Tensor& rgb_hwc) {
  const int64_t height = rgb_hwc.size(0);
  const int64_t width = rgb_hwc.size(1);
  // About a sixth of the width, in whole pixels per dot.
  const int64_t dot = std::max<int64_t>(1, width / (6 * kStampWidth));
  const int64_t margin = 3 * dot;
  if (kStampWidth * dot + margin > width || kStampHeight * dot + margin > height) return;
  const at::Tensor stamp_hwc = make_stamp().repeat_interleave(dot, 0).repeat_interleave(dot, 1);
  rgb_hwc.narrow(0, height - margin - stamp_hwc.size(0), stamp_hwc.size(0))
      .narrow(1, margin, stamp_hwc.size(1))
      .copy_(stamp_hwc);
}

std::optional<Pixel> hottest(const at::Tensor& shown_c, const Placement& placement, ops::Interpolation interpolation) {
  const at::Tensor map_c = shown_c.to(at::kCPU, at::kFloat).contiguous();
  const auto* map = map_c.const_data_ptr<float>();
  const auto [axis_x, axis_y] = axes(placement);
  const std::vector<Sample> xs = candidates(axis_x, interpolation);
  const std::vector<Sample> ys = candidates(axis_y, interpolation);
  const auto mix = [](double low, double high, double t) { return low + (high - low) * t; };
  std::optional<Pixel> best;
  double best_value = 0;
  for (const Sample& y : ys) {
    const float* top = map + y.low * placement.cols;
    const float* bottom = map + y.high * placement.cols;
    for (const Sample& x : xs) {
      const double value = mix(mix(top[x.low], top[x.high], x.t), mix(bottom[x.low], bottom[x.high], x.t), y.t);
      if (value <= best_value) continue;
      best_value = value;
      best = Pixel{x.pixel, y.pixel};
    }
  }
  return best;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "picture/scaled.hpp"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace gaze {
namespace {

// Calls `visit(position, share)` for what lies under place `i` of `to` places over `from` positions.
template <typename Visit>
void for_area(int64_t i, int64_t from, int64_t to, Visit visit) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double begin = static_cast<double>(i) * scale, end = static_cast<double>(i + 1) * scale;
  const auto last = std::min(from, static_cast<int64_t>(std::ceil(end)));
  for (auto position = static_cast<int64_t>(begin); position < last; ++position) {
    const auto low = static_cast<double>(position);
    const double share = (std::min(low + 1, end) - std::max(low, begin)) / scale;
    if (share > 0) visit(position, static_cast<float>(share));
  }
}

// What lies under each place of a line: positions from `first` on, with their shares.
struct Areas {
  Areas(int64_t from, int64_t to) {
    starts.reserve(static_cast<size_t>(to) + 1);
    for (int64_t i = 0; i < to; ++i) {
      starts.push_back(shares.size());
      first.push_back(
          static_cast<int64_t>(static_cast<double>(i) * static_cast<double>(from) / static_cast<double>(to)));
      for_area(i, from, to, [&](int64_t position, float share) {
        if (shares.size() == starts.back()) first.back() = position;
        shares.push_back(share);
      });
    }
    starts.push_back(shares.size());
  }
  std::vector<int64_t> first;
  std::vector<size_t> starts;
  std::vector<float> shares;
};

// Adds to `line` what lies under row `y` of `height`. Most rows lie there whole: they are added as integers, which is
// several times as fast: in `whole`, which is as long as a row, and 0 before and after.
void add_rows(const at::Tensor& rgb_hwc, int64_t y, int64_t height, std::vector<uint16_t>& whole, float* line) {
  constexpr int kMostRows = 65535 / 255;
  const auto* from = rgb_hwc.const_data_ptr<uint8_t>();
  const auto whole_share = static_cast<float>(static_cast<double>(height) / static_cast<double>(rgb_hwc.size(0)));
  int rows = 0;
  const auto add_whole = [&] {
    for (size_t i = 0; i < whole.size(); ++i) line[i] += whole_share * static_cast<float>(whole[i]);
    std::fill(whole.begin(), whole.end(), uint16_t{0});
    rows = 0;
  };
  for_area(y, rgb_hwc.size(0), height, [&](int64_t row, float share) {
    const uint8_t* row_x = from + row * static_cast<int64_t>(whole.size());
    if (share < whole_share) {
      for (size_t i = 0; i < whole.size(); ++i) line[i] += share * static_cast<float>(row_x[i]);
      return;
    }
    for (size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<uint16_t>(whole[i] + row_x[i]);
    if (++rows == kMostRows) add_whole();
  });
  if (rows > 0) add_whole();
}

// As std::nearbyint, which is a call; of values that a picture has.
float half_to_even(float value) {
  constexpr float kWhole = 0x1.8p23F;  // above it floats have no fractions
  return (value + kWhole) - kWhole;
}

at::Tensor shrink_on_host(const at::Tensor& rgb_hwc, int64_t height, int64_t width) {
  const int64_t from_width = rgb_hwc.size(1);
  at::Tensor small_hwc = at::empty({height, width, 3}, rgb_hwc.options());
  auto* to = small_hwc.data_ptr<uint8_t>();
  const Areas columns(from_width, width);
  // One value more: a pixel is read as four, which the processor adds at once.
  std::vector<float> line(static_cast<size_t>(3 * from_width + 1));
  std::vector<uint16_t> whole(line.size() - 1);
  for (int64_t y = 0; y < height; ++y) {
    std::fill(line.begin(), line.end(), 0.F);
    add_rows(rgb_hwc, y, height, whole, line.data());
    for (size_t x = 0; x < static_cast<size_t>(width); ++x, to += 3) {
      const float* rgb = line.data() + 3 * columns.first[x];
      float sum[4] = {};
      for (size_t i = columns.starts[x]; i < columns.starts[x + 1]; ++i, rgb += 3) {
        for (size_t c = 0; c < 4; ++c) sum[c] += columns.shares[i] * rgb[c];
      }
      for (size_t c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(std::clamp(half_to_even(sum[c]), 0.F, 255.F));
    }
  }
  return small_hwc;
}

}  // namespace

PictureSize fitted(const PictureSize& whole, int64_t longest_side_pixels) {
  const int64_t longest = std::max(whole.width, whole.height);
  if (longest_side_pixels <= 0 || longest <= longest_side_pixels) return whole;
  const auto side = [&](int64_t extent) { return std::max<int64_t>(1, extent * longest_side_pixels / longest); };
  return {side(whole.width), side(whole.height)};
}

at::Tensor scale_picture(const at::Tensor& rgb_hwc, int64_t height, int64_t width) {
  const bool shrinks = height < rgb_hwc.size(0) || width < rgb_hwc.size(1);
  if (shrinks && rgb_hwc.is_cpu()) return shrink_on_host(rgb_hwc, height, width);
  const at::Tensor picture = rgb_hwc.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat).contiguous();
  const at::Tensor scaled = shrinks ? at::adaptive_avg_pool2d(picture, {height, width})
                                    : at::upsample_bicubic2d(picture, {height, width}, false);
  return scaled.squeeze(0).permute({1, 2, 0}).round().clamp(0, 255).to(at::kByte).contiguous();
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What the threads of a block that draws an overlay share: what each level makes of a byte, and where its rows lie on
// the grid.
#pragma once

#include "axis.hpp"
#include "cuda/device.cuh"

namespace gaze::kernels::cuda::overlay_block {

constexpr int kMostRows = 64;  ///< whose places fit shared memory at once

/// Sides and grids are of less than 2^31 pixels and cells.
__device__ inline std::int32_t short_of(std::int64_t n) { return static_cast<std::int32_t>(n); }

/// A blended byte is (base * keep + add) >> 16: twice the terms of base + (((colour - base) * a15 + 16384) >> 15).
struct alignas(16) Entry {
  std::uint32_t add[3];
  std::uint32_t keep;  ///< 16 bits
};

/// Behind the levels: what is drawn instead of one.
constexpr int kUnseen = kLevels, kLight = kLevels + 1, kDark = kLevels + 2, kDashLight = kLevels + 3,
              kDashDark = kLevels + 4, kEntries = kLevels + 5;

enum RowEvent : std::uint32_t {
  kRowUnseen = 1,
  kRowNew = 2,     ///< other cells than those of the row above
  kRowBorder = 4,  ///< some of its pixels may lie in the border
};

/// Cells around a pixel along one axis.
struct Reach {
  std::int32_t first, own, last;
  __device__ bool operator!=(const Reach& o) const { return first != o.first || own != o.own || last != o.last; }
};

/// What all threads of a block need.
struct Shared {
  Entry entry[kEntries];
  struct Step {
    float share;
    std::uint32_t events;
  } row[kMostRows];
  std::int32_t low[kMostRows], high[kMostRows];
  Reach reach[kMostRows];  ///< with a contour
  std::int32_t y0;         ///< of the first of these rows
};

__device__ inline Entry blended(std::uint32_t rgba) {
  const std::uint32_t alpha = rgba >> 24, a15 = 128 * alpha + (alpha >> 1);
  const auto add = [&](int channel) { return 2 * ((rgba >> (8 * channel) & 0xffu) * a15 + 16384); };
  // 65536 has a bit too many; with 65535 a byte stays what it is as well.
  return {{add(0), add(1), add(2)}, a15 == 0 ? 65535 : 65536 - 2 * a15};
}

__device__ inline Entry grey(std::uint32_t level) { return {{level << 16, level << 16, level << 16}, 0}; }

__device__ inline float level_of_cell(const OverlayParams& p, std::int32_t row, std::int32_t col) {
  const float v = p.value_yx[row * short_of(p.cols) + col];
  return __fmul_rn(fminf(fmaxf(v, 0.0f), 1.0f), static_cast<float>(kLevels - 1));  // of NaN and 0 the greater is 0
}

/// Each step rounded, as on the CPU.
__device__ inline float lerp_rounded(float low, float high, float share) {
  return __fadd_rn(low, __fmul_rn(share, __fadd_rn(high, -low)));
}

__device__ inline Reach reach_of(double scale, double offset, std::int32_t pixel, const OverlayParams& p,
                                 std::int64_t pixels, std::int64_t cells) {
  const std::int32_t reach = short_of(p.reach), end = short_of(pixels) - 1;
  const std::int32_t first = pixel > reach ? pixel - reach : 0, last = pixel + reach < end ? pixel + reach : end;
  const auto cell_of = [&](std::int32_t at) {
    return static_cast<std::int32_t>(cell(place(scale, offset, at), cells));
  };
  const std::int32_t a = cell_of(first), b = cell_of(last);  // a mirrored grid has them the other way round
  return {a < b ? a : b, cell_of(pixel), a < b ? b : a};
}

/// As axis.hpp's tap, for less than 2^31 cells, and for places off the grid some tap on it; conversions to and from
/// double are slow.
struct ShortTap {
  std::int32_t low, high;
  float share;
  __device__ ShortTap(double place, std::int32_t cells, bool exact) {
    const double last = static_cast<double>(cells - 1);
    double centre = place - (exact ? 0.0 : 0.5);
    centre = centre < 0 ? 0 : centre > last ? last : centre;
    constexpr double kWhole = 4503599627370496.0;  // 2^52: numbers from there on have no fraction
    const double floor = __dadd_rz(centre, kWhole);
    low = __double2loint(floor);
    high = !exact && low + 1 < cells ? low + 1 : low;
    share = exact ? 0.0f : static_cast<float>(centre - (floor - kWhole));
  }
};

/// How a row of the picture lies on the grid.
struct RowPlace {
  std::int32_t low = -1, high = -1;
  float share = 0;
  Reach reach = {-2, -2, -2};
  __device__ RowPlace(const OverlayParams& p, std::int32_t y) {
    const double at = place(p.scale_y, p.offset_y, y);
    if (!(at >= 0 && at < static_cast<double>(p.rows))) return;
    const ShortTap tap(at, short_of(p.rows), p.exact);
    low = tap.low;
    high = tap.high;
    share = tap.share;
    if (p.inside_yx != nullptr) reach = reach_of(p.scale_y, p.offset_y, y, p, p.height, p.rows);
  }
};

__device__ inline bool in_border_row(const OverlayParams& p, std::int32_t y) {
  return p.border_width > 0 && ((p.seen_top > 0 && y >= p.seen_top && y < p.seen_top + p.border_width) ||
                                (p.seen_bottom < p.height && y >= p.seen_bottom - p.border_width && y < p.seen_bottom));
}

/// The parameters' memory by its address: read as parameters, different words for the threads of a warp come one after
/// the other.
__device__ inline const std::uint32_t* by_address(const std::uint32_t* levels) {
#ifdef __CUDACC__
  asm("" : "+l"(levels));
#endif
  return levels;
}

__device__ inline void fill_entries(Shared& shared, const std::uint32_t* level_rgba) {
  constexpr int kEach = 4;  // loaded at once
  const int threads = static_cast<int>(blockDim.x);
  for (int first = static_cast<int>(threadIdx.x); first < kLevels; first += kEach * threads) {
    std::uint32_t rgba[kEach] = {};
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (first + i * threads < kLevels) rgba[i] = level_rgba[first + i * threads];
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (first + i * threads < kLevels) shared.entry[first + i * threads] = blended(rgba[i]);
    }
  }
  if (threadIdx.x != 0) return;
  shared.entry[kUnseen] = blended(0);
  shared.entry[kLight] = grey(255);
  shared.entry[kDark] = grey(32);
  shared.entry[kDashLight] = grey(245);
  shared.entry[kDashDark] = grey(40);
}

__device__ inline void fill_rows(Shared& shared, const OverlayParams& p, std::int32_t y0, int rows) {
  if (threadIdx.x == 0) shared.y0 = y0;
  for (int r = static_cast<int>(threadIdx.x); r < rows; r += static_cast<int>(blockDim.x)) {
    const RowPlace row(p, y0 + r);
    std::uint32_t events = row.low < 0 ? kRowUnseen : r == 0 ? kRowNew : 0u;
    if (events == 0) {
      const RowPlace above(p, y0 + r - 1);
      if (row.low != above.low || row.high != above.high || row.reach != above.reach) events = kRowNew;
    }
    if (p.border_width > 0) events |= kRowBorder;
    shared.row[r] = {row.share, events};
    shared.low[r] = row.low;
    shared.high[r] = row.high;
    shared.reach[r] = row.reach;
  }
}

}  // namespace gaze::kernels::cuda::overlay_block

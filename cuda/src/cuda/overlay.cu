// SPDX-License-Identifier: MIT
// A thread owns some columns and walks down a strip of rows: what depends on the column is computed once, what depends
// on the grid's row when that changes. Left for every pixel: one interpolation, one table lookup, one blend.
#include "axis.hpp"
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::uint32_t kLight = 255, kDark = 32, kDashLight = 245, kDashDark = 40;
constexpr std::int64_t kWantedThreads = 132 * 1024;  ///< enough to keep a large GPU's memory busy
constexpr std::int64_t kMostRows = 16;

__device__ float level_of_cell(const OverlayParams& p, std::int64_t row, std::int64_t col) {
  const float v = p.value_yx[row * p.cols + col];
  return __fmul_rn(v > 0 ? (v < 1 ? v : 1.0f) : 0.0f, static_cast<float>(kLevels - 1));  // NaN is not above 0
}

/// Each step rounded, as on the CPU.
__device__ float lerp_rounded(float low, float high, float share) {
  return __fadd_rn(low, __fmul_rn(share, __fadd_rn(high, -low)));
}

/// The grid's rows around a row of the picture.
struct Row : Tap {
  bool seen;
  __device__ Row(const OverlayParams& p, std::int64_t y) {
    const double at = place(p.scale_y, p.offset_y, y);
    seen = at >= 0 && at < static_cast<double>(p.rows);
    if (seen) static_cast<Tap&>(*this) = tap(at, p.rows, p.exact);
  }
};

/// Cells around a pixel along one axis.
struct Reach {
  std::int32_t first, own, last;
  __device__ bool operator!=(const Reach& o) const { return first != o.first || own != o.own || last != o.last; }
};

__device__ Reach reach_of(double scale, double offset, std::int64_t pixel, std::int64_t reach, std::int64_t pixels,
                          std::int64_t cells) {
  const std::int64_t first = pixel > reach ? pixel - reach : 0;
  const std::int64_t last = pixel + reach < pixels - 1 ? pixel + reach : pixels - 1;
  const auto cell_of = [&](std::int64_t at) {
    return static_cast<std::int32_t>(cell(place(scale, offset, at), cells));
  };
  const std::int32_t a = cell_of(first), b = cell_of(last);  // a mirrored grid has them the other way round
  return {a < b ? a : b, cell_of(pixel), a < b ? b : a};
}

/// N neighbouring columns. Taps are not kept but found again when the grid's row changes: registers are short.
template <int N>
struct Columns {
  const OverlayParams& p;
  std::int64_t x0;
  std::uint32_t seen = 0;              ///< one bit per column
  std::uint32_t border = 0;            ///< lies in the left or right line
  float above[N] = {}, below[N] = {};  ///< levels on the two grid rows around the picture's row
  std::int64_t grid_low = -1, grid_high = -1;
  Reach grid_reach = {-2, -2, -2};
  std::uint32_t edge = 0, light = 0;

  __device__ Columns(const OverlayParams& params, std::int64_t first) : p(params), x0(first) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const std::int64_t x = x0 + i;
      const std::int64_t col = cell(place(p.scale_x, p.offset_x, x), p.cols);
      seen |= (col >= 0 && col < p.cols ? 1u : 0u) << i;
      const bool left = p.seen_left > 0 && x >= p.seen_left && x < p.seen_left + p.border_width;
      const bool right = p.seen_right < p.width && x >= p.seen_right - p.border_width && x < p.seen_right;
      border |= (left || right ? 1u : 0u) << i;
    }
  }

  __device__ void enter_row(const Row& row, std::int64_t y) {
    if (row.low != grid_low || row.high != grid_high) {
      grid_low = row.low;
      grid_high = row.high;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if ((seen >> i & 1u) == 0) continue;
        const Tap col = tap(place(p.scale_x, p.offset_x, x0 + i), p.cols, p.exact);
        above[i] = lerp_rounded(level_of_cell(p, row.low, col.low), level_of_cell(p, row.low, col.high), col.share);
        below[i] = lerp_rounded(level_of_cell(p, row.high, col.low), level_of_cell(p, row.high, col.high), col.share);
      }
    }
    if (p.inside_yx == nullptr) return;
    const Reach rows = reach_of(p.scale_y, p.offset_y, y, p.reach, p.height, p.rows);
    if (!(rows != grid_reach)) return;
    grid_reach = rows;
    edge = light = 0;
#pragma unroll 1
    for (int i = 0; i < N; ++i) {
      if ((seen >> i & 1u) == 0) continue;
      const Reach cols = reach_of(p.scale_x, p.offset_x, x0 + i, p.reach, p.width, p.cols);
      bool any = false, all = true;
      for (std::int64_t r = rows.first; r <= rows.last; ++r) {
        for (std::int64_t c = cols.first; c <= cols.last; ++c) {
          const bool inside = r >= 0 && r < p.rows && c >= 0 && c < p.cols && p.inside_yx[r * p.cols + c];
          any |= inside;
          all &= inside;
        }
      }
      if (any == all) continue;
      edge |= 1u << i;
      light |= (p.inside_yx[rows.own * p.cols + cols.own] ? 1u : 0u) << i;
    }
  }

  /// True: the pixel is a grey of its own.
  __device__ bool shade(int i, std::int64_t y, bool row_border, std::uint32_t& grey) const {
    const std::int64_t x = x0 + i;
    if (row_border && x >= p.seen_left && x < p.seen_right) {
      grey = (x - p.seen_left) / p.border_length % 2 == 0 ? kDashLight : kDashDark;
      return true;
    }
    if ((border >> i & 1u) != 0 && y >= p.seen_top && y < p.seen_bottom) {
      grey = (y - p.seen_top) / p.border_length % 2 == 0 ? kDashLight : kDashDark;
      return true;
    }
    grey = (light >> i & 1u) != 0 ? kLight : kDark;
    return (edge >> i & 1u) != 0;
  }
};

__device__ std::uint32_t mix(std::uint32_t base, std::uint32_t colour, std::int32_t a15) {
  const std::int32_t b = static_cast<std::int32_t>(base);
  return static_cast<std::uint32_t>(b + (((static_cast<std::int32_t>(colour) - b) * a15 + 16384) >> 15));
}

/// Bytes [0, 3 N) of `base` become those of the frame; byte j lies in word j / 4.
template <int N, int Words>
__device__ void draw(const Columns<N>& columns, const Row& row, std::int64_t y, const std::uint32_t* level_rgba,
                     const std::uint32_t (&base)[Words], std::uint32_t (&out)[Words]) {
  const OverlayParams& p = columns.p;
  const bool row_border =
      p.border_width > 0 && ((p.seen_top > 0 && y >= p.seen_top && y < p.seen_top + p.border_width) ||
                             (p.seen_bottom < p.height && y >= p.seen_bottom - p.border_width && y < p.seen_bottom));
  const bool plain = columns.edge == 0 && columns.border == 0 && !row_border;
#pragma unroll
  for (int w = 0; w < Words; ++w) out[w] = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    std::uint32_t rgba = 0;
    if (row.seen && (columns.seen >> i & 1u) != 0) {
      const float level = lerp_rounded(columns.above[i], columns.below[i], row.share);
      rgba = level_rgba[static_cast<int>(__fadd_rn(level, 0.5f))];
    }
    const std::int32_t alpha = static_cast<std::int32_t>(rgba >> 24);
    const std::int32_t a15 = 128 * alpha + (alpha >> 1);
    std::uint32_t grey = 0;
    const bool shaded = !plain && columns.shade(i, y, row_border, grey) && row.seen && (columns.seen >> i & 1u) != 0;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const int at = 3 * i + c;
      const std::uint32_t b = base[at / 4] >> (8 * (at % 4)) & 0xffu;
      const std::uint32_t mixed = shaded ? grey : mix(b, rgba >> (8 * c) & 0xffu, a15);
      out[at / 4] |= mixed << (8 * (at % 4));
    }
  }
}

/// Segments of 16 bytes: 6 pixels, the first and last of which may be shared with the neighbours.
__device__ void draw_wide(const OverlayParams& p, std::int64_t segment, std::int64_t y0, std::int64_t y1,
                          const std::uint32_t* level_rgba) {
  const unsigned phase = static_cast<unsigned>(segment % 3);  // channels of the first pixel that lie before the segment
  Columns<6> columns(p, 16 * segment / 3);
  const std::int64_t pitch = 3 * p.width;
  const std::uint8_t* from = p.rgb + y0 * pitch + 16 * segment;
  std::uint8_t* to = p.out_rgb + y0 * pitch + 16 * segment;
  const unsigned shift = 8 * phase;
  uint4 next = *reinterpret_cast<const uint4*>(from);
  for (std::int64_t y = y0; y < y1; ++y) {
    const uint4 in = next;
    from += pitch;
    if (y + 1 < y1) next = *reinterpret_cast<const uint4*>(from);
    const Row row(p, y);
    if (row.seen) columns.enter_row(row, y);
    const std::uint32_t base[5] = {in.x << shift, __funnelshift_l(in.x, in.y, shift),
                                   __funnelshift_l(in.y, in.z, shift), __funnelshift_l(in.z, in.w, shift),
                                   __funnelshift_l(in.w, 0u, shift)};
    std::uint32_t out[5];
    draw<6>(columns, row, y, level_rgba, base, out);
    *reinterpret_cast<uint4*>(to) =
        make_uint4(__funnelshift_r(out[0], out[1], shift), __funnelshift_r(out[1], out[2], shift),
                   __funnelshift_r(out[2], out[3], shift), __funnelshift_r(out[3], out[4], shift));
    to += pitch;
  }
}

__device__ void draw_narrow(const OverlayParams& p, std::int64_t x, std::int64_t y0, std::int64_t y1,
                            const std::uint32_t* level_rgba) {
  Columns<1> columns(p, x);
  for (std::int64_t y = y0; y < y1; ++y) {
    const std::int64_t at = 3 * (y * p.width + x);
    const Row row(p, y);
    if (row.seen) columns.enter_row(row, y);
    const std::uint32_t base[1] = {p.rgb[at] | static_cast<std::uint32_t>(p.rgb[at + 1]) << 8 |
                                   static_cast<std::uint32_t>(p.rgb[at + 2]) << 16};
    std::uint32_t out[1];
    draw<1>(columns, row, y, level_rgba, base, out);
    for (int c = 0; c < 3; ++c) p.out_rgb[at + c] = static_cast<std::uint8_t>(out[0] >> (8 * c));
  }
}

template <bool Wide>
__global__ void __launch_bounds__(kThreads)
    draw_overlay(const __grid_constant__ OverlayParams p, std::int64_t segments, std::int64_t strip_rows) {
  __shared__ std::uint32_t level_rgba[kLevels];
  for (int i = static_cast<int>(threadIdx.x); i < kLevels; i += kThreads) level_rgba[i] = p.level_rgba[i];
  __syncthreads();
  const std::int64_t id = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t y0 = id / segments * strip_rows;
  if (y0 >= p.height) return;
  const std::int64_t y1 = y0 + strip_rows < p.height ? y0 + strip_rows : p.height;
  if constexpr (Wide) {
    draw_wide(p, id % segments, y0, y1, level_rgba);
  } else {
    draw_narrow(p, id % segments, y0, y1, level_rgba);
  }
}

}  // namespace

int overlay(const OverlayParams& p, Stream stream) {
  const bool wide = 3 * p.width % 16 == 0 && reinterpret_cast<std::uintptr_t>(p.rgb) % 16 == 0 &&
                    reinterpret_cast<std::uintptr_t>(p.out_rgb) % 16 == 0;
  const std::int64_t segments = wide ? 3 * p.width / 16 : p.width;
  std::int64_t strip_rows = segments * p.height / kWantedThreads;
  strip_rows = strip_rows < 1 ? 1 : strip_rows > kMostRows ? kMostRows : strip_rows;
  const std::int64_t threads = segments * divide_up(p.height, strip_rows);
  return start(wide ? draw_overlay<true> : draw_overlay<false>, grid_of(divide_up(threads, kThreads)), kThreads, 0,
               stream_of(stream), p, segments, strip_rows);
}

}  // namespace gaze::kernels::cuda

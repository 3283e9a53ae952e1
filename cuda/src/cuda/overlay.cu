// SPDX-License-Identifier: MIT
// A block owns some columns and walks down a strip of rows. What a row needs is found once for its threads, what a
// column needs where the grid's row changes. Left for every pixel: one interpolation, one table lookup, one blend.
#include <atomic>

#include "cuda/overlay_block.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
using namespace overlay_block;

/// The third byte of either.
__device__ std::uint32_t third_bytes(std::uint32_t first, std::uint32_t second) {
  return __byte_perm(first, second, 0x0062);
}

/// The bytes of one thread and row, in memory and in words. Those of one pixel need no alignment.
template <int Bytes>
struct Pack {
  static constexpr int kWords = (Bytes + 3) / 4;
  std::uint32_t word[kWords];

  __device__ void load(const std::uint8_t* from) {
    if constexpr (Bytes == 16) {
      const uint4 all = *reinterpret_cast<const uint4*>(from);
      word[0] = all.x, word[1] = all.y, word[2] = all.z, word[3] = all.w;
    } else if constexpr (Bytes == 4) {
      word[0] = *reinterpret_cast<const std::uint32_t*>(from);
    } else {
      word[0] = from[0] | static_cast<std::uint32_t>(from[1]) << 8 | static_cast<std::uint32_t>(from[2]) << 16;
    }
  }
  __device__ void store(std::uint8_t* to) const {
    if constexpr (Bytes == 16) {
      *reinterpret_cast<uint4*>(to) = make_uint4(word[0], word[1], word[2], word[3]);
    } else if constexpr (Bytes == 4) {
      *reinterpret_cast<std::uint32_t*>(to) = word[0];
    } else {
      for (int c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>(word[0] >> (8 * c));
    }
  }
};

/// The pixels that a pack of bytes touches. The first and last may be shared with the neighbours, whose bytes are made
/// and not kept.
template <int Bytes>
struct Columns {
  static constexpr int kPixels = Bytes == 3 ? 1 : (Bytes + 4) / 3;
  static constexpr int kWords = (3 * kPixels + 3) / 4;
  const OverlayParams& p;
  const Shared& shared;
  std::int32_t x0;
  unsigned shift;                         ///< of the first pixel's channels that lie before the pack, in bits
  std::uint32_t seen = 0;                 ///< one bit per pixel
  std::uint32_t border = 0;               ///< lies in the left or right line
  float above[kPixels], change[kPixels];  ///< levels on the two grid rows around the picture's row: the first, and from
                                          ///< there to the second

  __device__ Columns(const OverlayParams& params, const Shared& from, std::int32_t pack)
      : p(params), shared(from), x0(Bytes == 3 ? pack : Bytes * pack / 3), shift(Bytes == 3 ? 0 : pack % 3 * 8) {
    if (p.border_width == 0) return;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const std::int64_t x = x0 + i;
      const bool left = p.seen_left > 0 && x >= p.seen_left && x < p.seen_left + p.border_width;
      const bool right = p.seen_right < p.width && x >= p.seen_right - p.border_width && x < p.seen_right;
      border |= (left || right ? 1u : 0u) << i;
    }
  }

  /// Words whose first byte is the first pixel's.
  __device__ void spread(const Pack<Bytes>& pack, std::uint32_t (&bytes)[kWords]) const {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      bytes[w] = __funnelshift_l(w == 0 ? 0 : pack.word[w - 1], w < Pack<Bytes>::kWords ? pack.word[w] : 0, shift);
    }
  }
  __device__ Pack<Bytes> gather(const std::uint32_t (&bytes)[kWords]) const {
    Pack<Bytes> pack;
#pragma unroll
    for (int w = 0; w < Pack<Bytes>::kWords; ++w) {
      pack.word[w] = __funnelshift_r(bytes[w], w + 1 < kWords ? bytes[w + 1] : 0, shift);
    }
    return pack;
  }

  /// For a row whose cells are others than those of the row above.
  __device__ void enter(int r) {
    const std::int32_t low = shared.low[r], high = shared.high[r], cols = short_of(p.cols);
    const double middle = static_cast<double>(x0) + 0.5;
    std::int32_t col_low[kPixels], col_high[kPixels];
    float share[kPixels];
    seen = 0;
    // Without a branch, so that the cells of all pixels are loaded at once; a grid row at a time is what fits
    // registers.
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const double at = __dadd_rn(__dmul_rn(p.scale_x, middle + i), p.offset_x);
      const ShortTap col(at, cols, p.exact);
      col_low[i] = col.low;
      col_high[i] = col.high;
      share[i] = col.share;
      seen |= (at >= 0 && at < static_cast<double>(cols) ? 1u : 0u) << i;
    }
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      above[i] = lerp_rounded(level_of_cell(p, low, col_low[i]), level_of_cell(p, low, col_high[i]), share[i]);
    }
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const float below =
          lerp_rounded(level_of_cell(p, high, col_low[i]), level_of_cell(p, high, col_high[i]), share[i]);
      change[i] = __fadd_rn(below, -above[i]);
    }
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      if ((seen >> i & 1u) != 0) continue;
      above[i] = kUnseen;
      change[i] = 0;
    }
    if (p.inside_yx != nullptr) outline(shared.reach[r]);
  }

  /// Some but not all of the cells are inside.
  __device__ bool mixed(const Reach& rows, std::int32_t first, std::int32_t last) const {
    bool any = false, all = true;
    for (std::int32_t row = rows.first; row <= rows.last; ++row) {
      for (std::int32_t col = first; col <= last; ++col) {
        const bool inside =
            row >= 0 && row < p.rows && col >= 0 && col < p.cols && p.inside_yx[row * short_of(p.cols) + col];
        any |= inside;
        all &= inside;
      }
    }
    return any != all;
  }

  /// Seen pixels at an edge of what is inside get a grey until the cells change.
  __device__ void outline(const Reach& rows) {
    const Reach left = reach_of(p.scale_x, p.offset_x, x0, p, p.width, p.cols);
    const Reach right = reach_of(p.scale_x, p.offset_x, x0 + kPixels - 1, p, p.width, p.cols);
    // Where the cells around all the pixels are alike, those around each are.
    if (!mixed(rows, left.first < right.first ? left.first : right.first,
               left.last > right.last ? left.last : right.last))
      return;
    std::uint32_t edge = 0, light = 0;
#pragma unroll 1
    for (int i = 0; i < kPixels; ++i) {
      const Reach cols = reach_of(p.scale_x, p.offset_x, x0 + i, p, p.width, p.cols);
      if ((seen >> i & 1u) == 0 || !mixed(rows, cols.first, cols.last)) continue;
      edge |= 1u << i;
      light |= (p.inside_yx[rows.own * short_of(p.cols) + cols.own] ? 1u : 0u) << i;
    }
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      if ((edge >> i & 1u) == 0) continue;
      above[i] = (light >> i & 1u) != 0 ? kLight : kDark;
      change[i] = 0;
    }
  }

  __device__ float dash(std::int32_t along) const {
    return along / short_of(p.border_length) % 2 == 0 ? kDashLight : kDashDark;
  }

  /// Of seen pixels of a seen row; rows win over columns.
  __device__ void draw_border(float (&level)[kPixels], std::int32_t y) const {
    const bool row_border = in_border_row(p, y);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      if ((seen >> i & 1u) == 0) continue;
      if (row_border) {
        level[i] = dash(x0 + i - short_of(p.seen_left));
      } else if ((border >> i & 1u) != 0) {
        level[i] = dash(y - short_of(p.seen_top));
      }
    }
  }

  /// Of a row with events. False: it is not seen.
  __device__ bool find_levels(float (&level)[kPixels], int r) {
    const Shared::Step row = shared.row[r];
    if ((row.events & kRowUnseen) != 0) return false;
    if ((row.events & kRowNew) != 0) enter(r);
    interpolate(level, row.share);
    if ((row.events & kRowBorder) != 0) draw_border(level, shared.y0 + r);
    return true;
  }

  __device__ void interpolate(float (&level)[kPixels], float share) const {
#pragma unroll
    for (int i = 0; i < kPixels; ++i) level[i] = __fadd_rn(above[i], __fmul_rn(share, change[i]));
  }

  /// `bytes` of the picture become those of the frame.
  __device__ void blend(std::uint32_t (&bytes)[kWords], const float (&level)[kPixels]) const {
    std::uint32_t sum[4 * kWords];
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      // From 2^19 on the last bit of a float is a sixteenth, and an entry has sixteen bytes.
      const std::uint32_t offset = __float_as_uint(__fadd_rz(__fadd_rn(level[i], 0.5f), 524288.0f)) & 0x3ff0u;
      const Entry entry = *reinterpret_cast<const Entry*>(reinterpret_cast<const char*>(shared.entry) + offset);
      const std::uint32_t keep[2] = {entry.keep, entry.keep << 16};
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        const int at = 3 * i + c;
        sum[at] = at % 4 < 2 ? __dp2a_lo(keep[at % 2], bytes[at / 4], entry.add[c])
                             : __dp2a_hi(keep[at % 2], bytes[at / 4], entry.add[c]);
      }
    }
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      bytes[w] = third_bytes(sum[4 * w], 4 * w + 1 < 3 * kPixels ? sum[4 * w + 1] : 0);
      if (4 * w + 2 >= 3 * kPixels) continue;
      bytes[w] =
          __byte_perm(bytes[w], third_bytes(sum[4 * w + 2], 4 * w + 3 < 3 * kPixels ? sum[4 * w + 3] : 0), 0x5410);
    }
  }
};

/// Walks down one pack's columns.
template <int Bytes>
struct Walk {
  Columns<Bytes> columns;
  const std::uint8_t* from;  ///< two rows below the one that is drawn
  std::uint8_t* to;
  std::uint32_t pitch;

  /// Row r, `pack`, in whose place the next but one comes.
  __device__ void draw_row(Pack<Bytes>& pack, int r, bool more) {
    std::uint32_t bytes[Columns<Bytes>::kWords];
    columns.spread(pack, bytes);
    if (more) pack.load(from);
    const Shared::Step row = columns.shared.row[r];
    float level[Columns<Bytes>::kPixels];
    bool seen = true;
    if (row.events == 0) {
      columns.interpolate(level, row.share);
    } else {
      seen = columns.find_levels(level, r);
    }
    if (seen) columns.blend(bytes, level);
    columns.gather(bytes).store(to);
    from += pitch;
    to += pitch;
  }

  /// As many rows, at most kMostRows; two are under way while one is drawn.
  __device__ void draw(Pack<Bytes> (&ahead)[2], int rows) {
    for (int r = 0; r < rows; r += 2) {
      draw_row(ahead[0], r, r + 2 < rows);
      if (r + 1 < rows) draw_row(ahead[1], r + 1, r + 3 < rows);
    }
  }
};

/// Blocks are packs of a row by strips of `strip_rows` rows; where a row has too many packs, a block draws several
/// times.
template <int Bytes>
__global__ void __launch_bounds__(kThreads, 3) draw_overlay(const __grid_constant__ OverlayParams p, std::int32_t packs,
                                                            std::int32_t strip_rows, std::uint32_t pitch) {
  __shared__ Shared shared;
  const std::int32_t height = short_of(p.height), y0 = static_cast<std::int32_t>(blockIdx.y) * strip_rows;
  const std::int32_t y1 = strip_rows < height - y0 ? y0 + strip_rows : height;
  const std::int32_t tile = static_cast<std::int32_t>(blockDim.x), step = static_cast<std::int32_t>(gridDim.x) * tile;
  bool filled = false;
  for (std::int32_t first = static_cast<std::int32_t>(blockIdx.x) * tile; first < packs; first += step) {
    const std::int32_t pack = first + static_cast<std::int32_t>(threadIdx.x);
    Walk<Bytes> walk{{p, shared, pack < packs ? pack : 0}, nullptr, nullptr, pitch};
    for (std::int32_t y = y0; y < y1; y += kMostRows) {
      const int rows = y1 - y < kMostRows ? y1 - y : kMostRows;
      const std::int64_t at = static_cast<std::int64_t>(y) * pitch + static_cast<std::int64_t>(pack) * Bytes;
      Pack<Bytes> ahead[2] = {};
      if (pack < packs) ahead[0].load(p.rgb + at);
      if (pack < packs && rows > 1) ahead[1].load(p.rgb + at + pitch);
      if (filled) __syncthreads();  // the rows before may still be read
      if (!filled) fill_entries(shared, by_address(p.level_rgba));
      filled = true;
      fill_rows(shared, p, y, rows);
      __syncthreads();
      if (pack >= packs) continue;
      walk.from = p.rgb + at + 2 * static_cast<std::int64_t>(pitch);
      walk.to = p.out_rgb + at;
      walk.draw(ahead, rows);
    }
  }
}

/// How many blocks of so many threads the current device holds at once. Asked once: it takes some microseconds.
template <int Bytes>
cudaError_t most_blocks(int threads, std::int64_t& blocks) {
  constexpr int kDevices = 64;
  static std::atomic<std::int32_t> known[kDevices][kThreads / kWarp];
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device)) return error;
  std::atomic<std::int32_t>* const here = device < kDevices ? &known[device][threads / kWarp - 1] : nullptr;
  blocks = here != nullptr ? here->load(std::memory_order_relaxed) : 0;
  if (blocks > 0) return cudaSuccess;
  int multiprocessors = 0, of_each = 0;
  if (const cudaError_t error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device))
    return error;
  if (const cudaError_t error =
          cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_each, draw_overlay<Bytes>, threads, 0))
    return error;
  blocks = static_cast<std::int64_t>(multiprocessors) * of_each;
  if (here != nullptr) here->store(static_cast<std::int32_t>(blocks), std::memory_order_relaxed);
  return cudaSuccess;
}

/// In one wave: every block of it finds room at once, and does as much as any other.
template <int Bytes>
int draw(const OverlayParams& p, std::int64_t packs, Stream stream) {
  if (const cudaError_t earlier = cudaPeekAtLastError()) return static_cast<int>(earlier);
  std::int64_t tiles = divide_up(packs, kThreads);
  const int threads = static_cast<int>(divide_up(divide_up(packs, tiles), kWarp)) * kWarp;
  std::int64_t blocks = 0;
  if (const cudaError_t error = most_blocks<Bytes>(threads, blocks)) {
    (void)cudaGetLastError();  // leaves no trace
    return static_cast<int>(error);
  }
  tiles = divide_up(packs, threads);
  if (p.most_sms > 0 && p.most_sms < blocks) blocks = p.most_sms;
  if (tiles > blocks) tiles = blocks;
  const std::int64_t strips = blocks / tiles < p.height ? blocks / tiles : p.height;
  const std::int64_t strip_rows = divide_up(p.height, strips);
  return start(draw_overlay<Bytes>, grid_of(tiles, divide_up(p.height, strip_rows)), threads, 0, stream_of(stream), p,
               static_cast<std::int32_t>(packs), static_cast<std::int32_t>(strip_rows),
               static_cast<std::uint32_t>(3 * p.width));
}

}  // namespace

int load_overlay() { return load(draw_overlay<16>, draw_overlay<4>, draw_overlay<3>); }

int overlay(const OverlayParams& p, Stream stream) {
  const auto fits = [&](std::uintptr_t bytes) {
    return (reinterpret_cast<std::uintptr_t>(p.rgb) | reinterpret_cast<std::uintptr_t>(p.out_rgb) |
            static_cast<std::uintptr_t>(3 * p.width)) %
               bytes ==
           0;
  };
  if (fits(16)) return draw<16>(p, 3 * p.width / 16, stream);
  if (fits(4)) return draw<4>(p, 3 * p.width / 4, stream);
  return draw<3>(p, p.width, stream);
}

}  // namespace gaze::kernels::cuda

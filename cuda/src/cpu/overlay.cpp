// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <optional>

#ifdef __x86_64__
// gcc 12 takes its undefined operands for uninitialized variables (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include "axis.hpp"
#include "cpu/isa.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {
namespace {

constexpr std::int64_t kPad = 256;  ///< floats that a vector loop may touch behind a row

/// Seen columns [begin, end), counted from the first seen one, between the same two cells.
struct Run {
  std::int32_t begin, end, low, high;
};

struct Columns {
  const Run* run = nullptr;
  std::int64_t runs = 0;
  const float* share = nullptr;
};

/// The table of levels, also as one plane per byte.
struct Shades {
  alignas(64) std::uint8_t plane[4][kLevels];
  const std::uint32_t* rgba = nullptr;
  int first_shown = kLevels;  ///< every lower level is transparent
};

Shades make_shades(const std::uint32_t* rgba) {
  Shades shades;
  shades.rgba = rgba;
  for (int channel = 0; channel < 4; ++channel) {
    for (int level = 0; level < kLevels; ++level) {
      shades.plane[channel][level] = static_cast<std::uint8_t>(rgba[level] >> (8 * channel));
    }
  }
  shades.first_shown = 0;
  while (shades.first_shown < kLevels && shades.plane[3][shades.first_shown] == 0) ++shades.first_shown;
  return shades;
}

/// A cell's value in levels; no number counts as 0.
inline float scaled(float value) { return 511.0f * (value > 0 ? (value < 1 ? value : 1.0f) : 0.0f); }

inline void blend_pixel(std::uint32_t rgba, const std::uint8_t* base, std::uint8_t* out) {
  const int alpha = static_cast<int>(rgba >> 24);
  const int a15 = 128 * alpha + (alpha >> 1);
  for (int channel = 0; channel < 3; ++channel) {
    const int colour = static_cast<int>(rgba >> (8 * channel) & 255u);
    out[channel] = static_cast<std::uint8_t>(base[channel] + (((colour - base[channel]) * a15 + 16384) >> 15));
  }
}

/// Byte indices that put three planes of 64 pixels in a row, and the lower bytes of packed words in order.
struct Interleave {
  alignas(64) std::uint8_t low_bytes[64] = {};
  alignas(64) std::uint8_t red_green[3][64] = {};
  alignas(64) std::uint8_t pixel[3][64] = {};
  std::uint64_t is_blue[3] = {};

  constexpr Interleave() {
    for (int i = 0; i < 64; ++i) {
      // Packing two vectors of dwords leaves groups of four words: first, second, first, ...
      low_bytes[i] = static_cast<std::uint8_t>(i / 32 * 64 + 2 * (i % 16 / 4 * 8 + i % 32 / 16 * 4 + i % 4));
      for (int vector = 0; vector < 3; ++vector) {
        const int byte = 64 * vector + i;
        pixel[vector][i] = static_cast<std::uint8_t>(byte / 3);
        red_green[vector][i] = static_cast<std::uint8_t>(byte / 3 + (byte % 3 == 1 ? 64 : 0));
        if (byte % 3 == 2) is_blue[vector] |= std::uint64_t{1} << i;
      }
    }
  }
};
constexpr Interleave kInterleave;

}  // namespace
}  // namespace gaze::kernels::cpu

#define GAZE_BODY "cpu/overlay.inl"
#include "cpu/each_isa.hpp"

namespace gaze::kernels::cpu {
namespace {

constexpr std::uint8_t kInside = 255, kOutside = 32, kDashes[2] = {245, 40};

/// Pixels [begin, end) of one row in one shade.
struct Span {
  std::int32_t begin, end;
  std::uint8_t shade;
};

/// Pixels from `begin` on whose own cell and those at either end of the reach stay the same.
struct Reach {
  std::int32_t begin, first, own, last;
  bool operator!=(const Reach& other) const { return first != other.first || own != other.own || last != other.last; }
};

/// The pieces of the workspace, and its size when `base` is null.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  T* take(std::int64_t count) {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + size_);
    size_ += (static_cast<std::size_t>(count) * sizeof(T) + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    return piece;
  }
  std::size_t size() const { return size_; }

 private:
  char* base_;
  std::size_t size_ = 0;
};

struct Workspace {
  Workspace(const OverlayParams& p, void* base) {
    Carver carver(base);
    const std::int64_t seen = p.seen_right - p.seen_left;
    share = carver.take<float>(seen + kPad);
    for (float*& row : stretched) row = carver.take<float>(seen + kPad);
    step = carver.take<float>(seen + kPad);
    run = carver.take<Run>(seen);
    if (p.inside_yx != nullptr) {
      inside = carver.take<std::int32_t>((p.rows + 1) * (p.cols + 1));
      reach = carver.take<Reach>(seen);
      span = carver.take<Span>(seen);
    }
    size = carver.size();
  }
  float *share, *stretched[2], *step;
  Run* run;
  std::int32_t* inside = nullptr;
  Reach* reach = nullptr;
  Span* span = nullptr;
  std::size_t size = 0;
};

void fill(std::uint8_t* rgb, std::int64_t begin, std::int64_t end, std::uint8_t shade) {
  std::memset(rgb + 3 * begin, shade, static_cast<std::size_t>(3 * (end - begin)));
}

/// The rows of the grid a row of pixels lies between, both stretched to its columns.
class Stretched {
 public:
  using Stretch = void (*)(const Columns&, const float*, float*);

  Stretched(const OverlayParams& p, const Workspace& work, Stretch stretch)
      : p_(p), stretch_(stretch), step_(work.step) {
    const std::int64_t seen = p.seen_right - p.seen_left;
    std::int64_t runs = 0;
    std::fill_n(work.share, seen + kPad, 0.0f);
    for (std::int64_t x = 0; x < seen; ++x) {
      const Tap t = tap(place(p.scale_x, p.offset_x, p.seen_left + x), p.cols, p.exact);
      work.share[x] = t.share;
      if (runs == 0 || work.run[runs - 1].low != t.low) {
        work.run[runs++] = {static_cast<std::int32_t>(x), 0, static_cast<std::int32_t>(t.low),
                            static_cast<std::int32_t>(t.high)};
      }
      work.run[runs - 1].end = static_cast<std::int32_t>(x + 1);
    }
    columns_ = {work.run, runs, work.share};
    for (int i = 0; i < 2; ++i) {
      out_[i] = work.stretched[i];
      std::fill_n(out_[i], seen + kPad, 0.0f);
    }
    width_ = seen + kPad;
  }

  void move_to(const Tap& row) {
    if (row.low == low_ && row.high == high_) return;
    if (row.low == high_) {
      std::swap(out_[0], out_[1]);
      std::swap(low_, high_);
    }
    if (row.low != low_) stretch_(columns_, p_.value_yx + row.low * p_.cols, out_[0]);
    stretch_(columns_, p_.value_yx + row.high * p_.cols, out_[1]);
    low_ = row.low;
    high_ = row.high;
    for (std::int64_t x = 0; x < width_; ++x) step_[x] = out_[1][x] - out_[0][x];
  }

  const float* above() const { return out_[0]; }
  const float* step() const { return step_; }

 private:
  const OverlayParams& p_;
  Stretch stretch_;
  Columns columns_;
  float* out_[2];
  float* step_;
  std::int64_t width_ = 0, low_ = -1, high_ = -1;
};

/// The outline, row by row.
class Contour {
 public:
  Contour(const OverlayParams& p, const Workspace& work) : p_(p), work_(work) {
    const std::int64_t stride = p.cols + 1;
    std::fill_n(work.inside, stride, 0);
    for (std::int64_t row = 0; row < p.rows; ++row) {
      std::int32_t* const sum = work.inside + (row + 1) * stride;
      std::int32_t along = 0;
      sum[0] = 0;
      for (std::int64_t col = 0; col < p.cols; ++col) {
        along += p.inside_yx[row * p.cols + col] ? 1 : 0;
        sum[col + 1] = sum[col + 1 - stride] + along;
      }
    }
    for (std::int64_t x = p.seen_left; x < p.seen_right; ++x) {
      const Reach here = reach(x, p.scale_x, p.offset_x, p.width, p.cols);
      if (reaches_ == 0 || work.reach[reaches_ - 1] != here) work.reach[reaches_++] = here;
    }
  }

  void draw(std::int64_t y, std::uint8_t* out_rgb) {
    const Reach row = reach(y, p_.scale_y, p_.offset_y, p_.height, p_.rows);
    if (row != row_) find(row);
    for (std::int64_t i = 0; i < spans_; ++i)
      fill(out_rgb, work_.span[i].begin, work_.span[i].end, work_.span[i].shade);
  }

 private:
  Reach reach(std::int64_t pixel, double scale, double offset, std::int64_t pixels, std::int64_t cells) const {
    const auto cell_of = [&](std::int64_t at) {
      return static_cast<std::int32_t>(cell(place(scale, offset, at), cells));
    };
    const std::int32_t a = cell_of(std::max<std::int64_t>(pixel - p_.reach, 0));
    const std::int32_t b = cell_of(std::min(pixel + p_.reach, pixels - 1));
    return {static_cast<std::int32_t>(pixel), std::min(a, b), cell_of(pixel), std::max(a, b)};
  }

  void find(const Reach& row) {
    row_ = row;
    spans_ = 0;
    const std::int64_t stride = p_.cols + 1, rows = row.last - row.first + 1;
    const std::int32_t* const above = work_.inside + std::max(row.first, 0) * stride;
    const std::int32_t* const below = work_.inside + std::min<std::int64_t>(row.last + 1, p_.rows) * stride;
    const auto count = [&](std::int64_t col) { return below[col] - above[col]; };
    for (std::int64_t i = 0; i < reaches_; ++i) {
      const Reach& here = work_.reach[i];
      const std::int64_t inside =
          count(std::min<std::int64_t>(here.last + 1, p_.cols)) - count(std::max(here.first, 0));
      // Cells off the grid are outside: they add to the area alone.
      if (inside == 0 || inside == rows * (here.last - here.first + 1)) continue;
      const std::int32_t end = i + 1 < reaches_ ? work_.reach[i + 1].begin : static_cast<std::int32_t>(p_.seen_right);
      const std::uint8_t shade = p_.inside_yx[row.own * p_.cols + here.own] ? kInside : kOutside;
      Span* const before = work_.span + spans_ - 1;
      if (spans_ > 0 && before->end == here.begin && before->shade == shade) {
        before->end = end;
      } else {
        work_.span[spans_++] = {here.begin, end, shade};
      }
    }
  }

  const OverlayParams& p_;
  const Workspace& work_;
  std::int64_t reaches_ = 0, spans_ = 0;
  Reach row_{0, -2, -2, -2};
};

/// Dashes along the sides where the picture goes on behind what was seen.
void draw_border(const OverlayParams& p, std::int64_t y, std::uint8_t* out_rgb) {
  const auto dash = [&](std::int64_t along) { return kDashes[along / p.border_length % 2]; };
  const bool top = p.seen_top > 0 && y < p.seen_top + p.border_width;
  const bool bottom = p.seen_bottom < p.height && y >= p.seen_bottom - p.border_width;
  if (top || bottom) {
    for (std::int64_t x = p.seen_left; x < p.seen_right; x += p.border_length) {
      fill(out_rgb, x, std::min(x + p.border_length, p.seen_right), dash(x - p.seen_left));
    }
    return;
  }
  const std::uint8_t shade = dash(y - p.seen_top);
  if (p.seen_left > 0) fill(out_rgb, p.seen_left, std::min(p.seen_left + p.border_width, p.seen_right), shade);
  if (p.seen_right < p.width) fill(out_rgb, std::max(p.seen_right - p.border_width, p.seen_left), p.seen_right, shade);
}

}  // namespace

std::size_t overlay_workspace(const OverlayParams& p) { return Workspace(p, nullptr).size; }

void overlay(const OverlayParams& p, std::int64_t first, std::int64_t end, void* workspace, Isa isa) {
  const auto stretch = isa == Isa::Avx512 ? avx512::stretch : isa == Isa::Avx2 ? avx2::stretch : baseline::stretch;
  const auto blend_row = isa == Isa::Avx512 ? avx512::blend_row
                         : isa == Isa::Avx2 ? avx2::blend_row
                                            : baseline::blend_row;
  const Workspace work(p, workspace);
  const Shades shades = make_shades(p.level_rgba);
  Stretched stretched(p, work, stretch);
  std::optional<Contour> contour;
  if (p.inside_yx != nullptr) contour.emplace(p, work);
  const std::int64_t seen = p.seen_right - p.seen_left;
  for (std::int64_t y = first; y < end; ++y) {
    const std::uint8_t* const base = p.rgb + 3 * y * p.width;
    std::uint8_t* const out = p.out_rgb + 3 * y * p.width;
    const auto keep = [&](std::int64_t from, std::int64_t to) {
      std::memcpy(out + 3 * from, base + 3 * from, static_cast<std::size_t>(3 * (to - from)));
    };
    if (seen == 0 || y < p.seen_top || y >= p.seen_bottom) {
      keep(0, p.width);
      continue;
    }
    const Tap row = tap(place(p.scale_y, p.offset_y, y), p.rows, p.exact);
    stretched.move_to(row);
    keep(0, p.seen_left);
    blend_row(shades, stretched.above(), stretched.step(), row.share, seen, base + 3 * p.seen_left,
              out + 3 * p.seen_left);
    keep(p.seen_right, p.width);
    if (contour) contour->draw(y, out);
    if (p.border_width > 0) draw_border(p, y, out);
  }
}

}  // namespace gaze::kernels::cpu

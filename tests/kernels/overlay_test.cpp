// SPDX-License-Identifier: MIT
// The overlay on raw memory: every instruction set of this machine against plain code written from the definition.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// One axis of the grid over the pixels of a picture.
struct Axis {
  std::int64_t pixels, cells;
  double scale, offset;

  double place(std::int64_t pixel) const { return scale * (static_cast<double>(pixel) + 0.5) + offset; }
  bool seen(std::int64_t pixel) const { return place(pixel) >= 0 && place(pixel) < static_cast<double>(cells); }
  std::int64_t cell(std::int64_t pixel) const {
    return static_cast<std::int64_t>(std::clamp(std::floor(place(pixel)), -1.0, static_cast<double>(cells)));
  }
  std::pair<std::int64_t, std::int64_t> seen_range() const {
    std::int64_t first = 0, end = pixels;
    while (first < end && !seen(first)) ++first;
    while (end > first && !seen(end - 1)) --end;
    return {first, end};
  }
  std::pair<std::int64_t, std::int64_t> reached(std::int64_t pixel, std::int64_t reach) const {
    return std::minmax({cell(std::max<std::int64_t>(0, pixel - reach)), cell(std::min(pixels - 1, pixel + reach))});
  }
  void neighbours(std::int64_t pixel, bool exact, std::int64_t& low, std::int64_t& high, float& share) const {
    low = high = cell(pixel);
    share = 0;
    if (exact) return;
    const double centre = std::clamp(place(pixel) - 0.5, 0.0, static_cast<double>(cells - 1));
    low = static_cast<std::int64_t>(std::floor(centre));
    high = std::min(low + 1, cells - 1);
    share = static_cast<float>(centre - static_cast<double>(low));
  }
};

std::vector<std::uint8_t> plain(const OverlayParams& p, const Axis& across, const Axis& down) {
  std::vector<std::uint8_t> out(p.rgb, p.rgb + 3 * p.height * p.width);
  const auto scaled = [&](std::int64_t row, std::int64_t col) {
    const float value = p.value_yx[row * p.cols + col];
    return std::isnan(value) ? 0.0f : 511 * std::clamp(value, 0.0f, 1.0f);
  };
  const auto [left, right] = across.seen_range();
  const auto [top, bottom] = down.seen_range();
  for (std::int64_t y = top; y < bottom; ++y) {
    for (std::int64_t x = left; x < right; ++x) {
      std::uint8_t* const pixel = out.data() + 3 * (y * p.width + x);
      std::int64_t x0, x1, y0, y1;
      float share_x, share_y;
      across.neighbours(x, p.exact, x0, x1, share_x);
      down.neighbours(y, p.exact, y0, y1, share_y);
      const float above = scaled(y0, x0) + share_x * (scaled(y0, x1) - scaled(y0, x0));
      const float below = scaled(y1, x0) + share_x * (scaled(y1, x1) - scaled(y1, x0));
      const std::uint32_t rgba = p.level_rgba[static_cast<int>(above + share_y * (below - above) + 0.5f)];
      const int alpha = static_cast<int>(rgba >> 24), a15 = 128 * alpha + (alpha >> 1);
      for (int c = 0; c < 3; ++c) {
        const int colour = static_cast<int>(rgba >> (8 * c) & 255);
        pixel[c] = static_cast<std::uint8_t>(pixel[c] + (((colour - pixel[c]) * a15 + 16384) >> 15));
      }
      if (p.inside_yx != nullptr) {
        const auto [first_col, last_col] = across.reached(x, p.reach);
        const auto [first_row, last_row] = down.reached(y, p.reach);
        bool any = false, all = true;
        for (std::int64_t row = first_row; row <= last_row; ++row) {
          for (std::int64_t col = first_col; col <= last_col; ++col) {
            const bool on_grid = row >= 0 && row < p.rows && col >= 0 && col < p.cols;
            const bool inside = on_grid && p.inside_yx[row * p.cols + col];
            any |= inside;
            all &= inside;
          }
        }
        const bool own = p.inside_yx[down.cell(y) * p.cols + across.cell(x)];
        if (any != all) std::fill_n(pixel, 3, static_cast<std::uint8_t>(own ? 255 : 32));
      }
      const auto dash = [&](std::int64_t along) {
        std::fill_n(pixel, 3, static_cast<std::uint8_t>(along / p.border_length % 2 == 0 ? 245 : 40));
      };
      const std::int64_t width = p.border_width;
      if ((left > 0 && x < left + width) || (right < p.width && x >= right - width)) dash(y - top);
      if ((top > 0 && y < top + width) || (bottom < p.height && y >= bottom - width)) dash(x - left);
    }
  }
  return out;
}

struct Case {
  Axis across, down;
  std::int64_t reach = 2;
  std::int64_t border = 2;
};

Axis whole(std::int64_t pixels, std::int64_t cells) {
  return {pixels, cells, static_cast<double>(cells) / static_cast<double>(pixels), 0};
}

void check(const Case& c, bool exact, bool outlined, unsigned seed) {
  CATCH_CAPTURE(c.across.pixels, c.down.pixels, c.across.cells, c.down.cells, c.across.scale, c.across.offset, c.reach,
                c.border, exact, outlined);
  Numbers numbers;
  for (unsigned i = 0; i < 7 * seed; ++i) numbers();
  const std::int64_t cells = c.across.cells * c.down.cells, bytes = 3 * c.across.pixels * c.down.pixels;
  std::vector<float> values = numbers.many(size(cells), -0.2, 1.2);
  const float strange[] = {
      std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 1e-40f, 1.0f,
      0.0f};
  for (float& x : values) {
    if (numbers() < 0.2) x = strange[static_cast<int>(6 * numbers())];
    if (seed % 2 == 1 && numbers() < 0.7) x = 0.03f;  // mostly transparent
  }
  const Input value(values);
  const auto inside = std::make_unique<bool[]>(size(cells));
  for (std::int64_t i = 0; i < cells; ++i) inside[size(i)] = numbers() < 0.4;
  std::vector<std::uint8_t> rgb(size(bytes));
  for (auto& x : rgb) x = static_cast<std::uint8_t>(256 * numbers());

  OverlayParams p;
  p.rgb = rgb.data();
  p.height = c.down.pixels;
  p.width = c.across.pixels;
  p.value_yx = value.data();
  p.inside_yx = outlined ? inside.get() : nullptr;
  p.rows = c.down.cells;
  p.cols = c.across.cells;
  p.scale_x = c.across.scale;
  p.offset_x = c.across.offset;
  p.scale_y = c.down.scale;
  p.offset_y = c.down.offset;
  p.exact = exact;
  p.reach = c.reach;
  p.border_width = c.border;
  p.border_length = 6 * c.border + 1;
  std::tie(p.seen_left, p.seen_right) = c.across.seen_range();
  std::tie(p.seen_top, p.seen_bottom) = c.down.seen_range();
  for (int level = 0; level < kLevels; ++level) {
    p.level_rgba[level] = static_cast<std::uint32_t>(4294967296.0 * numbers());
    if (level < 26) p.level_rgba[level] &= 0xffffffu;
    if (level > 500) p.level_rgba[level] |= 0xff000000u;
  }
  const std::vector<std::uint8_t> want = plain(p, c.across, c.down);
  for (const cpu::Isa isa : cpu::kIsas) {
    if (!cpu::has(isa)) continue;
    CATCH_CAPTURE(cpu::name(isa));
    Output<std::uint8_t> out(size(bytes));
    p.out_rgb = out.data();
    Output<double> workspace((cpu::overlay_workspace(p) + 7) / 8, std::nan(""));
    const std::int64_t part = p.height / 3;  // rows in two calls, the later ones first
    cpu::overlay(p, part, p.height, workspace.data(), isa);
    cpu::overlay(p, 0, part, workspace.data(), isa);
    CATCH_CHECK(differs(out.values(), want) == "");
    CATCH_CHECK((out.intact() && workspace.intact()));
  }
}

void check_all(const Case& c) {
  for (const bool exact : {false, true}) {
    for (const bool outlined : {false, true}) {
      for (const unsigned seed : {0u, 1u}) check(c, exact, outlined, seed);
    }
  }
}

}  // namespace

CATCH_TEST_CASE("overlay gives the same bytes with every instruction set, for pictures of every size") {
  for (const std::int64_t width : {1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 191, 193, 577}) {
    for (const std::int64_t height : {1, 3, 37}) {
      check_all({whole(width, 24), whole(height, 24)});
      check_all({whole(width, 1), whole(height, 2)});
      check_all({whole(width, 5), whole(height, 3)});
    }
  }
  check_all({whole(1366, 24), whole(768, 24)});
  check_all({whole(1283, 16), whole(721, 9)});
  check_all({whole(40, 97), whole(30, 211)});  // several cells to a pixel
}

CATCH_TEST_CASE("overlay keeps what was not seen, and draws a border around what was") {
  const std::vector<Axis> axes = {{200, 6, 0.05, -2.3},   // before and behind
                                  {200, 6, 0.05, -11.0},  // nothing seen
                                  {200, 6, 0.01, 0.7},    // from the middle of a cell to that of another
                                  {200, 6, -0.05, 7.1},   // mirrored
                                  {200, 6, 0, 2.5},       // the same everywhere
                                  {200, 6, 1e300, -1e300}, {200, 6, 0.05, -0.001},
                                  {200, 6, 3.7, -350}};  // a few pixels, more than one cell each
  for (const Axis& across : axes) {
    for (const Axis& down : axes) {
      for (const std::int64_t border : {0, 1, 5, 40}) {
        check({across, down, 3, border}, border == 1, border != 5, 0);
      }
    }
  }
}

CATCH_TEST_CASE("overlay outlines cells smaller and larger than the outline's reach") {
  for (const std::int64_t reach : {1, 2, 5, 16, 64}) {
    for (const std::int64_t cells : {2, 11, 60, 150}) {
      check({whole(150, cells), whole(90, cells), reach}, false, true, 0);
      check({{150, cells, static_cast<double>(cells) / 100, -1.3}, whole(90, cells), reach}, true, true, 1);
    }
  }
}

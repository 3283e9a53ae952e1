// SPDX-License-Identifier: MIT
// normalise, resample, colour, blend and contour on raw memory: sizes and guard zones.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "colormap_tables.hpp"
#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

const std::vector<std::int64_t> kSizes = {1, 31, 32, 33, 255, 257};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

}  // namespace

CATCH_TEST_CASE("normalise keeps to its memory, also without tokens or cells") {
  Numbers numbers;
  for (std::int64_t cells : {0, 1, 33, 257}) {
    for (std::int64_t tokens : {0, 1, 3, 5}) {
      CATCH_CAPTURE(cells, tokens);
      const Input map(numbers.many(size(tokens * cells))), visible(std::vector<float>(size(tokens), 9.0f));
      Output<float> lift(size(tokens * cells)), shown(size(tokens * cells)), value(size(tokens * cells), -1.0f),
          max_lift(size(tokens), -1.0f), entropy(size(tokens), -1.0f), range(1, -1.0f);
      Output<bool> diffuse(size(tokens));
      NormaliseParams p;
      p.map_tc = map.data();
      p.visible_t = visible.data();
      p.tokens = tokens;
      p.cells = cells;
      p.subtract_sinks = true;
      p.percentile = 0.9;
      p.lift_tc = lift.data();
      p.shown_tc = shown.data();
      p.value_tc = value.data();
      p.max_lift_t = max_lift.data();
      p.entropy_t = entropy.data();
      p.diffuse_t = diffuse.data();
      p.range_max = range.data();
      Output<double> workspace((cpu::normalise_workspace(p) + 7) / 8);
      cpu::normalise(p, workspace.data());
      CATCH_CHECK((lift.intact() && shown.intact() && value.intact() && max_lift.intact() && entropy.intact() &&
                   diffuse.intact() && range.intact() && workspace.intact()));
      CATCH_CHECK(range[0] > 0);
      for (float v : value.values()) CATCH_REQUIRE((v >= 0 && v <= 1));
      for (float e : entropy.values()) CATCH_REQUIRE((e >= 0 && e <= 1));
      for (std::int64_t i = 0; i < tokens * cells; ++i) CATCH_REQUIRE(lift[size(i)] == map.data()[i] * 9.0f);
    }
  }
}

CATCH_TEST_CASE("resample keeps to its memory and reads only the grid") {
  Numbers numbers;
  for (std::int64_t width : kSizes) {
    for (std::int64_t height : {1, 33}) {
      for (bool exact : {false, true}) {
        for (std::int64_t cols : {1, 2, 7}) {
          CATCH_CAPTURE(width, height, exact, cols);
          const std::int64_t rows = 3;
          const Input map(numbers.many(size(rows * cols), 1, 2));
          ResampleParams p;
          p.map_yx = map.data();
          p.rows = rows;
          p.cols = cols;
          p.stride_y = cols;
          p.stride_x = 1;
          p.scale_x = static_cast<double>(cols) / static_cast<double>(width);
          p.scale_y = static_cast<double>(rows) / static_cast<double>(height);
          p.height = height;
          p.width = width;
          p.exact = exact;
          Output<float> out(size(height * width), -1.0f);
          p.out_yx = out.data();
          cpu::resample(p);
          CATCH_CHECK(out.intact());
          for (float x : out.values()) CATCH_REQUIRE((x >= 1 && x <= 2));
        }
      }
    }
  }
}

CATCH_TEST_CASE("colour keeps to its memory and takes the nearest of 256 entries") {
  for (std::int64_t count : {0, 1, 31, 32, 33, 255, 257}) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(i) / 255.0f + (i % 2 == 0 ? 0.0019f : -0.0019f));
    }
    const Input value(values);
    Output<std::uint8_t> out(size(3 * count));
    cpu::colour({value.data(), count, Colormap::Gray, out.data()});
    CATCH_CHECK(out.intact());
    std::vector<int> want;
    for (std::int64_t i = 0; i < count; ++i)
      want.insert(want.end(), 3, static_cast<int>(std::min<std::int64_t>(i, 255)));
    CATCH_CHECK(differs(out.values(), want) == "");
  }
}

CATCH_TEST_CASE("blend keeps to its memory") {
  Numbers numbers;
  for (std::int64_t pixels : {0, 1, 31, 32, 33, 255, 257}) {
    std::vector<std::uint8_t> rgb(size(3 * pixels)), colour(size(3 * pixels));
    for (auto& x : rgb) x = static_cast<std::uint8_t>(256 * numbers());
    for (auto& x : colour) x = static_cast<std::uint8_t>(256 * numbers());
    const std::vector<float> values(size(pixels), 1.0f);
    const Input value(values);
    Output<std::uint8_t> out(size(3 * pixels));
    cpu::blend({rgb.data(), colour.data(), value.data(), pixels, 1.0f, 0.1f, out.data()});
    CATCH_CHECK(out.intact());
    CATCH_CHECK(differs(out.values(), colour) == "");
  }
}

CATCH_TEST_CASE("contour keeps to its memory, also when it reaches over the whole picture") {
  for (std::int64_t width : kSizes) {
    for (std::int64_t height : {0, 1, 33}) {
      for (std::int64_t reach : {1, 2, 64}) {
        CATCH_CAPTURE(width, height, reach);
        const auto inside = std::make_unique<bool[]>(size(height * width + 1));
        for (std::int64_t y = 0; y < height; ++y) inside[size(y * width)] = true;  // the first column
        Output<std::uint8_t> rgb(size(3 * height * width), 100);
        ContourParams p{rgb.data(), inside.get(), height, width, reach};
        Output<double> workspace((cpu::contour_workspace(p) + 7) / 8);
        cpu::contour(p, workspace.data());
        std::vector<int> want;
        for (std::int64_t i = 0; i < height * width; ++i) {
          const std::int64_t x = i % width;
          want.insert(want.end(), 3, width == 1 || x > reach ? 100 : x == 0 ? 255 : 32);
        }
        CATCH_CHECK(differs(rgb.values(), want) == "");
        CATCH_CHECK((rgb.intact() && workspace.intact()));
      }
    }
  }
}

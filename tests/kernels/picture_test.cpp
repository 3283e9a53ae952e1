// SPDX-License-Identifier: MIT
// normalise, colour and blend on raw memory: sizes and guard zones.
#include <algorithm>
#include <vector>

#include "colormap_tables.hpp"
#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

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
    cpu::blend({rgb.data(), colour.data(), value.data(), pixels, 1.0f, 0.1f, 0.6f, out.data()});
    CATCH_CHECK(out.intact());
    CATCH_CHECK(differs(out.values(), colour) == "");
  }
}

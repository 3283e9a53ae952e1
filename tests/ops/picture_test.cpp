// SPDX-License-Identifier: MIT
// normalise, colour, blend and top_mass against float64.
#include <ATen/ops/full.h>
#include <ATen/ops/quantile.h>
#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/normalise.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "tensors.hpp"

#ifdef GAZE_WITH_OPENCV
#include <opencv2/imgproc.hpp>
#endif

using namespace gaze::ops;
using namespace gaze::test;

namespace {

/// Attention-like maps: a few strong cells, most of them weak.
at::Tensor maps(Random& random, int64_t tokens, int64_t cells, at::Device device) {
  std::vector<double> values = random.many(tokens * cells);
  for (double& x : values) x = std::pow(x, 8) / static_cast<double>(cells);
  return tensor_of(values, {tokens, cells}, at::kFloat, device);
}

struct Normal {
  std::vector<double> lift, shown, value, max_lift, entropy, diffuse;
  double range = 0;
};

Normal reference(const Array& map, const std::vector<double>& visible, const NormaliseOptions& options) {
  const size_t tokens = static_cast<size_t>(map.sizes[0]), cells = static_cast<size_t>(map.sizes[1]);
  Normal out;
  for (size_t t = 0; t < tokens; ++t) {
    double top = 0, total = 0, entropy = 0;
    for (size_t c = 0; c < cells; ++c) {
      const double x = map.values[t * cells + c];
      out.lift.push_back(x * visible[t]);
      top = std::max(top, out.lift.back());
      total += x;
    }
    for (size_t c = 0; c < cells; ++c) {
      const double p = total > 0 ? map.values[t * cells + c] / total : 0;
      if (p > 0) entropy -= p * std::log(p);
    }
    if (cells > 1) entropy /= std::log(static_cast<double>(cells));
    out.max_lift.push_back(top);
    out.entropy.push_back(entropy);
    out.diffuse.push_back(top < 2 || entropy > 0.95);
  }
  out.shown = out.lift;
  if (options.subtract_sinks && tokens >= 4) {
    for (size_t c = 0; c < cells; ++c) {
      double mean = 0;
      for (size_t t = 0; t < tokens; ++t) mean += out.lift[t * cells + c] / static_cast<double>(tokens);
      for (size_t t = 0; t < tokens; ++t) {
        out.shown[t * cells + c] = std::max(0.0, out.lift[t * cells + c] - mean);
      }
    }
  }
  std::vector<double> sorted = out.shown;
  std::sort(sorted.begin(), sorted.end());
  const double rank = options.percentile * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(rank), above = std::min(below + 1, sorted.size() - 1);
  out.range = sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
  if (out.range <= 0) out.range = sorted.back();
  out.range = std::max(out.range, 1.0);
  for (size_t t = 0; t < tokens; ++t) {
    const auto first = out.shown.begin() + static_cast<std::ptrdiff_t>(t * cells);
    const auto [low, high] = std::minmax_element(first, first + static_cast<std::ptrdiff_t>(cells));
    for (size_t c = 0; c < cells; ++c) {
      const double x = out.shown[t * cells + c];
      const double scaled = !options.per_map_min_max ? std::min(1.0, x / out.range)
                            : *high > *low           ? (x - *low) / (*high - *low)
                                                     : 0;
      out.value.push_back(out.diffuse[t] != 0 ? 0 : scaled);
    }
  }
  return out;
}

}  // namespace

CATCH_TEST_CASE("normalise matches float64 for every layout and option") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      for (const int64_t tokens : {1, 3, 4, 9}) {
        for (const int64_t cells : {1, 33, 257}) {
          for (const bool per_map : {false, true}) {
            for (const bool sinks : {false, true}) {
              for (const double percentile : {0.5, 0.99, 1.0}) {
                CATCH_CAPTURE(device.str(), name(layout), tokens, cells, per_map, sinks, percentile);
                Random random(20);
                const at::Tensor map = laid_out(maps(random, tokens, cells, device), layout);
                const at::Tensor visible = random.tensor({tokens}, at::kFloat, 5, 60, device);
                const NormaliseOptions options{sinks, percentile, per_map};
                const Normalised got = normalise(map, visible, options);
                const Normal want = reference(Array(map), values_of(visible), options);
                CATCH_CHECK(differs(values_of(got.lift_tc), want.lift, kValues) == "");
                CATCH_CHECK(differs(values_of(got.shown_tc), want.shown, {1e-5, 0}) == "");
                CATCH_CHECK(differs(values_of(got.value_tc), want.value, {2e-5, 0}) == "");
                CATCH_CHECK(differs(values_of(got.max_lift_t), want.max_lift, kValues) == "");
                CATCH_CHECK(differs(values_of(got.entropy_t), want.entropy, kEntropy) == "");
                CATCH_CHECK(differs(values_of(got.diffuse_t), want.diffuse) == "");
                CATCH_CHECK(values_of(got.range_max)[0] == Approx(want.range).epsilon(1e-5));
                CATCH_CHECK(got.sinks_subtracted == (sinks && tokens >= 4));
                CATCH_CHECK(got.diffuse_t.scalar_type() == at::kBool);
                CATCH_CHECK(got.range_max.dim() == 0);
              }
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("the range is torch's quantile of the shown values") {
  for (const at::Device device : devices()) {
    Random random(21);
    const at::Tensor map = maps(random, 5, 101, device), visible = at::full({5}, 40.0, map.options());
    for (const double percentile : {0.1, 0.5, 0.9, 0.99, 1.0}) {
      const Normalised got = normalise(map, visible, {false, percentile, false});
      const double theirs = values_of(at::quantile(got.shown_tc.flatten(), percentile))[0];
      CATCH_CHECK(values_of(got.range_max)[0] == Approx(std::max(theirs, 1.0)).epsilon(1e-5));
    }
  }
}

CATCH_TEST_CASE("a map of zeros, a constant map and one cell normalise to 0, never to NaN") {
  for (const at::Device device : devices()) {
    for (const bool per_map : {false, true}) {
      for (const double constant : {0.0, 0.25, 3.0}) {
        for (const int64_t cells : {1, 4}) {
          CATCH_CAPTURE(device.str(), per_map, constant, cells);
          const at::Tensor map = at::full({2, cells}, constant, at::TensorOptions().device(device));
          const Normalised got = normalise(map, at::full({2}, 8.0, map.options()), {true, 0.99, per_map});
          const std::vector<double> value = values_of(got.value_tc);
          const bool shows = cells == 1 && constant * 8 >= 2 && !per_map;  // one cell has nothing to be uniform over
          CATCH_CHECK(value == std::vector<double>(value.size(), shows ? 1 : 0));
          CATCH_CHECK(values_of(got.range_max)[0] == (constant > 0 ? constant * 8 : 1));
        }
      }
    }
  }
}

CATCH_TEST_CASE("equal maps are all sink: exactly nothing is left") {
  for (const at::Device device : devices()) {
    Random random(22);
    const at::Tensor one = maps(random, 1, 33, device);
    const at::Tensor map = one.expand({7, 33});
    const Normalised got = normalise(map, at::full({7}, 33.3, one.options()), {});
    CATCH_CHECK(values_of(got.shown_tc) == std::vector<double>(7 * 33));
    CATCH_CHECK(values_of(got.range_max)[0] == 1);
    CATCH_CHECK(values_of(got.max_lift_t)[0] > 0);
  }
}

CATCH_TEST_CASE("noise between maps that nearly share a peak is not stretched over all colours") {
  for (const at::Device device : devices()) {
    std::vector<double> values(4 * 64, 0.001);
    for (size_t t = 0; t < 4; ++t) values[t * 64 + 9] = 0.9 + 0.001 * static_cast<double>(t);
    const at::Tensor map = tensor_of(values, {4, 64}, at::kFloat, device);
    const Normalised got = normalise(map, at::full({4}, 64.0, map.options()), {});
    CATCH_CHECK(values_of(got.range_max)[0] == 1);
    const std::vector<double> value = values_of(got.value_tc);
    CATCH_CHECK(*std::max_element(value.begin(), value.end()) < 0.2);
  }
}

CATCH_TEST_CASE("where the percentile is 0 the maximum sets the range") {
  for (const at::Device device : devices()) {
    std::vector<double> values(400);
    values[17] = 0.5;
    const at::Tensor map = tensor_of(values, {1, 400}, at::kFloat, device);
    const Normalised got = normalise(map, at::full({1}, 10.0, map.options()), {});
    CATCH_CHECK(values_of(got.range_max)[0] == 5);
    CATCH_CHECK(values_of(got.value_tc)[17] == 1);
    CATCH_CHECK(values_of(got.entropy_t)[0] == 0);
  }
}

CATCH_TEST_CASE("a map is diffuse below twice uniform attention or above an entropy of 0.95") {
  for (const at::Device device : devices()) {
    const auto diffuse = [&](const std::vector<double>& map, double visible) {
      const auto cells = static_cast<int64_t>(map.size());
      const at::Tensor map_tc = tensor_of(map, {1, cells}, at::kFloat, device);
      const Normalised got = normalise(map_tc, at::full({1}, visible, map_tc.options()), {});
      const bool dark = values_of(got.value_tc) == std::vector<double>(map.size());
      CATCH_CHECK(dark == (values_of(got.diffuse_t)[0] != 0));
      return dark;
    };
    CATCH_CHECK_FALSE(diffuse({0.25, 0, 0, 0}, 8));
    CATCH_CHECK(diffuse({0.249, 0, 0, 0}, 8));
    // Of two cells, a share of 0.35 has entropy 0.934 and one of 0.40 has 0.971, wherever the rest of the mass is.
    CATCH_CHECK_FALSE(diffuse({0.35, 0.65}, 100));
    CATCH_CHECK(diffuse({0.40, 0.60}, 100));
    CATCH_CHECK_FALSE(diffuse({0.035, 0.065}, 100));
    CATCH_CHECK(diffuse({0.04, 0.06}, 100));
  }
}

CATCH_TEST_CASE("normalise takes what is no number for 0") {
  for (const at::Device device : devices()) {
    const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
    const at::Tensor map = tensor_of({nan, 0.5, inf, -1}, {1, 4}, at::kFloat, device);
    const Normalised got = normalise(map, at::full({1}, 8.0, map.options()), {});
    CATCH_CHECK(values_of(got.lift_tc) == std::vector<double>{0, 4, 0, 0});
    for (double x : values_of(got.value_tc)) CATCH_CHECK((x >= 0 && x <= 1));
  }
}

CATCH_TEST_CASE("colour shows the published anchor colours") {
  using Rgb = std::array<int, 3>;
  struct Anchors {
    Colormap map;
    Rgb low, quarter, middle, high;  // entries 0, 64, 128, 255
  };
  const std::vector<Anchors> anchors = {
      {Colormap::Turbo, {48, 18, 59}, {40, 188, 235}, {164, 252, 60}, {122, 4, 3}},
      {Colormap::Inferno, {0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {252, 255, 164}},
      {Colormap::Viridis, {68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {253, 231, 37}},
      {Colormap::Cividis, {0, 34, 78}, {67, 78, 108}, {125, 124, 120}, {254, 232, 56}},
      {Colormap::Gray, {0, 0, 0}, {64, 64, 64}, {128, 128, 128}, {255, 255, 255}},
      {Colormap::Diverging, {0, 60, 200}, {129, 158, 228}, {255, 255, 255}, {200, 20, 20}}};
  for (const at::Device device : devices()) {
    const at::Tensor value = tensor_of({0, 64 / 255.0, 0.5, 1}, {2, 2}, at::kFloat, device);
    for (const Anchors& want : anchors) {
      CATCH_CAPTURE(device.str(), int(want.map));
      const at::Tensor got = colour(value, want.map);
      CATCH_CHECK(got.sizes() == at::IntArrayRef({2, 2, 3}));
      std::vector<int> flat;
      for (const Rgb& rgb : {want.low, want.quarter, want.middle, want.high})
        flat.insert(flat.end(), rgb.begin(), rgb.end());
      CATCH_CHECK(differs(values_of(got), flat) == "");
    }
  }
}

CATCH_TEST_CASE("turbo ends warm and begins cool, diverging is blue below and red above") {
  for (const at::Device device : devices()) {
    const at::Tensor value = tensor_of({0.15, 0.85}, {2}, at::kFloat, device);
    for (const Colormap map : {Colormap::Turbo, Colormap::Diverging}) {
      const std::vector<double> rgb = values_of(colour(value, map));
      CATCH_CHECK(rgb[2] > rgb[0]);
      CATCH_CHECK(rgb[3] > rgb[5]);
    }
  }
}

CATCH_TEST_CASE("colour clamps, takes NaN for 0, and reads any layout and shape") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const at::Device device : devices()) {
    const at::Tensor odd = tensor_of({-1, -inf, nan, 2, inf, 1e-40}, {6}, at::kFloat, device);
    std::vector<int> want;
    for (int entry : {0, 0, 0, 255, 255, 0}) want.insert(want.end(), 3, entry);
    CATCH_CHECK(differs(values_of(colour(odd, Colormap::Gray)), want) == "");

    Random random(26);
    const at::Tensor value = random.tensor({3, 4, 5}, at::kFloat, 0, 1, device);
    for (const Layout layout : kLayouts) {
      CATCH_CHECK(values_of(colour(laid_out(value, layout), Colormap::Turbo)) ==
                  values_of(colour(value, Colormap::Turbo)));
    }
    const at::Tensor scalar = at::full({}, 1.0, value.options());
    CATCH_CHECK(colour(scalar, Colormap::Gray).sizes() == at::IntArrayRef({3}));
    CATCH_CHECK(colour(value.narrow(0, 0, 0), Colormap::Gray).sizes() == at::IntArrayRef({0, 4, 5, 3}));
  }
}

CATCH_TEST_CASE("blend matches float64 and keeps the base where the value is at or below the start") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      for (const BlendOptions& options : {BlendOptions{}, BlendOptions{1, 0, 1}, BlendOptions{0, 0.5, 0.7},
                                          BlendOptions{1, 1, 1}, BlendOptions{0.8, 0.5, 0.5}}) {
        CATCH_CAPTURE(device.str(), name(layout), options.alpha_max, options.alpha_start, options.alpha_full);
        Random random(27);
        const at::Tensor rgb = random.tensor({31, 33, 3}, at::kByte, 0, 255.99, device);
        const at::Tensor colours = laid_out(random.tensor({31, 33, 3}, at::kByte, 0, 255.99, device), layout);
        at::Tensor value = random.tensor({31, 33}, at::kFloat, -0.2, 1.2, device);
        value.select(0, 0).fill_(options.alpha_start);
        value.select(0, 1).fill_(std::nan(""));
        value.select(0, 2).fill_(1.0);
        value = laid_out(value, layout);
        const std::vector<double> got = values_of(blend(rgb, colours, value, options));
        const std::vector<double> base = values_of(rgb), over = values_of(colours), v = values_of(value);
        int kept = 0;
        for (size_t i = 0; i < v.size(); ++i) {
          const bool shown = v[i] > options.alpha_start && options.alpha_start < 1;
          const double width = options.alpha_full - options.alpha_start;
          const double rise = width > 0 ? (v[i] - options.alpha_start) / width : 1;
          const double s = shown ? std::min(rise, 1.0) : 0;
          const double alpha = options.alpha_max * s * s * (3 - 2 * s);
          for (size_t c = 3 * i; c < 3 * i + 3; ++c) {
            const double mixed = base[c] * (1 - alpha) + over[c] * alpha;
            if (!shown) {
              CATCH_REQUIRE(got[c] == base[c]);
              ++kept;
            }
            CATCH_REQUIRE(std::abs(got[c] - mixed) <= 0.501);  // rounded to the nearest
          }
        }
        CATCH_CHECK(kept > 150);
        CATCH_CHECK(values_of(rgb) == base);
      }
    }
  }
}

CATCH_TEST_CASE("top_mass is the smallest set that holds the share, ties by index") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      for (const double share : {0.0, 0.25, 0.5, 0.9, 1.0}) {
        for (const int64_t cells : {1, 2, 33, 257}) {
          CATCH_CAPTURE(device.str(), name(layout), share, cells);
          Random random(28);
          std::vector<double> values = random.many(3 * cells);
          for (double& x : values) x = std::floor(4 * x);  // whole numbers: exact sums, many ties, many zeros
          const at::Tensor map = laid_out(tensor_of(values, {3, cells}, at::kFloat, device), layout);
          std::vector<double> want(values.size());
          for (int64_t t = 0; t < 3; ++t) {
            const double* row = values.data() + t * cells;
            std::vector<int64_t> order(static_cast<size_t>(cells));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return row[a] > row[b]; });
            const double total = std::accumulate(row, row + cells, 0.0);
            double held = 0;
            for (int64_t i : order) {
              if (held >= share * total) break;
              want[static_cast<size_t>(t * cells + i)] = 1;
              held += row[i];
            }
          }
          const at::Tensor got = top_mass(map, share);
          CATCH_CHECK(got.scalar_type() == at::kBool);
          CATCH_CHECK(differs(values_of(got), want) == "");
        }
      }
    }
    const at::Tensor zeros = at::full({2, 5}, 0.0, at::TensorOptions().device(device));
    CATCH_CHECK(values_of(top_mass(zeros)) == std::vector<double>(10));
    CATCH_CHECK(top_mass(zeros.narrow(0, 0, 0)).sizes() == at::IntArrayRef({0, 5}));
    CATCH_CHECK(top_mass(zeros.narrow(1, 0, 0)).sizes() == at::IntArrayRef({2, 0}));
  }
}

// SPDX-License-Identifier: MIT
// reduce, finish, rollout and compose against float64.
#include <gaze/ops/reduce.hpp>

#include <algorithm>
#include <limits>

#include "tensors.hpp"

using namespace gaze::ops;
using namespace gaze::test;

namespace {

/// What the accumulator holds, computed the long way.
struct Expected {
  Expected(int64_t tokens, int64_t cells)
      : map(size_t(tokens * cells)),
        weight(size_t(tokens)),
        mass(weight),
        visible(weight),
        rows(weight),
        cells(cells) {}

  /// One layer: weights [heads][keys] of one row.
  void add(int64_t token, const std::vector<std::vector<double>>& attn_hk, int64_t first_key, const ReduceOptions& by) {
    const size_t heads = attn_hk.size(), keys = attn_hk[0].size();
    const size_t first = static_cast<size_t>(first_key), n = static_cast<size_t>(cells);
    std::vector<double> focus(heads), head_mass(heads);
    for (size_t h = 0; h < heads; ++h) {
      for (size_t c = 0; c < n; ++c) head_mass[h] += attn_hk[h][first + c];
      double entropy = 0;
      for (size_t c = 0; c < n && n > 1; ++c) {
        const double p = head_mass[h] > 0 ? attn_hk[h][first + c] / head_mass[h] : 0;
        if (p > 0) entropy -= p * std::log(p) / std::log(static_cast<double>(n));
      }
      focus[h] = head_mass[h] * (1 - entropy);
    }
    std::vector<double> factor(heads, 1.0);
    double layer = 1, focus_sum = 0;
    for (double f : focus) focus_sum += f;
    if (by.heads == HeadReduce::One) {
      std::fill(factor.begin(), factor.end(), 0.0);
      factor[static_cast<size_t>(by.head)] = 1;
    } else if (by.heads == HeadReduce::TopK) {
      std::vector<double> sorted = focus;
      std::sort(sorted.rbegin(), sorted.rend());
      const double least = sorted[std::min(heads, static_cast<size_t>(by.k)) - 1];
      for (size_t h = 0; h < heads; ++h) factor[h] = focus[h] >= least ? 1 : 0;
    } else if (by.heads == HeadReduce::Weighted) {
      if (focus_sum > 0) factor = focus;
      if (by.layers == LayerReduce::Weighted) layer = focus_sum;
    }
    double factors = 0;
    for (double f : factor) factors += f;
    const size_t t = static_cast<size_t>(token);
    for (size_t c = 0; c < n; ++c) {
      double mixed = 0, most = 0, least = 1;
      for (size_t h = 0; h < heads; ++h) {
        mixed += factor[h] / factors * attn_hk[h][first + c];
        most = std::max(most, attn_hk[h][first + c]);
        least = std::min(least, attn_hk[h][first + c]);
      }
      const double value = by.heads == HeadReduce::Max ? most : by.heads == HeadReduce::Min ? least : mixed;
      double& cell = map[t * n + c];
      if (by.layers == LayerReduce::Max) {
        cell = std::max(cell, value);
      } else if (by.layers == LayerReduce::Last) {
        cell = value;
      } else {
        cell += layer * value;
      }
    }
    const bool sums = by.layers == LayerReduce::Mean || by.layers == LayerReduce::Weighted;
    weight[t] = sums ? weight[t] + layer : 1;
    for (double m : head_mass) mass[t] += m / static_cast<double>(heads);
    for (size_t i = 0; i < keys; ++i) {
      visible[t] += std::any_of(attn_hk.begin(), attn_hk.end(), [&](const auto& head) { return head[i] != 0; });
    }
    rows[t] += 1;
  }

  std::vector<double> map, weight, mass, visible, rows;
  int64_t cells;
};

std::vector<std::vector<double>> row_of(const Array& attn, int64_t batch, int64_t query) {
  std::vector<std::vector<double>> row(static_cast<size_t>(attn.sizes[1]));
  for (int64_t h = 0; h < attn.sizes[1]; ++h) {
    for (int64_t k = 0; k < attn.sizes[3]; ++k) row[static_cast<size_t>(h)].push_back(attn(batch, h, query, k));
  }
  return row;
}

const std::vector<HeadReduce> kHeads = {HeadReduce::Mean,     HeadReduce::Max, HeadReduce::Min,
                                        HeadReduce::Weighted, HeadReduce::One, HeadReduce::TopK};
const std::vector<LayerReduce> kLayers = {LayerReduce::Mean, LayerReduce::Max, LayerReduce::Last,
                                          LayerReduce::Weighted};

void check(const Accumulator& got, const Expected& want) {
  CATCH_CHECK(differs(values_of(got.map_tc), want.map, kSums) == "");
  CATCH_CHECK(differs(values_of(got.weight_t), want.weight, kSums) == "");
  CATCH_CHECK(differs(values_of(got.mass_t), want.mass, kSums) == "");
  CATCH_CHECK(differs(values_of(got.visible_t), want.visible) == "");
  CATCH_CHECK(differs(values_of(got.calls_t), want.rows) == "");
  CATCH_CHECK(differs(values_of(got.rows_t), want.rows) == "");
  CATCH_CHECK(differs(values_of(got.flags_t), std::vector<double>(want.rows.size())) == "");
}

}  // namespace

CATCH_TEST_CASE("reduce matches float64 for every way to reduce, dtype and layout") {
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const Layout layout : kLayouts) {
        Random random(1);
        std::vector<at::Tensor> layers;
        for (int i = 0; i < 3; ++i) {
          layers.push_back(laid_out(random.weights({2, 5, 6, 67}, dtype, 0.1, device), layout));
        }
        for (const HeadReduce heads : kHeads) {
          for (const LayerReduce by_layer : kLayers) {
            CATCH_CAPTURE(device.str(), c10::toString(dtype), name(layout), int(heads), int(by_layer));
            const ReduceOptions by{heads, 3, 2, by_layer};
            const RowRange range{1, 2, 3, 11, 1};
            Accumulator to = make_accumulator(5, 33, device);
            Expected want(5, 33);
            for (const at::Tensor& attn : layers) {
              reduce(attn, range, by, to);
              const Array values(attn);
              for (int64_t t = 0; t < 3; ++t) want.add(1 + t, row_of(values, 1, 2 + t), 11, by);
            }
            check(to, want);

            const Reduced done = finish(to, 4, by);
            std::vector<double> map, mass, visible;
            for (size_t t = 0; t < 4; ++t) {
              for (size_t c = 0; c < 33; ++c) {
                map.push_back(want.weight[t] > 0 ? want.map[t * 33 + c] / want.weight[t] : 0);
              }
              mass.push_back(want.rows[t] > 0 ? want.mass[t] / want.rows[t] : 0);
              visible.push_back(want.rows[t] > 0 ? want.visible[t] / want.rows[t] : 0);
            }
            CATCH_CHECK(differs(values_of(done.map_tc), map, kSums) == "");
            CATCH_CHECK(differs(values_of(done.mass_t), mass, kSums) == "");
            CATCH_CHECK(differs(values_of(done.visible_t), visible, kSums) == "");
            CATCH_CHECK(done.map_tc.sizes() == at::IntArrayRef({4, 33}));
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("reduce of chosen heads matches float64: every head counts the same, whichever layer it is of") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      for (const HeadReduce heads : kHeads) {
        for (const LayerReduce by_layer : kLayers) {
          CATCH_CAPTURE(device.str(), name(layout), int(heads), int(by_layer));
          Random random(21);
          const ReduceOptions by{heads, 0, 2, by_layer};
          const std::vector<std::vector<int64_t>> chosen = {{1, 3, 4}, {2}};
          Accumulator to = make_accumulator(4, 33, device);
          Expected want(4, 33);
          std::vector<double> map(4 * 33), mass(4), visible(4), count(4);  // the plain mean, by hand
          for (const std::vector<int64_t>& of_layer : chosen) {
            const at::Tensor attn = laid_out(random.weights({2, 5, 6, 67}, at::kFloat, 0.6, device), layout);
            reduce(attn, {1, 2, 3, 11, 1, false, of_layer}, by, to);
            const Array values(attn);
            for (int64_t t = 0; t < 3; ++t) {
              const auto all = row_of(values, 1, 2 + t);
              std::vector<std::vector<double>> some;
              for (const int64_t h : of_layer) some.push_back(all[static_cast<size_t>(h)]);
              want.add(1 + t, some, 11, by);
              const auto row = static_cast<size_t>(1 + t);
              for (const auto& head : some) {
                for (size_t c = 0; c < 33; ++c) map[row * 33 + c] += head[11 + c], mass[row] += head[11 + c];
                for (size_t i = 0; i < head.size(); ++i) {
                  visible[row] += std::any_of(all.begin(), all.end(), [&](const auto& any) { return any[i] != 0; });
                }
                ++count[row];
              }
            }
          }
          CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{0, 2, 2, 2});
          CATCH_CHECK(values_of(to.rows_t) == count);
          const Reduced done = finish(to, 4, by);
          for (size_t t = 1; t < 4; ++t) mass[t] /= count[t], visible[t] /= count[t];
          CATCH_CHECK(differs(values_of(done.mass_t), mass, kSums) == "");
          CATCH_CHECK(differs(values_of(done.visible_t), visible, kSums) == "");
          if (by_layer == LayerReduce::Mean && heads == HeadReduce::Mean) {
            for (size_t i = 33; i < map.size(); ++i) map[i] /= count[i / 33];
            CATCH_CHECK(differs(values_of(done.map_tc), map, kSums) == "");
          } else if (by_layer != LayerReduce::Mean &&
                     (by_layer != LayerReduce::Weighted || heads == HeadReduce::Weighted)) {
            CATCH_CHECK(differs(values_of(to.map_tc), want.map, kSums) == "");
            CATCH_CHECK(differs(values_of(to.weight_t), want.weight, kSums) == "");
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("reduce refuses heads that are not there, out of order or too many") {
  const at::Tensor attn = Random(22).weights({1, 3, 1, 4}, at::kFloat);
  Accumulator to = make_accumulator(1, 4, at::kCPU);
  const auto error = [&](const std::vector<int64_t>& heads) {
    return error_of([&] { reduce(attn, {0, 0, 1, 0, 0, false, heads}, {}, to); });
  };
  CATCH_CHECK(error({0, 3}) == "gaze::reduce: range.heads: expected ascending heads in 0..2, got [0, 3]");
  CATCH_CHECK(error({1, 1}) == "gaze::reduce: range.heads: expected ascending heads in 0..2, got [1, 1]");
  CATCH_CHECK(error({-1}) == "gaze::reduce: range.heads: expected ascending heads in 0..2, got [-1]");
  CATCH_CHECK(error(std::vector<int64_t>(65)) == "gaze::reduce: range.heads: expected at most 64, got 65");
  CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{0});
}

CATCH_TEST_CASE("reduce takes windows at every border and of every size") {
  for (const at::Device device : devices()) {
    Random random(2);
    const at::Tensor attn = random.weights({1, 2, 4, 33}, at::kFloat, 0.2, device);
    const Array values(attn);
    const ReduceOptions by;
    for (const int64_t cells : {1, 2, 31, 32, 33}) {
      for (const int64_t queries : {0, 1, 4}) {
        for (const int64_t first_key : {int64_t{0}, 33 - cells}) {
          CATCH_CAPTURE(device.str(), cells, queries, first_key);
          Accumulator to = make_accumulator(4, cells, device);
          reduce(attn, {0, 4 - queries, queries, first_key, 4 - queries}, by, to);
          Expected want(4, cells);
          for (int64_t t = 4 - queries; t < 4; ++t) want.add(t, row_of(values, 0, t), first_key, by);
          check(to, want);
        }
      }
    }
  }
}

CATCH_TEST_CASE("reduce reads nothing outside of its range") {
  for (const at::Device device : devices()) {
    Random random(3);
    at::Tensor attn = random.weights({3, 2, 5, 17}, at::kFloat, 0, device);
    at::Tensor poisoned = attn.clone().fill_(std::nan(""));
    poisoned.select(0, 1).select(1, 2).copy_(attn.select(0, 1).select(1, 2));
    Accumulator to = make_accumulator(1, 9, device), want = make_accumulator(1, 9, device);
    reduce(poisoned, {1, 2, 1, 4, 0}, {}, to);
    reduce(attn, {1, 2, 1, 4, 0}, {}, want);
    CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{0});
    CATCH_CHECK(values_of(to.map_tc) == values_of(want.map_tc));
    CATCH_CHECK(values_of(to.mass_t)[0] > 0);
  }
}

CATCH_TEST_CASE("heads without weight on the medium fall back to the plain mean") {
  for (const at::Device device : devices()) {
    // Uniform over the two cells: entropy 1, so every head weight is 0.
    const at::Tensor attn = tensor_of({0.25, 0.25, 0.5, 0.1, 0.1, 0.8}, {1, 2, 1, 3}, at::kFloat, device);
    Accumulator to = make_accumulator(1, 2, device);
    reduce(attn, {}, {HeadReduce::Weighted, 0, 1, LayerReduce::Mean}, to);
    CATCH_CHECK(differs(values_of(to.map_tc), std::vector<double>{0.175, 0.175}, kSums) == "");
    // As layers, they weigh nothing: no row, but mass and visible keys stay known.
    Accumulator weighted = make_accumulator(1, 2, device);
    reduce(attn, {}, {HeadReduce::Weighted, 0, 1, LayerReduce::Weighted}, weighted);
    const Reduced done = finish(weighted, 1, {HeadReduce::Weighted, 0, 1, LayerReduce::Weighted});
    CATCH_CHECK(differs(values_of(done.map_tc), std::vector<double>{0, 0}, {1e-6, 0}) == "");
    CATCH_CHECK(differs(values_of(done.mass_t), std::vector<double>{0.35}, kSums) == "");
    CATCH_CHECK(values_of(done.visible_t) == std::vector<double>{3});
  }
}

CATCH_TEST_CASE("TopK of equal heads takes the lower ones, and all where there are fewer than k") {
  for (const at::Device device : devices()) {
    // Heads 0 and 2 are equally focused, on different cells; head 1 looks elsewhere.
    const at::Tensor attn = tensor_of({0.9, 0.1, 0, 0, 0, 1, 0.1, 0.9, 0}, {1, 3, 1, 3}, at::kFloat, device);
    Accumulator one = make_accumulator(1, 2, device), all = make_accumulator(1, 2, device);
    reduce(attn, {}, {HeadReduce::TopK, 0, 1, LayerReduce::Mean}, one);
    reduce(attn, {}, {HeadReduce::TopK, 0, 9, LayerReduce::Mean}, all);
    CATCH_CHECK(differs(values_of(one.map_tc), std::vector<double>{0.9, 0.1}, kSums) == "");
    CATCH_CHECK(differs(values_of(all.map_tc), std::vector<double>{1.0 / 3, 1.0 / 3}, kSums) == "");
  }
}

CATCH_TEST_CASE("a bad row leaves its flag and nothing else, and stays out of the denominators") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  struct Case {
    std::vector<double> attn;  // two heads, three keys
    double flag;
  };
  const std::vector<Case> cases = {{{0.5, nan, 0.5, 0.2, 0.3, 0.5}, kRowNonFinite},
                                   {{0.5, 0.2, 0.3, 0.2, inf, 0.5}, kRowNonFinite},
                                   {{0.5, 0.2, 0.3, inf, -inf, 0.5}, kRowNonFinite},
                                   {{0.5, 0.2, 0.3, 0.2, 0.3, 0.6}, kRowSum},
                                   {{1, 2, 3, 1, 2, 3}, kRowSum},
                                   {{0.5, -0.5, 0, 0.2, 0.3, 0.5}, kRowSum},
                                   {{1, nan, 3, 1, 2, 3}, kRowNonFinite | kRowSum},
                                   {{0, 0, 0, 0, 0, 0}, kRowFullyMasked}};
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const Case& bad : cases) {
        CATCH_CAPTURE(device.str(), c10::toString(dtype), bad.attn);
        const at::Tensor good = tensor_of({0.5, 0.25, 0.25, 0.25, 0.25, 0.5}, {1, 2, 1, 3}, dtype, device);
        const ReduceOptions mean{HeadReduce::Mean, 0, 1, LayerReduce::Mean};
        Accumulator to = make_accumulator(1, 2, device);
        reduce(good, {}, mean, to);
        reduce(tensor_of(bad.attn, {1, 2, 1, 3}, dtype, device), {}, mean, to);
        CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{bad.flag});
        CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{2});
        CATCH_CHECK(values_of(to.rows_t) == std::vector<double>{1});
        const Reduced done = finish(to, 1, mean);
        CATCH_CHECK(values_of(done.map_tc) == std::vector<double>{0.375, 0.25});
        CATCH_CHECK(values_of(done.mass_t) == std::vector<double>{0.625});
        CATCH_CHECK(values_of(done.visible_t) == std::vector<double>{3});
      }
    }
  }
}

CATCH_TEST_CASE("a head that sees nothing is no reason to drop the row") {
  for (const at::Device device : devices()) {
    const at::Tensor attn = tensor_of({0, 0, 0, 0.5, 0.5, 0}, {1, 2, 1, 3}, at::kFloat, device);
    Accumulator to = make_accumulator(1, 3, device);
    reduce(attn, {}, {HeadReduce::Mean, 0, 1, LayerReduce::Mean}, to);
    CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{0});
    CATCH_CHECK(values_of(to.map_tc) == std::vector<double>{0.25, 0.25, 0});
    CATCH_CHECK(values_of(to.visible_t) == std::vector<double>{2});
  }
}

CATCH_TEST_CASE("rows of half and bfloat16 weights may miss 1 by what rounding explains and no more") {
  struct Case {
    at::ScalarType dtype;
    double off;
    double flag;
  };
  const std::vector<Case> cases = {{at::kFloat, 0.0009, 0},    {at::kFloat, 0.0012, kRowSum},
                                   {at::kHalf, 0.004, 0},      {at::kHalf, 0.007, kRowSum},
                                   {at::kBFloat16, 0.0156, 0}, {at::kBFloat16, 0.0313, kRowSum}};
  for (const at::Device device : devices()) {
    for (const Case& each : cases) {
      CATCH_CAPTURE(device.str(), c10::toString(each.dtype), each.off);
      const at::Tensor attn = tensor_of({0.5, 0.5, each.off}, {1, 1, 1, 3}, each.dtype, device);
      Accumulator to = make_accumulator(1, 3, device);
      reduce(attn, {}, {}, to);
      CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{each.flag});
    }
  }
}

CATCH_TEST_CASE("partial rows may sum to less than 1, not to more") {
  for (const at::Device device : devices()) {
    for (const auto& [weight, flag] : {std::pair<double, double>{0.25, 0}, {0.75, kRowSum}}) {
      CATCH_CAPTURE(device.str(), weight);
      const at::Tensor attn = tensor_of({0.5, weight, 0}, {1, 1, 1, 3}, at::kFloat, device);
      RowRange range;
      range.partial = true;
      Accumulator to = make_accumulator(1, 3, device);
      reduce(attn, range, {HeadReduce::Mean, 0, 1, LayerReduce::Mean}, to);
      CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{flag});
      if (flag == 0) CATCH_CHECK(values_of(to.map_tc) == std::vector<double>{0.5, weight, 0});
    }
  }
}

CATCH_TEST_CASE("denormal weights are weights") {
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      const double tiny = dtype == at::kHalf ? 6e-8 : 1e-39;
      const at::Tensor attn = tensor_of({1, tiny, 0, tiny}, {1, 1, 1, 4}, dtype, device);
      Accumulator to = make_accumulator(1, 2, device);
      reduce(attn, {0, 0, 1, 1, 0}, {}, to);
      CATCH_CAPTURE(device.str(), c10::toString(dtype));
      CATCH_CHECK(values_of(to.visible_t) == std::vector<double>{3});
      CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{0});
      CATCH_CHECK(std::isfinite(values_of(to.map_tc)[0]));
    }
  }
}

CATCH_TEST_CASE("finish of rows nobody wrote is zero, not NaN") {
  for (const at::Device device : devices()) {
    const Accumulator empty = make_accumulator(3, 4, device);
    const Reduced done = finish(empty, 3, {});
    CATCH_CHECK(values_of(done.map_tc) == std::vector<double>(12));
    CATCH_CHECK(values_of(done.mass_t) == std::vector<double>(3));
    CATCH_CHECK(values_of(done.visible_t) == std::vector<double>(3));
    CATCH_CHECK(finish(empty, 0, {}).map_tc.sizes() == at::IntArrayRef({0, 4}));
  }
}

CATCH_TEST_CASE("rollout matches float64 and keeps rows at 1") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      Random random(4);
      const at::Tensor attn = laid_out(random.weights({4, 7, 7}, at::kFloat, 0, device), layout);
      const Array a(attn);
      std::vector<double> product(49);
      for (size_t i = 0; i < 7; ++i) product[i * 8] = 1;
      for (int64_t l = 0; l < 4; ++l) {
        std::vector<double> next(49);
        for (int64_t i = 0; i < 7; ++i) {
          for (int64_t j = 0; j < 7; ++j) {
            for (int64_t m = 0; m < 7; ++m) {
              const double step = 0.5 * a(l, i, m) + (i == m ? 0.5 : 0.0);
              next[static_cast<size_t>(i * 7 + j)] += step * product[static_cast<size_t>(m * 7 + j)];
            }
          }
        }
        product = next;
      }
      const std::vector<double> got = values_of(rollout(attn));
      CATCH_CHECK(differs(got, product, kSums) == "");
      for (size_t i = 0; i < 7; ++i) {
        double total = 0;
        for (size_t j = 0; j < 7; ++j) total += got[i * 7 + j];
        CATCH_CHECK(total == Approx(1).margin(1e-5));
      }
    }
  }
}

CATCH_TEST_CASE("a rollout of rows is that of the whole matrices, row by row and with masked ones") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      Random random(7);
      const at::Tensor attn = random.weights({7, 7}, at::kFloat, 0, device).tril();
      attn[3].zero_();
      const at::Tensor before = laid_out(random.tensor({7, 4}, at::kFloat, 0, 1, device), layout);
      const Array a(attn), b(before);
      for (const int64_t queries : {7, 3, 1}) {
        std::vector<double> wanted;
        for (int64_t q = 7 - queries; q < 7; ++q) {
          double sum = 1;
          for (int64_t k = 0; k < 7; ++k) sum += a(q, k);
          for (int64_t m = 0; m < 4; ++m) {
            double value = b(q, m);
            for (int64_t k = 0; k < 7; ++k) value += a(q, k) * b(k, m);
            wanted.push_back(value / sum);
          }
        }
        at::Tensor after = at::empty({queries, 4}, before.options());
        rollout_rows(laid_out(attn.narrow(0, 7 - queries, queries), layout), before, after);
        CATCH_CHECK(differs(values_of(after), wanted, kSums) == "");
      }
    }
  }
}

CATCH_TEST_CASE("a map over latents is carried on to what they were made of, and keeps its sums") {
  for (const at::Device device : devices()) {
    for (const Layout layout : kLayouts) {
      Random random(5);
      const at::Tensor map = laid_out(random.tensor({5, 3}, at::kFloat, 0, 1, device), layout);
      const at::Tensor made_of = laid_out(random.tensor({3, 13}, at::kFloat, 0, 4, device), layout);
      made_of[1].zero_();
      const Array m(map), a(made_of);
      std::vector<double> wanted(5 * 13);
      for (int64_t j = 0; j < 3; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < 13; ++k) sum += a(j, k);
        for (int64_t t = 0; t < 5 && sum > 0; ++t) {
          for (int64_t k = 0; k < 13; ++k) wanted[static_cast<size_t>(t * 13 + k)] += m(t, j) * a(j, k) / sum;
        }
      }
      const std::vector<double> got = values_of(compose(map, made_of));
      CATCH_CHECK(differs(got, wanted, kSums) == "");
      for (int64_t t = 0; t < 5; ++t) {
        double total = 0;
        for (size_t k = 0; k < 13; ++k) total += got[static_cast<size_t>(t) * 13 + k];
        CATCH_CHECK(total == Approx(m(t, 0) + m(t, 2)).margin(1e-5));
      }
    }
  }
}

CATCH_TEST_CASE("merged sums of two accumulators are those of one that saw all layers") {
  for (const at::Device device : devices()) {
    for (const LayerReduce layers : {LayerReduce::Mean, LayerReduce::Max, LayerReduce::Weighted, LayerReduce::Last}) {
      CATCH_CAPTURE(device.str(), static_cast<int>(layers));
      Random random(3);
      const ReduceOptions options{.layers = layers};
      Accumulator all = make_accumulator(4, 20, device), one = make_accumulator(4, 20, device),
                  two = make_accumulator(4, 20, device);
      const int64_t count = layers == LayerReduce::Last ? 1 : 3;
      for (int64_t layer = 0; layer < count; ++layer) {
        at::Tensor attn = random.weights({1, 3, 4, 20}, at::kFloat, 0.1, device);
        if (layer == 1) attn[0][1][2][5] = std::nan("");
        reduce(attn, {0, 0, 4, 0, 0}, options, all);
        reduce(attn, {0, 0, 4, 0, 0}, options, layer == 0 ? one : two);
      }
      merge(one, two, options);
      CATCH_CHECK(differs(values_of(one.map_tc), values_of(all.map_tc), kSums) == "");
      CATCH_CHECK(differs(values_of(one.weight_t), values_of(all.weight_t), kSums) == "");
      CATCH_CHECK(differs(values_of(one.mass_t), values_of(all.mass_t), kSums) == "");
      CATCH_CHECK(differs(values_of(one.visible_t), values_of(all.visible_t)) == "");
      CATCH_CHECK(differs(values_of(one.calls_t), values_of(all.calls_t)) == "");
      CATCH_CHECK(differs(values_of(one.rows_t), values_of(all.rows_t)) == "");
      CATCH_CHECK(differs(values_of(one.flags_t), values_of(all.flags_t)) == "");
    }
  }
}

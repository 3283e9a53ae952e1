// SPDX-License-Identifier: MIT
// attend and attend_reduce against float64 and against torch's own attention.
#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/full.h>
#include <gaze/ops/attend.hpp>

#include <limits>

#include "tensors.hpp"

using namespace gaze::ops;
using namespace gaze::test;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Problem {
  at::Tensor q, k;
  std::optional<at::Tensor> mask = {};
  bool causal = false;
  std::optional<double> scale = {};
  Scores scores() const { return {q, k, mask, causal, scale}; }
};

/// What a mask adds to a score, broadcast from the right; no mask adds 0.
double added(const std::optional<Array>& mask, bool boolean, int64_t b, int64_t h, int64_t q, int64_t k) {
  if (!mask) return 0;
  const int64_t at[4] = {b, h, q, k};
  int64_t flat = 0;
  for (size_t d = 0; d < mask->sizes.size(); ++d) {
    const int64_t n = mask->sizes[d];
    flat = flat * n + (n == 1 ? 0 : at[d + 4 - mask->sizes.size()]);
  }
  const double value = mask->values[static_cast<size_t>(flat)];
  return boolean ? (value != 0 ? 0 : -kInf) : value;
}

/// softmax(q k^T scale + mask) of the range, [heads, queries, keys].
std::vector<double> reference(const Problem& problem, const RowRange& range) {
  const Array q(problem.q), k(problem.k);
  const std::optional<Array> mask = problem.mask ? std::optional<Array>(*problem.mask) : std::nullopt;
  const bool boolean = problem.mask && problem.mask->scalar_type() == at::kBool;
  const int64_t heads = q.sizes[1], kv_heads = k.sizes[1], keys = k.sizes[2], size = q.sizes[3];
  const double scale = problem.scale.value_or(1 / std::sqrt(static_cast<double>(size)));
  std::vector<double> out;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = range.first_query; i < range.first_query + range.queries; ++i) {
      std::vector<double> row;
      double top = -kInf, total = 0;
      for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int64_t d = 0; d < size; ++d) {
          score += q(range.batch, h, i, d) * k(range.batch, h * kv_heads / heads, j, d);
        }
        score = score * scale + added(mask, boolean, range.batch, h, i, j);
        if (problem.causal && j > i) score = -kInf;
        row.push_back(score);
        top = std::max(top, score);
      }
      for (double& x : row) total += x = top == -kInf ? 0 : std::exp(x - top);
      for (double x : row) out.push_back(total > 0 ? x / total : 0);
    }
  }
  return out;
}

/// A mask of either kind that hides about a third of the keys, never all of a row.
at::Tensor random_mask(Random& random, at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  int64_t count = 1;
  for (int64_t n : sizes) count *= n;
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    const bool visible = random.uniform() > 0.33 || i % sizes.back() == 0;
    values.push_back(dtype == at::kBool ? (visible ? 1 : 0) : visible ? random.uniform(-2, 2) : -kInf);
  }
  return tensor_of(values, sizes, dtype, device);
}

}  // namespace

CATCH_TEST_CASE("attend matches float64 for every dtype, layout and number of heads") {
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const Layout layout : kLayouts) {
        for (const int64_t kv_heads : {1, 2, 6}) {
          for (const int64_t size : {1, 13, 64}) {
            CATCH_CAPTURE(device.str(), c10::toString(dtype), name(layout), kv_heads, size);
            Random random(5);
            const Problem problem{laid_out(random.tensor({2, 6, 5, size}, dtype, -2, 2, device), layout),
                                  laid_out(random.tensor({2, kv_heads, 33, size}, dtype, -2, 2, device), layout),
                                  std::nullopt};
            const RowRange range{1, 1, 3};
            const at::Tensor got = attend(problem.scores(), range);
            CATCH_CHECK(got.scalar_type() == at::kFloat);
            CATCH_CHECK(got.sizes() == at::IntArrayRef({6, 3, 33}));
            CATCH_CHECK(differs(values_of(got), reference(problem, range), kSoftmax) == "");
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend takes masks of every kind, shape and layout, with and without causality") {
  const std::vector<std::vector<int64_t>> shapes = {{2, 6, 5, 33}, {2, 1, 5, 33}, {2, 1, 1, 33}, {1, 6, 5, 33},
                                                    {1, 1, 5, 1},  {6, 5, 33},    {6, 1, 33},    {1, 5, 33},
                                                    {5, 33},       {1, 33},       {5, 1},        {33}};
  for (const at::Device device : devices()) {
    for (const auto mask_dtype : {at::kBool, at::kFloat, at::kHalf, at::kBFloat16}) {
      for (const Layout layout : kLayouts) {
        for (const auto& shape : shapes) {
          for (const bool causal : {false, true}) {
            CATCH_CAPTURE(device.str(), c10::toString(mask_dtype), name(layout), shape, causal);
            Random random(6);
            const at::Tensor mask = laid_out(random_mask(random, shape, mask_dtype, device), layout);
            const Problem problem{random.tensor({2, 6, 5, 9}, at::kFloat, -1, 1, device),
                                  random.tensor({2, 2, 33, 9}, at::kFloat, -1, 1, device), mask, causal};
            const RowRange range{1, 1, 4};
            CATCH_CHECK(differs(values_of(attend(problem.scores(), range)), reference(problem, range), kSoftmax) == "");
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend takes a mask expanded with stride 0") {
  for (const at::Device device : devices()) {
    Random random(7);
    const at::Tensor mask = random_mask(random, {5, 33}, at::kBool, device).expand({2, 6, 5, 33});
    const Problem problem{random.tensor({2, 6, 5, 9}, at::kFloat, -1, 1, device),
                          random.tensor({2, 6, 33, 9}, at::kFloat, -1, 1, device), mask};
    CATCH_CHECK(differs(values_of(attend(problem.scores(), {0, 0, 5})), reference(problem, {0, 0, 5}), kSoftmax) == "");
  }
}

CATCH_TEST_CASE("causal rows are aligned top-left whether there are more keys or more queries") {
  for (const at::Device device : devices()) {
    for (const int64_t keys : {3, 7, 20}) {
      Random random(8);
      const Problem problem{random.tensor({1, 2, 7, 4}, at::kFloat, -1, 1, device),
                            random.tensor({1, 2, keys, 4}, at::kFloat, -1, 1, device), std::nullopt, true};
      CATCH_CAPTURE(device.str(), keys);
      const std::vector<double> got = values_of(attend(problem.scores(), {0, 0, 7}));
      CATCH_CHECK(differs(got, reference(problem, {0, 0, 7}), kSoftmax) == "");
      CATCH_CHECK(got[0] == 1);  // the first query sees the first key only
    }
  }
}

CATCH_TEST_CASE("attend takes scales of any sign and size") {
  for (const at::Device device : devices()) {
    for (const double scale : {-1.5, 0.0, 1e-3, 1.0, 30.0}) {
      Random random(9);
      const Problem problem{random.tensor({1, 2, 2, 8}, at::kFloat, -1, 1, device),
                            random.tensor({1, 2, 31, 8}, at::kFloat, -1, 1, device), std::nullopt, false, scale};
      CATCH_CAPTURE(device.str(), scale);
      CATCH_CHECK(differs(values_of(attend(problem.scores(), {0, 0, 2})), reference(problem, {0, 0, 2}),
                          {1e-5, 2e-5}) == "");  // a scale of 30 lifts the scores' rounding with them
    }
  }
}

CATCH_TEST_CASE("attend equals the weights of torch's scaled_dot_product_attention") {
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const bool causal : {false, true}) {
        for (const bool gqa : {false, true}) {
          CATCH_CAPTURE(device.str(), c10::toString(dtype), causal, gqa);
          Random random(10);
          const at::Tensor q = random.tensor({2, 6, 5, 16}, dtype, -2, 2, device);
          const at::Tensor k = random.tensor({2, gqa ? 2 : 6, 12, 16}, dtype, -2, 2, device);
          const at::Tensor v = random.tensor({2, gqa ? 2 : 6, 12, 16}, dtype, -2, 2, device);
          std::optional<at::Tensor> mask = {};
          if (!causal) mask = random_mask(random, {2, 1, 5, 12}, dtype, device);
          const at::Tensor theirs = std::get<1>(at::_scaled_dot_product_attention_math(
              q, k, v, mask, 0.0, causal, /*dropout_mask=*/std::nullopt, /*scale=*/0.2, gqa));
          const at::Tensor ours = attend({q, k, mask, causal, 0.2}, {1, 0, 5});
          CATCH_CHECK(differs(values_of(ours), values_of(theirs.select(0, 1)),
                              dtype == at::kFloat  ? kPeerF32
                              : dtype == at::kHalf ? kPeerF16
                                                   : kPeerBF16) == "");
        }
      }
    }
  }
}

CATCH_TEST_CASE("a fully masked row is all zero and flagged") {
  for (const at::Device device : devices()) {
    for (const auto dtype : {at::kBool, at::kFloat}) {
      Random random(11);
      at::Tensor mask = random_mask(random, {3, 9}, dtype, device);
      mask.select(0, 1).fill_(dtype == at::kBool ? 0.0 : -kInf);
      const Problem problem{random.tensor({1, 2, 3, 4}, at::kFloat, -1, 1, device),
                            random.tensor({1, 2, 9, 4}, at::kFloat, -1, 1, device), mask};
      CATCH_CAPTURE(device.str(), c10::toString(dtype));
      const at::Tensor got = attend(problem.scores(), {0, 0, 3});
      CATCH_CHECK(differs(values_of(got), reference(problem, {0, 0, 3}), kSoftmax) == "");
      CATCH_CHECK(values_of(got.select(1, 1)) == std::vector<double>(18));

      Accumulator to = make_accumulator(3, 9, device);
      attend_reduce(problem.scores(), {0, 0, 3}, {}, to);
      CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{0, kRowFullyMasked, 0});
      CATCH_CHECK(values_of(to.rows_t) == std::vector<double>{1, 0, 1});
      CATCH_CHECK(values_of(to.map_tc.select(0, 1)) == std::vector<double>(9));
    }
  }
}

CATCH_TEST_CASE("NaN and infinite scores flag the row and leave the accumulator finite") {
  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const double bad : {std::nan(""), kInf, -kInf}) {
        for (const bool in_query : {false, true}) {
          CATCH_CAPTURE(device.str(), c10::toString(dtype), bad, in_query);
          Random random(12);
          Problem problem{random.tensor({1, 2, 2, 4}, dtype, 0.5, 1, device),
                          random.tensor({1, 2, 9, 4}, dtype, 0.5, 1, device), std::nullopt};
          if (in_query) {
            problem.q.select(2, 1).select(1, 0).select(1, 2).fill_(bad);  // one element of the second row's first head
          } else {
            problem.k.select(2, 3).select(1, 0).select(1, 2).fill_(bad);
          }
          Accumulator to = make_accumulator(2, 9, device);
          attend_reduce(problem.scores(), {0, 0, 2}, {}, to);
          const std::vector<double> flags = values_of(to.flags_t);
          // A key at -infinity weighs 0, as in torch; a whole row at -infinity has no weights at all in one head.
          const double expected = bad == -kInf ? 0 : kRowNonFinite;
          CATCH_CHECK(flags == std::vector<double>{in_query ? 0 : expected, expected});
          for (double x : values_of(to.map_tc)) CATCH_REQUIRE(std::isfinite(x));
          for (double x : values_of(to.mass_t)) CATCH_REQUIRE(std::isfinite(x));
          const std::vector<double> rows = values_of(attend(problem.scores(), {0, 1, 1}));
          for (size_t i = 0; i < 9; ++i) CATCH_CHECK(std::isnan(rows[i]) == (expected != 0));
          for (size_t i = 9; i < 18; ++i) CATCH_CHECK(std::isfinite(rows[i]));
        }
      }
    }
  }
}

CATCH_TEST_CASE("NaN and +infinity in a mask flag the row") {
  for (const at::Device device : devices()) {
    for (const double bad : {std::nan(""), kInf}) {
      Random random(13);
      at::Tensor mask = at::full({2, 5}, 0.0, at::TensorOptions().device(device));
      mask.select(0, 1).select(0, 3).fill_(bad);
      const Problem problem{random.tensor({1, 1, 2, 4}, at::kFloat, -1, 1, device),
                            random.tensor({1, 1, 5, 4}, at::kFloat, -1, 1, device), mask};
      Accumulator to = make_accumulator(2, 5, device);
      attend_reduce(problem.scores(), {0, 0, 2}, {}, to);
      CATCH_CHECK(values_of(to.flags_t) == std::vector<double>{0, kRowNonFinite});
    }
  }
}

CATCH_TEST_CASE("a row that is not finite is NaN as a whole, as in torch, also where causality hides keys") {
  for (const at::Device device : devices()) {
    Random random(18);
    at::Tensor q = random.tensor({1, 2, 3, 4}, at::kFloat, -1, 1, device);
    const at::Tensor k = random.tensor({1, 2, 6, 4}, at::kFloat, -1, 1, device);
    q.select(2, 1).select(1, 0).fill_(std::nan(""));
    const std::vector<double> theirs = values_of(std::get<1>(
        at::_scaled_dot_product_attention_math(q, k, k, std::nullopt, 0.0, true, std::nullopt, std::nullopt, false)));
    CATCH_CHECK(differs(values_of(attend({q, k, std::nullopt, true}, {0, 0, 3})), theirs, kPeerF32) == "");
  }
}

CATCH_TEST_CASE("attend_reduce equals reduce of attend for every way to reduce") {
  for (const at::Device device : devices()) {
    for (const auto heads : {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Min, HeadReduce::Weighted, HeadReduce::One,
                             HeadReduce::TopK}) {
      for (const auto layers : {LayerReduce::Mean, LayerReduce::Max, LayerReduce::Last, LayerReduce::Weighted}) {
        for (const bool masked : {false, true}) {
          CATCH_CAPTURE(device.str(), int(heads), int(layers), masked);
          Random random(14);
          const ReduceOptions by{heads, 1, 2, layers};
          Accumulator got = make_accumulator(4, 20, device), want = make_accumulator(4, 20, device);
          for (int layer = 0; layer < 2; ++layer) {
            Problem problem{random.tensor({2, 4, 5, 8}, at::kFloat, -2, 2, device),
                            random.tensor({2, 2, 33, 8}, at::kFloat, -2, 2, device), std::nullopt};
            if (masked) problem.mask = random_mask(random, {2, 4, 5, 33}, at::kBool, device);
            const RowRange range{1, 1, 3, 6, 1};
            attend_reduce(problem.scores(), range, by, got);
            const at::Tensor weights = attend(problem.scores(), range);
            reduce(weights.unsqueeze(0), {0, 0, 3, 6, 1}, by, want);
          }
          CATCH_CHECK(differs(values_of(got.map_tc), values_of(want.map_tc), kSums) == "");
          CATCH_CHECK(differs(values_of(got.weight_t), values_of(want.weight_t), kSums) == "");
          CATCH_CHECK(differs(values_of(got.mass_t), values_of(want.mass_t), kSums) == "");
          CATCH_CHECK(values_of(got.visible_t) == values_of(want.visible_t));
          CATCH_CHECK(values_of(got.calls_t) == std::vector<double>{0, 2, 2, 2});
          CATCH_CHECK(values_of(got.rows_t) == std::vector<double>{0, 2, 2, 2});
          CATCH_CHECK(values_of(want.mass_t)[1] > 0);
        }
      }
    }
  }
}

CATCH_TEST_CASE("rows are added to some columns of a wider map as to a map of their own, and to no others") {
  for (const at::Device device : devices()) {
    for (const auto heads : {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Weighted, HeadReduce::TopK}) {
      for (const bool recomputed : {false, true}) {
        for (const int64_t cells : {1, 31, 33}) {
          CATCH_CAPTURE(device.str(), int(heads), recomputed, cells);
          Random random(15);
          const ReduceOptions by{heads, 1, 2, LayerReduce::Mean};
          Accumulator wide = make_accumulator(4, cells + 9, device), want = make_accumulator(4, cells, device);
          wide.map_tc.fill_(7);
          wide.map_tc.narrow(1, 4, cells).zero_();
          Accumulator part = wide;
          part.map_tc = wide.map_tc.narrow(1, 4, cells);
          for (int layer = 0; layer < 2; ++layer) {
            const Problem problem{random.tensor({1, 4, 3, 8}, at::kFloat, -2, 2, device),
                                  random.tensor({1, 2, 33, 8}, at::kFloat, -2, 2, device), std::nullopt};
            const RowRange range{0, 0, 3, 33 - cells, 1};
            const at::Tensor weights = attend(problem.scores(), {0, 0, 3}).unsqueeze(0);
            for (Accumulator* to : {&part, &want})
              recomputed ? attend_reduce(problem.scores(), range, by, *to) : reduce(weights, range, by, *to);
          }
          CATCH_CHECK(values_of(part.map_tc) == values_of(want.map_tc));
          CATCH_CHECK(values_of(wide.mass_t) == values_of(want.mass_t));
          CATCH_CHECK(values_of(finish(part, 4, by).map_tc) == values_of(finish(want, 4, by).map_tc));
          for (const at::Tensor& beside : {wide.map_tc.narrow(1, 0, 4), wide.map_tc.narrow(1, 4 + cells, 5)})
            CATCH_CHECK(beside.eq(7).all().item<bool>());
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend_reduce of chosen heads equals reduce of those of attend, one call at a time and several") {
  for (const at::Device device : devices()) {
    for (const auto heads : {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Weighted, HeadReduce::TopK}) {
      for (const bool masked : {false, true}) {
        for (const bool together : {false, true}) {
          CATCH_CAPTURE(device.str(), int(heads), masked, together);
          Random random(23);
          const ReduceOptions by{heads, 0, 2,
                                 heads == HeadReduce::Weighted ? LayerReduce::Weighted : LayerReduce::Mean};
          Accumulator got = make_accumulator(4, 20, device), want = make_accumulator(4, 20, device);
          // Heads 0 to 2 share one head of K, 3 to 5 the other.
          const std::vector<std::vector<int64_t>> chosen = {{0, 2, 3}, {5}, {1, 4}};
          std::vector<Problem> problems;
          std::vector<AttendCall> calls;
          problems.reserve(chosen.size());
          for (const std::vector<int64_t>& of_layer : chosen) {
            Problem& problem =
                problems.emplace_back(Problem{random.tensor({2, 6, 5, 8}, at::kFloat, -2, 2, device),
                                              random.tensor({2, 2, 33, 8}, at::kFloat, -2, 2, device), std::nullopt});
            if (masked) problem.mask = random_mask(random, {2, 6, 5, 33}, at::kBool, device);
            const RowRange range{1, 1, 3, 6, 1, false, of_layer};
            if (!together) attend_reduce(problem.scores(), range, by, got);
            calls.push_back({problem.scores(), range});
            const at::Tensor weights = attend(problem.scores(), range);
            CATCH_REQUIRE(weights.size(0) == 6);
            reduce(weights.unsqueeze(0), {0, 0, 3, 6, 1, false, of_layer}, by, want);
          }
          if (together) attend_reduce(calls, by, &got);
          CATCH_CHECK(differs(values_of(got.map_tc), values_of(want.map_tc), kSums) == "");
          CATCH_CHECK(differs(values_of(got.weight_t), values_of(want.weight_t), kSums) == "");
          CATCH_CHECK(differs(values_of(got.mass_t), values_of(want.mass_t), kSums) == "");
          CATCH_CHECK(values_of(got.visible_t) == values_of(want.visible_t));
          CATCH_CHECK(values_of(got.rows_t) == std::vector<double>{0, 6, 6, 6});
        }
      }
    }
  }
}

CATCH_TEST_CASE("visible keys are those that mask and causality let through") {
  for (const at::Device device : devices()) {
    Random random(15);
    const at::Tensor q = random.tensor({1, 2, 3, 4}, at::kFloat, -1, 1, device);
    const at::Tensor k = random.tensor({1, 2, 6, 4}, at::kFloat, -1, 1, device);
    const auto visible = [&](const std::optional<at::Tensor>& mask, bool causal, std::optional<double> scale = {}) {
      Accumulator to = make_accumulator(3, 2, device);
      attend_reduce({q, k, mask, causal, scale}, {0, 0, 3}, {}, to);
      return values_of(to.visible_t);
    };
    using Counts = std::vector<double>;
    CATCH_CHECK(visible(std::nullopt, false) == Counts{6, 6, 6});
    CATCH_CHECK(visible(std::nullopt, true) == Counts{1, 2, 3});
    // A key whose weight vanishes is still visible: the model chose not to look.
    CATCH_CHECK(visible(std::nullopt, false, 1e4) == Counts{6, 6, 6});
    CATCH_CHECK(visible(tensor_of({1, 0, 1, 1, 0, 0}, {1, 6}, at::kBool, device), false) == Counts{3, 3, 3});
    CATCH_CHECK(visible(tensor_of({1, 0, 1, 1, 0, 0}, {1, 6}, at::kBool, device), true) == Counts{1, 1, 2});
    // By head: what one of them sees counts.
    CATCH_CHECK(visible(tensor_of({1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0}, {2, 1, 6}, at::kBool, device), false) ==
                Counts{3, 3, 3});
    for (const double low : {-kInf, -3.4028234663852886e38, -65504.0, -1e4}) {
      CATCH_CAPTURE(low);
      CATCH_CHECK(visible(tensor_of({0, low, 0.5, low, -50, low}, {6}, at::kFloat, device), false) == Counts{3, 3, 3});
    }
    // All keys lowered alike: torch's softmax sees them all.
    CATCH_CHECK(visible(tensor_of({-65504, -65504, -65504, -65504, -65504, -kInf}, {6}, at::kFloat, device), false) ==
                Counts{5, 5, 5});
  }
}

CATCH_TEST_CASE("attend of an empty range or of no keys is empty") {
  for (const at::Device device : devices()) {
    Random random(16);
    const at::Tensor q = random.tensor({1, 2, 3, 4}, at::kFloat, -1, 1, device);
    const at::Tensor k = random.tensor({1, 2, 6, 4}, at::kFloat, -1, 1, device);
    CATCH_CHECK(attend({q, k, std::nullopt}, {0, 3, 0}).sizes() == at::IntArrayRef({2, 0, 6}));
    CATCH_CHECK(attend({q, k.narrow(2, 0, 0), std::nullopt}, {0, 0, 3}).sizes() == at::IntArrayRef({2, 3, 0}));
    Accumulator to = make_accumulator(2, 6, device);
    attend_reduce({q, k, std::nullopt}, {0, 0, 0, 0, 2}, {}, to);
    CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{0, 0});
  }
}

CATCH_TEST_CASE("attend reads no query, batch row or key outside of its range") {
  for (const at::Device device : devices()) {
    Random random(17);
    const at::Tensor q = random.tensor({2, 2, 3, 4}, at::kFloat, -1, 1, device);
    const at::Tensor k = random.tensor({2, 2, 6, 4}, at::kFloat, -1, 1, device);
    const at::Tensor bad_q = q.clone().fill_(std::nan("")), bad_k = k.clone().fill_(std::nan(""));
    bad_q.select(0, 1).select(1, 1).copy_(q.select(0, 1).select(1, 1));
    bad_k.select(0, 1).narrow(1, 0, 2).copy_(k.select(0, 1).narrow(1, 0, 2));  // causal: the second query sees two keys
    const RowRange range{1, 1, 1};
    CATCH_CHECK(values_of(attend({bad_q, bad_k, std::nullopt, true}, range)) ==
                values_of(attend({q, k, std::nullopt, true}, range)));
  }
}

CATCH_TEST_CASE("threads change no bit of attend_reduce and reduce, within torch's parallel regions as well") {
  Random random(19);
  const Problem problem{random.tensor({1, 20, 40, 64}, at::kFloat, -1, 1),
                        random.tensor({1, 20, 700, 64}, at::kFloat, -1, 1), std::nullopt};
  const RowRange range{0, 0, 40, 100};
  const at::Tensor weights = attend(problem.scores(), range).unsqueeze(0);
  const auto results = [&] {
    Accumulator recomputed = make_accumulator(40, 600, at::kCPU), reduced = make_accumulator(40, 600, at::kCPU);
    attend_reduce(problem.scores(), range, {}, recomputed);
    reduce(weights, range, {}, reduced);
    std::vector<double> all = values_of(recomputed.map_tc);
    for (const at::Tensor& x : {recomputed.mass_t, reduced.map_tc, reduced.mass_t}) {
      for (double value : values_of(x)) all.push_back(value);
    }
    return all;
  };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<double> want = results();
  for (const int count : {2, 3}) {
    at::set_num_threads(count);
    CATCH_CAPTURE(count);
    CATCH_CHECK(results() == want);
    std::vector<std::vector<double>> inside(2);
    at::parallel_for(0, 2, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) inside[static_cast<size_t>(i)] = results();
    });
    CATCH_CHECK(inside == std::vector<std::vector<double>>(2, want));
  }
  at::set_num_threads(threads);
}

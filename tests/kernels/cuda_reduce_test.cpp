// SPDX-License-Identifier: MIT
// reduce on CUDA, run thread by thread on the processor, against its CPU twin; and how much memory it reads.
#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "accumulated.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

void run_reduce(ReduceParams p, Accumulated& got, Accumulated& want) {
  std::vector<double> workspace(1 << 20);
  p.to = want.to();
  cpu::reduce(p, workspace.data(), {});
  p.to = got.to();
  CATCH_REQUIRE(cuda::reduce(p, nullptr) == 0);
}

}  // namespace

CATCH_TEST_CASE("cuda reduce equals its cpu twin for every way to reduce, dtype and stride") {
  Numbers numbers;
  // Keys that are whole wide loads, and not; a slice, and all of them; more keys than threads.
  for (const std::size_t keys : {1, 7, 64, 77, 1600}) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
      for (const std::size_t step : {1, 3}) {
        const std::size_t heads = 5, queries = 2, first = keys > 8 ? 3 : 0, cells = keys > 8 ? keys - 5 : keys;
        const auto memory = stored(softmax_rows(numbers, heads * queries, keys, 0.1), dtype, step);
        for (const HeadReduce by_heads : kHeads) {
          for (const LayerReduce by_layers : kLayers) {
            if (keys == 1600 && by_layers != LayerReduce::Mean) continue;
            CATCH_CAPTURE(keys, static_cast<int>(dtype), step, static_cast<int>(by_heads), static_cast<int>(by_layers));
            ReduceParams p;
            p.attn_hqk = memory.data();
            p.dtype = dtype;
            p.heads = heads;
            p.queries = queries;
            p.keys = static_cast<std::int64_t>(keys);
            p.stride_k = static_cast<std::int64_t>(step);
            p.stride_q = p.keys * p.stride_k;
            p.stride_h = p.stride_q * p.queries;
            p.first_key = static_cast<std::int64_t>(first);
            p.sum_least = dtype == DType::F32 ? 0.999f : 0.98f;
            p.sum_most = 2 - p.sum_least;
            p.by = {by_heads, by_layers, 2, 3};
            Accumulated got(queries, cells), want(queries, cells);
            run_reduce(p, got, want);
            compare(got, want);
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("cuda reduce of picked heads equals its cpu twin") {
  Numbers numbers;
  for (const std::size_t keys : {7, 64, 77}) {
    for (const std::size_t step : {1, 3}) {
      constexpr std::size_t kAll = 5, kQueries = 2;
      // Heads that were not picked see keys that the others do not.
      const auto memory = stored(softmax_rows(numbers, kAll * kQueries, keys, 0.5), DType::F32, step);
      for (const HeadReduce by_heads : kHeads) {
        for (const LayerReduce by_layers : kLayers) {
          CATCH_CAPTURE(keys, step, static_cast<int>(by_heads), static_cast<int>(by_layers));
          ReduceParams p;
          p.attn_hqk = memory.data();
          p.heads = 3;
          p.pick = {true, {0, 2, 4}};
          p.all_heads = kAll;
          p.queries = kQueries;
          p.keys = static_cast<std::int64_t>(keys);
          p.stride_k = static_cast<std::int64_t>(step);
          p.stride_q = p.keys * p.stride_k;
          p.stride_h = p.stride_q * p.queries;
          p.first_key = 1;
          p.sum_least = 0.999f;
          p.sum_most = 1.001f;
          p.by = {by_heads, by_layers, 1, 2};
          Accumulated got(kQueries, keys - 2), want(kQueries, keys - 2);
          run_reduce(p, got, want);
          CATCH_CHECK(want.rows.values() == std::vector<std::int32_t>{3, 3});
          compare(got, want);
        }
      }
    }
  }
}

CATCH_TEST_CASE("cuda reduce flags the rows its cpu twin flags") {
  Numbers numbers;
  constexpr std::size_t kHeadCount = 3, kKeys = 40;
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const HeadReduce by_heads : {HeadReduce::Mean, HeadReduce::Weighted}) {
    for (const float bad : {nan, infinity, 0.7f, 0.0f}) {
      std::vector<float> attn = softmax_rows(numbers, kHeadCount, kKeys, 0);
      attn[kKeys + 5] = bad;
      if (bad == 0.0f) std::fill(attn.begin(), attn.end(), 0.0f);
      ReduceParams p;
      p.attn_hqk = attn.data();
      p.heads = kHeadCount;
      p.queries = 1;
      p.keys = p.stride_q = p.stride_h = kKeys;
      p.stride_k = 1;
      p.sum_least = 0.999f;
      p.sum_most = 1.001f;
      p.by.heads = by_heads;
      Accumulated got(1, kKeys), want(1, kKeys);
      run_reduce(p, got, want);
      CATCH_CHECK(want.flags[0] != 0);
      compare(got, want);
    }
  }
}

namespace {

struct Shape {
  std::int64_t heads, queries, keys;
  DType dtype = DType::BF16;
  std::int64_t shift = 0;  ///< elements by which the first row misses the start of memory
  std::int64_t first_key = 0, cells = 0;
};

/// Weights of a shape and the parameters that read them.
struct Weights {
  Weights(const Shape& s, const std::vector<float>& values) {
    std::vector<float> shifted(static_cast<std::size_t>(s.shift), std::numeric_limits<float>::quiet_NaN());
    shifted.insert(shifted.end(), values.begin(), values.end());
    memory = stored(shifted, s.dtype);
    p.attn_hqk = memory.data() + static_cast<std::size_t>(s.shift) * size_of(s.dtype);
    p.dtype = s.dtype;
    p.heads = p.all_heads = s.heads;
    p.queries = s.queries;
    p.keys = s.keys;
    p.stride_k = 1;
    p.stride_q = s.keys;
    p.stride_h = s.keys * s.queries;
    p.first_key = s.first_key;
    p.sum_least = s.dtype == DType::F32 ? 0.999f : 0.98f;
    p.sum_most = 2 - p.sum_least;
    cells = static_cast<std::size_t>(s.cells > 0 ? s.cells : s.keys - s.first_key);
  }
  std::vector<std::uint8_t> memory;
  ReduceParams p;
  std::size_t cells;
};

std::vector<float> rows_of(Numbers& numbers, const Shape& s, double hidden = 0.2) {
  return softmax_rows(numbers, static_cast<std::size_t>(s.heads * s.queries), static_cast<std::size_t>(s.keys), hidden);
}

/// Runs with another limit of shared memory than a large GPU's.
struct SharedLimit {
  explicit SharedLimit(std::size_t bytes) { emulated::most_shared = bytes; }
  ~SharedLimit() { emulated::most_shared = before; }
  const std::size_t before = emulated::most_shared;
};

void compare_twins(const Weights& weights, std::size_t queries) {
  Accumulated got(queries, weights.cells), want(queries, weights.cells);
  run_reduce(weights.p, got, want);
  compare(got, want);
}

/// Bytes read of the weights over their bytes.
double read_ratio(const Weights& weights, std::size_t queries) {
  emulated::bytes_read = 0;
  compare_twins(weights, queries);
  return static_cast<double>(emulated::bytes_read) /
         static_cast<double>(weights.p.heads * weights.p.queries * weights.p.keys) /
         static_cast<double>(size_of(weights.p.dtype));
}

}  // namespace

CATCH_TEST_CASE("cuda reduce reads a row once") {
  Numbers numbers;
  // LLaVA, Whisper, BLIP; many rows and few.
  for (const Shape& s : {Shape{32, 1, 640}, {20, 1, 1500}, {12, 2, 577}, {12, 70, 80}, {32, 1, 640, DType::F32}}) {
    const auto rows = rows_of(numbers, s);
    for (const HeadReduce by_heads : kHeads) {
      CATCH_CAPTURE(s.heads, s.queries, s.keys, static_cast<int>(s.dtype), static_cast<int>(by_heads));
      Weights weights(s, rows);
      weights.p.by = {by_heads, LayerReduce::Mean, 1, 3};
      CATCH_CHECK(read_ratio(weights, static_cast<std::size_t>(s.queries)) <= 1.02);
    }
  }
}

CATCH_TEST_CASE("cuda reduce reads a row once that a block cannot hold, but for reductions by focus") {
  Numbers numbers;
  const Shape s{32, 1, 6404};
  const auto rows = rows_of(numbers, s);
  for (const std::size_t limit : {48 << 10, 64 << 10, 227 << 10}) {
    const SharedLimit shared(limit);
    for (const HeadReduce by_heads : kHeads) {
      CATCH_CAPTURE(limit, static_cast<int>(by_heads));
      Weights weights(s, rows);
      weights.p.by = {by_heads, LayerReduce::Mean, 1, 3};
      const bool by_focus = by_heads == HeadReduce::Weighted || by_heads == HeadReduce::TopK;
      // Of the second reading the last tile is spared.
      const double most = !by_focus && limit > 48 << 10 ? 1.02 : limit < 227 << 10 ? 2 : 1.6;
      CATCH_CHECK(read_ratio(weights, 1) <= most);
    }
  }
}

CATCH_TEST_CASE("cuda reduce equals its cpu twin for any keys, heads and alignment") {
  Numbers numbers;
  struct Start {
    DType dtype;
    std::int64_t shift;
  };
  for (const std::int64_t heads : {1, 2, 9, 64, 130}) {
    for (const std::int64_t keys : {1, 2, 3, 12, 257, 1500, 6404}) {
      if (heads * keys > 20000) continue;
      for (const Start start :
           {Start{DType::F32, 1}, {DType::F32, 2}, {DType::F16, 4}, {DType::BF16, 1}, {DType::BF16, 2}}) {
        const Shape s{heads, 1, keys, start.dtype, start.shift, keys / 5, (keys + 1) / 2};
        const auto rows = rows_of(numbers, s);
        Weights weights(s, rows);
        for (const HeadReduce by_heads : {HeadReduce::Max, HeadReduce::Weighted}) {
          CATCH_CAPTURE(heads, keys, start.shift, static_cast<int>(start.dtype), static_cast<int>(by_heads));
          weights.p.by = {by_heads, LayerReduce::Mean, 0, 2};
          compare_twins(weights, 1);
        }
      }
    }
  }
}

CATCH_TEST_CASE("cuda reduce equals its cpu twin where rows go through in tiles") {
  Numbers numbers;
  struct Case {
    Shape shape;
    std::size_t limit;
  };
  for (const Case& c : {Case{{16, 1, 20000, DType::BF16, 0, 4000, 9000}, 227 << 10},
                        {{3, 1, 20001, DType::F32, 1, 1, 20000}, 48 << 10},
                        {{32, 2, 1500, DType::F16, 0, 10, 1400}, 48 << 10},
                        {{7, 2, 90, DType::BF16, 1, 37, 11}, 1 << 10}}) {
    const SharedLimit shared(c.limit);
    const auto rows = rows_of(numbers, c.shape);
    Weights weights(c.shape, rows);
    for (const HeadReduce by_heads : kHeads) {
      for (const LayerReduce by_layers : kLayers) {
        if (c.shape.keys >= 20000 && (by_heads == HeadReduce::Min || by_layers != LayerReduce::Weighted)) continue;
        CATCH_CAPTURE(c.shape.heads, c.shape.keys, c.limit, static_cast<int>(by_heads), static_cast<int>(by_layers));
        weights.p.by = {by_heads, by_layers, 1, 2};
        compare_twins(weights, static_cast<std::size_t>(c.shape.queries));
      }
    }
  }
}

CATCH_TEST_CASE("cuda reduce gives the same bytes each time") {
  Numbers numbers;
  const Shape s{32, 2, 640, DType::BF16, 0, 35, 576};
  const auto rows = rows_of(numbers, s);
  Weights weights(s, rows);
  for (const HeadReduce by_heads : kHeads) {
    weights.p.by = {by_heads, LayerReduce::Mean, 1, 3};
    Accumulated first(2, weights.cells), second(2, weights.cells), want(2, weights.cells);
    run_reduce(weights.p, first, want);
    run_reduce(weights.p, second, want);
    CATCH_CHECK(first.map.values() == second.map.values());
    CATCH_CHECK(first.mass.values() == second.mass.values());
    CATCH_CHECK(first.weight.values() == second.weight.values());
  }
}

CATCH_TEST_CASE("cuda reduce flags broken rows wherever they are broken, and those alone") {
  Numbers numbers;
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const Shape s{9, 6, 1203, DType::F32, 0, 40, 1000};
  const auto at = [&](std::int64_t h, std::int64_t t, std::int64_t k) {
    return static_cast<std::size_t>((h * s.queries + t) * s.keys + k);
  };
  for (const std::size_t limit : {4 << 10, 227 << 10}) {
    const SharedLimit shared(limit);
    for (const HeadReduce by_heads : kHeads) {
      CATCH_CAPTURE(limit, static_cast<int>(by_heads));
      auto rows = rows_of(numbers, s);
      rows[at(8, 0, 1202)] = nan;
      rows[at(4, 1, 0)] = -infinity;
      for (std::int64_t h = 0; h < s.heads; ++h) std::fill_n(&rows[at(h, 2, 0)], s.keys, 0.0f);
      std::fill_n(&rows[at(3, 3, 0)], s.keys, 3e38f);  // a sum that no float holds
      rows[at(5, 4, 600)] += 0.01f;
      std::fill_n(&rows[at(6, 5, 0)], s.keys, 0.0f);  // a head that sees nothing, among others
      Weights weights(s, rows);
      weights.p.by = {by_heads, LayerReduce::Mean, 1, 3};
      Accumulated got(6, weights.cells), want(6, weights.cells);
      run_reduce(weights.p, got, want);
      CATCH_CHECK(want.flags.values() ==
                  std::vector<std::int32_t>{kRowNonFinite, kRowNonFinite, kRowFullyMasked, kRowSum, kRowSum, 0});
      compare(got, want);
    }
  }
}

CATCH_TEST_CASE("cuda reduce of picked heads finds keys visible that only others weigh, and reads little of these") {
  Numbers numbers;
  const Shape s{24, 2, 1500, DType::BF16, 0, 30, 1200};
  auto rows = rows_of(numbers, s, 0.5);
  for (std::int64_t r = 0; r < s.heads * s.queries; ++r) rows[static_cast<std::size_t>(r * s.keys + 77)] = 0;
  for (const std::size_t limit : {4 << 10, 227 << 10}) {
    const SharedLimit shared(limit);
    for (const HeadReduce by_heads : kHeads) {
      CATCH_CAPTURE(limit, static_cast<int>(by_heads));
      Weights weights(s, rows);
      weights.p.heads = 2;
      weights.p.pick = {true, {3, 20}};
      weights.p.sum_least = 0;
      weights.p.by = {by_heads, LayerReduce::Weighted, 1, 1};
      emulated::bytes_read = 0;
      compare_twins(weights, 2);
      // The two, and of the others the quarter of keys that neither weighs.
      if (limit > 4 << 10) CATCH_CHECK(emulated::bytes_read < weights.memory.size() / 5);
    }
  }
}

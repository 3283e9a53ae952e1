// SPDX-License-Identifier: MIT
// reduce, attend and attend_reduce on raw memory: sizes, strides, guard zones.
#include <cmath>
#include <string>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

const std::vector<std::int64_t> kSizes = {1, 2, 31, 32, 33, 255, 257};

constexpr HeadReduce kHeadReduces[] = {HeadReduce::Mean,     HeadReduce::Max, HeadReduce::Min,
                                       HeadReduce::Weighted, HeadReduce::One, HeadReduce::TopK};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

struct Rows {
  Rows(std::int64_t tokens, std::int64_t cells)
      : map(size(tokens * cells)),
        weight(size(tokens)),
        mass(size(tokens)),
        visible(size(tokens)),
        calls(size(tokens)),
        flags(size(tokens)),
        rows(size(tokens)),
        cells_(cells) {}
  AccumulatorRows from(std::int64_t token) {
    return {map.data() + token * cells_,
            weight.data() + token,
            mass.data() + token,
            visible.data() + token,
            calls.data() + token,
            flags.data() + token,
            rows.data() + token,
            cells_,
            cells_};
  }
  bool intact() const {
    return map.intact() && weight.intact() && mass.intact() && visible.intact() && calls.intact() && flags.intact() &&
           rows.intact();
  }
  Output<float> map, weight, mass, visible;
  Output<std::int32_t> calls, flags, rows;

 private:
  std::int64_t cells_;
};

/// Positive weights [heads, queries, keys] whose rows sum to 1.
std::vector<float> softmax_rows(Numbers& numbers, std::int64_t rows, std::int64_t keys) {
  std::vector<float> weights;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<float> row = numbers.many(size(keys), 0.1, 1);
    double total = 0;
    for (float x : row) total += static_cast<double>(x);
    for (float x : row) weights.push_back(static_cast<float>(static_cast<double>(x) / total));
  }
  return weights;
}

ReduceParams plain(const float* attn, std::int64_t heads, std::int64_t queries, std::int64_t keys) {
  ReduceParams p;
  p.attn_hqk = attn;
  p.heads = heads;
  p.queries = queries;
  p.keys = keys;
  p.stride_h = queries * keys;
  p.stride_q = keys;
  p.stride_k = 1;
  p.sum_least = 0.999f;
  p.sum_most = 1.001f;
  return p;
}

/// The instruction sets of this machine.
std::vector<cpu::Isa> isas() {
  std::vector<cpu::Isa> all;
  for (cpu::Isa isa : cpu::kIsas) {
    if (cpu::has(isa)) all.push_back(isa);
  }
  return all;
}

/// Threads as the kernels see them: work in any order.
cpu::Parallel in_slots(std::int64_t threads) {
  return {threads, [](std::int64_t count, void (*work)(const void*, std::int64_t), const void* task) {
            for (std::int64_t i = count; i-- > 0;) work(task, i);
          }};
}

void run(const ReduceParams& p, cpu::Isa isa, std::int64_t threads = 1) {
  Output<double> workspace((cpu::reduce_workspace(p, threads) + 7) / 8);
  cpu::reduce(p, workspace.data(), in_slots(threads), isa);
  CATCH_CHECK(workspace.intact());
}

void run(const AttendParams& p, float* out, cpu::Isa isa, std::int64_t threads = 1) {
  Output<double> workspace((cpu::attend_workspace(p, threads) + 7) / 8);
  cpu::attend(p, out, workspace.data(), in_slots(threads), isa);
  CATCH_CHECK(workspace.intact());
}

void run(const AttendReduceParams& p, cpu::Isa isa, std::int64_t threads = 1) {
  Output<double> workspace((cpu::attend_reduce_workspace(p, threads) + 7) / 8);
  cpu::attend_reduce(p, workspace.data(), in_slots(threads), isa);
  CATCH_CHECK(workspace.intact());
}

/// Softmax of scaled products in double; `sees(query, key)` is the mask.
template <typename Sees>
std::vector<double> reference(const std::vector<float>& q, const std::vector<float>& k, const AttendParams& p,
                              Sees sees) {
  std::vector<double> out;
  for (std::int64_t h = 0; h < p.heads; ++h) {
    const std::int64_t kv = h / (p.heads / p.kv_heads);
    for (std::int64_t t = 0; t < p.queries; ++t) {
      std::vector<double> row;
      double total = 0;
      for (std::int64_t i = 0; i < p.keys; ++i) {
        double score = 0;
        for (std::int64_t d = 0; d < p.size; ++d) {
          score += static_cast<double>(q[size((h * p.queries + t) * p.size + d)]) *
                   static_cast<double>(k[size((kv * p.keys + i) * p.size + d)]);
        }
        row.push_back(sees(t, i) ? std::exp(score * static_cast<double>(p.scale)) : 0);
        total += row.back();
      }
      for (double x : row) out.push_back(total > 0 ? x / total : 0);
    }
  }
  return out;
}

AttendParams plain(const Input& q, const Input& k, std::int64_t heads, std::int64_t kv_heads, std::int64_t queries,
                   std::int64_t keys, std::int64_t head_size) {
  AttendParams p;
  p.q_hqd = q.data();
  p.k_hkd = k.data();
  p.heads = heads;
  p.kv_heads = kv_heads;
  p.queries = queries;
  p.keys = keys;
  p.size = head_size;
  p.q_stride_h = queries * head_size;
  p.q_stride_q = head_size;
  p.q_stride_d = 1;
  p.k_stride_h = keys * head_size;
  p.k_stride_k = head_size;
  p.k_stride_d = 1;
  p.scale = 0.7f;
  return p;
}

}  // namespace

CATCH_TEST_CASE("reduce writes its rows and nothing else at odd sizes") {
  Numbers numbers;
  for (std::int64_t keys : kSizes) {
    for (std::int64_t heads : {1, 3}) {
      for (std::int64_t queries : {0, 1, 2}) {
        for (std::int64_t cells : {std::int64_t{1}, (keys + 1) / 2, keys}) {
          CATCH_CAPTURE(keys, heads, queries, cells);
          const std::vector<float> weights = softmax_rows(numbers, heads * queries, keys);
          const Input attn(weights);
          ReduceParams p = plain(attn.data(), heads, queries, keys);
          p.first_key = keys - cells;

          std::vector<double> map(size(cells)), mass = {0}, visible = {0}, calls = {0};
          for (std::int64_t t = 0; t < queries; ++t) {
            double sliced = 0;
            for (std::int64_t c = 0; c < cells; ++c) {
              double mean = 0;
              for (std::int64_t h = 0; h < heads; ++h) {
                mean += static_cast<double>(weights[size((h * queries + t) * keys + p.first_key + c)]);
              }
              map.push_back(mean / static_cast<double>(heads));
              sliced += map.back();
            }
            mass.push_back(sliced);
            visible.push_back(static_cast<double>(keys));
            calls.push_back(1);
          }
          for (cpu::Isa isa : isas()) {
            CATCH_CAPTURE(name(isa));
            Rows to(queries + 1, cells);
            p.to = to.from(1);
            run(p, isa);
            CATCH_CHECK(differs(to.map.values(), map, {1e-7, 1e-6}) == "");
            CATCH_CHECK(differs(to.mass.values(), mass, {1e-6, 0}) == "");
            CATCH_CHECK(differs(to.visible.values(), visible) == "");
            CATCH_CHECK(differs(to.calls.values(), calls) == "");
            CATCH_CHECK(differs(to.rows.values(), calls) == "");
            CATCH_CHECK(differs(to.weight.values(), calls) == "");
            CATCH_CHECK(differs(to.flags.values(), std::vector<int>(size(queries + 1))) == "");
            CATCH_CHECK(to.intact());
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("reduce gives one result whatever the strides and threads") {
  Numbers numbers;
  const std::int64_t heads = 3, queries = 140, keys = 333, cells = 300;
  const std::vector<float> weights = softmax_rows(numbers, heads * queries, keys);
  std::vector<float> keys_first(weights.size());
  for (std::int64_t r = 0; r < heads * queries; ++r) {
    for (std::int64_t i = 0; i < keys; ++i) keys_first[size(i * heads * queries + r)] = weights[size(r * keys + i)];
  }
  const Input rows(weights), columns(keys_first);
  for (cpu::Isa isa : isas()) {
    for (HeadReduce by : kHeadReduces) {
      CATCH_CAPTURE(name(isa), static_cast<int>(by));
      ReduceParams p = plain(rows.data(), heads, queries, keys);
      p.first_key = 7;
      p.by = {by, LayerReduce::Mean, 2, 2};
      Rows want(queries, cells);
      p.to = want.from(0);
      run(p, isa);
      p.attn_hqk = columns.data();
      p.stride_h = queries;
      p.stride_q = 1;
      p.stride_k = heads * queries;
      for (std::int64_t threads : {1, 3}) {
        Rows got(queries, cells);
        p.to = got.from(0);
        run(p, isa, threads);
        CATCH_CHECK(differs(got.map.values(), want.map.values()) == "");
        CATCH_CHECK(differs(got.mass.values(), want.mass.values()) == "");
        CATCH_CHECK(want.map[0] > 0);
        CATCH_CHECK((got.intact() && want.intact()));
      }
    }
  }
}

CATCH_TEST_CASE("reduce counts a denormal weight as visible and a zero of either sign as masked") {
  std::vector<float> row(33, 0.0f);
  row[0] = 1;
  row[1] = 1e-40f;
  row[2] = -0.0f;
  const Input attn(row);
  for (cpu::Isa isa : isas()) {
    ReduceParams p = plain(attn.data(), 1, 1, 33);
    Rows to(1, 33);
    p.to = to.from(0);
    run(p, isa);
    CATCH_CAPTURE(name(isa));
    CATCH_CHECK(to.flags[0] == 0);
    CATCH_CHECK(to.visible[0] == 2);
  }
}

CATCH_TEST_CASE("reduce of numbers that no float can add up flags the sum, not the numbers") {
  const Input attn(std::vector<float>(40, 3e38f));
  for (cpu::Isa isa : isas()) {
    ReduceParams p = plain(attn.data(), 1, 1, 40);
    Rows to(1, 4);
    p.to = to.from(0);
    run(p, isa);
    CATCH_CAPTURE(name(isa));
    CATCH_CHECK(to.flags[0] == kRowSum);
  }
}

CATCH_TEST_CASE("weights that are next to nothing on the medium still give their weighted mean") {
  std::vector<float> rows(2 * 33, 0.0f);
  rows[0] = rows[33] = 1;
  rows[32] = 1e-30f;
  rows[65] = 3e-30f;
  const Input attn(rows);
  for (cpu::Isa isa : isas()) {
    ReduceParams p = plain(attn.data(), 2, 1, 33);
    p.first_key = 16;
    p.by.heads = HeadReduce::Weighted;
    Rows to(1, 17);
    p.to = to.from(0);
    run(p, isa);
    CATCH_CAPTURE(name(isa));
    CATCH_CHECK(to.flags[0] == 0);
    CATCH_CHECK(to.map[16] == Approx(2.5e-30f).epsilon(1e-5));
  }
}

CATCH_TEST_CASE("attend writes its rows and nothing else at odd sizes") {
  Numbers numbers;
  for (std::int64_t keys : kSizes) {
    for (std::int64_t head_size : {1, 31, 33, 64}) {
      for (std::int64_t queries : {0, 1, 3, 7, 8, 13}) {
        for (bool causal : {false, true}) {
          CATCH_CAPTURE(keys, head_size, queries, causal);
          const std::int64_t heads = 4, kv_heads = 2;
          const std::vector<float> q = numbers.many(size(heads * queries * head_size), -1, 1);
          const std::vector<float> k = numbers.many(size(kv_heads * keys * head_size), -1, 1);
          const Input guarded_q(q), guarded_k(k);
          AttendParams p = plain(guarded_q, guarded_k, heads, kv_heads, queries, keys, head_size);
          p.causal = causal;
          p.first_query = 5;
          const auto sees = [&](std::int64_t t, std::int64_t i) { return !causal || i <= t + 5; };
          const std::vector<double> want = reference(q, k, p, sees);
          for (cpu::Isa isa : isas()) {
            CATCH_CAPTURE(name(isa));
            Output<float> out(size(heads * queries * keys), -1.0f);
            run(p, out.data(), isa);
            CATCH_CHECK(differs(out.values(), want, {1e-6, 1e-5}) == "");
            CATCH_CHECK(out.intact());
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend of no keys writes nothing") {
  const Input q(std::vector<float>(6, 1.0f)), k({});
  const AttendParams p = plain(q, k, 2, 1, 1, 0, 3);
  Output<float> out(0);
  run(p, out.data(), cpu::best_isa());
  CATCH_CHECK(out.intact());
}

CATCH_TEST_CASE("what a key holds that the mask hides does not matter") {
  Numbers numbers;
  const std::int64_t keys = 33, head_size = 5;
  const std::vector<float> q = numbers.many(size(2 * head_size), -1, 1);
  std::vector<float> k = numbers.many(size(keys * head_size), -1, 1);
  for (std::size_t i = size(20 * head_size); i < k.size(); ++i) k[i] = NAN;  // the unused part of a cache
  k[size(3 * head_size)] = NAN;
  const Input guarded_q(q), guarded_k(k);
  AttendParams p = plain(guarded_q, guarded_k, 2, 1, 1, keys, head_size);
  bool seen[33];
  for (int i = 0; i < 33; ++i) seen[i] = i != 3 && i < 20;
  p.mask_hqk = seen;
  p.mask_stride_k = 1;
  std::vector<float> finite_k = k;
  for (float& x : finite_k) x = std::isnan(x) ? 0.0f : x;
  const auto sees = [](std::int64_t, std::int64_t i) { return i != 3 && i < 20; };
  for (cpu::Isa isa : isas()) {
    CATCH_CAPTURE(name(isa));
    Output<float> out(size(2 * keys));
    run(p, out.data(), isa);
    CATCH_CHECK(differs(out.values(), reference(q, finite_k, p, sees), {1e-6, 1e-5}) == "");
  }
}

CATCH_TEST_CASE("attend gives one result whatever the strides") {
  Numbers numbers;
  const std::int64_t heads = 4, queries = 6, keys = 37, head_size = 19;
  const std::vector<float> q = numbers.many(size(heads * queries * head_size), -1, 1);
  const std::vector<float> k = numbers.many(size(keys * head_size), -1, 1);
  std::vector<float> sizes_first(k.size());
  for (std::int64_t i = 0; i < keys; ++i) {
    for (std::int64_t d = 0; d < head_size; ++d) sizes_first[size(d * keys + i)] = k[size(i * head_size + d)];
  }
  const Input guarded_q(q), rows(k), columns(sizes_first);
  for (cpu::Isa isa : isas()) {
    AttendParams p = plain(guarded_q, rows, heads, 1, queries, keys, head_size);
    Output<float> want(size(heads * queries * keys)), got(size(heads * queries * keys));
    run(p, want.data(), isa);
    p.k_hkd = columns.data();
    p.k_stride_k = 1;
    p.k_stride_d = keys;
    run(p, got.data(), isa, 3);
    CATCH_CAPTURE(name(isa));
    CATCH_CHECK(differs(got.values(), want.values()) == "");
  }
}

CATCH_TEST_CASE("attend_reduce equals reduce of attend and keeps to its memory") {
  Numbers numbers;
  for (std::int64_t keys : kSizes) {
    for (std::int64_t cells : {std::int64_t{1}, keys}) {
      for (std::int64_t queries : {1, 2, 21}) {
        for (HeadReduce by : kHeadReduces) {
          const std::int64_t heads = 6, kv_heads = queries == 2 ? 2 : 6, head_size = 9;
          const Input q(numbers.many(size(heads * queries * head_size), -3, 3));
          const Input k(numbers.many(size(kv_heads * keys * head_size), -1, 1));
          AttendReduceParams p;
          p.scores = plain(q, k, heads, kv_heads, queries, keys, head_size);
          p.first_key = keys - cells;
          p.by = {by, LayerReduce::Mean, 4, 2};
          for (cpu::Isa isa : isas()) {
            CATCH_CAPTURE(keys, cells, queries, static_cast<int>(by), name(isa));
            Rows got(queries, cells), want(queries, cells);
            p.to = got.from(0);
            run(p, isa);

            Output<float> weights(size(heads * queries * keys));
            run(p.scores, weights.data(), isa);
            ReduceParams r = plain(weights.data(), heads, queries, keys);
            r.first_key = p.first_key;
            r.by = p.by;
            r.to = want.from(0);
            run(r, isa);
            CATCH_CHECK(differs(got.map.values(), want.map.values(), {1e-6, 2e-6}) == "");
            CATCH_CHECK(differs(got.mass.values(), want.mass.values(), {1e-6, 2e-6}) == "");
            CATCH_CHECK(differs(got.visible.values(), want.visible.values()) == "");
            CATCH_CHECK(differs(got.rows.values(), std::vector<int>(size(queries), 1)) == "");
            CATCH_CHECK(got.intact());
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("threads change no bit of attend_reduce, however its work is cut") {
  Numbers numbers;
  struct Shape {
    std::int64_t heads, kv_heads, queries, keys, cells, head_size;
  };
  // Parts of the heads; a group of heads; several chunks of queries; more heads in a group than rows in a block.
  const Shape shapes[] = {
      {20, 20, 1, 700, 600, 80}, {8, 2, 3, 900, 600, 64}, {2, 2, 300, 600, 600, 16}, {40, 2, 5, 70, 9, 64}};
  for (const Shape& x : shapes) {
    const std::vector<float> q = numbers.many(size(x.heads * x.queries * x.head_size), -1, 1);
    const std::vector<float> k = numbers.many(size(x.kv_heads * x.keys * x.head_size), -1, 1);
    const Input guarded_q(q), guarded_k(k);
    std::vector<float> mask(size(x.queries * x.keys), 0.0f);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = numbers() < 0.2 ? -INFINITY : numbers() < 0.1 ? -3e4f : 0;
    std::fill_n(mask.end() - x.keys, x.keys, -INFINITY);
    for (bool masked : {false, true}) {
      for (HeadReduce by : kHeadReduces) {
        AttendReduceParams p;
        p.scores = plain(guarded_q, guarded_k, x.heads, x.kv_heads, x.queries, x.keys, x.head_size);
        p.scores.causal = !masked;
        p.scores.first_query = x.keys - x.queries / 2 - 1;
        if (masked) {
          p.scores.mask_hqk = mask.data();
          p.scores.mask_dtype = DType::F32;
          p.scores.mask_stride_q = x.keys;
          p.scores.mask_stride_k = 1;
        }
        p.by = {by, LayerReduce::Weighted, 1, 3};
        p.first_key = x.keys - x.cells;
        for (cpu::Isa isa : isas()) {
          CATCH_CAPTURE(x.heads, x.queries, masked, static_cast<int>(by), name(isa));
          Rows want(x.queries, x.cells);
          p.to = want.from(0);
          run(p, isa);
          CATCH_CHECK(want.flags[size(x.queries - 1)] == (masked ? kRowFullyMasked : 0));
          if (x.queries > 1) CATCH_CHECK(want.mass[0] > 0);
          for (std::int64_t threads : {2, 5}) {
            Rows got(x.queries, x.cells);
            p.to = got.from(0);
            run(p, isa, threads);
            CATCH_CHECK(differs(got.map.values(), want.map.values()) == "");
            CATCH_CHECK(differs(got.weight.values(), want.weight.values()) == "");
            CATCH_CHECK(differs(got.mass.values(), want.mass.values()) == "");
            CATCH_CHECK(differs(got.visible.values(), want.visible.values()) == "");
            CATCH_CHECK(differs(got.flags.values(), want.flags.values()) == "");
            CATCH_CHECK(got.intact());
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend_reduce needs no more than a megabyte besides the map") {
  AttendReduceParams p;
  for (std::int64_t heads : {1, 16, 32}) {
    for (std::int64_t queries : {1, 60, 640}) {
      for (std::int64_t keys : {577, 1500, 6404}) {
        p.scores = {.heads = heads, .kv_heads = heads, .queries = queries, .keys = keys, .size = 128};
        p.to.cells = keys;
        CATCH_CAPTURE(heads, queries, keys);
        CATCH_CHECK(cpu::attend_reduce_workspace(p, 2) <= size(1 << 20) + size(queries * keys * 4));
      }
    }
  }
}

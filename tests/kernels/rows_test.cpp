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
    return {map.data() + token * cells_, weight.data() + token, mass.data() + token, visible.data() + token,
            calls.data() + token,        flags.data() + token,  rows.data() + token, cells_};
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
  p.sum_tolerance = 1e-3f;
  return p;
}

void run(const ReduceParams& p) {
  Output<double> workspace((cpu::reduce_workspace(p) + 7) / 8);
  cpu::reduce(p, workspace.data());
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
          Rows to(queries + 1, cells);
          p.to = to.from(1);
          run(p);

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

CATCH_TEST_CASE("reduce gives one result whatever the strides") {
  Numbers numbers;
  const std::int64_t heads = 3, queries = 2, keys = 33, cells = 20;
  const std::vector<float> weights = softmax_rows(numbers, heads * queries, keys);
  std::vector<float> keys_first(weights.size());
  for (std::int64_t r = 0; r < heads * queries; ++r) {
    for (std::int64_t i = 0; i < keys; ++i) keys_first[size(i * heads * queries + r)] = weights[size(r * keys + i)];
  }
  const Input rows(weights), columns(keys_first);
  for (HeadReduce by :
       {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Min, HeadReduce::Weighted, HeadReduce::One, HeadReduce::TopK}) {
    ReduceParams p = plain(rows.data(), heads, queries, keys);
    p.first_key = 7;
    p.by = {by, LayerReduce::Mean, 2, 2};
    Rows want(queries, cells);
    p.to = want.from(0);
    run(p);
    p.attn_hqk = columns.data();
    p.stride_h = queries;
    p.stride_q = 1;
    p.stride_k = heads * queries;
    Rows got(queries, cells);
    p.to = got.from(0);
    run(p);
    CATCH_CAPTURE(static_cast<int>(by));
    CATCH_CHECK(differs(got.map.values(), want.map.values()) == "");
    CATCH_CHECK(differs(got.mass.values(), want.mass.values()) == "");
    CATCH_CHECK(want.map[0] > 0);
    CATCH_CHECK((got.intact() && want.intact()));
  }
}

CATCH_TEST_CASE("reduce counts a denormal weight as visible and a zero of either sign as masked") {
  std::vector<float> row(33, 0.0f);
  row[0] = 1;
  row[1] = 1e-40f;
  row[2] = -0.0f;
  const Input attn(row);
  ReduceParams p = plain(attn.data(), 1, 1, 33);
  Rows to(1, 33);
  p.to = to.from(0);
  run(p);
  CATCH_CHECK(to.flags[0] == 0);
  CATCH_CHECK(to.visible[0] == 2);
}

CATCH_TEST_CASE("attend writes its rows and nothing else at odd sizes") {
  Numbers numbers;
  for (std::int64_t keys : kSizes) {
    for (std::int64_t head_size : {1, 31, 33}) {
      for (std::int64_t queries : {0, 1, 3}) {
        for (bool causal : {false, true}) {
          CATCH_CAPTURE(keys, head_size, queries, causal);
          const std::int64_t heads = 4, kv_heads = 2;
          const std::vector<float> q = numbers.many(size(heads * queries * head_size), -1, 1);
          const std::vector<float> k = numbers.many(size(kv_heads * keys * head_size), -1, 1);
          const Input guarded_q(q), guarded_k(k);
          AttendParams p = plain(guarded_q, guarded_k, heads, kv_heads, queries, keys, head_size);
          p.causal = causal;
          p.first_query = 5;
          Output<float> out(size(heads * queries * keys), -1.0f);
          Output<double> workspace((cpu::attend_workspace(p) + 7) / 8);
          cpu::attend(p, out.data(), workspace.data());
          const auto sees = [&](std::int64_t t, std::int64_t i) { return !causal || i <= t + 5; };
          CATCH_CHECK(differs(out.values(), reference(q, k, p, sees), {1e-6, 1e-5}) == "");
          CATCH_CHECK((out.intact() && workspace.intact()));
        }
      }
    }
  }
}

CATCH_TEST_CASE("attend of no keys writes nothing") {
  const Input q(std::vector<float>(6, 1.0f)), k({});
  const AttendParams p = plain(q, k, 2, 1, 1, 0, 3);
  Output<float> out(0);
  Output<double> workspace((cpu::attend_workspace(p) + 7) / 8);
  cpu::attend(p, out.data(), workspace.data());
  CATCH_CHECK((out.intact() && workspace.intact()));
}

CATCH_TEST_CASE("attend never reads a key that the mask hides") {
  Numbers numbers;
  const std::int64_t keys = 33, head_size = 5;
  const std::vector<float> q = numbers.many(size(2 * head_size), -1, 1);
  std::vector<float> k = numbers.many(size(keys * head_size), -1, 1);
  for (std::size_t i = size(20 * head_size); i < k.size(); ++i) k[i] = NAN;  // the unused part of a cache
  const Input guarded_q(q), guarded_k(k);
  AttendParams p = plain(guarded_q, guarded_k, 2, 1, 1, keys, head_size);
  bool seen[33];
  for (int i = 0; i < 33; ++i) seen[i] = i < 20;
  p.mask_hqk = seen;
  p.mask_stride_k = 1;
  Output<float> out(size(2 * keys));
  Output<double> workspace((cpu::attend_workspace(p) + 7) / 8);
  cpu::attend(p, out.data(), workspace.data());
  std::vector<float> finite_k = k;
  for (float& x : finite_k) x = std::isnan(x) ? 0.0f : x;
  const auto sees = [](std::int64_t, std::int64_t i) { return i < 20; };
  CATCH_CHECK(differs(out.values(), reference(q, finite_k, p, sees), {1e-6, 1e-5}) == "");
}

CATCH_TEST_CASE("attend_reduce equals reduce of attend and keeps to its memory") {
  Numbers numbers;
  for (std::int64_t keys : kSizes) {
    for (std::int64_t cells : {std::int64_t{1}, keys}) {
      for (HeadReduce by : {HeadReduce::Mean, HeadReduce::Weighted, HeadReduce::TopK}) {
        CATCH_CAPTURE(keys, cells, static_cast<int>(by));
        const std::int64_t heads = 3, queries = 2, head_size = 9;
        const Input q(numbers.many(size(heads * queries * head_size), -1, 1));
        const Input k(numbers.many(size(heads * keys * head_size), -1, 1));
        AttendReduceParams p;
        p.scores = plain(q, k, heads, heads, queries, keys, head_size);
        p.first_key = keys - cells;
        p.by = {by, LayerReduce::Mean, 0, 2};
        Rows got(queries, cells), want(queries, cells);
        p.to = got.from(0);
        Output<double> workspace((cpu::attend_reduce_workspace(p) + 7) / 8);
        cpu::attend_reduce(p, workspace.data());

        Output<float> weights(size(heads * queries * keys));
        cpu::attend(p.scores, weights.data(), workspace.data());
        ReduceParams r = plain(weights.data(), heads, queries, keys);
        r.first_key = p.first_key;
        r.by = p.by;
        r.to = want.from(0);
        run(r);
        CATCH_CHECK(differs(got.map.values(), want.map.values()) == "");
        CATCH_CHECK(differs(got.mass.values(), want.mass.values()) == "");
        CATCH_CHECK(differs(got.visible.values(), want.visible.values()) == "");
        CATCH_CHECK(differs(got.rows.values(), std::vector<int>(size(queries), 1)) == "");
        CATCH_CHECK((got.intact() && workspace.intact()));
      }
    }
  }
}

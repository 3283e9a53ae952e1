// SPDX-License-Identifier: MIT
// The CUDA kernels, run thread by thread on the processor, against their CPU twins.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "accumulated.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

struct AttendCase {
  std::size_t heads, kv_heads, queries, keys, size;
  DType dtype;
  bool causal;
  int mask;  ///< 0 none, 1 bool shared, 2 float per head, 3 the lowest finite number
  std::size_t step;
};

/// Memory and parameters of one call.
struct AttendInputs {
  AttendInputs(Numbers& numbers, const AttendCase& c) {
    q = stored(numbers.many(c.heads * c.queries * c.size, -2, 2), c.dtype, c.step);
    k = stored(numbers.many(c.kv_heads * c.keys * c.size, -2, 2), c.dtype, c.step);
    const std::size_t mask_heads = c.mask == 2 ? c.heads : 1;
    std::vector<float> values = numbers.many(mask_heads * c.queries * c.keys);
    for (float& x : values) {
      if (c.mask == 1) x = x < 0.7f ? 1.0f : 0.0f;
      if (c.mask == 2) x = x < 0.7f ? x - 0.5f : -std::numeric_limits<float>::infinity();
      if (c.mask == 3) x = x < 0.7f ? 0.0f : -std::numeric_limits<float>::max();
    }
    mask = stored(values, c.mask == 1 ? DType::Bool : DType::F32);
    const auto at = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    p.q_hqd = q.data();
    p.k_hkd = k.data();
    p.dtype = c.dtype;
    p.heads = at(c.heads);
    p.kv_heads = at(c.kv_heads);
    p.queries = at(c.queries);
    p.keys = at(c.keys);
    p.size = at(c.size);
    p.q_stride_d = p.k_stride_d = at(c.step);
    p.q_stride_q = p.k_stride_k = at(c.size * c.step);
    p.q_stride_h = at(c.queries * c.size * c.step);
    p.k_stride_h = at(c.keys * c.size * c.step);
    if (c.mask != 0) {
      p.mask_hqk = mask.data();
      p.mask_dtype = c.mask == 1 ? DType::Bool : DType::F32;
      p.mask_stride_h = c.mask == 2 ? at(c.queries * c.keys) : 0;
      p.mask_stride_q = at(c.keys);
      p.mask_stride_k = 1;
    }
    p.causal = c.causal;
    p.first_query = c.causal ? at(c.keys / 2) : 0;
    p.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.size)));
  }
  std::vector<std::uint8_t> q, k, mask;
  AttendParams p;
};

const std::vector<AttendCase> kAttendCases = {
    {4, 4, 1, 70, 32, DType::F32, false, 0, 1},  {4, 2, 3, 130, 64, DType::BF16, true, 0, 1},
    {6, 1, 2, 65, 80, DType::F16, false, 1, 1},  {2, 2, 5, 33, 128, DType::F32, true, 2, 1},
    {3, 3, 1, 64, 7, DType::BF16, false, 3, 2},  {8, 2, 9, 40, 256, DType::F32, false, 0, 1},
    {2, 1, 40, 50, 65, DType::F32, true, 0, 1},  {1, 1, 1, 1, 1, DType::F16, false, 0, 1},
    {5, 5, 2, 200, 72, DType::F32, false, 1, 3},
};

void run_attend_reduce(std::vector<AttendReduceParams> calls, Accumulated& got, Accumulated& want) {
  std::vector<double> workspace(1 << 20);
  for (AttendReduceParams& call : calls) {
    call.to = want.to();
    cpu::attend_reduce(call, workspace.data(), {});
    call.to = got.to();
  }
  const int count = static_cast<int>(calls.size());
  const RowOffset none;
  CATCH_REQUIRE(cuda::attend_reduce_workspace(calls.data(), count, 1) <= workspace.size() * sizeof(double));
  CATCH_REQUIRE(cuda::attend_reduce(calls.data(), count, &none, 1, workspace.data(), nullptr) == 0);
}

}  // namespace

CATCH_TEST_CASE("cuda attend equals its cpu twin") {
  Numbers numbers;
  for (const AttendCase& c : kAttendCases) {
    CATCH_CAPTURE(c.heads, c.kv_heads, c.queries, c.keys, c.size, static_cast<int>(c.dtype), c.causal, c.mask, c.step);
    const AttendInputs in(numbers, c);
    const std::size_t count = c.heads * c.queries * c.keys;
    Output<float> got(count), want(count);
    std::vector<double> workspace(1 << 20);
    cpu::attend(in.p, want.data(), workspace.data(), {});
    CATCH_REQUIRE(cuda::attend_workspace(in.p) <= workspace.size() * sizeof(double));
    CATCH_REQUIRE(cuda::attend(in.p, got.data(), workspace.data(), nullptr) == 0);
    CATCH_CHECK(got.intact());
    CATCH_CHECK(differs(got.values(), want.values(), {2e-6, 2e-5}) == "");
  }
}

CATCH_TEST_CASE("cuda attend_reduce equals its cpu twin, one call at a time and several") {
  Numbers numbers;
  for (const AttendCase& c : kAttendCases) {
    for (const HeadReduce by_heads : kHeads) {
      for (const std::size_t layers : {1, 3}) {
        CATCH_CAPTURE(c.heads, c.kv_heads, c.queries, c.keys, c.size, static_cast<int>(c.dtype), c.causal, c.mask,
                      c.step);
        CATCH_CAPTURE(static_cast<int>(by_heads), layers);
        const std::size_t first = c.keys > 8 ? 4 : 0, cells = c.keys > 8 ? c.keys - 6 : c.keys;
        std::vector<AttendInputs> inputs;
        std::vector<AttendReduceParams> calls;
        for (std::size_t n = 0; n < layers; ++n) {
          // Layers of one model may differ in their keys, as self and cross attention do.
          AttendCase layer = c;
          if (n == 2) layer.keys += 40;
          inputs.emplace_back(numbers, layer);
        }
        for (const AttendInputs& in : inputs) {
          AttendReduceParams p;
          p.scores = in.p;
          p.scores.first_query = inputs[0].p.first_query;
          p.first_key = static_cast<std::int64_t>(first);
          p.by = {by_heads, by_heads == HeadReduce::Max ? LayerReduce::Max : LayerReduce::Weighted, 0, 2};
          calls.push_back(p);
        }
        Accumulated got(c.queries, cells), want(c.queries, cells);
        run_attend_reduce(calls, got, want);
        compare(got, want);
      }
    }
  }
}

CATCH_TEST_CASE("cuda attend_reduce of picked heads equals its cpu twin, other heads in every layer") {
  Numbers numbers;
  for (const AttendCase& c : kAttendCases) {
    if (c.heads < 3) continue;
    for (const HeadReduce by_heads : kHeads) {
      for (const std::size_t layers : {1, 3}) {
        CATCH_CAPTURE(c.heads, c.kv_heads, c.queries, c.keys, c.mask, static_cast<int>(by_heads), layers);
        std::vector<AttendInputs> inputs;
        for (std::size_t n = 0; n < layers; ++n) inputs.emplace_back(numbers, c);
        std::vector<AttendReduceParams> calls;
        for (std::size_t n = 0; n < layers; ++n) {
          AttendReduceParams p;
          p.scores = inputs[n].p;
          p.scores.all_heads = p.scores.heads;
          const std::int64_t group = p.scores.heads / p.scores.kv_heads;
          p.scores.heads = p.scores.kv_heads = n == 1 ? 2 : 1;
          const auto last = static_cast<std::uint8_t>(p.scores.all_heads - 1);
          p.scores.pick = {true, {n == 1 ? std::uint8_t{1} : last, last}};
          p.scores.pick_group = group;
          p.first_key = 2;
          p.by = {by_heads, by_heads == HeadReduce::Weighted ? LayerReduce::Weighted : LayerReduce::Mean, 0, 2};
          calls.push_back(p);
        }
        Accumulated got(c.queries, c.keys - 4), want(c.queries, c.keys - 4);
        run_attend_reduce(calls, got, want);
        CATCH_CHECK(want.rows[0] == (layers == 1 ? 1 : 4));
        compare(got, want);
      }
    }
  }
}

namespace {

/// A pass over several calls and the rows of a batch, against their CPU twins one after the other.
struct Pass {
  std::size_t layers = 1, rows = 1;
  bool apart = false;  ///< each token's queries in memory of their own
  std::size_t most_bytes = cuda::kScratchBytes;
};

void compare_pass(Numbers& numbers, const AttendCase& c, const Pass& pass, const Reduction& by) {
  const auto at = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  AttendCase whole = c;  // rows of the batch stand among the heads of one piece of memory
  whole.heads *= pass.rows;
  whole.kv_heads *= pass.rows;
  whole.mask = c.mask == 1 ? 2 : c.mask;
  std::vector<AttendInputs> inputs;
  for (std::size_t n = 0; n < pass.layers; ++n) inputs.emplace_back(numbers, whole);
  std::vector<std::vector<std::vector<std::uint8_t>>> apart_nt(pass.layers);
  std::vector<std::vector<const void*>> apart(pass.layers);
  std::vector<AttendReduceParams> calls;
  for (std::size_t n = 0; n < pass.layers; ++n) {
    AttendReduceParams p;
    AttendParams& a = p.scores = inputs[n].p;
    a.first_query = inputs[0].p.first_query;
    a.heads = at(c.heads);
    a.kv_heads = at(c.kv_heads);
    a.q_stride_b = a.heads * a.q_stride_h;
    a.k_stride_b = a.kv_heads * a.k_stride_h;
    a.mask_stride_b = a.heads * a.mask_stride_h;
    if (pass.apart) {
      const std::size_t bytes = static_cast<std::size_t>(bytes_of(c.dtype)), step = c.size * c.step * bytes;
      for (std::size_t t = 0; t < c.queries; ++t) {
        std::vector<std::uint8_t>& own = apart_nt[n].emplace_back();
        for (std::size_t h = 0; h < whole.heads; ++h) {
          const auto* from = inputs[n].q.data() + (h * c.queries + t) * step;
          own.insert(own.end(), from, from + step);
        }
      }
      for (const auto& own : apart_nt[n]) apart[n].push_back(own.data());
      a.q_hqd = nullptr;
      a.q_t = apart[n].data();
      a.q_stride_h = at(c.size * c.step);
      a.q_stride_b = a.heads * a.q_stride_h;
    }
    p.first_key = 1;
    p.by = by;
    calls.push_back(p);
  }
  const std::size_t cells = c.keys - 1;
  std::vector<std::unique_ptr<Accumulated>> want;
  std::vector<RowOffset> offset_b;
  const auto between = [](const void* from, const void* to) {
    return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from));
  };
  // One piece of memory for the figures of a row, as the ops make it.
  struct Block {
    std::vector<float> map, rest;
  };
  std::vector<Block> blocks(pass.rows);
  const auto to_of = [&](Block& block) {
    float* const rest = block.rest.data();
    const std::size_t n = c.queries;
    return AccumulatorRows{block.map.data(),
                           rest,
                           rest + n,
                           rest + 2 * n,
                           reinterpret_cast<std::int32_t*>(rest + 3 * n),
                           reinterpret_cast<std::int32_t*>(rest + 4 * n),
                           reinterpret_cast<std::int32_t*>(rest + 5 * n),
                           at(cells),
                           at(cells)};
  };
  for (std::size_t b = 0; b < pass.rows; ++b) {
    blocks[b].map.assign(c.queries * cells, 0.25f);
    blocks[b].rest.assign(6 * c.queries, 0.0f);
    std::fill_n(blocks[b].rest.begin(), c.queries, 1.5f);
    const AccumulatorRows first = to_of(blocks[0]), to = to_of(blocks[b]);
    offset_b.push_back({between(first.map_tc, to.map_tc), between(first.weight_t, to.weight_t)});
    want.push_back(std::make_unique<Accumulated>(c.queries, cells));
  }
  std::vector<double> workspace(1 << 21);
  for (AttendReduceParams& call : calls) {
    for (std::size_t b = 0; b < pass.rows; ++b) {
      AttendReduceParams row = call;
      row.scores = at_row(call.scores, at(b));
      row.to = want[b]->to();
      cpu::attend_reduce(row, workspace.data(), {});
    }
    call.to = to_of(blocks[0]);
  }
  const int count = static_cast<int>(calls.size());
  const std::size_t bytes = cuda::attend_reduce_workspace(calls.data(), count, at(pass.rows), pass.most_bytes);
  CATCH_REQUIRE(bytes <= workspace.size() * sizeof(double));
  std::vector<std::uint8_t> scratch(bytes + 256, 0xff);
  auto* const aligned =
      reinterpret_cast<std::uint8_t*>((reinterpret_cast<std::uintptr_t>(scratch.data()) + 255) / 256 * 256);
  CATCH_REQUIRE(
      cuda::attend_reduce(calls.data(), count, offset_b.data(), at(pass.rows), aligned, nullptr, pass.most_bytes) == 0);
  for (std::size_t b = 0; b < pass.rows; ++b) {
    CATCH_CAPTURE(b);
    const AccumulatorRows to = to_of(blocks[b]);
    const auto row = [&](const auto* from) { return std::vector(from, from + c.queries); };
    std::vector<float> map;
    for (std::size_t t = 0; t < c.queries; ++t) {
      const float* const wanted = want[b]->map.data() + t * (cells + Accumulated::kWider);
      map.insert(map.end(), wanted, wanted + cells);
    }
    CATCH_CHECK(differs(blocks[b].map, map, kSums) == "");
    CATCH_CHECK(differs(row(to.weight_t), want[b]->weight.values(), kSums) == "");
    CATCH_CHECK(differs(row(to.mass_t), want[b]->mass.values(), kSums) == "");
    CATCH_CHECK(row(to.visible_t) == want[b]->visible.values());
    CATCH_CHECK(row(to.calls_t) == want[b]->calls.values());
    CATCH_CHECK(row(to.flags_t) == want[b]->flags.values());
    CATCH_CHECK(row(to.rows_t) == want[b]->rows.values());
  }
}

}  // namespace

CATCH_TEST_CASE("cuda attend_reduce of layers and batch rows in one pass equals its cpu twin") {
  Numbers numbers;
  std::size_t turn = 0;
  for (const AttendCase& c : kAttendCases) {
    if (c.keys < 2) continue;
    for (const std::size_t layers : {1, 3}) {
      for (const bool apart : {false, true}) {
        const LayerReduce by_layers = kLayers[turn++ % 5 % 4];
        CATCH_CAPTURE(c.heads, c.kv_heads, c.queries, c.keys, c.size, static_cast<int>(c.dtype), c.causal, c.mask);
        CATCH_CAPTURE(static_cast<int>(by_layers), apart, layers);
        compare_pass(numbers, c, {layers, 3, apart}, {HeadReduce::Weighted, by_layers, 0, 2});
      }
    }
  }
}

CATCH_TEST_CASE("cuda attend_reduce cuts a pass that a launch has no room for") {
  Numbers numbers;
  const AttendCase decode{2, 1, 1, 9, 8, DType::F32, false, 0, 1}, some{2, 2, 40, 20, 8, DType::BF16, true, 1, 1};
  const Reduction by{HeadReduce::Weighted, LayerReduce::Mean, 0, 1};
  compare_pass(numbers, decode, {cuda::kMostCalls + 1, 1, false}, by);
  compare_pass(numbers, decode, {cuda::kMostApart + 1, 2, true}, by);
  compare_pass(numbers, decode, {1, static_cast<std::size_t>(cuda::kMostBatchRows) + 2, false}, by);
  // Queries that lie apart are 32 at a time; then scratch memory for one layer, one row, some queries, less than one.
  compare_pass(numbers, some, {2, 2, true}, by);
  for (const std::size_t most_bytes : {30000, 14000, 7000, 100}) {
    for (const bool apart : {false, true}) {
      CATCH_CAPTURE(most_bytes, apart);
      compare_pass(numbers, some, {3, 2, apart, most_bytes}, by);
    }
  }
}

CATCH_TEST_CASE("cuda code that is loaded beforehand is all that attend and reduce launch") {
  const auto before = emulated::runtime.launches.size();
  CATCH_REQUIRE(cuda::load_attend() == 0);
  CATCH_REQUIRE(cuda::load_reduce() == 0);
  Numbers numbers;
  emulated::runtime.records_only = true;
  std::vector<double> workspace(1 << 20);
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
    for (const std::size_t queries : {1, 4, 8, 40}) {
      for (const std::size_t keys : {8, 300}) {
        const AttendInputs in(numbers, {2, 2, queries, keys, 64, dtype, false, 0, 1});
        const std::vector<const void*> apart(queries, in.p.q_hqd);
        Accumulated to(queries, keys);
        AttendReduceParams p;
        p.scores = in.p;
        p.to = to.to();
        const std::vector<RowOffset> none(2);
        for (const int count : {1, 2}) {
          for (const bool lie_apart : {false, true}) {
            std::vector<AttendReduceParams> calls(static_cast<std::size_t>(count), p);
            for (AttendReduceParams& call : calls) call.scores.q_t = lie_apart ? apart.data() : nullptr;
            CATCH_CHECK(cuda::attend_reduce(calls.data(), count, none.data(), 1, workspace.data(), nullptr) == 0);
          }
        }
        CATCH_CHECK(cuda::attend(in.p, to.map.data(), workspace.data(), nullptr) == 0);
        ReduceParams r;
        r.attn_hqk = in.q.data();
        r.dtype = dtype;
        r.heads = r.queries = 1;
        r.keys = r.stride_q = r.stride_h = 8;
        r.stride_k = 1;
        r.to = to.to();
        r.to.cells = 8;
        for (const HeadReduce by : kHeads) {
          r.by.heads = by;
          CATCH_CHECK(cuda::reduce(r, nullptr) == 0);
        }
      }
    }
  }
  emulated::runtime.records_only = false;
  CATCH_CHECK(emulated::runtime.launches.size() > before + 100);
  for (std::size_t i = before; i < emulated::runtime.launches.size(); ++i) {
    const emulated::Launch& launch = emulated::runtime.launches[i];
    CATCH_CAPTURE(launch.kernel);
    CATCH_CHECK(emulated::runtime.loaded.count(launch.function) == 1);
  }
}

CATCH_TEST_CASE("cuda attend_reduce flags broken and fully masked rows, and ignores masked keys") {
  Numbers numbers;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  AttendCase c{2, 2, 3, 70, 16, DType::F32, false, 1, 1};
  AttendInputs in(numbers, c);
  // Key 9 is broken: row 0 does not see it, row 1 does, row 2 sees nothing.
  std::memcpy(&in.k[(9 * c.size + 3) * 4], &nan, 4);
  in.mask[0 * c.keys + 9] = 0;
  in.mask[1 * c.keys + 9] = 1;
  std::fill_n(in.mask.begin() + 2 * static_cast<std::ptrdiff_t>(c.keys), c.keys, 0);
  AttendReduceParams p;
  p.scores = in.p;
  Accumulated got(3, c.keys), want(3, c.keys);
  run_attend_reduce({p}, got, want);
  CATCH_CHECK(want.flags.values() == std::vector<std::int32_t>{0, kRowNonFinite, kRowFullyMasked});
  compare(got, want);
}

CATCH_TEST_CASE("cuda normalise equals its cpu twin") {
  Numbers numbers;
  for (const std::size_t tokens : {0, 1, 3, 4, 9}) {
    for (const std::size_t cells : {1, 61, 700}) {
      for (const bool sinks : {false, true}) {
        for (const bool min_max : {false, true}) {
          for (const double percentile : {0.5, 0.99, 1.0}) {
            CATCH_CAPTURE(tokens, cells, sinks, min_max, percentile);
            std::vector<float> map(tokens * cells);
            for (std::size_t t = 0; t < tokens; ++t) {
              double sum = 0;
              std::vector<double> row(cells);
              for (double& x : row) sum += x = t == 2 ? 1 : std::pow(numbers(), 8);
              for (std::size_t i = 0; i < cells; ++i) map[t * cells + i] = static_cast<float>(row[i] / sum);
            }
            if (tokens > 3) map[3 * cells] = std::numeric_limits<float>::quiet_NaN();
            const std::vector<float> visible(tokens, static_cast<float>(cells));
            struct Out {
              Out(std::size_t t, std::size_t n)
                  : lift(n), shown(n), value(n), top(t), entropy(t), diffuse(t), range(1) {}
              Output<float> lift, shown, value, top, entropy;
              Output<bool> diffuse;
              Output<float> range;
            } got(tokens, map.size()), want(tokens, map.size());
            const auto params = [&](Out& out) {
              NormaliseParams p;
              p.map_tc = map.data();
              p.visible_t = visible.data();
              p.tokens = static_cast<std::int64_t>(tokens);
              p.cells = static_cast<std::int64_t>(cells);
              p.subtract_sinks = sinks && tokens >= 4;
              p.per_map_min_max = min_max;
              p.percentile = percentile;
              p.lift_tc = out.lift.data();
              p.shown_tc = out.shown.data();
              p.value_tc = out.value.data();
              p.max_lift_t = out.top.data();
              p.entropy_t = out.entropy.data();
              p.diffuse_t = out.diffuse.data();
              p.range_max = out.range.data();
              return p;
            };
            std::vector<double> workspace(1 << 16);
            cpu::normalise(params(want), workspace.data());
            CATCH_REQUIRE(cuda::normalise(params(got), nullptr) == 0);
            CATCH_CHECK((got.lift.intact() && got.shown.intact() && got.value.intact() && got.top.intact() &&
                         got.entropy.intact() && got.diffuse.intact() && got.range.intact()));
            CATCH_CHECK(differs(got.lift.values(), want.lift.values()) == "");
            CATCH_CHECK(differs(got.shown.values(), want.shown.values()) == "");
            CATCH_CHECK(differs(got.value.values(), want.value.values(), {1e-6, 1e-6}) == "");
            CATCH_CHECK(differs(got.top.values(), want.top.values()) == "");
            CATCH_CHECK(differs(got.entropy.values(), want.entropy.values(), {2e-6, 0}) == "");
            CATCH_CHECK(differs(got.diffuse.values(), want.diffuse.values()) == "");
            CATCH_CHECK(differs(got.range.values(), want.range.values(), {0, 1e-6}) == "");
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("cuda normalise finds the very value of a share") {
  Numbers numbers;
  for (const std::size_t count : {1, 2, 300, 9000}) {
    for (const double zeros : {0.0, 0.5, 0.9, 1.0}) {
      for (const int kinds : {0, 3}) {  // of values; 0: hardly one like another
        std::vector<float> map(count);
        for (float& x : map) {
          if (numbers() < zeros) continue;
          x = static_cast<float>(std::exp(30 * (kinds == 0 ? numbers() : std::floor(kinds * numbers()) / kinds) - 10));
        }
        std::vector<float> sorted = map;
        std::sort(sorted.begin(), sorted.end());
        for (const double percentile : {0.001, 0.5, 0.77, 0.99, 1.0}) {
          CATCH_CAPTURE(count, zeros, kinds, percentile);
          const double rank = percentile * static_cast<double>(count - 1);
          const std::size_t below = static_cast<std::size_t>(rank);
          double want = static_cast<double>(sorted[below]);
          if (below + 1 < count) {
            want += (rank - static_cast<double>(below)) * (static_cast<double>(sorted[below + 1]) - want);
          }
          const float found = static_cast<float>(want);
          const std::vector<float> visible(1, 1.0f);
          Output<float> lift(count), shown(count), value(count), top(1), entropy(1), range(1);
          Output<bool> diffuse(1);
          NormaliseParams p;
          p.map_tc = map.data();
          p.visible_t = visible.data();
          p.tokens = 1;
          p.cells = static_cast<std::int64_t>(count);
          p.percentile = percentile;
          p.lift_tc = lift.data();
          p.shown_tc = shown.data();
          p.value_tc = value.data();
          p.max_lift_t = top.data();
          p.entropy_t = entropy.data();
          p.diffuse_t = diffuse.data();
          p.range_max = range.data();
          CATCH_REQUIRE(cuda::normalise(p, nullptr) == 0);
          CATCH_CHECK(range[0] == std::max(1.0f, found > 0 ? found : sorted.back()));
        }
      }
    }
  }
}

CATCH_TEST_CASE("cuda colour and blend equal their cpu twins") {
  Numbers numbers;
  for (const std::size_t pixels : {21, 693, 6300}) {
    CATCH_CAPTURE(pixels);
    std::vector<float> odd = numbers.many(pixels, -0.2, 1.2);
    odd[0] = std::numeric_limits<float>::quiet_NaN();
    Output<std::uint8_t> rgb(3 * pixels), want_rgb(3 * pixels);
    ColourParams colour{odd.data(), static_cast<std::int64_t>(pixels), Colormap::Turbo, want_rgb.data()};
    cpu::colour(colour);
    colour.out_rgb = rgb.data();
    CATCH_REQUIRE(cuda::colour(colour, nullptr) == 0);
    CATCH_CHECK(rgb.intact());
    CATCH_CHECK(rgb.values() == want_rgb.values());

    const std::vector<std::uint8_t> base(3 * pixels, 100);
    Output<std::uint8_t> mixed(3 * pixels), want_mixed(3 * pixels);
    const std::vector<std::uint8_t> colours = want_rgb.values();
    BlendParams blend{base.data(), colours.data(), odd.data(), static_cast<std::int64_t>(pixels),
                      0.7f,        0.05f,          0.3f,       want_mixed.data()};
    cpu::blend(blend);
    blend.out_rgb = mixed.data();
    CATCH_REQUIRE(cuda::blend(blend, nullptr) == 0);
    CATCH_CHECK(mixed.intact());
    CATCH_CHECK(differs(mixed.values(), want_mixed.values(), {1, 0}) == "");
  }
}

CATCH_TEST_CASE("cuda quantise gives the bytes of its cpu twin") {
  Numbers numbers;
  constexpr std::size_t kRows = 3 * 2;
  for (const std::size_t keys : {1, 7, 64, 77, 1600}) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
      for (const std::size_t step : {1, 3}) {
        CATCH_CAPTURE(keys, static_cast<int>(dtype), step);
        std::vector<float> weights = softmax_rows(numbers, kRows, keys, 0.3);
        std::fill_n(weights.begin(), keys, 0.0f);  // a row that sees nothing
        for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f})
          weights[keys + static_cast<std::size_t>(numbers() * static_cast<double>(2 * keys))] = odd;
        const auto memory = stored(weights, dtype, step);
        // Rows with room between them, which stays as it is.
        const std::size_t apart = keys + 5;
        Output<std::uint8_t> root(kRows * apart), want_root(kRows * apart);
        Output<float> most(2 * kRows), want_most(2 * kRows);
        QuantiseParams p;
        p.weight_hqk = memory.data();
        p.dtype = dtype;
        p.heads = 3;
        p.queries = 2;
        p.keys = static_cast<std::int64_t>(keys);
        p.stride_k = static_cast<std::int64_t>(step);
        p.stride_q = p.stride_k * p.keys;
        p.stride_h = 2 * p.stride_q;
        p.root_stride_q = static_cast<std::int64_t>(apart);
        p.root_stride_h = 2 * p.root_stride_q;
        p.most_stride_q = 2;
        p.most_stride_h = 4;
        p.root_hqk = want_root.data();
        p.most_hq = want_most.data();
        cpu::quantise(p);
        p.root_hqk = root.data();
        p.most_hq = most.data();
        CATCH_REQUIRE(cuda::quantise(p, nullptr) == 0);
        CATCH_CHECK((root.intact() && most.intact() && want_root.intact() && want_most.intact()));
        CATCH_CHECK(root.values() == want_root.values());
        CATCH_CHECK(most.values() == want_most.values());
        CATCH_CHECK(want_most.values()[0] == 0);
      }
    }
  }
}

namespace {

struct OverlayCase {
  std::int64_t width, height, rows, cols;
  double scale_x, offset_x, scale_y, offset_y;
  std::int64_t reach = 2, border = 0;
  std::size_t from = 0, to = 0;  ///< of the first byte, behind a multiple of 16
};

OverlayCase whole(std::int64_t width, std::int64_t height, std::int64_t rows, std::int64_t cols) {
  const auto share = [](std::int64_t cells, std::int64_t pixels) {
    return static_cast<double>(cells) / static_cast<double>(pixels);
  };
  return {width, height, rows, cols, share(cols, width), 0, share(rows, height), 0};
}

void set_seen(OverlayParams& p) {
  const auto seen = [](double scale, double offset, std::int64_t pixels, std::int64_t count, std::int64_t& first,
                       std::int64_t& end) {
    const auto in = [&](std::int64_t at) {
      const double place = scale * (static_cast<double>(at) + 0.5) + offset;
      return place >= 0 && place < static_cast<double>(count);
    };
    for (first = 0, end = pixels; first < end && !in(first);) ++first;
    while (end > first && !in(end - 1)) --end;
    if (first == end) first = end = 0;
  };
  seen(p.scale_x, p.offset_x, p.width, p.cols, p.seen_left, p.seen_right);
  seen(p.scale_y, p.offset_y, p.height, p.rows, p.seen_top, p.seen_bottom);
}

/// Cells on and beside the bounds of levels, beyond the first and the last, and no numbers.
std::vector<float> overlay_values(Numbers& numbers, std::size_t cells) {
  std::vector<float> value = numbers.many(cells, -0.3, 1.3);
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       1.0f,
                       0.0f,
                       std::nextafter(0.5f, 0.0f) / 511,
                       0.5f / 511,
                       1.5f / 511,
                       510.5f / 511,
                       1 - 0x1p-24f};
  value[0] = odd[0];
  for (float& x : value) {
    if (numbers() < 0.2) x = odd[static_cast<std::size_t>(numbers() * static_cast<double>(std::size(odd)))];
  }
  return value;
}

void check_overlay(Numbers& numbers, const OverlayCase& c, bool exact, bool contour) {
  CATCH_CAPTURE(c.width, c.height, c.rows, c.cols, c.scale_x, c.offset_x, c.scale_y, c.offset_y);
  CATCH_CAPTURE(c.reach, c.border, c.from, c.to, exact, contour);
  const std::size_t cells = static_cast<std::size_t>(c.rows * c.cols),
                    bytes = static_cast<std::size_t>(3 * c.width * c.height);
  const std::vector<float> values = overlay_values(numbers, cells);
  const Input value(values);
  Output<bool> inside(cells);
  for (std::size_t i = 0; i < cells; ++i) inside.data()[i] = values[i] > 0.5f;
  Output<std::uint8_t> base(bytes + 16);
  for (std::size_t i = 0; i < bytes + 16; ++i) base.data()[i] = static_cast<std::uint8_t>(256 * numbers());
  OverlayParams p;
  p.rgb = base.data() + c.from;
  p.height = c.height;
  p.width = c.width;
  p.value_yx = value.data();
  p.inside_yx = contour ? inside.data() : nullptr;
  p.rows = c.rows;
  p.cols = c.cols;
  p.scale_x = c.scale_x;
  p.offset_x = c.offset_x;
  p.scale_y = c.scale_y;
  p.offset_y = c.offset_y;
  p.exact = exact;
  p.reach = c.reach;
  p.border_width = c.border;
  p.border_length = 3;
  set_seen(p);
  for (std::uint32_t& entry : p.level_rgba) entry = static_cast<std::uint32_t>(4294967295.0 * numbers());
  for (std::size_t i = 0; i < 40; i += 2) p.level_rgba[i] &= 0xffffffu;  // transparent
  p.level_rgba[kLevels - 1] |= 0xff000000u;                              // and opaque
  Output<std::uint8_t> want(bytes + 16);
  std::vector<double> workspace(1 << 16);
  CATCH_REQUIRE(cpu::overlay_workspace(p) <= workspace.size() * sizeof(double));
  p.out_rgb = want.data() + c.to;
  cpu::overlay(p, 0, p.height, workspace.data());
  // A row or more to a block, or all.
  for (const std::int64_t most_sms : {0, 1, 4}) {
    CATCH_CAPTURE(most_sms);
    Output<std::uint8_t> got(bytes + 16);
    p.most_sms = most_sms;
    p.out_rgb = got.data() + c.to;
    CATCH_REQUIRE(cuda::overlay(p, nullptr) == 0);
    // As many blocks as the GPU that is stood in for holds at once, or fewer.
    CATCH_CHECK(gridDim.x * gridDim.y <= (most_sms > 0 ? static_cast<unsigned>(most_sms) : 132u * 3u));
    CATCH_CHECK(got.intact());
    CATCH_CHECK(got.values() == want.values());
  }
}

void check_overlay(Numbers& numbers, const OverlayCase& c) {
  for (const bool exact : {false, true}) {
    for (const bool contour : {false, true}) check_overlay(numbers, c, exact, contour);
  }
}

}  // namespace

CATCH_TEST_CASE("cuda overlay gives the bytes of its cpu twin") {
  Numbers numbers;
  const std::vector<OverlayCase> cases = {
      {160, 96, 6, 10, 10.0 / 160, 0, 6.0 / 96, 0, 2, 0},
      {48, 70, 7, 7, 7.0 / 40, -0.7, 7.0 / 50, -1.3, 1, 2},
      {33, 21, 3, 4, 4.0 / 33, 0, 3.0 / 21, 0, 3, 0},
      {160, 40, 24, 24, 24.0 / 160, 0, 24.0 / 40, 0, 4, 0},
      {1, 1, 1, 1, 1, 0, 1, 0, 1, 0},
      {64, 50, 5, 5, -5.0 / 64, 5, 5.0 / 30, -1, 2, 3},
      {64, 50, 5, 5, 5.0 / 30, -3, -5.0 / 30, 7, 2, 3},
      {32, 9, 2, 3, 3.0 / 32, 0, 2.0 / 9, 0, 16, 1, 5},
      {16, 300, 40, 2, 2.0 / 16, 0, 40.0 / 300, 0, 1, 0},
      {96, 32, 4, 6, 6.0 / 96, 7, 4.0 / 32, 0, 2, 2},
      {96, 32, 4, 6, 6.0 / 96, 0, 4.0 / 32, -9, 2, 2},
      {40, 30, 211, 97, 97.0 / 40, 0, 211.0 / 30, 0, 64, 1},  // several cells to a pixel
      {48, 20, 6, 6, 1e300, -1e300, 0, 2.5, 3, 5},
  };
  for (const OverlayCase& c : cases) check_overlay(numbers, c);
}

CATCH_TEST_CASE("cuda overlay gives the bytes of its cpu twin for every width and height") {
  Numbers numbers;
  for (std::int64_t width = 1; width <= 50; ++width) {
    for (const std::int64_t height : {1, 2, 3, 9}) check_overlay(numbers, whole(width, height, 3, 5));
  }
  // More packs than a block has threads, than all blocks have; more rows than a block keeps in mind.
  for (const std::int64_t width : {100, 257, 683, 1360, 1364, 1366, 1500, 4444}) {
    check_overlay(numbers, whole(width, 11, 24, 24));
  }
  for (const std::int64_t width : {5, 16, 20}) {
    for (const std::int64_t height : {64, 65, 700, 1300}) check_overlay(numbers, whole(width, height, 24, 4));
  }
}

CATCH_TEST_CASE("cuda overlay gives the bytes of its cpu twin wherever picture and frame begin") {
  Numbers numbers;
  for (const std::int64_t width : {32, 36, 37}) {
    for (const std::size_t from : {0, 1, 4, 8}) {
      for (const std::size_t to : {0, 2, 4, 16}) {
        OverlayCase c = whole(width, 13, 5, 5);
        c.from = from;
        c.to = to;
        check_overlay(numbers, c);
      }
    }
  }
}

CATCH_TEST_CASE("cuda overlay draws the borders and outlines of its cpu twin") {
  Numbers numbers;
  // Before, behind, within, around and nowhere on the grid, mirrored or not.
  struct Axis {
    double scale, offset;
  };
  const std::vector<Axis> axes = {{0.1, 0}, {0.1, -1.25}, {0.1, 2.5}, {0.25, -3.1}, {-0.1, 5}, {-0.25, 9.3}, {0.05, 9}};
  for (const std::int64_t width : {48, 52, 51}) {
    for (const Axis& across : axes) {
      for (const Axis& down : axes) {
        for (const std::int64_t border : {0, 1, 4}) {
          const std::int64_t reach = border == 0 ? 1 : border == 1 ? 5 : 17;
          check_overlay(numbers, {width, 45, 5, 5, across.scale, across.offset, down.scale, down.offset, reach, border},
                        border == 4, true);
        }
      }
    }
  }
}

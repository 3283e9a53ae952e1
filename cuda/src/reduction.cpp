// SPDX-License-Identifier: MIT
#include "reduction.hpp"

#include <algorithm>

#include "check.hpp"

namespace gaze::ops {

static_assert(static_cast<int>(HeadReduce::TopK) == static_cast<int>(kernels::HeadReduce::TopK));
static_assert(static_cast<int>(LayerReduce::Weighted) == static_cast<int>(kernels::LayerReduce::Weighted));
static_assert(int{kRowNonFinite} == int{kernels::kRowNonFinite} && int{kRowSum} == int{kernels::kRowSum} &&
              int{kRowFullyMasked} == int{kernels::kRowFullyMasked});

kernels::DType weight_dtype(const char* op, const char* argument, const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return kernels::DType::F32;
    case at::kHalf:
      return kernels::DType::F16;
    case at::kBFloat16:
      return kernels::DType::BF16;
    default:
      GAZE_CHECK(false, op, argument, "Float, Half or BFloat16, got ", x.scalar_type());
  }
}

const void* element(const at::Tensor& x, int64_t index) {
  return static_cast<const char*>(x.const_data_ptr()) + index * static_cast<int64_t>(x.element_size());
}

void check_queries(const char* op, const RowRange& range, int64_t batches, int64_t queries) {
  GAZE_CHECK(range.batch >= 0 && range.batch < batches, op, "range.batch", "0..", batches - 1, ", got ", range.batch);
  GAZE_CHECK(range.first_query >= 0 && range.queries >= 0 && range.first_query <= queries &&
                 range.queries <= queries - range.first_query,
             op, "range.queries", "rows within 0..", queries, ", got ", range.queries, " from ", range.first_query);
}

kernels::HeadPick pick(const char* op, const RowRange& range, int64_t heads) {
  kernels::HeadPick picked;
  const auto count = static_cast<int64_t>(range.heads.size());
  GAZE_CHECK(count <= kernels::kMostPicked, op, "range.heads", "at most ", kernels::kMostPicked, ", got ", count);
  int64_t least = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = range.heads[static_cast<size_t>(i)];
    GAZE_CHECK(head >= least && head < std::min<int64_t>(heads, 256), op, "range.heads", "ascending heads in 0..",
               std::min<int64_t>(heads, 256) - 1, ", got ", range.heads);
    picked.head[i] = static_cast<uint8_t>(head);
    least = head + 1;
  }
  picked.some = count > 0;
  return picked;
}

kernels::Reduction reduction(const char* op, const ReduceOptions& options, int64_t heads) {
  GAZE_CHECK(options.heads >= HeadReduce::Mean && options.heads <= HeadReduce::TopK, op, "options.heads",
             "a HeadReduce, got ", static_cast<int64_t>(options.heads));
  GAZE_CHECK(options.layers != LayerReduce::Rollout, op, "options.layers",
             "a reduction that can be accumulated, got Rollout (see gaze::ops::rollout)");
  GAZE_CHECK(options.layers >= LayerReduce::Mean && options.layers < LayerReduce::Rollout, op, "options.layers",
             "a LayerReduce, got ", static_cast<int64_t>(options.layers));
  GAZE_CHECK(options.heads != HeadReduce::One || (options.head >= 0 && options.head < heads), op, "options.head", "0..",
             heads - 1, ", got ", options.head);
  GAZE_CHECK(options.heads != HeadReduce::TopK || options.k >= 1, op, "options.k", "at least 1, got ", options.k);
  return {static_cast<kernels::HeadReduce>(options.heads), static_cast<kernels::LayerReduce>(options.layers),
          options.head, options.k};
}

kernels::AccumulatorRows rows(const char* op, const Accumulator& accumulator, const RowRange& range, int64_t keys,
                              at::Device device) {
  const at::Tensor& map = accumulator.map_tc;
  check_like(op, "accumulator.map_tc", map, at::kFloat, device);
  GAZE_CHECK(map.dim() == 2 && map.size(1) >= 1, op, "accumulator.map_tc", "[tokens, cells], got ", map.sizes());
  const int64_t tokens = map.size(0), cells = map.size(1), stride = tokens > 1 ? map.stride(0) : cells;
  GAZE_CHECK((cells == 1 || map.stride(1) == 1) && stride >= cells, op, "accumulator.map_tc",
             "rows whose cells are adjacent and that do not overlap, got strides ", map.strides());
  const auto check_column = [&](const char* argument, const at::Tensor& x, at::ScalarType dtype) {
    check_like(op, argument, x, dtype, device);
    GAZE_CHECK(x.dim() == 1 && x.size(0) == tokens, op, argument, "[", tokens, "], got ", x.sizes());
    GAZE_CHECK(x.is_contiguous(), op, argument, "a contiguous tensor, got strides ", x.strides());
  };
  check_column("accumulator.weight_t", accumulator.weight_t, at::kFloat);
  check_column("accumulator.mass_t", accumulator.mass_t, at::kFloat);
  check_column("accumulator.visible_t", accumulator.visible_t, at::kFloat);
  check_column("accumulator.calls_t", accumulator.calls_t, at::kInt);
  check_column("accumulator.flags_t", accumulator.flags_t, at::kInt);
  check_column("accumulator.rows_t", accumulator.rows_t, at::kInt);
  GAZE_CHECK(range.first_key >= 0 && range.first_key <= keys && cells <= keys - range.first_key, op, "range.first_key",
             cells, " cells within ", keys, " keys, got first key ", range.first_key);
  GAZE_CHECK(range.first_token >= 0 && range.first_token <= tokens && range.queries <= tokens - range.first_token, op,
             "range.first_token", "rows within an accumulator of ", tokens, " tokens, got ", range.queries, " from ",
             range.first_token);
  const int64_t t = range.first_token;
  return {map.data_ptr<float>() + t * stride,
          accumulator.weight_t.data_ptr<float>() + t,
          accumulator.mass_t.data_ptr<float>() + t,
          accumulator.visible_t.data_ptr<float>() + t,
          accumulator.calls_t.data_ptr<int32_t>() + t,
          accumulator.flags_t.data_ptr<int32_t>() + t,
          accumulator.rows_t.data_ptr<int32_t>() + t,
          cells,
          stride};
}

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "cpu/row.hpp"
#include "cpu/vector.hpp"

namespace gaze::kernels::cpu {
namespace {

constexpr float kMasked = -HUGE_VALF;
/// Many models mask with the lowest finite number of the dtype (fp16: -65504) instead of -infinity. No score makes
/// up for this much, so such keys are not counted as visible, as their weight of 0 is not when weights are given.
constexpr float kAsGoodAsMasked = -1e4f;

struct Row {
  std::int32_t flags = 0;
  std::int64_t visible = 0;  ///< keys some head may see
};

struct Scratch {
  float* q_hd;
  float* k_d;
  float* mask_k;
  float* seen_k;  ///< per key the most permissive mask over heads

  Scratch(const AttendParams& p, float* at)
      : q_hd(at), k_d(q_hd + p.heads * p.size), mask_k(k_d + p.size), seen_k(mask_k + p.keys) {}
  static std::int64_t floats(const AttendParams& p) { return (p.heads + 1) * p.size + 2 * p.keys; }
};

std::int64_t count_above(const float* x, std::int64_t count, float bound) {
  std::int64_t above = 0;
  for (std::int64_t i = 0; i < count; ++i) above += x[i] > bound;
  return above;
}

/// Softmax in place. Returns flags: non-finite rows become all NaN, rows without a finite score all 0.
std::int32_t softmax(float* x, std::int64_t count) {
  const float top = maximum(x, count);
  if (top == kMasked && !std::isnan(sum(x, count))) {
    std::fill_n(x, count, 0.0f);
    return kRowFullyMasked;
  }
  for (std::int64_t i = 0; i < count; ++i) x[i] = exp_nonpositive(x[i] - top);
  const double total = sum(x, count);
  if (!std::isfinite(total)) {
    std::fill_n(x, count, NAN);
    return kRowNonFinite;
  }
  const float factor = static_cast<float>(1 / total);
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
  return 0;
}

/// Row `t` of the window for all heads; head h is written at out + h * stride_h. Keys no mask lets through are not
/// read: what an unused part of a cache holds does not matter.
Row attend_row(const AttendParams& p, std::int64_t t, float* out, std::int64_t stride_h, const Scratch& s) {
  const std::int64_t limit = p.causal ? std::min(p.keys, p.first_query + t + 1) : p.keys;
  const bool shared_mask = p.mask_hqk != nullptr && p.mask_stride_h == 0;
  const std::int64_t group = p.heads / p.kv_heads;
  const auto mask_row = [&](std::int64_t h) {
    const void* from = at(p.mask_hqk, p.mask_dtype, h * p.mask_stride_h + t * p.mask_stride_q);
    return as_floats(from, p.mask_dtype, p.mask_stride_k, limit, s.mask_k);
  };
  const float* mask_k = shared_mask ? mask_row(0) : nullptr;

  for (std::int64_t h = 0; h < p.heads; ++h) {
    const void* from = at(p.q_hqd, p.dtype, h * p.q_stride_h + t * p.q_stride_q);
    float* to = s.q_hd + h * p.size;
    const float* q_d = as_floats(from, p.dtype, p.q_stride_d, p.size, to);
    if (q_d != to) std::copy_n(q_d, p.size, to);
  }
  for (std::int64_t kv = 0; kv < p.kv_heads; ++kv) {
    for (std::int64_t i = 0; i < limit; ++i) {
      float* const score = out + kv * group * stride_h + i;
      if (mask_k != nullptr && mask_k[i] == kMasked) {
        for (std::int64_t g = 0; g < group; ++g) score[g * stride_h] = kMasked;
        continue;
      }
      const void* from = at(p.k_hkd, p.dtype, kv * p.k_stride_h + i * p.k_stride_k);
      const float* k_d = as_floats(from, p.dtype, p.k_stride_d, p.size, s.k_d);
      for (std::int64_t g = 0; g < group; ++g) {
        score[g * stride_h] = dot(s.q_hd + (kv * group + g) * p.size, k_d, p.size) * p.scale;
      }
    }
  }

  Row row;
  bool any = false;
  if (p.mask_hqk != nullptr) std::fill_n(s.seen_k, limit, kMasked);
  for (std::int64_t h = 0; h < p.heads; ++h) {
    float* const x = out + h * stride_h;
    if (p.mask_hqk != nullptr) {
      if (!shared_mask) mask_k = mask_row(h);
      for (std::int64_t i = 0; i < limit; ++i) x[i] = mask_k[i] == kMasked ? kMasked : x[i] + mask_k[i];
      for (std::int64_t i = 0; i < limit; ++i) s.seen_k[i] = mask_k[i] > s.seen_k[i] ? mask_k[i] : s.seen_k[i];
    }
    const std::int32_t flags = softmax(x, limit);
    std::fill(x + limit, x + p.keys, flags == kRowNonFinite ? NAN : 0.0f);
    any |= flags == 0;
    row.flags |= flags & kRowNonFinite;
  }
  if (row.flags == 0 && !any) row.flags = kRowFullyMasked;
  if (p.mask_hqk == nullptr) {
    row.visible = limit;
  } else {
    row.visible = count_above(s.seen_k, limit, kAsGoodAsMasked);
    if (row.visible == 0) row.visible = count_above(s.seen_k, limit, kMasked);
  }
  return row;
}

}  // namespace

std::size_t attend_workspace(const AttendParams& p) {
  return sizeof(float) * static_cast<std::size_t>(Scratch::floats(p));
}

void attend(const AttendParams& p, float* out_hqk, void* workspace) {
  const Scratch scratch(p, static_cast<float*>(workspace));
  for (std::int64_t t = 0; t < p.queries; ++t) attend_row(p, t, out_hqk + t * p.keys, p.queries * p.keys, scratch);
}

std::size_t attend_reduce_workspace(const AttendReduceParams& p) {
  const std::int64_t floats =
      Scratch::floats(p.scores) + p.scores.heads * p.scores.keys + add_row_scratch(p.scores.heads, p.to.cells);
  return sizeof(float) * static_cast<std::size_t>(floats);
}

void attend_reduce(const AttendReduceParams& p, void* workspace) {
  const AttendParams& scores = p.scores;
  const Scratch scratch(scores, static_cast<float*>(workspace));
  float* const row_hk = static_cast<float*>(workspace) + Scratch::floats(scores);
  float* const add_scratch = row_hk + scores.heads * scores.keys;
  for (std::int64_t t = 0; t < scores.queries; ++t) {
    const Row row = attend_row(scores, t, row_hk, scores.keys, scratch);
    if (row.flags != 0) {
      add_flags(p.to, t, row.flags);
    } else {
      add_row(row_hk + p.first_key, scores.keys, scores.heads, row.visible, p.by, p.to, t, add_scratch);
    }
  }
}

}  // namespace gaze::kernels::cpu

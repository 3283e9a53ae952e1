// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "cpu/row.hpp"
#include "cpu/vector.hpp"

namespace gaze::kernels::cpu {
namespace {

void add_scaled(const float* x, std::int64_t count, float factor, float* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] += factor * x[i];
}

void take_max(const float* x, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = x[i] > to[i] ? x[i] : to[i];
}

void take_min(const float* x, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = x[i] < to[i] ? x[i] : to[i];
}

/// Keeps 1 for the `k` largest focus values (ties: lower head first) and 0 for the rest.
void keep_top(const float* focus_h, std::int64_t heads, std::int64_t k, float* factor_h) {
  for (std::int64_t h = 0; h < heads; ++h) {
    std::int64_t ahead = 0;
    for (std::int64_t o = 0; o < heads; ++o) {
      ahead += focus_h[o] > focus_h[h] || (focus_h[o] == focus_h[h] && o < h);
    }
    factor_h[h] = ahead < k ? 1.0f : 0.0f;
  }
}

}  // namespace

void add_row(const float* slice_hc, std::int64_t stride_h, std::int64_t heads, std::int64_t visible,
             const Reduction& by, const AccumulatorRows& to, std::int64_t token, float* scratch) {
  const std::int64_t cells = to.cells;
  float* const focus_h = scratch;
  float* const factor_h = scratch + heads;
  float* const row_c = scratch + 2 * heads;
  const bool by_focus = by.heads == HeadReduce::Weighted || by.heads == HeadReduce::TopK;

  double mass = 0, focus = 0;
  for (std::int64_t h = 0; h < heads; ++h) {
    const float* head_c = slice_hc + h * stride_h;
    const double head_mass = sum(head_c, cells);
    mass += head_mass;
    if (by_focus) {
      focus_h[h] = static_cast<float>(head_mass * (1 - normalised_entropy(head_c, cells, head_mass)));
      focus += static_cast<double>(focus_h[h]);
    }
  }

  double weight = 1;
  if (by.heads == HeadReduce::Max || by.heads == HeadReduce::Min) {
    std::copy_n(slice_hc, cells, row_c);
    for (std::int64_t h = 1; h < heads; ++h) {
      (by.heads == HeadReduce::Max ? take_max : take_min)(slice_hc + h * stride_h, cells, row_c);
    }
  } else {
    double total = static_cast<double>(heads);
    if (by.heads == HeadReduce::One) {
      std::fill_n(factor_h, heads, 0.0f);
      factor_h[by.head] = 1;
      total = 1;
    } else if (by.heads == HeadReduce::TopK) {
      const std::int64_t k = std::min(by.k, heads);
      keep_top(focus_h, heads, k, factor_h);
      total = static_cast<double>(k);
    } else if (by.heads == HeadReduce::Weighted && focus > 0) {
      std::copy_n(focus_h, heads, factor_h);
      total = focus;
    } else {
      std::fill_n(factor_h, heads, 1.0f);
    }
    std::fill_n(row_c, cells, 0.0f);
    for (std::int64_t h = 0; h < heads; ++h) {
      if (factor_h[h] != 0) {
        add_scaled(slice_hc + h * stride_h, cells, static_cast<float>(factor_h[h] / total), row_c);
      }
    }
    if (by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted) weight = focus;
  }

  float* const map_c = to.map_tc + token * cells;
  switch (by.layers) {
    case LayerReduce::Mean:
    case LayerReduce::Weighted:
      add_scaled(row_c, cells, static_cast<float>(weight), map_c);
      to.weight_t[token] += static_cast<float>(weight);
      break;
    case LayerReduce::Max:
      take_max(row_c, cells, map_c);
      to.weight_t[token] = 1;
      break;
    case LayerReduce::Last:
      std::copy_n(row_c, cells, map_c);
      to.weight_t[token] = 1;
      break;
  }
  to.mass_t[token] += static_cast<float>(mass / static_cast<double>(heads));
  to.visible_t[token] += static_cast<float>(visible);
  to.calls_t[token] += 1;
  to.rows_t[token] += 1;
}

namespace {

/// A row of float32 weights with adjacent keys is read where it lies; others are decoded first.
bool in_place(const ReduceParams& p) { return p.dtype == DType::F32 && p.stride_k == 1; }

}  // namespace

std::size_t reduce_workspace(const ReduceParams& p) {
  const std::int64_t decoded = in_place(p) ? 0 : p.keys + p.heads * p.to.cells;
  return sizeof(float) * static_cast<std::size_t>(p.keys + decoded + add_row_scratch(p.heads, p.to.cells));
}

void reduce(const ReduceParams& p, void* workspace) {
  const std::int64_t cells = p.to.cells;
  std::uint32_t* const seen_k = static_cast<std::uint32_t*>(workspace);
  float* const scratch = static_cast<float*>(workspace) + p.keys;
  float* const decoded_k = scratch + add_row_scratch(p.heads, cells);
  float* const decoded_hc = decoded_k + p.keys;

  for (std::int64_t t = 0; t < p.queries; ++t) {
    std::int32_t flags = 0;
    bool any = false;
    std::fill_n(seen_k, p.keys, 0u);
    for (std::int64_t h = 0; h < p.heads; ++h) {
      const void* from = at(p.attn_hqk, p.dtype, h * p.stride_h + t * p.stride_q);
      const float* row_k = as_floats(from, p.dtype, p.stride_k, p.keys, decoded_k);
      std::uint32_t bits = 0;
      for (std::int64_t i = 0; i < p.keys; ++i) {
        const std::uint32_t magnitude = bits_from_float(row_k[i]) << 1;
        seen_k[i] |= magnitude;
        bits |= magnitude;
      }
      const double total = sum(row_k, p.keys);
      if (!std::isfinite(total)) {
        flags |= kRowNonFinite;
      } else if (bits != 0) {
        any = true;
        if (std::abs(total - 1) > static_cast<double>(p.sum_tolerance)) flags |= kRowSum;
      }
      if (!in_place(p)) std::copy_n(row_k + p.first_key, cells, decoded_hc + h * cells);
    }
    if (flags == 0 && !any) flags = kRowFullyMasked;
    if (flags != 0) {
      add_flags(p.to, t, flags);
      continue;
    }
    std::int64_t visible = 0;
    for (std::int64_t i = 0; i < p.keys; ++i) visible += seen_k[i] != 0;
    if (in_place(p)) {
      const float* slice_hc = static_cast<const float*>(p.attn_hqk) + t * p.stride_q + p.first_key;
      add_row(slice_hc, p.stride_h, p.heads, visible, p.by, p.to, t, scratch);
    } else {
      add_row(decoded_hc, cells, p.heads, visible, p.by, p.to, t, scratch);
    }
  }
}

}  // namespace gaze::kernels::cpu

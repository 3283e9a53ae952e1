// SPDX-License-Identifier: MIT
// What becomes of an accumulator's row as one more layer is added.
#pragma once

#include "cuda/device.cuh"

namespace gaze::kernels::cuda {

/// How one more layer changes a cell.
inline __device__ void add_cell(const Reduction& by, float value, float weight, float* cell) {
  switch (by.layers) {
    case LayerReduce::Mean:
    case LayerReduce::Weighted:
      *cell += weight * value;
      break;
    case LayerReduce::Max:
      *cell = fmaxf(*cell, value);
      break;
    case LayerReduce::Last:
      *cell = value;
      break;
  }
}

/// One thread per row, which counts `share` beside other layers.
inline __device__ void add_totals(const Reduction& by, const AccumulatorRows& to, std::int64_t token, float weight,
                                  float mass, float visible, std::int64_t share) {
  const bool sums = by.layers == LayerReduce::Mean || by.layers == LayerReduce::Weighted;
  to.weight_t[token] = sums ? to.weight_t[token] + weight : 1.0f;
  to.mass_t[token] += mass * static_cast<float>(share);
  to.visible_t[token] += visible * static_cast<float>(share);
  to.calls_t[token] += 1;
  to.rows_t[token] += static_cast<std::int32_t>(share);
}

inline __device__ void add_flags(const AccumulatorRows& to, std::int64_t token, std::int32_t flags) {
  to.flags_t[token] |= flags;
  to.calls_t[token] += 1;
}

}  // namespace gaze::kernels::cuda

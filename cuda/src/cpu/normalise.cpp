// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "cpu/vector.hpp"

namespace gaze::kernels::cpu {
namespace {

/// Linear interpolation between order statistics; reorders `x`.
double percentile(float* x, std::int64_t count, double share) {
  const double rank = share * static_cast<double>(count - 1);
  const std::int64_t below = std::min(static_cast<std::int64_t>(rank), count - 1);
  std::nth_element(x, x + below, x + count);
  const double low = static_cast<double>(x[below]);
  if (below + 1 == count) return low;
  const double high = static_cast<double>(*std::min_element(x + below + 1, x + count));
  return low + (rank - static_cast<double>(below)) * (high - low);
}

/// The top of the colour range: at least 1, so that noise below uniform attention is never stretched over all colours.
float range_of(const float* shown, std::int64_t count, double share, float* scratch) {
  if (count == 0) return 1;
  std::copy_n(shown, count, scratch);
  const float range = static_cast<float>(percentile(scratch, count, share));
  return std::max(1.0F, range > 0 ? range : maximum(shown, count));
}

}  // namespace

std::size_t normalise_workspace(const NormaliseParams& p) {
  const std::size_t floats = sizeof(float) * static_cast<std::size_t>(p.tokens * p.cells);
  return std::max(floats, sizeof(double) * static_cast<std::size_t>(p.cells));
}

void normalise(const NormaliseParams& p, void* workspace) {
  const std::int64_t cells = p.cells, count = p.tokens * p.cells;

  for (std::int64_t t = 0; t < p.tokens; ++t) {
    const float visible = p.visible_t[t];
    const float* map_c = p.map_tc + t * cells;
    float* lift_c = p.lift_tc + t * cells;
    for (std::int64_t i = 0; i < cells; ++i) {
      const float lift = map_c[i] * visible;
      lift_c[i] = lift > 0 && lift <= 3.402823466e38f ? lift : 0.0f;
    }
    const float top = cells > 0 ? std::max(0.0f, maximum(lift_c, cells)) : 0.0f;
    // Of the map, not of the lift: a map without known visibility still has a shape.
    const double total = sum(map_c, cells);
    const double entropy = std::isfinite(total) ? normalised_entropy(map_c, cells, total) : 0;
    p.max_lift_t[t] = top;
    p.entropy_t[t] = static_cast<float>(entropy);
    p.diffuse_t[t] = top < kDiffuseLift || entropy > kDiffuseEntropy;
  }

  std::copy_n(p.lift_tc, count, p.shown_tc);
  if (p.subtract_sinks) {
    // In double: the mean of equal maps is exactly that map, and the difference exactly 0.
    double* const mean_c = static_cast<double*>(workspace);
    std::fill_n(mean_c, cells, 0.0);
    for (std::int64_t t = 0; t < p.tokens; ++t) {
      for (std::int64_t i = 0; i < cells; ++i) mean_c[i] += static_cast<double>(p.lift_tc[t * cells + i]);
    }
    for (std::int64_t i = 0; i < cells; ++i) mean_c[i] /= static_cast<double>(p.tokens);
    for (std::int64_t t = 0; t < p.tokens; ++t) {
      float* shown_c = p.shown_tc + t * cells;
      for (std::int64_t i = 0; i < cells; ++i) shown_c[i] = std::max(0.0f, shown_c[i] - static_cast<float>(mean_c[i]));
    }
  }

  const float range = range_of(p.shown_tc, count, p.percentile, static_cast<float*>(workspace));
  *p.range_max = range;
  for (std::int64_t t = 0; t < p.tokens; ++t) {
    const float* shown_c = p.shown_tc + t * cells;
    float* value_c = p.value_tc + t * cells;
    float low = 0, span = range;
    if (p.per_map_min_max && cells > 0) {
      low = *std::min_element(shown_c, shown_c + cells);
      span = maximum(shown_c, cells) - low;
    }
    if (p.diffuse_t[t] || !(span > 0)) {
      std::fill_n(value_c, cells, 0.0f);
    } else {
      for (std::int64_t i = 0; i < cells; ++i) value_c[i] = std::min(1.0f, (shown_c[i] - low) / span);
    }
  }
}

}  // namespace gaze::kernels::cpu

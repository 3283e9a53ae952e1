// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSelectThreads = 1024;
constexpr int kBins = 256;

/// One block per token: lift and its figures.
__global__ void __launch_bounds__(kThreads) lift_tokens(const NormaliseParams p) {
  const std::int64_t t = blockIdx.x;
  const float visible = p.visible_t[t];
  const float* const map_c = p.map_tc + t * p.cells;
  float* const lift_c = p.lift_tc + t * p.cells;
  float top = 0;
  double total = 0, part = 0;
  for (std::int64_t c = threadIdx.x; c < p.cells; c += blockDim.x) {
    const float lift = map_c[c] * visible;
    const float kept = lift > 0 && lift <= 3.402823466e38f ? lift : 0.0f;
    lift_c[c] = kept;
    p.shown_tc[t * p.cells + c] = kept;
    top = fmaxf(top, kept);
    total += static_cast<double>(map_c[c]);
    part += static_cast<double>(x_log_x(map_c[c]));
  }
  top = block_reduce(top, 0.0f, Max{});
  total = block_reduce(total, 0.0, Sum{});
  part = block_reduce(part, 0.0, Sum{});
  if (threadIdx.x != 0) return;
  // Of the map, not of the lift: a map without known visibility still has a shape.
  const double entropy = isfinite(total) ? normalised_entropy(total, part, p.cells) : 0;
  p.max_lift_t[t] = top;
  p.entropy_t[t] = static_cast<float>(entropy);
  p.diffuse_t[t] = top < kDiffuseLift || entropy > kDiffuseEntropy;
}

/// One thread per cell. In double: the mean of equal maps is exactly that map, and the difference exactly 0.
__global__ void __launch_bounds__(kThreads) subtract_sinks(const NormaliseParams p) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= p.cells) return;
  double mean = 0;
  for (std::int64_t t = 0; t < p.tokens; ++t) mean += static_cast<double>(p.lift_tc[t * p.cells + c]);
  const float sink = static_cast<float>(mean / static_cast<double>(p.tokens));
  for (std::int64_t t = 0; t < p.tokens; ++t) {
    float& shown = p.shown_tc[t * p.cells + c];
    shown = fmaxf(0.0f, shown - sink);
  }
}

/// One block: the order statistic of `share` by four passes over the digits of the values' bits (values are finite and
/// at least 0, so that bits order as the values do), then the next larger value.
__global__ void __launch_bounds__(kSelectThreads) find_range(const NormaliseParams p) {
  __shared__ unsigned long long bin[kBins];
  __shared__ unsigned long long rest;
  __shared__ std::uint32_t prefix;
  const std::int64_t count = p.tokens * p.cells;
  if (count == 0) {
    if (threadIdx.x == 0) *p.range_max = 1;
    return;
  }
  const double rank = p.percentile * static_cast<double>(count - 1);
  const std::int64_t whole = static_cast<std::int64_t>(rank);
  const std::int64_t below = whole < count - 1 ? whole : count - 1;
  if (threadIdx.x == 0) {
    rest = static_cast<unsigned long long>(below);
    prefix = 0;
  }
  std::uint32_t known = 0;  // bits of the prefix that are decided
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kSelectThreads) bin[i] = 0;
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < count; i += kSelectThreads) {
      const std::uint32_t bits = bits_from_float(p.shown_tc[i]);
      if ((bits & known) == prefix) atomicAdd(&bin[(bits >> shift) & 0xffu], 1ull);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 0;
      while (rest >= bin[digit]) rest -= bin[digit++];
      prefix |= static_cast<std::uint32_t>(digit) << shift;
    }
    known |= 0xffu << shift;
    __syncthreads();
  }
  const float low = float_from_bits(prefix);
  unsigned long long not_above = 0;
  float next = INFINITY, top = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kSelectThreads) {
    const float x = p.shown_tc[i];
    not_above += x <= low ? 1 : 0;
    if (x > low) next = fminf(next, x);
    top = fmaxf(top, x);
  }
  not_above = block_reduce(not_above, 0ull, Sum{});
  next = block_reduce(next, INFINITY, Min{});
  top = block_reduce(top, 0.0f, Max{});
  if (threadIdx.x != 0) return;
  double range = static_cast<double>(low);
  if (below + 1 < count) {
    const double high = not_above > static_cast<unsigned long long>(below + 1) ? low : next;
    range += (rank - static_cast<double>(below)) * (high - range);
  }
  const float found = static_cast<float>(range);
  *p.range_max = fmaxf(1.0f, found > 0 ? found : top);
}

/// One block per token.
__global__ void __launch_bounds__(kThreads) set_values(const NormaliseParams p) {
  const std::int64_t t = blockIdx.x;
  const float* const shown_c = p.shown_tc + t * p.cells;
  float low = 0, span = *p.range_max;
  if (p.per_map_min_max) {
    float least = INFINITY, top = -INFINITY;
    for (std::int64_t c = threadIdx.x; c < p.cells; c += blockDim.x) {
      least = fminf(least, shown_c[c]);
      top = fmaxf(top, shown_c[c]);
    }
    low = block_reduce(least, INFINITY, Min{});
    span = block_reduce(top, -INFINITY, Max{}) - low;
  }
  const bool flat = p.diffuse_t[t] || !(span > 0);
  for (std::int64_t c = threadIdx.x; c < p.cells; c += blockDim.x) {
    p.value_tc[t * p.cells + c] = flat ? 0.0f : fminf(1.0f, (shown_c[c] - low) / span);
  }
}

}  // namespace

int normalise(const NormaliseParams& p, Stream stream) {
  const cudaStream_t on = stream_of(stream);
  if (p.tokens > 0) {
    if (const int error = start(lift_tokens, grid_of(p.tokens), kThreads, 0, on, p)) return error;
  }
  if (p.subtract_sinks && p.cells > 0) {
    if (const int error = start(subtract_sinks, grid_of(divide_up(p.cells, kThreads)), kThreads, 0, on, p))
      return error;
  }
  if (const int error = start(find_range, grid_of(1), kSelectThreads, 0, on, p)) return error;
  return p.tokens > 0 ? start(set_values, grid_of(p.tokens), kThreads, 0, on, p) : 0;
}

}  // namespace gaze::kernels::cuda

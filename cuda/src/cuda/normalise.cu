// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSelectThreads = 1024;
constexpr int kBins = 256;
constexpr int kCopies = 8;  ///< of the bins, so that few warps count in the same ones

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

/// What the threads of the block that looks for an order statistic share.
struct Selection {
  std::uint32_t bin[kCopies][kBins];  ///< the first copy holds the sum of all in the end
  std::uint32_t prefix;               ///< the digits of the statistic that are known
  std::uint32_t equal;                ///< values that have them
  std::int64_t rest;                  ///< the statistic's place among those
  bool zero;                          ///< it is 0, as `equal` values are
};

/// work(x) for every value above 0; several are loaded at once.
template <typename Work>
__device__ void for_each_positive(const float* values, std::int64_t count, Work work) {
  constexpr int kEach = 8;
  for (std::int64_t first = threadIdx.x; first < count; first += kEach * kSelectThreads) {
    float x[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const std::int64_t at = first + i * kSelectThreads;
      x[i] = at < count ? values[at] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (x[i] > 0) work(x[i]);
    }
  }
}

/// By the first warp: the digit of the value that has `rest` smaller ones among those counted. Before the first digit
/// is known `rest` counts zeros too, which no bin does: then `count` are all values, else 0.
__device__ void find_digit(Selection& selection, int shift, std::int64_t count) {
  constexpr int kOfLane = kBins / kWarp;
  const std::uint32_t* const bin = selection.bin[0] + kOfLane * threadIdx.x;
  std::int64_t mine = 0;
  for (int i = 0; i < kOfLane; ++i) mine += bin[i];
  std::int64_t end = mine;  // of this lane's values, were all in order
  for (unsigned step = 1; step < kWarp; step *= 2) {
    const std::int64_t before = __shfl_up_sync(kAllLanes, end, step);
    end += threadIdx.x >= step ? before : 0;
  }
  const std::int64_t zeros = count > 0 ? count - warp_sum(mine) : 0;
  std::int64_t rest = selection.rest - zeros - (end - mine);
  __syncwarp();
  if (threadIdx.x == 0 && selection.rest < zeros) {
    selection.zero = true;
    selection.equal = static_cast<std::uint32_t>(zeros);
  }
  __syncwarp();
  if (rest < 0 || rest >= mine) return;
  int digit = 0;
  while (rest >= bin[digit]) rest -= bin[digit++];
  selection.prefix |= static_cast<std::uint32_t>(kOfLane * static_cast<int>(threadIdx.x) + digit) << shift;
  selection.equal = bin[digit];
  selection.rest = rest;
}

/// One block: the order statistic of a share by four passes over the digits of the values' bits (values are finite and
/// at least 0, so that bits order as the values do). Zeros, which are many, are those that are not counted.
__global__ void __launch_bounds__(kSelectThreads) find_range(const NormaliseParams p) {
  __shared__ Selection selection;
  const std::int64_t count = p.tokens * p.cells;
  if (count == 0) {
    if (threadIdx.x == 0) *p.range_max = 1;
    return;
  }
  const double rank = p.percentile * static_cast<double>(count - 1);
  const std::int64_t whole = static_cast<std::int64_t>(rank);
  const std::int64_t below = whole < count - 1 ? whole : count - 1;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    selection.prefix = selection.equal = 0;
    selection.rest = below;
    selection.zero = false;
  }
  std::uint32_t* const bin = selection.bin[thread / kWarp % kCopies];
  float least = INFINITY, next = INFINITY, top = 0;  // next: of those above all that have the statistic's first digits
  std::uint32_t known = 0;                           // bits of the prefix that are decided
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = thread; i < kCopies * kBins; i += kSelectThreads) selection.bin[i / kBins][i % kBins] = 0;
    __syncthreads();
    const std::uint32_t prefix = selection.prefix;
    for_each_positive(p.shown_tc, count, [&](float x) {
      const std::uint32_t bits = bits_from_float(x);
      if ((bits & known) == prefix) atomicAdd(&bin[bits >> shift & 0xffu], 1u);
      if (shift == 24) {
        least = fminf(least, x);
        top = fmaxf(top, x);
      } else if (shift == 0 && (bits & known) > prefix) {
        next = fminf(next, x);
      }
    });
    __syncthreads();
    if (thread < kBins) {
      for (int copy = 1; copy < kCopies; ++copy) selection.bin[0][thread] += selection.bin[copy][thread];
    }
    __syncthreads();
    if (thread < kWarp) find_digit(selection, shift, shift == 24 ? count : 0);
    known |= 0xffu << shift;
    __syncthreads();
    if (selection.zero) break;
  }
  const bool zero = selection.zero;
  const std::uint32_t low_bits = selection.prefix;
  if (zero) {
    next = least;
  } else if (thread < kBins && thread > static_cast<int>(low_bits & 0xffu) && selection.bin[0][thread] > 0) {
    next = fminf(next, float_from_bits((low_bits & ~0xffu) | static_cast<std::uint32_t>(thread)));
  }
  next = block_reduce(next, INFINITY, Min{});
  top = block_reduce(top, 0.0f, Max{});
  if (thread != 0) return;
  const float low = zero ? 0.0f : float_from_bits(low_bits);
  double range = static_cast<double>(low);
  if (below + 1 < count) {
    // The one behind it, of its own value or the next larger.
    const double high = selection.rest + 1 < selection.equal ? low : next;
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

int load_normalise() { return load(lift_tokens, subtract_sinks, find_range, set_values); }

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

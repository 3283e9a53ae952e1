// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 128;

/// What counts as a weight.
__device__ float weight_of(float x) { return x > 0 && x < INFINITY ? x : 0.0f; }

/// Block (q, h): a row, read twice; the second time it is in the cache.
template <DType T>
__global__ void __launch_bounds__(kThreads) quantise_rows(const QuantiseParams p) {
  const std::int64_t q = blockIdx.x, h = blockIdx.y;
  const std::int64_t from = h * p.stride_h + q * p.stride_q;
  float most = 0;
  for (std::int64_t k = threadIdx.x; k < p.keys; k += kThreads)
    most = fmaxf(most, weight_of(element<T>(p.weight_hqk, from + k * p.stride_k)));
  most = block_reduce(most, 0.0f, Max{});
  if (threadIdx.x == 0) p.most_hq[h * p.most_stride_h + q * p.most_stride_q] = most;
  std::uint8_t* const root_k = p.root_hqk + h * p.root_stride_h + q * p.root_stride_q;
  const float by = most > 0 ? most : 1.0f;
  for (std::int64_t k = threadIdx.x; k < p.keys; k += kThreads) {
    const float root = sqrtf(weight_of(element<T>(p.weight_hqk, from + k * p.stride_k)) / by);
    root_k[k] = static_cast<std::uint8_t>(static_cast<int>(__fadd_rn(__fmul_rn(255.0f, root), 0.5f)));
  }
}

template <DType T>
int launch(const QuantiseParams& p, Stream stream) {
  return start(quantise_rows<T>, grid_of(p.queries, p.heads), kThreads, 0, stream_of(stream), p);
}

}  // namespace

int load_quantise() { return load(quantise_rows<DType::F32>, quantise_rows<DType::F16>, quantise_rows<DType::BF16>); }

int quantise(const QuantiseParams& p, Stream stream) {
  if (p.queries == 0 || p.heads == 0) return 0;
  switch (p.dtype) {
    case DType::F32:
      return launch<DType::F32>(p, stream);
    case DType::F16:
      return launch<DType::F16>(p, stream);
    default:
      return launch<DType::BF16>(p, stream);
  }
}

}  // namespace gaze::kernels::cuda

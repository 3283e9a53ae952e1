// SPDX-License-Identifier: MIT
// TorchScript of forward(q, k) that several tests over the emulated device run, and what they are run on.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>

inline constexpr const char* kWeightsThenFused = R"JIT(
def forward(self, q, k):
    x = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
    return torch.scaled_dot_product_attention(x, k, k)
)JIT";

/// Queries and keys of one origin, as a rollout wants them.
inline constexpr const char* kSelfAttention = R"JIT(
def forward(self, q, k):
    x = k.narrow(2, k.size(2) - q.size(2), q.size(2))
    y = torch.matmul(torch.softmax(torch.matmul(x, k.transpose(-2, -1)), -1), k)
    return torch.scaled_dot_product_attention(x + y, k, k)
)JIT";

inline at::Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed)).mul(1.5);
}

// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels.hpp"

namespace gaze::kernels::cpu {
namespace {

template <typename Bits, float (*decode)(Bits)>
void quantise_rows(const QuantiseParams& p) {
  const auto* from = static_cast<const Bits*>(p.weight_hqk);
  const auto weight_at = [&](const Bits* row, std::int64_t k) {
    const float x = decode(row[k * p.stride_k]);
    return x > 0 && x < INFINITY ? x : 0.0f;  // neither holds for NaN
  };
  for (std::int64_t h = 0; h < p.heads; ++h) {
    for (std::int64_t q = 0; q < p.queries; ++q) {
      const Bits* row = from + h * p.stride_h + q * p.stride_q;
      float most = 0;
      for (std::int64_t k = 0; k < p.keys; ++k) {
        const float x = weight_at(row, k);
        most = x > most ? x : most;
      }
      p.most_hq[h * p.most_stride_h + q * p.most_stride_q] = most;
      std::uint8_t* root_k = p.root_hqk + h * p.root_stride_h + q * p.root_stride_q;
      const float by = most > 0 ? most : 1.0f;
      for (std::int64_t k = 0; k < p.keys; ++k)
        root_k[k] = static_cast<std::uint8_t>(static_cast<int>(255.0f * std::sqrt(weight_at(row, k) / by) + 0.5f));
    }
  }
}

}  // namespace

void quantise(const QuantiseParams& p) {
  switch (p.dtype) {
    case DType::F32:
      return quantise_rows<std::uint32_t, float_from_bits>(p);
    case DType::F16:
      return quantise_rows<std::uint16_t, float_from_half>(p);
    default:
      return quantise_rows<std::uint16_t, float_from_bf16>(p);
  }
}

}  // namespace gaze::kernels::cpu

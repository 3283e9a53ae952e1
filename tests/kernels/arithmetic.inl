// SPDX-License-Identifier: MIT
// The arithmetic of the kernels' bodies, over vectors whose size is a multiple of 16.
#include "cpu/vector.inl"

inline void exponentials(const std::vector<float>& x, std::vector<float>& out) {
  for (std::size_t i = 0; i < x.size(); i += kWidth) store(&out[i], exp_nonpositive(load(&x[i])));
}

inline void logarithms(const std::vector<float>& x, std::vector<float>& out) {
  for (std::size_t i = 0; i < x.size(); i += kWidth) store(&out[i], log_positive(load(&x[i])));
}

/// 16-bit elements, whole vectors and parts of one.
template <DType kType>
inline std::vector<float> widened(const std::vector<std::uint16_t>& x, std::int64_t at_once) {
  std::vector<float> out;
  const auto count = std::min(at_once, kWidth);
  for (std::int64_t i = 0; i + count <= static_cast<std::int64_t>(x.size()); i += count) {
    const Vec v = count < kWidth ? Element<kType>::some(&x[static_cast<std::size_t>(i)], count)
                                 : Element<kType>::full(&x[static_cast<std::size_t>(i)]);
    for (std::int64_t l = 0; l < count; ++l) out.push_back(v[l]);
  }
  return out;
}

inline std::vector<float> halves(const std::vector<std::uint16_t>& x, std::int64_t at_once) {
  return widened<DType::F16>(x, at_once);
}

inline std::vector<float> bf16s(const std::vector<std::uint16_t>& x, std::int64_t at_once) {
  return widened<DType::BF16>(x, at_once);
}

/// kWidth rows of kWidth elements, as columns.
inline std::vector<float> transposed(std::vector<float> x) {
  Vec rows[kWidth];
  for (std::int64_t r = 0; r < kWidth; ++r) rows[r] = load(&x[static_cast<std::size_t>(r * kWidth)]);
  transpose(rows);
  for (std::int64_t r = 0; r < kWidth; ++r) store(&x[static_cast<std::size_t>(r * kWidth)], rows[r]);
  return x;
}

/// Sums of the lanes of kWidth vectors.
inline std::vector<float> lanes_summed(const std::vector<float>& x) {
  Vec of[kWidth];
  for (std::int64_t l = 0; l < kWidth; ++l) of[l] = load(&x[static_cast<std::size_t>(l * kWidth)]);
  std::vector<float> out(kWidth);
  store(out.data(), lane_sums(of));
  return out;
}

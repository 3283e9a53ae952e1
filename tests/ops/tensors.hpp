// SPDX-License-Identifier: MIT
// Tensors for the op tests: every dtype, every layout, and their values as float64.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/close.hpp"
#include "support/devices.hpp"

namespace gaze::test {

/// How far an op may be from its float64 reference. The reference reads the same rounded inputs, so the dtype of the
/// inputs does not enter; what is left is float32 arithmetic inside of the ops.
inline constexpr Tolerance kSums{1e-6, 2e-6};  ///< sums of at most some hundred weights of at most 1
inline constexpr Tolerance kSoftmax{1e-6,
                                    2e-5};  ///< a score of 10 rounds by 1e-6, which e^x passes on; sums of 64 products
inline constexpr Tolerance kEntropy{2e-6, 0};    ///< a difference of logarithms of at most 8
inline constexpr Tolerance kValues{2e-6, 2e-6};  ///< a few multiplications in float32
/// The peer rounds its weights to the inputs' dtype: 2^-11 and 2^-8 of a weight of at most 1, and works in it before.
inline constexpr Tolerance kPeerF32{2e-6, 2e-5}, kPeerF16{2e-3, 0}, kPeerBF16{2e-2, 0};

inline const std::vector<at::ScalarType> kWeightDtypes = {at::kFloat, at::kHalf, at::kBFloat16};

enum class Layout { Contiguous, Transposed, Sliced };
inline const std::vector<Layout> kLayouts = {Layout::Contiguous, Layout::Transposed, Layout::Sliced};
inline const char* name(Layout layout) {
  return layout == Layout::Contiguous ? "contiguous" : layout == Layout::Transposed ? "transposed" : "sliced";
}

/// The same values in other memory; what lies between them is NaN (or true, or 255).
inline at::Tensor laid_out(const at::Tensor& x, Layout layout) {
  if (layout == Layout::Contiguous) return x.contiguous();
  at::Tensor out;
  if (layout == Layout::Transposed) {
    out = at::empty(x.transpose(0, x.dim() - 1).sizes(), x.options()).transpose(0, x.dim() - 1);
  } else {
    std::vector<int64_t> sizes;
    for (int64_t n : x.sizes()) sizes.push_back(2 * n + 3);
    out = at::empty(sizes, x.options());
    out.fill_(x.is_floating_point() ? std::nan("") : x.scalar_type() == at::kBool ? 1.0 : 255.0);
    for (int64_t d = 0; d < x.dim(); ++d) out = out.slice(d, 1, 1 + 2 * x.size(d), 2);
  }
  return out.copy_(x);
}

inline at::Tensor tensor_of(const std::vector<double>& values, at::IntArrayRef sizes, at::ScalarType dtype,
                            at::Device device = at::kCPU) {
  return at::from_blob(const_cast<double*>(values.data()), sizes, at::TensorOptions().dtype(at::kDouble))
      .to(at::TensorOptions().dtype(dtype).device(device), false, /*copy=*/true);
}

inline std::vector<double> values_of(const at::Tensor& x) {
  const at::Tensor y = x.detach().to(at::kCPU).to(at::kDouble).contiguous();
  return {y.const_data_ptr<double>(), y.const_data_ptr<double>() + y.numel()};
}

/// Values with axes: x(b, h, q, k).
struct Array {
  explicit Array(const at::Tensor& x) : values(values_of(x)), sizes(x.sizes().vec()) {}
  template <typename... Index>
  double operator()(Index... index) const {
    int64_t flat = 0, d = 0;
    ((flat = flat * sizes[static_cast<size_t>(d++)] + index), ...);
    return values[static_cast<size_t>(flat)];
  }
  std::vector<double> values;
  std::vector<int64_t> sizes;
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  double uniform(double low = 0, double high = 1) {
    return low + (high - low) * (static_cast<double>(engine_() >> 5) * 0x1p-27);
  }
  std::vector<double> many(int64_t count, double low = 0, double high = 1) {
    std::vector<double> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(uniform(low, high));
    return out;
  }
  at::Tensor tensor(at::IntArrayRef sizes, at::ScalarType dtype, double low = -1, double high = 1,
                    at::Device device = at::kCPU) {
    int64_t count = 1;
    for (int64_t n : sizes) count *= n;
    return tensor_of(many(count, low, high), sizes, dtype, device);
  }
  /// Softmax rows; `hidden` of the keys (by chance) weigh exactly 0.
  at::Tensor weights(at::IntArrayRef sizes, at::ScalarType dtype, double hidden = 0, at::Device device = at::kCPU) {
    const int64_t keys = sizes.back();
    int64_t rows = 1;
    for (int64_t n : sizes) rows *= n;
    std::vector<double> out;
    for (int64_t r = 0; r < rows / keys; ++r) {
      std::vector<double> row = many(keys, -3, 3);
      double total = 0;
      for (double& x : row) {
        x = uniform() < hidden ? 0 : std::exp(x);
        total += x;
      }
      for (double x : row) out.push_back(total > 0 ? x / total : 0);
    }
    return tensor_of(out, sizes, dtype, device);
  }

 private:
  std::mt19937 engine_;
};

/// The message of the error that `call` throws, without the stack; empty when it throws none.
template <typename Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace gaze::test

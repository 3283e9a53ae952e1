// SPDX-License-Identifier: MIT
// Number formats and the functions the kernels compute themselves.
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/vector.hpp"
#include "guarded.hpp"
#include "half.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// IEEE 754 from its definition.
double decoded(unsigned bits, int exponent_bits, int mantissa_bits) {
  const unsigned mantissa = bits & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa != 0 ? std::nan("") : sign * HUGE_VAL;
  const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissa_bits);
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias) : sign * std::ldexp(1 + fraction, exponent - bias);
}

}  // namespace

CATCH_TEST_CASE("every 16-bit float decodes to its exact value") {
  std::vector<float> half, bf16;
  std::vector<double> want_half, want_bf16;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    half.push_back(float_from_half(static_cast<std::uint16_t>(bits)));
    bf16.push_back(float_from_bf16(static_cast<std::uint16_t>(bits)));
    want_half.push_back(decoded(bits, 5, 10));
    want_bf16.push_back(decoded(bits, 8, 7));
  }
  CATCH_CHECK(differs(half, want_half) == "");
  CATCH_CHECK(differs(bf16, want_bf16) == "");
  CATCH_CHECK(std::signbit(float_from_half(0x8000)));
}

CATCH_TEST_CASE("strided elements of every dtype become contiguous floats") {
  for (std::int64_t count : {0, 1, 31, 32, 33, 255, 257}) {
    for (std::int64_t stride : {0, 1, 2, 7}) {
      std::vector<std::uint16_t> words(static_cast<std::size_t>(count * stride + 1));
      std::vector<float> floats(words.size());
      std::vector<std::uint8_t> seen(words.size());
      for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = static_cast<std::uint16_t>(0x3c00 + i % 512);
        floats[i] = static_cast<float>(i) - 3;
        seen[i] = i % 3 == 0;
      }
      std::vector<double> want_f32, want_f16, want_bf16, want_bool;
      for (std::int64_t i = 0; i < count; ++i) {
        const auto from = static_cast<std::size_t>(i * stride);
        want_f32.push_back(floats[from]);
        want_f16.push_back(decoded(words[from], 5, 10));
        want_bf16.push_back(decoded(words[from], 8, 7));
        want_bool.push_back(seen[from] != 0 ? 0 : -HUGE_VAL);
      }
      const auto read = [&](const void* from, DType dtype) {
        Output<float> scratch(static_cast<std::size_t>(count));
        const float* got = cpu::as_floats(from, dtype, stride, count, scratch.data());
        CATCH_CHECK(scratch.intact());
        return std::vector<float>(got, got + count);
      };
      CATCH_CAPTURE(count, stride);
      CATCH_CHECK(differs(read(floats.data(), DType::F32), want_f32) == "");
      CATCH_CHECK(differs(read(words.data(), DType::F16), want_f16) == "");
      CATCH_CHECK(differs(read(words.data(), DType::BF16), want_bf16) == "");
      CATCH_CHECK(differs(read(seen.data(), DType::Bool), want_bool) == "");
    }
  }
}

CATCH_TEST_CASE("the exponential and the logarithm agree with the standard library's") {
  std::vector<float> exps, logs;
  std::vector<double> want_exps, want_logs;
  for (double x = 0; x >= -86.9; x -= 0.00173) {
    exps.push_back(cpu::exp_nonpositive(static_cast<float>(x)));
    want_exps.push_back(std::exp(static_cast<double>(static_cast<float>(x))));
  }
  for (double x = 1e-37; x < 4; x *= 1.0007) {
    logs.push_back(cpu::log_positive(static_cast<float>(x)));
    want_logs.push_back(std::log(static_cast<double>(static_cast<float>(x))));
  }
  CATCH_CHECK(differs(exps, want_exps, {0, 3e-7}) == "");
  CATCH_CHECK(differs(logs, want_logs, {1.5e-7, 1.5e-7}) == "");

  CATCH_CHECK(cpu::exp_nonpositive(0) == 1);
  CATCH_CHECK(cpu::exp_nonpositive(-87.5f) == 0);
  CATCH_CHECK(cpu::exp_nonpositive(-3e38f) == 0);
  CATCH_CHECK(cpu::exp_nonpositive(-kInf) == 0);
  CATCH_CHECK(std::isnan(cpu::exp_nonpositive(kNan)));
  for (float x : {0.0f, -0.0f, 1e-45f, 1e-39f}) CATCH_CHECK(std::abs(x * cpu::log_positive(x)) < 1e-30f);
}

CATCH_TEST_CASE("sums, products and maxima hold at every length around the lane count") {
  Numbers numbers;
  for (std::size_t count : {0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 257}) {
    CATCH_CAPTURE(count);
    const std::vector<float> a = numbers.many(count, -1, 1), b = numbers.many(count, -1, 1);
    const Input guarded_a(a), guarded_b(b);
    const auto n = static_cast<std::int64_t>(count);
    double total = 0, product = 0, top = -HUGE_VAL, entropy = 0;
    for (std::size_t i = 0; i < count; ++i) {
      total += static_cast<double>(a[i]);
      product += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      top = std::max(top, static_cast<double>(a[i]));
    }
    CATCH_CHECK(std::abs(cpu::sum(guarded_a.data(), n) - total) < 1e-12);
    CATCH_CHECK(std::abs(static_cast<double>(cpu::dot(guarded_a.data(), guarded_b.data(), n)) - product) < 1e-5);
    CATCH_CHECK(static_cast<double>(cpu::maximum(guarded_a.data(), n)) == top);

    std::vector<float> p = numbers.many(count);
    double mass = 0;
    for (float x : p) mass += static_cast<double>(x);
    for (float x : p) entropy -= static_cast<double>(x) / mass * std::log(static_cast<double>(x) / mass);
    const double want = count > 1 ? entropy / std::log(static_cast<double>(count)) : 0;
    CATCH_CHECK(std::abs(cpu::normalised_entropy(Input(p).data(), n, mass) - want) < 1e-6);
  }
}

CATCH_TEST_CASE("a sum shows what is not finite and a maximum passes over NaN") {
  for (std::size_t where : {0, 15, 16, 32}) {
    std::vector<float> x(33, 3e38f);
    CATCH_CHECK(std::isfinite(cpu::sum(x.data(), 33)));  // although no float could hold it
    x[where] = kNan;
    CATCH_CHECK(std::isnan(cpu::sum(x.data(), 33)));
    CATCH_CHECK(cpu::maximum(x.data(), 33) == 3e38f);
    x[where] = kInf;
    CATCH_CHECK(std::isinf(cpu::sum(x.data(), 33)));
  }
  CATCH_CHECK(cpu::maximum(nullptr, 0) == -kInf);
}

CATCH_TEST_CASE("entropy is 1 for equal shares, 0 for one share and for none") {
  const std::vector<float> equal(37, 0.01f);
  std::vector<float> single(37, 0.0f);
  single[20] = 0.4f;
  CATCH_CHECK(cpu::normalised_entropy(equal.data(), 37, cpu::sum(equal.data(), 37)) == Approx(1).margin(1e-6));
  CATCH_CHECK(cpu::normalised_entropy(single.data(), 37, cpu::sum(single.data(), 37)) == Approx(0).margin(1e-6));
  const std::vector<float> none(37, 0.0f);
  CATCH_CHECK(cpu::normalised_entropy(none.data(), 37, 0) == 0);
  CATCH_CHECK(cpu::normalised_entropy(equal.data(), 1, 0.01) == 0);
}

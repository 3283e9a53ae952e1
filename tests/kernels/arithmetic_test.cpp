// SPDX-License-Identifier: MIT
// Number formats and the functions the kernels compute themselves.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cpu/intrinsics.hpp"
#include "cpu/isa.hpp"
#include "cpu/vector.hpp"
#include "guarded.hpp"
#include "half.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

#define GAZE_BODY "arithmetic.inl"
#include "cpu/each_isa.hpp"

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

/// The functions of arithmetic.inl, of one instruction set.
struct Arithmetic {
  cpu::Isa isa;
  decltype(&cpu::baseline::exponentials) exponentials, logarithms;
  decltype(&cpu::baseline::halves) halves, bf16s;
  decltype(&cpu::baseline::lanes_summed) lanes_summed;
  decltype(&cpu::baseline::transposed) transposed;
};

/// Of those this machine has.
std::vector<Arithmetic> arithmetics() {
  using namespace cpu;
  std::vector<Arithmetic> all = {{Isa::Baseline, baseline::exponentials, baseline::logarithms, baseline::halves,
                                  baseline::bf16s, baseline::lanes_summed, baseline::transposed},
                                 {Isa::Avx2, avx2::exponentials, avx2::logarithms, avx2::halves, avx2::bf16s,
                                  avx2::lanes_summed, avx2::transposed},
                                 {Isa::Avx512, avx512::exponentials, avx512::logarithms, avx512::halves, avx512::bf16s,
                                  avx512::lanes_summed, avx512::transposed}};
  all.erase(std::remove_if(all.begin(), all.end(), [](const Arithmetic& of) { return !has(of.isa); }), all.end());
  return all;
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

  std::vector<std::uint16_t> words(65536);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint16_t>(i);
  for (const Arithmetic& of : arithmetics()) {
    for (std::int64_t at_once : {1, 2, 16}) {
      CATCH_CAPTURE(name(of.isa), at_once);
      CATCH_CHECK(differs(of.halves(words, at_once), want_half) == "");
      CATCH_CHECK(differs(of.bf16s(words, at_once), want_bf16) == "");
    }
  }
}

CATCH_TEST_CASE("the exponential and the logarithm agree with the standard library's") {
  std::vector<float> exps, logs, scalar_logs;
  std::vector<double> want_exps, want_logs;
  const auto exp_at = [&](float x) {
    exps.push_back(x);
    want_exps.push_back(x < -87 ? 0 : std::exp(static_cast<double>(x)));
  };
  const auto log_at = [&](float x) {
    logs.push_back(x);
    scalar_logs.push_back(cpu::log_positive(x));
    want_logs.push_back(std::log(static_cast<double>(x)));
  };
  for (float x : {-87.5f, -3e38f, -kInf, kNan}) exp_at(x);
  for (double x = 0; x >= -86.9; x -= 0.00173) exp_at(static_cast<float>(x));
  for (double x = 1e-37; x < 4; x *= 1.0007) log_at(static_cast<float>(x));
  while (exps.size() % 16 != 0) exp_at(0);
  while (logs.size() % 16 != 0) log_at(1);
  CATCH_CHECK(differs(scalar_logs, want_logs, {1.5e-7, 1.5e-7}) == "");
  const std::vector<float> nothing = {0.0f, -0.0f, 1e-45f, 1e-39f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (float x : nothing) CATCH_CHECK(std::abs(x * cpu::log_positive(x)) < 1e-30f);
  for (const Arithmetic& of : arithmetics()) {
    CATCH_CAPTURE(name(of.isa));
    std::vector<float> got(exps.size());
    of.exponentials(exps, got);
    CATCH_CHECK(differs(got, want_exps, {0, 3e-7}) == "");
    CATCH_CHECK(got[4] == 1);
    got.resize(logs.size());
    of.logarithms(logs, got);
    CATCH_CHECK(differs(got, want_logs, {1.5e-7, 1.5e-7}) == "");
    of.logarithms(nothing, got);
    for (std::size_t i = 0; i < nothing.size(); ++i) CATCH_CHECK(std::abs(nothing[i] * got[i]) < 1e-30f);
  }
}

CATCH_TEST_CASE("each lane of a sum of lanes belongs to its vector") {
  std::vector<float> x(256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i % 1021);
  for (const Arithmetic& of : arithmetics()) {
    const std::vector<float> got = of.lanes_summed(x);
    std::vector<double> want(got.size());
    for (std::size_t i = 0; i < got.size() * got.size(); ++i) want[i / got.size()] += static_cast<double>(x[i]);
    CATCH_CAPTURE(name(of.isa));
    CATCH_CHECK(differs(got, want) == "");
  }
}

CATCH_TEST_CASE("each row of a square of lanes becomes a column") {
  for (const Arithmetic& of : arithmetics()) {
    CATCH_CAPTURE(name(of.isa));
    std::vector<float> x(16 * 16);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    const std::vector<float> columns = of.transposed(x);
    const std::size_t width = of.lanes_summed(x).size();
    for (std::size_t r = 0; r < width; ++r) {
      for (std::size_t c = 0; c < width; ++c) CATCH_REQUIRE(columns[c * width + r] == x[r * width + c]);
    }
  }
}

CATCH_TEST_CASE("sums, entropies and maxima hold at every length around the lane count") {
  Numbers numbers;
  for (std::size_t count : {0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 257}) {
    CATCH_CAPTURE(count);
    const std::vector<float> a = numbers.many(count, -1, 1);
    const Input guarded_a(a);
    const auto n = static_cast<std::int64_t>(count);
    double total = 0, top = -HUGE_VAL, entropy = 0;
    for (std::size_t i = 0; i < count; ++i) {
      total += static_cast<double>(a[i]);
      top = std::max(top, static_cast<double>(a[i]));
    }
    CATCH_CHECK(std::abs(cpu::sum(guarded_a.data(), n) - total) < 1e-12);
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

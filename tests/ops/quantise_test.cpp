// SPDX-License-Identifier: MIT
// Rows in bytes against what float64 says of them.
#include <gaze/ops/quantise.hpp>

#include <algorithm>
#include <limits>

#include "tensors.hpp"

using namespace gaze::ops;
using namespace gaze::test;

namespace {

void check_rows(const at::Tensor& weight_hqk, const QuantisedRows& rows) {
  const Array weight(weight_hqk), root(rows.root_hqk), most(rows.most_hq), back(dequantise(rows));
  CATCH_REQUIRE(rows.root_hqk.scalar_type() == at::kByte);
  for (int64_t h = 0; h < weight_hqk.size(0); ++h) {
    for (int64_t q = 0; q < weight_hqk.size(1); ++q) {
      const auto counted = [&](int64_t k) {
        const double x = weight(h, q, k);
        return std::isfinite(x) ? std::max(0.0, x) : 0;
      };
      double greatest = 0;
      for (int64_t k = 0; k < weight_hqk.size(2); ++k) greatest = std::max(greatest, counted(k));
      CATCH_REQUIRE(most(h, q) == greatest);
      for (int64_t k = 0; k < weight_hqk.size(2); ++k) {
        const double want = greatest > 0 ? 255 * std::sqrt(counted(k) / greatest) : 0;
        CATCH_REQUIRE(std::abs(root(h, q, k) - want) <= 0.5001);
        CATCH_REQUIRE(std::abs(back(h, q, k) - counted(k)) <= greatest * (want + 0.2501) / (255 * 255) * 1.0001);
      }
    }
  }
}

}  // namespace

CATCH_TEST_CASE("quantise keeps each weight within half a step of its root, in every dtype and layout") {
  for (const at::Device device : devices()) {
    for (const at::ScalarType dtype : kWeightDtypes) {
      for (const Layout layout : kLayouts) {
        for (const int64_t keys : {1, 5, 33, 577}) {
          CATCH_CAPTURE(device.str(), c10::toString(dtype), name(layout), keys);
          Random random(50);
          at::Tensor weight = random.tensor({3, 2, keys}, at::kFloat, -8, 2, device).exp();
          weight[0][1].zero_();
          weight = laid_out(weight.to(dtype), layout);
          check_rows(weight, quantise(weight));
        }
      }
    }
  }
}

CATCH_TEST_CASE("quantise counts what is no weight as 0") {
  for (const at::Device device : devices()) {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
    const at::Tensor weight =
        tensor_of({kNan, 0.5, kInf, -kInf, -1, 0.25, kNan, kNan, -2, -0.0, 0, -kInf, 1e-45, 1e-40, 0, 3e38, 1, 0},
                  {1, 3, 6}, at::kFloat, device);
    check_rows(weight, quantise(weight));
    const QuantisedRows none = quantise(weight.narrow(2, 0, 0));
    CATCH_CHECK((none.root_hqk.numel() == 0 && none.most_hq.abs().sum().item<double>() == 0));
    CATCH_CHECK(quantise(weight.narrow(1, 0, 0)).most_hq.numel() == 0);
  }
}

CATCH_TEST_CASE("quantise writes into rows of a larger tensor, and nowhere else") {
  for (const at::Device device : devices()) {
    Random random(51);
    const at::Tensor weight = random.tensor({3, 2, 9}, at::kFloat, 0, 1, device);
    const auto options = at::TensorOptions(device);
    at::Tensor root = at::full({3, 7, 9}, 77, options.dtype(at::kByte));
    at::Tensor most = at::full({3, 7}, -1.0, options.dtype(at::kFloat));
    const QuantisedRows rows = {root.narrow(1, 4, 2), most.narrow(1, 4, 2)};
    quantise_out(weight, rows);
    check_rows(weight, rows);
    for (const int64_t q : {0, 1, 2, 3, 6}) {
      CATCH_CHECK(root.select(1, q).eq(77).all().item<bool>());
      CATCH_CHECK(most.select(1, q).eq(-1).all().item<bool>());
    }
  }
}

CATCH_TEST_CASE("quantise says what does not fit") {
  const auto error_of = [](auto work) {
    try {
      work();
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
    return std::string("no error");
  };
  const at::Tensor weight = at::rand({2, 3, 4});
  const QuantisedRows fits = quantise(weight);
  CATCH_CHECK(error_of([&] { quantise(weight[0]); }) ==
              "gaze::quantise: weight_hqk: expected [heads, queries, keys], got 2 dimensions");
  CATCH_CHECK(error_of([&] { quantise(at::Tensor()); }) ==
              "gaze::quantise: weight_hqk: expected [heads, queries, keys], got 0 dimensions");
  CATCH_CHECK(error_of([&] { quantise_out(weight.to(at::kDouble), fits); }).starts_with("gaze::quantise: weight_hqk:"));
  CATCH_CHECK(error_of([&] { quantise_out(weight.narrow(2, 0, 3), fits); }) ==
              "gaze::quantise: root_hqk: expected shape [2, 3, 3], got [2, 3, 4]");
  CATCH_CHECK(error_of([&] {
                quantise_out(weight, {at::empty({4, 3, 2}, at::kByte).permute({2, 1, 0}), fits.most_hq});
              }) == "gaze::quantise: root_hqk: expected adjacent keys, got strides [1, 2, 6]");
  CATCH_CHECK(error_of([&] {
                quantise_out(weight, {fits.root_hqk, fits.most_hq.narrow(1, 0, 2)});
              }) == "gaze::quantise: most_hq: expected shape [2, 3], got [2, 2]");
}

// SPDX-License-Identifier: MIT
// What is kept of an encoder, and what becomes of a map on its way back through it.
#include "capture/encoder_layers.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "support/test.hpp"

using gaze::EncoderLayers;
using gaze::PackedAttention;
using gaze::PackedCall;
using gaze::ScoresCall;
using gaze::WeightsCall;
namespace ops = gaze::ops;

namespace {

constexpr int64_t kBatch = 2, kHeads = 3, kKeys = 11, kSize = 4, kTokens = 5, kPlenty = 1 << 20;

at::Tensor weights64(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd) {
  const at::Tensor scores = q_bhqd.to(at::kDouble).matmul(k_bhkd.to(at::kDouble).transpose(-2, -1));
  return (scores / std::sqrt(static_cast<double>(kSize))).softmax(-1);
}
/// Half of the fewest positions that hold half of each row, half of the identity.
at::Tensor half64(const at::Tensor& attn_bhqk, int64_t row) {
  const at::Tensor mean_qk = attn_bhqk[row].mean(0);
  const auto [sorted_qk, order_qk] = mean_qk.sort(1, /*descending=*/true);
  const at::Tensor before_qk = sorted_qk.cumsum(1) - sorted_qk;
  at::Tensor kept_qk = sorted_qk.masked_fill(before_qk >= 0.5 * sorted_qk.sum(1, true), 0);
  kept_qk = at::zeros_like(mean_qk).scatter(1, order_qk, kept_qk);
  return (kept_qk / kept_qk.sum(1, true) + at::eye(kKeys, at::kDouble)) / 2;
}
bool close(const at::Tensor& got, const at::Tensor& want) {
  return got.sizes() == want.sizes() && at::allclose(got.to(at::kDouble), want, 1e-5, 1e-6);
}

struct Pair {
  at::Tensor q = at::randn({kBatch, kHeads, kKeys, kSize}), k = at::randn({kBatch, kHeads, kKeys, kSize});
  [[nodiscard]] ScoresCall call() const { return ScoresCall(ops::Scores{q, k, std::nullopt}); }
};

}  // namespace

CATCH_TEST_CASE("encoder layers: the last layer is gone back through first, whatever each is made of") {
  at::manual_seed(3);
  const Pair scores;
  const at::Tensor weights = at::randn({kBatch, kHeads, kKeys, kKeys}).softmax(-1);
  PackedAttention packed;
  packed.q_input = packed.k_input = at::randn({kBatch, kKeys, kHeads * kSize});
  packed.weight = at::randn({3 * kHeads * kSize, kHeads * kSize}) * 0.3;
  packed.bias = at::randn({3 * kHeads * kSize});
  packed.heads = kHeads;
  EncoderLayers layers;
  layers.keep(4, scores.call(), kPlenty);
  layers.keep(2, WeightsCall(weights, false), kPlenty);
  layers.keep(7, PackedCall(packed), kPlenty);
  CATCH_REQUIRE(layers.lead_to(kBatch, kKeys, 3));
  CATCH_CHECK_FALSE(layers.lead_to(kBatch + 1, kKeys, 3));
  CATCH_CHECK_FALSE(layers.lead_to(kBatch, kKeys - 1, 3));
  CATCH_CHECK_FALSE(layers.lead_to(kBatch, kKeys, 2));
  CATCH_CHECK_FALSE(layers.lead_to(kBatch, kKeys, 4));
  const at::Tensor all = at::linear(packed.q_input, packed.weight, packed.bias).unflatten(2, {3, kHeads, kSize});
  const at::Tensor last = weights64(all.select(2, 0).transpose(1, 2), all.select(2, 1).transpose(1, 2));
  const at::Tensor map = at::rand({kTokens, kKeys});
  for (int64_t row = 0; row < kBatch; ++row) {
    const EncoderLayers::Carried carried = layers.carry(map, row);
    const at::Tensor want = map.to(at::kDouble)
                                .matmul(half64(last, row))
                                .matmul(half64(weights.to(at::kDouble), row))
                                .matmul(half64(weights64(scores.q, scores.k), row));
    CATCH_CHECK(close(carried.map_tk, want));
    CATCH_CHECK(close(carried.map_tk.sum(1), map.sum(1).to(at::kDouble)));
    CATCH_CHECK(carried.flags.item<int32_t>() == 0);
  }
}

CATCH_TEST_CASE(
    "encoder layers: kept memory is the call's own, and is known to be written over but in inference mode") {
  at::manual_seed(4);
  EncoderLayers layers;
  Pair pair;
  layers.keep(0, pair.call(), kPlenty);
  CATCH_CHECK(layers.bytes() == static_cast<int64_t>(pair.q.nbytes() + pair.k.nbytes()));
  CATCH_CHECK_FALSE(layers.written_over());
  pair.k.add_(1);
  CATCH_CHECK(layers.written_over());

  const c10::InferenceMode inference;
  Pair silent;
  EncoderLayers unknown;
  unknown.keep(0, silent.call(), kPlenty);
  silent.k.add_(1);
  CATCH_CHECK_FALSE(unknown.written_over());
}

CATCH_TEST_CASE("encoder layers: queries and keys of one memory are counted with all of it, once") {
  const at::Tensor qkv = at::randn({kBatch, kKeys, 3, kHeads, kSize});
  EncoderLayers layers;
  const ops::Scores scores{qkv.select(2, 0).transpose(1, 2), qkv.select(2, 1).transpose(1, 2), std::nullopt};
  layers.keep(0, ScoresCall(scores), kPlenty);
  CATCH_CHECK(layers.bytes() == static_cast<int64_t>(qkv.nbytes()));
}

CATCH_TEST_CASE("encoder layers: what cannot be kept lets go of everything, for good") {
  const Pair pair;
  const int64_t enough = static_cast<int64_t>(pair.q.nbytes() + pair.k.nbytes()) + 8 * kKeys * kKeys;
  EncoderLayers layers;
  CATCH_SECTION("a budget that is a byte too small") {
    layers.keep(0, pair.call(), enough);
    CATCH_REQUIRE(layers.lead_to(kBatch, kKeys, 1));
    layers.keep(1, Pair().call(), enough);
  }
  CATCH_SECTION("a layer that runs again") {
    layers.keep(0, pair.call(), kPlenty);
    layers.keep(0, pair.call(), kPlenty);
  }
  CATCH_SECTION("more queries than keys") {
    layers.keep(0, ScoresCall(ops::Scores{at::randn({kBatch, kHeads, kKeys + 1, kSize}), pair.k, std::nullopt}),
                kPlenty);
  }
  CATCH_SECTION("when told so") { layers.leave(); }
  CATCH_CHECK(layers.bytes() == 0);
  CATCH_CHECK(layers.layers().empty());
  layers.keep(2, pair.call(), kPlenty);
  CATCH_CHECK_FALSE(layers.lead_to(kBatch, kKeys, 1));
}

CATCH_TEST_CASE("encoder layers: broken rows are flagged") {
  at::Tensor weights = at::randn({1, 1, kKeys, kKeys}).softmax(-1);
  weights[0][0][3][2] = std::nan("");
  EncoderLayers layers;
  layers.keep(0, WeightsCall(weights, false), kPlenty);
  CATCH_CHECK(layers.carry(at::rand({2, kKeys}), 0).flags.item<int32_t>() == ops::kRowNonFinite);
}

// SPDX-License-Identifier: MIT
// A call made of weights and one made of queries and keys are the same call.
#include "capture/attention_call.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "support/test.hpp"

using gaze::ScoresCall;
using gaze::WeightsCall;
using gaze::WeightsLayout;
namespace ops = gaze::ops;

namespace {

constexpr int64_t kBatch = 2, kHeads = 3, kQueries = 5, kKeys = 7, kSize = 4;

struct Attention {
  at::Tensor q_bhqd = at::randn({kBatch, kHeads, kQueries, kSize});
  at::Tensor k_bhkd = at::randn({kBatch, kHeads, kKeys, kSize});
  at::Tensor mask_bhqk = at::rand({kBatch, kHeads, kQueries, kKeys}) > 0.2;

  Attention() { mask_bhqk.select(-1, 0).fill_(true); }
  /// In float64, by the definition.
  [[nodiscard]] at::Tensor reference() const {
    const at::Tensor scores = q_bhqd.to(at::kDouble).matmul(k_bhkd.to(at::kDouble).transpose(-2, -1)) / std::sqrt(4.0);
    return scores.masked_fill(mask_bhqk.logical_not(), -INFINITY).softmax(-1);
  }
  [[nodiscard]] ScoresCall scores() const { return ScoresCall(ops::Scores{q_bhqd, k_bhkd, mask_bhqk}); }
};

bool close(const at::Tensor& got, const at::Tensor& want) {
  return got.sizes() == want.sizes() && at::allclose(got.to(at::kDouble), want, 1e-5, 1e-6);
}

}  // namespace

CATCH_TEST_CASE("attention call: weights and scores say the same of one attention") {
  at::manual_seed(3);
  const Attention attention;
  const at::Tensor want_bhqk = attention.reference();
  const WeightsCall weights(want_bhqk.to(at::kFloat), /*partial=*/false);
  const ScoresCall scores = attention.scores();
  CATCH_CHECK(weights.scores() == nullptr);
  CATCH_CHECK(scores.scores() != nullptr);
  for (const gaze::AttentionCall* call :
       {static_cast<const gaze::AttentionCall*>(&weights), static_cast<const gaze::AttentionCall*>(&scores)}) {
    CATCH_CHECK(call->batch() == kBatch);
    CATCH_CHECK(call->heads() == kHeads);
    CATCH_CHECK(call->queries() == kQueries);
    CATCH_CHECK(call->keys() == kKeys);
    CATCH_CHECK(close(call->exact(), want_bhqk));
    for (int64_t row = 0; row < kBatch; ++row) {
      CATCH_CHECK(close(call->weights(row, 1, 3), want_bhqk[row].narrow(1, 1, 3)));
      for (int64_t key = 1; key < kKeys; ++key) {
        const bool sees = attention.mask_bhqk[row].select(1, -1).slice(1, key).any().item<bool>();
        CATCH_CHECK(call->sees_beyond(row, key).item<bool>() == sees);
      }
      ops::Accumulator some = ops::make_accumulator(4, kKeys - 2, at::kCPU);
      const ops::ReduceOptions mean{.heads = ops::HeadReduce::Mean};
      call->add({.batch = row, .first_query = 3, .queries = 2, .first_key = 2, .first_token = 1}, mean, &some);
      const at::Tensor map_tc = ops::finish(some, 3, mean).map_tc;
      CATCH_CHECK(close(map_tc.slice(0, 1), want_bhqk[row].mean(0).slice(0, 3).slice(1, 2)));
      ops::Accumulator whole = ops::make_accumulator(kQueries, kKeys, at::kCPU);
      call->add_whole(row, mean, whole);
      CATCH_CHECK(close(ops::finish(whole, kQueries, mean).map_tc, want_bhqk[row].mean(0)));
    }
  }
  // Nothing is hidden where there is no mask: nobody needs to look.
  CATCH_CHECK_FALSE(ScoresCall(ops::Scores{attention.q_bhqd, attention.k_bhkd, {}}).sees_beyond(0, 3).defined());
}

CATCH_TEST_CASE("attention call: scores hold what they are made of") {
  at::manual_seed(4);
  const Attention attention;
  const ScoresCall call = [&] {
    const at::Tensor q = attention.q_bhqd.clone(), k = attention.k_bhkd.clone(), mask = attention.mask_bhqk.clone();
    return ScoresCall(ops::Scores{q, k, mask});
  }();
  CATCH_CHECK(close(call.exact(), attention.reference()));
}

CATCH_TEST_CASE("attention call: weights are arranged whatever their axes") {
  at::manual_seed(5);
  const at::Tensor attn_bhqk = at::rand({kBatch, kHeads, kQueries, kKeys});
  const auto arranged = [](const at::Tensor& weights, const WeightsLayout& layout, int64_t rows) {
    return gaze::arrange(weights, layout, rows, "a.site");
  };
  const auto same = [](const at::Tensor& got, const at::Tensor& want) { return at::equal(got, want); };
  CATCH_CHECK(same(arranged(attn_bhqk, {}, 0), attn_bhqk));
  CATCH_CHECK(same(arranged(attn_bhqk.transpose(-1, -2), {.query_axis = -1, .key_axis = -2}, 0), attn_bhqk));
  CATCH_CHECK(same(arranged(attn_bhqk.permute({0, 2, 3, 1}), {.query_axis = -3, .key_axis = -2}, 0), attn_bhqk));
  // Batch and heads in one axis: the layout's heads, else the request's rows, else all of it is heads.
  const at::Tensor merged = attn_bhqk.flatten(0, 1);
  CATCH_CHECK(same(arranged(merged, {.heads = kHeads}, 0), attn_bhqk));
  CATCH_CHECK(same(arranged(merged, {}, kBatch), attn_bhqk));
  CATCH_CHECK(same(arranged(merged, {}, 0), merged.unsqueeze(0)));
  CATCH_CHECK(same(arranged(merged, {.heads = 4}, 5), merged.unsqueeze(0)));
  CATCH_CHECK(same(arranged(attn_bhqk[0][0], {}, 0), attn_bhqk[0][0].view({1, 1, kQueries, kKeys})));
  // One query, without an axis.
  CATCH_CHECK(same(arranged(attn_bhqk[0][0][0], {.query_axis = 0}, 0), attn_bhqk[0][0][0].view({1, 1, 1, kKeys})));
  // Whatever stands between batch and queries is heads.
  CATCH_CHECK(same(arranged(attn_bhqk.view({kBatch, 1, kHeads, kQueries, kKeys}), {}, 0), attn_bhqk));
  for (const auto& [weights, layout] :
       {std::pair(at::rand({3}), WeightsLayout{}), std::pair(at::rand({}), WeightsLayout{.query_axis = 0})})
    CATCH_CHECK_THROWS_WITH(
        arranged(weights, layout, 0),
        Catch::Matchers::StartsWith("a.site: expected weights with an axis of queries and one of keys"));
}

CATCH_TEST_CASE("attention call: what stands before the heads is batch") {
  at::manual_seed(6);
  const Attention attention;
  const at::Tensor want = attention.reference();
  const auto split = [](const at::Tensor& tensor) { return tensor.unflatten(0, {2, 1}); };
  const ScoresCall wide(gaze::flatten({split(attention.q_bhqd), split(attention.k_bhkd), split(attention.mask_bhqk)}));
  CATCH_CHECK(close(wide.exact(), want));
  const ScoresCall narrow(gaze::flatten({attention.q_bhqd[0][0], attention.k_bhkd[0][0], attention.mask_bhqk[0][0]}));
  CATCH_CHECK(close(narrow.exact(), want[0][0].unsqueeze(0).unsqueeze(0)));
  // A mask that is the same for all of the batch.
  const ScoresCall shared(gaze::flatten({split(attention.q_bhqd), split(attention.k_bhkd), attention.mask_bhqk[1][2]}));
  Attention other = attention;
  other.mask_bhqk = attention.mask_bhqk[1][2].expand({kBatch, kHeads, kQueries, kKeys});
  CATCH_CHECK(close(shared.exact(), other.reference()));
}

// SPDX-License-Identifier: MIT
// Every head's map beside the reduced one: the rows that attention itself has, within what a byte can hold.
#include "hooks_test.hpp"
#include "support/devices.hpp"

using When = gaze::DetailChoice::When;

namespace {

constexpr int64_t kHeads = 3, kKeys = 7, kSize = 8;

/// Fused attention, and a softmax that may lie on another device.
torch::jit::Module fused_and_softmax() {
  torch::jit::Module module("Detailed");
  module.define(R"JIT(
def forward(self, q, k, far_q, far_k):
    near = torch.scaled_dot_product_attention(q, k, k)
    far = torch.matmul(torch.softmax(torch.matmul(far_q, far_k.transpose(-2, -1)), -1), far_k)
    return near, far
)JIT");
  return module;
}

/// A step's queries, and keys that grow from kKeys on: the first kKeys are the medium's.
struct Step {
  at::Tensor q, k;  // [batch, heads, queries, size], [batch, heads, keys, size]
};

std::vector<Step> steps(int64_t count, int64_t batch, uint64_t seed, int64_t first_queries = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  std::vector<Step> made;
  for (int64_t t = 0; t < count; ++t) {
    made.push_back({at::randn({batch, kHeads, t == 0 ? first_queries : 1, kSize}, generator) * 2,
                    at::randn({batch, kHeads, kKeys + t, kSize}, generator)});
  }
  return made;
}

/// Of the last query: [heads, kKeys], in float64.
at::Tensor reference(const Step& step, int64_t row, double scale) {
  const at::Tensor q_hd = step.q[row].select(1, step.q.size(2) - 1).to(at::kDouble);
  const at::Tensor score_hk = step.k[row].to(at::kDouble).matmul(q_hd.unsqueeze(2)).squeeze(2) * scale;
  return score_hk.softmax(1).narrow(1, 0, kKeys);
}

void run(torch::jit::Module& module, const std::vector<Step>& all, at::Device far) {
  for (const Step& step : all) module.forward({step.q, step.k, step.q.to(far), step.k.to(far)});
}

gaze::Options options(When when) {
  gaze::Options made = hooks_test::options({"*"});
  made.detail.when = when;
  return made;
}

hooks_test::Captured answer(const gaze::Options& options, int64_t tokens = 5,
                            std::vector<gaze::RequestSpec> specs = std::vector<gaze::RequestSpec>(1)) {
  torch::jit::Module module = fused_and_softmax();
  const auto batch = static_cast<int64_t>(specs.size());
  return hooks_test::captured(
      module, options, [&](gaze::Request&) { run(module, steps(tokens, batch, 3), at::kCPU); }, std::move(specs));
}

/// Within half a step of the root of each weight (ops/quantise.hpp).
void check_rows(const gaze::Detail& detail, const std::vector<Step>& all, int64_t row) {
  CATCH_REQUIRE(detail.sites.size() == 2);
  for (size_t s = 0; s < 2; ++s) {
    const gaze::ops::QuantisedRows& rows = detail.sites[s].rows;
    const auto tokens = static_cast<int64_t>(all.size());
    CATCH_REQUIRE(rows.root_hqk.sizes() == at::IntArrayRef({kHeads, tokens, kKeys}));
    CATCH_REQUIRE(rows.root_hqk.scalar_type() == at::kByte);
    const at::Tensor got_htk = gaze::ops::dequantise(rows).to(at::kCPU, at::kDouble);
    for (int64_t t = 0; t < tokens; ++t) {
      CATCH_CAPTURE(s, t, row);
      const double scale = s == 0 ? 1 / std::sqrt(static_cast<double>(kSize)) : 1;
      const at::Tensor want_hk = reference(all[static_cast<size_t>(t)], row, scale);
      const at::Tensor most_h1 = want_hk.amax(1, true);
      const at::Tensor allowed_hk = most_h1 * ((want_hk / most_h1).sqrt() * 255 + 1) / (255 * 255) + 1e-5;
      CATCH_CHECK((got_htk.select(1, t) - want_hk).abs().le(allowed_hk).all().item<bool>());
    }
  }
}

}  // namespace

CATCH_TEST_CASE("device: detail has every head's rows, over more tokens than its first room, whoever waits") {
  for (const at::Device device : gaze::test::devices()) {
    for (const int64_t deferred : {0, 4}) {
      for (const int64_t batch : {1, 2}) {
        CATCH_CAPTURE(device.str(), deferred, batch);
        torch::jit::Module module = fused_and_softmax();
        gaze::Options with = options(When::Always);
        with.deferred_tokens = deferred;
        const std::vector<Step> all = steps(37, batch, 5, /*first_queries=*/3);
        const auto [records, stats] = hooks_test::captured(
            module, with, [&](gaze::Request&) { run(module, all, device); },
            std::vector<gaze::RequestSpec>(static_cast<size_t>(batch)));
        CATCH_REQUIRE(static_cast<int64_t>(records.size()) == batch);
        for (int64_t row = 0; row < batch; ++row) {
          const gaze::AttentionRecord& record = records[static_cast<size_t>(row)];
          CATCH_REQUIRE(record.error.empty());
          CATCH_REQUIRE(record.maps[0].detail);
          CATCH_CHECK(record.maps[0].detail->left_out.empty());
          check_rows(*record.maps[0].detail, all, row);
          CATCH_CHECK(record.maps[0].detail->sites[0].site == record.sites[0].name);
          CATCH_CHECK(record.maps[0].detail->sites[1].site == record.sites[1].name);
        }
      }
    }
  }
}

CATCH_TEST_CASE("detail goes with its beam") {
  torch::jit::Module module = fused_and_softmax();
  const std::vector<Step> all = steps(4, 2, 9);
  const auto [records, stats] = hooks_test::captured(
      module, options(When::Always),
      [&](gaze::Request& request) {
        run(module, {all[0], all[1]}, at::kCPU);
        request.reorder({1, 1});
        run(module, {all[2], all[3]}, at::kCPU);
        request.reorder({1});
      },
      std::vector<gaze::RequestSpec>(2));
  CATCH_REQUIRE(records.size() == 1);
  CATCH_REQUIRE(records[0].maps[0].detail);
  check_rows(*records[0].maps[0].detail, all, 1);
}

CATCH_TEST_CASE("detail is kept for whom it was asked, and only for them") {
  const auto has = [](const hooks_test::Captured& made) { return made.only().maps[0].detail.has_value(); };
  CATCH_CHECK_FALSE(has(answer(options(When::Never))));
  CATCH_CHECK(has(answer(options(When::Always))));
  CATCH_CHECK_FALSE(answer(options(When::Always)).only().maps[0].detail->if_flagged);
  CATCH_CHECK(answer(options(When::Flagged)).only().maps[0].detail->if_flagged);
  gaze::Options sampled = options(When::Sampled);
  sampled.detail.share = 0;
  CATCH_CHECK_FALSE(has(answer(sampled)));
  sampled.detail.share = 1;
  CATCH_CHECK(has(answer(sampled)));
  // One row of a batch; whatever the options say.
  const auto rows = answer(options(When::Never), 3, {{.id = "a"}, {.id = "b", .detail = true}}).records;
  CATCH_REQUIRE(rows.size() == 2);
  CATCH_CHECK_FALSE(rows[0].maps[0].detail);
  CATCH_CHECK(rows[1].maps[0].detail);
  CATCH_CHECK_FALSE(answer(options(When::Flagged), 3, {{.detail = true}}).only().maps[0].detail->if_flagged);
}

CATCH_TEST_CASE("detail of the next n answers is that of n, and no more") {
  torch::jit::Module module = fused_and_softmax();
  const auto sink = std::make_shared<hooks_test::MemorySink>();
  gaze::Options with = options(When::Next);
  with.detail.count = 3;
  with.sink = sink;
  gaze::Gaze gaze = gaze::attach(module, with);
  for (int i = 0; i < 5; ++i) {
    gaze::Request request = gaze.begin();
    run(module, steps(2, 1, 4), at::kCPU);
    request.finish();
  }
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 5);
  for (size_t i = 0; i < records.size(); ++i) CATCH_CHECK(records[i].maps[0].detail.has_value() == (i < 3));
}

CATCH_TEST_CASE("detail beyond the budget is left out, and the answer is not") {
  gaze::Options with = options(When::Always);
  // Of 2 sites, 16 tokens, kHeads and kKeys + 4 bytes: one site fits.
  with.queue_bytes = 1000;
  const auto made = answer(with);
  CATCH_REQUIRE(made.only().maps[0].detail);
  CATCH_CHECK(made.only().error.empty());
  CATCH_CHECK(made.only().maps[0].detail->sites.empty());
  CATCH_CHECK(made.only().maps[0].detail->left_out == "more than GAZE_QUEUE_BYTES holds");
  CATCH_CHECK(at::equal(made.only().maps[0].map_tk, answer(options(When::Never)).only().maps[0].map_tk));
}

CATCH_TEST_CASE("detail is counted by what waits") {
  const auto with = answer(options(When::Always)), without = answer(options(When::Never));
  const int64_t more = with.only().bytes() - without.only().bytes();
  CATCH_CHECK(more == 2 * 5 * kHeads * (kKeys + 4));
}

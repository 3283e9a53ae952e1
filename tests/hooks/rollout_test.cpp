// SPDX-License-Identifier: MIT
// Rollout over a decoder's layers, prompt and steps with a cache, against whole matrices in float64.
#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::worst;

namespace {

constexpr int64_t kPrompt = 9, kSteps = 3, kFirst = 2, kCells = 6, kSize = 5;

at::Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed)).mul(0.8);
}

/// Two layers with caches: a softmax of two heads, whose queries and keys differ in sign, and a fused attention.
torch::jit::Module decoder(at::Device device = at::kCPU) {
  torch::jit::Module module("Decoder");
  module.register_parameter("first", noise({kSize, kSize}, 1), false);
  module.register_parameter("second", noise({kSize, kSize}, 2), false);
  module.define(R"JIT(
def forward(self, x, cache_first, cache_second):
    k = torch.cat([cache_first, torch.matmul(x, self.first)], 1)
    q = torch.matmul(x, self.first.t())
    mask = torch.ones([x.size(1), k.size(1)], device=x.device).tril(k.size(1) - x.size(1)) > 0
    heads = torch.stack([q, -q], 1)
    scores = torch.matmul(heads, k.unsqueeze(1).transpose(-2, -1)).masked_fill(mask.logical_not(), float("-inf"))
    y = x + torch.matmul(torch.softmax(scores, -1), k.unsqueeze(1)).mean(1)
    l = torch.cat([cache_second, torch.matmul(y, self.second)], 1)
    p = torch.matmul(y, self.second.t()).unsqueeze(1)
    return torch.scaled_dot_product_attention(p, l.unsqueeze(1), l.unsqueeze(1), mask, scale=1.0), k, l
)JIT");
  module.to(device);
  return module;
}

/// [batch, keys, keys]: the whole product over a sequence.
at::Tensor rollout64(const at::Tensor& x_bts) {
  const at::Tensor x = x_bts.to(at::kDouble);
  const at::Tensor w = noise({kSize, kSize}, 1).to(at::kDouble), v = noise({kSize, kSize}, 2).to(at::kDouble);
  const int64_t n = x.size(1);
  const at::Tensor hidden = at::ones({n, n}, at::kBool).triu(1);
  const auto softmax = [&](const at::Tensor& q, const at::Tensor& k) {
    const at::Tensor e = q.matmul(k.transpose(-2, -1)).exp().masked_fill(hidden, 0);
    return e / e.sum(-1, true);
  };
  const at::Tensor k = x.matmul(w), q = x.matmul(w.t());
  const at::Tensor one = softmax(q, k), other = softmax(-q, k);
  const at::Tensor y = x + (one.matmul(k) + other.matmul(k)) / 2;
  const at::Tensor second = softmax(y.matmul(v.t()), y.matmul(v));
  const at::Tensor eye = at::eye(n, at::kDouble);
  return (second + eye).matmul((one + other) / 2 + eye) / 4;
}

gaze::Options rolled(const std::string& geometry = R"(, "first_key": 2)") {
  gaze::Options options = hooks_test::options();
  options.profile_in_code = gaze::parse_profile(
      R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "layers": {"reduce": "rollout"}, "heads": {"reduce": "mean"},
          "geometry": {"rows": 2, "cols": 3)" +
      geometry + "}}");
  options.max_tokens = 8;
  return options;
}

/// Runs positions [from, to) of the sequence with the caches that are there.
void run(torch::jit::Module& module, const at::Tensor& x, int64_t from, int64_t to, std::vector<c10::IValue>& caches) {
  const auto out = module.forward({x.slice(1, from, to), caches[0], caches[1]}).toTuple();
  caches = {out->elements()[1], out->elements()[2]};
}
std::vector<c10::IValue> no_caches(const at::Tensor& x) {
  const at::Tensor none = at::zeros({x.size(0), 0, kSize}, x.options());
  return {none, none};
}

std::string refused(const gaze::Options& options, gaze::DropReason reason,
                    const std::function<void(torch::jit::Module&)>& call) {
  torch::jit::Module module = decoder();
  const auto record = hooks_test::captured(module, options, [&](gaze::Request&) { call(module); }).only();
  CATCH_CHECK(record.error_reason == reason);
  return record.error;
}

}  // namespace

CATCH_TEST_CASE("device: rollout: prompt and steps have the rows of the whole product, in every mode") {
  const at::Tensor x = noise({2, kPrompt + kSteps, kSize}, 3);
  const at::Tensor whole = rollout64(x);
  for (const at::Device device : gaze::test::devices()) {
    for (const int64_t deferred : {0, 4}) {
      for (const int64_t prompt_tokens : {0, 1}) {
        CATCH_CAPTURE(device.str(), deferred, prompt_tokens);
        torch::jit::Module module = decoder(device);
        gaze::Options options = rolled();
        options.max_tokens = 16;
        options.deferred_tokens = deferred;
        std::vector<gaze::RequestSpec> specs(2);
        for (auto& spec : specs) spec.prompt_tokens = prompt_tokens;
        const at::Tensor there = x.to(device);
        const auto calls = [&](gaze::Request&) {
          auto caches = no_caches(there);
          run(module, there, 0, kPrompt, caches);
          for (int64_t s = 0; s < kSteps; ++s) run(module, there, kPrompt + s, kPrompt + s + 1, caches);
        };
        const auto records = hooks_test::captured(module, options, calls, specs).records;
        CATCH_REQUIRE(records.size() == 2);
        const int64_t first_row = prompt_tokens == 1 ? 0 : kPrompt - 1;
        for (int64_t b = 0; b < 2; ++b) {
          const gaze::AttentionRecord& record = records[static_cast<size_t>(b)];
          CATCH_REQUIRE(record.error == "");
          const at::Tensor wanted = whole[b].slice(0, first_row).narrow(1, kFirst, kCells);
          CATCH_CHECK(worst(record.maps[0].map_tk, wanted) < 1e-6);
          CATCH_CHECK(worst(record.maps[0].mass_t, wanted.sum(1)) < 1e-6);
          CATCH_CHECK(record.maps[0].visible_t[-1].item<double>() == kPrompt + kSteps);
          CATCH_CHECK(record.maps[0].flags_t.count_nonzero().item<int64_t>() == 0);
          CATCH_CHECK(record.layers == "rollout of sites 0-1 of 2");
        }
      }
    }
  }
}

CATCH_TEST_CASE("device: rollout: beams go on from what their row held, and pieces of a prompt make the whole") {
  const at::Tensor one = noise({1, kPrompt + 2, kSize}, 4);
  const at::Tensor tails = noise({2, kSteps, kSize}, 5);
  torch::jit::Module module = decoder();
  const auto calls = [&](gaze::Request& request) {
    auto caches = no_caches(one);
    run(module, one, 0, 8, caches);
    run(module, one, 8, kPrompt + 2, caches);
    request.reorder({0, 0});
    for (auto& cache : caches) cache = cache.toTensor().repeat({2, 1, 1});
    for (int64_t s = 0; s < kSteps; ++s) run(module, tails, s, s + 1, caches);
    request.reorder({1, 0});
  };
  const auto records = hooks_test::captured(module, rolled(), calls).records;
  CATCH_REQUIRE(records.at(0).error == "");
  CATCH_REQUIRE(records.size() == 2);
  const at::Tensor whole = rollout64(at::cat({one.repeat({2, 1, 1}), tails}, 1));
  for (int64_t b = 0; b < 2; ++b) {
    const gaze::AttentionRecord& record = records[static_cast<size_t>(1 - b)];
    CATCH_REQUIRE(record.error == "");
    const at::Tensor rows = whole[b].slice(0, kPrompt + 1);
    CATCH_CHECK(worst(record.maps[0].map_tk, rows.narrow(1, kFirst, kCells)) < 1e-6);
  }
}

CATCH_TEST_CASE("device: rollout: tokens beyond the limit are dropped, those before are kept") {
  const at::Tensor x = noise({1, kPrompt + 12, kSize}, 6);
  torch::jit::Module module = decoder();
  const auto calls = [&](gaze::Request&) {
    auto caches = no_caches(x);
    run(module, x, 0, kPrompt, caches);
    for (int64_t s = kPrompt; s < kPrompt + 12; ++s) run(module, x, s, s + 1, caches);
  };
  const auto record = hooks_test::captured(module, rolled(), calls).only();
  CATCH_REQUIRE(record.error == "");
  CATCH_CHECK(worst(record.maps[0].map_tk, rollout64(x)[0].narrow(0, kPrompt - 1, 8).narrow(1, kFirst, kCells)) < 1e-6);
  CATCH_CHECK(record.tokens_dropped == 5);
}

CATCH_TEST_CASE("device: rollout: what cannot be rolled out is refused with what was expected and found") {
  const at::Tensor x = noise({1, kPrompt + 1, kSize}, 7);
  CATCH_CHECK_THAT(
      refused(rolled(), gaze::DropReason::ShapeMismatch,
              [&](torch::jit::Module& module) {
                std::vector<c10::IValue> caches = {noise({1, kPrompt, kSize}, 8), noise({1, kPrompt, kSize}, 9)};
                run(module, x, kPrompt, kPrompt + 1, caches);
              }),
      Catch::Matchers::Contains(": expected for a rollout the 1 queries of 1 keys, all positions from the "
                                "first on, got 10 keys. Open the request before the prompt"));
  gaze::Options small = rolled();
  small.queue_bytes = 900;
  CATCH_CHECK_THAT(refused(small, gaze::DropReason::HostBudget,
                           [&](torch::jit::Module& module) {
                             auto caches = no_caches(x);
                             run(module, x, 0, kPrompt, caches);
                           }),
                   Catch::Matchers::Contains(": expected a rollout within options.queue_bytes, of which 84 bytes are "
                                             "left, got 17 positions x 6 values more."));
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Options cross = rolled();
  cross.profile_in_code->sites = {"layers.*.cross_attn"};
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, cross),
                          "layers: expected self-attention for a rollout, got layers.0.cross_attn, which is "
                          "cross-attention. For an encoder's rollout give the profile through, with reduce rollout.");
}

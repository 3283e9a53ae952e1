// SPDX-License-Identifier: MIT
// Tokens that wait for one pass over the keys give the maps that live capture gives.
#include <ATen/ops/scaled_dot_product_attention.h>

#include "hooks_test.hpp"

using hooks_test::MemorySink;

namespace {

/// One decode loop of the sample model with fused attention.
void decode(torch::jit::Module& module, int64_t steps) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor image = at::randn({2, 3, 96, 160}, generator);
  at::Tensor tokens = at::randint(3, 30, {2, 5}, generator, at::kLong);
  const at::NoGradGuard no_grad;
  const at::Tensor memory = module.get_method("encode")({image}).toTensor();
  c10::IValue cache = c10::List<at::Tensor>();
  for (int64_t step = 0; step < steps; ++step) {
    const auto result = module.get_method("decode_step")({tokens, memory, cache}).toTuple();
    tokens = result->elements()[0].toTensor().argmax(-1, true);
    cache = result->elements()[1];
  }
}

std::vector<gaze::AttentionRecord> capture(const std::string& sites, gaze::ops::LayerReduce layers, int64_t deferred,
                                           const std::function<void(torch::jit::Module&)>& run,
                                           torch::jit::Module module, size_t batch = 2) {
  gaze::Options options = hooks_test::options({sites});
  options.layers = gaze::LayerChoice{.kind = layers};
  options.deferred_tokens = deferred;
  auto records = hooks_test::captured(
                     module, options, [&](gaze::Request&) { run(module); }, std::vector<gaze::RequestSpec>(batch))
                     .records;
  CATCH_REQUIRE(records.size() == batch);
  return records;
}

void check_same(const std::vector<gaze::AttentionRecord>& got, const std::vector<gaze::AttentionRecord>& want) {
  CATCH_REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CATCH_CHECK(got[i].error == want[i].error);
    CATCH_REQUIRE(got[i].maps[0].map_tk.sizes() == want[i].maps[0].map_tk.sizes());
    CATCH_CHECK(at::allclose(got[i].maps[0].map_tk, want[i].maps[0].map_tk, 1e-4, 1e-6));
    CATCH_CHECK(at::allclose(got[i].maps[0].mass_t, want[i].maps[0].mass_t, 1e-5, 1e-6));
    CATCH_CHECK(at::equal(got[i].maps[0].visible_t, want[i].maps[0].visible_t));
    CATCH_CHECK(at::equal(got[i].maps[0].flags_t, want[i].maps[0].flags_t));
    CATCH_REQUIRE(got[i].sites.size() == want[i].sites.size());
    for (size_t s = 0; s < got[i].sites.size(); ++s) CATCH_CHECK(got[i].sites[s].calls == want[i].sites[s].calls);
  }
}

/// A module that answers forward(q, k, mask) with one fused attention per layer.
torch::jit::Module attention_module() {
  torch::jit::Module module("deferred");
  module.define(R"(
    def forward(self, q, k, mask: Optional[Tensor]):
        return torch.scaled_dot_product_attention(q, k, k, mask)
  )");
  return module;
}

}  // namespace

CATCH_TEST_CASE("deferred tokens give the maps of live capture, over growing and over constant keys") {
  const std::string path = std::string(GAZE_SAMPLE_MODELS) + "/stickers_sdpa.pt";
  for (const char* sites : {"*.self_attn", "*.cross_attn"}) {
    for (const auto layers : {gaze::ops::LayerReduce::Mean, gaze::ops::LayerReduce::Last}) {
      const auto run = [](torch::jit::Module& module) { decode(module, 12); };
      const auto live = capture(sites, layers, 0, run, torch::jit::load(path));
      CATCH_REQUIRE(live[0].error == "");
      CATCH_REQUIRE(live[0].maps[0].map_tk.size(0) == 12);
      for (const int64_t deferred : {2, 5, 32}) {
        CATCH_CAPTURE(sites, static_cast<int>(layers), deferred);
        check_same(capture(sites, layers, deferred, run, torch::jit::load(path)), live);
      }
    }
  }
}

CATCH_TEST_CASE("calls that cannot wait are reduced at once, between those that do") {
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor keys = at::randn({1, 2, 40, 8}, generator);
  const at::Tensor other_keys = at::randn({1, 2, 40, 8}, generator);
  struct Step {
    at::Tensor q, k;
    std::optional<at::Tensor> mask;
  };
  std::vector<Step> steps;
  const auto query = [&] { return at::randn({1, 4, 1, 8}, generator).narrow(1, 0, 2); };   // strided
  for (int64_t n = 20; n < 24; ++n) steps.push_back({query(), keys.narrow(2, 0, n), {}});  // growing views of one cache
  steps.push_back({query(), keys.narrow(2, 0, 24), at::rand({1, 1, 1, 24}, generator) < 0.6});  // a mask
  for (int64_t n = 25; n < 27; ++n) steps.push_back({query(), keys.narrow(2, 0, n), {}});
  steps.push_back({query(), keys.narrow(2, 0, 30), {}});                                      // a jump
  for (int n = 0; n < 3; ++n) steps.push_back({query(), other_keys, {}});                     // constant
  steps.push_back({at::randn({1, 2, 1, 16}, generator).slice(3, 0, 16, 2), other_keys, {}});  // strided within a head
  steps.push_back({query(), keys, {}});                             // other memory of the same size
  steps.push_back({at::randn({1, 2, 3, 8}, generator), keys, {}});  // several queries: the last counts
  steps.push_back({query(), keys, {}});
  const auto run = [&](torch::jit::Module& module) {
    for (const Step& step : steps) {
      module.forward({step.q, step.k, step.mask ? c10::IValue(*step.mask) : c10::IValue()});
    }
  };
  const auto live = capture("*", gaze::ops::LayerReduce::Mean, 0, run, attention_module(), 1);
  CATCH_REQUIRE(live[0].error == "");
  for (const int64_t deferred : {2, 3, 32}) {
    CATCH_CAPTURE(deferred);
    check_same(capture("*", gaze::ops::LayerReduce::Mean, deferred, run, attention_module(), 1), live);
  }
}

CATCH_TEST_CASE("waiting tokens hold the latest keys and let go of them at the end") {
  torch::jit::Module module = attention_module();
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.deferred_tokens = 8;
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin();
  at::Tensor first = at::ones({1, 1, 6, 4});
  at::Tensor second = at::ones({1, 1, 7, 4});
  module.forward({at::ones({1, 1, 1, 4}), first, c10::IValue()});
  CATCH_CHECK(first.storage().use_count() > 1);
  module.forward({at::ones({1, 1, 1, 4}), second, c10::IValue()});
  const auto held = second.storage().use_count();
  request.finish();
  CATCH_CHECK(second.storage().use_count() < held);
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 1);
  CATCH_CHECK(sink->records()[0].maps[0].map_tk.size(0) == 2);
}

CATCH_TEST_CASE("a number of deferred tokens outside its range is refused at set-up") {
  for (const int64_t wrong : {-1, 1, 33}) {
    torch::jit::Module module = attention_module();
    gaze::Options options = hooks_test::options();
    options.deferred_tokens = wrong;
    CATCH_CHECK_THROWS_WITH(gaze::attach(module, options),
                            Catch::Contains("options.deferred_tokens: expected 0 or 2 to 32, got"));
  }
}

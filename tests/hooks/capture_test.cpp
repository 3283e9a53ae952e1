// SPDX-License-Identifier: MIT
// What the taps see: every call, once, with the exact weights.
#include <ATen/autocast_mode.h>

#include <sstream>

#include "hooks_test.hpp"

using hooks_test::eager_weights;
using hooks_test::load;
using hooks_test::MemorySink;
using hooks_test::worst;

namespace {

/// Calls by site of one run under exact capture.
std::map<std::string, int64_t> calls(gaze::Gaze& gaze, torch::jit::Module& module, const std::string& method,
                                     const std::vector<c10::IValue>& inputs) {
  std::map<std::string, int64_t> result;
  for (const auto& weights : gaze.capture_weights([&] { module.get_method(method)(inputs); })) ++result[weights.site];
  return result;
}

const std::map<std::string, int64_t> kOnce = {{"layers.0.cross_attn", 1}, {"layers.0.self_attn", 1},
                                              {"layers.1.cross_attn", 1}, {"layers.1.self_attn", 1},
                                              {"layers.2.cross_attn", 1}, {"layers.2.self_attn", 1}};

}  // namespace

CATCH_TEST_CASE("exact weights equal eager attention written out in float64") {
  const auto inputs = hooks_test::inputs(2, 3, 7);
  for (const char* model : {"softmax", "sdpa", "functional", "einsum", "traced"}) {
    CATCH_CAPTURE(model);
    torch::jit::Module module = load(model);
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    const at::NoGradGuard no_grad;
    const auto captured = gaze.capture_weights([&] { module.forward(inputs); });
    CATCH_REQUIRE(captured.size() == 6);
    // The first layer's inputs are known: follow them through its own modules.
    const auto layer = module.attr("layers").toModule().attr("0").toModule();
    const at::Tensor x = inputs[0].toTensor();
    const at::Tensor memory = inputs[1].toTensor();
    const at::Tensor normed = at::layer_norm(x, {16}, layer.attr("norm").toModule().attr("weight").toTensor(),
                                             layer.attr("norm").toModule().attr("bias").toTensor());
    CATCH_CHECK(captured[0].site == "layers.0.self_attn");
    CATCH_CHECK(captured[0].attn_bhqk.sizes() == at::IntArrayRef({2, 4, 3, 3}));
    CATCH_CHECK(worst(captured[0].attn_bhqk, eager_weights(layer.attr("self_attn").toModule(), normed, normed)) < 1e-6);
    CATCH_CHECK(captured[1].site == "layers.0.cross_attn");
    CATCH_CHECK(captured[1].attn_bhqk.sizes() == at::IntArrayRef({2, 4, 3, 7}));
    for (const auto& weights : captured) {
      const at::Tensor sums = weights.attn_bhqk.sum(-1);
      CATCH_CHECK(worst(sums, at::ones_like(sums)) < 1e-5);
    }
  }
}

CATCH_TEST_CASE("fused and materialised forms of one model give the same weights") {
  const auto inputs = hooks_test::inputs(2, 5, 11);
  const auto run = [&](const char* model) {
    torch::jit::Module module = load(model);
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    const at::NoGradGuard no_grad;
    return gaze.capture_weights([&] { module.forward(inputs); });
  };
  const auto materialised = run("softmax");
  const auto fused = run("sdpa");
  CATCH_REQUIRE(materialised.size() == fused.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    CATCH_CHECK(materialised[i].site == fused[i].site);
    CATCH_CHECK(worst(materialised[i].attn_bhqk, fused[i].attn_bhqk) < 1e-5);
  }
}

CATCH_TEST_CASE("a tap sees the weights as the values are multiplied with them, changed in place or not") {
  const auto inputs = hooks_test::inputs(1, 3, 40);
  torch::jit::Module module = load("inplace");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  const at::NoGradGuard no_grad;
  for (const auto& weights : gaze.capture_weights([&] { module.forward(inputs); })) {
    // The model sets what is below 0.01 to 0 after its softmax; of 40 keys some are.
    CATCH_CHECK_FALSE(weights.attn_bhqk.gt(0).logical_and(weights.attn_bhqk.lt(0.01)).any().item<bool>());
    if (weights.attn_bhqk.size(3) == 40) CATCH_CHECK(weights.attn_bhqk.eq(0).any().item<bool>());
    CATCH_CHECK(weights.attn_bhqk.sum(-1).le(1 + 1e-5).all().item<bool>());
  }
}

CATCH_TEST_CASE("every site of forward and generate is hit once a call, in every call") {
  for (const char* model : {"softmax", "sdpa", "traced"}) {
    CATCH_CAPTURE(model);
    torch::jit::Module module = load(model);
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    for (int repeat = 0; repeat < 3; ++repeat)
      CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(2, 3, 6)) == kOnce);
    if (std::string(model) == "traced") continue;
    for (const auto& [site, count] : calls(gaze, module, "generate", {hooks_test::inputs(1, 1, 6)[1], int64_t{5}})) {
      CATCH_CAPTURE(site);
      CATCH_CHECK(count == 5);
    }
  }
}

CATCH_TEST_CASE("generate first, forward afterwards: no missing and no doubled hits") {
  torch::jit::Module module = load("softmax");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  CATCH_CHECK(calls(gaze, module, "generate", {hooks_test::inputs(1, 1, 6)[1], int64_t{2}}).at("layers.2.cross_attn") ==
              2);
  CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6)) == kOnce);
}

CATCH_TEST_CASE("a module that already ran is tapped") {
  torch::jit::Module module = load("softmax");
  const auto inputs = hooks_test::inputs(2, 3, 6);
  const at::NoGradGuard no_grad;
  const at::Tensor before = module.forward(inputs).toTensor();
  module.forward(inputs);
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  CATCH_CHECK(calls(gaze, module, "forward", inputs) == kOnce);
  CATCH_CHECK(hooks_test::same_bytes(before, module.forward(inputs).toTensor()));
}

CATCH_TEST_CASE("attaching again after the first handle is gone hits once a call") {
  torch::jit::Module module = load("sdpa");
  { gaze::Gaze first = gaze::attach(module, hooks_test::options()); }
  gaze::Gaze second = gaze::attach(module, hooks_test::options());
  CATCH_CHECK(calls(second, module, "forward", hooks_test::inputs(2, 3, 6)) == kOnce);
}

CATCH_TEST_CASE("a second live capture of one module is refused") {
  torch::jit::Module module = load("sdpa");
  gaze::Gaze first = gaze::attach(module, hooks_test::options());
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, hooks_test::options()), Catch::Contains("attached already"));
}

CATCH_TEST_CASE("an executor without optimisation, set before load or before a run, changes nothing") {
  for (const bool before_load : {true, false}) {
    CATCH_CAPTURE(before_load);
    if (before_load) torch::jit::setGraphExecutorOptimize(false);
    torch::jit::Module module = load("softmax");
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    torch::jit::setGraphExecutorOptimize(false);
    const auto hits = calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6));
    torch::jit::setGraphExecutorOptimize(true);
    CATCH_CHECK(hits == kOnce);
  }
}

CATCH_TEST_CASE("autocast runs are tapped too") {
  torch::jit::Module module = load("softmax");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  const at::NoGradGuard no_grad;
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto hits = calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6));
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  CATCH_CHECK(hits == kOnce);
}

CATCH_TEST_CASE("forks, interfaces and the branch that runs are captured; the other branch and dead code are not") {
  {
    torch::jit::Module module = load("fork");
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6)) ==
                std::map<std::string, int64_t>{{"left", 1}, {"right", 1}});
  }
  {
    torch::jit::Module module = load("interface");
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6)) ==
                std::map<std::string, int64_t>{{"inner", 1}});
  }
  torch::jit::Module module = load("branch");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  const at::NoGradGuard no_grad;
  for (int repeat = 0; repeat < 3; ++repeat) {
    CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(1, 3, 6)) ==
                std::map<std::string, int64_t>{{"long", 1}});
    CATCH_CHECK(calls(gaze, module, "forward", hooks_test::inputs(1, 2, 6)) ==
                std::map<std::string, int64_t>{{"short", 1}});
  }
}

CATCH_TEST_CASE("graph, code and saved file of an attached module are those of an untouched one") {
  for (const char* model : {"softmax", "sdpa", "fork", "multihead"}) {
    CATCH_CAPTURE(model);
    torch::jit::Module plain = load(model);
    torch::jit::Module tapped = load(model);
    gaze::Gaze gaze = gaze::attach(tapped, hooks_test::options());
    tapped.forward(hooks_test::inputs(1, 3, 6));
    CATCH_CHECK(tapped.get_method("forward").graph()->toString(false) ==
                plain.get_method("forward").graph()->toString(false));
    std::stringstream file;
    tapped.save(file);
    CATCH_CHECK(file.str().find("gaze") == std::string::npos);
    CATCH_CHECK_NOTHROW(torch::jit::load(file));
  }
}

CATCH_TEST_CASE("without capture nothing is touched and every call is inert") {
  torch::jit::Module module = load("softmax");
  gaze::Options off;
  off.read_environment = false;
  gaze::Gaze gaze = gaze::attach(module, off);
  CATCH_CHECK_FALSE(gaze.enabled());
  gaze::Request request = gaze.begin({.id = "1"});
  CATCH_CHECK_FALSE(request);
  request.label({"a"});
  request.finish();
  CATCH_CHECK(gaze.flush());
  const auto& method = module.get_method("forward").function();
  const std::string graph = torch::jit::toGraphFunction(method).optimized_graph()->toString();
  CATCH_CHECK(graph.find("gaze::") == std::string::npos);
  CATCH_CHECK(gaze.stats().begun == 0);
  CATCH_CHECK_THROWS_WITH(gaze.capture_weights([] {}), Catch::Contains("GAZE_CAPTURE=1"));
}

CATCH_TEST_CASE("attach refuses what it cannot capture and says how to fix it") {
  auto sink = std::make_shared<MemorySink>();
  {
    torch::jit::Module module = load("classifier");
    CATCH_CHECK_THROWS_WITH(gaze::attach(module, hooks_test::options(sink)),
                            Catch::Contains("expected a module with attention") && Catch::Contains("gaze sites"));
  }
  torch::jit::Module module = load("softmax");
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, hooks_test::options(sink, {"decoder.*"})),
                          Catch::Contains("got \"decoder.*\"") && Catch::Contains("layers.0.cross_attn"));
  gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
  options.layers = gaze::LayerChoice{};
  options.layers->first = 1;
  options.layers->last = 3;
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, options), Catch::Contains("3 selected sites (0-2), got 1-3"));
  options.layers->last = 2;
  options.layers->kind = gaze::ops::LayerReduce::Rollout;
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, options), Catch::Contains("rollout"));
  gaze::Options argument = hooks_test::options(sink, {"layers.*.cross_attn"});
  argument.profile_in_code->image = gaze::ImageInput{};
  argument.profile_in_code->image->argument["forward"] = 2;
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, argument), Catch::Contains("expected an index below 2, got 2"));
  argument.profile_in_code->image->argument = {{"answer", 0}};
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, argument), Catch::Contains("image.argument.answer"));
}

CATCH_TEST_CASE("a reduced map is the mean over layers of the chosen heads' rows") {
  const auto inputs = hooks_test::inputs(1, 4, 9);
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
  options.heads = gaze::HeadChoice{gaze::ops::HeadReduce::Mean};
  gaze::Gaze gaze = gaze::attach(module, options);
  const at::NoGradGuard no_grad;
  gaze::Request request = gaze.begin({.id = "a", .prompt_tokens = 2});
  module.forward(inputs);
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  at::Tensor expected_tc = at::zeros({3, 9}, at::kDouble);
  for (const auto& weights : gaze.capture_weights([&] { module.forward(inputs); })) {
    if (weights.site.find("cross") == std::string::npos) continue;
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t h = 0; h < 4; ++h) expected_tc[t] += weights.attn_bhqk[0][h][t + 1].to(at::kDouble) / 12.0;
    }
  }
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 1);
  CATCH_CHECK(records[0].error.empty());
  CATCH_CHECK(records[0].request_id == "a");
  CATCH_CHECK(records[0].method == "forward");
  CATCH_CHECK(records[0].keys == 9);
  CATCH_REQUIRE(records[0].maps[0].map_tk.sizes() == expected_tc.sizes());
  CATCH_CHECK(worst(records[0].maps[0].map_tk, expected_tc) < 1e-6);
  CATCH_CHECK(worst(records[0].maps[0].mass_t, at::ones({3})) < 1e-5);
  CATCH_CHECK(worst(records[0].maps[0].visible_t, at::full({3}, 9.0)) == 0);
  CATCH_REQUIRE(records[0].sites.size() == 3);
  CATCH_CHECK(records[0].sites[1].name == "layers.1.cross_attn");
  CATCH_CHECK(records[0].sites[1].heads == 4);
  CATCH_CHECK(records[0].sites[1].calls == 1);
}

CATCH_TEST_CASE("the last layer alone, and a range of layers, by option") {
  const auto inputs = hooks_test::inputs(1, 1, 9);
  torch::jit::Module module = load("sdpa");
  for (const bool last : {true, false}) {
    auto sink = std::make_shared<MemorySink>();
    gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
    options.heads = gaze::HeadChoice{gaze::ops::HeadReduce::One, 2};
    options.layers = gaze::LayerChoice{};
    if (last) options.layers->kind = gaze::ops::LayerReduce::Last;
    if (!last) options.layers->last = 0;
    gaze::Gaze gaze = gaze::attach(module, options);
    gaze::Request request = gaze.begin();
    module.forward(inputs);
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    const auto exact = gaze.capture_weights([&] { module.forward(inputs); });
    const at::Tensor expected = exact[last ? 5 : 1].attn_bhqk[0][2];
    const auto records = sink->records();
    CATCH_REQUIRE(records.size() == 1);
    CATCH_REQUIRE(records[0].sites.size() == 1);
    CATCH_CHECK(records[0].sites[0].name == (last ? "layers.2.cross_attn" : "layers.0.cross_attn"));
    CATCH_CHECK(worst(records[0].maps[0].map_tk, expected) < 1e-6);
  }
}

// SPDX-License-Identifier: MIT
// Invariant 1: outputs are byte-identical with capture off, on and failing.
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>

#include "hooks_test.hpp"

using hooks_test::load;
using hooks_test::MemorySink;
using hooks_test::same_bytes;

namespace {

enum class Mode { Grad, NoGrad, Inference, Autocast };

template <class Run>
at::Tensor under(Mode mode, const Run& run) {
  switch (mode) {
    case Mode::Grad:
      return run();
    case Mode::NoGrad: {
      const at::NoGradGuard no_grad;
      return run();
    }
    case Mode::Inference: {
      const c10::InferenceMode inference;
      return run();
    }
    case Mode::Autocast: {
      const at::NoGradGuard no_grad;
      at::autocast::set_autocast_enabled(at::kCPU, true);
      at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
      const at::Tensor result = run();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      at::autocast::clear_cache();
      return result;
    }
  }
  return {};
}

/// Outputs of four calls; the calls after the first run the optimised plans.
std::vector<at::Tensor> four_calls(torch::jit::Module& module, Mode mode, const std::string& method,
                                   const std::vector<c10::IValue>& inputs,
                                   const std::function<gaze::Request()>& begin) {
  std::vector<at::Tensor> outputs;
  for (int call = 0; call < 4; ++call) {
    gaze::Request request = begin();
    outputs.push_back(under(mode, [&] { return module.get_method(method)(inputs).toTensor(); }).detach().clone());
    request.finish();
  }
  return outputs;
}

void compare(const std::string& model, const std::string& method, const std::vector<c10::IValue>& inputs,
             const std::vector<std::string>& sites) {
  for (const Mode mode : {Mode::Grad, Mode::NoGrad, Mode::Inference, Mode::Autocast}) {
    CATCH_CAPTURE(model, method, static_cast<int>(mode));
    torch::jit::Module plain = load(model);
    const auto expected = four_calls(plain, mode, method, inputs, [] { return gaze::Request(); });

    torch::jit::Module tapped = load(model);
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(tapped, hooks_test::options(sink, sites));
    const auto automatic = four_calls(tapped, mode, method, inputs, [] { return gaze::Request(); });
    const auto explicitly = four_calls(tapped, mode, method, inputs, [&] { return gaze.begin(); });
    // A geometry no row of keys fits makes every capture fail at its first tap.
    gaze::RequestSpec unfit;
    unfit.geometry = gaze::Geometry{};
    unfit.geometry->rows = 97;
    unfit.geometry->cols = 89;
    const auto failing = four_calls(tapped, mode, method, inputs, [&] { return gaze.begin(unfit); });
    gaze.shutdown();
    const auto off = four_calls(tapped, mode, method, inputs, [] { return gaze::Request(); });
    for (size_t call = 0; call < 4; ++call) {
      CATCH_CAPTURE(call);
      CATCH_CHECK(same_bytes(expected[call], automatic[call]));
      CATCH_CHECK(same_bytes(expected[call], explicitly[call]));
      CATCH_CHECK(same_bytes(expected[call], failing[call]));
      CATCH_CHECK(same_bytes(expected[call], off[call]));
    }
    size_t failed = 0;
    for (const auto& record : sink->records()) failed += record.error.empty() ? 0 : 1;
    CATCH_CHECK(sink->records().size() >= 12);
    CATCH_CHECK(failed >= 4);
  }
}

}  // namespace

CATCH_TEST_CASE("forward is byte-identical with capture off, on and failing") {
  const std::string model = GENERATE_COPY(
      Catch::Generators::values<std::string>({"softmax", "sdpa", "functional", "inplace", "einsum", "traced", "frozen",
                                              "fork", "branch", "multihead", "interface"}));
  compare(model, "forward", hooks_test::inputs(2, 3, 6), {});
}

CATCH_TEST_CASE("generate is byte-identical with capture off, on and failing") {
  const std::string model = GENERATE_COPY(Catch::Generators::values<std::string>({"softmax", "sdpa", "frozen"}));
  compare(model, "generate", {hooks_test::inputs(2, 1, 6)[1], int64_t{4}}, {});
}

CATCH_TEST_CASE("the sample model's forward, decode loop and generate are byte-identical") {
  for (const char* file : {"/stickers_softmax.pt", "/stickers_sdpa.pt"}) {
    for (const Mode mode : {Mode::Grad, Mode::NoGrad, Mode::Inference, Mode::Autocast}) {
      CATCH_CAPTURE(file, static_cast<int>(mode));
      const std::string path = std::string(GAZE_SAMPLE_MODELS) + file;
      auto generator = at::detail::createCPUGenerator(3);
      const at::Tensor image = at::randn({2, 3, 96, 160}, generator);
      const at::Tensor prompt = at::randint(3, 30, {2, 5}, generator, at::kLong);
      // Four rounds, so that calls 1 to 4 of every method are compared.
      const auto run = [&](torch::jit::Module& module, const std::function<gaze::Request()>& begin) {
        std::vector<at::Tensor> outputs;
        const auto keep = [&](const std::function<at::Tensor()>& call) {
          gaze::Request request = begin();
          outputs.push_back(under(mode, call).detach().clone());
          request.finish();
        };
        for (int repeat = 0; repeat < 4; ++repeat) {
          keep([&] { return module.get_method("forward")({image, prompt}).toTensor(); });
          keep([&] { return module.get_method("generate")({image, prompt, int64_t{6}}).toTensor(); });
          keep([&] {
            const at::Tensor memory = module.get_method("encode")({image}).toTensor();
            c10::IValue cache = c10::List<at::Tensor>();
            at::Tensor tokens = prompt;
            std::vector<at::Tensor> logits;
            for (int step = 0; step < 4; ++step) {
              const auto result = module.get_method("decode_step")({tokens, memory, cache}).toTuple();
              logits.push_back(result->elements()[0].toTensor());
              tokens = logits.back().argmax(-1, true);
              cache = result->elements()[1];
            }
            return at::stack(logits);
          });
        }
        return outputs;
      };
      torch::jit::Module plain = torch::jit::load(path);
      torch::jit::Module tapped = torch::jit::load(path);
      auto sink = std::make_shared<MemorySink>();
      gaze::Options options = hooks_test::options(sink);
      options.profile = std::string(GAZE_SAMPLE_MODELS) + "/profile.json";
      gaze::Gaze gaze = gaze::attach(tapped, options);
      const auto expected = run(plain, [] { return gaze::Request(); });
      const auto automatic = run(tapped, [] { return gaze::Request(); });
      const auto explicitly = run(tapped, [&] { return gaze.begin(std::vector<gaze::RequestSpec>(2)); });
      const auto failing = run(tapped, [&] { return gaze.begin(); });  // one spec, a batch of two
      gaze.shutdown();
      CATCH_REQUIRE(expected.size() == 12);
      for (size_t i = 0; i < expected.size(); ++i) {
        CATCH_CAPTURE(i);
        CATCH_CHECK(same_bytes(expected[i], automatic[i]));
        CATCH_CHECK(same_bytes(expected[i], explicitly[i]));
        CATCH_CHECK(same_bytes(expected[i], failing[i]));
      }
      // Automatic: two per call of forward, of generate, and per loop of encode and four steps, four times; explicit:
      // two, failing: one, each 12 times.
      CATCH_CHECK(sink->records().size() == 2 * 3 * 4 + 2 * 12 + 12);
    }
  }
}

CATCH_TEST_CASE("gradients are the same with taps in place") {
  const auto inputs = hooks_test::inputs(2, 3, 6);
  const auto gradients = [&](torch::jit::Module& module) {
    std::vector<at::Tensor> result;
    for (int call = 0; call < 3; ++call) {
      for (const auto& parameter : module.parameters()) parameter.mutable_grad() = at::Tensor();
      module.get_method("forward")(inputs).toTensor().sum().backward();
      for (const auto& parameter : module.parameters()) result.push_back(parameter.grad().clone());
    }
    return result;
  };
  torch::jit::Module plain = load("softmax");
  torch::jit::Module tapped = load("softmax");
  gaze::Gaze gaze = gaze::attach(tapped, hooks_test::options());
  const auto expected = gradients(plain);
  const auto captured = gradients(tapped);
  CATCH_REQUIRE(expected.size() == captured.size());
  for (size_t i = 0; i < expected.size(); ++i) CATCH_CHECK(same_bytes(expected[i], captured[i]));
}

CATCH_TEST_CASE("attach checks itself on an example input") {
  const auto example = hooks_test::inputs(1, 2, 5);
  torch::jit::Module module = load("sdpa");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(), &example);
  CATCH_CHECK(gaze.enabled());
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::SelfCheck) == 0);
}

CATCH_TEST_CASE("attach stays off when the example's outputs are not reproducible") {
  torch::jit::Module module = load("functional");
  module.train();  // dropout: two calls differ
  const auto example = hooks_test::inputs(1, 8, 64);
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(), &example);
  CATCH_CHECK_FALSE(gaze.enabled());
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::SelfCheck) == 1);
  gaze::Request request = gaze.begin();
  CATCH_CHECK_FALSE(request);
}

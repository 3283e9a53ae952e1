// SPDX-License-Identifier: MIT
// Attention that runs as torch's own operators: the same answers to the byte, and the weights that they were made by.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <torch/version.h>
#include <gaze/hooks/dispatcher.hpp>

#include <atomic>
#include <thread>

#include "hooks_test.hpp"

using hooks_test::MemorySink;
using hooks_test::same_bytes;

namespace {

bool has_tap(const char* name, const char* overload = "") {
  const auto op = c10::Dispatcher::singleton().findSchema({std::string("aten::") + name, overload});
  return op && op->hasKernelForDispatchKey(c10::DispatchKey::BackendSelect);
}

constexpr int64_t kHeads = 4, kSize = 8;

at::Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed));
}

/// How a model computes one attention.
struct Form {
  const char* name;
  std::function<at::Tensor(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)> attend;
  int64_t kv_heads = kHeads;
  bool masks_last = false;  ///< the last key is hidden
};

at::Tensor scores(const at::Tensor& q, const at::Tensor& k) {
  return at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(kSize));
}
at::Tensor hides_last(const at::Tensor& k) {
  at::Tensor visible = at::ones({1, 1, 1, k.size(2)}, at::kBool);
  visible.narrow(3, k.size(2) - 1, 1).fill_(false);
  return visible;
}

const std::vector<Form> kForms = {
    {"fused", [](auto& q, auto& k, auto& v) { return at::scaled_dot_product_attention(q, k, v); }},
    {"fused, a mask of truths",
     [](auto& q, auto& k, auto& v) { return at::scaled_dot_product_attention(q, k, v, hides_last(k)); }, kHeads, true},
    {"fused, a mask of numbers",
     [](auto& q, auto& k, auto& v) {
       return at::scaled_dot_product_attention(
           q, k, v, at::zeros(hides_last(k).sizes()).masked_fill(hides_last(k).logical_not(), -INFINITY));
     },
     kHeads, true},
    {"fused, shared keys",
     [](auto& q, auto& k, auto& v) {
       return at::scaled_dot_product_attention(q, k, v, {}, 0, false, std::nullopt, /*enable_gqa=*/true);
     },
     2},
    {"softmax and a product", [](auto& q, auto& k, auto& v) { return at::matmul(at::softmax(scores(q, k), -1), v); }},
    {"softmax over batch and heads in one",
     [](auto& q, auto& k, auto& v) {
       const auto flat = [](const at::Tensor& x) { return x.reshape({-1, x.size(2), x.size(3)}); };
       return at::bmm(at::softmax(scores(flat(q), flat(k)), -1), flat(v)).view(q.sizes());
     }},
    {"a softmax in float32, cast back",
     [](auto& q, auto& k, auto& v) {
       const auto half = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
       const at::Tensor weights = at::softmax(scores(half(q), half(k)), -1, at::kFloat);
       return at::matmul(weights.to(at::kBFloat16), half(v)).to(at::kFloat);
     }},
    {"renormalised",
     [](auto& q, auto& k, auto& v) {
       const at::Tensor weights = at::softmax(scores(q, k), -1);
       return at::matmul(weights / weights.sum(-1, true), v);
     }},
    {"an einsum",
     [](auto& q, auto& k, auto& v) {
       return at::einsum("bhqk,bhkd->bhqd", {at::softmax(scores(q, k), -1), v});
     }},
    {"masked scores",
     [](auto& q, auto& k, auto& v) {
       return at::matmul(at::softmax(scores(q, k).masked_fill(hides_last(k).logical_not(), -INFINITY), -1), v);
     },
     kHeads, true},
};

enum class Mode { NoGrad, Inference, Grad, Autocast };
constexpr Mode kModes[] = {Mode::NoGrad, Mode::Inference, Mode::Grad, Mode::Autocast};

void in_mode(Mode mode, const std::function<void()>& run) {
  if (mode == Mode::Inference) {
    const c10::InferenceMode inference;
    return run();
  }
  const at::AutoGradMode grad(mode == Mode::Grad);
  at::autocast::set_autocast_enabled(at::kCPU, mode == Mode::Autocast);
  run();
  at::autocast::set_autocast_enabled(at::kCPU, false);
}

/// Two layers, self and cross, of a prompt and some steps: all that came out, gradients included.
std::vector<at::Tensor> decode(
    const Form& form, Mode mode, const std::function<void()>& before_step = [] {},
    std::vector<at::Tensor>* cross_weights = nullptr) {
  constexpr int64_t kPrompt = 3, kSteps = 3, kMemory = 6;
  std::vector<at::Tensor> out;
  in_mode(mode, [&] {
    const at::Tensor memory = noise({2, form.kv_heads, kMemory, kSize}, 1);
    at::Tensor cache;
    for (int64_t step = 0; step <= kSteps; ++step) {
      before_step();
      const int64_t queries = step == 0 ? kPrompt : 1;
      at::Tensor x = noise({2, kHeads, queries, kSize}, 10 + static_cast<uint64_t>(step));
      if (mode == Mode::Grad) x.set_requires_grad(true);
      const at::Tensor more = noise({2, form.kv_heads, queries, kSize}, 50 + static_cast<uint64_t>(step));
      cache = cache.defined() ? at::cat({cache, more}, 2) : more;
      const at::Tensor y = form.attend(x, cache, cache);
      out.push_back(form.attend(x + y, memory, memory));
      if (cross_weights != nullptr) {
        const at::NoGradGuard no_grad;
        const int64_t groups = kHeads / form.kv_heads;
        const at::Tensor k = memory.repeat_interleave(groups, 1);
        at::Tensor s = scores((x + y).detach().to(at::kFloat), k).to(at::kDouble);
        if (form.masks_last) s = s.masked_fill(hides_last(k).logical_not(), -INFINITY);
        cross_weights->push_back(at::softmax(s, -1).select(2, queries - 1));
      }
      if (mode == Mode::Grad) {
        out.back().sum().backward();
        out.push_back(x.grad());
      }
    }
  });
  return out;
}

gaze::Options cross_options(const std::shared_ptr<MemorySink>& sink) {
  gaze::Options options = hooks_test::options(sink);
  options.profile_in_code =
      gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["cross"]}, "heads": {"reduce": "mean"}})");
  return options;
}

std::vector<gaze::StepSite> two_sites() {
  std::vector<gaze::StepSite> sites(2);
  sites[0].site.name = "self";
  sites[0].site.relation = gaze::SiteRelation::Self;
  sites[1].site.name = "cross";
  sites[1].site.relation = gaze::SiteRelation::Cross;
  return sites;
}

}  // namespace

// First: what is registered stays for the process.
CATCH_TEST_CASE("dispatcher: a process that does not capture has no kernel of ours, and one that does has them once") {
  const std::vector<std::pair<const char*, const char*>> tapped = {
      {"_softmax", ""},        {"_safe_softmax", ""},
      {"_masked_softmax", ""}, {"bmm", ""},
      {"bmm", "out"},          {"baddbmm", ""},
      {"copy_", ""},           {"mul", "Tensor"},
      {"div", "Tensor"},       {"_scaled_dot_product_flash_attention_for_cpu", ""}};
  gaze::Options off;
  off.read_environment = false;
  CATCH_CHECK_FALSE(gaze::attach_dispatcher(off).enabled());
  for (const auto& [name, overload] : tapped) {
    CATCH_CAPTURE(name);
    CATCH_CHECK_FALSE(has_tap(name, overload));
  }
  // Registered while others run the same operators.
  std::atomic<bool> stop{false};
  std::atomic<int64_t> runs{0}, wrong{0};
  const Form& form = kForms[4];
  const at::Tensor q = noise({1, kHeads, 2, kSize}, 1), k = noise({1, kHeads, 5, kSize}, 2);
  const at::Tensor expected = form.attend(q, k, k);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop.load() || runs.load() < 30) {
        wrong += same_bytes(form.attend(q, k, k), expected) ? 0 : 1;
        ++runs;
      }
    });
  }
  while (runs.load() < 10) std::this_thread::yield();
  {
    gaze::Gaze gaze = gaze::attach_dispatcher(hooks_test::options());
    CATCH_CHECK(gaze.enabled());
    CATCH_CHECK_THROWS_WITH(gaze::attach_dispatcher(hooks_test::options()),
                            Catch::Contains("expected a process without such a live capture"));
    stop = true;
    for (std::thread& each : threads) each.join();
  }
  CATCH_CHECK(wrong.load() == 0);
  for (const auto& [name, overload] : tapped) {
    CATCH_CAPTURE(name);
    CATCH_CHECK(has_tap(name, overload));
  }
  // What is no attention is not touched.
  CATCH_CHECK_FALSE(has_tap("add", "Tensor"));
  for (const char* name : {"relu", "linear", "matmul", "mm"}) {
    CATCH_CAPTURE(name);
    CATCH_CHECK_FALSE(has_tap(name));
  }
  // Another one, after the first is gone.
  CATCH_CHECK(gaze::attach_dispatcher(hooks_test::options()).enabled());
}

CATCH_TEST_CASE("dispatcher: answers and gradients are the same bytes, and every call is seen") {
  for (const Form& form : kForms) {
    for (const Mode mode : kModes) {
      for (const bool marked : {true, false}) {
        CATCH_CAPTURE(form.name, static_cast<int>(mode), marked);
        const std::vector<at::Tensor> expected = decode(form, mode);
        auto sink = std::make_shared<MemorySink>();
        gaze::Gaze gaze = gaze::attach_dispatcher(cross_options(sink), two_sites());
        const auto check = [&](const std::vector<at::Tensor>& got) {
          CATCH_REQUIRE(got.size() == expected.size());
          for (size_t i = 0; i < got.size(); ++i) CATCH_CHECK(same_bytes(got[i], expected[i]));
        };
        check(decode(form, mode));  // no request is open
        gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(2));
        check(decode(
            form, mode,
            [&] {
              if (marked) gaze.step();
            },
            nullptr));
        request.finish();
        check(decode(form, mode));
        CATCH_REQUIRE(gaze.flush());
        const auto records = sink->records();
        CATCH_REQUIRE(records.size() == 2);
        for (const gaze::AttentionRecord& record : records) {
          CATCH_CHECK(record.error == "");
          CATCH_REQUIRE(record.sites.size() == 1);
          CATCH_CHECK(record.sites[0].name == "cross");
          CATCH_CHECK(record.sites[0].calls == 4);
          CATCH_CHECK(record.maps[0].tokens() == 4);
        }
      }
    }
  }
}

CATCH_TEST_CASE("dispatcher: maps are those of the weights written out") {
  for (const Form& form : kForms) {
    CATCH_CAPTURE(form.name);
    const bool rounded = std::string(form.name).find("cast back") != std::string::npos;
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach_dispatcher(cross_options(sink), two_sites());
    gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(2));
    // The reference's own softmax and products are no calls of the model.
    std::vector<at::Tensor> weights_t;
    decode(form, Mode::NoGrad, [&] { gaze.step(); });
    request.finish();
    decode(
        form, Mode::NoGrad, [] {}, &weights_t);
    CATCH_REQUIRE(gaze.flush());
    const auto records = sink->records();
    CATCH_REQUIRE(records.size() == 2);
    for (int64_t b = 0; b < 2; ++b) {
      const gaze::MediumMap& map = records[static_cast<size_t>(b)].maps[0];
      CATCH_REQUIRE(map.tokens() == static_cast<int64_t>(weights_t.size()));
      for (int64_t t = 0; t < map.tokens(); ++t) {
        const at::Tensor want = weights_t[static_cast<size_t>(t)][b].mean(0);
        CATCH_CHECK(hooks_test::worst(map.map_tk[t], want) < (rounded ? 2e-2 : 1e-6));
      }
    }
  }
}

CATCH_TEST_CASE("dispatcher: a TorchScript module that nobody attached is seen as well") {
  for (const char* model : {"softmax", "sdpa"}) {
    torch::jit::Module module = hooks_test::load(model);
    module.eval();
    const at::NoGradGuard no_grad;
    const auto inputs = hooks_test::inputs(1, 1, 6);
    const at::Tensor expected = module.forward(inputs).toTensor();
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach_dispatcher(hooks_test::options(sink));
    gaze::Request request = gaze.begin();
    for (int step = 0; step < 3; ++step) {
      gaze.step();
      CATCH_CHECK(same_bytes(module.forward(inputs).toTensor(), expected));
    }
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->records().size() == 1);
    CATCH_CHECK(sink->records()[0].error == "");
    CATCH_CHECK(sink->records()[0].maps[0].tokens() == 3);
  }
}

CATCH_TEST_CASE("dispatcher: calls are a thread's own, and steps that do not fit are refused") {
  const Form& form = kForms[0];
  const at::Tensor q = noise({1, kHeads, 1, kSize}, 1), k = noise({1, kHeads, 5, kSize}, 2);
  const at::NoGradGuard no_grad;
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach_dispatcher(hooks_test::options(sink));
  const auto last = [&]() -> gaze::AttentionRecord {
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(!sink->records().empty());
    return sink->records().back();
  };
  CATCH_SECTION("another thread's") {
    gaze::Request request = gaze.begin();
    gaze.step();
    form.attend(q, k, k);
    std::thread([&] { form.attend(q, k, k); }).join();
    request.finish();
    CATCH_CHECK(last().error == "");
    CATCH_CHECK(last().sites[0].calls == 1);
  }
  CATCH_SECTION("a layer that is left out") {
    gaze::Request request = gaze.begin();
    for (const int layers : {2, 1, 2}) {
      gaze.step();
      for (int layer = 0; layer < layers; ++layer) form.attend(q, k, k);
    }
    request.finish();
    CATCH_CHECK(last().error_reason == gaze::DropReason::SiteOrder);
    CATCH_CHECK(last().error.find("a step that ended before it") != std::string::npos);
  }
  CATCH_SECTION("a cache that does not grow, without marks") {
    gaze::Request request = gaze.begin();
    const at::Tensor prompt = noise({1, kHeads, 3, kSize}, 1);
    form.attend(prompt, k, k);
    form.attend(q, k, k);
    request.finish();
    CATCH_CHECK(last().error_reason == gaze::DropReason::SiteOrder);
  }
  CATCH_SECTION("what no product takes, and what is no attention") {
    gaze::Request request = gaze.begin();
    gaze.step();
    at::softmax(noise({1, kHeads, 1, 5}, 1), -1).mean();
    at::bmm(noise({4, 1, 5}, 1), noise({4, 5, 8}, 2));
    {
      // Memory of weights that are gone, used again.
      for (int i = 0; i < 20; ++i) {
        (void)at::softmax(noise({1, kHeads, 1, 5}, 1), -1);
        at::matmul(noise({1, kHeads, 1, 5}, 3), noise({1, kHeads, 5, 8}, 2));
      }
    }
    request.finish();
    CATCH_CHECK(last().error_reason == gaze::DropReason::NoAttention);
  }
}

CATCH_TEST_CASE("dispatcher: heads that share keys and come as queries of theirs are heads all the same") {
  const at::NoGradGuard no_grad;
  constexpr int64_t kShared = 2, kGroups = kHeads / kShared;
  const at::Tensor prompt = noise({2, kHeads, 3, kSize}, 1), q = noise({2, kHeads, 1, kSize}, 2);
  const auto keys = [](int64_t count) { return noise({2, kShared, count, kSize}, 3); };
  const auto attend = [](const at::Tensor& queries, const at::Tensor& k, const std::optional<at::Tensor>& mask) {
    return at::scaled_dot_product_attention(queries, k, k, mask, 0, false, std::nullopt, /*enable_gqa=*/true);
  };
  at::Tensor hidden = at::ones({2, 1, 1, 4}, at::kBool);
  hidden.narrow(3, 3, 1).fill_(false);
  for (const int mask_axes : {0, 1, 2}) {
    for (const bool named : {false, true}) {
      CATCH_CAPTURE(mask_axes, named);
      std::optional<at::Tensor> mask;
      if (mask_axes == 1) mask = hidden;
      if (mask_axes == 2) mask = hidden.expand({2, kShared, kGroups, 4}).contiguous();
      gaze::Options options = hooks_test::options();
      auto sink = std::make_shared<MemorySink>();
      options.sink = sink;
      options.profile_in_code =
          gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "heads": {"reduce": "mean"}})");
      std::vector<gaze::StepSite> sites;
      if (named) {
        sites.resize(1);
        sites[0].site.name = "layer";
        sites[0].site.heads = kHeads;
        sites[0].site.kv_heads = kShared;
      }
      gaze::Gaze gaze = gaze::attach_dispatcher(options, sites);
      gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(2));
      gaze.step();
      attend(prompt, keys(3), std::nullopt);
      gaze.step();
      const at::Tensor k = keys(4);
      // As transformers gives it to torch.
      at::scaled_dot_product_attention(q.view({2, kShared, kGroups, kSize}), k, k, mask);
      request.finish();
      CATCH_REQUIRE(gaze.flush());
      const auto records = sink->records();
      CATCH_REQUIRE(records.size() == 2);
      at::Tensor s = scores(q, k.repeat_interleave(kGroups, 1)).to(at::kDouble);
      if (mask) s = s.masked_fill(hidden.logical_not(), -INFINITY);
      for (int64_t b = 0; b < 2; ++b) {
        const gaze::AttentionRecord& record = records[static_cast<size_t>(b)];
        // An older torch repeats the prompt's keys before a softmax of its own: that heads share them is not seen
        // there.
        if (TORCH_VERSION_MINOR < 11 && !named && record.error_reason == gaze::DropReason::SiteOrder) continue;
        CATCH_REQUIRE(record.error == "");
        CATCH_REQUIRE(record.maps[0].tokens() == 2);
        // All columns that there are: the prompt's row has three.
        CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk[1].narrow(0, 0, 3),
                                      at::softmax(s, -1)[b].mean(0)[0].narrow(0, 0, 3)) < 1e-6);
      }
    }
  }
}

CATCH_TEST_CASE("dispatcher: a request that is not sampled, and one that ended, are seen as none") {
  const Form& form = kForms[0];
  const at::Tensor q = noise({1, kHeads, 1, kSize}, 1), k = noise({1, kHeads, 5, kSize}, 2);
  const at::NoGradGuard no_grad;
  gaze::Options options = hooks_test::options();
  options.sample_rate = 0;
  gaze::Gaze gaze = gaze::attach_dispatcher(options);
  gaze::Request request = gaze.begin();
  gaze.step();
  form.attend(q, k, k);
  request.finish();
  gaze.step();
  form.attend(q, k, k);
  CATCH_CHECK(gaze.stats().taps == 0);
  hooks_test::check_law(gaze.stats());
}

CATCH_TEST_CASE("dispatcher: operators that hold a whole attention are one call each") {
  const at::NoGradGuard no_grad;
  const int64_t size = kHeads * kSize;
  const at::Tensor x = noise({2, 5, size}, 1), in = noise({3 * size, size}, 2), in_bias = noise({3 * size}, 3),
                   out = noise({size, size}, 4), bias = noise({size}, 5);
  const auto attend = [&] {
    return std::get<0>(at::_native_multi_head_attention(x, x, x, size, kHeads, in, in_bias, out, bias));
  };
  const auto layer = [&] {
    return at::_transformer_encoder_layer_fwd(x, size, kHeads, in, in_bias, out, bias, true, false, 1e-5, bias, bias,
                                              bias, bias, out, bias, out, bias);
  };
  const at::Tensor projected = at::linear(x, in, in_bias).view({2, 5, 3, kHeads, kSize}).permute({2, 0, 3, 1, 4});
  const at::Tensor want = at::softmax(scores(projected[0], projected[1]).to(at::kDouble), -1);
  for (const std::function<at::Tensor()>& call :
       {std::function<at::Tensor()>(attend), std::function<at::Tensor()>(layer)}) {
    const at::Tensor expected = call();
    gaze::Gaze gaze = gaze::attach_dispatcher(hooks_test::options());
    const auto exact = gaze.capture_weights([&] { CATCH_CHECK(same_bytes(call(), expected)); });
    CATCH_REQUIRE(exact.size() == 1);
    CATCH_CHECK(hooks_test::worst(exact[0].attn_bhqk, want) < 1e-5);
  }
}

CATCH_TEST_CASE("dispatcher: exact weights of all calls") {
  const at::NoGradGuard no_grad;
  for (const Form& form : {kForms[0], kForms[4]}) {
    gaze::Gaze gaze = gaze::attach_dispatcher(hooks_test::options());
    const at::Tensor q = noise({2, kHeads, 3, kSize}, 1), k = noise({2, kHeads, 5, kSize}, 2);
    const auto exact = gaze.capture_weights([&] { form.attend(q, k, k); });
    CATCH_REQUIRE(exact.size() == 1);
    CATCH_CHECK(exact[0].site == "attention0");
    CATCH_CHECK(hooks_test::worst(exact[0].attn_bhqk, at::softmax(scores(q, k).to(at::kDouble), -1)) < 1e-6);
  }
}

// SPDX-License-Identifier: MIT
// Requests: identity, batches, threads, what becomes of those that fail.
#include <thread>

#include "allocation_count.hpp"
#include "hooks_test.hpp"

using hooks_test::check_law;
using hooks_test::load;
using hooks_test::MemorySink;

CATCH_TEST_CASE("a request dropped without finish is discarded and counted") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  {
    gaze::Request request = gaze.begin({.id = "lost"});
    module.forward(hooks_test::inputs(1, 3, 6));
  }
  gaze::Request moved = gaze.begin({.id = "kept"});
  gaze::Request kept = std::move(moved);
  module.forward(hooks_test::inputs(1, 3, 6));
  kept.finish();
  kept.finish();
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 1);
  CATCH_CHECK(records[0].request_id == "kept");
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::NotFinished) == 1);
  CATCH_CHECK(gaze.stats().written == 1);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("each top-level call without a request is a request of its own") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
  gaze::Gaze gaze = gaze::attach(module, options);
  module.forward(hooks_test::inputs(1, 3, 6));
  module.get_method("generate")({hooks_test::inputs(2, 1, 8)[1], int64_t{5}});
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 3);
  CATCH_CHECK(records[0].method == "forward");
  CATCH_CHECK(records[0].maps[0].map_tk.sizes() == at::IntArrayRef({1, 6}));
  CATCH_CHECK(records[1].method == "generate");
  CATCH_CHECK(records[1].maps[0].map_tk.sizes() == at::IntArrayRef({5, 8}));
  CATCH_CHECK(records[2].maps[0].map_tk.sizes() == at::IntArrayRef({5, 8}));
  CATCH_CHECK(records[1].request_id != records[2].request_id);
  CATCH_CHECK_FALSE(torch::equal(records[1].maps[0].map_tk, records[2].maps[0].map_tk));
  check_law(gaze.stats());
}

CATCH_TEST_CASE("a call that throws leaves no request behind") {
  torch::jit::Module module = load("throws");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  for (int repeat = 0; repeat < 3; ++repeat) {
    CATCH_CHECK_THROWS_WITH(module.forward(hooks_test::inputs(3, 2, 6)), Catch::Contains("refuses batches of three"));
  }
  module.forward(hooks_test::inputs(1, 2, 6));
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(sink->records().size() == 1);
  CATCH_CHECK(gaze.stats().in_flight == 0);
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::NotFinished) >= 3);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("a batch is one request per row") {
  torch::jit::Module module = load("sdpa");
  const auto inputs = hooks_test::inputs(3, 2, 7);
  const auto calls = [&](gaze::Request& request) {
    module.forward(inputs);
    request.label({"one"}, 0);
    request.label({"two"}, 2);
  };
  const auto records = hooks_test::captured(module, hooks_test::options({"layers.*.cross_attn"}), calls,
                                            {{.id = "a"}, {.id = "b"}, {.id = "c"}})
                           .records;
  CATCH_REQUIRE(records.size() == 3);
  for (size_t row = 0; row < 3; ++row) {
    // The same row alone gives the same map.
    auto alone_sink = std::make_shared<MemorySink>();
    torch::jit::Module other = load("sdpa");
    gaze::Gaze alone = gaze::attach(other, hooks_test::options(alone_sink, {"layers.*.cross_attn"}));
    const auto index = static_cast<int64_t>(row);
    other.forward({inputs[0].toTensor().slice(0, index, index + 1), inputs[1].toTensor().slice(0, index, index + 1)});
    CATCH_REQUIRE(alone.flush());
    CATCH_CHECK(at::allclose(records[row].maps[0].map_tk, alone_sink->records().at(0).maps[0].map_tk, 1e-5, 1e-6));
  }
  CATCH_CHECK(records[0].labels == std::vector<std::string>{"one"});
  CATCH_CHECK(records[1].labels.empty());
  CATCH_CHECK(records[2].request_id == "c");
}

CATCH_TEST_CASE("a batch of another size than the specs ends the capture, not the call") {
  torch::jit::Module module = load("softmax");
  const auto record = hooks_test::captured(module, hooks_test::options(), [&](gaze::Request&) {
                        CATCH_CHECK(module.forward(hooks_test::inputs(2, 3, 6)).toTensor().size(0) == 2);
                      }).only();
  CATCH_CHECK(record.error.find("expected 1 rows, one per request spec, got a batch of 2") != std::string::npos);
  CATCH_CHECK(record.error_reason == gaze::DropReason::ShapeMismatch);
}

CATCH_TEST_CASE("requests of eight threads on one module never mix, forks included") {
  for (const char* model : {"sdpa", "fork"}) {
    CATCH_CAPTURE(model);
    torch::jit::Module module = load(model);
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&, thread] {
        const at::NoGradGuard no_grad;
        for (int repeat = 0; repeat < 10; ++repeat) {
          // The number of keys tells whose attention a record holds.
          gaze::Request request = gaze.begin({.id = std::to_string(5 + thread)});
          module.forward(hooks_test::inputs(1, 2, 5 + thread, static_cast<uint64_t>(repeat)));
          request.finish();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CATCH_REQUIRE(gaze.flush());
    const auto records = sink->records();
    CATCH_CHECK(records.size() == 80);
    for (const auto& record : records) {
      CATCH_CHECK(record.error.empty());
      CATCH_CHECK(record.sites.size() == (std::string(model) == "fork" ? 2 : 3));
      CATCH_CHECK(std::to_string(record.keys) == record.request_id);
    }
    check_law(gaze.stats());
  }
}

CATCH_TEST_CASE("two models with nested requests keep their own") {
  torch::jit::Module outer_module = load("softmax");
  torch::jit::Module inner_module = load("sdpa");
  auto outer_sink = std::make_shared<MemorySink>();
  auto inner_sink = std::make_shared<MemorySink>();
  gaze::Gaze outer = gaze::attach(outer_module, hooks_test::options(outer_sink));
  gaze::Gaze inner = gaze::attach(inner_module, hooks_test::options(inner_sink));
  gaze::Request first = outer.begin({.id = "outer"});
  gaze::Request second = inner.begin({.id = "inner"});
  outer_module.forward(hooks_test::inputs(1, 2, 6));
  inner_module.forward(hooks_test::inputs(1, 2, 9));
  first.finish();  // not in the order of a stack
  second.finish();
  CATCH_REQUIRE(outer.flush());
  CATCH_REQUIRE(inner.flush());
  CATCH_REQUIRE(outer_sink->records().size() == 1);
  CATCH_CHECK(outer_sink->records()[0].keys == 6);
  CATCH_CHECK(inner_sink->records()[0].keys == 9);
  // The thread's next request is its own.
  gaze::Request third = outer.begin({.id = "next"});
  outer_module.forward(hooks_test::inputs(1, 2, 7));
  third.finish();
  CATCH_REQUIRE(outer.flush());
  CATCH_CHECK(outer_sink->records()[1].keys == 7);
}

CATCH_TEST_CASE("a request finished on another thread is whole, and its own thread goes on") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  gaze::Request request = gaze.begin({.id = "a"});
  module.forward(hooks_test::inputs(1, 2, 6));
  std::thread([&] { request.finish(); }).join();
  module.forward(hooks_test::inputs(1, 2, 8));  // a call of its own
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].keys == 6);
  CATCH_CHECK(records[1].keys == 8);
}

CATCH_TEST_CASE("host-driven steps append token rows, and rows beyond the limit are counted") {
  torch::jit::Module module = load("softmax");
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.max_tokens = 5;
  const auto captured = hooks_test::captured(module, options, [&](gaze::Request&) {
    module.forward(hooks_test::inputs(1, 4, 6));  // a prefill: its last row
    for (uint64_t step = 0; step < 7; ++step) module.forward(hooks_test::inputs(1, 1, 6, step));
  });
  CATCH_CHECK(captured.only().maps[0].map_tk.size(0) == 5);
  CATCH_CHECK(captured.only().tokens_dropped == 3);  // whatever the number of sites
  CATCH_CHECK(captured.stats.tokens_dropped == 3);
}

CATCH_TEST_CASE("after the first token a tap allocates nothing") {
  for (const char* model : {"softmax", "sdpa"}) {
    CATCH_CAPTURE(model);
    const c10::InferenceMode inference;
    torch::jit::Module plain = load(model);
    torch::jit::Module tapped = load(model);
    gaze::Gaze gaze = gaze::attach(tapped, hooks_test::options());
    const auto inputs = hooks_test::inputs(1, 1, 64);
    const auto count = [&](torch::jit::Module& module) {
      for (int warm = 0; warm < 4; ++warm) module.forward(inputs);
      return hooks_test::allocations_of([&] { module.forward(inputs); });
    };
    const int64_t without = count(plain);
    gaze::Request request = gaze.begin();
    const int64_t with = count(tapped);
    request.finish();
    CATCH_CHECK(without > 0);
    CATCH_CHECK(with == without);
  }
}

CATCH_TEST_CASE("no attention in a request is said so") {
  torch::jit::Module module = load("softmax");
  const auto record = hooks_test::captured(module, hooks_test::options(), [](gaze::Request&) {}).only();
  CATCH_CHECK(record.error_reason == gaze::DropReason::NoAttention);
}

CATCH_TEST_CASE("weights with NaN are flagged and the answer is the model's own") {
  torch::jit::Module plain = load("nan");
  torch::jit::Module module = load("nan");
  const auto inputs = hooks_test::inputs(1, 3, 6);
  const auto record =
      hooks_test::captured(module, hooks_test::options(), [&](gaze::Request&) {
        CATCH_CHECK(hooks_test::same_bytes(module.forward(inputs).toTensor(), plain.forward(inputs).toTensor()));
      }).only();
  CATCH_CHECK((record.maps[0].flags_t[0].item<int>() & gaze::ops::kRowNonFinite) != 0);
  CATCH_CHECK(at::isfinite(record.maps[0].map_tk).all().item<bool>());
}

CATCH_TEST_CASE("weights whose rows a mask cuts short after the softmax are drawn, not refused") {
  torch::jit::Module module = load("inplace");
  const auto record = hooks_test::captured(module, hooks_test::options(), [&](gaze::Request&) {
                        module.forward(hooks_test::inputs(1, 3, 40));
                      }).only();
  CATCH_CHECK(record.maps[0].flags_t[0].item<int>() == 0);
  CATCH_CHECK(record.maps[0].map_tk.sum().item<double>() < 0.999);
}

CATCH_TEST_CASE("a sample rate captures about its share and counts the rest") {
  torch::jit::Module module = load("softmax");
  gaze::Options options = hooks_test::options();
  options.sample_rate = 0.25;
  gaze::Gaze gaze = gaze::attach(module, options);
  for (int i = 0; i < 400; ++i) gaze.begin().finish();
  const auto stats = gaze.stats();
  CATCH_CHECK(stats.begun == 400);
  check_law(stats);
  CATCH_CHECK(stats.sampled > 60);  // 4.6 standard deviations
  CATCH_CHECK(stats.sampled < 140);
}

CATCH_TEST_CASE("the picture is read from the model's own input as the profile says") {
  const std::string path = std::string(GAZE_SAMPLE_MODELS) + "/stickers_sdpa.pt";
  torch::jit::Module module = torch::jit::load(path);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile = std::string(GAZE_SAMPLE_MODELS) + "/profile.json";
  options.model_path = path;
  gaze::Gaze gaze = gaze::attach(module, options);
  at::Tensor image = hooks_test::inputs(2, 1, 1)[0].toTensor().new_empty({2, 3, 96, 160}).uniform_(-1, 1);
  const at::Tensor kept = image.clone();
  module.get_method("generate")({image, at::full({2, 5}, 4, at::kLong), int64_t{3}});
  image.zero_();  // the host's buffer is its own again
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 2);
  for (int64_t row = 0; row < 2; ++row) {
    const auto& picture = picture_of(records[static_cast<size_t>(row)]);
    CATCH_CHECK(torch::equal(picture.tensor, kept[row]));
    CATCH_CHECK(picture.mean.size() == 3);
    CATCH_CHECK(records[static_cast<size_t>(row)].maps[0].geometry().cells() == 60);
    CATCH_CHECK(records[static_cast<size_t>(row)].model_sha256.size() == 64);
  }
}

CATCH_TEST_CASE("a model running inside another one's request does not take its picture") {
  const std::string path = std::string(GAZE_SAMPLE_MODELS) + "/stickers_sdpa.pt";
  torch::jit::Module outer_module = torch::jit::load(path);
  torch::jit::Module inner_module = torch::jit::load(path);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile = std::string(GAZE_SAMPLE_MODELS) + "/profile.json";
  gaze::Gaze outer = gaze::attach(outer_module, options);
  gaze::Gaze inner = gaze::attach(inner_module, options);
  const at::Tensor prompt = at::full({1, 5}, 4, at::kLong);
  const at::Tensor ones = at::ones({1, 3, 96, 160});
  gaze::Request first = outer.begin({.id = "outer"});
  gaze::Request second = inner.begin({.id = "inner"});
  outer_module.get_method("generate")({ones, prompt, int64_t{2}});
  inner_module.get_method("generate")({-ones, prompt, int64_t{2}});
  second.finish();
  first.finish();
  CATCH_REQUIRE(outer.flush());
  CATCH_REQUIRE(inner.flush());
  for (const auto& record : sink->records()) {
    CATCH_CAPTURE(record.request_id);
    CATCH_CHECK(torch::equal(picture_of(record).tensor, record.request_id == "outer" ? ones[0] : -ones[0]));
  }
}

CATCH_TEST_CASE("token ids become words of the vocabulary up to the end token") {
  torch::jit::Module module = load("softmax");
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.profile_in_code->vocabulary = {"<end>", "red", "seven"};
  options.profile_in_code->eos = 0;
  const auto record = hooks_test::captured(module, options, [&](gaze::Request& request) {
                        module.forward(hooks_test::inputs(1, 3, 6));
                        request.tokens({1, 2, 9, 0, 1});
                      }).only();
  CATCH_CHECK(record.labels == std::vector<std::string>{"red", "seven", "#9"});
  CATCH_CHECK(record.token_ids == std::vector<int64_t>{1, 2, 9});
}

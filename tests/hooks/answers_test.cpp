// SPDX-License-Identifier: MIT
// What a call belongs to: the host's request, sampled or not, or where the host opened none, an answer told by its
// keys.
#include <cmath>
#include <condition_variable>
#include <set>
#include <thread>

#include "allocation_count.hpp"
#include "hooks_test.hpp"

using hooks_test::check_law;
using hooks_test::load;
using hooks_test::MemorySink;

namespace {

/// One layer of causal self-attention with a cache that the host carries: forward(x, past) -> (y, keys).
torch::jit::Module cached_decoder() {
  torch::manual_seed(5);
  torch::jit::Module module("decoder");
  for (const char* name : {"wq", "wk"}) module.register_parameter(name, at::randn({8, 8}), false);
  module.define(R"(
    def forward(self, x, past):
        k = torch.cat([past, x.matmul(self.wk)], 1)
        q = x.matmul(self.wq)
        mask = torch.ones([q.size(1), k.size(1)], dtype=11).tril(k.size(1) - q.size(1))
        y = torch.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), k.unsqueeze(1), mask)
        return (y.squeeze(1), k)
  )");
  module.eval();
  return module;
}

at::Tensor step(torch::jit::Module& module, int64_t tokens, const at::Tensor& past) {
  return module.forward({at::randn({1, tokens, 8}), past}).toTuple()->elements()[1].toTensor();
}

const at::Tensor kNoKeys = at::zeros({1, 0, 8});

/// The answer of a host that opens no request: a prompt, then one token a call.
void answer(torch::jit::Module& module, int64_t prompt, int64_t tokens) {
  at::Tensor past = step(module, prompt, kNoKeys);
  for (int64_t t = 0; t < tokens; ++t) past = step(module, 1, past);
}

/// Tells when a record came.
class TellingSink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    tokens_.push_back(record.maps[0].map_tk.size(0));
    came_.notify_all();
  }
  /// Of the first record, which must come within a minute.
  int64_t first() {
    std::unique_lock<std::mutex> lock(mutex_);
    CATCH_REQUIRE(came_.wait_for(lock, std::chrono::minutes(1), [&] { return !tokens_.empty(); }));
    return tokens_.front();
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<int64_t> tokens_;
};

}  // namespace

CATCH_TEST_CASE("calls of a request that was not sampled are captured under no name") {
  for (const char* model : {"softmax", "sdpa"}) {
    for (const double rate : {0.0, 0.05, 0.5}) {
      CATCH_CAPTURE(model, rate);
      torch::jit::Module module = load(model);
      auto sink = std::make_shared<MemorySink>();
      gaze::Options options = hooks_test::options(sink);
      options.sample_rate = rate;
      gaze::Gaze gaze = gaze::attach(module, options);
      constexpr int kRequests = 60;
      int captured = 0;
      for (int i = 0; i < kRequests; ++i) {
        gaze::Request request = gaze.begin({.id = "host-" + std::to_string(i)});
        captured += request ? 1 : 0;
        for (int call = 0; call < 20; ++call) module.forward(hooks_test::inputs(1, 1, 6));
        request.finish();
        CATCH_CHECK_FALSE(static_cast<bool>(request));
      }
      CATCH_REQUIRE(gaze.flush());
      const gaze::Stats stats = gaze.stats();
      CATCH_CHECK(stats.begun == kRequests);
      CATCH_CHECK(stats.sampled == captured);
      CATCH_CHECK(stats.written == captured);
      CATCH_CHECK(stats.drops(gaze::DropReason::NotSampled) == kRequests - captured);
      CATCH_CHECK(sink->records().size() == static_cast<size_t>(captured));
      for (const auto& record : sink->records()) CATCH_CHECK(record.request_id.rfind("host-", 0) == 0);
      check_law(stats);
    }
  }
}

CATCH_TEST_CASE("what was not sampled holds until the request ends, whichever way, and for the threads it forks") {
  torch::jit::Module module = load("fork");
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.sample_rate = 0;
  gaze::Gaze gaze = gaze::attach(module, options);
  const auto call = [&] { module.forward(hooks_test::inputs(1, 2, 6)); };
  {
    gaze::Request dropped = gaze.begin();
    call();
  }
  gaze::Request moved = gaze.begin();
  gaze::Request kept = std::move(moved);
  call();
  kept = gaze::Request();
  gaze::Request elsewhere = gaze.begin();
  std::thread([&] { elsewhere.finish(); }).join();
  CATCH_CHECK(gaze.stats().begun == 3);
  call();  // nobody's
  CATCH_CHECK(gaze.stats().begun == 4);
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::NotSampled) == 4);
  CATCH_CHECK(sink->records().empty());
}

CATCH_TEST_CASE("a request that is not sampled pays as one that is off") {
  const c10::InferenceMode inference;
  torch::jit::Module plain = load("sdpa");
  torch::jit::Module tapped = load("sdpa");
  gaze::Options options = hooks_test::options();
  options.sample_rate = 0;
  gaze::Gaze gaze = gaze::attach(tapped, options);
  const auto inputs = hooks_test::inputs(1, 1, 64);
  const auto count = [&](torch::jit::Module& module) {
    for (int warm = 0; warm < 4; ++warm) module.forward(inputs);
    return hooks_test::allocations_of([&] { module.forward(inputs); });
  };
  const int64_t without = count(plain);
  gaze::Request request = gaze.begin();
  CATCH_CHECK(count(tapped) == without);
}

CATCH_TEST_CASE("steps without a request become one answer, and the next prompt the next") {
  torch::jit::Module plain = cached_decoder();
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  answer(module, 5, 7);
  answer(module, 3, 2);
  answer(module, 6, 0);
  CATCH_CHECK(gaze.stats().in_flight <= 3);
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CATCH_CAPTURE(i, records[i].error);
    CATCH_CHECK(records[i].error.empty());
    CATCH_CHECK(records[i].maps[0].map_tk.size(0) == std::vector<int64_t>{8, 3, 1}[i]);
    CATCH_CHECK(records[i].keys == std::vector<int64_t>{5, 3, 6}[i]);
  }
  CATCH_CHECK(gaze.stats().begun == 3);
  check_law(gaze.stats());
  // After the answer was written its steps go on: of which answer they are is not known any more.
  answer(module, 4, 1);
  CATCH_REQUIRE(gaze.flush());
  step(module, 1, at::zeros({1, 5, 8}));
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(sink->records().size() == 4);
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::NoRequest) == 1);
  check_law(gaze.stats());
}

/// Writes over the picture it is given, as a host does that reads the next into the same buffer: encode(image) ->
/// memory, without attention; step(x, past, memory) -> (y, keys).
torch::jit::Module captioner() {
  torch::manual_seed(6);
  torch::jit::Module module("captioner");
  for (const char* name : {"wq", "wk", "wm"}) module.register_parameter(name, at::randn({8, 8}), false);
  module.define(R"(
    def encode(self, image):
        return torch.adaptive_avg_pool2d(image, [2, 3]).mean(1).flatten(1).unsqueeze(2).expand(-1, -1, 8)

    def step(self, x, past, memory):
        k = torch.cat([past, x.matmul(self.wk)], 1)
        q = x.matmul(self.wq)
        mask = torch.ones([q.size(1), k.size(1)], dtype=11).tril(k.size(1) - q.size(1))
        y = torch.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), k.unsqueeze(1), mask).squeeze(1)
        m = memory.matmul(self.wm).unsqueeze(1)
        return (y + torch.scaled_dot_product_attention(y.unsqueeze(1), m, m).squeeze(1), k)
  )");
  module.eval();
  return module;
}

CATCH_TEST_CASE("an encoder that ran without attention ran for the answer that begins behind it") {
  for (const double rate : {1.0, 0.5}) {
    CATCH_CAPTURE(rate);
    torch::jit::Module module = captioner();
    auto sink = std::make_shared<MemorySink>();
    gaze::Options options = hooks_test::options(sink);
    options.sample_rate = rate;
    const auto sites = gaze::find_sites(module).sites;
    CATCH_REQUIRE(sites.size() == 2);
    options.profile_in_code = gaze::parse_profile(
        R"({"gaze_profile": 1, "geometry": {"rows": 2, "cols": 3}, "sites": {"match": [")" + sites[1].name +
        R"("]}, "image": {"argument": {"encode": 0}, "mean": [0, 0, 0], "std": [1, 1, 1]}})");
    gaze::Gaze gaze = gaze::attach(module, options);
    const at::NoGradGuard no_grad;
    const at::Tensor buffer = at::zeros({1, 3, 8, 12});
    const auto encode = [&](int picture) {
      buffer.fill_(0.01 * picture);
      return module.run_method("encode", buffer);
    };
    const auto step = [&](int64_t tokens, const at::Tensor& past, const c10::IValue& memory) {
      return module.run_method("step", at::randn({1, tokens, 8}), past, memory).toTuple()->elements()[1].toTensor();
    };
    constexpr int kAnswers = 24;
    c10::IValue memory = encode(0);
    for (int i = 0; i < kAnswers; ++i) {
      at::Tensor past = step(3, kNoKeys, memory);
      past = step(1, past, memory);
      // The next one's picture may be encoded before the answer has ended, and be encoded again.
      c10::IValue next = encode(i + 1);
      if (i % 2 == 0) step(1, past, memory);
      if (i % 3 == 0) next = encode(i + 1);
      memory = next;
    }
    CATCH_REQUIRE(gaze.flush());
    const auto records = sink->records();
    CATCH_CHECK(records.size() == static_cast<size_t>(gaze.stats().sampled));
    if (rate == 1) CATCH_REQUIRE(records.size() == kAnswers);
    std::set<int> seen;
    for (const auto& record : records) {
      CATCH_REQUIRE(record.error == "");
      const at::Tensor picture = std::get<gaze::PictureMedium>(record.maps[0].medium).picture.tensor;
      CATCH_REQUIRE(picture.defined());
      const double shade = picture.max().item<double>();
      CATCH_CHECK(shade == picture.min().item<double>());
      const int answer = static_cast<int>(std::lround(shade / 0.01));
      CATCH_CHECK(record.maps[0].map_tk.size(0) == (answer % 2 == 0 ? 3 : 2));
      seen.insert(answer);
    }
    CATCH_CHECK(seen.size() == records.size());
    check_law(gaze.stats());
  }
}

CATCH_TEST_CASE("answers that nobody opened are sampled as answers") {
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.sample_rate = 0.5;
  gaze::Gaze gaze = gaze::attach(module, options);
  for (int i = 0; i < 80; ++i) answer(module, 4, 9);
  CATCH_REQUIRE(gaze.flush());
  const gaze::Stats stats = gaze.stats();
  CATCH_CHECK(stats.begun == 80);
  CATCH_CHECK(stats.sampled > 17);  // 5 standard deviations
  CATCH_CHECK(stats.sampled < 63);
  CATCH_CHECK(stats.drops(gaze::DropReason::NoRequest) == 0);
  for (const auto& record : sink->records()) CATCH_CHECK(record.maps[0].map_tk.size(0) == 10);
  check_law(stats);
}

CATCH_TEST_CASE("answers that take turns on one thread, or recompute their keys, give no bundle per token") {
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  at::Tensor a = step(module, 5, kNoKeys);
  at::Tensor b = step(module, 9, kNoKeys);
  for (int i = 0; i < 20; ++i) {
    a = step(module, 1, a);
    b = step(module, 1, b);
  }
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(sink->records().size() == 2);
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::NoRequest) == 40);
  for (int64_t length = 12; length < 40; ++length) step(module, length, kNoKeys);
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(sink->records().size() == 4);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("a request ends the answer before it, and takes its own calls alone") {
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  at::Tensor past = step(module, 5, kNoKeys);
  gaze::Request request = gaze.begin({.id = "mine"});
  past = step(module, 1, past);
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 2);
  CATCH_CHECK(sink->records()[0].keys == 5);
  CATCH_CHECK(sink->records()[1].request_id == "mine");
  CATCH_CHECK(sink->records()[1].keys == 6);
}

CATCH_TEST_CASE("requests that overlap on one thread cost their calls nothing, in whichever order they end") {
  for (const int order : {0, 1, 2}) {  // the older first, the newer first, elsewhere
    CATCH_CAPTURE(order);
    const at::NoGradGuard no_grad;
    torch::jit::Module module = load("softmax");
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
    const auto inputs = hooks_test::inputs(1, 1, 6);
    const auto cost = [&] {
      return hooks_test::allocations_of([&] {
        gaze::Request request = gaze.begin();
        module.forward(inputs);
      });
    };
    gaze::Request outer = gaze.begin();
    for (int warm = 0; warm < 4; ++warm) module.forward(inputs);
    cost();
    const int64_t before = cost();
    for (int i = 0; i < 3000; ++i) {
      gaze::Request inner = gaze.begin();
      if (order == 1) {
        inner.finish();
        continue;
      }
      if (order == 0) outer.finish();
      if (order == 2) std::thread([&] { outer.finish(); }).join();
      outer = std::move(inner);
    }
    CATCH_CHECK(cost() <= before + 2);
    outer.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().in_flight == 0);
    check_law(gaze.stats());
  }
}

CATCH_TEST_CASE("of too many open requests of a thread the oldest give way, and none gets another's calls") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  std::vector<gaze::Request> requests;
  for (int i = 0; i < 1100; ++i) {
    requests.push_back(gaze.begin({.id = std::to_string(i)}));
    if (i % 100 == 99) module.forward(hooks_test::inputs(1, 1, 5 + i / 100));
  }
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::HostBudget) == 1100 - 1024);
  for (gaze::Request& request : requests) request.finish();
  CATCH_REQUIRE(gaze.flush());
  int64_t with_rows = 0;
  for (const auto& record : sink->records()) {
    if (!record.error.empty()) continue;
    ++with_rows;
    CATCH_CHECK(std::to_string((record.keys - 5) * 100 + 99) == record.request_id);
  }
  CATCH_CHECK(with_rows == 11);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("a thread that ends leaves no answer behind") {
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  std::thread([&] { answer(module, 5, 3); }).join();
  CATCH_CHECK(gaze.stats().in_flight == 1);
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 1);
  CATCH_CHECK(sink->records()[0].maps[0].map_tk.size(0) == 4);
  std::thread([&] { answer(module, 5, 3); }).join();
  gaze.shutdown();
  CATCH_CHECK(gaze.stats().in_flight == 0);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("an answer that no call follows is written by itself") {
  torch::jit::Module module = cached_decoder();
  auto sink = std::make_shared<TellingSink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  answer(module, 5, 3);
  CATCH_CHECK(sink->first() == 4);
}

// SPDX-License-Identifier: MIT
// The sample model on the device under test: the same bytes with and without capture, and the overlays of the
// processor.
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/overlay.hpp>

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <thread>

#include "hooks_test.hpp"
#include "support/devices.hpp"

#ifdef GAZE_HAS_CUDA
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#endif

using hooks_test::MemorySink;
using hooks_test::same_bytes;

namespace {

std::string sample(const char* file) { return std::string(GAZE_SAMPLE_MODELS) + "/" + file; }

struct Inputs {
  explicit Inputs(at::Device device, int64_t batch = 1) {
    auto generator = at::detail::createCPUGenerator(11);
    image_bchw = at::randn({batch, 3, 96, 160}, generator).to(device);
    prompt_bt = at::randint(3, 30, {batch, 5}, generator, at::kLong).to(device);
  }
  at::Tensor image_bchw, prompt_bt;
};

at::Tensor generate(torch::jit::Module& module, const Inputs& in) {
  const at::NoGradGuard no_grad;
  return module.get_method("generate")({in.image_bchw, in.prompt_bt, int64_t{6}}).toTensor().cpu();
}

gaze::Options sample_options(const std::shared_ptr<gaze::Sink>& sink) {
  gaze::Options options = hooks_test::options(sink);
  options.profile = sample("profile.json");
  return options;
}

/// The request's picture: a gradient of 480 x 288.
at::Tensor photo() {
  const at::Tensor x = at::arange(480, at::kInt).view({1, 480, 1}), y = at::arange(288, at::kInt).view({288, 1, 1});
  return ((x * at::arange(1, 4, at::kInt).view({1, 1, 3}) / 2 + y) % 256).to(at::kByte).contiguous();
}

gaze::AttentionRecord record_of(const char* file, at::Device device, int64_t deferred = 0) {
  torch::jit::Module module = torch::jit::load(sample(file), device);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = sample_options(sink);
  options.deferred_tokens = deferred;
  gaze::Gaze gaze = gaze::attach(module, options);
  const Inputs in(device);
  gaze::RequestSpec spec;
  spec.image = photo();
  gaze::Request request = gaze.begin(std::move(spec));
  const at::Tensor ids = generate(module, in);
  request.tokens({ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()});
  request.finish();
  // Also called from threads, where Catch2 must not be.
  if (!gaze.flush() || sink->records().size() != 1) throw std::runtime_error("expected one record");
  return sink->records()[0];
}

int64_t furthest(const at::Tensor& one, const at::Tensor& two) {
  return (one.cpu().to(at::kInt) - two.cpu().to(at::kInt)).abs().max().item<int64_t>();
}

}  // namespace

CATCH_TEST_CASE("device: outputs are the same bytes with capture off, on and failing") {
  for (const at::Device device : gaze::test::devices()) {
    for (const char* file : {"stickers_softmax.pt", "stickers_sdpa.pt"}) {
      for (const int64_t deferred : {0, 4}) {
        CATCH_CAPTURE(device.str(), file, deferred);
        const Inputs in(device, 2);
        const auto run = [&](torch::jit::Module& module, const std::function<gaze::Request()>& begin) {
          std::vector<at::Tensor> outputs;
          for (int call = 0; call < 3; ++call) {
            for (const char* method : {"forward", "generate"}) {
              gaze::Request request = begin();
              const c10::InferenceMode inference(call == 1);
              const at::NoGradGuard no_grad;
              std::vector<c10::IValue> arguments = {in.image_bchw, in.prompt_bt};
              if (std::strcmp(method, "generate") == 0) arguments.emplace_back(int64_t{6});
              outputs.push_back(module.get_method(method)(arguments).toTensor().cpu());
              request.finish();
            }
          }
          return outputs;
        };
        torch::jit::Module plain = torch::jit::load(sample(file), device);
        torch::jit::Module tapped = torch::jit::load(sample(file), device);
        auto sink = std::make_shared<MemorySink>();
        gaze::Options options = sample_options(sink);
        options.deferred_tokens = deferred;
        gaze::Gaze gaze = gaze::attach(tapped, options);
        const auto expected = run(plain, [] { return gaze::Request(); });
        const auto automatic = run(tapped, [] { return gaze::Request(); });
        const auto explicitly = run(tapped, [&] { return gaze.begin(std::vector<gaze::RequestSpec>(2)); });
        const auto failing = run(tapped, [&] { return gaze.begin(); });  // one spec, a batch of two
        CATCH_REQUIRE(gaze.flush());
        for (size_t i = 0; i < expected.size(); ++i) {
          CATCH_CAPTURE(i);
          CATCH_CHECK(same_bytes(expected[i], automatic[i]));
          CATCH_CHECK(same_bytes(expected[i], explicitly[i]));
          CATCH_CHECK(same_bytes(expected[i], failing[i]));
        }
        size_t good = 0;
        for (const auto& record : sink->records()) good += record.error.empty() ? 1 : 0;
        CATCH_CHECK(good == 24);
      }
    }
  }
}

CATCH_TEST_CASE("device: the sample model's overlays are those of the processor") {
  for (const at::Device device : gaze::test::devices()) {
    for (const char* file : {"stickers_softmax.pt", "stickers_sdpa.pt"}) {
      for (const int64_t deferred : {0, 4}) {
        CATCH_CAPTURE(device.str(), file, deferred);
        const gaze::AttentionRecord there = record_of(file, device, deferred);
        const gaze::AttentionRecord here = record_of(file, at::kCPU);
        CATCH_REQUIRE(there.error == "");
        CATCH_CHECK(there.maps[0].map_tk.device().type() == device.type());
        CATCH_REQUIRE(there.labels == here.labels);
        CATCH_CHECK(at::allclose(there.maps[0].map_tk.cpu(), here.maps[0].map_tk, 1e-3, 1e-5));
        const gaze::Composition got = gaze::compose(there), want = gaze::compose(here);
        CATCH_REQUIRE(got.words.size() == want.words.size());
        CATCH_CHECK(furthest(got.summary.rgb_hwc, want.summary.rgb_hwc) <= 2);
        for (size_t w = 0; w < want.words.size(); ++w) {
          CATCH_CAPTURE(w);
          CATCH_CHECK(furthest(got.words[w].rgb_hwc, want.words[w].rgb_hwc) <= 2);
          CATCH_CHECK(got.words[w].diffuse == want.words[w].diffuse);
        }
      }
    }
  }
}

CATCH_TEST_CASE("device: exact weights are those of the processor") {
  for (const at::Device device : gaze::test::devices()) {
    for (const char* file : {"stickers_softmax.pt", "stickers_sdpa.pt"}) {
      CATCH_CAPTURE(device.str(), file);
      const auto weights_on = [&](at::Device on) {
        torch::jit::Module module = torch::jit::load(sample(file), on);
        gaze::Gaze gaze = gaze::attach(module, sample_options(std::make_shared<MemorySink>()));
        const Inputs in(on, 2);
        const at::NoGradGuard no_grad;
        return gaze.capture_weights([&] { module.get_method("forward")({in.image_bchw, in.prompt_bt}); });
      };
      const auto there = weights_on(device), here = weights_on(at::kCPU);
      CATCH_REQUIRE(there.size() == here.size());
      for (size_t i = 0; i < here.size(); ++i) {
        CATCH_CHECK(there[i].site == here[i].site);
        CATCH_CHECK((there[i].attn_bhqk - here[i].attn_bhqk).abs().max().item<float>() < 5e-5F);
      }
    }
  }
}

CATCH_TEST_CASE("device: threads on streams of their own do not disturb each other") {
  for (const at::Device device : gaze::test::devices()) {
    const gaze::AttentionRecord alone = record_of("stickers_sdpa.pt", device);
    std::vector<gaze::AttentionRecord> records(3);
    std::vector<std::thread> threads;
    for (auto& record : records) {
      threads.emplace_back([&] {
        std::optional<c10::Stream> own;
        if (!device.is_cpu()) own = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, false);
        const c10::OptionalStreamGuard guard(own);
        for (int repeat = 0; repeat < 3; ++repeat) record = record_of("stickers_sdpa.pt", device, repeat == 1 ? 4 : 0);
        if (own) own->synchronize();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& record : records) {
      CATCH_CHECK(record.error == "");
      CATCH_CHECK(at::allclose(record.maps[0].map_tk.cpu(), alone.maps[0].map_tk.cpu(), 1e-4, 1e-6));
    }
  }
}

CATCH_TEST_CASE("device: threads on one stream, with rows of different lengths, do not disturb each other") {
  for (const at::Device device : gaze::test::devices()) {
    const auto captured = [&](int64_t keys, int64_t deferred) {
      torch::jit::Module module("attention");
      module.define("def forward(self, q, k):\n    return torch.scaled_dot_product_attention(q, k, k)\n");
      auto sink = std::make_shared<MemorySink>();
      gaze::Options options = hooks_test::options(sink, {"*"});
      options.deferred_tokens = deferred;
      gaze::Gaze gaze = gaze::attach(module, options);
      const auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(keys));
      const at::NoGradGuard no_grad;
      const at::Tensor k = at::randn({1, 4, keys, 32}, generator).to(device);
      gaze::Request request = gaze.begin();
      for (int token = 0; token < 20; ++token) module.forward({at::randn({1, 4, 1, 32}, generator).to(device), k});
      request.finish();
      if (!gaze.flush() || sink->records().size() != 1) throw std::runtime_error("expected one record");
      return sink->records()[0];
    };
    const std::vector<int64_t> lengths = {60, 700, 6000};
    std::vector<at::Tensor> alone;
    for (const int64_t keys : lengths) alone.push_back(captured(keys, 0).maps[0].map_tk.cpu());
    std::vector<gaze::AttentionRecord> records(lengths.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < lengths.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int repeat = 0; repeat < 4; ++repeat) records[i] = captured(lengths[i], repeat == 1 ? 4 : 0);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < lengths.size(); ++i) {
      CATCH_CAPTURE(lengths[i]);
      CATCH_CHECK(records[i].error == "");
      CATCH_CHECK(at::allclose(records[i].maps[0].map_tk.cpu(), alone[i], 1e-4, 1e-6));
    }
  }
}

CATCH_TEST_CASE("device: a request called on one stream and finished on another has the same map") {
  for (const at::Device device : gaze::test::devices()) {
    for (const int64_t deferred : {0, 8}) {
      CATCH_CAPTURE(device.str(), deferred);
      torch::jit::Module module("attention");
      module.define("def forward(self, q, k):\n    return torch.scaled_dot_product_attention(q, k, k)\n");
      auto sink = std::make_shared<MemorySink>();
      gaze::Options options = hooks_test::options(sink, {"*"});
      options.deferred_tokens = deferred;
      gaze::Gaze gaze = gaze::attach(module, options);
      const at::NoGradGuard no_grad;
      const at::Tensor q = at::randn({1, 4, 1, 32}).to(device), k = at::randn({1, 4, 500, 32}).to(device);
      const at::Tensor busy = at::randn({2000, 2000}).to(device);
      for (const bool elsewhere : {false, true}) {
        std::optional<c10::Stream> own;
        if (!device.is_cpu() && elsewhere)
          own = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, false);
        gaze::Request request = gaze.begin();
        for (int token = 0; token < 4; ++token) {
          if (elsewhere) busy.matmul(busy);  // the calls lie far behind what the host has enqueued
          module.forward({q, k});
        }
        const c10::OptionalStreamGuard guard(own);
        request.finish();
        CATCH_REQUIRE(gaze.flush());
        if (own) own->synchronize();
      }
      const auto records = sink->records();
      CATCH_REQUIRE(records.size() == 2);
      CATCH_CHECK(records[1].error == "");
      CATCH_CHECK(at::allclose(records[1].maps[0].map_tk.cpu(), records[0].maps[0].map_tk.cpu(), 1e-5, 1e-7));
    }
  }
}

CATCH_TEST_CASE("device: a picture that has the row to itself may have masked keys behind it, and no visible ones") {
  for (const at::Device device : gaze::test::devices()) {
    for (const bool fused : {false, true}) {
      for (const int64_t visible : {15, 16}) {
        CATCH_CAPTURE(device.str(), fused, visible);
        torch::jit::Module module("masked");
        module.define(R"(
          def fused(self, q, k, mask):
              return torch.scaled_dot_product_attention(q, k, k, mask)
          def plain(self, q, k, mask):
              scores = torch.matmul(q, k.transpose(-2, -1)).masked_fill(mask.logical_not(), float("-inf"))
              return torch.matmul(torch.softmax(scores, -1), k)
        )");
        gaze::Options options = hooks_test::options({"*"});
        options.profile_in_code->geometry = gaze::Geometry{.rows = 3, .cols = 5};
        const at::Tensor mask = (at::arange(20) < visible).view({1, 1, 1, 20});
        const auto calls = [&](gaze::Request&) {
          module.get_method(fused ? "fused" : "plain")(
              {at::randn({1, 2, 1, 8}).to(device), at::randn({1, 2, 20, 8}).to(device), mask.to(device)});
        };
        const auto record = hooks_test::captured(module, options, calls, {{.image = photo()}}).only();
        std::string refused;
        try {
          (void)gaze::compose(record);
        } catch (const gaze::Error& error) {
          refused = gaze::name(error.reason());
        }
        CATCH_CHECK(refused == (visible == 15 ? "" : "grid_mismatch"));
      }
    }
  }
}

CATCH_TEST_CASE("device: prompt ids say where the picture is, by one copy of their bytes") {
  const auto record_on = [](at::Device device) {
    torch::jit::Module module = torch::jit::load(sample("../early_fusion/early_fusion_sdpa.pt"), device);
    gaze::Options options = hooks_test::options();
    options.profile = sample("../early_fusion/profile.json");
    Inputs in(device);
    in.prompt_bt = at::cat({at::full({1, 60}, 32, in.prompt_bt.options()), in.prompt_bt}, 1);
    return hooks_test::captured(module, options, [&](gaze::Request&) { (void)generate(module, in); }).only();
  };
  for (const at::Device device : gaze::test::devices()) {
    const gaze::ops::Traffic before = gaze::ops::transferred().back(gaze::ops::Cargo::Figures);
    const gaze::AttentionRecord there = record_on(device);
    const gaze::ops::Traffic after = gaze::ops::transferred().back(gaze::ops::Cargo::Figures);
    const int64_t crosses = device.is_cpu() ? 0 : 1;
    CATCH_REQUIRE(there.error == "");
    CATCH_CHECK(after.calls - before.calls == crosses);
    CATCH_CHECK(after.bytes - before.bytes == crosses * 65 * 8);
    CATCH_CHECK(at::allclose(there.maps[0].map_tk.cpu(), record_on(at::kCPU).maps[0].map_tk, 1e-3, 1e-5));
  }
}

CATCH_TEST_CASE("device: memory that cannot be had ends the capture and not the answer") {
  for (const at::Device device : gaze::test::devices()) {
    if (device.is_cpu()) {
      CATCH_WARN("gaze-skip: the processor would promise any amount");
      continue;
    }
    torch::jit::Module plain = torch::jit::load(sample("stickers_sdpa.pt"), device);
    torch::jit::Module tapped = torch::jit::load(sample("stickers_sdpa.pt"), device);
    auto sink = std::make_shared<MemorySink>();
    gaze::Options options = sample_options(sink);
    options.max_tokens = int64_t{1} << 36;
    gaze::Gaze gaze = gaze::attach(tapped, options);
    const Inputs in(device);
    gaze::Request request = gaze.begin();
    const at::Tensor got = generate(tapped, in);
    request.finish();
    CATCH_CHECK(same_bytes(got, generate(plain, in)));
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->records().size() == 1);
    CATCH_CHECK(sink->records()[0].error_reason == gaze::DropReason::CudaOom);
  }
}

CATCH_TEST_CASE("device: maps come back to the byte, and nothing else does") {
  for (const at::Device device : gaze::test::devices()) {
    const std::filesystem::path out =
        std::filesystem::temp_directory_path() / ("gaze-device-" + std::to_string(getpid()));
    torch::jit::Module module = torch::jit::load(sample("stickers_sdpa.pt"), device);
    gaze::Options options = sample_options(nullptr);
    options.out_dir = out.string();
    options.delivery = gaze::Delivery::Map;
    gaze::Gaze gaze = gaze::attach(module, options);
    const Inputs in(device);
    const gaze::ops::Transferred before = gaze::ops::transferred();
    gaze::RequestSpec spec;
    spec.image = photo();
    gaze::Request request = gaze.begin(std::move(spec));
    generate(module, in);
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().written == 1);
    const gaze::ops::Transferred after = gaze::ops::transferred();
    const auto moved = [&](gaze::ops::Cargo cargo) { return after.back(cargo).bytes - before.back(cargo).bytes; };
    const int64_t tokens = 6, crosses = device.is_cpu() ? 0 : 1;
    CATCH_CHECK(moved(gaze::ops::Cargo::Map) == crosses * tokens * 60 * 4);
    CATCH_CHECK(moved(gaze::ops::Cargo::Frame) == 0);
    std::filesystem::remove_all(out);
  }
}

#ifdef GAZE_HAS_CUDA
CATCH_TEST_CASE("device: a host's CUDA graph is recorded and replayed as if there were no taps") {
  for (const at::Device device : gaze::test::devices()) {
    if (device.is_cpu()) {
      CATCH_WARN("gaze-skip: needs a CUDA device");
      continue;
    }
    torch::jit::Module plain = torch::jit::load(sample("stickers_sdpa.pt"), device);
    torch::jit::Module module = torch::jit::load(sample("stickers_sdpa.pt"), device);
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, sample_options(sink));
    const Inputs in(device);
    const at::NoGradGuard no_grad;
    const auto stream = c10::cuda::getStreamFromPool();
    const c10::StreamGuard guard(stream);
    const std::vector<c10::IValue> arguments = {in.image_bchw, in.prompt_bt};
    const at::Tensor expected = plain.get_method("forward")(arguments).toTensor().cpu();
    // Until the profiling executor has settled and the allocator holds what a call needs.
    for (int warm = 0; warm < 4; ++warm) module.get_method("forward")(arguments).toTensor().cpu();
    CATCH_REQUIRE(gaze.flush());
    const size_t before = sink->records().size();

    at::Tensor out;
    const auto record = [&](const std::function<void()>& call) -> cudaGraph_t {
      cudaGraph_t graph = nullptr;
      if (cudaStreamBeginCapture(stream.stream(), cudaStreamCaptureModeGlobal) != cudaSuccess) return nullptr;
      bool whole = true;
      try {
        call();
      } catch (const std::exception&) {
        whole = false;
      }
      whole = cudaStreamEndCapture(stream.stream(), &graph) == cudaSuccess && whole;
      if (!whole) (void)cudaGetLastError();
      return whole ? graph : nullptr;
    };
    const cudaGraph_t bare = record([&] { plain.get_method("forward")(arguments); });
    if (bare == nullptr) {
      CATCH_WARN("gaze-skip: cuda: this model cannot be recorded, with or without taps");
      continue;
    }
    cudaGraphDestroy(bare);
    const cudaGraph_t graph = record([&] {
      gaze::Request request = gaze.begin();
      out = module.get_method("forward")(arguments).toTensor();
      request.finish();
    });
    CATCH_REQUIRE(graph != nullptr);
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->records().size() == before + 1);
    CATCH_CHECK(sink->records().back().error_reason == gaze::DropReason::StreamCapturing);

    cudaGraphExec_t runnable = nullptr;
    CATCH_REQUIRE(cudaGraphInstantiate(&runnable, graph, 0) == cudaSuccess);
    out.zero_();
    CATCH_REQUIRE(cudaGraphLaunch(runnable, stream.stream()) == cudaSuccess);
    CATCH_CHECK(same_bytes(out.cpu(), expected));
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(graph);

    // While the worker reads a record, which it does in calls that a recording forbids other threads.
    struct Reader : gaze::Sink {
      void consume(const gaze::AttentionRecord& record) override {
        while (!done.load()) {
          record.maps[0].map_tk.add(1).cpu();
          reads.fetch_add(1);
        }
      }
      std::atomic<int> reads{0};
      std::atomic<bool> done{false};
    };
    auto reader = std::make_shared<Reader>();
    torch::jit::Module read = torch::jit::load(sample("stickers_sdpa.pt"), device);
    gaze::Gaze reading = gaze::attach(read, sample_options(reader));
    gaze::Request long_read = reading.begin();
    read.get_method("forward")(arguments);
    long_read.finish();
    while (reader->reads.load() == 0) std::this_thread::yield();
    const int before_recording = reader->reads.load();
    const cudaGraph_t beside = record([&] {
      plain.get_method("forward")(arguments);
      while (reader->reads.load() < before_recording + 3) std::this_thread::yield();
    });
    reader->done.store(true);
    CATCH_CHECK(beside != nullptr);
    if (beside != nullptr) cudaGraphDestroy(beside);

    // Outside of a graph capture goes on.
    gaze::Request next = gaze.begin();
    module.get_method("forward")(arguments);
    next.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(sink->records().back().error == "");
  }
}

CATCH_TEST_CASE("device: steps that a CUDA graph replays make the map of the same steps called one by one") {
  for (const at::Device device : gaze::test::devices()) {
    if (device.is_cpu()) {
      CATCH_WARN("gaze-skip: needs a CUDA device");
      continue;
    }
    torch::jit::Module module("replayed");
    module.register_parameter("weight", at::ones({1}, device), false);
    module.define(R"(
      def forward(self, q, k):
          a = torch.scaled_dot_product_attention(q, k, k)
          w = torch.softmax(torch.matmul(a, k.transpose(-2, -1)), -1)
          return torch.matmul(w, k)
    )");
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
    const at::NoGradGuard no_grad;
    const auto stream = c10::cuda::getStreamFromPool();
    const c10::StreamGuard guard(stream);
    constexpr int64_t kRows = 2, kTokens = 6;
    const auto generator = at::detail::createCPUGenerator(3);
    const at::Tensor q_tbhqd = at::randn({kTokens, kRows, 4, 1, 64}, generator).to(device),
                     k = at::randn({kRows, 4, 577, 64}, generator).to(device), q = q_tbhqd[0].clone();
    const std::vector<c10::IValue> inputs = {q, k};
    gaze::Request called = gaze.begin(std::vector<gaze::RequestSpec>(kRows));
    for (int64_t t = 0; t < kTokens; ++t) module.forward({q_tbhqd[t], k});
    called.finish();
    for (int warm = 0; warm < 4; ++warm) module.forward(inputs);
    stream.synchronize();
    // Held until the end, as a host's memory of a graph is.
    at::Tensor out;
    cudaGraph_t graph = nullptr;
    CATCH_REQUIRE(cudaStreamBeginCapture(stream.stream(), cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    out = module.forward(inputs).toTensor();
    CATCH_REQUIRE(cudaStreamEndCapture(stream.stream(), &graph) == cudaSuccess);
    cudaGraphExec_t runnable = nullptr;
    CATCH_REQUIRE(cudaGraphInstantiate(&runnable, graph, 0) == cudaSuccess);
    cudaGraphDestroy(graph);
    for (const int64_t by_call : {0, 1}) {
      gaze::Request replayed = gaze.begin(std::vector<gaze::RequestSpec>(kRows));
      for (int64_t t = 0; t < kTokens; ++t) {
        if (t < by_call) {
          module.forward({q_tbhqd[t], k});
        } else {
          q.copy_(q_tbhqd[t]);
          CATCH_REQUIRE(cudaGraphLaunch(runnable, stream.stream()) == cudaSuccess);
        }
      }
      replayed.finish();
    }
    CATCH_REQUIRE(gaze.flush());
    stream.synchronize();
    cudaGraphExecDestroy(runnable);
    std::vector<gaze::AttentionRecord> records;
    for (const gaze::AttentionRecord& record : sink->records()) {
      if (record.rows && record.rows->tokens == kTokens) records.push_back(record);
    }
    CATCH_REQUIRE(records.size() == 3 * kRows);
    for (size_t i = kRows; i < records.size(); ++i) {
      CATCH_CAPTURE(i);
      const gaze::MediumMap &got = records[i].maps[0], &want = records[i % kRows].maps[0];
      CATCH_CHECK(records[i].error == "");
      CATCH_CHECK(at::allclose(got.map_tk.cpu(), want.map_tk.cpu(), 1e-4, 1e-6));
      CATCH_CHECK(at::allclose(got.mass_t.cpu(), want.mass_t.cpu(), 1e-5, 1e-6));
    }
  }
}

CATCH_TEST_CASE("device: layers on two devices make one map") {
  for (const at::Device device : gaze::test::devices()) {
    if (device.is_cpu()) {
      CATCH_WARN("gaze-skip: needs a CUDA device");
      continue;
    }
    int count = 0;
    (void)cudaGetDeviceCount(&count);
    if (count < 2) {
      CATCH_WARN("gaze-skip: cuda: expected two devices, found " << count);
      continue;
    }
    torch::jit::Module module("two");
    module.define(R"(
      def forward(self, q, k):
          a = torch.scaled_dot_product_attention(q, k, k)
          return torch.scaled_dot_product_attention(a.to("cuda:1"), k.to("cuda:1"), k.to("cuda:1"))
    )");
    const at::NoGradGuard no_grad;
    const at::Tensor q = at::randn({1, 2, 1, 8}).to(at::Device(at::kCUDA, 0)),
                     k = at::randn({1, 2, 9, 8}).to(q.device());
    const auto record = hooks_test::captured(module, hooks_test::options(), [&](gaze::Request&) {
                          module.forward({q, k});
                        }).only();
    CATCH_CHECK(record.error == "");
    CATCH_CHECK(at::allclose(record.maps[0].map_tk.sum().cpu(), at::ones({})));
  }
}
#endif

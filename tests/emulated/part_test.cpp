// SPDX-License-Identifier: MIT
// The CUDA part as the core loads it, over emulated kernels: what callers that share a stream do to each other, what is
// taken for a recording, and how Gaze's worker stands to those of others.
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/device.hpp>
#include <gaze/ops/reduce.hpp>

#include <cstring>
#include <set>
#include <thread>

#include "device/frame_ring.hpp"
#include "emulated_part.hpp"
#include "hooks/hooks_test.hpp"
#include "render/fake_device.hpp"
#include "scratch.hpp"
#include "support/media.hpp"

using gaze::ops::Accumulator;
namespace fake = gaze::test::fake;

namespace {

at::Tensor down(const at::Tensor& there) {
  fake::run_all();
  return there.cpu();
}

// ---- callers

/// One host thread's call, with an accumulator of its own where the op has one.
struct Caller {
  Caller(const std::string& op, int64_t keys, uint64_t seed) : op(op), keys(keys) {
    const auto generator = at::detail::createCPUGenerator(seed);
    q_bhqd = fake::upload(at::randn({1, 4, 2, 16}, generator));
    k_bhkd = fake::upload(at::randn({1, 4, keys, 16}, generator));
    attn_bhqk = fake::upload(at::softmax(at::randn({1, 4, 2, keys}, generator) * 3, -1));
    sums = gaze::ops::make_accumulator(2, keys - 1, fake::device());
  }
  void call() {
    const gaze::ops::RowRange range{0, 0, 2, 1, 0};
    const gaze::ops::ReduceOptions by{.heads = gaze::ops::HeadReduce::Weighted};
    const gaze::ops::Scores scores{q_bhqd, k_bhkd, std::nullopt, false};
    if (op == "reduce") gaze::ops::reduce(attn_bhqk, range, by, sums);
    if (op == "attend_reduce") gaze::ops::attend_reduce(scores, range, by, sums);
    if (op == "attend_reduce of several")
      gaze::ops::attend_reduce(std::vector<gaze::ops::AttendCall>(3, {scores, range}), by, &sums);
    if (op == "attend") out = gaze::ops::attend(scores, {0, 0, 2});
  }
  [[nodiscard]] at::Tensor result() const { return down(op == "attend" ? out : sums.map_tc); }

  std::string op;
  int64_t keys;
  at::Tensor q_bhqd, k_bhkd, attn_bhqk, out;
  Accumulator sums;
};

const std::vector<std::string> kOps = {"reduce", "attend_reduce", "attend_reduce of several", "attend"};

}  // namespace

CATCH_TEST_CASE("callers of one stream whose launches interleave get what each gets alone") {
  emulated_part().launch = &fake::launch;
  const auto alone = [](const std::string& op, int64_t keys, uint64_t seed) {
    Caller caller(op, keys, seed);
    caller.call();
    return caller.result();
  };
  for (const std::string& op : kOps) {
    for (const std::string& other : kOps) {
      // Shorter, and so long that memory for it is not there yet.
      for (const int64_t keys : {40, 400}) {
        const at::Tensor want = alone(op, 90, 1), want_other = alone(other, keys, 2);
        for (int at = 2; at <= 3; ++at) {
          CATCH_CAPTURE(op, other, keys, at);
          Caller first(op, 90, 1), second(other, keys, 2);
          int launch = 0;
          bool ran = false;
          emulated_part().launch = [&](const emulated::Runtime::Work& work) {
            if (!ran && ++launch == at) {
              ran = true;
              second.call();
            }
            fake::launch(work);
          };
          first.call();
          emulated_part().launch = &fake::launch;
          CATCH_CHECK(hooks_test::same_bytes(first.result(), want));
          if (ran) CATCH_CHECK(hooks_test::same_bytes(second.result(), want_other));
          if (at == 2 && op != "attend" && op != "reduce") CATCH_CHECK(ran);  // these are one launch
        }
      }
    }
  }
}

CATCH_TEST_CASE("scratch memory is one call's, comes back in the order of its stream, and is bounded") {
  using gaze::ops::Scratch;
  const auto stream = [](c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, fake::device(), id); };
  constexpr int64_t kMega = int64_t{1} << 20, kKept = int64_t{Scratch::kKeptBytes};
  const int64_t before = fake::log().live_bytes;
  {
    const Scratch none(stream(1), 0);
    CATCH_CHECK(none.data() == nullptr);
  }
  void* first = nullptr;
  {
    const Scratch one(stream(1), kMega), two(stream(1), kMega), other(stream(2), kMega);
    CATCH_CHECK(std::set<void*>{one.data(), two.data(), other.data()}.size() == 3);
    first = one.data();
  }
  const int64_t allocated = fake::log().allocations;
  {
    // As many at once as before, no larger: nothing is allocated.
    const Scratch one(stream(1), kMega), two(stream(1), kMega / 2), other(stream(2), 1);
    CATCH_CHECK(std::set<void*>{one.data(), two.data(), other.data(), first}.size() == 3);
  }
  CATCH_CHECK(fake::log().allocations == allocated);
  {
    // A graph's is nobody else's: neither taken from what is kept, nor kept.
    void* graphs = nullptr;
    {
      const Scratch graph(stream(1), kMega, Scratch::Use::Graph);
      graphs = graph.data();
      CATCH_CHECK(graphs != first);
    }
    CATCH_CHECK(fake::log().allocations == allocated + 1);
    const Scratch one(stream(1), kMega), two(stream(1), kMega);
    CATCH_CHECK(std::set<void*>{one.data(), two.data(), graphs}.size() == 3);
    CATCH_CHECK(fake::log().allocations == allocated + 1);
  }
  {
    const Scratch third_stream(stream(3), kMega);
    CATCH_CHECK(fake::log().allocations == allocated + 2);
  }
  {
    const Scratch large(stream(1), Scratch::kKeptBytes + 1);
    CATCH_CHECK(fake::log().live_bytes >= before + 4 * kMega + kKept + 1);
  }
  CATCH_CHECK(fake::log().live_bytes == before + 4 * kMega);
  for (c10::StreamId id = 10; id < 100; ++id) {
    const Scratch scratch(stream(id), kMega);
    CATCH_CHECK(scratch.data() != nullptr);
  }
  CATCH_CHECK(fake::log().live_bytes == before + kKept);
}

CATCH_TEST_CASE("a stream of Gaze's own is none of the pools that torch hands out, and the ring of frames has one") {
  emulated_part();
  std::set<c10::StreamId> own;
  for (const c10::DeviceIndex index : {0, 1}) {
    const c10::Stream stream = gaze::ops::own_stream(fake::device(index));
    CATCH_CHECK(stream.device() == fake::device(index));
    own.insert(stream.id());
    const auto ring = gaze::FrameRing::of(fake::device(index));
    CATCH_REQUIRE(ring->stream());
    own.insert(ring->stream()->id());
  }
  CATCH_CHECK(own.size() == 4);
  CATCH_CHECK(*own.begin() > 1000);
}

CATCH_TEST_CASE("only a stream that records is taken for one that does, and an error of the host's stays") {
  emulated::Runtime& cuda = emulated_part();
  const auto asked = [&](cudaError_t answer, cudaStreamCaptureStatus status, cudaError_t earlier = cudaSuccess) {
    cuda.capture_error = answer;
    cuda.capture_status = status;
    cuda.last_error = earlier;
    return gaze::ops::capturing(fake::device());
  };
  CATCH_CHECK_FALSE(asked(cudaSuccess, cudaStreamCaptureStatusNone));
  CATCH_CHECK(asked(cudaSuccess, cudaStreamCaptureStatusActive));
  // The default stream, while one that waits for it records: our question leaves no error behind.
  CATCH_CHECK(asked(cudaErrorStreamCaptureImplicit, cudaStreamCaptureStatusNone));
  CATCH_CHECK(cuda.last_error == cudaSuccess);
  CATCH_CHECK(asked(cudaErrorStreamCaptureImplicit, cudaStreamCaptureStatusNone, cudaErrorMemoryAllocation));
  CATCH_CHECK(cuda.last_error != cudaSuccess);
  // A kernel of the host's failed earlier.
  CATCH_CHECK_FALSE(asked(cudaErrorLaunchFailure, cudaStreamCaptureStatusNone));
  CATCH_CHECK(cuda.last_error == cudaErrorLaunchFailure);
  CATCH_CHECK_FALSE(asked(cudaSuccess, cudaStreamCaptureStatusNone, cudaErrorMemoryAllocation));
  CATCH_CHECK(cuda.last_error == cudaErrorMemoryAllocation);
  asked(cudaSuccess, cudaStreamCaptureStatusNone);
}

CATCH_TEST_CASE("the worker reads records of a GPU in relaxed capture mode, which it takes once, on the record's GPU") {
  struct Sink : gaze::Sink {
    void consume(const gaze::AttentionRecord& record) override {
      at_consume.push_back(emulated_part().exchanges);
      thread = std::this_thread::get_id();
      device = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getDevice().index();
      on_gpu = picture_of(record).tensor.is_cuda();
    }
    std::vector<std::vector<emulated::Runtime::Exchange>> at_consume;
    std::thread::id thread;
    c10::DeviceIndex device = -1;
    bool on_gpu = false;
  };
  fake::device();
  auto sink = std::make_shared<Sink>();
  torch::jit::Module module("fused");
  module.define("def forward(self, q, k):\n    return torch.scaled_dot_product_attention(q, k, k)\n");
  // The part is not loaded yet, as in a host that attaches before its model meets a GPU.
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  for (int request = 0; request < 3; ++request) {
    gaze::RequestSpec spec;
    if (request > 0) spec.image = at::zeros({4, 4, 3}, at::TensorOptions(at::kByte).device(fake::device(1)));
    gaze::Request open = gaze.begin(std::move(spec));
    module.forward({at::ones({1, 1, 1, 4}), at::ones({1, 1, 3, 4})});
    open.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->at_consume.size() == static_cast<size_t>(request) + 1);
    CATCH_CHECK(sink->on_gpu == (request > 0));
    CATCH_CHECK(sink->device == 0);
    const auto& exchanges = sink->at_consume.back();
    CATCH_REQUIRE(exchanges.size() == (request > 0 ? 1U : 0U));
    if (request == 0) continue;
    CATCH_CHECK(exchanges[0].thread == sink->thread);
    CATCH_CHECK(exchanges[0].device == 1);
    CATCH_CHECK(exchanges[0].mode == cudaStreamCaptureModeRelaxed);
  }
}

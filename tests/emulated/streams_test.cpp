// SPDX-License-Identifier: MIT
// One request on several streams of an asynchronous device: called on one, finished, reordered or gone on with on
// another, whichever is slow. The maps are those of the processor, and the host waits for nothing.
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <optional>

#include "emulated_part.hpp"
#include "hooks/hooks_test.hpp"
#include "render/fake_device.hpp"
#include "small_models.hpp"

using hooks_test::MemorySink;
namespace fake = gaze::test::fake;

namespace {

/// A way in which a request holds memory between calls.
struct Form {
  const char* name;
  const char* code;     ///< defines forward(q, k)
  const char* profile;  ///< without its version
  int64_t deferred = 0;
  int64_t prompt = 1;  ///< queries of the first call
  bool grows = false;  ///< one key more for each token
};

const char* const kFused = R"JIT(
def forward(self, q, k):
    return torch.scaled_dot_product_attention(q, k, k)
)JIT";

// Latents between the picture's keys and the answer's, in modules of their own.
const char* const kAttention = R"JIT(
def forward(self, q, k):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
)JIT";
const char* const kThrough = R"JIT(
def forward(self, q, k):
    return self.decoder.forward(q, self.resampler.forward(k.narrow(2, 1, 4) * 2, k))
)JIT";

const char* const kMean = R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"})";
const char* const kWeighted = R"("sites": {"match": ["*"]}, "heads": {"reduce": "weighted"})";

const std::vector<Form> kForms = {
    {"weights and fused, live", kWeightsThenFused, kMean},
    {"weighted heads", kWeightsThenFused, kWeighted},
    {"waiting queries over one memory", kFused, kMean, 8},
    {"waiting queries over keys that grow", kFused, kMean, 8, 1, true},
    {"waiting queries, a full pass on the way", kFused, kMean, 2, 1, true},
    {"rollout", kSelfAttention,
     R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"}, "layers": {"reduce": "rollout"})", 0, 6, true},
    {"through latents", kThrough,
     R"("heads": {"reduce": "mean"}, "sites": {"match": ["decoder"]}, "through": {"match": ["resampler"]},
        "geometry": {"rows": 3, "cols": 2})"},
};

constexpr int64_t kKeys = 6, kTokens = 4;

/// Which of two streams does what; the same one on the processor.
struct Plan {
  const char* name;
  std::vector<int> calls;  ///< of each token
  int between;             ///< the request's call in the middle
  int finish;
};
const std::vector<Plan> kPlans = {
    {"all on one", {0, 0, 0, 0}, 0, 0},           {"finished elsewhere", {0, 0, 0, 0}, 0, 1},
    {"moves once", {0, 0, 1, 1}, 1, 1},           {"moves once, finished where it began", {0, 0, 1, 1}, 1, 0},
    {"moves at every token", {0, 1, 0, 1}, 1, 0}, {"the middle call elsewhere", {1, 1, 1, 1}, 0, 1},
};

enum class Middle { Nothing, Reorder, Window };

/// One request of two rows. Without `streams` on the processor.
std::vector<gaze::AttentionRecord> captured(const Form& form, const Plan& plan, Middle middle,
                                            const std::vector<c10::Stream>& streams,
                                            const std::function<void()>& before_finish = nullptr) {
  torch::jit::Module module("streams");
  for (const char* name : {"resampler", "decoder"}) {
    if (form.code != kThrough) break;
    torch::jit::Module part(name);
    part.define(kAttention);
    module.register_module(name, part);
  }
  module.define(form.code);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile_in_code = gaze::parse_profile(std::string(R"({"gaze_profile": 1, )") + form.profile + "}");
  options.deferred_tokens = form.deferred;
  gaze::Gaze gaze = gaze::attach(module, options);
  const auto on = [&](int stream, const std::function<void()>& call) {
    std::optional<c10::Stream> there;
    if (!streams.empty()) there = streams[static_cast<size_t>(stream)];
    const c10::OptionalStreamGuard guard(there);
    call();
  };
  const at::Tensor fixed_k = noise({2, 2, kKeys, 8}, 5);
  at::Tensor memory_k;  // the host's for the whole request, unless it grows
  const at::NoGradGuard no_grad;
  std::optional<gaze::Request> request;
  on(plan.calls[0], [&] { request = gaze.begin(std::vector<gaze::RequestSpec>(2)); });
  for (int64_t token = 0; token < kTokens; ++token) {
    on(plan.calls[static_cast<size_t>(token)], [&] {
      const auto there = [&](const at::Tensor& x) { return streams.empty() ? x : fake::upload(x); };
      const int64_t queries = token == 0 ? form.prompt : 1;
      at::Tensor k = at::cat({fixed_k, noise({2, 2, form.grows ? token : 0, 8}, 6)}, 2);
      if (form.grows) {
        k = there(k);
      } else {
        if (!memory_k.defined()) memory_k = there(k);
        fake::run_all();  // ready before the host calls its model, on any stream
        k = memory_k;
      }
      module.forward({there(noise({2, 2, queries, 8}, 10 + static_cast<uint64_t>(token))), k});
    });
    if (token == kTokens / 2 - 1) {
      on(plan.between, [&] {
        if (middle == Middle::Reorder) request->reorder({1, 1});
        if (middle == Middle::Window) request->window(0.5);
      });
    }
  }
  if (before_finish) before_finish();
  on(plan.finish, [&] { request->finish(); });
  CATCH_REQUIRE(gaze.flush());
  std::vector<gaze::AttentionRecord> records = sink->records();
  for (gaze::AttentionRecord& record : records) {
    if (!record.maps[0].map_tk.defined()) continue;
    on(plan.finish, [&] {
      const at::Device device = record.device();
      if (record.ready) record.ready->block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
      for (at::Tensor* each :
           {&record.maps[0].map_tk, &record.maps[0].mass_t, &record.maps[0].visible_t, &record.maps[0].flags_t})
        *each = each->cpu();
    });
  }
  return records;
}

std::vector<c10::Stream> two_streams() {
  emulated_part().launch = &fake::launch;
  const at::Device device = fake::device();
  return {c10::impl::VirtualGuardImpl(device.type()).getDefaultStream(device), fake::new_stream()};
}

void check_same(const std::vector<gaze::AttentionRecord>& got, const std::vector<gaze::AttentionRecord>& want) {
  CATCH_REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CATCH_CAPTURE(i);
    CATCH_REQUIRE(want[i].error == "");
    CATCH_REQUIRE(got[i].error == "");
    CATCH_REQUIRE(got[i].maps[0].map_tk.sizes() == want[i].maps[0].map_tk.sizes());
    CATCH_CHECK(at::allclose(got[i].maps[0].map_tk, want[i].maps[0].map_tk, 1e-4, 1e-6));
    CATCH_CHECK(at::allclose(got[i].maps[0].mass_t, want[i].maps[0].mass_t, 1e-5, 1e-6));
    CATCH_CHECK(at::equal(got[i].maps[0].visible_t, want[i].maps[0].visible_t));
    CATCH_CHECK(at::equal(got[i].maps[0].flags_t, want[i].maps[0].flags_t));
  }
}

}  // namespace

CATCH_TEST_CASE("streams: a request's maps are the processor's, on whichever streams it is called and finished") {
  for (const Form& form : kForms) {
    for (const Middle middle : {Middle::Nothing, Middle::Reorder, Middle::Window}) {
      const auto wanted = captured(form, kPlans[0], middle, {});
      for (const Plan& plan : kPlans) {
        for (const size_t slow : {0, 1}) {
          CATCH_CAPTURE(form.name, static_cast<int>(middle), plan.name, slow);
          const std::vector<c10::Stream> streams = two_streams();
          fake::make_slowest(streams[slow].id());
          check_same(captured(form, plan, middle, streams), wanted);
        }
      }
    }
  }
  fake::make_slowest(0);
}

CATCH_TEST_CASE("streams: the host waits for none, and one stream alone costs no call of the allocator") {
  for (const Form& form : kForms) {
    for (const Plan& plan : kPlans) {
      CATCH_CAPTURE(form.name, plan.name);
      const std::vector<c10::Stream> streams = two_streams();
      const bool one =
          std::all_of(plan.calls.begin(), plan.calls.end(), [&](int stream) { return stream == plan.finish; });
      const fake::Log before = fake::log();
      const auto records = captured(form, plan, Middle::Nothing, streams);
      // Four tensors of each record are read by the test.
      CATCH_CHECK(fake::log().synchronous - before.synchronous == 4 * static_cast<int64_t>(records.size()));
      // The worker divides the sums of a record on a stream of its own, but for those that went through latents.
      const int64_t by_worker = form.code == kThrough ? 0 : static_cast<int64_t>(records.size());
      CATCH_CHECK((fake::log().record_streams - before.record_streams == by_worker) == one);
    }
  }
}

CATCH_TEST_CASE(
    "streams: of one that records by the time a request ends the capture ends, and it records nothing of it") {
  emulated::Runtime& cuda = emulated_part();
  for (const Form& form : kForms) {
    for (const int called : {0, 1}) {
      CATCH_CAPTURE(form.name, called);
      const std::vector<c10::Stream> streams = two_streams();
      // Where the calls were, or where the request is finished.
      const Plan plan{"", {called, called, called, called}, called, 1 - called};
      int64_t launches = 0;
      fake::Log before;
      const auto records = captured(form, plan, Middle::Nothing, streams, [&] {
        fake::run_all();
        cuda.recording = reinterpret_cast<cudaStream_t>(streams[1].id());
        cuda.launch = [&](const emulated::Runtime::Work&) { ++launches; };
        before = fake::log();
      });
      cuda.recording = nullptr;
      CATCH_REQUIRE(records.size() == 2);
      for (const auto& record : records) CATCH_CHECK(record.error_reason == gaze::DropReason::StreamCapturing);
      CATCH_CHECK(launches == 0);
      CATCH_CHECK(fake::log().allocations == before.allocations);
    }
  }
}

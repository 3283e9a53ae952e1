// SPDX-License-Identifier: MIT
// What a decode step launches, whatever the layers and the batch, and when layers may wait for each other.
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "emulated_part.hpp"
#include "hooks/hooks_test.hpp"
#include "render/fake_device.hpp"
#include "small_models.hpp"

using hooks_test::MemorySink;
namespace fake = gaze::test::fake;

namespace {

constexpr int64_t kLayers = 4, kRows = 3, kTokens = 5;
/// Scores of a tile of keys, the heads' softmax, the sum over heads and layers.
constexpr int64_t kPass = 3;

const char* const kSmall = R"("sites": {"match": ["*"]}, "heads": {"reduce": "weighted"})";

struct Kind {
  const char* name;
  std::string code;      ///< of forward(q, k)
  bool together = true;  ///< whether the layers of a step may wait for its end
  const char* profile = kSmall;
};

/// Layers with keys of their own, and what follows them.
std::string layers(const char* end) {
  std::string code = "def forward(self, q, k):\n    x = q\n";
  for (int64_t n = 0; n < kLayers; ++n) {
    const std::string keys = "k" + std::to_string(n);
    code += "    " + keys + " = k * " + std::to_string(n + 1) + ".0\n";
    code += "    x = x + torch.scaled_dot_product_attention(x, " + keys + ", " + keys + ")\n";
  }
  return code + end + "    return x\n";
}

const std::vector<Kind> kKinds = {
    {"keys that stay", layers("")},
    {"keys that are written over before the step ends",
     layers("    k0.zero_()\n    k1.zero_()\n    k2.zero_()\n    k3.zero_()\n    x = x + k0.sum() + k1.sum() + "
            "k2.sum() + k3.sum()\n"),
     false},
    {"caches in lists", R"JIT(
def forward(self, q, k):
    past_k: List[Tensor] = [k, k * 2.0, k * 3.0, k * 4.0]
    all_k: List[Tensor] = []
    x = q
    k0 = past_k[0] * 1.0
    x = x + torch.scaled_dot_product_attention(x, k0, k0)
    all_k.append(k0)
    k1 = past_k[1] * 1.0
    x = x + torch.scaled_dot_product_attention(x, k1, k1)
    all_k.append(k1)
    k2 = past_k[2] * 1.0
    x = x + torch.scaled_dot_product_attention(x, k2, k2)
    all_k.append(k2)
    k3 = past_k[3] * 1.0
    x = x + torch.scaled_dot_product_attention(x, k3, k3)
    all_k.append(k3)
    return x + all_k[0].sum() + all_k[3].sum()
)JIT"},
    {"the last layer alone", layers(""), true,
     R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"}, "layers": {"reduce": "last"})"},
    {"one layer in a loop", R"JIT(
def forward(self, q, k):
    x = q
    for i in range(4):
        x = x + torch.scaled_dot_product_attention(x, k, k)
    return x
)JIT",
     false, R"("sites": {"match": ["*"]}, "rows": {"calls_per_token": 4})"},
};

struct Outcome {
  std::vector<gaze::AttentionRecord> records;
  std::vector<int64_t> launches_t;  ///< within each call of the model
};

/// One answer; with `request` the host opens it, else its calls make it.
Outcome answer(const Kind& kind, bool on_device, bool request, int64_t deferred) {
  torch::jit::Module module("steps");
  module.define(kind.code);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile_in_code = gaze::parse_profile(std::string(R"({"gaze_profile": 1, )") + kind.profile + "}");
  options.deferred_tokens = deferred;
  gaze::Gaze gaze = gaze::attach(module, options);
  Outcome outcome;
  int64_t launches = 0;
  if (on_device) {
    emulated_part().launch = [&](const emulated::Runtime::Work& work) {
      ++launches;
      fake::launch(work);
    };
  }
  const auto there = [&](const at::Tensor& x) { return on_device ? fake::upload(x) : x; };
  const at::NoGradGuard no_grad;
  std::optional<gaze::Request> opened;
  if (request) opened = gaze.begin(std::vector<gaze::RequestSpec>(kRows));
  const at::Tensor all_k = noise({kRows, 2, 6 + kTokens, 8}, 5);
  for (int64_t token = 0; token < kTokens; ++token) {
    const at::Tensor k = all_k.narrow(2, 0, 6 + token).contiguous();
    const at::Tensor q = noise({kRows, 2, 1, 8}, 10 + static_cast<uint64_t>(token));
    const int64_t before = launches;
    module.forward({there(q), there(k)});
    outcome.launches_t.push_back(launches - before);
  }
  if (opened) opened->finish();
  CATCH_REQUIRE(gaze.flush());  // on a busy machine shutdown's time is short
  gaze.shutdown();
  outcome.records = sink->records();
  for (gaze::AttentionRecord& record : outcome.records) {
    CATCH_REQUIRE(record.error == "");
    gaze::MediumMap& map = record.maps[0];
    const at::Device device = record.device();
    if (record.ready) record.ready->block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    for (at::Tensor* each : {&map.map_tk, &map.mass_t, &map.visible_t, &map.flags_t}) *each = each->cpu();
  }
  if (on_device) emulated_part().launch = &fake::launch;
  return outcome;
}

void check_same(const Outcome& got, const Outcome& want) {
  CATCH_REQUIRE(got.records.size() == want.records.size());
  for (size_t i = 0; i < got.records.size(); ++i) {
    CATCH_CAPTURE(i);
    const gaze::AttentionRecord &a = got.records[i], &b = want.records[i];
    CATCH_REQUIRE(a.error == "");
    CATCH_REQUIRE(a.maps[0].map_tk.sizes() == b.maps[0].map_tk.sizes());
    CATCH_CHECK(at::allclose(a.maps[0].map_tk, b.maps[0].map_tk, 1e-4, 1e-6));
    CATCH_CHECK(at::allclose(a.maps[0].mass_t, b.maps[0].mass_t, 1e-5, 1e-6));
    CATCH_CHECK(at::equal(a.maps[0].visible_t, b.maps[0].visible_t));
    CATCH_CHECK(at::equal(a.maps[0].flags_t, b.maps[0].flags_t));
  }
}

}  // namespace

CATCH_TEST_CASE("steps: all layers and rows of a step share three launches, unless what they look at is written over") {
  (void)fake::device();
  for (const Kind& kind : kKinds) {
    for (const bool request : {true, false}) {
      CATCH_CAPTURE(kind.name, request);
      const Outcome want = answer(kind, false, request, 0), got = answer(kind, true, request, 0);
      CATCH_REQUIRE(want.records.size() ==
                    static_cast<size_t>(request ? kRows : kRows * kTokens));  // without one each call is an answer
      check_same(got, want);
      CATCH_CHECK(got.launches_t == std::vector<int64_t>(kTokens, kPass * (kind.together ? 1 : kLayers)));
    }
  }
}

CATCH_TEST_CASE("steps: a step holds no more than 64 MiB of keys that nobody else holds") {
  (void)fake::device();
  // Of 24 MiB each: made for the call alone, or returned as a cache.
  for (const bool returned : {false, true}) {
    CATCH_CAPTURE(returned);
    torch::jit::Module module("steps");
    module.define(std::string(R"JIT(
def forward(self, q, k):
    k0 = k * 1.0
    k1 = k * 2.0
    k2 = k * 3.0
    x = q + torch.scaled_dot_product_attention(q, k0, k0)
    x = x + torch.scaled_dot_product_attention(x, k1, k1)
    x = x + torch.scaled_dot_product_attention(x, k2, k2)
)JIT") + (returned ? "    return x, k0, k1, k2\n" : "    return x\n"));
    gaze::Options options = hooks_test::options(std::make_shared<MemorySink>());
    options.profile_in_code = gaze::parse_profile(std::string(R"({"gaze_profile": 1, )") + kSmall + "}");
    options.max_tokens = 1;
    gaze::Gaze gaze = gaze::attach(module, options);
    emulated_part().records_only = true;
    const size_t before = emulated_part().launches.size();
    const at::NoGradGuard no_grad;
    const gaze::Request request = gaze.begin();
    module.forward({fake::upload(at::zeros({1, 1, 1, 64})), fake::upload(at::zeros({1, 1, 98304, 64}))});
    const auto launches = static_cast<int64_t>(emulated_part().launches.size() - before);
    emulated_part().records_only = false;
    CATCH_CHECK(launches == (returned ? kPass : 2 * kPass));
  }
}

CATCH_TEST_CASE(
    "steps: of a model on a device kernels are loaded at attach, and an answer without calls may be a replay") {
  emulated_part().loaded.clear();
  for (const bool on_device : {false, true}) {
    CATCH_CAPTURE(on_device);
    torch::jit::Module module("steps");
    const at::Tensor weight = at::ones({8});
    module.register_parameter("weight", on_device ? fake::upload(weight) : weight, false);
    module.define(R"JIT(
def forward(self, q, k):
    return torch.scaled_dot_product_attention(q, k, k) * self.weight
)JIT");
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink, {"*"}));
    CATCH_CHECK(emulated_part().loaded.empty() != on_device);
    gaze.begin().finish();
    CATCH_REQUIRE(gaze.flush());
    const std::string error = sink->records().at(0).error;
    CATCH_CHECK_THAT(error, Catch::Contains("expected at least one call of the selected sites"));
    CATCH_CHECK((error.find("CUDA graph") != std::string::npos) == on_device);
  }
}

CATCH_TEST_CASE("steps: deferred tokens of all layers and rows share three launches") {
  (void)fake::device();
  const Outcome want = answer(kKinds[0], false, true, 0), got = answer(kKinds[0], true, true, 4);
  check_same(got, want);
  // The first four wait; the fifth call finds a site full, and the last token is added at the end.
  CATCH_CHECK(got.launches_t == std::vector<int64_t>{0, 0, 0, 0, kPass});
}

// SPDX-License-Identifier: MIT
// Steps that a host records into CUDA graphs and replays: their rows are those of the same steps called one by one on
// the processor, and whatever cannot be told from replays is said.
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

struct Kind {
  const char* name;
  const char* code;  ///< of forward(q, k)
  const char* profile;
};

const char* const kFused = R"JIT(
def forward(self, q, k):
    a = k * 1.0
    b = k * 2.0
    x = torch.scaled_dot_product_attention(q, a, a)
    return torch.scaled_dot_product_attention(x, b, b)
)JIT";
// Keys that are written over before the step ends.
const char* const kInPlace = R"JIT(
def forward(self, q, k):
    a = k * 1.0
    x = torch.scaled_dot_product_attention(q, a, a)
    a.zero_()
    return x + a.sum()
)JIT";

const std::vector<Kind> kKinds = {
    {"fused layers", kFused, R"("sites": {"match": ["*"]}, "heads": {"reduce": "weighted"})"},
    {"weights, and a fused layer", kWeightsThenFused, R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"})"},
    {"keys that are written over", kInPlace, R"("sites": {"match": ["*"]}, "heads": {"reduce": "weighted"})"},
    {"the last layer alone", kWeightsThenFused,
     R"("sites": {"match": ["*"]}, "heads": {"reduce": "max"}, "layers": {"reduce": "last"})"},
    {"a picture within the keys", kFused,
     R"("sites": {"match": ["*"]}, "heads": {"reduce": "weighted"}, "geometry": {"first_key": 2, "rows": 2, "cols": 3})"},
    {"chosen heads", kFused,
     R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean", "select": [{"site": "attention0@<string>:5", "heads": [1]}, {"site": "attention1@<string>:6", "heads": [0, 1]}]})"},
};

constexpr int64_t kKeys = 9, kTokens = 5;

at::Tensor query(int64_t batch, int64_t token, uint64_t seed) {
  return noise({batch, 2, 1, 8}, seed + static_cast<uint64_t>(token));
}

/// A model, attached, on the processor or the device, with a stream that may record.
struct Host {
  Host(const Kind& kind, bool on_device, int64_t max_tokens = 256) : on_device(on_device) {
    module.define(kind.code);
    gaze::Options options = hooks_test::options(sink);
    options.profile_in_code = gaze::parse_profile(std::string(R"({"gaze_profile": 1, )") + kind.profile + "}");
    options.max_tokens = max_tokens;
    if (on_device) {
      emulated_part().launch = [this](const emulated::Runtime::Work& work) {
        ++launches;
        fake::launch(work);
      };
      guard.reset_stream(fake::new_stream());
    }
    // A parameter says where the model lies.
    module.register_parameter("weight", put(at::ones({1})), false);
    gaze = gaze::attach(module, options);
  }
  ~Host() {
    gaze.shutdown();
    emulated_part().recording = nullptr;
    if (on_device) emulated_part().launch = &fake::launch;
    fake::run_all();
  }
  [[nodiscard]] at::Tensor put(const at::Tensor& x) const { return on_device ? fake::upload(x) : x; }
  at::Tensor call(const at::Tensor& q, const at::Tensor& k) { return module.forward({q, k}).toTensor(); }

  /// Records `step`, as a host does: on the current stream, which runs nothing meanwhile.
  fake::Graph record(const std::function<void()>& step) {
    const c10::Stream stream = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(fake::device());
    fake::Graph graph;
    emulated_part().recording = reinterpret_cast<cudaStream_t>(stream.id());
    graph.begin();
    step();
    graph.end();
    emulated_part().recording = nullptr;
    return graph;
  }
  std::vector<gaze::AttentionRecord> records() {
    CATCH_REQUIRE(gaze.flush());
    std::vector<gaze::AttentionRecord> all = sink->records();
    for (gaze::AttentionRecord& record : all) {
      for (gaze::MediumMap& map : record.maps) {
        if (!map.map_tk.defined()) continue;
        if (record.ready)
          record.ready->block(c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(record.device()));
        for (at::Tensor* each : {&map.map_tk, &map.mass_t, &map.visible_t, &map.flags_t}) *each = each->cpu();
      }
    }
    return all;
  }

  bool on_device;
  torch::jit::Module module{"graphs"};
  std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze;
  int64_t launches = 0;
  const at::NoGradGuard no_grad;
  c10::OptionalStreamGuard guard;
};

/// A step on the device with fixed inputs, recorded once. `outside` of any request of the host's.
struct Recorded {
  Recorded(Host& host, int64_t batch, bool outside, int64_t keys = kKeys)
      : host(host), q(host.put(query(batch, 0, 1))), k(host.put(noise({batch, 2, keys, 8}, 5))) {
    fake::run_all();
    std::optional<gaze::Request> warm;
    if (!outside) warm = host.gaze.begin(std::vector<gaze::RequestSpec>(static_cast<size_t>(batch)));
    graph = host.record([&] { out = host.call(q, k); });
    warm.reset();
  }
  /// The next token: new values where the graph looks.
  void replay(const at::Tensor& q_now, const at::Tensor& k_now) {
    q.copy_(fake::upload(q_now), true);
    k.copy_(fake::upload(k_now), true);
    graph.replay();
  }
  Host& host;
  at::Tensor q, k, out;
  fake::Graph graph;
};

/// What the processor captures of the same tokens, called one by one.
std::vector<gaze::AttentionRecord> called(const Kind& kind, int64_t batch, int64_t tokens, uint64_t seed,
                                          int64_t max_tokens = 256) {
  Host host(kind, false, max_tokens);
  gaze::Request request = host.gaze.begin(std::vector<gaze::RequestSpec>(static_cast<size_t>(batch)));
  for (int64_t t = 0; t < tokens; ++t) host.call(query(batch, t, seed), noise({batch, 2, kKeys, 8}, seed + 500));
  request.finish();
  return host.records();
}

void check_same(const gaze::AttentionRecord& got, const gaze::AttentionRecord& want) {
  CATCH_REQUIRE(want.error == "");
  CATCH_REQUIRE(got.error == "");
  const gaze::MediumMap &a = got.maps[0], &b = want.maps[0];
  CATCH_REQUIRE(a.map_tk.sizes() == b.map_tk.sizes());
  CATCH_CHECK(at::allclose(a.map_tk, b.map_tk, 1e-4, 1e-6));
  CATCH_CHECK(at::allclose(a.mass_t, b.mass_t, 1e-5, 1e-6));
  CATCH_CHECK(at::equal(a.visible_t, b.visible_t));
  CATCH_CHECK(at::equal(a.flags_t, b.flags_t));
  CATCH_CHECK(a.geometry().first_key == b.geometry().first_key);
  CATCH_CHECK(got.keys == want.keys);
  CATCH_CHECK(got.rows->tokens == want.rows->tokens);
  CATCH_CHECK(got.tokens_dropped == want.tokens_dropped);
  CATCH_REQUIRE(got.sites.size() == want.sites.size());
  for (size_t s = 0; s < got.sites.size(); ++s) {
    CATCH_CHECK(got.sites[s].name == want.sites[s].name);
    CATCH_CHECK(got.sites[s].heads == want.sites[s].heads);
    CATCH_CHECK(got.sites[s].calls == want.sites[s].calls);
  }
}

/// One request on the device: the first `by_call` tokens called, the others replayed.
void answer(Host& host, Recorded& step, int64_t rows, int64_t by_call, int64_t tokens, uint64_t seed) {
  const int64_t batch = step.q.size(0);
  const auto filled = [&](const at::Tensor& x) {
    // The rows of a batch that nobody asked for.
    return batch == rows ? x : at::cat({x, at::full({batch - rows, x.size(1), x.size(2), x.size(3)}, 7.0)});
  };
  const at::Tensor k = noise({rows, 2, kKeys, 8}, seed + 500);
  gaze::Request request = host.gaze.begin(std::vector<gaze::RequestSpec>(static_cast<size_t>(rows)));
  for (int64_t t = 0; t < tokens; ++t) {
    if (t < by_call) {
      host.call(host.put(query(rows, t, seed)), host.put(k));
    } else {
      step.replay(filled(query(rows, t, seed)), filled(k));
    }
  }
  request.finish();
}

}  // namespace

CATCH_TEST_CASE("graphs: replayed steps are captured as if they had been called") {
  (void)fake::device();
  for (const Kind& kind : kKinds) {
    for (const bool outside : {false, true}) {
      for (const int64_t by_call : {0, 1, 3}) {
        CATCH_CAPTURE(kind.name, outside, by_call);
        Host host(kind, true);
        Recorded step(host, 3, outside);
        // One after another, the longer one first: nothing is left of it.
        answer(host, step, 3, by_call, kTokens, 100);
        answer(host, step, 3, by_call, kTokens - 1, 200);
        const std::vector<gaze::AttentionRecord> got = host.records();
        CATCH_REQUIRE(got.size() == 6);
        const auto first = called(kind, 3, kTokens, 100), second = called(kind, 3, kTokens - 1, 200);
        for (size_t b = 0; b < 3; ++b) {
          CATCH_CAPTURE(b);
          check_same(got[b], first[b]);
          check_same(got[3 + b], second[b]);
        }
      }
    }
  }
}

CATCH_TEST_CASE("graphs: a batch that is filled up to a graph's size has its own rows, and no more") {
  (void)fake::device();
  Host host(kKinds[0], true);
  Recorded step(host, 4, true);
  answer(host, step, 2, 1, kTokens, 100);
  const auto got = host.records(), want = called(kKinds[0], 2, kTokens, 100);
  CATCH_REQUIRE(got.size() == 2);
  for (size_t b = 0; b < 2; ++b) check_same(got[b], want[b]);
}

CATCH_TEST_CASE("graphs: those over different numbers of keys make one answer where the picture is the same") {
  (void)fake::device();
  const Kind& kind = kKinds[4];
  Host host(kind, true);
  Recorded shorter(host, 1, true), longer(host, 1, true, kKeys + 4);
  Host reference(kind, false);
  gaze::Request wanted = reference.gaze.begin();
  gaze::Request request = host.gaze.begin();
  for (int64_t t = 0; t < kTokens; ++t) {
    const int64_t keys = t < 3 ? kKeys : kKeys + 4;
    const at::Tensor q = query(1, t, 100), k = noise({1, 2, keys, 8}, 7);
    reference.call(q, k);
    (t < 3 ? shorter : longer).replay(q, k);
  }
  wanted.finish();
  request.finish();
  const auto got = host.records(), want = reference.records();
  CATCH_REQUIRE(got.size() == 1);
  check_same(got[0], want[0]);
}

CATCH_TEST_CASE("graphs: a replay costs the layers' launches and one more, and its host waits for nothing") {
  (void)fake::device();
  Host host(kKinds[0], true);
  host.launches = 0;
  Recorded step(host, 3, true);
  // Scores, softmax, sums: of both layers and all rows. Then the step goes behind those before it.
  CATCH_CHECK(host.launches == 4);
  const fake::Log before = fake::log();
  answer(host, step, 3, 0, kTokens, 100);
  CATCH_REQUIRE(host.gaze.flush());
  // All that waited was the worker, which reads a count for each row; a sink that keeps records reads nothing.
  CATCH_CHECK(fake::log().synchronous == before.synchronous + 3);
}

CATCH_TEST_CASE("graphs: tokens beyond the limit are counted") {
  (void)fake::device();
  for (const int64_t by_call : {0, 1, 4}) {
    CATCH_CAPTURE(by_call);
    Host host(kKinds[0], true, 3);
    Recorded step(host, 1, true);
    answer(host, step, 1, by_call, 7, 100);
    const auto got = host.records(), want = called(kKinds[0], 1, 7, 100, 3);
    CATCH_REQUIRE(got.size() == 1);
    CATCH_CHECK(got[0].tokens_dropped == 4);
    check_same(got[0], want[0]);
  }
}

CATCH_TEST_CASE("graphs: a request that replays nothing is what it would be without graphs") {
  (void)fake::device();
  Host host(kKinds[0], true);
  Recorded step(host, 1, true);
  answer(host, step, 1, kTokens, kTokens, 100);
  host.gaze.begin().finish();
  const auto got = host.records();
  CATCH_REQUIRE(got.size() == 2);
  check_same(got[0], called(kKinds[0], 1, kTokens, 100)[0]);
  CATCH_CHECK(got[1].error_reason == gaze::DropReason::NoAttention);
}

CATCH_TEST_CASE("graphs: what is not kept of replays is left out of an answer, and said") {
  (void)fake::device();
  for (const int64_t by_call : {0, 1}) {
    CATCH_CAPTURE(by_call);
    Host host(kKinds[4], true);
    Recorded step(host, 1, true);
    const at::Tensor k = noise({1, 2, kKeys, 8}, 600);
    gaze::RequestSpec spec;
    spec.detail = true;
    spec.text.tokens = std::vector<std::string>(kKeys, "a");
    gaze::Request request = host.gaze.begin(spec);
    for (int64_t t = 0; t < kTokens; ++t) {
      if (t < by_call) {
        host.call(host.put(query(1, t, 100)), host.put(k));
      } else {
        step.replay(query(1, t, 100), k);
      }
    }
    request.finish();
    const auto got = host.records();
    CATCH_REQUIRE(got.size() == 1);
    check_same(got[0], called(kKinds[4], 1, kTokens, 100)[0]);
    CATCH_CHECK(got[0].maps.size() == 1);
    CATCH_REQUIRE(got[0].notes.size() == 1);
    CATCH_CHECK(got[0].notes[0].find("The text is left out") == 0);
    CATCH_REQUIRE(got[0].maps[0].detail);
    CATCH_CHECK(got[0].maps[0].detail->left_out == "heads are not kept of what a CUDA graph replays");
  }
}

CATCH_TEST_CASE("graphs: what replays cannot tell is said, never guessed") {
  (void)fake::device();
  const auto error_of = [](const std::vector<gaze::AttentionRecord>& records, gaze::DropReason reason) {
    CATCH_REQUIRE(records.size() >= 1);
    CATCH_CHECK(records.back().error_reason == reason);
    CATCH_CHECK(std::none_of(records.back().maps.begin(), records.back().maps.end(),
                             [](const gaze::MediumMap& map) { return map.map_tk.defined(); }));
    return records.back().error;
  };
  const at::Tensor q = query(1, 0, 1), k = noise({1, 2, kKeys, 8}, 2);
  CATCH_SECTION("whose they are, with several requests open") {
    Host host(kKinds[0], true);
    Recorded step(host, 1, true);
    gaze::Request one = host.gaze.begin(), other = host.gaze.begin();
    step.replay(q, k);
    one.finish();
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::StreamCapturing).find("one open request at a time") !=
                std::string::npos);
    other.finish();
    CATCH_CHECK(host.records().size() == 2);
    // Not replayed, they are two requests as any.
    gaze::Request third = host.gaze.begin(), fourth = host.gaze.begin();
    host.call(host.put(q), host.put(k));
    fourth.finish();
    third = gaze::Request();
    CATCH_CHECK(host.records().back().error == "");
  }
  CATCH_SECTION("which token is which, with a call after a replay") {
    Host host(kKinds[0], true);
    Recorded step(host, 1, true);
    gaze::Request request = host.gaze.begin();
    step.replay(q, k);
    host.call(host.put(q), host.put(k));
    request.finish();
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::StreamCapturing).find("a call after a replay") !=
                std::string::npos);
  }
  CATCH_SECTION("which beam a row was of, and which window") {
    Host host(kKinds[0], true);
    Recorded step(host, 2, true);
    for (const bool reorder : {true, false}) {
      gaze::Request request = host.gaze.begin(std::vector<gaze::RequestSpec>(2));
      if (!reorder) request.window(0);
      step.replay(at::cat({q, q}), at::cat({k, k}));
      reorder ? request.reorder({1, 1, 0}) : request.window(5);
      request.finish();
      const std::string error = error_of(host.records(), gaze::DropReason::StreamCapturing);
      CATCH_CHECK(error.find(reorder ? "got Request::reorder" : "expected one window") != std::string::npos);
    }
  }
  CATCH_SECTION("the order of graphs of several sizes") {
    Host host(kKinds[0], true);
    Recorded small(host, 1, true), large(host, 2, true);
    gaze::Request request = host.gaze.begin();
    small.replay(q, k);
    large.replay(at::cat({q, q}), at::cat({k, k}));
    request.finish();
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::StreamCapturing).find("of one batch size") !=
                std::string::npos);
  }
  CATCH_SECTION("another place of the picture's keys") {
    Kind kind = kKinds[4];
    Host host(kind, true);
    Recorded step(host, 1, true);
    gaze::Geometry elsewhere{.rows = 2, .cols = 3};
    elsewhere.first_key = 1;
    gaze::RequestSpec spec;
    spec.geometry = elsewhere;
    gaze::Request request = host.gaze.begin(spec);
    step.replay(q, k);
    request.finish();
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::GridMismatch)
                    .find("keys 1..6 as in this request, got one for keys 2..7") != std::string::npos);
  }
  CATCH_SECTION("steps, with one of which the recording ended halfway") {
    Host host(kKinds[1], true);
    Recorded whole(host, 1, true);
    const at::Tensor there_q = host.put(q), there_k = host.put(k);
    fake::run_all();
    gaze::Request warm = host.gaze.begin();
    const fake::Graph half = host.record([&] {
      const auto launch = emulated_part().launch;
      emulated_part().launch = [&](const emulated::Runtime::Work& work) {
        launch(work);
        emulated_part().recording = nullptr;
      };
      host.call(there_q, there_k);
      emulated_part().launch = launch;
    });
    warm = gaze::Request();
    gaze::Request request = host.gaze.begin();
    half.replay();
    whole.replay(q, k);
    request.finish();
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::StreamCapturing).find("one that ended within a call") !=
                std::string::npos);
    // What is recorded from now on has rows of its own.
    Recorded again(host, 1, true);
    gaze::Request next = host.gaze.begin();
    again.replay(q, k);
    next.finish();
    CATCH_CHECK(host.records().back().error == "");
  }
  CATCH_SECTION("steps of which a part was recorded") {
    Host host({"throws", R"JIT(
def forward(self, q, k):
    x = torch.scaled_dot_product_attention(q, k, k)
    assert q.size(3) != 8
    return x
)JIT",
               kKinds[0].profile},
              true);
    const at::Tensor there_q = host.put(q), there_k = host.put(k);
    gaze::Request warm = host.gaze.begin();
    const fake::Graph graph = host.record([&] { CATCH_CHECK_THROWS(host.call(there_q, there_k)); });
    warm = gaze::Request();
    gaze::Request request = host.gaze.begin();
    graph.replay();
    request.finish();
    // Whatever it added is no step.
    CATCH_CHECK(error_of(host.records(), gaze::DropReason::NoAttention) != "");
  }
}

CATCH_TEST_CASE("graphs: what cannot be captured by replays leaves the recording as the host makes it") {
  (void)fake::device();
  struct Case {
    const char* name;
    Kind kind;
    int64_t queries;
    const char* says;
  };
  const std::vector<Case> cases = {
      {"several queries", kKinds[0], 2, "one query of"},
      {"a rollout",
       {"", kSelfAttention,
        R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"}, "layers": {"reduce": "rollout"})"},
       1,
       "a sum, got rollout"},
      {"rows that a profile chooses",
       {"", kFused, R"("sites": {"match": ["*"]}, "heads": {"reduce": "mean"}, "rows": {"calls_per_token": 2})"},
       1,
       "one call and one pass a token"},
  };
  for (const Case& each : cases) {
    CATCH_CAPTURE(each.name);
    Host host(each.kind, true);
    const at::Tensor q = host.put(noise({1, 2, each.queries, 8}, 1)), k = host.put(noise({1, 2, kKeys, 8}, 2));
    fake::run_all();
    gaze::Request request = host.gaze.begin();
    at::Tensor out;
    host.launches = 0;
    const fake::Graph graph = host.record([&] { out = host.call(q, k); });
    CATCH_CHECK(host.launches == 0);
    graph.replay();
    request.finish();
    const auto records = host.records();
    CATCH_REQUIRE(records.size() == 1);
    CATCH_CHECK(records[0].error_reason == gaze::DropReason::StreamCapturing);
    CATCH_CHECK(records[0].error.find(each.says) != std::string::npos);
    torch::jit::Module plain("plain");
    plain.define(each.kind.code);
    CATCH_CHECK(at::allclose(out.cpu(), plain.forward({q.cpu(), k.cpu()}).toTensor(), 1e-5, 1e-6));
  }
}

CATCH_TEST_CASE("graphs: the memory that replays write lives as long as the graph, whatever becomes of the attach") {
  const at::Device device = fake::device();
  emulated::Runtime& cuda = emulated_part();
  const auto end_graphs = [&] {
    for (const emulated::Runtime::Work& each : std::exchange(cuda.held, {})) each();
  };
  end_graphs();
  {
    Host host(kKinds[0], true);
    const Recorded step(host, 1, true);
  }
  CATCH_CHECK(cuda.held.size() == 1);
  end_graphs();

  auto object = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = object;
  const c10::Stream stream = fake::new_stream();
  const c10::StreamGuard guard(stream);
  CATCH_CHECK_FALSE(gaze::ops::keep_with_graph(device, object));  // nothing is recorded
  CATCH_CHECK(object.use_count() == 1);
  cuda.recording = reinterpret_cast<cudaStream_t>(stream.id());
  CATCH_CHECK(gaze::ops::keep_with_graph(device, std::move(object)));
  CATCH_CHECK_FALSE(seen.expired());
  // A graph ends on a thread of the driver's, which must not give memory back; some later call does.
  end_graphs();
  CATCH_CHECK_FALSE(seen.expired());
  CATCH_CHECK(gaze::ops::keep_with_graph(device, std::make_shared<int>(2)));
  CATCH_CHECK(seen.expired());
  end_graphs();
  cuda.recording = nullptr;
  CATCH_CHECK_FALSE(gaze::ops::keep_with_graph(at::kCPU, std::make_shared<int>(3)));
}

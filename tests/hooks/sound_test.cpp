// SPDX-License-Identifier: MIT
// Requests whose medium is a sound: the model's own input, windows, streams, batches.
#include <gaze/render/sound.hpp>

#include <cmath>

#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::MemorySink;

namespace {

/// Keys are the samples in groups of 4: q [batch, 1, 4] meets them as they are.
torch::jit::Module listener() {
  torch::jit::Module module("Listener");
  module.define(R"JIT(
def encode(self, audio):
    return audio.reshape(audio.size(0), -1, 4)

def step(self, q, keys):
    return torch.matmul(torch.softmax(torch.matmul(q, keys.transpose(-2, -1)), -1), keys)

def forward(self, audio, q):
    return self.step(q, self.encode(audio))
)JIT");
  return module;
}

gaze::Options listening(int64_t keys, const std::shared_ptr<MemorySink>& sink = std::make_shared<MemorySink>()) {
  gaze::Options options = hooks_test::options(sink, {"*"});
  gaze::Profile& profile = *options.profile_in_code;
  profile.heads = gaze::ops::HeadReduce::Mean;
  profile.sound = gaze::SoundInput{{{"forward", 0}}, 100};
  gaze::Geometry geometry;
  geometry.rows = 1;
  geometry.cols = keys;
  geometry.time = gaze::Timeline{.seconds_per_key = 0.04};
  profile.geometry = geometry;
  return options;
}

at::Tensor samples(at::Device device, int64_t batch, int64_t count, uint64_t seed = 3) {
  auto generator = at::detail::createCPUGenerator(seed);
  return (at::randn({batch, count}, generator) * 0.3).to(device);
}

}  // namespace

CATCH_TEST_CASE("sound: without a request the recording is the model's own input, row by row") {
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module module = listener();
    auto sink = std::make_shared<MemorySink>();
    gaze::Gaze gaze = gaze::attach(module, listening(10, sink));
    const at::Tensor audio = samples(device, 2, 40);
    module.forward({audio, samples(device, 2, 4).view({2, 1, 4})});
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->records().size() == 2);
    for (int64_t row = 0; row < 2; ++row) {
      const gaze::AttentionRecord record = sink->records()[static_cast<size_t>(row)];
      CATCH_REQUIRE(record.error == "");
      CATCH_CHECK(at::equal(sound_of(record).samples, audio[row]));
      CATCH_CHECK(sound_of(record).sample_rate_hz == 100);
      CATCH_CHECK(sound_of(record).padded);
      CATCH_CHECK(gaze::time_words(record).seconds == Approx(0.4));
    }
  }
}

CATCH_TEST_CASE("sound: the host's recording goes before the model's input, and is copied when the request begins") {
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module module = listener();
    at::Tensor given = samples(device, 1, 80)[0];
    const at::Tensor before = given.clone();
    gaze::RequestSpec spec;
    spec.sound.samples = given;
    spec.sound.sample_rate_hz = 200;
    const auto calls = [&](gaze::Request&) {
      given.zero_();
      module.forward({samples(device, 1, 40), samples(device, 1, 4).view({1, 1, 4})});
    };
    const auto record = hooks_test::captured(module, listening(10), calls, {spec}).only();
    CATCH_CHECK(at::equal(sound_of(record).samples, before));
    CATCH_CHECK(sound_of(record).sample_rate_hz == 200);
    CATCH_CHECK_FALSE(sound_of(record).padded);
  }
}

CATCH_TEST_CASE("sound: parts of a longer sound are told by the token they begin with") {
  for (const at::Device device : gaze::test::devices()) {
    for (const int64_t deferred : {int64_t{0}, int64_t{8}}) {
      torch::jit::Module module = listener();
      gaze::Options options = listening(10);
      options.deferred_tokens = deferred;
      const at::Tensor audio = samples(device, 1, 100);
      const auto hear_part = [&](int64_t first, int64_t tokens) {
        const at::Tensor keys = module.run_method("encode", audio.narrow(1, first, 40)).toTensor();
        for (int64_t t = 0; t < tokens; ++t) {
          module.run_method("step", samples(device, 1, 4, 10 + static_cast<uint64_t>(first + t)).view({1, 1, 4}) * 9,
                            keys);
        }
      };
      const auto calls = [&](gaze::Request& request) {
        hear_part(0, 2);
        request.window(0.4);
        request.window(0.6, 0.4);  // before any token: the later one counts
        hear_part(60, 3);
        request.sound({.samples = audio[0], .sample_rate_hz = 100});
      };
      const auto record = hooks_test::captured(module, options, calls).only();
      CATCH_REQUIRE(record.error == "");
      CATCH_REQUIRE(windows_of(record).size() == 2);
      CATCH_CHECK(windows_of(record)[0].first_token == 0);
      CATCH_CHECK(windows_of(record)[0].start_seconds == 0);
      CATCH_CHECK(windows_of(record)[1].first_token == 2);
      CATCH_CHECK(windows_of(record)[1].start_seconds == 0.6);
      CATCH_CHECK(std::isinf(windows_of(record)[0].seconds));
      CATCH_CHECK(windows_of(record)[1].seconds == 0.4);
      // By the book: a token's hottest key, in its part.
      const gaze::WordTiming timing = gaze::time_words([&] {
        gaze::AttentionRecord raw = record;
        raw.style.normalise.subtract_sinks = false;
        return raw;
      }());
      CATCH_REQUIRE(timing.words.size() == 5);
      for (int64_t t = 0; t < 5; ++t) {
        const int64_t first = t < 2 ? 0 : 60;
        const at::Tensor q =
            samples(device, 1, 4, 10 + static_cast<uint64_t>(first + (t < 2 ? t : t - 2))).view({4}) * 9;
        const auto key = audio.narrow(1, first, 40).view({10, 4}).matmul(q).argmax().item<int64_t>();
        CATCH_CHECK(timing.words[static_cast<size_t>(t)].hot_seconds ==
                    Approx(0.01 * static_cast<double>(first) + 0.04 * (static_cast<double>(key) + 0.5)));
      }
    }
  }
}

CATCH_TEST_CASE("sound: keys that grow while the model decodes are all heard") {
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module module = listener();
    const at::Tensor audio = samples(device, 1, 80);
    std::vector<at::Tensor> want;
    const auto calls = [&](gaze::Request& request) {
      for (int64_t t = 0; t < 4; ++t) {
        const at::Tensor keys = audio.narrow(1, 0, 20 * (t + 1)).view({1, -1, 4});
        const at::Tensor q = samples(device, 1, 4, 20 + static_cast<uint64_t>(t)).view({1, 1, 4});
        module.run_method("step", q, keys);
        want.push_back(at::constant_pad_nd(
            q.to(at::kDouble).matmul(keys.to(at::kDouble).transpose(1, 2)).softmax(-1)[0], {0, 20 - keys.size(1)}));
      }
      request.sound({.samples = audio[0], .sample_rate_hz = 100});
    };
    const auto record = hooks_test::captured(module, listening(0), calls).only();
    CATCH_REQUIRE(record.error == "");
    CATCH_REQUIRE(record.maps[0].map_tk.size(1) == 20);
    CATCH_CHECK(at::allclose(record.maps[0].map_tk.to(at::kCPU), at::cat(want).to(at::kCPU, at::kFloat), 1e-4, 1e-6));
    CATCH_CHECK(gaze::time_words(record).seconds == Approx(0.8));
  }
}

CATCH_TEST_CASE("sound: a sound's file that cannot be read is an error of the bundle, not of the host") {
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module module = listener();
    gaze::RequestSpec spec;
    spec.sound.path = "/nowhere/a.wav";
    const at::Tensor audio = samples(device, 1, 40), q = samples(device, 1, 4).view({1, 1, 4});
    at::Tensor answer;
    const auto calls = [&](gaze::Request&) { answer = module.forward({audio, q}).toTensor(); };
    const auto record = hooks_test::captured(module, listening(10), calls, {spec}).only();
    CATCH_CHECK_THROWS_WITH(gaze::time_words(record), Catch::Matchers::Contains("/nowhere/a.wav"));
    CATCH_CHECK(hooks_test::same_bytes(answer, listener().forward({audio, q}).toTensor()));
  }
}

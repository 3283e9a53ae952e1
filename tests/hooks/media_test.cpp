// SPDX-License-Identifier: MIT
// Requests whose keys are of a picture and of a sound: one row of weights, two maps.
#include <gaze/render/overlay.hpp>
#include <gaze/render/sound.hpp>

#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::MemorySink;

namespace {

constexpr int64_t kText = 2, kCells = 12, kSoundKeys = 20;  // keys: text, a grid of 3 x 4, a sound, what was answered
constexpr int64_t kPicture = kText, kSound = kText + kCells, kPrompt = kText + kCells + kSoundKeys;
constexpr int64_t kSteps = 4, kBatch = 2;

/// One head over a cache: step [batch, 1, 4] over keys [batch, keys, 4].
torch::jit::Module decoder(bool fused) {
  torch::jit::Module module("Decoder");
  module.define(fused ? R"JIT(
def forward(self, image, audio, q, keys):
    q = q + 0.0 * image.sum() + 0.0 * audio.sum()
    return torch.scaled_dot_product_attention(q.unsqueeze(1), keys.unsqueeze(1), keys.unsqueeze(1))
)JIT"
                      : R"JIT(
def forward(self, image, audio, q, keys):
    q = q + 0.0 * image.sum() + 0.0 * audio.sum()
    return torch.matmul(torch.softmax(torch.matmul(q, keys.transpose(-2, -1)) * 0.5, -1), keys)
)JIT");
  return module;
}

struct Plan {
  bool fused = false;
  int64_t deferred = 0;
  gaze::ops::LayerReduce layers = gaze::ops::LayerReduce::Mean;
  std::vector<int64_t> reorder = {};  // after the second step
};

at::Tensor made(at::IntArrayRef sizes, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(sizes, generator);
}

enum class Media { Picture, Sound, Both };

std::vector<gaze::AttentionRecord> run(const Plan& plan, Media media, at::Device device) {
  torch::jit::Module module = decoder(plan.fused);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"*"});
  options.deferred_tokens = plan.deferred;
  gaze::Profile& profile = *options.profile_in_code;
  profile.heads = gaze::ops::HeadReduce::Mean;
  profile.layers = plan.layers;
  gaze::Geometry picture, sound;
  picture.rows = 3;
  picture.cols = 4;
  picture.first_key = kPicture;
  sound.rows = 1;
  sound.cols = kSoundKeys;
  sound.first_key = kSound;
  sound.time = gaze::Timeline{.seconds_per_key = 0.05};
  profile.image = gaze::ImageInput{.argument = {{"forward", 0}}, .mean = {}, .std = {}};
  profile.sound = gaze::SoundInput{{{"forward", 1}}, 100, {}};
  profile.geometry = media == Media::Sound ? sound : picture;
  if (media == Media::Both) profile.sound->beside = sound;
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(kBatch));
  const at::Tensor image = made({kBatch, 3, 30, 40}, 5).sigmoid().to(device);
  const at::Tensor audio = (made({kBatch, 100}, 6) * 0.2).to(device);
  const at::Tensor keys = made({kBatch, kPrompt + kSteps, 4}, 7).to(device),
                   q = made({kBatch, kSteps, 4}, 8).to(device);
  for (int64_t step = 0; step < kSteps; ++step) {
    module.forward({image, audio, q.narrow(1, step, 1), keys.narrow(1, 0, kPrompt + step)});
    if (step == 1 && !plan.reorder.empty()) request.reorder(plan.reorder);
  }
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  return sink->records();
}

}  // namespace

CATCH_TEST_CASE("media: a picture and a sound in one row of keys are captured as each is alone") {
  using gaze::ops::LayerReduce;
  for (const at::Device device : gaze::test::devices()) {
    for (const Plan& plan :
         {Plan{}, Plan{.fused = true}, Plan{.fused = true, .deferred = 3}, Plan{.layers = LayerReduce::Max},
          Plan{.fused = true, .deferred = 2, .reorder = {1, 1}}, Plan{.reorder = {1, 0}}}) {
      CATCH_CAPTURE(plan.fused, plan.deferred, plan.reorder, static_cast<int>(plan.layers));
      const auto both = run(plan, Media::Both, device);
      const auto pictures = run(plan, Media::Picture, device), sounds = run(plan, Media::Sound, device);
      CATCH_REQUIRE(both.size() == kBatch);
      for (size_t row = 0; row < both.size(); ++row) {
        CATCH_REQUIRE(both[row].error == "");
        CATCH_REQUIRE(both[row].maps.size() == 2);
        for (size_t m = 0; m < 2; ++m) {
          CATCH_CAPTURE(row, m);
          const gaze::MediumMap& map = both[row].maps[m];
          const gaze::MediumMap& alone = (m == 0 ? pictures : sounds)[row].maps.at(0);
          CATCH_CHECK(map.tokens() == kSteps);
          CATCH_CHECK(at::equal(map.map_tk, alone.map_tk));
          CATCH_CHECK(at::equal(map.mass_t, alone.mass_t));
          CATCH_CHECK(at::equal(map.visible_t, alone.visible_t));
          CATCH_CHECK(at::equal(map.flags_t, alone.flags_t));
          CATCH_CHECK(map.map_tk.size(1) == (m == 0 ? kCells : kSoundKeys));
        }
        CATCH_CHECK(at::equal(picture_of(both[row]).tensor, picture_of(pictures[row]).tensor));
        CATCH_CHECK(std::get<gaze::SoundMedium>(both[row].maps[1].medium).sound.sample_rate_hz == 100);
        // Drawn too: a map of each, by the same words.
        const gaze::Composition looked = gaze::compose(both[row]);
        const gaze::WordTiming heard = gaze::time_words(both[row]);
        CATCH_CHECK(at::equal(looked.lift_wc, gaze::compose(pictures[row]).lift_wc));
        CATCH_REQUIRE(heard.words.size() == looked.words.size());
        CATCH_CHECK(heard.words[2].start_seconds == gaze::time_words(sounds[row]).words[2].start_seconds);
      }
    }
  }
}

CATCH_TEST_CASE("media: a row too short for its second medium ends the capture with the reason") {
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module module = decoder(false);
    auto sink = std::make_shared<MemorySink>();
    gaze::Options options = hooks_test::options(sink, {"*"});
    gaze::Profile& profile = *options.profile_in_code;
    profile.sound = gaze::SoundInput{{}, 100, gaze::Geometry{}};
    profile.geometry.emplace();
    profile.geometry->rows = 3;
    profile.geometry->cols = 4;
    gaze::Geometry& sound = *profile.sound->beside;
    sound.rows = 1;
    sound.cols = kSoundKeys;
    sound.first_key = kCells;
    sound.time = gaze::Timeline{.seconds_per_key = 0.05};
    gaze::Gaze gaze = gaze::attach(module, options);
    gaze::Request request = gaze.begin({.id = "short"});
    const at::Tensor none = at::zeros({1}).to(device);
    module.forward({none, none, made({1, 1, 4}, 1).to(device), made({1, 31, 4}, 2).to(device)});
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    const gaze::AttentionRecord record = sink->records().at(0);
    CATCH_CHECK(record.error_reason == gaze::DropReason::GridMismatch);
    CATCH_CHECK_THAT(record.error, Catch::Contains("geometry: expected at least 32 keys") || Catch::Contains("got 31"));
  }
}

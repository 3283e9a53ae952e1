// SPDX-License-Identifier: MIT
// What the hosts of these tests share: a model of one attention that costs microseconds, and the law of the counters.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros.h>
#include <gaze/gaze.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gaze::test {

constexpr int64_t kKeys = 16, kSize = 8, kSide = 32;

/// One head over a grid of 4 x 4 keys, asked by the first `queries` of them. `forward` is given a picture as well,
/// which only capture looks at; `fused` is for F.scaled_dot_product_attention; `failing` throws once its attention is
/// done.
inline torch::jit::Module null_model() {
  torch::jit::Module model("null");
  model.define(R"(
def forward(self, image, k, v, queries: int):
    q = k.narrow(2, 0, queries) * 0.0 + 1.0
    a = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)
    return torch.matmul(a, v)

def fused(self, image, k, v, queries: int):
    q = k.narrow(2, 0, queries) * 0.0 + 1.0
    return torch.scaled_dot_product_attention(q, k, v)

def failing(self, image, k, v, queries: int):
    q = k.narrow(2, 0, queries) * 0.0 + 1.0
    a = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)
    assert queries < 0, "failed on purpose"
    return torch.matmul(a, v)
)");
  model.eval();
  return model;
}

/// Queries of an answer's first call, and of every further one. The prompt is nothing but the medium, whose last row
/// makes the first token.
constexpr int64_t kPrompt = kKeys, kStep = 1;

inline Profile null_profile() {
  Profile profile;
  profile.name = "null";
  profile.rows.of = TokenRows::Of::Last;
  profile.geometry.emplace();
  profile.geometry->rows = 4;
  profile.geometry->cols = 4;
  profile.image.emplace();
  profile.image->argument = {{"forward", 0}};
  return profile;
}

inline Profile null_sound_profile() {
  Profile profile;
  profile.name = "null sound";
  profile.rows.of = TokenRows::Of::Last;
  profile.geometry.emplace();
  profile.geometry->rows = 1;
  profile.geometry->cols = kKeys;
  profile.geometry->time.emplace();
  profile.geometry->time->seconds_per_key = 0.1;
  return profile;
}

inline Options null_options(Profile profile) {
  Options options;
  options.capture = true;
  options.read_environment = false;
  options.log = "off";
  options.profile_in_code = std::move(profile);
  return options;
}

/// Keys and values of a batch whose row b looks at key marks[b] % 16 most, and whose values, and so its output, are
/// marks[b]. Exact in float32 below 2^24.
struct Marked {
  at::Tensor image, k, v;
  explicit Marked(const std::vector<int64_t>& marks) {
    const auto batch = static_cast<int64_t>(marks.size());
    image = at::empty({batch, 3, kSide, kSide});
    k = at::zeros({batch, 1, kKeys, kSize});
    v = at::empty({batch, 1, kKeys, kSize});
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t mark = marks[static_cast<size_t>(b)];
      k[b][0][mark % kKeys].fill_(1);
      v[b].fill_(static_cast<double>(mark));
      image[b].fill_(static_cast<double>(mark % 256) / 255);
    }
  }
};

/// [batch, 1, queries, 8]
inline at::Tensor run(torch::jit::Module& model, const Marked& in, int64_t queries, const char* method = "forward") {
  return model.get_method(method)({in.image, in.k, in.v, queries}).toTensor();
}

/// uint8 [32, 32, 3] whose every pixel holds the mark.
inline at::Tensor marked_picture(int64_t mark) {
  at::Tensor picture_hwc = at::empty({kSide, kSide, 3}, at::kByte);
  for (int64_t c = 0; c < 3; ++c) picture_hwc.select(2, c).fill_((mark >> (8 * c)) & 255);
  return picture_hwc;
}

/// Whether the picture holds that mark and no other.
inline bool has_mark(const at::Tensor& picture_hwc, int64_t mark) {
  return at::equal(picture_hwc, marked_picture(mark));
}

/// A second of a tone.
inline Sound tone() {
  Sound sound;
  sound.samples = at::sin(at::arange(16000) * 0.05);
  sound.sample_rate_hz = 16000;
  return sound;
}

inline int64_t drops_of_sampled(const Stats& stats) {
  int64_t sum = 0;
  for (size_t i = 0; i < stats.dropped.size(); ++i) {
    const auto reason = static_cast<DropReason>(i);
    // Requests that were never sampled, and tokens.
    if (reason == DropReason::NotSampled || reason == DropReason::OptedOut || reason == DropReason::RateLimited ||
        reason == DropReason::Breaker || reason == DropReason::SelfCheck || reason == DropReason::TokenLimit)
      continue;
    sum += stats.dropped[i];
  }
  return sum;
}

/// The law of the counters, at every instant: empty where it holds.
inline std::string breach(const Stats& stats) {
  const auto text = [](const char* law, int64_t left, int64_t right) {
    return std::string(law) + ": " + std::to_string(left) + " and " + std::to_string(right);
  };
  const int64_t declined = stats.drops(DropReason::NotSampled) + stats.drops(DropReason::OptedOut) +
                           stats.drops(DropReason::RateLimited) + stats.drops(DropReason::Breaker);
  if (stats.begun != stats.sampled + declined)
    return text("begun == sampled + declined", stats.begun, stats.sampled + declined);
  if (const int64_t told = stats.written + stats.in_flight + drops_of_sampled(stats); stats.sampled != told)
    return text("sampled == written + in_flight + drops", stats.sampled, told);
  if (stats.in_flight < 0) return text("in_flight >= 0", stats.in_flight, 0);
  return {};
}

inline std::string shown(const Stats& stats) {
  std::string text = "begun " + std::to_string(stats.begun) + ", sampled " + std::to_string(stats.sampled) +
                     ", written " + std::to_string(stats.written) + ", in flight " + std::to_string(stats.in_flight);
  for (size_t i = 0; i < stats.dropped.size(); ++i) {
    if (stats.dropped[i] != 0)
      text += ", " + std::string(name(static_cast<DropReason>(i))) + " " + std::to_string(stats.dropped[i]);
  }
  return text;
}

}  // namespace gaze::test

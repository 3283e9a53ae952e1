// SPDX-License-Identifier: MIT
// Records of sounds with attention planted in time.
#pragma once

#include <ATen/ops/sin.h>
#include <gaze/render/record.hpp>

#include <cmath>
#include <vector>

#include "records.hpp"

namespace gaze::test {

constexpr double kKeySeconds = 0.02;
constexpr int64_t kRate = 16000;

/// A tone that rises and falls twice a second: [channels, samples].
inline at::Tensor tone(double seconds, int64_t channels = 1) {
  const auto samples = static_cast<int64_t>(std::lround(seconds * kRate));
  const at::Tensor time = at::arange(samples, at::kDouble) / kRate;
  const at::Tensor wave = at::sin(time * 2764.6) * at::sin(time * 6.2831853) * 0.5;
  return wave.to(at::kFloat).unsqueeze(0).expand({channels, -1}).contiguous();
}

/// One token per entry of `hot_seconds`: 90 % of its attention on the key under that time, the rest spread evenly over
/// `padded_seconds` of keys. Below 0: all spread evenly.
inline AttentionRecord planted_sound(double seconds, const std::vector<double>& hot_seconds, double padded_seconds = 0,
                                     int64_t channels = 1) {
  const auto keys = static_cast<int64_t>(std::lround(std::max(seconds, padded_seconds) / kKeySeconds));
  std::vector<int64_t> hot;
  for (const double at : hot_seconds) hot.push_back(at < 0 ? -1 : static_cast<int64_t>(at / kKeySeconds));
  AttentionRecord record = planted(1, keys, hot);
  SoundMedium medium;
  medium.geometry = record.maps[0].geometry();
  medium.geometry.time = Timeline{.seconds_per_key = kKeySeconds};
  medium.sound.samples = tone(seconds, channels);
  medium.sound.sample_rate_hz = kRate;
  record.maps[0].medium = std::move(medium);
  return record;
}

}  // namespace gaze::test

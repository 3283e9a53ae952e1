// SPDX-License-Identifier: MIT
#include "sound/small_wav.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "device/device_event.hpp"

namespace gaze {
namespace {

constexpr int64_t kMostBytes = 520'000;  // as text 700 kB: the page can be mailed
constexpr int64_t kRateHz = 16'000, kLeastRateHz = 8'000;

/// ITU-T G.711, of 16 bits.
uint8_t mu_law(float sample) {
  constexpr int kBias = 132, kClip = 32635;
  const int value = static_cast<int>(std::lround(std::clamp(sample, -1.F, 1.F) * 32767));
  const int sign = value < 0 ? 0x80 : 0;
  const int magnitude = std::min(std::abs(value), kClip) + kBias;
  int exponent = 7;
  for (int bit = 0x4000; exponent > 0 && (magnitude & bit) == 0; bit >>= 1) --exponent;
  return static_cast<uint8_t>(~(sign | exponent << 4 | (magnitude >> (exponent + 3) & 15)));
}

void append_number(std::string& bytes, uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i));
}

std::string header(uint32_t rate_hz, uint32_t samples) {
  constexpr uint32_t kMuLaw = 7;
  std::string bytes = "RIFF";
  append_number(bytes, 50 + samples + samples % 2, 4);
  bytes += "WAVEfmt ";
  append_number(bytes, 18, 4);
  append_number(bytes, kMuLaw, 2);
  append_number(bytes, 1, 2);
  append_number(bytes, rate_hz, 4);
  append_number(bytes, rate_hz, 4);
  append_number(bytes, 1, 2);
  append_number(bytes, 8, 2);
  append_number(bytes, 0, 2);
  bytes += "fact";
  append_number(bytes, 4, 4);
  append_number(bytes, samples, 4);
  bytes += "data";
  append_number(bytes, samples, 4);
  return bytes;
}

}  // namespace

std::string small_wav(const Recording& recording, const ops::Route& route) {
  const int64_t rate = recording.sample_rate_hz, channels = recording.samples_ct.size(0);
  // As many samples become one, their mean, which also keeps what is too high for the lower rate mostly out.
  int64_t together = (rate + kRateHz - 1) / kRateHz;
  const int64_t samples = recording.samples_ct.size(1);
  if (samples / together > kMostBytes) together *= 2;
  if (samples / together > kMostBytes || (together > 1 && rate / together < kLeastRateHz / 2)) return {};
  const at::Tensor samples_ct = fetch(recording.samples_ct, route, ops::Cargo::Picture);
  const auto* sample = samples_ct.const_data_ptr<float>();
  const int64_t count = samples / together;
  if (count == 0) return {};
  std::string bytes = header(static_cast<uint32_t>(rate / together), static_cast<uint32_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t k = 0; k < together; ++k) sum += sample[c * samples + i * together + k];
    }
    bytes += static_cast<char>(mu_law(sum / static_cast<float>(channels * together)));
  }
  if (count % 2 == 1) bytes += '\0';
  return bytes;
}

}  // namespace gaze

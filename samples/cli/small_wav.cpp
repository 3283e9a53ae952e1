// SPDX-License-Identifier: MIT
#include "small_wav.hpp"

#include "console.hpp"

namespace gaze::cli {
namespace {

int64_t number_of(std::string_view bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = count; i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
  return value;
}

/// ITU-T G.711.
float from_mu_law(char byte) {
  constexpr int kBias = 132;
  const int code = ~static_cast<unsigned char>(byte) & 255;
  const int magnitude = (((code & 15) << 3) + kBias) << (code >> 4 & 7);
  return static_cast<float>((code & 128) != 0 ? kBias - magnitude : magnitude - kBias) / 32768.0F;
}

}  // namespace

SmallWav small_wav(std::string_view bytes) {
  // As the library writes it: the format, the rate, then the samples behind their number.
  constexpr size_t kFormat = 20, kChannels = 22, kRate = 24, kData = 50, kNumber = 54, kSamples = 58;
  constexpr int64_t kMuLaw = 7, kMostRateHz = 48'000;
  const auto stands = [&](size_t at, std::string_view text) { return bytes.substr(at, text.size()) == text; };
  const bool known = bytes.size() > kSamples && stands(0, "RIFF") && stands(8, "WAVEfmt ") && stands(kData, "data") &&
                     number_of(bytes, kFormat, 2) == kMuLaw && number_of(bytes, kChannels, 2) == 1;
  const int64_t rate = known ? number_of(bytes, kRate, 4) : 0;
  if (rate < 1 || rate > kMostRateHz)
    throw Refusal(
        "BUNDLE: expected a recording of one channel by mu-law within report.html, got another. Was it changed? Give "
        "the original: --audio FILE.");
  SmallWav wav{rate, {}};
  const auto samples = static_cast<size_t>(number_of(bytes, kNumber, 4));
  for (const char byte : bytes.substr(kSamples, samples)) wav.samples.push_back(from_mu_law(byte));
  return wav;
}

}  // namespace gaze::cli

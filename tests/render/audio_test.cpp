// SPDX-License-Identifier: MIT
#include <sndfile.h>
#include <gaze/render/audio_file.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "records.hpp"

namespace {

using gaze::DropReason;

std::string little(uint32_t value, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
  return out;
}

struct Wav {
  uint32_t format = 1, channels = 2, rate = 8000, bits = 16;
  std::string data = little(0, 2) + little(16384, 2) + little(0x8000, 2) + little(0x4000, 2);
  int64_t said_bytes = -1;  // of the data chunk, when it lies

  [[nodiscard]] std::string bytes() const {
    const uint32_t frame = channels * bits / 8;
    const std::string fmt = little(format, 2) + little(channels, 2) + little(rate, 4) + little(rate * frame, 4) +
                            little(frame, 2) + little(bits, 2);
    const auto size = static_cast<uint32_t>(said_bytes >= 0 ? said_bytes : static_cast<int64_t>(data.size()));
    const std::string body = "WAVEfmt " + little(16, 4) + fmt + "data" + little(size, 4) + data;
    return "RIFF" + little(static_cast<uint32_t>(body.size()), 4) + body;
  }
};

gaze::Audio read(const std::string& bytes) {
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "a.wav", bytes);
  return gaze::read_audio(dir / "a.wav");
}

void require_refused(const std::string& bytes, const std::string& text) {
  CATCH_INFO(text);
  GAZE_REQUIRE_REFUSED(read(bytes), DropReason::DecodeFailed, text);
}

}  // namespace

CATCH_TEST_CASE("audio: a WAV file becomes channels of floats in -1..1") {
  const gaze::Audio audio = read(Wav().bytes());
  CATCH_CHECK(audio.sample_rate_hz == 8000);
  CATCH_CHECK(at::allclose(audio.samples_ct, at::tensor({0.F, -1.F, 0.5F, 0.5F}).view({2, 2})));
  CATCH_CHECK(audio.samples_ct.is_contiguous());
}

CATCH_TEST_CASE("audio: float samples beyond the range are clamped, those that are not finite refused") {
  const float values[] = {2.0F, -3.0F};
  Wav wav{.format = 3, .channels = 1, .bits = 32, .data = std::string(reinterpret_cast<const char*>(values), 8)};
  CATCH_CHECK(at::equal(read(wav.bytes()).samples_ct, at::tensor({1.F, -1.F}).unsqueeze(0)));
  const float nan = std::nanf("");
  std::memcpy(wav.data.data() + 4, &nan, 4);
  require_refused(wav.bytes(), "expected finite samples, got NaN or infinity.");
}

CATCH_TEST_CASE("audio: missing, foreign, empty and truncated files are refused") {
  GAZE_REQUIRE_REFUSED(gaze::read_audio("/nowhere/a.wav"), DropReason::DecodeFailed,
                       "audio '/nowhere/a.wav': expected a readable file, got: No such file or directory");
  require_refused("", "expected a WAV, FLAC, OGG or MP3 file, got 0 bytes.");
  require_refused("<html>this is no audio at all</html>", "expected a WAV, FLAC, OGG or MP3 file, got: ");
  const std::string whole = Wav().bytes();
  for (size_t length = 1; length < whole.size(); ++length) {
    CATCH_INFO("cut to " << length << " of " << whole.size());
    GAZE_REQUIRE_REFUSED(read(whole.substr(0, length)), DropReason::DecodeFailed, "expected");
  }
}

CATCH_TEST_CASE("audio: headers that lie are refused") {
  require_refused(Wav{.said_bytes = 1 << 30}.bytes(), "truncated");
  require_refused(Wav{.data = ""}.bytes(), "got 0.");
  for (const Wav& wav : {Wav{.channels = 0}, Wav{.channels = 65535}, Wav{.rate = 0}}) {
    GAZE_REQUIRE_REFUSED(read(wav.bytes()), DropReason::DecodeFailed, "expected");
  }
}

CATCH_TEST_CASE("audio: a streamed WAV whose length was not known is read to its end") {
  CATCH_CHECK(read(Wav{.said_bytes = 0xFFFFFFFF}.bytes()).samples_ct.size(1) == 2);
}

CATCH_TEST_CASE("audio: what libsndfile writes compressed is read whole and in its place") {
  constexpr int kRate = 16000, kSamples = 24000;
  std::vector<float> tone(kSamples);  // silent but for 0.5 to 1 s
  for (int i = 8000; i < 16000; ++i) tone[static_cast<size_t>(i)] = 0.5F * static_cast<float>(std::sin(0.172 * i));
  struct Format {
    const char* name;
    int format;
    int64_t slack;  // samples by which the length may differ
    double error;
  };
  for (const Format& wanted : {Format{"FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 0, 1e-4},
                               Format{"Ogg Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0, 0.02},
                               Format{"Ogg Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 0, 0.05},
                               Format{"MP3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1152, 0.05}}) {
    CATCH_INFO(wanted.name);
    SF_INFO info{};
    info.samplerate = kRate;
    info.channels = 1;
    info.format = wanted.format;
    if (sf_format_check(&info) == 0) continue;  // an older libsndfile
    const gaze::test::TempDir dir;
    SNDFILE* const file = sf_open((dir / "a").c_str(), SFM_WRITE, &info);
    CATCH_REQUIRE(file != nullptr);
    CATCH_REQUIRE(sf_write_float(file, tone.data(), kSamples) == kSamples);
    sf_close(file);
    const gaze::Audio audio = gaze::read_audio(dir / "a");
    CATCH_CHECK(audio.sample_rate_hz == kRate);
    CATCH_CHECK(audio.samples_ct.size(0) == 1);
    CATCH_CHECK(std::abs(audio.samples_ct.size(1) - kSamples) <= wanted.slack);
    const at::Tensor got = audio.samples_ct[0].narrow(0, 0, 23000);
    const at::Tensor error = got - at::tensor(tone).narrow(0, 0, 23000);
    CATCH_CHECK(error.square().mean().sqrt().item<double>() < wanted.error);
    const std::string whole = gaze::test::read_bytes(dir / "a");
    GAZE_REQUIRE_REFUSED(read(whole.substr(0, whole.size() / 2)), DropReason::DecodeFailed, "expected");
  }
}

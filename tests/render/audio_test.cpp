// SPDX-License-Identifier: MIT
#include <gaze/render/audio_file.hpp>

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
  require_refused("", "expected a WAV, FLAC or OGG file, got 0 bytes.");
  require_refused("<html>this is no audio at all</html>", "expected a WAV, FLAC or OGG file, got: ");
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

// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <sndfile.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "sound/sndfile_part.hpp"

namespace gaze {
namespace {

constexpr int64_t kMaxSamples = int64_t{1} << 29;  // 2 GiB of float32
constexpr int kMaxChannels = 64;

// libsndfile on memory: the file was opened once, by rules of our own.
struct Memory {
  std::string_view bytes;
  sf_count_t at = 0;
};

sf_count_t memory_length(void* user) { return static_cast<sf_count_t>(static_cast<Memory*>(user)->bytes.size()); }

sf_count_t memory_seek(sf_count_t offset, int whence, void* user) {
  auto* memory = static_cast<Memory*>(user);
  const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory->at : memory_length(user);
  memory->at = std::clamp<sf_count_t>(base + offset, 0, memory_length(user));
  return memory->at;
}

sf_count_t memory_read(void* out, sf_count_t count, void* user) {
  auto* memory = static_cast<Memory*>(user);
  count = std::clamp<sf_count_t>(count, 0, memory_length(user) - memory->at);
  std::memcpy(out, memory->bytes.data() + memory->at, static_cast<size_t>(count));
  memory->at += count;
  return count;
}

sf_count_t memory_write(const void* /*bytes*/, sf_count_t /*count*/, void* /*user*/) { return 0; }
sf_count_t memory_tell(void* user) { return static_cast<Memory*>(user)->at; }

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// libsndfile shortens a WAV whose data chunk says more than the file holds, and only logs it.
bool wav_is_cut(std::string_view bytes) {
  if (bytes.size() < 12 || bytes.substr(0, 4) != "RIFF" || bytes.substr(8, 4) != "WAVE") return false;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = little_endian(bytes, at + 4);
    // Writers that stream leave all ones where the length was not known.
    if (bytes.substr(at, 4) == "data") return length != 0xFFFFFFFF && length > bytes.size() - at - 8;
    at += 8 + length + length % 2;
  }
  return true;  // no data chunk
}

}  // namespace

Audio decode_audio(const std::string& bytes, const std::string& what) {
  const auto refuse = [&](const std::string& text) { throw Error(what + ": " + text, DropReason::DecodeFailed); };
  SF_VIRTUAL_IO io{memory_length, memory_seek, memory_read, memory_write, memory_tell};
  Memory memory{bytes};
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file(sf_open_virtual(&io, SFM_READ, &info, &memory), sf_close);
  if (!file) refuse(std::string("expected a WAV, FLAC, OGG or MP3 file, got: ") + sf_strerror(nullptr));
  if (wav_is_cut(bytes)) refuse("expected a whole file, got a truncated one. Copy it again.");
  if (info.channels < 1 || info.channels > kMaxChannels || info.samplerate < 1) {
    refuse("expected 1.." + std::to_string(kMaxChannels) + " channels at 1 Hz or more, got " +
           std::to_string(info.channels) + " at " + std::to_string(info.samplerate) + " Hz.");
  }
  if (info.frames < 1 || info.frames > kMaxSamples / info.channels) {
    refuse("expected 1.." + std::to_string(kMaxSamples / info.channels) + " samples per channel, got " +
           std::to_string(info.frames) + ".");
  }
  const at::Tensor samples_tc = at::empty({info.frames, info.channels}, at::kFloat);
  const sf_count_t got = sf_readf_float(file.get(), samples_tc.mutable_data_ptr<float>(), info.frames);
  if (got != info.frames) {
    refuse("expected " + std::to_string(info.frames) + " samples per channel, got " + std::to_string(got) +
           ": the file is truncated or damaged. Copy it again.");
  }
  if (!at::isfinite(samples_tc).all().item<bool>()) refuse("expected finite samples, got NaN or infinity.");
  return {samples_tc.t().clamp(-1, 1).contiguous(), info.samplerate};
}

}  // namespace gaze

extern "C" GAZE_API const gaze::SndfilePart gaze_sndfile_table = {{GAZE_VERSION, sizeof(gaze::SndfilePart)},
                                                                  &gaze::decode_audio};

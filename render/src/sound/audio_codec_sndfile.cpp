// SPDX-License-Identifier: MIT
#include <sndfile.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "sound/audio_header.hpp"
#include "sound/mp3_reader.hpp"
#include "sound/sample_blocks.hpp"
#include "sound/sndfile_part.hpp"

namespace gaze {
namespace {

constexpr int kMaxChannels = 64;
constexpr sf_count_t kUnknownFrames = SF_COUNT_MAX;

// libsndfile on memory: the file was opened once, by rules of our own.
struct Memory {
  std::string_view bytes;
  const std::vector<SoundExtent::Patch>* patches;
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
  const auto begin = static_cast<size_t>(memory->at), size = static_cast<size_t>(count);
  std::memcpy(out, memory->bytes.data() + begin, size);
  for (const SoundExtent::Patch& patch : *memory->patches) {
    for (size_t i = 0; i < patch.bytes.size(); ++i) {
      const size_t at = patch.at + i;
      if (at >= begin && at - begin < size) static_cast<char*>(out)[at - begin] = patch.bytes[i];
    }
  }
  memory->at += count;
  return count;
}

sf_count_t memory_write(const void* /*bytes*/, sf_count_t /*count*/, void* /*user*/) { return 0; }
sf_count_t memory_tell(void* user) { return static_cast<Memory*>(user)->at; }

std::string cut_text(const SoundExtent& extent) {
  const bool samples = extent.block_bytes > 0;
  const auto block = static_cast<uint64_t>(samples ? extent.block_bytes : 1);
  return "expected a whole file, got a truncated one: its header says " + std::to_string(extent.stated_bytes / block) +
         (samples ? " samples" : " bytes of sound") + " while " + std::to_string(extent.following_bytes / block) +
         " follow. Copy it again.";
}

}  // namespace

Audio decode_audio(const std::string& bytes, const std::string& what) {
  const auto refuse = [&](const std::string& text) { throw Error(what + ": " + text, DropReason::DecodeFailed); };
  if (is_mp3(bytes)) {
    Mp3 mp3 = read_mp3(bytes);
    if (!mp3.problem.empty()) refuse(mp3.problem);
    return {std::move(mp3.samples_ct), mp3.sample_rate_hz};
  }
  const std::optional<SoundExtent> found = read_sound_extent(bytes);
  if (!found && states_extent(bytes))
    refuse("expected a whole file, got a truncated one, which ends before its samples begin. Copy it again.");
  const SoundExtent extent = found.value_or(SoundExtent());
  if (extent.cut()) refuse(cut_text(extent));
  SF_VIRTUAL_IO io{memory_length, memory_seek, memory_read, memory_write, memory_tell};
  Memory memory{bytes, &extent.patches};
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file(sf_open_virtual(&io, SFM_READ, &info, &memory), sf_close);
  if (!file) refuse(std::string("expected a WAV, FLAC, OGG or MP3 file, got: ") + sf_strerror(nullptr));
  if (info.channels < 1 || info.channels > kMaxChannels || info.samplerate < 1) {
    refuse("expected 1.." + std::to_string(kMaxChannels) + " channels at 1 Hz or more, got " +
           std::to_string(info.channels) + " at " + std::to_string(info.samplerate) + " Hz.");
  }
  // A FLAC from a pipe states no length either.
  const bool fixed = info.frames != kUnknownFrames;
  const int64_t most = kMaxSamples / info.channels;
  if (fixed && (info.frames < 1 || info.frames > most))
    refuse("expected 1.." + std::to_string(most) + " samples per channel, got " + std::to_string(info.frames) + ".");
  std::vector<float> block_tc(static_cast<size_t>(SampleBlocks::kBlock * info.channels));
  SampleBlocks samples(info.channels, info.frames, fixed);
  while (const sf_count_t got = sf_readf_float(file.get(), block_tc.data(), SampleBlocks::kBlock)) {
    if (samples.taken() + got > (fixed ? info.frames : most))
      refuse("expected at most " + std::to_string(most) + " samples per channel, got more. Cut the file.");
    if (!samples.add(block_tc.data(), got)) refuse("expected finite samples, got NaN or infinity.");
  }
  if (fixed && samples.taken() != info.frames) {
    refuse("expected " + std::to_string(info.frames) + " samples per channel, got " + std::to_string(samples.taken()) +
           ": the file is truncated or damaged. Copy it again.");
  }
  if (samples.taken() == 0) refuse("expected 1.." + std::to_string(most) + " samples per channel, got 0.");
  const bool said = extent.known && fixed;
  return {samples.samples_ct(), info.samplerate, said ? "" : "its header states no length: read to its end"};
}

}  // namespace gaze

extern "C" GAZE_API const gaze::SndfilePart gaze_sndfile_table = {{GAZE_VERSION, sizeof(gaze::SndfilePart)},
                                                                  &gaze::decode_audio};

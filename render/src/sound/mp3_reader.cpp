// SPDX-License-Identifier: MIT
#include "sound/mp3_reader.hpp"

#include <mpg123.h>

#include <cstring>
#include <memory>
#include <vector>

#include "sound/sample_blocks.hpp"

namespace gaze {
namespace {

struct Mp3Bytes {
  std::string_view bytes;
  off_t at = 0;
};

ssize_t read_mp3_bytes(void* user, void* to, size_t count) {
  auto* file = static_cast<Mp3Bytes*>(user);
  count = std::min(count, file->bytes.size() - static_cast<size_t>(file->at));
  std::memcpy(to, file->bytes.data() + file->at, count);
  file->at += static_cast<off_t>(count);
  return static_cast<ssize_t>(count);
}

off_t seek_mp3_bytes(void* user, off_t offset, int whence) {
  auto* file = static_cast<Mp3Bytes*>(user);
  const auto size = static_cast<off_t>(file->bytes.size());
  const off_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->at : size;
  return file->at = std::clamp<off_t>(base + offset, 0, size);
}

uint32_t high_first(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// Tags at the front: their size is four times 7 bits.
std::string_view behind_tags(std::string_view bytes) {
  while (bytes.size() >= 10 && bytes.starts_with("ID3")) {
    size_t size = 0;
    for (size_t i = 6; i < 10; ++i) size = size << 7 | (static_cast<unsigned char>(bytes[i]) & 0x7F);
    bytes.remove_prefix(std::min(bytes.size(), size + 10));
  }
  return bytes;
}

/// How many frames the first one says that follow, where it is no sound but a head ("Xing", "Info").
struct StatedFrames {
  int64_t count = 0;  ///< 0: it says none
  int64_t samples_each = 1152;
};

StatedFrames stated_frames(std::string_view bytes) {
  const std::string_view frame = behind_tags(bytes).substr(0, 64);
  if (frame.size() < 64) return {};
  const uint32_t head = high_first(frame, 0);
  const bool first_version = (head >> 19 & 3) == 3, mono = (head >> 6 & 3) == 3;
  const size_t at = 4 + (first_version ? (mono ? 17 : 32) : (mono ? 9 : 17));
  const std::string_view name = frame.substr(at, 4);
  if ((name != "Xing" && name != "Info") || (high_first(frame, at + 4) & 1) == 0) return {};
  return {high_first(frame, at + 8), first_version ? 1152 : 576};
}

std::string count_text(int64_t count) { return std::to_string(count); }

}  // namespace

bool is_mp3(std::string_view bytes) {
  const std::string_view frame = behind_tags(bytes);
  return frame.size() >= 4 && (high_first(frame, 0) & 0xFFE00000) == 0xFFE00000;
}

Mp3 read_mp3(std::string_view bytes) {
  const auto refuse = [](std::string text) { return Mp3{{}, 0, std::move(text)}; };
  const std::string damaged = "expected a whole MP3 file, got a damaged one. Copy it again.";
  static const bool begun = mpg123_init() == MPG123_OK;  // before release 1.27 it makes tables
  const std::unique_ptr<mpg123_handle, decltype(&mpg123_delete)> file(begun ? mpg123_new(nullptr, nullptr) : nullptr,
                                                                      mpg123_delete);
  if (!file) throw std::bad_alloc();
  Mp3Bytes source{bytes};
  constexpr long kFlags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_NO_FRANKENSTEIN;
  mpg123_param(file.get(), MPG123_REMOVE_FLAGS, MPG123_AUTO_RESAMPLE, 0);
  mpg123_param(file.get(), MPG123_ADD_FLAGS, kFlags, 0);
  mpg123_replace_reader_handle(file.get(), read_mp3_bytes, seek_mp3_bytes, nullptr);
  long rate = 0;
  int channels = 0, encoding = 0;
  if (mpg123_open_handle(file.get(), &source) != MPG123_OK ||
      mpg123_getformat(file.get(), &rate, &channels, &encoding) != MPG123_OK || encoding != MPG123_ENC_FLOAT_32 ||
      channels < 1 || channels > 2 || rate < 1)
    return refuse(damaged);
  SampleBlocks samples(channels, 0, /*fixed=*/false);
  std::vector<float> block_tc(static_cast<size_t>(SampleBlocks::kBlock * channels));
  const int64_t most = kMaxSamples / channels;
  for (int said = MPG123_OK; said == MPG123_OK;) {
    size_t got = 0;
    said = mpg123_read(file.get(), reinterpret_cast<unsigned char*>(block_tc.data()), block_tc.size() * sizeof(float),
                       &got);
    if (said != MPG123_OK && said != MPG123_DONE) return refuse(damaged);
    const auto count = static_cast<int64_t>(got / sizeof(float)) / channels;
    if (samples.taken() + count > most)
      return refuse("expected at most " + count_text(most) + " samples per channel, got more. Cut the file.");
    if (!samples.add(block_tc.data(), count)) return refuse("expected finite samples, got NaN or infinity.");
  }
  const StatedFrames stated = stated_frames(bytes);
  const int64_t frames = std::max<int64_t>(0, mpg123_tellframe(file.get()));  // of the last one, or how many
  if (frames + 1 < stated.count) {
    return refuse("expected a whole file, got a truncated one: its header says " +
                  count_text(stated.count * stated.samples_each) + " samples while " +
                  count_text(frames * stated.samples_each) + " follow. Copy it again.");
  }
  if (samples.taken() == 0) return refuse("expected 1.." + count_text(most) + " samples per channel, got 0.");
  return {samples.samples_ct(), rate};
}

}  // namespace gaze

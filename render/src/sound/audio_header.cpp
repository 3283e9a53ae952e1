// SPDX-License-Identifier: MIT
#include "sound/audio_header.hpp"

#include <algorithm>

namespace gaze {
namespace {

using namespace std::string_view_literals;

uint64_t number(std::string_view bytes, size_t at, size_t count, bool big) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[big ? at + i : at + count - 1 - i]);
  return value;
}

std::string digits(uint64_t value, size_t count, bool big) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += static_cast<char>(value >> 8 * (big ? count - 1 - i : i));
  return text;
}

/// How a file is divided into chunks.
struct Container {
  size_t begin;                   // of the first chunk
  size_t name_bytes, size_bytes;  // of a chunk's head
  bool big;                       // which end of a number comes first
  bool counts_head;               // a chunk's size is that with its head
  size_t align;                   // where chunks begin
  std::string_view data;          // the name of that with the samples
  size_t preface;                 // bytes before them, counted in its size
  size_t size_at;                 // where the file's own size stands; 0: nowhere
  uint64_t size_less;             // than the file

  [[nodiscard]] size_t head() const { return name_bytes + size_bytes; }
};

std::optional<Container> container_of(std::string_view bytes) {
  const std::string_view form = bytes.size() >= 12 ? bytes.substr(8, 4) : ""sv;
  if (form == "WAVE" && (bytes.starts_with("RIFF") || bytes.starts_with("RF64") || bytes.starts_with("BW64")))
    return Container{12, 4, 4, false, false, 2, "data", 0, 4, 8};
  if (form == "WAVE" && bytes.starts_with("RIFX")) return Container{12, 4, 4, true, false, 2, "data", 0, 4, 8};
  if (bytes.starts_with("FORM") && (form == "AIFF" || form == "AIFC"))
    return Container{12, 4, 4, true, false, 2, "SSND", 8, 4, 8};
  if (bytes.starts_with("caff\0\1"sv)) return Container{8, 4, 8, true, false, 1, "data", 4, 0, 0};
  if (bytes.starts_with("riff\x2E\x91\xCF\x11"sv)) return Container{40, 16, 8, false, true, 8, "data", 0, 16, 0};
  return std::nullopt;
}

/// What writers that cannot go back leave for the length: all ones; 2 GiB, as the largest signed number; 2^31 less
/// 4096 (sox, espeak) or 64 Ki; less what the header takes or does not divide into samples. None is a length here:
/// no file of 1 GiB or more is read.
bool is_placeholder(uint64_t stated, size_t size_bytes) {
  constexpr uint64_t kTwo = uint64_t{1} << 31, kFour = uint64_t{1} << 32, kSlack = uint64_t{1} << 16;
  constexpr uint64_t kSoxAiff = 0x7F000000;
  if (size_bytes == 8 && stated > ~uint64_t{0} - kSlack) return true;
  return (stated >= kTwo - kSlack && stated < kTwo + kSlack) || (stated >= kFour - kSlack && stated < kFour) ||
         (stated > kSoxAiff - 1024 && stated <= kSoxAiff + 64);
}

/// Whether chunks, and nothing else, follow.
bool only_chunks(std::string_view rest, const Container& container) {
  while (!rest.empty()) {
    if (rest.size() < container.head()) return false;
    const uint64_t length = number(rest, container.name_bytes, container.size_bytes, container.big);
    if (container.counts_head || length > rest.size() - container.head()) return false;
    rest.remove_prefix(std::min<uint64_t>(
        rest.size(), container.head() + (length + container.align - 1) / container.align * container.align));
  }
  return true;
}

/// A length of 0 before bytes is none, unless the file is closed as one without samples.
bool is_empty(std::string_view bytes, size_t first, const Container& container) {
  const bool closed = container.size_at != 0 &&
                      number(bytes, container.size_at, 4, container.big) + container.size_less == bytes.size();
  return first >= bytes.size() || (closed && only_chunks(bytes.substr(first), container));
}

/// What stands in the chunks before the samples.
struct Before {
  size_t ds64 = 0;        // where the 64-bit sizes of an RF64 are; 0: nowhere
  size_t aiff_count = 0;  // where the number of samples of an AIFF is
  int64_t block_bytes = 0;
};

void read_before(std::string_view bytes, std::string_view name, size_t at, uint64_t length, bool big, Before& before) {
  if (name == "ds64" && length >= 24) before.ds64 = at;
  if (name == "fmt " && length >= 16) {
    constexpr uint64_t kPcm = 1, kFloat = 3, kALaw = 6, kMuLaw = 7, kExtensible = 0xFFFE;
    const uint64_t format = number(bytes, at, 2, big);
    if (format == kPcm || format == kFloat || format == kALaw || format == kMuLaw || format == kExtensible)
      before.block_bytes = static_cast<int64_t>(number(bytes, at + 12, 2, big));
  }
  if (name == "COMM" && length >= 18) {
    before.aiff_count = at + 2;
    before.block_bytes = static_cast<int64_t>(number(bytes, at, 2, true) * ((number(bytes, at + 6, 2, true) + 7) / 8));
  }
}

/// @param at  of the chunk with the samples
SoundExtent extent_at(std::string_view bytes, size_t at, const Container& container, const Before& before) {
  const size_t first = at + container.head() + container.preface;
  uint64_t stated = number(bytes, at + container.name_bytes, container.size_bytes, container.big);
  constexpr uint64_t kSee64 = 0xFFFFFFFF;
  const bool in_ds64 = before.ds64 != 0 && stated == kSee64;
  if (in_ds64) stated = number(bytes, before.ds64 + 8, 8, false);
  const uint64_t beside = container.preface + (container.counts_head ? container.head() : 0);
  SoundExtent extent;
  extent.block_bytes = before.block_bytes;
  extent.following_bytes = bytes.size() - std::min(bytes.size(), first);
  extent.stated_bytes = stated - std::min(stated, beside);
  const bool none = extent.stated_bytes == 0 && !is_empty(bytes, first, container);
  extent.known = !none && !is_placeholder(stated, in_ds64 ? 8 : container.size_bytes);
  if (extent.known) return extent;
  const uint64_t follows = extent.following_bytes + beside;
  if (in_ds64) {
    const uint64_t block = static_cast<uint64_t>(std::max<int64_t>(1, before.block_bytes));
    extent.patches.push_back({before.ds64, digits(bytes.size() - container.size_less, 8, false) +
                                               digits(follows, 8, false) + digits(follows / block, 8, false)});
    return extent;
  }
  extent.patches.push_back({at + container.name_bytes, digits(follows, container.size_bytes, container.big)});
  if (container.size_at != 0) {
    extent.patches.push_back(
        {container.size_at, digits(bytes.size() - container.size_less, container.size_bytes, container.big)});
  }
  if (before.aiff_count != 0 && before.block_bytes > 0) {
    const uint64_t block = static_cast<uint64_t>(before.block_bytes);
    extent.patches.push_back({before.aiff_count, digits(extent.following_bytes / block, 4, true)});
  }
  return extent;
}

// AU has no chunks: ".snd", or "dns." with the low ends first.
bool is_au(std::string_view bytes) { return bytes.starts_with(".snd") || bytes.starts_with("dns."); }

std::optional<SoundExtent> au_extent(std::string_view bytes) {
  if (bytes.size() < 24) return std::nullopt;
  const bool big = bytes[0] == '.';
  const uint64_t first = number(bytes, 4, 4, big);
  if (first > bytes.size()) return std::nullopt;
  constexpr uint64_t kMuLaw = 1, kFirstLinear = 2, kLastFloat = 7, kALaw = 27;
  const uint64_t encoding = number(bytes, 12, 4, big), channels = number(bytes, 20, 4, big);
  SoundExtent extent;
  if (channels > 0 && channels < 65536) {
    const uint64_t width = encoding == kMuLaw || encoding == kALaw              ? 1
                           : encoding >= kFirstLinear && encoding <= kLastFloat ? (encoding <= 5   ? encoding - 1
                                                                                   : encoding == 6 ? 4
                                                                                                   : 8)
                                                                                : 0;
    extent.block_bytes = static_cast<int64_t>(width * channels);
  }
  extent.stated_bytes = number(bytes, 8, 4, big);
  extent.following_bytes = bytes.size() - first;
  extent.known = !is_placeholder(extent.stated_bytes, 4) && (extent.stated_bytes > 0 || extent.following_bytes == 0);
  if (!extent.known) extent.patches.push_back({8, digits(extent.following_bytes, 4, big)});
  return extent;
}

}  // namespace

bool states_extent(std::string_view bytes) { return is_au(bytes) || container_of(bytes).has_value(); }

std::optional<SoundExtent> read_sound_extent(std::string_view bytes) {
  if (is_au(bytes)) return au_extent(bytes);
  const std::optional<Container> container = container_of(bytes);
  if (!container) return std::nullopt;
  Before before;
  for (size_t at = container->begin; bytes.size() >= container->head() && at <= bytes.size() - container->head();) {
    const std::string_view name = bytes.substr(at, 4);
    if (name == container->data) return extent_at(bytes, at, *container, before);
    const size_t content = at + container->head();
    uint64_t length = number(bytes, at + container->name_bytes, container->size_bytes, container->big);
    if (container->counts_head) length -= std::min<uint64_t>(length, container->head());
    if (length > bytes.size() - content) return std::nullopt;
    read_before(bytes, name, content, length, container->big, before);
    at = content + (length + container->align - 1) / container->align * container->align;
  }
  return std::nullopt;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "codecs/image_header.hpp"

#include <algorithm>

#include "codecs/orientation.hpp"
#include "codecs/png/crc32.hpp"

namespace gaze {
namespace {

using namespace std::string_view_literals;

uint64_t big_endian(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

uint64_t little_endian(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::optional<ImageHeader> read_png(std::string_view bytes) {
  if (bytes.size() < 33 || bytes.substr(12, 4) != "IHDR") return std::nullopt;
  ImageHeader header{"PNG", static_cast<int64_t>(big_endian(bytes, 16, 4)),
                     static_cast<int64_t>(big_endian(bytes, 20, 4)), false};
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const uint64_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) break;
    if (crc32(bytes.substr(at + 4, length + 4)) != big_endian(bytes, at + 8 + length, 4)) break;
    // One frame or more; what is read is the picture for readers that know of none.
    if (bytes.substr(at + 4, 4) == "acTL" && length == 8)
      header.frames = std::max<int64_t>(1, static_cast<int64_t>(big_endian(bytes, at + 8, 4)));
    if (bytes.substr(at + 4, 4) == "eXIf") header.orientation = exif_orientation(bytes.substr(at + 8, length));
    if (bytes.substr(at + 4, 4) == "IEND") {
      header.complete = true;
      break;
    }
    at += 12 + length;
  }
  return header;
}

// libjpeg fills what is missing with gray, so the end of the scans is looked for here.
std::optional<ImageHeader> read_jpeg(std::string_view bytes) {
  std::optional<ImageHeader> header;
  int orientation = 1;
  int64_t scans = 0;
  for (size_t at = 2; at + 2 <= bytes.size();) {
    if (bytes[at] != '\xFF') {  // entropy-coded data between markers
      ++at;
      continue;
    }
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xD9) {
      if (!header) break;
      header->complete = true;
      header->orientation = orientation;
      header->scans = scans;
      break;
    }
    const bool standalone = marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
    if (standalone) {
      at += 2;
      continue;
    }
    if (at + 4 > bytes.size()) break;
    const uint64_t length = big_endian(bytes, at + 2, 2);
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && at + 9 <= bytes.size() && !header) {
      header = ImageHeader{"JPEG", static_cast<int64_t>(big_endian(bytes, at + 7, 2)),
                           static_cast<int64_t>(big_endian(bytes, at + 5, 2)), false};
    }
    constexpr std::string_view kExif = "Exif\0\0"sv;
    const std::string_view content = bytes.substr(at + 4, std::max<uint64_t>(length, 2) - 2);
    if (marker == 0xE1 && content.starts_with(kExif)) orientation = exif_orientation(content.substr(kExif.size()));
    if (marker == 0xDA) ++scans;
    at += 2 + length;
  }
  return header;
}

// A chunk that its file holds whole.
struct RiffChunk {
  std::string_view name, whole, content;
};

/// Takes the first chunk off; nullopt when there is none or it is cut.
std::optional<RiffChunk> take_chunk(std::string_view& bytes) {
  constexpr size_t kHead = 8;
  if (bytes.size() < kHead) return std::nullopt;
  const uint64_t length = little_endian(bytes, 4, 4);
  if (length > bytes.size() - kHead) return std::nullopt;
  const RiffChunk chunk{bytes.substr(0, 4), bytes.substr(0, kHead + length), bytes.substr(kHead, length)};
  bytes.remove_prefix(std::min<uint64_t>(bytes.size(), kHead + length + length % 2));
  return chunk;
}

/// The sides that pixels state themselves; false when the chunk holds none.
bool read_webp_sides(const RiffChunk& pixels, int64_t& width, int64_t& height) {
  if (pixels.name == "VP8L" && pixels.content.size() >= 5) {
    const uint64_t bits = little_endian(pixels.content, 1, 4);
    width = static_cast<int64_t>(bits & 0x3FFF) + 1;
    height = static_cast<int64_t>(bits >> 14 & 0x3FFF) + 1;
    return true;
  }
  if (pixels.name != "VP8 " || pixels.content.size() < 10) return false;
  width = static_cast<int64_t>(little_endian(pixels.content, 6, 2) & 0x3FFF);
  height = static_cast<int64_t>(little_endian(pixels.content, 8, 2) & 0x3FFF);
  return true;
}

/// nullopt when the frame does not lie on the canvas, or holds no pixels of its size.
std::optional<WebpFrame> read_webp_frame(std::string_view content, const ImageHeader& canvas) {
  constexpr size_t kHead = 16;
  if (content.size() < kHead) return std::nullopt;
  const auto three = [&](size_t at) { return static_cast<int64_t>(little_endian(content, at, 3)); };
  WebpFrame frame{2 * three(0), 2 * three(3), three(6) + 1, three(9) + 1, {}};
  if (frame.left + frame.width > canvas.width || frame.top + frame.height > canvas.height) return std::nullopt;
  std::string_view rest = content.substr(kHead);
  while (const auto chunk = take_chunk(rest)) {
    int64_t width = 0, height = 0;
    if (!read_webp_sides(*chunk, width, height)) continue;  // its alpha, which nobody sees
    if (width != frame.width || height != frame.height) return std::nullopt;
    frame.chunk = chunk->whole;
    return frame;
  }
  return std::nullopt;
}

// The chunks behind "VP8X".
void read_webp_parts(std::string_view rest, unsigned flags, ImageHeader& header) {
  constexpr unsigned kAnimated = 0x02, kExif = 0x08;
  int64_t frames = 0;
  bool turned = false;
  while (const auto chunk = take_chunk(rest)) {
    if ((flags & kExif) != 0 && chunk->name == "EXIF" && !turned) {
      std::string_view exif = chunk->content;
      if (exif.starts_with("Exif\0\0"sv)) exif.remove_prefix(6);  // as in a JPEG; some writers leave it there
      header.orientation = exif_orientation(exif);
      turned = true;
    }
    if ((flags & kAnimated) == 0 || chunk->name != "ANMF") continue;
    if (++frames == 1) header.first_frame = read_webp_frame(chunk->content, header);
  }
  if ((flags & kAnimated) == 0) return;
  header.frames = frames;
  header.complete = header.complete && header.first_frame.has_value();
}

std::optional<ImageHeader> read_webp(std::string_view bytes) {
  if (bytes.size() < 30) return std::nullopt;
  const uint64_t stated = little_endian(bytes, 4, 4) + 8;
  ImageHeader header{"WebP", 0, 0, stated <= bytes.size()};
  std::string_view rest = bytes.substr(12, std::max<uint64_t>(stated, 12) - 12);
  const std::string_view name = bytes.substr(12, 4);
  if (name == "VP8X") {
    header.width = static_cast<int64_t>(little_endian(bytes, 24, 3)) + 1;
    header.height = static_cast<int64_t>(little_endian(bytes, 27, 3)) + 1;
    if (take_chunk(rest)) read_webp_parts(rest, static_cast<unsigned char>(bytes[20]), header);
    return header;
  }
  // What is cut says its sides all the same.
  if (!read_webp_sides({name, {}, bytes.substr(20)}, header.width, header.height)) return std::nullopt;
  return header;
}

}  // namespace

std::optional<ImageHeader> read_image_header(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"sv)) return read_png(bytes);
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return read_jpeg(bytes);
  if (bytes.starts_with("RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP"sv) return read_webp(bytes);
  return std::nullopt;
}

}  // namespace gaze

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

std::optional<ImageHeader> read_webp(std::string_view bytes) {
  if (bytes.size() < 30) return std::nullopt;
  ImageHeader header{"WebP", 0, 0, little_endian(bytes, 4, 4) + 8 <= bytes.size()};
  const std::string_view chunk = bytes.substr(12, 4);
  if (chunk == "VP8X") {
    header.width = static_cast<int64_t>(little_endian(bytes, 24, 3)) + 1;
    header.height = static_cast<int64_t>(little_endian(bytes, 27, 3)) + 1;
  } else if (chunk == "VP8L") {
    const uint64_t bits = little_endian(bytes, 21, 4);
    header.width = static_cast<int64_t>(bits & 0x3FFF) + 1;
    header.height = static_cast<int64_t>(bits >> 14 & 0x3FFF) + 1;
  } else if (chunk == "VP8 ") {
    header.width = static_cast<int64_t>(little_endian(bytes, 26, 2) & 0x3FFF);
    header.height = static_cast<int64_t>(little_endian(bytes, 28, 2) & 0x3FFF);
  } else {
    return std::nullopt;
  }
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

// SPDX-License-Identifier: MIT
#include "grey_jpeg.hpp"

#include <initializer_list>

namespace gaze::cli {
namespace {

void put_bytes(std::string& out, std::initializer_list<int> bytes) {
  for (const int byte : bytes) out += static_cast<char>(byte);
}

}  // namespace

JpegSize jpeg_size(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<int>(static_cast<unsigned char>(bytes[i])); };
  if (bytes.size() < 4 || byte(0) != 0xff || byte(1) != 0xd8) return {};
  for (size_t at = 2; at + 9 <= bytes.size() && byte(at) == 0xff;) {
    const int marker = byte(at + 1);
    const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame) return {byte(at + 7) << 8 | byte(at + 8), byte(at + 5) << 8 | byte(at + 6)};
    at += 2 + static_cast<size_t>(byte(at + 2) << 8 | byte(at + 3));
  }
  return {};
}

std::string grey_jpeg(JpegSize size) {
  std::string out;
  put_bytes(out, {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0});
  out.append(64, '\1');  // quantisation
  put_bytes(out, {0xff, 0xc0, 0, 11, 8, size.height >> 8, size.height & 255, size.width >> 8, size.width & 255, 1, 1,
                  0x11, 0});
  // Two codes, of one bit each: no difference to the block before, and the end of a block.
  for (const int table : {0x00, 0x10}) {
    put_bytes(out, {0xff, 0xc4, 0, 20, table, 1});
    out.append(15, '\0');
    put_bytes(out, {0});
  }
  put_bytes(out, {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0});
  const int64_t blocks = (int64_t{size.width} + 7) / 8 * ((int64_t{size.height} + 7) / 8);
  const int64_t bits = 2 * blocks;
  out.append(static_cast<size_t>(bits / 8), '\0');
  if (bits % 8 != 0) put_bytes(out, {0xff >> bits % 8});
  put_bytes(out, {0xff, 0xd9});
  return out;
}

}  // namespace gaze::cli

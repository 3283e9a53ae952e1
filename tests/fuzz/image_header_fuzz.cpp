// SPDX-License-Identifier: MIT
// Bytes that call themselves a picture, and texts that may hold any bytes.
#include "codecs/image_header.hpp"

#include "base/utf8.hpp"
#include "codecs/file_kinds.hpp"
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto header = gaze::read_image_header(bytes)) {
    GAZE_HOLDS(header->format != nullptr);
    GAZE_HOLDS(header->width >= 0 && header->height >= 0);
    GAZE_HOLDS(header->orientation >= 1 && header->orientation <= 8 && header->frames >= 0);
    if (const auto& frame = header->first_frame) {
      GAZE_HOLDS(frame->left + frame->width <= header->width && frame->top + frame->height <= header->height);
      GAZE_HOLDS(frame->chunk.data() >= bytes.data() &&
                 frame->chunk.data() + frame->chunk.size() <= bytes.data() + bytes.size());
    }
    // A file that was cut is not complete.
    if (header->complete && size > 0) {
      const auto cut = gaze::read_image_header(bytes.substr(0, size / 2));
      GAZE_HOLDS(!cut || !cut->complete || size < 24 || cut->width == header->width);
    }
  }
  GAZE_HOLDS(gaze::kind_of_file(bytes).name != nullptr);
  const std::string line = gaze::one_line(bytes);
  GAZE_HOLDS(gaze::one_line(line) == line);
  for (std::string_view rest = line; !rest.empty();) {
    const gaze::Utf8 character = gaze::decode_utf8(rest);
    GAZE_HOLDS(character.valid && character.length >= 1 && character.length <= rest.size());
    GAZE_HOLDS(character.code >= 0x20 && character.code != 0x7F && character.code != 0x2028 &&
               character.code != 0x2029);
    rest.remove_prefix(character.length);
  }
  size_t told = 0;
  for (std::string_view rest = bytes; !rest.empty();) {
    const gaze::Utf8 character = gaze::decode_utf8(rest);
    GAZE_HOLDS(character.length >= 1 && character.length <= rest.size());
    told += character.length;
    rest.remove_prefix(character.length);
  }
  GAZE_HOLDS(told == size);
  return 0;
}

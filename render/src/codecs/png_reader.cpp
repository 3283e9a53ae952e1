// SPDX-License-Identifier: MIT
#include "codecs/png_reader.hpp"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace gaze {
namespace {

// Handed through C code, which no exception may cross.
struct PngReader {
  std::string_view rest;
  png_structp file = nullptr;
  png_infop info = nullptr;
  std::jmp_buf leave;
  bool out_of_memory = false;
  char text[96] = {};
};

[[noreturn]] void give_up(png_structp file, png_const_charp text) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(file));
  std::snprintf(reader->text, sizeof reader->text, "%s", text);
  std::longjmp(reader->leave, 1);
}

void say_nothing(png_structp /*file*/, png_const_charp /*text*/) {}

png_voidp allocate(png_structp file, png_alloc_size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) static_cast<PngReader*>(png_get_mem_ptr(file))->out_of_memory = true;
  return memory;
}

void release(png_structp /*file*/, png_voidp memory) { std::free(memory); }

void take(png_structp file, png_bytep to, size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(file));
  if (count > reader->rest.size()) png_error(file, "too few bytes");
  std::memcpy(to, reader->rest.data(), count);
  reader->rest.remove_prefix(count);
}

// Holds no object with a destructor, which longjmp would pass over.
bool read(PngReader& reader, int64_t height, int64_t width, uint8_t* rgb_hwc) {
  if (setjmp(reader.leave) != 0) return false;
  reader.file =
      png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, give_up, say_nothing, &reader, allocate, release);
  reader.info = reader.file != nullptr ? png_create_info_struct(reader.file) : nullptr;
  if (reader.info == nullptr) {
    std::snprintf(reader.text, sizeof reader.text, "no libpng " PNG_LIBPNG_VER_STRING);
    return false;
  }
  png_set_read_fn(reader.file, &reader, take);
  png_set_crc_action(reader.file, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  // Texts, profiles and the like change no pixel here, but may unfold to gigabytes.
  png_set_keep_unknown_chunks(reader.file, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(reader.file, reader.info);
  if (png_get_image_width(reader.file, reader.info) != width ||
      png_get_image_height(reader.file, reader.info) != height) {
    png_error(reader.file, "two sizes");
  }
  const int colours = png_get_color_type(reader.file, reader.info);
  png_set_strip_16(reader.file);
  if (colours == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader.file);
  if ((colours & PNG_COLOR_MASK_COLOR) == 0) {
    png_set_expand_gray_1_2_4_to_8(reader.file);
    png_set_gray_to_rgb(reader.file);
  }
  png_set_strip_alpha(reader.file);
  const int passes = png_set_interlace_handling(reader.file);
  png_read_update_info(reader.file, reader.info);
  if (png_get_rowbytes(reader.file, reader.info) != static_cast<size_t>(3 * width)) {
    png_error(reader.file, "another kind of pixel");
  }
  for (int pass = 0; pass < passes; ++pass) {
    for (int64_t y = 0; y < height; ++y) png_read_row(reader.file, rgb_hwc + 3 * width * y, nullptr);
  }
  png_read_end(reader.file, nullptr);
  return true;
}

}  // namespace

std::string read_png(std::string_view bytes, int64_t height, int64_t width, uint8_t* rgb_hwc) {
  PngReader reader{};
  reader.rest = bytes;
  const bool whole = read(reader, height, width, rgb_hwc);
  png_destroy_read_struct(&reader.file, &reader.info, nullptr);
  if (whole) return {};
  if (reader.out_of_memory) throw std::bad_alloc();
  return reader.text;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "codecs/jpeg_reader.hpp"

#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it first
#include <new>

#include <jpeglib.h>

#include <jerror.h>  // its numbers depend on how libjpeg was built

namespace gaze {
namespace {

// Handed through C code, which no exception may cross.
struct JpegReader {
  jpeg_error_mgr errors;  // first: libjpeg knows its address
  jpeg_decompress_struct file;
  std::jmp_buf leave;
  bool out_of_memory = false;
  char text[JMSG_LENGTH_MAX] = {};
};

[[noreturn]] void give_up(j_common_ptr file) {
  auto* reader = reinterpret_cast<JpegReader*>(file->err);
  reader->out_of_memory = file->err->msg_code == JERR_OUT_OF_MEMORY;
  file->err->format_message(file, reader->text);
  std::longjmp(reader->leave, 1);
}

// After these libjpeg goes on with pixels of its own invention.
bool is_damage(int code) {
  switch (code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
      return true;
    default:
      return false;
  }
}

void hear(j_common_ptr file, int level) {
  if (level < 0 && is_damage(file->err->msg_code)) give_up(file);
}

void say_nothing(j_common_ptr /*file*/) {}

// Inks as they are stored, upside down: 255 is no ink.
void inks_to_rgb(const uint8_t* cmyk_x, int64_t width, uint8_t* rgb_x) {
  for (int64_t x = 0; x < width; ++x) {
    for (int64_t c = 0; c < 3; ++c) {
      rgb_x[3 * x + c] = static_cast<uint8_t>((cmyk_x[4 * x + c] * cmyk_x[4 * x + 3] + 127) / 255);
    }
  }
}

// Holds no object with a destructor, which longjmp would pass over.
bool read(JpegReader& reader, const uint8_t* bytes, size_t size, int64_t height, int64_t width, int64_t shrink,
          uint8_t* rgb_hwc) {
  jpeg_decompress_struct& file = reader.file;
  if (setjmp(reader.leave) != 0) {
    jpeg_destroy_decompress(&reader.file);
    return false;
  }
  jpeg_create_decompress(&file);
  jpeg_mem_src(&file, bytes, size);
  jpeg_read_header(&file, TRUE);
  if (file.image_width != width || file.image_height != height) {
    std::snprintf(reader.text, sizeof reader.text, "two sizes");
    jpeg_destroy_decompress(&file);
    return false;
  }
  const bool inks = file.num_components == 4;
  file.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  file.scale_num = 1;
  file.scale_denom = static_cast<unsigned>(shrink);
  jpeg_start_decompress(&file);
  JSAMPARRAY line = nullptr;
  if (inks) {
    line = file.mem->alloc_sarray(reinterpret_cast<j_common_ptr>(&file), JPOOL_IMAGE, 4 * file.output_width, 1);
  }
  while (file.output_scanline < file.output_height) {
    uint8_t* rgb_x = rgb_hwc + size_t{3} * file.output_width * file.output_scanline;
    jpeg_read_scanlines(&file, inks ? line : &rgb_x, 1);
    if (inks) inks_to_rgb(line[0], file.output_width, rgb_x);
  }
  jpeg_finish_decompress(&file);
  jpeg_destroy_decompress(&file);
  return true;
}

}  // namespace

std::string read_jpeg(std::string_view bytes, int64_t height, int64_t width, int64_t shrink, uint8_t* rgb_hwc) {
  JpegReader reader{};
  reader.file.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = give_up;
  reader.errors.emit_message = hear;
  reader.errors.output_message = say_nothing;
  if (read(reader, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), height, width, shrink, rgb_hwc))
    return {};
  if (reader.out_of_memory) throw std::bad_alloc();
  return reader.text;
}

}  // namespace gaze

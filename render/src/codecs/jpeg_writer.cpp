// SPDX-License-Identifier: MIT
#include "codecs/jpeg_writer.hpp"

#include <gaze/render/status.hpp>

#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it first
#include <new>

#include <jpeglib.h>

#include <jerror.h>  // its numbers depend on how libjpeg was built

namespace gaze {
namespace {

constexpr int kQuality = 85;
constexpr size_t kPieceBytes = size_t{64} << 10;

// Handed through C code, which no exception may cross.
struct JpegWriter {
  jpeg_error_mgr errors;  // first: libjpeg knows its address
  jpeg_destination_mgr destination;
  jpeg_compress_struct file;
  std::jmp_buf leave;
  std::string bytes;  // what was written, and behind it the piece that is being filled
  bool out_of_memory = false;
  char text[JMSG_LENGTH_MAX] = {};
};

JpegWriter& writer_of(j_compress_ptr file) { return *reinterpret_cast<JpegWriter*>(file->err); }

[[noreturn]] void stop_writing(j_common_ptr file) {
  auto* writer = reinterpret_cast<JpegWriter*>(file->err);
  writer->out_of_memory = writer->out_of_memory || file->err->msg_code == JERR_OUT_OF_MEMORY;
  file->err->format_message(file, writer->text);
  std::longjmp(writer->leave, 1);
}

void print_nothing(j_common_ptr /*file*/) {}

bool add_piece(JpegWriter& writer) noexcept {
  const size_t size = writer.bytes.size();
  try {
    writer.bytes.resize(size + kPieceBytes);
  } catch (const std::bad_alloc&) {
    writer.out_of_memory = true;
    return false;
  }
  writer.destination.next_output_byte = reinterpret_cast<JOCTET*>(writer.bytes.data() + size);
  writer.destination.free_in_buffer = kPieceBytes;
  return true;
}

void begin_piece(j_compress_ptr file) {
  if (!add_piece(writer_of(file))) stop_writing(reinterpret_cast<j_common_ptr>(file));
}

boolean next_piece(j_compress_ptr file) {
  begin_piece(file);
  return TRUE;
}

void end_pieces(j_compress_ptr file) {
  JpegWriter& writer = writer_of(file);
  writer.bytes.resize(writer.bytes.size() - writer.destination.free_in_buffer);  // shorter: allocates nothing
}

// Holds no object with a destructor, which longjmp would pass over.
bool write(JpegWriter& writer, const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  jpeg_compress_struct& file = writer.file;
  if (setjmp(writer.leave) != 0) {
    jpeg_destroy_compress(&writer.file);
    return false;
  }
  jpeg_create_compress(&file);
  writer.destination.init_destination = begin_piece;
  writer.destination.empty_output_buffer = next_piece;
  writer.destination.term_destination = end_pieces;
  file.dest = &writer.destination;
  file.image_width = static_cast<JDIMENSION>(width);
  file.image_height = static_cast<JDIMENSION>(height);
  file.input_components = 3;
  file.in_color_space = JCS_RGB;
  jpeg_set_defaults(&file);
  jpeg_set_quality(&file, kQuality, TRUE);
  jpeg_start_compress(&file, TRUE);
  while (file.next_scanline < file.image_height) {
    auto* rgb_x = const_cast<JSAMPROW>(rgb_hwc + 3 * width * file.next_scanline);  // libjpeg has no const
    jpeg_write_scanlines(&file, &rgb_x, 1);
  }
  jpeg_finish_compress(&file);
  jpeg_destroy_compress(&file);
  return true;
}

}  // namespace

std::string encode_jpeg(const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  if (height > JPEG_MAX_DIMENSION || width > JPEG_MAX_DIMENSION) {
    throw Error("encoding a JPEG: expected sides of at most " + std::to_string(JPEG_MAX_DIMENSION) + " pixels, got " +
                    std::to_string(width) + " x " + std::to_string(height) + ". Choose png.",
                DropReason::RenderError);
  }
  JpegWriter writer{};
  writer.file.err = jpeg_std_error(&writer.errors);
  writer.errors.error_exit = stop_writing;
  writer.errors.output_message = print_nothing;
  if (write(writer, rgb_hwc, height, width)) return std::move(writer.bytes);
  if (writer.out_of_memory) throw std::bad_alloc();
  throw Error(std::string("encoding a JPEG: ") + writer.text, DropReason::RenderError);
}

}  // namespace gaze

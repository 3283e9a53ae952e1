// SPDX-License-Identifier: MIT
#include "photo_file.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/flip.h>
#include <libheif/heif.h>
#include <tiffio.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "console.hpp"

namespace gaze::cli {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void refuse(const std::string& path, const std::string& expected, const std::string& got) {
  throw Refusal("--image: expected " + expected + ", got " + printable(path) + got + ".");
}

void expect_size(const std::string& path, int64_t width, int64_t height) {
  if (width > 0 && height > 0 && width <= kMostPixels / height) return;
  refuse(path, "1 to " + std::to_string(kMostPixels) + " pixels",
         " of " + std::to_string(width) + " x " + std::to_string(height) + ". Scale the picture down");
}

void say_first(int64_t pictures) {
  if (pictures > 1) std::printf("picture   one of %lld in the file\n", static_cast<long long>(pictures));
}

/// As EXIF and TIFF number them.
at::Tensor upright(at::Tensor stored_hwc, int orientation) {
  const bool turned = orientation >= 5;
  at::Tensor seen_hwc = turned ? stored_hwc.transpose(0, 1) : std::move(stored_hwc);
  const auto is = [&](auto... numbers) { return ((orientation == numbers) || ...); };
  if (is(2, 3, 6, 7)) seen_hwc = seen_hwc.flip(1);
  if (is(3, 4, 7, 8)) seen_hwc = seen_hwc.flip(0);
  return seen_hwc.contiguous();
}

template <auto Free>
struct Frees {
  void operator()(auto* held) const { Free(held); }
};

using HeifContext = std::unique_ptr<heif_context, Frees<heif_context_free>>;
using HeifHandle = std::unique_ptr<heif_image_handle, Frees<heif_image_handle_release>>;
using HeifImage = std::unique_ptr<heif_image, Frees<heif_image_release>>;
using HeifOptions = std::unique_ptr<heif_decoding_options, Frees<heif_decoding_options_free>>;

at::Tensor read_heif(const std::string& path, const std::string& bytes) {
  const auto expect = [&](const heif_error& error) {
    if (error.code != heif_error_Ok)
      refuse(path, "a whole HEIC or AVIF", ", which libheif does not read: " + std::string(error.message));
  };
  const HeifContext context(heif_context_alloc());
  expect(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(), nullptr));
  heif_image_handle* found = nullptr;
  expect(heif_context_get_primary_image_handle(context.get(), &found));
  const HeifHandle handle(found);
  expect_size(path, heif_image_handle_get_width(found), heif_image_handle_get_height(found));
  say_first(heif_context_get_number_of_top_level_images(context.get()));
  const HeifOptions options(heif_decoding_options_alloc());
  options->convert_hdr_to_8bit = 1;
  heif_image* decoded = nullptr;
  expect(heif_decode_image(found, &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options.get()));
  const HeifImage image(decoded);
  int step_bytes = 0;
  const uint8_t* pixels = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &step_bytes);
  return Picture::from_pixels(pixels, heif_image_get_height(decoded, heif_channel_interleaved),
                              heif_image_get_width(decoded, heif_channel_interleaved), 3, step_bytes)
      .tensor;
}

// libtiff on memory.
struct Memory {
  std::string_view bytes;
  toff_t at = 0;
};

tmsize_t memory_read(thandle_t user, void* out, tmsize_t count) {
  auto* memory = static_cast<Memory*>(user);
  if (memory->at >= memory->bytes.size()) return 0;
  const std::string_view read = memory->bytes.substr(memory->at, static_cast<size_t>(count));
  std::memcpy(out, read.data(), read.size());
  memory->at += read.size();
  return static_cast<tmsize_t>(read.size());
}

tmsize_t memory_write(thandle_t /*user*/, void* /*bytes*/, tmsize_t /*count*/) { return 0; }
int memory_close(thandle_t /*user*/) { return 0; }
toff_t memory_size(thandle_t user) { return static_cast<Memory*>(user)->bytes.size(); }

toff_t memory_seek(thandle_t user, toff_t offset, int whence) {
  auto* memory = static_cast<Memory*>(user);
  const toff_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory->at : memory_size(user);
  return memory->at = base + offset;
}

/// Without it libtiff 4.5 refuses tiles of 16 bits that are not compressed.
int memory_map(thandle_t user, void** base, toff_t* size) {
  auto* memory = static_cast<Memory*>(user);
  *base = const_cast<char*>(memory->bytes.data());
  *size = memory->bytes.size();
  return 1;
}

void memory_unmap(thandle_t /*user*/, void* /*base*/, toff_t /*size*/) {}

int keep_error(TIFF* /*tiff*/, void* text, const char* /*module*/, const char* format, va_list values) {
  char line[160];
  std::vsnprintf(line, sizeof line, format, values);
  *static_cast<std::string*>(text) = line;
  return 1;
}

int say_nothing(TIFF* /*tiff*/, void* /*text*/, const char* /*module*/, const char* /*format*/, va_list /*values*/) {
  return 1;
}

at::Tensor read_tiff(const std::string& path, const std::string& bytes) {
  Memory memory{bytes};
  std::string error = "it has no picture";
  const std::unique_ptr<TIFFOpenOptions, Frees<TIFFOpenOptionsFree>> options(TIFFOpenOptionsAlloc());
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_error, &error);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), say_nothing, nullptr);
  const std::unique_ptr<TIFF, Frees<TIFFClose>> tiff(
      TIFFClientOpenExt("picture", "r", &memory, memory_read, memory_write, memory_seek, memory_close, memory_size,
                        memory_map, memory_unmap, options.get()));
  const auto expect = [&](bool good) {
    if (!good) refuse(path, "a whole TIFF", ", which libtiff does not read: " + error);
  };
  expect(tiff != nullptr);
  uint32_t width = 0, height = 0;
  expect(TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) == 1 &&
         TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) == 1);
  expect_size(path, width, height);
  TIFFRGBAImage image;
  char text[1024] = "";
  if (TIFFRGBAImageBegin(&image, tiff.get(), /*stop=*/1, text) != 1)
    refuse(path, "a TIFF that libtiff shows", std::string(": ") + text);
  const int orientation = image.orientation;
  image.req_orientation = image.orientation;  // as stored: libtiff flips, but does not turn
  const at::Tensor rgba_hwc = at::empty({height, width, 4}, at::kByte);
  const int good = TIFFRGBAImageGet(&image, static_cast<uint32_t*>(rgba_hwc.mutable_data_ptr()), width, height);
  TIFFRGBAImageEnd(&image);
  expect(good == 1);
  say_first(TIFFNumberOfDirectories(tiff.get()));
  return upright(rgba_hwc.narrow(2, 0, 3), orientation);
}

}  // namespace

Picture photo_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(12, '\0');
  if (!file.read(bytes.data(), 12)) return path;
  const std::string_view head = bytes, brand = head.substr(8);
  const bool heif = head.substr(4, 4) == "ftyp"sv && (brand.starts_with("he"sv) || brand == "avif"sv ||
                                                      brand == "avis"sv || brand == "mif1"sv || brand == "msf1"sv);
  const bool tiff = head.starts_with("II*\0"sv) || head.starts_with("MM\0*"sv) || head.starts_with("II+\0"sv) ||
                    head.starts_with("MM\0+"sv);
  if (!heif && !tiff) return path;
  bytes.append(std::istreambuf_iterator<char>(file), {});
  return heif ? read_heif(path, bytes) : read_tiff(path, bytes);
}

}  // namespace gaze::cli

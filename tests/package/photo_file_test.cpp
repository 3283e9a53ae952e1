// SPDX-License-Identifier: MIT
// HEIC, AVIF and TIFF as the tool reads them: written here by the formats' own libraries, compared with what was
// written.
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mean.h>
#include <libheif/heif.h>
#include <tiffio.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "../../samples/cli/console.hpp"
#include "../../samples/cli/photo_file.hpp"
#include "support/test.hpp"

namespace {

namespace fs = std::filesystem;
using gaze::cli::photo_file;

constexpr int64_t kHeight = 48, kWidth = 80;

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "gaze-photo-XXXXXX").string();
    CATCH_REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const char* file) const { return (path / file).string(); }
};

/// Every quarter another colour, so that each way of turning it is another picture.
at::Tensor quarters() {
  at::Tensor rgb_hwc = at::empty({kHeight, kWidth, 3}, at::kByte);
  const int64_t colours[2][2][3] = {{{200, 40, 40}, {40, 160, 60}}, {{50, 60, 190}, {220, 210, 90}}};
  for (int64_t bottom = 0; bottom < 2; ++bottom) {
    for (int64_t right = 0; right < 2; ++right) {
      at::Tensor quarter_hwc =
          rgb_hwc.narrow(0, bottom * kHeight / 2, kHeight / 2).narrow(1, right * kWidth / 2, kWidth / 2);
      for (int64_t c = 0; c < 3; ++c) quarter_hwc.select(2, c).fill_(colours[bottom][right][c]);
    }
  }
  return rgb_hwc;
}

/// The middle of the quarter at (bottom, right) of what is seen.
int64_t red_at(const at::Tensor& rgb_hwc, int64_t bottom, int64_t right) {
  const int64_t y = (1 + 2 * bottom) * rgb_hwc.size(0) / 4, x = (1 + 2 * right) * rgb_hwc.size(1) / 4;
  return rgb_hwc[y][x][0].item<int64_t>();
}

struct TiffStyle {
  int orientation = 1, pages = 1, bits = 8;
  bool planar = false, tiled = false, alpha = false, big = false;
  int compression = COMPRESSION_LZW;
};

/// Bytes of the rows as `style` stores them: 16 bits repeat a byte, alpha is half transparent at the left.
std::vector<uint8_t> stored(const at::Tensor& rgb_hwc, const TiffStyle& style, int channel) {
  std::vector<uint8_t> bytes;
  for (int64_t y = 0; y < rgb_hwc.size(0); ++y) {
    for (int64_t x = 0; x < rgb_hwc.size(1); ++x) {
      for (int64_t c = 0; c < (style.alpha ? 4 : 3); ++c) {
        if (style.planar && c != channel) continue;
        const auto value =
            c == 3 ? static_cast<uint8_t>(2 * x < rgb_hwc.size(1) ? 0 : 255) : rgb_hwc[y][x][c].item<uint8_t>();
        bytes.insert(bytes.end(), static_cast<size_t>(style.bits / 8), value);
      }
    }
  }
  return bytes;
}

void write_tiff(const std::string& path, const at::Tensor& rgb_hwc, const TiffStyle& style = {}) {
  TIFF* const tiff = TIFFOpen(path.c_str(), style.big ? "w8" : "w");
  CATCH_REQUIRE(tiff != nullptr);
  const auto height = static_cast<uint32_t>(rgb_hwc.size(0)), width = static_cast<uint32_t>(rgb_hwc.size(1));
  for (int page = 0; page < style.pages; ++page) {
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, height);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, style.alpha ? 4 : 3);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, style.bits);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, style.planar ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, style.compression);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, style.orientation);
    const uint16_t alpha = EXTRASAMPLE_UNASSALPHA;
    if (style.alpha) TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &alpha);
    if (style.tiled) {  // of 16 x 16, which divide the picture
      TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
      TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
    }
    for (int channel = 0; channel < (style.planar ? 3 : 1); ++channel) {
      std::vector<uint8_t> bytes = stored(rgb_hwc, style, channel);
      const size_t row_bytes = bytes.size() / height, pixel_bytes = row_bytes / width;
      for (uint32_t y = 0; y < height && !style.tiled; ++y)
        CATCH_REQUIRE(TIFFWriteScanline(tiff, bytes.data() + y * row_bytes, y, static_cast<uint16_t>(channel)) == 1);
      for (uint32_t y = 0; y < height && style.tiled; y += 16) {
        for (uint32_t x = 0; x < width; x += 16) {
          std::vector<uint8_t> tile;
          for (size_t row = 0; row < 16; ++row) {
            const auto from = bytes.begin() + static_cast<int64_t>((y + row) * row_bytes + x * pixel_bytes);
            tile.insert(tile.end(), from, from + static_cast<int64_t>(16 * pixel_bytes));
          }
          CATCH_REQUIRE(TIFFWriteTile(tiff, tile.data(), x, y, 0, static_cast<uint16_t>(channel)) > 0);
        }
      }
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
}

struct HeifStyle {
  heif_compression_format format = heif_compression_HEVC;
  int bits = 8, orientation = 1;
  bool alpha = false;
};

void write_heif(const std::string& path, const at::Tensor& rgb_hwc, const HeifStyle& style) {
  heif_context* const context = heif_context_alloc();
  heif_encoder* encoder = nullptr;
  CATCH_REQUIRE(heif_context_get_encoder_for_format(context, style.format, &encoder).code == heif_error_Ok);
  heif_image* image = nullptr;
  const int height = static_cast<int>(rgb_hwc.size(0)), width = static_cast<int>(rgb_hwc.size(1));
  const heif_chroma chroma = style.bits > 8 ? heif_chroma_interleaved_RRGGBB_LE
                             : style.alpha  ? heif_chroma_interleaved_RGBA
                                            : heif_chroma_interleaved_RGB;
  heif_image_create(width, height, heif_colorspace_RGB, chroma, &image);
  heif_image_add_plane(image, heif_channel_interleaved, width, height, style.bits);
  int step = 0;
  uint8_t* const plane = heif_image_get_plane(image, heif_channel_interleaved, &step);
  for (int y = 0; y < height; ++y) {
    uint8_t* to = plane + y * step;
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int value = rgb_hwc[y][x][c].item<int>() << (style.bits - 8);
        *to++ = static_cast<uint8_t>(value & 0xFF);
        if (style.bits > 8) *to++ = static_cast<uint8_t>(value >> 8);
      }
      if (style.alpha) *to++ = static_cast<uint8_t>(2 * x < width ? 0 : 255);
    }
  }
  heif_encoder_set_lossy_quality(encoder, 90);
  heif_encoding_options* const options = heif_encoding_options_alloc();
  options->image_orientation = static_cast<heif_orientation>(style.orientation);
  CATCH_REQUIRE(heif_context_encode_image(context, image, encoder, options, nullptr).code == heif_error_Ok);
  CATCH_REQUIRE(heif_context_write_to_file(context, path.c_str()).code == heif_error_Ok);
  heif_encoding_options_free(options);
  heif_image_release(image);
  heif_encoder_release(encoder);
  heif_context_free(context);
}

/// The red of the quarters as they are seen, by orientation: top left, top right, bottom left, bottom right.
constexpr int64_t kSeen[8][4] = {{200, 40, 50, 220}, {40, 200, 220, 50}, {220, 50, 40, 200}, {50, 220, 200, 40},
                                 {200, 50, 40, 220}, {50, 200, 220, 40}, {220, 40, 50, 200}, {40, 220, 200, 50}};

double mean_gap(const at::Tensor& a_hwc, const at::Tensor& b_hwc) {
  CATCH_REQUIRE(a_hwc.sizes() == b_hwc.sizes());
  return (a_hwc.to(at::kFloat) - b_hwc.to(at::kFloat)).abs().mean().item<double>();
}

std::string refusal(const std::string& path) {
  try {
    (void)photo_file(path);
  } catch (const gaze::cli::Refusal& refused) {
    return refused.what();
  }
  return "";
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

CATCH_TEST_CASE("photo: a TIFF's pixels are those that were written, upright") {
  const Folder folder;
  const at::Tensor stored_hwc = quarters();
  const std::string path = folder / "scan.tif";
  for (int orientation = 1; orientation <= 8; ++orientation) {
    write_tiff(path, stored_hwc, {.orientation = orientation, .pages = orientation == 1 ? 3 : 1});
    const at::Tensor read_hwc = photo_file(path).tensor;
    CATCH_INFO(orientation);
    CATCH_REQUIRE(read_hwc.size(0) == (orientation >= 5 ? kWidth : kHeight));
    for (int64_t at = 0; at < 4; ++at) CATCH_CHECK(red_at(read_hwc, at / 2, at % 2) == kSeen[orientation - 1][at]);
    if (orientation == 1) CATCH_CHECK(at::equal(read_hwc, stored_hwc));
  }
}

CATCH_TEST_CASE("photo: a TIFF is read however it is laid out") {
  const Folder folder;
  const at::Tensor stored_hwc = quarters();
  const std::string path = folder / "scan.tif";
  for (const int bits : {8, 16}) {
    for (const bool planar : {false, true}) {
      for (const bool tiled : {false, true}) {
        for (const int compression : {COMPRESSION_NONE, COMPRESSION_PACKBITS, COMPRESSION_ADOBE_DEFLATE}) {
          CATCH_CAPTURE(bits, planar, tiled, compression);
          write_tiff(path, stored_hwc,
                     {.bits = bits, .planar = planar, .tiled = tiled, .big = tiled, .compression = compression});
          CATCH_CHECK(at::equal(photo_file(path).tensor, stored_hwc));
        }
      }
    }
  }
  write_tiff(path, stored_hwc, {.alpha = true});
  at::Tensor on_black_hwc = stored_hwc.clone();
  on_black_hwc.narrow(1, 0, kWidth / 2).zero_();
  CATCH_CHECK(at::equal(photo_file(path).tensor, on_black_hwc));
}

CATCH_TEST_CASE("photo: a HEIC's and an AVIF's pixels are nearly those that were written, upright, of any depth") {
  const Folder folder;
  const at::Tensor stored_hwc = quarters();
  for (const auto& [file, format] :
       {std::pair{"photo.heic", heif_compression_HEVC}, {"photo.avif", heif_compression_AV1}}) {
    CATCH_INFO(file);
    for (const int bits : {8, 10}) {
      if (bits > 8 && format == heif_compression_AV1) continue;  // Debian's encoder aborts, heif-enc's too
      CATCH_CAPTURE(bits);
      write_heif(folder / file, stored_hwc, {.format = format, .bits = bits});
      CATCH_CHECK(mean_gap(photo_file(folder / file).tensor, stored_hwc) < 4);
    }
    write_heif(folder / file, stored_hwc, {.format = format, .alpha = true});  // which is dropped
    CATCH_CHECK(mean_gap(photo_file(folder / file).tensor, stored_hwc) < 4);
    for (int orientation = 1; orientation <= 8; ++orientation) {
      CATCH_CAPTURE(orientation);
      write_heif(folder / file, stored_hwc, {.format = format, .orientation = orientation});
      const at::Tensor read_hwc = photo_file(folder / file).tensor;
      CATCH_REQUIRE(read_hwc.size(0) == (orientation >= 5 ? kWidth : kHeight));
      for (int64_t at = 0; at < 4; ++at)
        CATCH_CHECK(std::abs(red_at(read_hwc, at / 2, at % 2) - kSeen[orientation - 1][at]) < 12);
    }
  }
}

CATCH_TEST_CASE("photo: what is cut short, claims too much or is another file is refused or left to the library") {
  const Folder folder;
  write_tiff(folder / "whole.tif", quarters());
  const std::string whole = bytes_of(folder / "whole.tif");
  for (const size_t bytes : {size_t{13}, whole.size() / 2, whole.size() - 4}) {
    std::ofstream(folder / "cut.tif", std::ios::binary) << whole.substr(0, bytes);
    CATCH_CHECK_THAT(refusal(folder / "cut.tif"), Catch::Matchers::Contains("expected a whole TIFF"));
  }
  write_heif(folder / "whole.heic", quarters(), {});
  const std::string photo = bytes_of(folder / "whole.heic");
  for (const size_t bytes : {size_t{13}, size_t{100}, photo.size() / 2}) {
    std::ofstream(folder / "cut.heic", std::ios::binary) << photo.substr(0, bytes);
    CATCH_CHECK_THAT(refusal(folder / "cut.heic"), Catch::Matchers::Contains("expected a whole HEIC or AVIF"));
  }
  write_tiff(folder / "large.tif", at::empty({1, 3, 3}, at::kByte));
  std::string large = bytes_of(folder / "large.tif");
  for (size_t at = 0; at + 12 <= large.size(); ++at) {  // the entry of the width: tag 256, one number of 16 or 32 bits
    if (large.compare(at, 2, "\0\x01", 2) != 0 || large.compare(at + 4, 4, "\1\0\0\0", 4) != 0) continue;
    large[at + 2] = 4;
    large.replace(at + 8, 4, "\xFF\xFF\xFF\x7F");
  }
  std::ofstream(folder / "large.tif", std::ios::binary) << large;
  CATCH_CHECK_THAT(refusal(folder / "large.tif"), Catch::Matchers::Contains("2147483647 x 1"));
  std::ofstream(folder / "other.jpg") << "no picture at all";
  CATCH_CHECK(photo_file(folder / "other.jpg").path == folder / "other.jpg");
  CATCH_CHECK(photo_file(folder / "gone.jpg").path == folder / "gone.jpg");
}

}  // namespace

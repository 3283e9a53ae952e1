// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/render/opencv.hpp>
#include <gaze/render/picture.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "codecs/file_kinds.hpp"
#include "codecs/image_codec.hpp"
#include "codecs/image_header.hpp"
#include "codecs/jpeg_reader.hpp"
#include "codecs/jpeg_writer.hpp"
#include "codecs/orientation.hpp"
#include "codecs/png/png.hpp"
#include "codecs/png_reader.hpp"
#include "codecs/webp.hpp"

namespace gaze {
namespace {

// A progressive picture has about ten; each costs the decoder all of its pixels, and the file as little as 20 bytes.
constexpr int64_t kMostScans = 100;

// libwebp's plain decoder takes no animation: the frame becomes a file of its own.
std::string still_of(const WebpFrame& frame) {
  std::string length;
  for (int shift = 0; shift < 32; shift += 8) length += static_cast<char>((frame.chunk.size() + 4) >> shift);
  std::string still = "RIFF" + length + "WEBP";
  still += frame.chunk;
  if (still.size() % 2 == 1) still += '\0';
  return still;
}

// What the frame leaves free of its canvas is transparent, and so black without it.
std::string read_animation(const WebpFrame& frame, at::Tensor& rgb_hwc) {
  at::Tensor frame_hwc = at::empty({frame.height, frame.width, 3}, at::kByte);
  std::string problem = read_webp(still_of(frame), frame.height, frame.width, frame_hwc.data_ptr<uint8_t>());
  if (!problem.empty()) return problem;
  rgb_hwc.zero_();
  rgb_hwc.narrow(0, frame.top, frame.height).narrow(1, frame.left, frame.width).copy_(frame_hwc);
  return {};
}

// By how much a JPEG is decoded smaller.
int64_t shrink_of(const ImageHeader& header, int64_t longest_side_pixels) {
  if (longest_side_pixels <= 0 || std::string_view(header.format) != "JPEG") return 1;
  int64_t shrink = 8;
  while (shrink > 1 && std::max(header.width, header.height) / shrink < longest_side_pixels) shrink /= 2;
  return shrink;
}

std::string read_pixels(const std::string& bytes, const ImageHeader& header, int64_t shrink, at::Tensor& rgb_hwc) {
  const std::string format = header.format;
  const int64_t height = rgb_hwc.size(0), width = rgb_hwc.size(1);
  if (format == "JPEG") return read_jpeg(bytes, header.height, header.width, shrink, rgb_hwc.data_ptr<uint8_t>());
  if (format == "PNG") return read_png(bytes, height, width, rgb_hwc.data_ptr<uint8_t>());
  if (header.first_frame) return read_animation(*header.first_frame, rgb_hwc);
  return read_webp(bytes, height, width, rgb_hwc.data_ptr<uint8_t>());
}

std::string note_on(const ImageHeader& header) {
  return header.frames > 1 ? "the first of " + std::to_string(header.frames) + " frames of the file" : std::string();
}

}  // namespace

DecodedImage decode_image(const std::string& bytes, bool apply_exif, const std::string& what,
                          int64_t longest_side_pixels) {
  const auto refuse = [&](const std::string& text) { throw Error(what + ": " + text, DropReason::DecodeFailed); };
  if (bytes.empty()) refuse("expected a JPEG, PNG or WebP image, got 0 bytes. Give the whole file.");
  const std::optional<ImageHeader> header = read_image_header(bytes);
  if (!header || header->width < 1 || header->height < 1) {
    const FileKind kind = kind_of_file(bytes);
    refuse("expected a JPEG, PNG or WebP image, got " + std::to_string(bytes.size()) + " bytes of " + kind.name + ". " +
           kind.fix);
  }
  if (header->width > kMostPixels / header->height) {
    refuse("expected at most " + std::to_string(kMostPixels) + " pixels, got " + std::to_string(header->width) + " x " +
           std::to_string(header->height) + ". Scale the picture down.");
  }
  const std::string format = header->format;
  if (!header->complete) refuse("expected a whole " + format + " file, got a truncated or damaged one. Copy it again.");
  if (header->scans > kMostScans) {
    refuse("expected at most " + std::to_string(kMostScans) + " scans, got " + std::to_string(header->scans) +
           ". Save the picture anew.");
  }
  const int64_t shrink = shrink_of(*header, longest_side_pixels);
  const auto side = [&](int64_t extent) { return (extent + shrink - 1) / shrink; };
  at::Tensor rgb_hwc = at::empty({side(header->height), side(header->width), 3}, at::kByte);
  const std::string problem = read_pixels(bytes, *header, shrink, rgb_hwc);
  if (!problem.empty())
    refuse("expected a whole " + format + " image, got a damaged one: " + problem + ". Copy it again.");
  const bool turns = apply_exif && header->orientation > 4;
  const PictureSize whole =
      turns ? PictureSize{header->height, header->width} : PictureSize{header->width, header->height};
  return {apply_exif ? upright(rgb_hwc, header->orientation) : rgb_hwc, whole, note_on(*header)};
}

std::string encode_image(const at::Tensor& rgb_hwc, ImageFormat format) {
  const cv::Mat rgb = view(rgb_hwc);
  if (format == ImageFormat::Png) return encode_png(rgb.data, rgb.rows, rgb.cols);
  if (format == ImageFormat::Jpeg) return encode_jpeg(rgb.data, rgb.rows, rgb.cols);
  return encode_webp(rgb.data, rgb.rows, rgb.cols);
}

std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format) {
  if (format != ImageFormat::Png) return [format](const at::Tensor& rgb_hwc) { return encode_image(rgb_hwc, format); };
  return [series = std::make_shared<PngSeries>()](const at::Tensor& rgb_hwc) {
    const cv::Mat rgb = view(rgb_hwc);
    return series->encode(rgb.data, rgb.rows, rgb.cols);
  };
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/render/opencv.hpp>
#include <gaze/render/status.hpp>

#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "image_codec.hpp"
#include "image_header.hpp"
#include "png.hpp"

namespace gaze {
namespace {

// 402 MB of pixels: far above cameras, far below what a few bytes can otherwise claim.
constexpr int64_t kMaxPixels = int64_t{1} << 27;

}  // namespace

at::Tensor decode_image(const std::string& bytes, bool apply_exif, const std::string& what) {
  const auto refuse = [&](const std::string& text) { throw Error(what + ": " + text, DropReason::DecodeFailed); };
  if (bytes.empty()) refuse("expected a JPEG, PNG or WebP image, got 0 bytes. Give the whole file.");
  const std::optional<ImageHeader> header = read_image_header(bytes);
  if (!header || header->width < 1 || header->height < 1) {
    refuse("expected a JPEG, PNG or WebP image, got " + std::to_string(bytes.size()) +
           " bytes of something else. Convert it, or give the picture as a tensor.");
  }
  if (header->width > kMaxPixels / header->height) {
    refuse("expected at most " + std::to_string(kMaxPixels) + " pixels, got " + std::to_string(header->width) + " x " +
           std::to_string(header->height) + ". Scale the picture down.");
  }
  const std::string format = header->format;
  if (!header->complete) refuse("expected a whole " + format + " file, got a truncated or damaged one. Copy it again.");
  const int flags = apply_exif ? cv::IMREAD_COLOR : cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION;
  // imdecode reads only; its interface has no const.
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
  cv::Mat bgr;
  try {
    bgr = cv::imdecode(encoded, flags);
  } catch (const cv::Exception& error) {
    refuse("expected a decodable " + format + " image, got: " + error.err + ".");
  }
  if (bgr.empty()) refuse("expected a decodable " + format + " image, got a damaged one. Copy it again.");
  at::Tensor rgb_hwc = at::empty({bgr.rows, bgr.cols, 3}, at::kByte);
  cv::Mat rgb = view(rgb_hwc);
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  return rgb_hwc;
}

std::string encode_image(const at::Tensor& rgb_hwc, ImageFormat format) {
  if (format == ImageFormat::Png) {
    const cv::Mat rgb = view(rgb_hwc);
    return encode_png(rgb.data, rgb.rows, rgb.cols);
  }
  const bool jpeg = format == ImageFormat::Jpeg;
  const char* extension = jpeg ? ".jpg" : ".webp";
  const std::vector<int> parameters{jpeg ? cv::IMWRITE_JPEG_QUALITY : cv::IMWRITE_WEBP_QUALITY, 92};
  std::vector<unsigned char> bytes;
  try {
    cv::Mat bgr;
    cv::cvtColor(view(rgb_hwc), bgr, cv::COLOR_RGB2BGR);
    if (cv::imencode(extension, bgr, bytes, parameters)) return {bytes.begin(), bytes.end()};
  } catch (const cv::Exception& error) {
    throw Error("encoding " + std::string(extension) + " failed: " + error.err + ".", DropReason::RenderError);
  }
  throw Error("encoding " + std::string(extension) + " failed: this OpenCV cannot write it. Choose png.",
              DropReason::RenderError);
}

std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format) {
  if (format != ImageFormat::Png) return [format](const at::Tensor& rgb_hwc) { return encode_image(rgb_hwc, format); };
  return [series = std::make_shared<PngSeries>()](const at::Tensor& rgb_hwc) {
    const cv::Mat rgb = view(rgb_hwc);
    return series->encode(rgb.data, rgb.rows, rgb.cols);
  };
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "image_codec.hpp"

namespace gaze {
namespace {

constexpr const char* kMissing = "this build of Gaze has no OpenCV; rebuild with -DGAZE_WITH_OPENCV=ON";

}  // namespace

at::Tensor decode_image(const std::string& /*bytes*/, bool /*apply_exif*/, const std::string& what) {
  throw Error(what + ": " + kMissing + ", or give the picture as a tensor.", DropReason::DecodeFailed);
}

std::string encode_image(const at::Tensor& /*rgb_hwc*/, ImageFormat /*format*/) {
  throw Error(std::string("pictures: ") + kMissing + ", or ask for maps alone.", DropReason::RenderError);
}

std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format) {
  return [format](const at::Tensor& rgb_hwc) { return encode_image(rgb_hwc, format); };
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "codecs/webp.hpp"

#include <webp/decode.h>
#include <webp/encode.h>
#include <gaze/render/status.hpp>

#include <memory>

namespace gaze {
namespace {

constexpr float kWebpQuality = 92;

}  // namespace

std::string read_webp(std::string_view bytes, int64_t height, int64_t width, uint8_t* rgb_hwc) {
  const auto* const file = reinterpret_cast<const uint8_t*>(bytes.data());
  int its_width = 0, its_height = 0;
  if (WebPGetInfo(file, bytes.size(), &its_width, &its_height) == 0) return "damage";
  if (its_width != width || its_height != height) return "two sizes";
  const int64_t row_bytes = 3 * width;
  const uint8_t* const read = WebPDecodeRGBInto(file, bytes.size(), rgb_hwc, static_cast<size_t>(height * row_bytes),
                                                static_cast<int>(row_bytes));
  return read == nullptr ? "damage" : "";
}

std::string encode_webp(const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  uint8_t* written = nullptr;
  const size_t size = WebPEncodeRGB(rgb_hwc, static_cast<int>(width), static_cast<int>(height),
                                    static_cast<int>(3 * width), kWebpQuality, &written);
  const std::unique_ptr<uint8_t, void (*)(void*)> bytes(written, &WebPFree);
  if (size == 0) {
    throw Error("encoding .webp failed: " + std::to_string(width) + " x " + std::to_string(height) +
                    " pixels, of at most 16383 a side, or memory is gone. Choose png.",
                DropReason::RenderError);
  }
  return {reinterpret_cast<const char*>(bytes.get()), size};
}

}  // namespace gaze

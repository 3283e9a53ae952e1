// SPDX-License-Identifier: MIT
// What libpng reads back is the picture that was written, pixel by pixel, alone and in a series.
#include "codecs/png/png.hpp"

#include <png.h>

#include <algorithm>
#include <vector>

#include "fuzz.hpp"

namespace {

using Pixels = std::vector<uint8_t>;

void expect(const std::string& file, const Pixels& rgb_hwc, int64_t height, int64_t width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  GAZE_HOLDS(png_image_begin_read_from_memory(&image, file.data(), file.size()) != 0);
  GAZE_HOLDS(image.width == static_cast<png_uint_32>(width) && image.height == static_cast<png_uint_32>(height));
  image.format = PNG_FORMAT_RGB;
  Pixels read(PNG_IMAGE_SIZE(image));
  GAZE_HOLDS(png_image_finish_read(&image, nullptr, read.data(), 0, nullptr) != 0);
  GAZE_HOLDS(image.warning_or_error == 0);
  GAZE_HOLDS(read == rgb_hwc);
}

/// Repeated, in runs, as noise, or as a gradient: what an encoder has ways of its own for.
Pixels picture(gaze::fuzz::Bytes& bytes, int64_t height, int64_t width) {
  const auto kind = bytes.take<uint8_t>();
  const std::string source = bytes.rest() + '\x55';
  Pixels pixels(static_cast<size_t>(height * width * 3));
  uint32_t noise = kind + 1U;
  for (size_t i = 0; i < pixels.size(); ++i) {
    noise = noise * 1664525U + 1013904223U;
    const auto at = [&](size_t index) { return static_cast<uint8_t>(source[index % source.size()]); };
    switch (kind % 4) {
      case 0:
        pixels[i] = at(i);
        break;
      case 1:
        pixels[i] = at(i / 37);
        break;
      case 2:
        pixels[i] = static_cast<uint8_t>(at(i) ^ (noise >> 24));
        break;
      default:
        pixels[i] = static_cast<uint8_t>(i / 3 + at(i / 997));
        break;
    }
  }
  return pixels;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  const int64_t width = bytes.between(1, 300);
  const auto changed = bytes.take<uint32_t>();
  // Small ones mostly, of which many can be tried; large ones are more than one block of the encoder's.
  const int64_t most = changed % 32 == 0 ? 20000 : 1000;
  const int64_t height = std::min(bytes.between(1, 200), std::max<int64_t>(1, most / width));
  const Pixels first = picture(bytes, height, width);
  expect(gaze::encode_png(first.data(), height, width), first, height, width);

  gaze::PngSeries series;
  expect(series.encode(first.data(), height, width), first, height, width);
  Pixels second = first;
  for (uint32_t i = 0, where = changed; i < changed % 64; ++i, where = where * 69069U + 1U)
    second[where % second.size()] ^= 0x81;
  expect(series.encode(second.data(), height, width), second, height, width);
  expect(series.encode(first.data(), height, width), first, height, width);
  if (height > 1) {
    const Pixels shorter(first.begin(), first.end() - static_cast<std::ptrdiff_t>(width * 3));
    expect(series.encode(shorter.data(), height - 1, width), shorter, height - 1, width);
  }
  return 0;
}

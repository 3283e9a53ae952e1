// SPDX-License-Identifier: MIT
// The composer of shapes for Python (ctypes): plain arrays in and out, errors as return codes.
#include <cstring>

#include "shapes.hpp"

using gaze::scenes::ShapesComposer;
using gaze::scenes::ShapesPicture;

extern "C" {

void* gaze_shapes_open(const char* data_dir) {
  try {
    cv::setNumThreads(1);
    return new ShapesComposer(data_dir);
  } catch (...) {
    return nullptr;
  }
}

void gaze_shapes_close(void* composer) { delete static_cast<ShapesComposer*>(composer); }

// Pictures first_seed .. first_seed + count - 1. inputs_nhwc: [count, 96, 96, 3]. shapes: [count, 2, 5] floats: colour,
// kind, centre x y and radius in pixels of the picture. captions: [count, 64] bytes, ended by zeros. Returns 0, or 1 on
// failure.
int gaze_shapes_compose(const void* composer, unsigned long long first_seed, int count, int held_out,
                        unsigned char* inputs_nhwc, float* shapes, char* captions) {
  try {
    for (int i = 0; i < count; ++i) {
      const ShapesPicture picture = static_cast<const ShapesComposer*>(composer)->compose(
          first_seed + static_cast<unsigned long long>(i),
          held_out != 0 ? gaze::scenes::Split::held_out : gaze::scenes::Split::train);
      const cv::Mat input = gaze::scenes::captioner_input(picture.rgb);
      const std::size_t bytes = input.total() * input.elemSize();
      std::memcpy(inputs_nhwc + bytes * static_cast<std::size_t>(i), input.data, bytes);
      for (const auto& shape : picture.shapes) {
        *shapes++ = static_cast<float>(shape.colour);
        *shapes++ = static_cast<float>(shape.kind);
        *shapes++ = shape.centre_px.x;
        *shapes++ = shape.centre_px.y;
        *shapes++ = shape.radius_px;
      }
      captions[picture.caption().copy(captions, 63)] = 0;
      captions += 64;
    }
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // extern "C"

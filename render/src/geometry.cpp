// SPDX-License-Identifier: MIT
#include <gaze/render/geometry.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace gaze {
namespace {

// Bounds every product of two sizes far below 2^63.
constexpr int64_t kMaxExtent = int64_t{1} << 24;

[[noreturn]] void refuse(const std::string& text) { throw Error("geometry" + text, DropReason::GridMismatch); }

void expect(const char* field, int64_t value, int64_t least, const char* fix) {
  if (value >= least && value <= kMaxExtent) return;
  refuse("." + std::string(field) + ": expected " + std::to_string(least) + ".." + std::to_string(kMaxExtent) +
         ", got " + std::to_string(value) + ". " + fix);
}

// Where the scaled picture lies in the model's input: input pixel = picture pixel * size / original + left.
struct Scaled {
  int64_t width, height, left, top;
};

// Half to even, as Python's round() in torchvision's center_crop.
int64_t centre(int64_t outer, int64_t inner) {
  return static_cast<int64_t>(std::nearbyint(static_cast<double>(outer - inner) / 2.0));
}

Scaled scale_centre_crop(const Geometry& geometry, int64_t width, int64_t height) {
  Scaled scaled{};
  if (geometry.resize_shorter > 0) {
    // The longer side is truncated, as torchvision's Resize(int) and transformers' shortest_edge do.
    const int64_t shorter = geometry.resize_shorter;
    scaled.width = width <= height ? shorter : shorter * width / height;
    scaled.height = width <= height ? shorter * height / width : shorter;
  } else if (geometry.input_width * height >= geometry.input_height * width) {
    scaled.width = geometry.input_width;
    scaled.height = geometry.input_width * height / width;
  } else {
    scaled.height = geometry.input_height;
    scaled.width = geometry.input_height * width / height;
  }
  scaled.left = -centre(scaled.width, geometry.input_width);
  scaled.top = -centre(scaled.height, geometry.input_height);
  return scaled;
}

Scaled scale_letterbox(const Geometry& geometry, int64_t width, int64_t height) {
  const double factor = std::min(static_cast<double>(geometry.input_width) / static_cast<double>(width),
                                 static_cast<double>(geometry.input_height) / static_cast<double>(height));
  const auto scaled_side = [factor](int64_t side) {
    return std::max<int64_t>(1, std::llround(factor * static_cast<double>(side)));
  };
  Scaled scaled{scaled_side(width), scaled_side(height), 0, 0};
  // An odd border puts the extra pixel to the right and the bottom.
  scaled.left = (geometry.input_width - scaled.width) / 2;
  scaled.top = (geometry.input_height - scaled.height) / 2;
  return scaled;
}

std::string describe(const Geometry& geometry) {
  std::string text = geometry.first_key > 0 ? "first_key " + std::to_string(geometry.first_key) + " + " : "";
  if (geometry.leading > 0) text += std::to_string(geometry.leading) + " leading + ";
  text += std::to_string(geometry.rows) + " x " + std::to_string(geometry.cols) + " cells";
  if (geometry.trailing > 0) text += " + " + std::to_string(geometry.trailing) + " trailing";
  return text;
}

}  // namespace

void check(const Geometry& geometry) {
  expect("rows", geometry.rows, 1, "Set it to the input's height divided by the patch size.");
  expect("cols", geometry.cols, 1, "Set it to the input's width divided by the patch size.");
  expect("leading", geometry.leading, 0,
         "Set it to the number of special keys before the cells (class token, registers).");
  expect("trailing", geometry.trailing, 0, "Set it to the number of special keys after the cells.");
  expect("first_key", geometry.first_key, 0, "Set it to the index of the picture's first key in a row of all keys.");
  expect("resize_shorter", geometry.resize_shorter, 0, "Set it to the shorter side before cropping, or to 0.");
  const int64_t least = geometry.fit == Fit::Resize ? 0 : 1;
  expect("input_width", geometry.input_width, least, "Set it to the width of the model's input in pixels.");
  expect("input_height", geometry.input_height, least, "Set it to the height of the model's input in pixels.");
  if (geometry.fit != Fit::CentreCrop && geometry.resize_shorter != 0) {
    refuse(".resize_shorter: expected 0 unless fit is centre_crop, got " + std::to_string(geometry.resize_shorter) +
           ". Remove it or set fit to centre_crop.");
  }
}

void check_keys(const Geometry& geometry, int64_t keys, bool alone) {
  check(geometry);
  const int64_t wanted = geometry.first_cell() + geometry.cells() + geometry.trailing;
  if (alone ? keys == wanted : keys >= wanted) return;
  std::string text = ": expected " + std::string(alone ? "" : "at least ") + std::to_string(wanted) + " keys (" +
                     describe(geometry) + "), got " + std::to_string(keys) + ". ";
  const int64_t special = keys - geometry.first_key - geometry.cells();
  if (special == 0) {
    text += "These would be the cells alone: set leading and trailing to 0, or select another site.";
  } else if (special > 0 && alone) {
    text += "With these rows and cols the specials would be " + std::to_string(special) +
            ": correct leading and trailing, or select another site.";
  } else {
    text += "Correct rows and cols, or select another site.";
  }
  refuse(text);
}

ops::CellAffine place(const Geometry& geometry, int64_t width, int64_t height) {
  check(geometry);
  if (width < 1 || height < 1 || width > kMaxExtent || height > kMaxExtent) {
    refuse(": expected a picture of at least 1 x 1 pixels, got " + std::to_string(width) + " x " +
           std::to_string(height) + ". Give the original picture.");
  }
  const auto rows = static_cast<double>(geometry.rows);
  const auto cols = static_cast<double>(geometry.cols);
  const auto w = static_cast<double>(width);
  const auto h = static_cast<double>(height);
  ops::CellAffine affine;
  if (geometry.fit == Fit::Resize) {
    affine.scale_x = cols / w;
    affine.scale_y = rows / h;
    return affine;
  }
  const Scaled scaled = geometry.fit == Fit::CentreCrop ? scale_centre_crop(geometry, width, height)
                                                        : scale_letterbox(geometry, width, height);
  const double cols_per_pixel = cols / static_cast<double>(geometry.input_width);
  const double rows_per_pixel = rows / static_cast<double>(geometry.input_height);
  affine.scale_x = static_cast<double>(scaled.width) / w * cols_per_pixel;
  affine.offset_x = static_cast<double>(scaled.left) * cols_per_pixel;
  affine.scale_y = static_cast<double>(scaled.height) / h * rows_per_pixel;
  affine.offset_y = static_cast<double>(scaled.top) * rows_per_pixel;
  return affine;
}

int64_t cell_at(const Geometry& geometry, int64_t width, int64_t height, double x, double y) {
  const ops::CellAffine affine = place(geometry, width, height);
  const bool inside =
      x >= -0.5 && y >= -0.5 && x < static_cast<double>(width) - 0.5 && y < static_cast<double>(height) - 0.5;
  if (!inside) return -1;
  const double col = std::floor(affine.scale_x * (x + 0.5) + affine.offset_x);
  const double row = std::floor(affine.scale_y * (y + 0.5) + affine.offset_y);
  if (col < 0 || row < 0 || col >= static_cast<double>(geometry.cols) || row >= static_cast<double>(geometry.rows)) {
    return -1;
  }
  return static_cast<int64_t>(row) * geometry.cols + static_cast<int64_t>(col);
}

}  // namespace gaze

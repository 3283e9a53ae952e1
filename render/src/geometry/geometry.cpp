// SPDX-License-Identifier: MIT
#include <gaze/render/geometry.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

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

std::string plus(int64_t count, const char* what) {
  return count > 0 ? " + " + std::to_string(count) + " " + what : std::string();
}

int64_t row_ends(const Geometry& geometry) {
  return geometry.row_end * (geometry.rows - (geometry.last_row_end ? 0 : 1));
}

int64_t keys_of_grid(const Geometry& geometry) { return geometry.rows * geometry.cols + row_ends(geometry); }

std::string describe_specials(const std::string& cells, int64_t leading, int64_t trailing) {
  return (leading > 0 ? std::to_string(leading) + " leading + " : "") + cells + plus(trailing, "trailing");
}

std::string describe_cells(int64_t rows, int64_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols) + " cells";
}

std::string describe_span(const Geometry& geometry) {
  std::string text = describe_cells(geometry.rows, geometry.cols) + plus(row_ends(geometry), "row ends");
  if (geometry.time) text = std::to_string(geometry.cols) + " cells in time";
  if (geometry.tiles) {
    const Tiles& tiles = *geometry.tiles;
    text = std::to_string(tiles.rows) + " x " + std::to_string(tiles.cols) + " tiles of (" +
           describe_specials(text, tiles.leading, tiles.trailing) + ")" +
           plus(tiles.rows * tiles.row_end, "ends of rows of tiles");
  }
  if (geometry.video) {
    const Video& video = *geometry.video;
    text = std::to_string(video.key_frames()) + " key frames of (" +
           describe_specials(text, video.leading, video.trailing) + ")";
  }
  if (geometry.thumbnail) {
    const Thumbnail& thumbnail = *geometry.thumbnail;
    const std::string part =
        "a thumbnail of (" +
        describe_specials(describe_cells(thumbnail.rows, thumbnail.cols), thumbnail.leading, thumbnail.trailing) + ")";
    text = thumbnail.first ? part + " + " + text : text + " + " + part;
  }
  return text;
}

std::string describe(const Geometry& geometry) {
  return (geometry.first_key > 0 ? "first_key " + std::to_string(geometry.first_key) + " + " : "") +
         describe_specials(describe_span(geometry), geometry.leading, geometry.trailing);
}

void check_order(const Geometry& geometry) {
  const bool windows = geometry.order == CellOrder::Windows;
  const char* fix = windows ? "Set it to the cells of a whole window." : "Set it to 0, or order to windows.";
  for (const auto& [field, value] :
       {std::pair{"window_rows", geometry.window_rows}, std::pair{"window_cols", geometry.window_cols}}) {
    expect(field, value, windows ? 1 : 0, fix);
    if (!windows && value != 0) {
      refuse("." + std::string(field) + ": expected 0 unless order is windows, got " + std::to_string(value) + ". " +
             fix);
    }
  }
  expect("row_end", geometry.row_end, 0, "Set it to the number of special keys after every row of cells.");
  if (geometry.row_end > 0 && geometry.order != CellOrder::Rows) {
    refuse(".row_end: expected 0 unless order is rows, got " + std::to_string(geometry.row_end) +
           ". Only rows of keys have an end.");
  }
}

void check_tiles(const Geometry& geometry) {
  const Tiles& tiles = *geometry.tiles;
  expect("tiles.rows", tiles.rows, 1, "Set it to the number of tiles from top to bottom.");
  expect("tiles.cols", tiles.cols, 1, "Set it to the number of tiles from left to right.");
  expect("tiles.leading", tiles.leading, 0, "Set it to the number of special keys before the cells of every tile.");
  expect("tiles.trailing", tiles.trailing, 0, "Set it to the number of special keys after the cells of every tile.");
  expect("tiles.row_end", tiles.row_end, 0, "Set it to the number of special keys after every row of tiles.");
}

void check_thumbnail(const Geometry& geometry) {
  const Thumbnail& thumbnail = *geometry.thumbnail;
  expect("thumbnail.rows", thumbnail.rows, 1, "Set it to the thumbnail's cells from top to bottom.");
  expect("thumbnail.cols", thumbnail.cols, 1, "Set it to the thumbnail's cells from left to right.");
  expect("thumbnail.leading", thumbnail.leading, 0, "Set it to the number of special keys before its cells.");
  expect("thumbnail.trailing", thumbnail.trailing, 0, "Set it to the number of special keys after its cells.");
}

void check_video(const Geometry& geometry) {
  const Video& video = *geometry.video;
  if (geometry.tiles || geometry.thumbnail) {
    refuse(std::string(".video: expected a grid of its own, got it beside ") +
           (geometry.tiles ? "tiles" : "a thumbnail") + ". Give one of them.");
  }
  expect("video.frames", video.frames, 1, "Set it to the number of frames the model got.");
  expect("video.temporal_merge", video.temporal_merge, 1, "Set it to the number of frames that share one key frame.");
  expect("video.leading", video.leading, 0, "Set it to the number of special keys before every key frame.");
  expect("video.trailing", video.trailing, 0, "Set it to the number of special keys after every key frame.");
  if (video.frames % video.temporal_merge != 0) {
    refuse(".video.frames: expected a multiple of temporal_merge (" + std::to_string(video.temporal_merge) + "), got " +
           std::to_string(video.frames) + ". Count the frames the model got, those it was padded with included.");
  }
  if (video.frame < -1 || video.frame >= video.frames) {
    refuse(".video.frame: expected -1 (the sum) or 0.." + std::to_string(video.frames - 1) + ", got " +
           std::to_string(video.frame) + ". Name a frame of the video.");
  }
}

void check_time(const Geometry& geometry) {
  const Timeline& time = *geometry.time;
  if (!(time.seconds_per_key > 0) || !std::isfinite(time.seconds_per_key))
    refuse(".time.seconds_per_key: expected more than 0, got " + std::to_string(time.seconds_per_key) +
           ". Set it to the time from one key to the next.");
  if (!std::isfinite(time.first_seconds))
    refuse(".time.first_seconds: expected a number, got " + std::to_string(time.first_seconds) +
           ". Set it to where the first key begins.");
  if (geometry.rows != 1 || geometry.patch > 0 || geometry.order != CellOrder::Rows || geometry.row_end > 0 ||
      geometry.fit != Fit::Resize || geometry.tiles || geometry.thumbnail || geometry.video)
    refuse(".time: expected one row of cells, got it beside what a picture has. Remove the other fields.");
}

// In floating point, where nothing overflows.
void check_total(const Geometry& geometry) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  double keys = number(geometry.rows) * (number(geometry.cols) + number(geometry.row_end));
  if (geometry.tiles) {
    const Tiles& tiles = *geometry.tiles;
    keys = number(tiles.rows) *
           (number(tiles.cols) * (keys + number(tiles.leading) + number(tiles.trailing)) + number(tiles.row_end));
  }
  if (geometry.video) {
    keys = number(geometry.video->frames) * (keys + number(geometry.video->leading) + number(geometry.video->trailing));
  }
  if (geometry.thumbnail) keys += number(geometry.thumbnail->rows) * number(geometry.thumbnail->cols);
  if (keys <= number(kMaxExtent)) return;
  refuse(": expected at most " + std::to_string(kMaxExtent) + " keys in all, got more. Correct rows and cols.");
}

void check_chosen_span(const Geometry& geometry) {
  const auto index = static_cast<size_t>(std::max<int64_t>(geometry.picture, 0));
  if (index >= geometry.spans.size() || geometry.spans[index].first_key != geometry.first_key) {
    refuse(".first_key: expected that of the chosen picture's span, got " + std::to_string(geometry.first_key) +
           ". Call gaze::resolve first.");
  }
  const int64_t keys = geometry.spans[index].keys;
  if (keys == geometry.keys()) return;
  refuse(".spans[" + std::to_string(index) + "]: expected " + std::to_string(geometry.keys()) + " keys (" +
         describe_specials(describe_span(geometry), geometry.leading, geometry.trailing) + "), got " +
         std::to_string(keys) + ". Correct the span, or the rows and cols of its picture.");
}

bool needs_picture_size(const Geometry& geometry) {
  return geometry.fit == Fit::Letterbox && (geometry.unpad || geometry.thumbnail);
}

}  // namespace

int64_t Geometry::span() const noexcept {
  int64_t keys = keys_of_grid(*this);
  if (tiles) keys = tiles->rows * (tiles->cols * (tiles->leading + keys + tiles->trailing) + tiles->row_end);
  if (video) keys = video->key_frames() * (video->leading + keys + video->trailing);
  if (thumbnail) keys += thumbnail->leading + thumbnail->rows * thumbnail->cols + thumbnail->trailing;
  return keys;
}

void check(const Geometry& geometry) {
  if (geometry.patch > 0 && (geometry.rows == 0 || geometry.cols == 0)) {
    refuse(".patch: expected rows and cols to be computed from the input's size, got none. Call gaze::resolve first.");
  }
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
  expect("patch", geometry.patch, 0, "Set it to the pixels of a patch's side, or to 0.");
  expect("merge", geometry.merge, 1, "Set it to the patches to a side that became one key.");
  check_order(geometry);
  if (geometry.tiles) check_tiles(geometry);
  if (geometry.thumbnail) check_thumbnail(geometry);
  if (geometry.video) check_video(geometry);
  if (geometry.time) check_time(geometry);
  check_total(geometry);
  if (geometry.unpad && (geometry.fit != Fit::Letterbox || geometry.tiles)) {
    refuse(std::string(".unpad: expected one grid in a letterbox, got it beside ") +
           (geometry.tiles ? "tiles" : "another fit") + ". Set it to false.");
  }
  if (needs_picture_size(geometry) && (geometry.picture_width < 1 || geometry.picture_height < 1)) {
    refuse(
        ".picture_width: expected the original picture's size, on which its keys depend, got none. Call "
        "gaze::resolve first.");
  }
}

void check_keys(const Geometry& geometry, int64_t keys, bool alone) {
  check(geometry);
  for (size_t i = 0; i < geometry.spans.size(); ++i) {
    const KeySpan& span = geometry.spans[i];
    if (span.first_key + span.keys <= keys) continue;
    refuse(".spans[" + std::to_string(i) + "]: expected keys within a row of " + std::to_string(keys) + ", got " +
           std::to_string(span.first_key) + ".." + std::to_string(span.first_key + span.keys - 1) +
           ". Count the prompt's keys again, or select another site.");
  }
  if (!geometry.spans.empty()) check_chosen_span(geometry);
  const int64_t wanted = geometry.first_key + geometry.keys();
  if (alone ? keys == wanted : keys >= wanted) return;
  std::string text = ": expected " + std::string(alone ? "" : "at least ") + std::to_string(wanted) + " keys (" +
                     describe(geometry) + "), got " + std::to_string(keys) + ". ";
  const int64_t special = keys - geometry.first_key - geometry.span();
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
  if (geometry.time) refuse(".time: expected cells that lie on a picture, got those of a sound. Give no picture.");
  if (width < 1 || height < 1 || width > kMaxExtent || height > kMaxExtent) {
    refuse(": expected a picture of at least 1 x 1 pixels, got " + std::to_string(width) + " x " +
           std::to_string(height) + ". Give the original picture.");
  }
  const auto rows = static_cast<double>(geometry.grid_rows());
  const auto cols = static_cast<double>(geometry.grid_cols());
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
  const auto cut_rows = static_cast<double>(geometry.cut_rows);
  const auto cut_cols = static_cast<double>(geometry.cut_cols);
  const double cols_per_pixel = (cols + 2 * cut_cols) / static_cast<double>(geometry.input_width);
  const double rows_per_pixel = (rows + 2 * cut_rows) / static_cast<double>(geometry.input_height);
  affine.scale_x = static_cast<double>(scaled.width) / w * cols_per_pixel;
  affine.offset_x = static_cast<double>(scaled.left) * cols_per_pixel - cut_cols;
  affine.scale_y = static_cast<double>(scaled.height) / h * rows_per_pixel;
  affine.offset_y = static_cast<double>(scaled.top) * rows_per_pixel - cut_rows;
  return affine;
}

int64_t cell_at(const Geometry& geometry, int64_t width, int64_t height, double x, double y) {
  const ops::CellAffine affine = place(geometry, width, height);
  const bool inside =
      x >= -0.5 && y >= -0.5 && x < static_cast<double>(width) - 0.5 && y < static_cast<double>(height) - 0.5;
  if (!inside) return -1;
  const double col = std::floor(affine.scale_x * (x + 0.5) + affine.offset_x);
  const double row = std::floor(affine.scale_y * (y + 0.5) + affine.offset_y);
  if (col < 0 || row < 0 || col >= static_cast<double>(geometry.grid_cols()) ||
      row >= static_cast<double>(geometry.grid_rows())) {
    return -1;
  }
  return static_cast<int64_t>(row) * geometry.grid_cols() + static_cast<int64_t>(col);
}

}  // namespace gaze

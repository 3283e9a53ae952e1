// SPDX-License-Identifier: MIT
#include <gaze/render/geometry.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace gaze {
namespace {

[[noreturn]] void refuse_sizes(const std::string& text) { throw Error("geometry" + text, DropReason::GridMismatch); }

std::string size_text(int64_t width, int64_t height) { return std::to_string(width) + " x " + std::to_string(height); }

void choose_span(Geometry& geometry) {
  const auto count = static_cast<int64_t>(geometry.spans.size());
  const auto pictures = [](int64_t number) {
    return std::to_string(number) + (number == 1 ? " picture" : " pictures");
  };
  if (geometry.pictures > 0 && geometry.pictures != std::max<int64_t>(count, 1)) {
    refuse_sizes(".spans: expected one for each of the prompt's " + pictures(geometry.pictures) + ", got " +
                 std::to_string(count) + ". Say where the keys of every picture begin.");
  }
  if (count == 0) {
    if (geometry.picture > 0) {
      refuse_sizes(".picture: expected 0 without spans, got " + std::to_string(geometry.picture) +
                   ". Say in spans where the keys of every picture begin.");
    }
    return;
  }
  int64_t end = 0;
  for (size_t i = 0; i < geometry.spans.size(); ++i) {
    const KeySpan& span = geometry.spans[i];
    if (span.first_key < end || span.keys < 1) {
      refuse_sizes(".spans[" + std::to_string(i) + "]: expected at least 1 key from key " + std::to_string(end) +
                   " on, got " + std::to_string(span.keys) + " from " + std::to_string(span.first_key) +
                   ". Give the spans in the prompt's order; they cannot overlap.");
    }
    end = span.first_key + span.keys;
  }
  if (geometry.picture < -1 || geometry.picture >= count || (geometry.picture == -1 && count > 1)) {
    refuse_sizes(".picture: expected which of " + pictures(count) + " the overlay is for, 0.." +
                 std::to_string(count - 1) + ", got " + std::to_string(geometry.picture) +
                 ". Name one of them, and give the request that picture.");
  }
  geometry.first_key = geometry.spans[static_cast<size_t>(std::max<int64_t>(geometry.picture, 0))].first_key;
}

int64_t divide(const char* field, int64_t pixels, int64_t patch, int64_t merge, int64_t tiles) {
  const int64_t side = patch * merge * tiles;
  if (pixels > 0 && side > 0 && pixels % side == 0) return pixels / side;
  std::string text = "." + std::string(field) + ": expected a multiple of " + std::to_string(side) + " (patch " +
                     std::to_string(patch);
  if (merge != 1) text += " x merge " + std::to_string(merge);
  if (tiles != 1) text += " x " + std::to_string(tiles) + " tiles";
  refuse_sizes(text + "), got " + std::to_string(pixels) +
               ". Give the size of the model's input, which the picture was resized to.");
}

void compute_cells(Geometry& geometry, const PictureSizes& sizes) {
  if (geometry.input_width == 0 && geometry.input_height == 0) {
    geometry.input_width = sizes.input_width;
    geometry.input_height = sizes.input_height;
  }
  if (geometry.input_width < 1 || geometry.input_height < 1) {
    refuse_sizes(".input_width: expected the size of the model's input, from which patch " +
                 std::to_string(geometry.patch) +
                 " makes rows and cols, got none. Set input_width and input_height in the "
                 "request's geometry, or let image.argument of the profile name the input.");
  }
  if (geometry.merge < 1)
    refuse_sizes(".merge: expected at least 1, got " + std::to_string(geometry.merge) +
                 ". Set it to 1 where patches were not merged.");
  const Tiles tiles = geometry.tiles.value_or(Tiles());
  const int64_t rows = divide("input_height", geometry.input_height, geometry.patch, geometry.merge, tiles.rows);
  const int64_t cols = divide("input_width", geometry.input_width, geometry.patch, geometry.merge, tiles.cols);
  const int64_t stated_rows = geometry.rows + 2 * geometry.cut_rows;
  const int64_t stated_cols = geometry.cols + 2 * geometry.cut_cols;
  const bool stated = geometry.rows != 0 || geometry.cols != 0;
  if (stated && (stated_rows != rows || stated_cols != cols)) {
    refuse_sizes(".patch: expected an input of " +
                 size_text(stated_cols * geometry.patch * geometry.merge * tiles.cols,
                           stated_rows * geometry.patch * geometry.merge * tiles.rows) +
                 " pixels for these rows and cols, got " + size_text(geometry.input_width, geometry.input_height) +
                 ". Leave rows and cols out, or correct patch and merge.");
  }
  if (stated) return;
  geometry.rows = rows;
  geometry.cols = cols;
}

// As LLaVA-NeXT's unpad_image: what is kept is centred, its size rounded down, so the cut is the same at both sides.
int64_t cut(int64_t cells, int64_t across, int64_t picture_side, int64_t picture_across) {
  const double kept =
      static_cast<double>(picture_side) * static_cast<double>(across) / static_cast<double>(picture_across);
  // Seven digits, as there: a division that should be whole must not fall below.
  return (cells - static_cast<int64_t>(std::floor(std::round(kept * 1e7) / 1e7))) / 2;
}

void unpad(Geometry& geometry) {
  if (geometry.picture_width * geometry.rows > geometry.picture_height * geometry.cols) {
    geometry.cut_rows = cut(geometry.rows, geometry.cols, geometry.picture_height, geometry.picture_width);
    geometry.rows -= 2 * geometry.cut_rows;
  } else {
    geometry.cut_cols = cut(geometry.cols, geometry.rows, geometry.picture_width, geometry.picture_height);
    geometry.cols -= 2 * geometry.cut_cols;
  }
}

void use_picture(Geometry& geometry, const PictureSizes& sizes) {
  if (geometry.picture_width > 0 || geometry.fit != Fit::Letterbox || !(geometry.unpad || geometry.thumbnail)) return;
  if (sizes.picture_width < 1 || sizes.picture_height < 1) {
    refuse_sizes(": expected the size of the original picture, on which the keys of a letterbox with " +
                 std::string(geometry.unpad ? "unpad" : "a thumbnail") +
                 " depend, got none. Give the picture as a tensor, or set expected_width and expected_height of it.");
  }
  geometry.picture_width = sizes.picture_width;
  geometry.picture_height = sizes.picture_height;
  if (geometry.unpad && !geometry.tiles && geometry.rows > 0 && geometry.cols > 0) unpad(geometry);
}

}  // namespace

std::vector<KeySpan> spans_of(c10::ArrayRef<int64_t> ids, int64_t placeholder) {
  std::vector<KeySpan> spans;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != placeholder) continue;
    if (i == 0 || ids[i - 1] != placeholder) spans.push_back({static_cast<int64_t>(i), 0});
    ++spans.back().keys;
  }
  return spans;
}

Geometry resolve(Geometry geometry, const PictureSizes& sizes) {
  choose_span(geometry);
  if (geometry.patch > 0) compute_cells(geometry, sizes);
  use_picture(geometry, sizes);
  check(geometry);
  return geometry;
}

void take_row(Geometry& geometry, int64_t keys) {
  if (!geometry.time || geometry.cols != 0) return;
  geometry.cols = std::max<int64_t>(0, keys - geometry.first_key - geometry.leading - geometry.trailing);
  geometry.time->whole = true;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "profile/profile_geometry.hpp"

#include <gaze/render/presets.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace gaze {
namespace {

enum class Kind { Grid, Tiles, Video, Time };

std::optional<Kind> parse_kind(const std::string& text) {
  if (text == "grid") return Kind::Grid;
  if (text == "tiles") return Kind::Tiles;
  if (text == "video") return Kind::Video;
  if (text == "time") return Kind::Time;
  return std::nullopt;
}

std::optional<Fit> parse_fit(const std::string& text) {
  if (text == "resize") return Fit::Resize;
  if (text == "centre_crop") return Fit::CentreCrop;
  if (text == "letterbox") return Fit::Letterbox;
  return std::nullopt;
}

std::optional<CellOrder> parse_order(const std::string& text) {
  if (text == "rows") return CellOrder::Rows;
  if (text == "columns") return CellOrder::Columns;
  if (text == "windows") return CellOrder::Windows;
  return std::nullopt;
}

std::optional<bool> parse_first(const std::string& text) {
  if (text == "first") return true;
  if (text == "last") return false;
  return std::nullopt;
}

Geometry start_from(const Field& field) {
  if (!field.has("preset")) return {};
  std::string allowed;
  for (const std::string& name : preset_names()) allowed += (allowed.empty() ? "" : ", ") + name;
  return field.at("preset").choice(allowed, preset);
}

// The kind says which of the objects belongs to it.
void check_kind(const Field& field, const Geometry& geometry) {
  const Kind implied = geometry.time    ? Kind::Time
                       : geometry.video ? Kind::Video
                       : geometry.tiles ? Kind::Tiles
                                        : Kind::Grid;
  const Kind kind = field.has("kind") ? field.at("kind").choice("grid, tiles, video, time", parse_kind) : implied;
  const char* kind_name = kind == Kind::Time    ? "time"
                          : kind == Kind::Video ? "video"
                          : kind == Kind::Tiles ? "tiles"
                                                : "grid";
  const auto expect_part = [&](const std::string& part, bool there, bool wanted) {
    if (wanted && !there) field.refuse("the field " + part + " where kind is " + part, "none");
    if (there && !wanted) {
      field.refuse("the field " + part + " only where kind is " + part, "kind " + std::string(kind_name));
    }
  };
  expect_part("tiles", geometry.tiles.has_value(), kind == Kind::Tiles);
  expect_part("video", geometry.video.has_value(), kind == Kind::Video);
  expect_part("time", geometry.time.has_value(), kind == Kind::Time);
}

void read_tiles(const Field& field, Geometry& geometry) {
  field.expect_object({"rows", "cols", "leading", "trailing", "row_end"});
  Tiles tiles = geometry.tiles.value_or(Tiles{.rows = 0, .cols = 0});
  set_whole(field, "rows", 1, tiles.rows);
  set_whole(field, "cols", 1, tiles.cols);
  if (field.has("rows") != field.has("cols")) {
    field.refuse("rows and cols together", field.has("rows") ? "rows alone" : "cols alone");
  }
  set_whole(field, "leading", 0, tiles.leading);
  set_whole(field, "trailing", 0, tiles.trailing);
  set_whole(field, "row_end", 0, tiles.row_end);
  geometry.tiles = tiles;
}

void read_thumbnail(const Field& field, Geometry& geometry) {
  field.expect_object({"rows", "cols", "at", "leading", "trailing"});
  Thumbnail thumbnail = geometry.thumbnail.value_or(Thumbnail());
  set_whole(field, "rows", 1, thumbnail.rows);
  set_whole(field, "cols", 1, thumbnail.cols);
  if (field.has("at")) thumbnail.first = field.at("at").choice("first, last", parse_first);
  set_whole(field, "leading", 0, thumbnail.leading);
  set_whole(field, "trailing", 0, thumbnail.trailing);
  for (const char* required : {"rows", "cols", "at"}) {
    if (!geometry.thumbnail && !field.has(required)) field.refuse("the field " + std::string(required), "none");
  }
  geometry.thumbnail = thumbnail;
}

void read_video(const Field& field, Geometry& geometry) {
  field.expect_object({"frames", "temporal_merge", "frame", "leading", "trailing"});
  Video video = geometry.video.value_or(Video{.frames = 0});
  set_whole(field, "frames", 1, video.frames);
  set_whole(field, "temporal_merge", 1, video.temporal_merge);
  set_whole(field, "frame", -1, video.frame);
  set_whole(field, "leading", 0, video.leading);
  set_whole(field, "trailing", 0, video.trailing);
  geometry.video = video;
}

void read_time(const Field& field, const Field& geometry_field, Geometry& geometry) {
  field.expect_object({"keys", "seconds_per_key", "first_seconds"});
  set_whole(field, "keys", 1, geometry.cols);
  if (!field.has("seconds_per_key")) field.refuse("the field seconds_per_key", "none");
  for (const char* other : {"rows", "cols"}) {
    if (geometry_field.has(other)) geometry_field.at(other).refuse("no " + std::string(other) + " beside time");
  }
  geometry.rows = 1;
  Timeline time;
  time.seconds_per_key = field.at("seconds_per_key").number();
  if (field.has("first_seconds")) time.first_seconds = field.at("first_seconds").number();
  geometry.time = time;
}

void read_spans(const Field& field, Geometry& geometry) {
  if (field.value().is_object()) return;  // found in each request: of the profile, not of the geometry
  if (!field.value().is_array() || field.size() == 0) {
    field.refuse("a list of at least one object with first_key and keys, or an object with placeholder and argument");
  }
  for (size_t i = 0; i < field.size(); ++i) {
    const Field entry = field.at(i);
    entry.expect_object({"first_key", "keys"});
    KeySpan span;
    for (const char* required : {"first_key", "keys"}) {
      if (!entry.has(required)) entry.refuse("the field " + std::string(required), "none");
    }
    set_whole(entry, "first_key", 0, span.first_key);
    set_whole(entry, "keys", 1, span.keys);
    geometry.spans.push_back(span);
  }
}

void read_order(const Field& field, Geometry& geometry) {
  if (field.has("order")) geometry.order = field.at("order").choice("rows, columns, windows", parse_order);
  set_whole(field, "window_rows", 1, geometry.window_rows);
  set_whole(field, "window_cols", 1, geometry.window_cols);
  set_whole(field, "row_end", 0, geometry.row_end);
  if (field.has("last_row_end")) geometry.last_row_end = field.at("last_row_end").flag();
}

void read_input(const Field& field, const std::optional<ImageInput>& image, Geometry& geometry) {
  if (field.has("fit")) geometry.fit = field.at("fit").choice("resize, centre_crop, letterbox", parse_fit);
  if (image && image->width > 0) {
    geometry.input_width = image->width;
    geometry.input_height = image->height;
  }
  set_whole(field, "input_width", 1, geometry.input_width);
  set_whole(field, "input_height", 1, geometry.input_height);
  set_whole(field, "resize_shorter", 0, geometry.resize_shorter);
  set_whole(field, "patch", 1, geometry.patch);
  set_whole(field, "merge", 1, geometry.merge);
  if (field.has("unpad")) geometry.unpad = field.at("unpad").flag();
  if (geometry.fit != Fit::Resize && geometry.patch == 0 && (geometry.input_width == 0 || geometry.input_height == 0)) {
    field.refuse("input_width and input_height (or image.width and image.height) where fit is " +
                     std::string(geometry.fit == Fit::CentreCrop ? "centre_crop" : "letterbox"),
                 "none");
  }
  if (geometry.fit != Fit::CentreCrop && geometry.resize_shorter != 0) {
    field.at("resize_shorter").refuse("0 unless fit is centre_crop");
  }
}

// Resolved with stand-ins for what only a request has.
void check_as_far_as_known(const Field& field, const Geometry& geometry) {
  Geometry trial = geometry;
  if (trial.tiles && trial.tiles->rows == 0) trial.tiles->rows = trial.tiles->cols = 1;
  if (trial.video && trial.video->frames == 0) {
    trial.video->frames = trial.video->temporal_merge;
    trial.video->frame = -1;
  }
  if (trial.time && trial.cols == 0) trial.cols = 1;
  if (!trial.spans.empty() && trial.picture == -1) trial.picture = 0;
  if (field.has("spans") && field.at("spans").value().is_object()) {
    trial.picture = -1;
    trial.pictures = 0;
  }
  const Tiles tiles = trial.tiles.value_or(Tiles());
  PictureSizes sizes{trial.input_width, trial.input_height};
  if (trial.patch > 0 && sizes.input_width == 0) {
    sizes.input_width = trial.patch * trial.merge * tiles.cols * std::max<int64_t>(trial.cols, 1);
    sizes.input_height = trial.patch * trial.merge * tiles.rows * std::max<int64_t>(trial.rows, 1);
  }
  sizes.picture_width = std::max<int64_t>(sizes.input_width, 1);
  sizes.picture_height = std::max<int64_t>(sizes.input_height, 1);
  try {
    resolve(trial, sizes);
  } catch (const Error& error) {
    throw Error(field.source() + ": " + error.what());
  }
}

}  // namespace

Geometry read_geometry(const Field& field, const std::optional<ImageInput>& image) {
  field.expect_object({"kind",      "preset",    "rows",        "cols",         "leading",        "trailing",
                       "first_key", "fit",       "input_width", "input_height", "resize_shorter", "patch",
                       "merge",     "order",     "window_rows", "window_cols",  "row_end",        "last_row_end",
                       "tiles",     "thumbnail", "video",       "time",         "unpad",          "spans",
                       "picture",   "pictures"});
  Geometry geometry = start_from(field);
  set_whole(field, "rows", 1, geometry.rows);
  set_whole(field, "cols", 1, geometry.cols);
  set_whole(field, "leading", 0, geometry.leading);
  set_whole(field, "trailing", 0, geometry.trailing);
  set_whole(field, "first_key", 0, geometry.first_key);
  read_order(field, geometry);
  if (field.has("tiles")) read_tiles(field.at("tiles"), geometry);
  if (field.has("thumbnail")) read_thumbnail(field.at("thumbnail"), geometry);
  if (field.has("video")) read_video(field.at("video"), geometry);
  if (field.has("time")) read_time(field.at("time"), field, geometry);
  if (field.has("spans")) read_spans(field.at("spans"), geometry);
  set_whole(field, "picture", -1, geometry.picture);
  set_whole(field, "pictures", 0, geometry.pictures);
  check_kind(field, geometry);
  read_input(field, image, geometry);
  for (const auto& [name, value] : {std::pair{"rows", geometry.rows}, std::pair{"cols", geometry.cols}}) {
    if (geometry.time) break;  // without keys: as many as the row has
    if (value == 0 && (geometry.patch == 0 || geometry.rows + geometry.cols > 0)) {
      field.refuse("the field " + std::string(name) + (geometry.patch == 0 ? " (or patch)" : ""), "none");
    }
  }
  check_as_far_as_known(field, geometry);
  return geometry;
}

}  // namespace gaze

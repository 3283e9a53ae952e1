// SPDX-License-Identifier: MIT
#include "profile/profile_rules.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace gaze::fields {
namespace {

// The kind says which of the objects belongs to it.
void check_kind(const Field& field, StatedGeometry& geometry) {
  if (!field.has("kind")) geometry.kind = kind_of(geometry);
  for (const Row& row : geometry_fields(geometry)) {
    const std::optional<GeometryKind> kind = value_of(kKindNames, row.name);
    if (!kind || row.rule.kinds != bit(*kind)) continue;
    const std::string part = row.name;
    const bool there = !row.binding.write().is_null();
    const bool wanted = geometry.kind == *kind;
    if (wanted && !there) field.refuse("the field " + part + " where kind is " + part, "none");
    if (there && !wanted) {
      field.refuse("the field " + part + " only where kind is " + part,
                   "kind " + std::string(name_of(kKindNames, geometry.kind)));
    }
  }
}

void check_beside_time(const Field& field, StatedGeometry& geometry) {
  if (!field.has("time")) return;
  for (const Row& row : geometry_fields(geometry)) {
    if (row.rule.kinds == ~bit(GeometryKind::Time) && field.has(row.name))
      field.at(row.name).refuse("no " + std::string(row.name) + " beside time");
  }
}

void check_input(const Field& field, const Geometry& geometry) {
  if (geometry.fit != Fit::Resize && geometry.patch == 0 && (geometry.input_width == 0 || geometry.input_height == 0)) {
    field.refuse("input_width and input_height (or image.width and image.height) where fit is " +
                     std::string(name_of(kFitNames, geometry.fit)),
                 "none");
  }
  if (geometry.fit != Fit::CentreCrop && geometry.resize_shorter != 0)
    field.at("resize_shorter").refuse("0 unless fit is centre_crop");
  if (geometry.time) return;  // without keys: as many as the row has
  for (const auto& [name, value] : {std::pair{"rows", geometry.rows}, std::pair{"cols", geometry.cols}}) {
    if (value == 0 && (geometry.patch == 0 || geometry.rows + geometry.cols > 0))
      field.refuse("the field " + std::string(name) + (geometry.patch == 0 ? " (or patch)" : ""), "none");
  }
}

// Resolved with stand-ins for what only a request has.
void check_as_far_as_known(const Field& field, const StatedGeometry& geometry) {
  Geometry trial = geometry;
  if (trial.tiles && trial.tiles->rows == 0) trial.tiles->rows = trial.tiles->cols = 1;
  if (trial.video && trial.video->frames == 0) {
    trial.video->frames = trial.video->temporal_merge;
    trial.video->frame = -1;
  }
  if (trial.time && trial.cols == 0) trial.cols = 1;
  if (!trial.spans.empty() && trial.picture == -1) trial.picture = 0;
  if (geometry.placeholder) {
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

void check_selected(const Field& field, std::vector<SiteHeads>& selected) {
  std::set<std::string> sites;
  for (size_t i = 0; i < selected.size(); ++i) {
    if (!sites.insert(selected[i].site).second) field.at(i).at("site").refuse("each site once");
  }
}

void check_heads(const Field& field, StatedProfile& profile) {
  if (profile.heads != ops::HeadReduce::One) return;
  if (!field.has("head")) field.refuse("the field head where reduce is one", "none");
  if (field.has("select")) field.at("reduce").refuse("mean, max, min, weighted or topk beside select");
}

void check_rows(const Field& field, TokenRows& rows) {
  if (rows.pass >= rows.passes)
    field.at("pass").refuse("a pass below passes (" + std::to_string(rows.passes) + ")", std::to_string(rows.pass));
}

void check_image(const Field& field, ImageInput& image) {
  if (image.mean.size() == image.std.size()) return;
  field.at("std").refuse("as many values as mean (" + std::to_string(image.mean.size()) + ")",
                         std::to_string(image.std.size()));
}

void check_grounding(const Field& field, GroundingLimits& limits) {
  const auto check = [&](const char* grounded, double most, double least, const char* weak) {
    if (most >= least) return;
    field.at(grounded).refuse("at least " + std::string(weak) + " (" + show(least) + ")");
  };
  check("word_grounded", limits.word_grounded, limits.word_weak, "word_weak");
  check("answer_grounded", limits.answer_grounded, limits.answer_weak, "answer_weak");
}

void check_beside(const Field& field, Geometry& geometry) {
  try {
    check(geometry);
  } catch (const Error& error) {
    throw Error(field.source() + ": " + error.what());
  }
}

void check_sound(const Field& root, const Profile& profile) {
  if (profile.sound && profile.sound->beside) {
    if (profile.geometry && !profile.geometry->time) return;
    root.at("sound").at("beside").refuse("a picture's geometry that it stands beside",
                                         profile.geometry ? "geometry.time" : "no geometry");
  }
  if (!profile.sound || (!profile.image && profile.geometry && profile.geometry->time)) return;
  root.at("sound").refuse("geometry.time, and no image, beside sound", profile.image ? "image" : "no geometry.time");
}

void check_geometry(const Field& field, const std::optional<ImageInput>& image, StatedGeometry& geometry) {
  if (geometry.placeholder && field.has("first_key")) field.at("first_key").refuse("no first_key beside spans");
  check_beside_time(field, geometry);
  check_kind(field, geometry);
  if (image && image->width > 0) {
    if (!field.has("input_width")) geometry.input_width = image->width;
    if (!field.has("input_height")) geometry.input_height = image->height;
  }
  check_input(field, geometry);
  check_as_far_as_known(field, geometry);
}

void leave_out_input(const ImageInput& image, Geometry& geometry) {
  if (geometry.input_width == image.width) geometry.input_width = 0;
  if (geometry.input_height == image.height) geometry.input_height = 0;
}

}  // namespace gaze::fields

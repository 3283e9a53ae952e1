// SPDX-License-Identifier: MIT
// Every field of a profile: its name, type, range, default and meaning, and the variable it stands for.
#pragma once

#include <gaze/render/profile.hpp>

#include <optional>
#include <string>
#include <utility>

#include "profile/field_rows.hpp"

namespace gaze::fields {

/// What the object `geometry` says: its kind, and where the pictures are found among the prompt's ids, belong to no
/// Geometry.
struct StatedGeometry : Geometry {
  StatedGeometry() = default;
  explicit StatedGeometry(Geometry geometry)
      : Geometry(std::move(geometry)), kind(kind_of(static_cast<const Geometry&>(*this))) {}

  GeometryKind kind = GeometryKind::Grid;
  std::optional<PlaceholderSpans> placeholder;
};

/// What a file says.
struct StatedProfile : Profile {
  StatedProfile() = default;
  explicit StatedProfile(Profile profile) : Profile(std::move(profile)) {}

  std::string directory;  ///< of the file
};

Rows profile_fields(StatedProfile& profile);
Rows geometry_fields(StatedGeometry& geometry);

}  // namespace gaze::fields

// SPDX-License-Identifier: MIT
// What fields of a profile say of each other.
#pragma once

#include <optional>
#include <vector>

#include "profile/profile_fields.hpp"

namespace gaze::fields {

// Each throws gaze::Error naming the JSON path of the field, what is allowed and what was found.

void check_selected(const Field& field, std::vector<SiteHeads>& selected);
void check_heads(const Field& field, StatedProfile& profile);
void check_rows(const Field& field, TokenRows& rows);
void check_grounding(const Field& field, GroundingLimits& limits);
void check_image(const Field& field, ImageInput& image);
void check_beside(const Field& field, Geometry& geometry);
/// Of a whole profile.
void check_sound(const Field& root, const Profile& profile);
/// What may differ from request to request (the input's size beside patch, the numbers of tiles and of frames, the
/// picture) may be left out, and is checked when a request has it.
/// @param image  of the same profile; its size is the input's unless the geometry states one
void check_geometry(const Field& field, const std::optional<ImageInput>& image, StatedGeometry& geometry);

/// Takes off an input size that the geometry has from the image.
void leave_out_input(const ImageInput& image, Geometry& geometry);

}  // namespace gaze::fields

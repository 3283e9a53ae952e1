// SPDX-License-Identifier: MIT
// The geometry of a profile.
#pragma once

#include <gaze/render/profile.hpp>

#include <optional>

#include "profile/profile_field.hpp"

namespace gaze {

/// What may differ from request to request (the input's size beside patch, the numbers of tiles and of frames, the
/// picture) may be left out, and is checked when a request has it.
/// @param image  of the same profile; its size is the input's unless the geometry states one
/// @throws gaze::Error naming the JSON path of the field, what is allowed and what was found
Geometry read_geometry(const Field& field, const std::optional<ImageInput>& image);

}  // namespace gaze

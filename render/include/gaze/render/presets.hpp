// SPDX-License-Identifier: MIT
// Geometries of model families, as far as their papers and preprocessors fix them.
#pragma once

#include <gaze/render/geometry.hpp>

#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// Names that `preset` knows, in alphabetical order.
GAZE_API std::vector<std::string> preset_names();

/// Structure and constants documented for a family (docs/geometry.md lists them). What differs between its models or
/// from request to request is left unset, and is refused by `resolve` or `check` until it is given. Nothing of it is
/// taken on trust: the number of keys is checked as that of any geometry.
/// @return nothing for an unknown name
GAZE_API std::optional<Geometry> preset(const std::string& name);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Writes what a probe found as a profile file.
#pragma once

#include <gaze/render/profile.hpp>

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace gaze::cli {

/// The fields of docs/profiles.md that are not at their defaults.
nlohmann::ordered_json to_json(const Geometry& geometry);

/// Sites, image and geometry of `profile`. @throws Refusal when the file cannot be written.
void write_profile(const std::string& path, const Profile& profile);

}  // namespace gaze::cli

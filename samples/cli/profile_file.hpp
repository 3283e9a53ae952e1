// SPDX-License-Identifier: MIT
// Writes what was found as a profile file.
#pragma once

#include <gaze/render/profile.hpp>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace gaze::cli {

/// The object `geometry` of a profile.
nlohmann::ordered_json to_json(const Geometry& geometry);

/// @throws Refusal when the file cannot be written.
void write_profile(const std::string& path, const Profile& profile);

/// The profile at `path` as it is, its selection of heads replaced: at `out`. @throws Refusal when it cannot be
/// written.
void write_selected_heads(const std::string& path, const std::vector<SiteHeads>& selected, const std::string& out);

/// The profile at `path` as it is, its limits of grounding replaced: at `out`. @throws Refusal when it cannot be
/// written.
void write_grounding(const std::string& path, const GroundingLimits& limits, const std::string& out);

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// The two sides that `gaze drift` compares: folders of bundles, or statistics that were kept.
#pragma once

#include <gaze/render/drift.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gaze::cli {

struct DriftSide {
  std::string path;
  AttentionStatistics statistics;
  int64_t refused = 0;     ///< bundles of answers that could not be drawn
  int64_t unreadable = 0;  ///< and that could not be read
  uint64_t left_out = 0;   ///< older bundles, beyond the limit
};

/// What request.json says of an answer; of the first medium.
AnswerFigures figures_of(const nlohmann::json& request);

/// @param option  names the side in a refusal: "A"
/// @param limit  bundles at most: the newest
/// @throws Refusal where there is neither a bundle nor a file of statistics
DriftSide read_drift_side(const std::string& path, const std::string& option, size_t limit);

/// Two versions of a model that are compared; as indices into the sides' versions.
struct VersionPair {
  size_t a = 0, b = 0;
  bool same_file = true;  ///< of the model
};

/// The same model and file first; then those left of the same name; then, where each side has one left, these.
std::vector<VersionPair> pair_versions(const AttentionStatistics& a, const AttentionStatistics& b);

}  // namespace gaze::cli

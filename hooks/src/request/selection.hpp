// SPDX-License-Identifier: MIT
// Which sites, heads and layers of a model a profile and the options choose. Knows no TorchScript.
#pragma once

#include <gaze/hooks/options.hpp>
#include <gaze/hooks/sites.hpp>

#include <string>
#include <vector>

#include "capture/capture.hpp"

namespace gaze {

struct Selection {
  CaptureRules rules;
  std::string layers_text;  ///< for people: "mean of sites 0-2 of 3"
};

/// Options go before the profile.
/// @throws gaze::Error naming the field, when the choice does not fit the sites
Selection select(const Profile& profile, const Options& options, const std::vector<Site>& sites);

}  // namespace gaze

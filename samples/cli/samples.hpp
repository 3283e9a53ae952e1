// SPDX-License-Identifier: MIT
// Where the shipped models and pictures lie.
#pragma once

#include <string>

namespace gaze::cli {

/// The folder with models/ and data/: share/gaze/samples beside an installed program, else the source tree's.
/// @throws Refusal when neither exists.
std::string samples_dir();

/// profile.json beside a model file; empty when there is none.
std::string profile_beside(const std::string& model);

}  // namespace gaze::cli

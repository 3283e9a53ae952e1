// SPDX-License-Identifier: MIT
// Draws what the best heads look at.
#pragma once

#include <gaze/hooks/heads.hpp>

#include <string>

namespace gaze::cli {

/// A labelled grid: a row for each of the best heads (the chosen, at least 6 where there are as many), one for the mean
/// over all heads; a column for each of the first samples, with the mean map of its answer, each in its own range.
/// @throws Refusal when the file cannot be written.
void write_heads_picture(const std::string& path, const HeadsResult& result);

}  // namespace gaze::cli

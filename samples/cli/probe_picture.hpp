// SPDX-License-Identifier: MIT
// What a probe found, drawn on the model's own input.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/hooks/probe.hpp>

#include <string>

namespace gaze::cli {

/// @throws Refusal when this build draws no pictures.
void expect_pictures();

/// The input [channels, height, width], the cells of the site with the largest local share, of those that
/// would make the overlay where one has cells, and a line from the middle
/// of each cell to the centre of its key's response.
/// @throws Refusal when no site has a geometry, or the file cannot be written.
void write_probe_picture(const std::string& path, const at::Tensor& input_chw, const ProbeResult& result);

}  // namespace gaze::cli

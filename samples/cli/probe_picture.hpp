// SPDX-License-Identifier: MIT
// What a probe found, drawn on the model's own input.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/hooks/probe.hpp>

#include <string>

namespace gaze::cli {

/// The input [channels, height, width], the cells of the site with the largest local share, and a line from the middle
/// of each cell to the centre of its key's response.
/// @throws Refusal when no site has a geometry, the file cannot be written, or this build draws no pictures.
void write_probe_picture(const std::string& path, const at::Tensor& input_chw, const ProbeResult& result);

}  // namespace gaze::cli

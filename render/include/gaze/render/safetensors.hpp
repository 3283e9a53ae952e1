// SPDX-License-Identifier: MIT
// Tensors as a file that other programs read.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/status.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gaze {

/// Writes float32/int32/... contiguous CPU tensors as a safetensors file (atomic: temporary file, then rename).
/// @throws gaze::Error (IoError, DiskFull, OutDir)
GAZE_API void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                                const std::map<std::string, std::string>& metadata = {});

}  // namespace gaze

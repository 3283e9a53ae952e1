// SPDX-License-Identifier: MIT
// Tensors as the bytes of a safetensors file.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gaze {

std::string serialise_safetensors(const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                                  const std::map<std::string, std::string>& metadata);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What is known of every captured token, on the host.
#pragma once

#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>

#include <vector>

namespace gaze {

/// One value per captured token each; empty when the map does not have them.
struct TokenFacts {
  std::vector<double> mass, visible;
  std::vector<int32_t> flags;
};

/// Tensors of any kind as one float64 row, for one transfer.
at::Tensor pack(const std::vector<at::Tensor>& parts);

/// Of a map that is not drawn; values of another number than the tokens are left out.
TokenFacts token_facts(const MediumMap& map, const ops::Route& route);

}  // namespace gaze

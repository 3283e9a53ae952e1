// SPDX-License-Identifier: MIT
// Finds loops of a model that gather their batch anew, as a beam search does.
#pragma once

#include "graph/walk.hpp"

namespace gaze {

/// Whether `node` runs in a loop in which what goes from turn to turn, a cache or the tokens, is gathered along its
/// first axis by an index tensor: row i of a batch goes on from another row then.
bool rows_are_gathered(torch::jit::Node* node, const Owners& owners);

}  // namespace gaze

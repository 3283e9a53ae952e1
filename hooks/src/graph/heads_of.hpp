// SPDX-License-Identifier: MIT
// How many heads a graph says a query or key has.
#pragma once

#include "graph/walk.hpp"

namespace gaze {

/// Queries or keys of [b, h, n, d]: their heads, from the reshape that splits the projection. 1 where nothing splits
/// it, 0 where the graph does not say.
int64_t heads_of(torch::jit::Value* value, bool before_repetition, const Owners& owners,
                 const torch::jit::Module& self);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Every head's map, as far as a record kept them: detail.safetensors, and what report.html shows of them.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "media/map_facts.hpp"
#include "media/render_task.hpp"

namespace gaze {

/// What detail is laid out and merged by: as the map itself.
struct DetailRows {
  std::function<at::Tensor(const at::Tensor& rows_htk)> to_cells;  ///< float32 [heads, tokens, keys] -> [.., cells]
  const std::vector<WordFacts>& words;
  const WordFacts& summary;
  at::Tensor visible_t, focus_t;  ///< of the tokens that were asked for, on the host (Analysis)
};

/// Adds the map's detail, where it has some and is wanted for this answer. It comes back in one transfer for each site:
/// Cargo::Map, a byte a weight. Cost: a few operations for every weight.
std::optional<DetailFacts> add_detail(const DetailRows& rows, const RenderTask& task, Artifacts& artifacts);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Whether links make one chain.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gaze/render/ledger.hpp>

#include "ledger/chain.hpp"

namespace gaze::ledger {

using Tell = std::function<void(const Finding&)>;

/// A bundle's place as its manifest tells it, the line that tells of its deletion, or one that stands for several.
struct Place {
  Link link;  // of several the last one's
  std::string previous;
  enum class Of { Folded, Bundle, Deletion } of = Of::Bundle;
  int64_t first = link.sequence;
};

/// Tells every gap, every two links of one place, and every link that names another one before it, up to the head.
/// @param head  settled; none: there is no chain.json, or it is damaged, which was told
void check_links(std::vector<Place> places, const std::optional<Head>& head, const Tell& tell);

}  // namespace gaze::ledger

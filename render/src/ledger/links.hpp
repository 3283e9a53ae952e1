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

/// A bundle's place as its manifest tells it, or the line that tells of its deletion.
struct Place {
  Link link;
  std::string previous;
  bool deleted = false;
};

/// What comes before the first link: of a chain whose beginning is deleted and folded, that beginning's end.
struct Beginning {
  int64_t sequence = 0;
  std::string manifest;
};

/// Tells every gap, every two links of one place, and every link that names another one before it, up to the head.
/// @param head  settled; none: there is no chain.json, or it is damaged, which was told
void check_links(std::vector<Place> places, const Beginning& beginning, const std::optional<Head>& head,
                 const Tell& tell);

}  // namespace gaze::ledger

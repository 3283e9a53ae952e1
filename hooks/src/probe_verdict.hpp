// SPDX-License-Identifier: MIT
// What a probe says of each site, in words. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "key_layout.hpp"

namespace gaze {

/// Layouts and verdicts of all sites whose keys were located, from the responses of each, in the order of the sites.
void judge(ProbeResult& result, const std::vector<StripResponse>& columns_of,
           const std::vector<StripResponse>& rows_of);

/// "24 x 24 cells of 16 x 16 pixels, 1 leading".
std::string describe(const Geometry& geometry, int64_t width, int64_t height);

/// "96 %", rounded down.
std::string percent(double share);

}  // namespace gaze

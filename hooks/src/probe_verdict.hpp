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
/// @param unfolded  of every group's keys, group after group, where a site has several
void judge(ProbeResult& result, const std::vector<SiteResponse>& folded, const std::vector<SiteResponse>& unfolded);

/// "24 x 24 cells of 16 x 16 pixels, 1 leading".
std::string describe(const Geometry& geometry, const ProbeResult& result);

/// "96 %", rounded down.
std::string percent(double share);

}  // namespace gaze

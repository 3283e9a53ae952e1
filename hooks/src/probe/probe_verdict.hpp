// SPDX-License-Identifier: MIT
// What a probe says of each site, in words. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "probe/key_layout.hpp"
#include "probe/key_timeline.hpp"

namespace gaze {

/// Measures how long a site's keys last, from the line that they lie on, more exactly than strips can.
using MeasureStride = std::function<std::optional<KeyStride>(size_t site, const KeyTimeline& line)>;

/// Layouts and verdicts of all sites whose keys were located, from the responses of each, in the order of the sites.
/// @param unfolded  of every group's keys, group after group, where a site has several
/// @param measure   asked for keys of a sound of which strips leave no one number
void judge(ProbeResult& result, const std::vector<SiteResponse>& folded, const std::vector<SiteResponse>& unfolded,
           const MeasureStride& measure);

/// "24 x 24 cells of 16 x 16 pixels, 1 leading".
std::string describe(const Geometry& geometry, const ProbeResult& result);

/// "96 %", rounded down.
std::string percent(double share);

}  // namespace gaze

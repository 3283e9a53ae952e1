// SPDX-License-Identifier: MIT
// Gaze's counters, as Prometheus reads them.
#pragma once

#include <gaze/hooks/stats.hpp>

#include <string>

namespace gaze::serve {

std::string gaze_metrics_text(const Stats& stats);

}  // namespace gaze::serve

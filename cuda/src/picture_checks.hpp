// SPDX-License-Identifier: MIT
// What the ops on pictures check alike.
#pragma once

#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>

#include <limits>

#include "check.hpp"

namespace gaze::ops {

/// A side of a picture, so that kernels may count pixels in 32 bits.
constexpr int64_t kMostPixels = std::numeric_limits<int32_t>::max() / 4;

static_assert(static_cast<int>(Colormap::Diverging) == static_cast<int>(kernels::Colormap::Diverging));

inline void check_colormap(const char* op, Colormap colormap) {
  GAZE_CHECK(colormap >= Colormap::Turbo && colormap <= Colormap::Diverging, op, "colormap", "a Colormap, got ",
             static_cast<int64_t>(colormap));
}

inline void check_blend(const char* op, const BlendOptions& options) {
  GAZE_CHECK(options.alpha_max >= 0 && options.alpha_max <= 1, op, "options.alpha_max", "0..1, got ",
             options.alpha_max);
  GAZE_CHECK(options.alpha_start >= 0 && options.alpha_start <= 1, op, "options.alpha_start", "0..1, got ",
             options.alpha_start);
  GAZE_CHECK(options.alpha_full >= options.alpha_start && options.alpha_full <= 1, op, "options.alpha_full",
             "alpha_start..1, got ", options.alpha_full);
}

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
#pragma once

#include <gaze/ops/overlay.hpp>

#include "kernels.hpp"

namespace gaze::ops {

/// What `overlay_out` gives its kernel; for the benchmark too, which runs one instruction set after the other.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API kernels::OverlayParams overlay_params(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                                               const std::optional<at::Tensor>& inside_yx, const CellAffine& place,
                                               const OverlayOptions& options, const at::Tensor& out_hwc);

}  // namespace gaze::ops

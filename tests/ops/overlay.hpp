// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ops/empty_like.h>
#include <gaze/ops/overlay.hpp>

namespace gaze::test {

/// `overlay_out` into a new tensor.
inline at::Tensor overlay(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                          const std::optional<at::Tensor>& inside_yx, const ops::CellAffine& place,
                          const ops::OverlayOptions& options) {
  at::Tensor out_hwc = at::empty_like(rgb_hwc);
  ops::overlay_out(rgb_hwc, value_yx, inside_yx, place, options, out_hwc);
  return out_hwc;
}

}  // namespace gaze::test

// SPDX-License-Identifier: MIT
// Where a picture's pixels lie on one axis of the grid; for host and device code, which must agree to the bit.
#pragma once

#include <cstdint>

#include "half.hpp"

namespace gaze::kernels {

/// In cells: scale * (pixel + 0.5) + offset, rounded after the product too. Host sources are compiled without
/// contraction of products and sums; the device has no such switch for part of a program.
GAZE_HOST_DEVICE inline double place(double scale, double offset, std::int64_t pixel) {
  const double middle = static_cast<double>(pixel) + 0.5;
#ifdef __CUDA_ARCH__
  return __dadd_rn(__dmul_rn(scale, middle), offset);
#else
  return scale * middle + offset;
#endif
}

/// The cell a place lies in; -1 before the grid (and where the place is no number), `cells` behind it.
GAZE_HOST_DEVICE inline std::int64_t cell(double place, std::int64_t cells) {
  return !(place >= 0) ? -1 : place < static_cast<double>(cells) ? static_cast<std::int64_t>(place) : cells;
}

/// Between which two cells a place on the grid lies.
struct Tap {
  std::int64_t low = 0, high = 0;
  float share = 0;  ///< of `high`
};

GAZE_HOST_DEVICE inline Tap tap(double place, std::int64_t cells, bool exact) {
  Tap t;
  if (exact) {
    t.low = t.high = static_cast<std::int64_t>(place);
    return t;
  }
  const double last = static_cast<double>(cells - 1);
  double centre = place - 0.5;
  centre = centre < 0 ? 0 : centre > last ? last : centre;
  t.low = static_cast<std::int64_t>(centre);
  t.high = t.low + 1 < cells ? t.low + 1 : t.low;
  t.share = static_cast<float>(centre - static_cast<double>(t.low));
  return t;
}

}  // namespace gaze::kernels

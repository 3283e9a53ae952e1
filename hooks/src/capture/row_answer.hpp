// SPDX-License-Identifier: MIT
// What a batch row comes to on one medium, before and after its sums are divided. Knows no TorchScript.
#pragma once

#include <gaze/ops/reduce.hpp>

#include <cstdint>

namespace gaze {

/// Tensors are on the device of the first layer.
struct RowAnswer {
  at::Tensor map_tk, mass_t, visible_t, flags_t;  ///< as in MediumMap, once they are divided
  at::Tensor weight_t, rows_t;                    ///< what they are divided by; undefined: they are
  int64_t keys = 0;                               ///< of the map that count
  at::Tensor beyond;                              ///< as in MediumPlace, while it is no flag
  ops::ReduceOptions by;

  /// Asynchronous on the current stream. Once.
  void divide();
};

}  // namespace gaze

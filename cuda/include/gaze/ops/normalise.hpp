// SPDX-License-Identifier: MIT
// From attention shares to display values: lift, sink subtraction, a range shared by the request.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

struct NormaliseOptions {
  bool subtract_sinks = true;    ///< subtract the mean map over tokens and clamp at 0, with at least 4 tokens
  double percentile = 0.99;      ///< of all values of the request: the top of the colour range, (0, 1]
  bool per_map_min_max = false;  ///< scale each map by its own minimum and maximum instead (hides magnitude)
};

constexpr double kDiffuseEntropy = 0.95;  ///< a map is diffuse above it

struct Normalised {
  at::Tensor lift_tc;     ///< float32 [tokens, cells]: share x visible keys; 1.0 = uniform attention; before sinks
  at::Tensor shown_tc;    ///< float32 [tokens, cells]: lift after sink subtraction
  at::Tensor value_tc;    ///< float32 [tokens, cells]: shown / range clamped to 0..1; all 0 for diffuse maps
  at::Tensor max_lift_t;  ///< float32 [tokens]: maximum of lift_tc
  at::Tensor entropy_t;   ///< float32 [tokens]: entropy of the map renormalised over cells, 0..1 (0 for an empty map)
  at::Tensor diffuse_t;   ///< bool [tokens]: max lift < 2 or entropy > kDiffuseEntropy
  at::Tensor range_max;   ///< float32 []: lift shown at the top of the colour range, >= 1
  bool sinks_subtracted = false;
};

/// lift = map x visible; shown = max(0, lift - mean over tokens) when asked and tokens >= 4;
/// range = percentile of shown over the request (linear interpolation between order statistics);
/// where that is 0 the maximum is used. It is at least 1: noise below uniform attention is not stretched over all
/// colours. A map that is constant gives value 0 under per_map_min_max, never NaN.
///
/// @param map_tc     float32 [tokens, cells], finite, >= 0 (the lift of other values is 0), fewer than 2^32 values
/// @param visible_t  float32 [tokens]
/// All results on map_tc's device, asynchronous on the current stream.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API Normalised normalise(const at::Tensor& map_tc, const at::Tensor& visible_t, const NormaliseOptions& options);

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
// The numbers of a record, before any pixel: checked, merged into words, normalised over the request.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>
#include <gaze/render/words.hpp>

#include <vector>

namespace gaze {

/// What is said about one map.
struct Finding {
  Word word;            ///< empty text for the summary
  double mass = 0;      ///< share of attention on the picture
  double max_lift = 0;  ///< of the raw map
  double entropy = 0;   ///< 0..1, of the raw map
  bool diffuse = false;
  double range_max_lift = 1;  ///< shown lift at the top of this map's colours
  int32_t flags = 0;          ///< ops::RowFlag bits of its tokens
};

struct Analysis {
  std::vector<Finding> words;
  Finding summary;
  at::Tensor map_tc, lift_tc, mass_t;      ///< the tokens that were asked for, raw
  at::Tensor lift_wc, shown_wc, value_wc;  ///< per word; value is 0..1
  at::Tensor lift_c, shown_c, value_c;     ///< mean over words
  double range_max_lift = 1;
  bool sinks_subtracted = false;
};

/// Refuses what must not be drawn.
/// @throws gaze::Error with the record's own error, NoAttention, ShapeMismatch, NonFinite, RowSum, Labels or
/// GridMismatch
Analysis analyse(const AttentionRecord& record);

}  // namespace gaze

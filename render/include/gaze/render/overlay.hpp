// SPDX-License-Identifier: MIT
// From a record to finished frames.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>
#include <gaze/render/word_facts.hpp>

#include <vector>

namespace gaze {

/// One map as a finished frame.
struct Overlay : WordFacts {
  at::Tensor rgb_hwc;  ///< uint8 [height, width, 3] of the original picture's size
};

struct Composition {
  at::Tensor base_hwc;    ///< uint8 [height, width, 3]: the picture
  at::Tensor ground_hwc;  ///< likewise: what lies below the heat (Style::ground)
  Overlay summary;        ///< mean over words, with a colour range of its own
  std::vector<Overlay> words;
  double range_max_lift = 1;  ///< lift at the top of the words' colour range
  bool sinks_subtracted = false;
  at::Tensor lift_wc;   ///< float32 [words, cells], raw lift
  at::Tensor shown_wc;  ///< float32 [words, cells], after sink subtraction
};

/// Of the record's first map of a picture: merges words, normalises over the request, resamples, colours and blends on
/// its device.
/// Refuses rather than draws: an error in the record, no tokens, non-finite rows, rows that do not sum to 1, more
/// labels than tokens, a geometry that does not fit, a picture that cannot be decoded.
/// @throws gaze::Error with the reason.
GAZE_API Composition compose(const AttentionRecord& record);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Whether attention supports what a model said, by limits that were measured on the model.
#pragma once

#include <gaze/ops/api.hpp>

#include <limits>
#include <string>

namespace gaze {

enum class Verdict {
  CannotSay,    ///< nothing was measured, or nothing can be told
  NotGrounded,  ///< attention as over an input without content
  Weak,         ///< between the two
  Grounded      ///< attention as for answers to inputs with content
};

/// "cannot say", "not grounded", "weak", "grounded".
GAZE_API const char* name(Verdict verdict) noexcept;

struct Grounding {
  Verdict verdict = Verdict::CannotSay;
  double score = std::numeric_limits<double>::quiet_NaN();  ///< 0..1, the focus; NaN: there is none
  std::string why = {};                                     ///< one plain sentence
};

}  // namespace gaze

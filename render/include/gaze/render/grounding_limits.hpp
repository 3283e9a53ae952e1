// SPDX-License-Identifier: MIT
// From which focus on a model's words are grounded (docs/grounding.md).
#pragma once

namespace gaze {

/// Focus (SharpestToken::focus) of words and of whole answers: below `weak` not grounded, from `grounded` on grounded.
/// 0 <= weak <= grounded <= 1. They hold for one model, its chosen heads and its layers alone.
struct GroundingLimits {
  double word_weak = 0, word_grounded = 1;
  double answer_weak = 0, answer_grounded = 1;
};

}  // namespace gaze

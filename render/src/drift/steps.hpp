// SPDX-License-Identifier: MIT
// One answer's place in the histograms, small enough to keep many of them.
#pragma once

#include <gaze/render/drift.hpp>

#include <array>
#include <cstdint>

namespace gaze {

struct AnswerSteps {
  static constexpr uint16_t kUnmeasured = 0xFFFF;
  std::array<uint16_t, 4> steps{};  ///< of each figure, in the order of kDriftFigures
};

AnswerSteps steps_of(const AnswerFigures& figures) noexcept;

/// Adds `change`, 1 or -1, where the answer's steps are.
void count(std::array<FigureHistogram, 4>& figures, const AnswerSteps& answer, int64_t change) noexcept;

}  // namespace gaze

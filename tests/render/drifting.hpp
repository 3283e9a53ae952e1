// SPDX-License-Identifier: MIT
// Figures of answers that drift when they are told to.
#pragma once

#include <gaze/render/answer_figures.hpp>

#include <algorithm>
#include <random>
#include <string>

namespace gaze::test {

inline AnswerFigures answer(double mass, double entropy, double focus, double max_lift,
                            const std::string& model = "model") {
  AnswerFigures figures;
  figures.model = model;
  figures.mass = mass;
  figures.entropy = entropy;
  figures.focus = focus;
  figures.max_lift = max_lift;
  return figures;
}

class Stream {
 public:
  explicit Stream(unsigned seed) : random_(seed) {}
  /// @param moved  how many standard deviations further its entropy is, and with it all that hangs on it
  AnswerFigures next(double moved = 0, const std::string& model = "model") {
    std::normal_distribution<double> normal;
    const double entropy = std::clamp(0.5 + 0.08 * (normal(random_) + moved), 0.0, 1.0);
    const double mass = std::clamp(0.8 + 0.05 * normal(random_), 0.0, 1.0);
    return answer(mass, entropy, mass * (1 - entropy), std::exp2(5 * (1 - entropy)), model);
  }

 private:
  std::mt19937 random_;
};

}  // namespace gaze::test

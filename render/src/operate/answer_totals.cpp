// SPDX-License-Identifier: MIT
#include <gaze/render/operation.hpp>

#include <algorithm>
#include <cmath>

namespace gaze {

Histogram::Histogram(std::initializer_list<double> bounds) {
  for (const double bound : bounds) bounds_[size_++] = bound;
}

void Histogram::add(double value) noexcept {
  if (std::isnan(value)) return;
  const auto* const end = bounds_.cbegin() + size_;
  const auto bin = static_cast<size_t>(std::lower_bound(bounds_.cbegin(), end, value) - bounds_.cbegin());
  counts_[bin].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

AnswerTotals::AnswerTotals()
    : render_seconds({0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}),
      open_seconds({0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100}),
      mass(
          {0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1}),
      entropy(
          {0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1}),
      focus({0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
             0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1}) {}

void AnswerTotals::add(const AnswerFigures& figures) noexcept {
  answers[static_cast<size_t>(figures.verdict)].fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < words.size(); ++i) words[i].fetch_add(figures.words[i], std::memory_order_relaxed);
  render_seconds.add(figures.render_seconds);
  open_seconds.add(figures.open_seconds);
  mass.add(figures.mass);
  entropy.add(figures.entropy);
  focus.add(figures.focus);
}

}  // namespace gaze

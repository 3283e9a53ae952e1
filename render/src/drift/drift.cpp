// SPDX-License-Identifier: MIT
#include <gaze/render/drift.hpp>

#include <algorithm>
#include <cmath>

namespace gaze {
namespace {

/// Sum of (q - p) ln(q / p) over the bins that either has, with half an answer added to each of these.
double stability_index(const FigureHistogram& reference, const FigureHistogram& running, double n, double m) noexcept {
  constexpr double kAdded = 0.5;
  const auto reference_b = reference.bins(), running_b = running.bins();
  double used = 0;
  for (size_t b = 0; b < reference_b.size(); ++b) used += reference_b[b] + running_b[b] > 0 ? 1 : 0;
  double sum = 0;
  for (size_t b = 0; b < reference_b.size(); ++b) {
    if (reference_b[b] + running_b[b] == 0) continue;
    const double p = (static_cast<double>(reference_b[b]) + kAdded) / (n + kAdded * used);
    const double q = (static_cast<double>(running_b[b]) + kAdded) / (m + kAdded * used);
    sum += (q - p) * std::log(q / p);
  }
  return sum;
}

double largest_distance(const FigureHistogram& reference, const FigureHistogram& running, double n, double m) noexcept {
  int64_t below_reference = 0, below_running = 0;
  const double share = 1 / n, running_share = 1 / m;
  double most = 0;
  for (size_t step = 0; step < FigureHistogram::kSteps; ++step) {
    below_reference += reference.steps[step];
    below_running += running.steps[step];
    most = std::max(most, std::abs(static_cast<double>(below_reference) * share -
                                   static_cast<double>(below_running) * running_share));
  }
  return std::min(most, 1.0);
}

/// Kolmogorov's distribution, above `distance`; each of its two series where it needs but a few terms.
double above(double distance) noexcept {
  constexpr double kPi = 3.14159265358979323846;
  if (distance < 0.2) return 1;  // less than 1e-12 from it
  double sum = 0;
  if (distance < 1.18) {
    for (int k = 1; k <= 9; k += 2) sum += std::exp(-k * k * kPi * kPi / (8 * distance * distance));
    return std::clamp(1 - std::sqrt(2 * kPi) / distance * sum, 0.0, 1.0);
  }
  for (int k = 1; k <= 5; ++k) sum += (k % 2 == 1 ? 2 : -2) * std::exp(-2 * k * k * distance * distance);
  return std::clamp(sum, 0.0, 1.0);
}

/// With the correction of Stephens for few answers.
double chance_of(double distance, double n, double m) noexcept {
  const double root = std::sqrt(n * m / (n + m));
  return above(distance * (root + 0.12 + 0.11 / root));
}

DriftVerdict verdict_of(const FigureDrift& drift, double chance) noexcept {
  if (drift.ks_p >= chance || drift.psi < kModerateStability) return DriftVerdict::None;
  return drift.psi < kMajorStability ? DriftVerdict::Moderate : DriftVerdict::Major;
}

}  // namespace

const char* name(DriftVerdict verdict) noexcept {
  constexpr std::array<const char*, 4> kNames = {"cannot say", "none", "moderate", "major"};
  return kNames[static_cast<size_t>(verdict)];
}

FigureDrift drift(const FigureHistogram& reference, const FigureHistogram& running, double chance) noexcept {
  FigureDrift found;
  const int64_t measured = reference.measured(), measured_now = running.measured();
  if (std::min(measured, measured_now) < 1) return found;
  const auto n = static_cast<double>(measured), m = static_cast<double>(measured_now);
  found.psi = stability_index(reference, running, n, m);
  found.ks = largest_distance(reference, running, n, m);
  found.ks_p = chance_of(found.ks, n, m);
  if (std::min(measured, measured_now) >= kLeastDriftAnswers) found.verdict = verdict_of(found, chance);
  return found;
}

VersionDrift drift(const VersionStatistics& reference, const VersionStatistics& running, double chance) noexcept {
  VersionDrift found;
  for (size_t i = 0; i < found.size(); ++i) found[i] = drift(reference.figures[i], running.figures[i], chance);
  return found;
}

DriftVerdict verdict_of(const VersionDrift& drift) noexcept {
  return std::max_element(drift.begin(), drift.end(),
                          [](const FigureDrift& a, const FigureDrift& b) { return a.verdict < b.verdict; })
      ->verdict;
}

}  // namespace gaze

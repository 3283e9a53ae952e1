// SPDX-License-Identifier: MIT
#include <gaze/render/drift.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/utf8.hpp"
#include "drift/steps.hpp"

namespace gaze {
namespace {

constexpr double kLeastLift = 0.5, kOctaves = 10;  // up to 512

/// A figure's place from 0 to 1.
double place_of(DriftFigure figure, double value) noexcept {
  return figure == DriftFigure::MaxLift ? std::log2(std::max(value, kLeastLift) / kLeastLift) / kOctaves : value;
}

uint16_t step_of(DriftFigure figure, double value) noexcept {
  if (!std::isfinite(value)) return AnswerSteps::kUnmeasured;
  constexpr auto kSteps = static_cast<double>(FigureHistogram::kSteps);
  return static_cast<uint16_t>(std::clamp(std::floor(place_of(figure, value) * kSteps), 0.0, kSteps - 1));
}

template <class Numbers>
void add_each(Numbers& to, const Numbers& from) noexcept {
  std::transform(to.begin(), to.end(), from.begin(), to.begin(), std::plus<>());
}

}  // namespace

const char* name(DriftFigure figure) noexcept {
  constexpr std::array<const char*, 4> kNames = {"mass", "entropy", "focus", "max_lift"};
  return kNames[static_cast<size_t>(figure)];
}

int64_t FigureHistogram::measured() const noexcept { return std::accumulate(steps.begin(), steps.end(), int64_t{0}); }

std::array<int64_t, FigureHistogram::kBins> FigureHistogram::bins() const noexcept {
  std::array<int64_t, kBins> bins{};
  for (size_t step = 0; step < kSteps; ++step) bins[step / kStepsPerBin] += steps[step];
  return bins;
}

double FigureHistogram::edge(DriftFigure figure, size_t bin) noexcept {
  const double place = static_cast<double>(bin) / static_cast<double>(kBins);
  return figure == DriftFigure::MaxLift ? kLeastLift * std::exp2(place * kOctaves) : place;
}

AnswerSteps steps_of(const AnswerFigures& figures) noexcept {
  return {{step_of(DriftFigure::Mass, figures.mass), step_of(DriftFigure::Entropy, figures.entropy),
           step_of(DriftFigure::Focus, figures.focus), step_of(DriftFigure::MaxLift, figures.max_lift)}};
}

void count(std::array<FigureHistogram, 4>& figures, const AnswerSteps& answer, int64_t change) noexcept {
  for (size_t i = 0; i < figures.size(); ++i) {
    const uint16_t step = answer.steps[i];
    (step == AnswerSteps::kUnmeasured ? figures[i].unmeasured : figures[i].steps[step]) += change;
  }
}

VersionStatistics& AttentionStatistics::version(std::string_view model, std::string_view model_sha256) {
  model = beginning(model, VersionStatistics::kMostName);
  model_sha256 = beginning(model_sha256, VersionStatistics::kMostName);
  auto found = std::find_if(versions_.begin(), versions_.end(), [&](const VersionStatistics& version) {
    return version.model == model && version.model_sha256 == model_sha256;
  });
  if (found == versions_.end()) {
    VersionStatistics made;
    made.model = model;
    made.model_sha256 = model_sha256;
    if (versions_.size() == kMostVersions) {
      left_out_ += versions_.front().answers;
      versions_.erase(versions_.begin());
    }
    versions_.push_back(std::move(made));
  } else {
    std::rotate(found, found + 1, versions_.end());
  }
  return versions_.back();
}

void AttentionStatistics::add(const AnswerFigures& figures) {
  VersionStatistics& to = version(figures.model, figures.model_sha256);
  ++to.answers;
  to.tokens += std::max<int64_t>(figures.tokens, 0);
  ++to.verdicts[static_cast<size_t>(figures.verdict)];
  add_each(to.words, figures.words);
  count(to.figures, steps_of(figures), 1);
}

void AttentionStatistics::merge(const VersionStatistics& other) {
  VersionStatistics& to = version(other.model, other.model_sha256);
  to.answers += other.answers;
  to.tokens += other.tokens;
  add_each(to.verdicts, other.verdicts);
  add_each(to.words, other.words);
  for (size_t i = 0; i < to.figures.size(); ++i) {
    add_each(to.figures[i].steps, other.figures[i].steps);
    to.figures[i].unmeasured += other.figures[i].unmeasured;
  }
}

void AttentionStatistics::merge(const AttentionStatistics& other) {
  for (const VersionStatistics& version : other.versions_) merge(version);
  left_out_ += other.left_out_;
}

int64_t AttentionStatistics::answers() const noexcept {
  return std::accumulate(versions_.begin(), versions_.end(), int64_t{0},
                         [](int64_t sum, const VersionStatistics& version) { return sum + version.answers; });
}

}  // namespace gaze

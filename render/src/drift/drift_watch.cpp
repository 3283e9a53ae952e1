// SPDX-License-Identifier: MIT
#include <gaze/render/drift.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>

#include "base/utf8.hpp"
#include "drift/steps.hpp"

namespace gaze {
namespace {

/// A verdict that was reached is kept while the figures are above this share of its limit, or below that chance.
constexpr double kKeptShare = 0.8, kKeptChance = 1e-3;
constexpr int64_t kLongestWindow = 1'000'000;

/// What a figure's verdict becomes, which was `before`.
DriftVerdict kept(const FigureDrift& now, DriftVerdict before) noexcept {
  if (now.verdict == DriftVerdict::CannotSay || now.verdict >= before) return now.verdict;
  const bool likely = now.ks_p < kKeptChance;
  if (before == DriftVerdict::Major && likely && now.psi >= kKeptShare * kMajorStability) return before;
  if (likely && now.psi >= kKeptShare * kModerateStability) return std::max(now.verdict, DriftVerdict::Moderate);
  return now.verdict;
}

void expect_window(int64_t answers, const char* which) {
  if (answers < kLeastDriftAnswers || answers > kLongestWindow)
    throw Error(std::string(which) + " window: expected " + std::to_string(kLeastDriftAnswers) + " to " +
                std::to_string(kLongestWindow) + " answers, got " + std::to_string(answers) + ".");
}

}  // namespace

struct DriftWatch::Watched {
  std::string model, model_sha256;
  VersionStatistics reference, running;
  bool whole = false;             ///< the reference
  std::vector<AnswerSteps> ring;  ///< the running answers; grows no further once it is full
  size_t oldest = 0;              ///< of the ring, once it is full
  VersionDrift figures;
  DriftVerdict verdict = DriftVerdict::CannotSay;

  void run(const AnswerSteps& answer, size_t window) {
    count(running.figures, answer, 1);
    if (ring.size() < window) {
      ring.push_back(answer);
      return;
    }
    count(running.figures, ring[oldest], -1);
    ring[oldest] = answer;
    oldest = (oldest + 1) % window;
  }

  void compare() {
    VersionDrift now = drift(reference, running, kWatchChance);
    for (size_t i = 0; i < now.size(); ++i) now[i].verdict = kept(now[i], figures[i].verdict);
    figures = now;
  }
};

DriftWatch::DriftWatch(DriftWindows windows, AttentionStatistics reference)
    : windows_(windows), given_(std::move(reference)) {
  expect_window(windows.reference, "reference");
  expect_window(windows.running, "running");
}

DriftWatch::~DriftWatch() = default;
DriftWatch::DriftWatch(DriftWatch&&) noexcept = default;
DriftWatch& DriftWatch::operator=(DriftWatch&&) noexcept = default;

DriftWatch::Watched& DriftWatch::watched(const AnswerFigures& figures) {
  const std::string_view model = beginning(figures.model, VersionStatistics::kMostName);
  const std::string_view model_sha256 = beginning(figures.model_sha256, VersionStatistics::kMostName);
  const auto is_it = [&](const auto& version) {
    return version.model == model && version.model_sha256 == model_sha256;
  };
  const auto found =
      std::find_if(watched_.begin(), watched_.end(), [&](const auto& watched) { return is_it(*watched); });
  if (found != watched_.end()) {
    std::rotate(found, found + 1, watched_.end());
    return *watched_.back();
  }
  auto made = std::make_unique<Watched>();
  made->model = model;
  made->model_sha256 = model_sha256;
  made->ring.reserve(static_cast<size_t>(windows_.running));
  const auto given = std::find_if(given_.versions().begin(), given_.versions().end(), is_it);
  if (given != given_.versions().end()) {
    made->reference = *given;
    made->whole = true;
  }
  if (watched_.size() == AttentionStatistics::kMostVersions) watched_.erase(watched_.begin());
  watched_.push_back(std::move(made));
  return *watched_.back();
}

std::optional<DriftEvent> DriftWatch::add(const AnswerFigures& figures) {
  Watched& version = watched(figures);
  const AnswerSteps answer = steps_of(figures);
  if (!version.whole) {
    count(version.reference.figures, answer, 1);
    version.whole = ++version.reference.answers == windows_.reference;
    return std::nullopt;
  }
  version.run(answer, static_cast<size_t>(windows_.running));
  version.compare();
  const DriftVerdict before = version.verdict, now = verdict_of(version.figures);
  if (now == before || now == DriftVerdict::CannotSay) return std::nullopt;
  version.verdict = now;
  // The first verdict of all is news only where it is a bad one.
  if (before == DriftVerdict::CannotSay && now == DriftVerdict::None) return std::nullopt;
  return DriftEvent{version.model, version.model_sha256, std::max(before, DriftVerdict::None), now, version.figures};
}

const VersionDrift* DriftWatch::latest() const noexcept {
  const bool said = !watched_.empty() && watched_.back()->verdict != DriftVerdict::CannotSay;
  return said ? &watched_.back()->figures : nullptr;
}

}  // namespace gaze

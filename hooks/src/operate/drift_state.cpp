// SPDX-License-Identifier: MIT
#include "operate/drift_state.hpp"

#include <gaze/render/status.hpp>

#include <cstdio>
#include <utility>

namespace gaze {
namespace {

std::string named(const std::string& model) { return model.empty() ? "a model without a name" : model; }

/// The same model and file; else the newest of the model's name.
const VersionStatistics* version_like(const AttentionStatistics& kept, const AnswerFigures& figures) {
  const VersionStatistics* found = nullptr;
  for (const VersionStatistics& version : kept.versions()) {
    if (version.model != figures.model) continue;
    found = &version;
    if (version.model_sha256 == figures.model_sha256) break;
  }
  return found;
}

}  // namespace

DriftState::DriftState(const std::string& baseline, std::shared_ptr<const Log> log)
    : baseline_(baseline), log_(std::move(log)), kept_(read_statistics(baseline)) {
  facts_.baseline = baseline;
}

// The hash of a model's file is known with its first answer only.
void DriftState::choose(const AnswerFigures& first) {
  chosen_ = true;
  const AttentionStatistics kept = std::exchange(kept_, {});
  const VersionStatistics* found = version_like(kept, first);
  const std::string model = named(first.model);
  if (found == nullptr) {
    log_->warn("drift: " + baseline_ + " has no answers of " + model + ", so its drift is not told.");
    return;
  }
  if (found->answers < kLeastDriftAnswers) {
    log_->warn("drift: " + baseline_ + ": expected " + std::to_string(kLeastDriftAnswers) + " answers of " + model +
               " or more, got " + std::to_string(found->answers) + ", so its drift is not told.");
    return;
  }
  if (found->model_sha256 != first.model_sha256)
    log_->info("drift: answers are compared with those of another file of " + model + ", which " + baseline_ + " has.");
  VersionStatistics reference = *found;
  reference.model_sha256 = first.model_sha256;
  AttentionStatistics only;
  only.merge(reference);
  watch_.emplace(DriftWindows{}, std::move(only));
}

void DriftState::tell(const DriftEvent& event) const {
  if (event.now != DriftVerdict::Major) {
    log_->warn("drift: attention of " + named(event.model) + " is no longer far from " + baseline_ + ": drift is " +
               name(event.now) + ".");
    return;
  }
  std::string line = "drift: attention of " + named(event.model) + " is not as in " + baseline_ + ":";
  for (const DriftFigure figure : kDriftFigures) {
    const FigureDrift& drift = event.figures[static_cast<size_t>(figure)];
    if (drift.verdict != DriftVerdict::Major) continue;
    char text[64];
    std::snprintf(text, sizeof text, " %s (PSI %.3g)", name(figure), drift.psi);
    line += text;
  }
  log_->warn(line + ". Inputs or the model changed; gaze drift draws both.");
}

bool DriftState::add(const AnswerFigures& figures) noexcept {
  try {
    if (!chosen_) choose(figures);
    if (!watch_) return false;
    const std::optional<DriftEvent> event = watch_->add(figures);
    if (const VersionDrift* latest = watch_->latest()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      facts_.figures = *latest;
    }
    if (!event || (event->before != DriftVerdict::Major && event->now != DriftVerdict::Major)) return false;
    tell(*event);
    return true;
  } catch (...) {  // without memory, say: the answer goes on
    return false;
  }
}

DriftFacts DriftState::facts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return facts_;
}

}  // namespace gaze

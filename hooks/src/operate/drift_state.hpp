// SPDX-License-Identifier: MIT
// Whether the answers of one capture are still like those of its baseline.
#pragma once

#include <gaze/render/drift.hpp>
#include <gaze/render/operation.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "config/log.hpp"

namespace gaze {

class DriftState {
 public:
  /// @param baseline  a file of gaze drift --save
  /// @throws Error where it cannot be read
  DriftState(const std::string& baseline, std::shared_ptr<const Log> log);

  /// The worker's thread. Tells when drift becomes major, and when it is so no more. @return whether it told something
  bool add(const AnswerFigures& figures) noexcept;
  /// Any thread.
  [[nodiscard]] DriftFacts facts() const;

 private:
  void choose(const AnswerFigures& first);
  void tell(const DriftEvent& event) const;

  const std::string baseline_;
  const std::shared_ptr<const Log> log_;
  AttentionStatistics kept_;  // of the worker's thread, as the watch; empty once it is chosen from
  bool chosen_ = false;
  std::optional<DriftWatch> watch_;  // none: the baseline knows nothing of this model
  mutable std::mutex mutex_;         // of the facts
  DriftFacts facts_;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What a capture does for who operates it: looks at control files, says how it is, counts what was measured.
#pragma once

#include <gaze/render/bundle.hpp>
#include <gaze/render/operation.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/log.hpp"
#include "delivery/counters.hpp"
#include "delivery/worker.hpp"
#include "operate/control_state.hpp"
#include "operate/drift_state.hpp"

namespace gaze {

/// One capture's, on its worker's thread. Nothing that it writes or reads may end a request.
class Operations final : public Chores, public std::enable_shared_from_this<Operations> {
 public:
  struct Places {
    std::shared_ptr<BundleSink> bundles;  ///< null: answers go elsewhere, and there are no files to look at
    std::string out_dir;                  ///< of those; absolute
    bool strict_out_dir = false;
    std::string metrics_file;    ///< empty: none; "%p" in it is the process
    std::string otel_dir;        ///< empty: none
    std::string drift_baseline;  ///< empty: none
  };
  /// What does not change while it lives.
  struct Identity {
    std::string model, model_sha256, profile_sha256, torch_version, layers;
    int64_t sites = 0, attached_ms = 0, queue_budget_bytes = 0;
  };

  Operations(Places places, std::shared_ptr<Counters> counters, std::shared_ptr<ControlState> control,
             std::shared_ptr<const Log> log, std::shared_ptr<Chores> before);

  /// From now on it is one of the process's captures.
  void begin(Identity identity);
  /// What was measured of the answer that is being drawn. @return whether it is kept
  bool measured(const AnswerFigures& figures);
  /// Its bundle is there.
  void published(const std::string& path) { bundle_ = path; }
  AnswerTotals totals;

  [[nodiscard]] CaptureFacts facts() const;
  [[nodiscard]] const std::string& out_dir() const noexcept { return places_.out_dir; }

  Clock::time_point run(Clock::time_point now) noexcept override;
  void outcome(const AttentionRecord& record, DropReason reason) noexcept override;
  void end() noexcept override;

 private:
  void look_at_control();
  void write(bool ended);
  void trace(const AttentionRecord& record, DropReason reason);
  /// Tells a failure once, until it is over.
  void told(const char* what, const std::string& problem) noexcept;

  const Places places_;
  const std::shared_ptr<Counters> counters_;
  const std::shared_ptr<ControlState> control_;
  const std::shared_ptr<const Log> log_;
  const std::shared_ptr<Chores> before_;
  const std::unique_ptr<DriftState> drift_;  // null: nothing to compare with
  std::atomic<bool> live_{false};

  mutable std::mutex mutex_;  // of the identity, whose hash the first answer may tell
  Identity identity_;

  // Of the worker's thread.
  Clock::time_point next_look_{}, next_write_{};
  std::vector<std::string> control_texts_;
  std::string last_problem_;
  std::optional<AnswerFigures> figures_;  // of the record that is consumed
  std::string bundle_;
};

/// Of all captures of this process, in the order they began.
std::vector<CaptureFacts> facts_of_all(const std::string* out_dir = nullptr);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What a running capture says of itself: to people in status.json, to Prometheus in its text format.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/answer_figures.hpp>
#include <gaze/render/drift.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gaze {

/// Numbers in bins, as Prometheus has them. `add` by any thread, allocates nothing.
class GAZE_API Histogram {
 public:
  static constexpr size_t kMostBounds = 24;
  /// @param bounds  upper ends of the bins, ascending, at most kMostBounds; what is above has a bin of its own
  explicit Histogram(std::initializer_list<double> bounds);
  /// NaN is left out.
  void add(double value) noexcept;
  [[nodiscard]] size_t bounds() const noexcept { return size_; }
  [[nodiscard]] double bound(size_t bin) const noexcept { return bounds_[bin]; }
  /// Of the bin that ends at bound(bin); of bin bounds(): of what is above all.
  [[nodiscard]] int64_t count(size_t bin) const noexcept { return counts_[bin].load(std::memory_order_relaxed); }
  [[nodiscard]] double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  size_t size_ = 0;
  std::array<double, kMostBounds> bounds_{};
  std::array<std::atomic<int64_t>, kMostBounds + 1> counts_{};
  std::atomic<double> sum_{0};
};

/// What was measured of all answers of one capture. Any thread.
class GAZE_API AnswerTotals {
 public:
  AnswerTotals();
  void add(const AnswerFigures& figures) noexcept;
  std::array<std::atomic<int64_t>, 4> answers{}, words{};  ///< by the value of their verdict
  Histogram render_seconds, open_seconds, mass, entropy, focus;
};

/// How the last answers of a capture compare with its baseline.
struct DriftFacts {
  std::string baseline;    ///< a file of gaze drift --save
  VersionDrift figures{};  ///< nothing is said of any before there are answers enough
  [[nodiscard]] DriftVerdict verdict() const noexcept { return verdict_of(figures); }
};

/// One capture, as it is at one moment.
struct CaptureFacts {
  std::string model;  ///< the profile's name; "unnamed" where it has none
  std::string model_sha256, profile_sha256, torch_version;
  std::string layers;   ///< how they were chosen, for people
  std::string out_dir;  ///< empty: bundles go to a sink of the host's own
  int64_t sites = 0;
  int64_t attached_ms = 0;                                   ///< since 1970
  std::vector<std::pair<std::string, std::string>> control;  ///< name and value, as in a control file
  bool on = false;
  double sample_rate = 0;
  int64_t begun = 0, sampled = 0, written = 0, in_flight = 0, taps = 0, tokens_dropped = 0;
  double tap_seconds = 0;
  std::vector<std::pair<const char*, int64_t>> dropped;  ///< every reason, also those that were never needed
  int64_t queue_bytes = 0, queue_budget_bytes = 0;
  int64_t bundle_bytes = 0;       ///< written so far
  const char* breaker = nullptr;  ///< the reason for which nothing is captured now; null: it is closed
  int64_t breaker_opened = 0;     ///< how often it did
  const AnswerTotals* answers = nullptr;
  std::optional<DriftFacts> drift;  ///< none: there is no baseline
};

/// @param now_ms  since 1970  @param ended  the process ends, or has no capture any more
GAZE_API std::string status_json(const std::vector<CaptureFacts>& captures, int64_t now_ms, bool ended);

/// In Prometheus' text format 0.0.4, UTF-8. Names are those of docs/metrics.md.
GAZE_API std::string metrics_text(const std::vector<CaptureFacts>& captures, int64_t device_to_host_bytes);

/// Who may read a file: its owner alone (0600), or everybody (0644).
enum class FileFor { Owner, Everybody };
/// Replaces a file in one step; makes its directory where there is none.
/// @param strict_directory  refuses one that is a link, another user's, or that others may write
/// @throws gaze::Error (OutDir, DiskFull, IoError)
GAZE_API void replace_file(const std::string& path, std::string_view bytes, FileFor readers, bool strict_directory);
/// What its owner says in a small file: empty where there is none, it is another user's (root's is not), others may
/// write it, or it is no regular file or larger than 64 KiB; `refused` then says why, where it is there.
GAZE_API std::string read_own_file(const std::string& path, std::string& refused);

}  // namespace gaze

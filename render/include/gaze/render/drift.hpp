// SPDX-License-Identifier: MIT
// Figures of many answers, counted, and whether those of later answers are still like those of earlier ones.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/answer_figures.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// What is compared.
enum class DriftFigure { Mass, Entropy, Focus, MaxLift };
inline constexpr std::array<DriftFigure, 4> kDriftFigures = {DriftFigure::Mass, DriftFigure::Entropy,
                                                             DriftFigure::Focus, DriftFigure::MaxLift};

/// "mass", "entropy", "focus", "max_lift".
GAZE_API const char* name(DriftFigure figure) noexcept;

/// One figure of many answers. Mass, entropy and focus: equal bins from 0 to 1. Lift: equal factors from 0.5 to 512,
/// and what lies beyond counts in the bin at that end.
struct GAZE_API FigureHistogram {
  static constexpr size_t kBins = 20;         ///< of which the stability index is made
  static constexpr size_t kStepsPerBin = 32;  ///< finer, for the statistic of Kolmogorov and Smirnov
  static constexpr size_t kSteps = kBins * kStepsPerBin;

  std::array<int64_t, kSteps> steps{};
  int64_t unmeasured = 0;  ///< answers of which the figure is not a finite number

  [[nodiscard]] int64_t measured() const noexcept;
  [[nodiscard]] std::array<int64_t, kBins> bins() const noexcept;
  /// Where bin `bin` begins; of kBins, where the last one ends.
  static double edge(DriftFigure figure, size_t bin) noexcept;
};

/// What is kept of the answers of one model. Its size does not grow with their number.
struct VersionStatistics {
  static constexpr size_t kMostName = 200;
  std::string model, model_sha256;  ///< as AnswerFigures has them, at most kMostName bytes
  int64_t answers = 0, tokens = 0;
  std::array<int64_t, 4> verdicts{};         ///< answers, by the value of Verdict
  std::array<int64_t, 4> words{};            ///< of all answers, likewise
  std::array<FigureHistogram, 4> figures{};  ///< in the order of kDriftFigures
  [[nodiscard]] const FigureHistogram& of(DriftFigure figure) const { return figures[static_cast<size_t>(figure)]; }
};

/// Statistics of each version of a model, of at most kMostVersions: of more, that which was added to longest ago gives
/// way.
class GAZE_API AttentionStatistics {
 public:
  static constexpr size_t kMostVersions = 16;

  /// Allocates nothing where the version is known.
  void add(const AnswerFigures& figures);
  void merge(const VersionStatistics& other);
  void merge(const AttentionStatistics& other);

  /// That which was added to longest ago first.
  [[nodiscard]] const std::vector<VersionStatistics>& versions() const noexcept { return versions_; }
  [[nodiscard]] int64_t left_out() const noexcept { return left_out_; }  ///< answers of versions that gave way
  [[nodiscard]] int64_t answers() const noexcept;                        ///< of those that are kept

  /// One line, to be kept in a file.
  [[nodiscard]] std::string json() const;

 private:
  friend GAZE_API AttentionStatistics parse_statistics(const std::string& text, const std::string& source);
  VersionStatistics& version(std::string_view model, std::string_view model_sha256);
  std::vector<VersionStatistics> versions_;
  int64_t left_out_ = 0;
};

/// What `json` wrote.
/// @param source  the beginning of every error
/// @throws Error for anything else
GAZE_API AttentionStatistics parse_statistics(const std::string& text, const std::string& source);
/// As `parse_statistics`, of a regular file.
GAZE_API AttentionStatistics read_statistics(const std::string& path);

enum class DriftVerdict { CannotSay, None, Moderate, Major };

/// "cannot say", "none", "moderate", "major".
GAZE_API const char* name(DriftVerdict verdict) noexcept;

/// Fewer measured answers on either side, and nothing is said.
inline constexpr int64_t kLeastDriftAnswers = 50;
inline constexpr double kModerateStability = 0.1, kMajorStability = 0.25;
/// A difference that chance makes as often as that is none, however large.
inline constexpr double kDriftChance = 0.001;
/// Likewise, of a watch: it looks after every answer, and would find one in a thousand often.
inline constexpr double kWatchChance = 1e-5;

/// How far one figure of the running answers lies from that of the reference.
struct FigureDrift {
  DriftVerdict verdict = DriftVerdict::CannotSay;
  double psi = 0;   ///< population stability index over the bins
  double ks = 0;    ///< largest distance of the distribution functions, at the edges of the steps
  double ks_p = 1;  ///< how often chance makes one as large, where nothing drifted
};

/// docs/drift.md says how each is computed. Allocates nothing.
/// @param chance  a difference that it makes as often is none
GAZE_API FigureDrift drift(const FigureHistogram& reference, const FigureHistogram& running,
                           double chance = kDriftChance) noexcept;

/// In the order of kDriftFigures.
using VersionDrift = std::array<FigureDrift, 4>;
GAZE_API VersionDrift drift(const VersionStatistics& reference, const VersionStatistics& running,
                            double chance = kDriftChance) noexcept;

/// That of the figure that drifted most; "cannot say" where nothing is said of any.
GAZE_API DriftVerdict verdict_of(const VersionDrift& drift) noexcept;

struct DriftWindows {
  int64_t reference = 500;  ///< the first answers of a version, where no reference was given
  int64_t running = 200;    ///< the last answers
};

/// A verdict that changed.
struct DriftEvent {
  std::string model, model_sha256;
  DriftVerdict before = DriftVerdict::None, now = DriftVerdict::None;
  VersionDrift figures;
};

/// Compares the last answers of each version of a model with its first ones, answer by answer. Of at most
/// AttentionStatistics::kMostVersions versions, in constant memory, without a clock. Not for several threads at once.
class GAZE_API DriftWatch {
 public:
  /// @param reference  what to compare with instead of the first answers, for the versions that it has
  /// @throws Error where a window is shorter than kLeastDriftAnswers or longer than a million
  explicit DriftWatch(DriftWindows windows = {}, AttentionStatistics reference = {});
  ~DriftWatch();
  DriftWatch(DriftWatch&&) noexcept;
  DriftWatch& operator=(DriftWatch&&) noexcept;

  /// An event where the verdict of this answer's version changed, and not again while it stays. "Cannot say" is no
  /// change. A verdict that was reached is kept until the figures are clearly below its limit. Allocates nothing where
  /// the version is known and nothing changed.
  std::optional<DriftEvent> add(const AnswerFigures& figures);

  /// Of the version that was added to last; null before it has a verdict. Good until the next `add`.
  [[nodiscard]] const VersionDrift* latest() const noexcept;

 private:
  struct Watched;
  Watched& watched(const AnswerFigures& figures);
  DriftWindows windows_;
  AttentionStatistics given_;
  std::vector<std::unique_ptr<Watched>> watched_;  // that which was added to longest ago first
};

}  // namespace gaze

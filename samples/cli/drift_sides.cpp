// SPDX-License-Identifier: MIT
#include "drift_sides.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>

#include "bundle_file.hpp"
#include "bundle_list.hpp"
#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMostStatisticsBytes = 4 << 20;

double figure_at(const json& object, const char* field) {
  return number_at(object, field).value_or(std::numeric_limits<double>::quiet_NaN());
}

Verdict verdict_in(const json& answer_or_word) {
  const std::string written = grounding_of(answer_or_word).verdict;
  for (const Verdict verdict : {Verdict::NotGrounded, Verdict::Weak, Verdict::Grounded}) {
    if (written == name(verdict)) return verdict;
  }
  return Verdict::CannotSay;
}

void add_bundles(DriftSide& side, const std::string& option, size_t limit) {
  const FoundBundles found = find_bundles({side.path}, limit);
  if (found.bundles.empty())
    throw Refusal(option + ": expected bundles below " + side.path +
                  ", found none. GAZE_CAPTURE=1 makes a host write them.");
  side.left_out = found.left_out;
  Progress progress("drift", "bundles");
  const auto all = static_cast<int64_t>(found.bundles.size());
  std::string why;
  for (int64_t i = 0; i < all; ++i) {
    // From the oldest on, so that of too many versions the older give way.
    const fs::path folder = found.bundles[static_cast<size_t>(all - 1 - i)].folder;
    try {
      const json request = read_request(folder);
      if (object_at(request, "error").empty()) {
        side.statistics.add(figures_of(request));
      } else {
        ++side.refused;
      }
    } catch (const Refusal& refusal) {
      if (++side.unreadable == 1) why = refusal.what();
    }
    progress.show(i + 1, all);
  }
  if (side.unreadable == all)
    throw Refusal(option + ": expected bundles that can be read, found none among " + std::to_string(all) +
                  ", the first of them: " + why);
}

}  // namespace

AnswerFigures figures_of(const json& request) {
  AnswerFigures figures;
  const json& model = object_at(request, "model");
  figures.model = text_at(request, "profile");
  figures.model_sha256 =
      text_at(model, "sha256").empty() ? text_at(model, "parameters_sha256") : text_at(model, "sha256");
  figures.verdict = verdict_in(request);
  for (const json& word : list_at(request, "words")) ++figures.words[static_cast<size_t>(verdict_in(word))];
  figures.tokens = static_cast<int64_t>(list_at(request, "tokens").size());
  const json& summary = object_at(request, "summary");
  figures.mass = figure_at(summary, "mass");
  figures.max_lift = figure_at(summary, "max_lift");
  figures.entropy = figure_at(summary, "entropy");
  figures.focus = grounding_of(request).score.value_or(std::numeric_limits<double>::quiet_NaN());
  return figures;
}

DriftSide read_drift_side(const std::string& path, const std::string& option, size_t limit) {
  DriftSide side;
  side.path = path;
  std::error_code failed;
  if (fs::is_directory(path, failed)) {
    add_bundles(side, option, limit);
  } else if (fs::is_regular_file(path, failed)) {
    side.statistics = parse_statistics(read_bytes(path, kMostStatisticsBytes), option + ": " + printable(path));
  } else {
    throw Refusal(option + ": expected a folder of bundles, or a file of gaze drift --save, got " + printable(path) +
                  ", which is neither.");
  }
  return side;
}

std::vector<VersionPair> pair_versions(const AttentionStatistics& a, const AttentionStatistics& b) {
  std::vector<bool> paired_a(a.versions().size()), paired_b(b.versions().size());
  std::vector<VersionPair> pairs;
  const auto pair_where = [&](bool same_file, const auto& fits) {
    // The newest of one name belongs to the newest.
    for (size_t i = a.versions().size(); i-- > 0;) {
      for (size_t j = b.versions().size(); j-- > 0 && !paired_a[i];) {
        if (paired_b[j] || !fits(a.versions()[i], b.versions()[j])) continue;
        paired_a[i] = paired_b[j] = true;
        pairs.push_back({i, j, same_file});
      }
    }
  };
  const auto one_left = [](const std::vector<bool>& paired) {
    return std::count(paired.begin(), paired.end(), false) == 1;
  };
  pair_where(true, [](const VersionStatistics& x, const VersionStatistics& y) {
    return x.model == y.model && x.model_sha256 == y.model_sha256;
  });
  pair_where(false, [](const VersionStatistics& x, const VersionStatistics& y) { return x.model == y.model; });
  if (one_left(paired_a) && one_left(paired_b))
    pair_where(false, [](const VersionStatistics&, const VersionStatistics&) { return true; });
  return pairs;
}

}  // namespace gaze::cli

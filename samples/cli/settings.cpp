// SPDX-License-Identifier: MIT
#include "settings.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "console.hpp"

namespace gaze::cli {
Options capture_options() {
  Options options;
  options.log = "error";     // what is dropped is told by the verb itself
  unsetenv("GAZE_CAPTURE");  // the verb is the switch
  options.capture = true;
  std::vector<std::string> warnings;
  options = from_environment(std::move(options), &warnings);
  if (options.disabled)
    throw Refusal("GAZE_DISABLED: expected unset or 0, got something else, which keeps capture off. Unset it.");
  if (!options.capture) {
    std::string all;
    for (const std::string& warning : warnings) all += (all.empty() ? "" : " ") + warning;
    throw Refusal(all);
  }
  for (const std::string& warning : warnings) std::fprintf(stderr, "gaze: %s\n", printable(warning).c_str());
  options.sample_rate = 1;
  options.read_environment = false;
  return options;
}

Bundles::Bundles(const Options& options) : sink_(bundle_options(options)) {
  // Called within consume(), on the same thread. People are shown the directory as they gave it.
  sink_.on_published(
      [this, out_dir = std::filesystem::path(options.out_dir)](const std::string& request, const std::string& path) {
        const std::lock_guard<std::mutex> lock(mutex_);
        outcomes_.push_back({request, out_dir / std::filesystem::path(path).filename(), {}});
      });
}

void Bundles::consume(const AttentionRecord& record) {
  const size_t before = outcomes().size();
  try {
    sink_.consume(record);
  } catch (const std::exception& error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (outcomes_.size() == before) outcomes_.push_back({record.request_id, {}, {}});
    outcomes_.back().error = error.what();
    throw;
  }
}

std::vector<Bundles::Outcome> Bundles::outcomes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return outcomes_;
}

void wait_for_bundles(Gaze& gaze, const Bundles& bundles) {
  const bool written = gaze.flush(std::chrono::minutes(5));
  for (const Bundles::Outcome& outcome : bundles.outcomes()) {
    if (outcome.error.empty()) continue;
    throw Refusal(outcome.error + (outcome.path.empty() ? "" : " (see " + outcome.path + "/request.json)"));
  }
  const Stats stats = gaze.stats();
  for (size_t i = 0; i < stats.dropped.size(); ++i) {
    if (stats.dropped[i] == 0) continue;
    throw Refusal("overlays: expected every request to be written, got " + std::to_string(stats.dropped[i]) +
                  " dropped: " + name(static_cast<DropReason>(i)) + ". GAZE_LOG=info says more.");
  }
  if (!written)
    throw Refusal(
        "overlays: expected them within 5 minutes, but some are still being written. Try fewer pictures at once.");
}

}  // namespace gaze::cli

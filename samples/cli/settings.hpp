// SPDX-License-Identifier: MIT
// Options of a capture made by this program.
#pragma once

#include <gaze/gaze.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gaze::cli {

/// The process environment applied to the defaults, capture on: the program was asked to capture.
/// Flags are applied afterwards, so that they win. Values that are not understood are told on stderr.
/// @throws Refusal when GAZE_DISABLED is set.
Options capture_options();

/// Bundles, and what happened to each request.
class Bundles final : public Sink {
 public:
  explicit Bundles(const Options& options);
  void consume(const AttentionRecord& record) override;

  struct Outcome {
    std::string request, path, error;
  };
  /// In the order in which the requests were finished.
  [[nodiscard]] std::vector<Outcome> outcomes() const;

 private:
  BundleSink sink_;
  mutable std::mutex mutex_;
  std::vector<Outcome> outcomes_;
};

/// Waits until everything is written.
/// @throws Refusal naming what was dropped and why.
void wait_for_bundles(Gaze& gaze, const Bundles& bundles);

}  // namespace gaze::cli

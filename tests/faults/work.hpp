// SPDX-License-Identifier: MIT
// Requests whose bundles take the worker a while.
#pragma once

#include <stdexcept>
#include <string>
#include <thread>

#include "host.hpp"

namespace gaze::test {

inline Gaze attach_busy(torch::jit::Module& model, const std::string& folder) {
  Options options = null_options(null_profile());
  options.out_dir = folder;
  options.queue_bytes = int64_t{1} << 30;
  return attach(model, options);
}

/// Opens and finishes requests, and returns once `written` more bundles lie there: the others are being drawn or wait.
inline int64_t keep_busy(Gaze& gaze, torch::jit::Module& model, int64_t written) {
  constexpr int64_t kRequests = 24;
  const Marked in({1});
  const int64_t before = gaze.stats().written;
  for (int64_t i = 0; i < kRequests; ++i) {
    RequestSpec spec;
    spec.image = marked_picture(7);
    Request request = gaze.begin(std::move(spec));
    for (int token = 0; token < 4; ++token) run(model, in, token == 0 ? kPrompt : kStep);
    request.label({"one", " two", " three", " four"});
    request.finish();
  }
  for (Stats stats = gaze.stats(); stats.written < before + written; stats = gaze.stats()) {
    if (stats.in_flight == 0) throw std::runtime_error("nothing more is written: " + shown(stats));
    std::this_thread::yield();
  }
  return kRequests;
}

}  // namespace gaze::test

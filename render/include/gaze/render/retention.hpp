// SPDX-License-Identifier: MIT
// How much of what was written may stay on disk: docs/retention.md.
#pragma once

#include <cstdint>

namespace gaze {

/// Limits of one directory of bundles; 0: none. Where one is passed the oldest bundles are deleted, whole.
struct Quota {
  int64_t bytes = 0;        ///< of all bundles together: the sum of their files' sizes
  int64_t age_seconds = 0;  ///< of a bundle, by the time in its name
  int64_t free_bytes = 0;   ///< that must stay free on the file system
  [[nodiscard]] bool limits() const noexcept { return bytes > 0 || age_seconds > 0 || free_bytes > 0; }
  friend bool operator==(const Quota&, const Quota&) = default;
};

}  // namespace gaze

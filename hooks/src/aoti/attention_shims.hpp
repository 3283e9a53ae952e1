// SPDX-License-Identifier: MIT
// The functions of torch's C interface that a package calls for attention, and what stands before them.
#pragma once

#include <gaze/ops/attend.hpp>

#include <memory>

#include "aoti/import_slots.hpp"

namespace gaze {

/// Who is told of a package's attention. Lives until the process ends, as a call of it may run at any time.
class PackageCalls {
 public:
  virtual ~PackageCalls() = default;
  [[nodiscard]] virtual bool holds(const void* caller) const noexcept = 0;
  /// After torch's own, on its thread. @param caller  where in the package's code
  virtual void see(const void* caller, const ops::Scores& scores) noexcept = 0;
};

/// Puts what tells `calls` before every attention function that the library imports.
/// @return how many it imports
/// @throws gaze::Error (HostBudget) for more packages than are kept track of
int stand_before_attention(const LoadedLibrary& library, PackageCalls* calls);

}  // namespace gaze

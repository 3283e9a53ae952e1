// SPDX-License-Identifier: MIT
// The functions of torch's C interface that a package calls for attention, and what stands before them.
#pragma once

#include <gaze/ops/attend.hpp>

#include <string_view>

#include "aoti/import_slots.hpp"

namespace gaze {

/// Who is told of a package's attention, on its thread. Lives until the process ends, as a call of it may run at any
/// time. @param caller  where in the package's code
class PackageCalls {
 public:
  virtual ~PackageCalls() = default;
  [[nodiscard]] virtual bool holds(const void* caller) const noexcept = 0;
  /// After torch's own.
  virtual void see(const void* caller, const ops::Scores& scores) noexcept = 0;
  /// The first operand of a product, before it: weights, or anything.
  virtual void see_product(const void* caller, const at::Tensor& operand) noexcept = 0;
  /// What a node that export put there shows. @param scaled  rows may have another sum than 1
  virtual void see_observed(const void* caller, std::string_view site, const at::Tensor& weights,
                            bool scaled) noexcept = 0;
  virtual void see_observed(const void* caller, std::string_view site, const ops::Scores& scores) noexcept = 0;
};

/// That holds the address; null: none that was attached.
PackageCalls* package_at(const void* caller) noexcept;

/// Puts what tells `calls` before every attention function that the library imports.
/// @param observed  the package has nodes that show what it computes itself: products tell nothing more
/// @return how many it imports
/// @throws gaze::Error (HostBudget) for more packages than are kept track of
int stand_before_attention(const LoadedLibrary& library, bool observed, PackageCalls* calls);

}  // namespace gaze

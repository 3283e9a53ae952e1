// SPDX-License-Identifier: MIT
// The sites of one attach, and which of them count. Knows no TorchScript.
#pragma once

#include <gaze/hooks/options.hpp>
#include <gaze/hooks/sites.hpp>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "capture/capture.hpp"

namespace gaze {

/// Grows while requests are open and other threads push. An index stays what it is. What profile and options make of a
/// site is decided when it is added, and does not change. A request sees every site whose calls reach it, also one that
/// was added since it began: a capture makes room for it at its first call.
class SiteTable {
 public:
  /// Most sites that are added to those attach was told of: a front end that names each call anew is told so.
  static constexpr size_t kMostAdded = 4096;

  /// @param told  what is known at set-up; what is chosen must be among them, where there are any
  /// @throws gaze::Error naming the field, when profile or options do not fit
  SiteTable(const Profile& profile, const Options& options, const std::vector<Site>& told);

  /// Any thread. Cost: a look at every site, under a lock.
  /// @return its index; of a site of that name that is known, whatever else is said of it
  /// @throws gaze::Error when it is not well-formed, does not fit the profile or the options, or the table is full;
  ///         std::bad_alloc. The table is then as before.
  int64_t add(Site site);

  [[nodiscard]] const CaptureRules& rules() const noexcept { return rules_; }
  [[nodiscard]] int64_t size() const noexcept { return rules_.sites.size(); }
  [[nodiscard]] const Site& operator[](int64_t site) const noexcept { return rules_.sites[site].site; }
  /// How layers are chosen of the sites known by now, for people.
  [[nodiscard]] std::string layers_text() const;

 private:
  const Profile& profile_;
  const Options& options_;
  const size_t told_;
  mutable std::mutex mutex_;  // of whoever appends, and of the text
  CaptureRules rules_;
  std::string layers_text_;
};

/// @throws gaze::Error unless names and words are such as records, logs and profiles can hold: a name of 1 to 512
///         bytes without control characters or `*`, a kind and a relation of those there are, at most 4096 bytes of
///         text
void check_site(const Site& site);

}  // namespace gaze

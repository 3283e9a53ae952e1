// SPDX-License-Identifier: MIT
// The attention calls of one package, told apart by where its code calls from.
#pragma once

#include <gaze/hooks/front_end.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "aoti/attention_shims.hpp"
#include "aoti/import_slots.hpp"
#include "process/fork_gate.hpp"

namespace gaze {

class PackageSites final : public PackageCalls {
 public:
  explicit PackageSites(LoadedLibrary library) : library_(std::move(library)) {}

  /// A capture begins. @param names  of the calls that reach an attention of torch's, in the order of the code
  void begin(const Gaze& gaze, std::vector<std::string> names);

  [[nodiscard]] const LoadedLibrary& library() const noexcept { return library_; }
  [[nodiscard]] bool holds(const void* caller) const noexcept override { return library_.holds(caller); }
  void see(const void* caller, const ops::Scores& scores) noexcept override;
  void see_product(const void* caller, const at::Tensor& operand) noexcept override;
  void see_observed(const void* caller, std::string_view site, const at::Tensor& weights,
                    bool scaled) noexcept override;
  void see_observed(const void* caller, std::string_view site, const ops::Scores& scores) noexcept override;

 private:
  struct Place {
    int64_t site = FrontEnd::kNoSite;  ///< kNoSite: no attention, or one that is not captured
    bool scaled = false;               ///< rows are divided by their sums
    int looks = 0;                     ///< how often it was looked at without a verdict; 0: it has one
  };
  /// Where a call goes; nowhere while no request is open for it.
  struct Target {
    FrontEnd to;
    Place place;
    explicit operator bool() const noexcept { return place.site != FrontEnd::kNoSite; }
  };
  /// @param make  the place of a caller that has no verdict yet, of how often it was looked at; under the lock
  template <class MakePlace>
  Target target(const void* caller, MakePlace make);
  Place judged(const at::Tensor& operand, int looks);
  static void push_weights(FrontEnd& to, const Place& place, const at::Tensor& weights);
  /// Code runs from its beginning to its end: the n-th place that is found is the n-th that was named, as long as each
  /// lies behind those before.
  std::string name_in_order(const void* caller);
  std::string name_unknown();

  const LoadedLibrary library_;
  const int generation_ = fork_generation();
  std::mutex mutex_;
  FrontEnd front_end_;
  std::vector<std::string> names_;
  std::map<const void*, Place> places_;
  const void* last_ = nullptr;
  size_t in_order_ = 0, unknown_ = 0;
};

}  // namespace gaze

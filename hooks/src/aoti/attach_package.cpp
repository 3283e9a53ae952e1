// SPDX-License-Identifier: MIT
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <gaze/hooks/aoti.hpp>
#include <gaze/hooks/front_end.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "aoti/attention_shims.hpp"
#include "aoti/import_slots.hpp"
#include "described.hpp"
#include "process/fork_gate.hpp"
#include "set_up.hpp"

namespace gaze {

using RunFunction = decltype(&AOTInductorModelContainerRun);
RunFunction run_function_of(torch::inductor::AOTIModelContainerRunner& runner);

// An explicit instantiation may name a protected member: the package's own function, which lies in its library.
template <RunFunction torch::inductor::AOTIModelContainerRunner::*Member>
struct RunFunctionAccess {
  friend RunFunction run_function_of(torch::inductor::AOTIModelContainerRunner& runner) { return runner.*Member; }
};
template struct RunFunctionAccess<&torch::inductor::AOTIModelContainerRunner::run_func_>;

namespace {

/// Sites of one package, by where its code calls from.
class Calls final : public PackageCalls {
 public:
  explicit Calls(LoadedLibrary library) : library_(std::move(library)) {}

  void begin(const Gaze& gaze, std::vector<std::string> names) {
    const std::lock_guard<std::mutex> lock(mutex_);
    front_end_ = FrontEnd(gaze);
    names_ = std::move(names);
    sites_.clear();
    last_ = nullptr;
  }
  [[nodiscard]] const LoadedLibrary& library() const noexcept { return library_; }
  [[nodiscard]] bool holds(const void* caller) const noexcept override { return library_.holds(caller); }

  void see(const void* caller, const ops::Scores& scores) noexcept override {
    if (generation_ != fork_generation()) return;  // a child, where another thread may have left the lock taken
    try {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto [known, is_new] = sites_.emplace(caller, FrontEnd::kNoSite);
      if (is_new) known->second = front_end_.add_site(site_of(caller, scores));
      const int64_t site = known->second;
      FrontEnd to = front_end_;
      lock.unlock();
      if (site != FrontEnd::kNoSite) to.push(site, scores);
    } catch (...) {  // no memory for a site: its calls are not seen
    }
  }

 private:
  /// Code runs from its beginning to its end: the n-th place that is found is the n-th that was named, as long as each
  /// lies behind those before.
  Site site_of(const void* caller, const ops::Scores& scores) {
    const size_t number = sites_.size() - 1;
    Site site;
    const bool in_order = last_ == nullptr || caller > last_;
    last_ = in_order ? caller : reinterpret_cast<const void*>(UINTPTR_MAX);
    const bool named = in_order && number < names_.size();
    site.name = named ? names_[number] : "attention" + std::to_string(number);
    site.kind = SiteKind::Sdpa;
    const at::Tensor &q = scores.q_bhqd, &k = scores.k_bhkd;
    if (q.dim() == 4 && k.dim() == 4) {
      site.heads = q.size(1);
      site.kv_heads = k.size(1);
      if (q.size(2) > 1 && q.size(2) == k.size(2)) site.relation = SiteRelation::Self;
    }
    site.proposed = true;
    return site;
  }

  const LoadedLibrary library_;
  const int generation_ = fork_generation();
  std::mutex mutex_;
  FrontEnd front_end_;
  std::vector<std::string> names_;
  std::map<const void*, int64_t> sites_;
  const void* last_ = nullptr;
};

/// Packages that were ever attached, for their functions' calls may come at any time.
struct Known {
  SetUpMutex mutex;
  std::vector<std::pair<Calls*, std::weak_ptr<Recorder>>> all;
};
Known& known() {
  static auto* const packages = new Known;
  return *packages;
}

/// One a line, in the order in which the package's code calls them.
std::vector<std::string> names_in(torch::inductor::AOTIModelPackageLoader& package) {
  const auto metadata = package.get_metadata();
  const auto found = metadata.find("gaze.sites");
  std::vector<std::string> names;
  if (found == metadata.end()) return names;
  std::istringstream lines(found->second);
  for (std::string line; std::getline(lines, line);) names.push_back(std::move(line));
  return names;
}

}  // namespace

Gaze attach(torch::inductor::AOTIModelPackageLoader& package, Options options) {
  std::vector<std::string> names;
  Calls* calls = nullptr;
  Gaze gaze(when_wanted(std::move(options), [&](const Options& wanted, const std::shared_ptr<const Log>& log) {
    LoadedLibrary library(reinterpret_cast<const void*>(run_function_of(*package.get_runner())));
    Known& packages = known();
    const std::lock_guard<SetUpMutex> lock(packages.mutex);
    const auto before = std::find_if(packages.all.begin(), packages.all.end(), [&](const auto& each) {
      return each.first->library().file() == library.file() &&
             each.first->library().offset_of(nullptr) == library.offset_of(nullptr);
    });
    if (before != packages.all.end()) {
      if (const auto recorder = before->second.lock(); recorder && recorder->live()) {
        throw Error(
            "attach: expected a package without a live capture, got one that is attached already. Keep and use the "
            "first "
            "handle.");
      }
    }
    names = names_in(package);
    ModelDescription model;
    model.name = "package";
    model.methods = {{"run"}};
    for (const std::string& name : names) {
      Site site;
      site.name = name;
      site.kind = SiteKind::Sdpa;
      model.sites.push_back(std::move(site));
    }
    for (Site& site : model.sites) site.proposed = true;
    std::shared_ptr<Recorder> recorder = attach_described(model, wanted, log, [](AttachedModel&) {});
    if (before != packages.all.end()) {
      calls = before->first;
      before->second = recorder;
      return recorder;
    }
    auto made = std::make_unique<Calls>(library);
    if (stand_before_attention(library, made.get()) == 0) {
      throw Error(
          "attach: expected a package that calls torch for attention, got none: its compiler fused it, or there is "
          "none.");
    }
    calls = made.release();  // for ever
    packages.all.emplace_back(calls, recorder);
    return recorder;
  }));
  if (calls != nullptr) calls->begin(gaze, std::move(names));
  return gaze;
}

}  // namespace gaze

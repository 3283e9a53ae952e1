// SPDX-License-Identifier: MIT
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <gaze/hooks/aoti.hpp>
#include <gaze/hooks/front_end.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "aoti/attention_shims.hpp"
#include "aoti/import_slots.hpp"
#include "aoti/observed_calls.hpp"
#include "aoti/package_sites.hpp"
#include "described.hpp"
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

/// Packages that were ever attached, for their functions' calls may come at any time.
struct Known {
  SetUpMutex mutex;
  std::vector<std::pair<PackageSites*, std::weak_ptr<Recorder>>> all;
};
Known& known() {
  static auto* const packages = new Known;
  return *packages;
}

/// One a line, in the order in which the package's code calls them.
std::vector<std::string> names_in(torch::inductor::AOTIModelPackageLoader& package, const char* key) {
  const auto metadata = package.get_metadata();
  const auto found = metadata.find(key);
  std::vector<std::string> names;
  if (found == metadata.end()) return names;
  std::istringstream lines(found->second);
  for (std::string line; std::getline(lines, line);) names.push_back(std::move(line));
  return names;
}

/// Whether export put nodes into it: the operators that a package calls by number are named in a file beside its
/// library.
bool is_observed(const LoadedLibrary& library) {
  std::ifstream file(std::filesystem::path(library.file()).replace_extension(".json"), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return text.find("gaze::observe_") != std::string::npos;
}

ModelDescription described(const std::vector<std::string>& names, const std::set<std::string>& observed) {
  ModelDescription model;
  model.name = "package";
  model.methods = {{"run"}};
  for (const std::string& name : names) {
    Site site;
    site.name = name;
    site.kind = observed.count(name) > 0 ? SiteKind::Softmax : SiteKind::Sdpa;
    site.proposed = true;
    model.sites.push_back(std::move(site));
  }
  return model;
}

}  // namespace

Gaze attach(torch::inductor::AOTIModelPackageLoader& package, Options options) {
  std::vector<std::string> names;
  PackageSites* calls = nullptr;
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
    names = names_in(package, "gaze.sites");
    const std::vector<std::string> shown = names_in(package, "gaze.observed");
    const std::set<std::string> observed(shown.begin(), shown.end());
    const ModelDescription model = described(names, observed);
    // Those that tell their names themselves.
    names.erase(std::remove_if(names.begin(), names.end(), [&](const auto& name) { return observed.count(name) > 0; }),
                names.end());
    const bool has_nodes = is_observed(library);
    if (has_nodes) listen_to_observers();
    std::shared_ptr<Recorder> recorder = attach_described(model, wanted, log, [](AttachedModel&) {});
    if (before != packages.all.end()) {
      calls = before->first;
      before->second = recorder;
      return recorder;
    }
    auto made = std::make_unique<PackageSites>(library);
    if (stand_before_attention(library, has_nodes, made.get()) == 0) {
      throw Error(
          "attach: expected a package that calls torch for attention, got none: its compiler fused it, or there is "
          "none. Put the program through gaze.export_ready before it is compiled.");
    }
    calls = made.release();  // for ever
    packages.all.emplace_back(calls, recorder);
    return recorder;
  }));
  if (calls != nullptr) calls->begin(gaze, std::move(names));
  return gaze;
}

}  // namespace gaze

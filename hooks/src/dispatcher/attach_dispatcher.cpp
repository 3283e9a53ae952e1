// SPDX-License-Identifier: MIT
#include <gaze/hooks/dispatcher.hpp>

#include <memory>
#include <mutex>
#include <utility>

#include "described.hpp"
#include "dispatcher/attention_taps.hpp"
#include "process/fork_gate.hpp"
#include "set_up.hpp"

namespace gaze {
namespace {

/// Which of two a thread's call is for could not be told.
void refuse_second() {
  throw Error(
      "attach_dispatcher: expected a process without such a live capture, got one that has one. Keep and use the first "
      "handle, or attach the module itself where it is TorchScript.");
}

std::weak_ptr<Recorder>& live() {
  static auto* const recorder = new std::weak_ptr<Recorder>;  // leaked
  return *recorder;
}

}  // namespace

Gaze attach_dispatcher(Options options, std::vector<StepSite> sites) {
  static auto* const mutex = new SetUpMutex;
  return Gaze(when_wanted(std::move(options), [&](const Options& wanted, const std::shared_ptr<const Log>& log) {
    const std::lock_guard<SetUpMutex> lock(*mutex);
    if (const auto other = live().lock(); other && other->live()) refuse_second();
    ModelDescription model;
    model.name = "dispatcher";
    std::vector<Site> told;
    for (StepSite& each : sites) {
      if (each.site.kind == SiteKind::Unstated) each.site.kind = SiteKind::Sdpa;
      told.push_back(each.site);
    }
    propose(told);
    model.sites = told;
    std::shared_ptr<Recorder> recorder = attach_described(model, wanted, log, [&](AttachedModel& attached) {
      attached.numbered = true;
      attached.step_sites = sites;
      register_attention_taps();
    });
    live() = recorder;
    return recorder;
  }));
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The public way in for front ends that are not ours. Knows no TorchScript.
#include <gaze/hooks/front_end.hpp>

#include <algorithm>
#include <thread>
#include <utility>

#include "described.hpp"
#include "request/attached_model.hpp"
#include "request/call_frames.hpp"
#include "request/request_binding.hpp"
#include "request/request_state.hpp"
#include "set_up.hpp"

namespace gaze {
namespace {

/// A recorder with a model that lives as long.
struct Described {
  Described(AttachedModel told, const Options& options, Profile profile)
      : model(std::move(told)), recorder(options, std::move(profile), model) {}
  AttachedModel model;
  Recorder recorder;
};

void refuse_twice(const std::string& what, const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) ==
        names.begin() + static_cast<std::ptrdiff_t>(i))
      continue;
    throw Error("attach: " + what + ": expected names that differ, got \"" + names[i] + "\" twice. Rename one.");
  }
}

AttachedModel described_model(const ModelDescription& model) {
  if (model.methods.empty()) {
    throw Error("attach: methods: expected at least one method of the model, got none. Name what the host calls.");
  }
  AttachedModel told;
  std::vector<std::string> names;
  for (const Site& site : model.sites) {
    check_site(site);
    names.push_back(site.name);
  }
  refuse_twice("sites", names);
  told.sites = model.sites;
  for (const ModelDescription::Method& method : model.methods) {
    refuse_twice("arguments of " + method.name, method.arguments);
    told.methods.push_back(method.name);
    told.arguments.push_back(static_cast<int64_t>(method.arguments.size()));
    told.argument_names.push_back(method.arguments);
    told.forks.push_back(method.forks ? 1 : 0);
  }
  refuse_twice("methods", told.methods);
  return told;
}

}  // namespace

std::shared_ptr<Recorder> attach_described(const ModelDescription& model, const Options& options,
                                           const std::shared_ptr<const Log>& log,
                                           c10::function_ref<void(AttachedModel&)> complete) {
  Profile profile = checked_profile(options);
  if (profile.verify) {
    as_options_say(options, [] {
      throw Error(
          "profile: verify: expected false for a model that is no module, in which no geometry can be measured, got "
          "true. Verify the profile with a module, and leave it out here.");
    });
  }
  AttachedModel told = described_model(model);
  complete(told);
  RecordDelivery delivery = start_delivery(options, log);
  const auto whole = as_options_say(
      options, [&] { return std::make_shared<Described>(std::move(told), options, std::move(profile)); });
  std::shared_ptr<Recorder> recorder(whole, &whole->recorder);
  claim(recorder, delivery);
  go_live(*recorder, std::move(delivery), model.name, *log);
  return recorder;
}

namespace {

/// The request that a call on this thread is for; null when there is none.
BoundRequest* open_for(const Recorder& recorder) noexcept {
  if (!recorder.live()) return nullptr;
  BoundRequest* bound = bound_to(&recorder.model);
  if (bound == nullptr || bound->recorder.get() != &recorder) return nullptr;
  const AnswerCalls* calls = bound->calls.get();
  if (calls == nullptr || calls->alone) return bound;
  return calls->running() && bound->thread == std::this_thread::get_id() ? bound : nullptr;
}

/// That runs now, where its arguments are of use.
int64_t method_of(const BoundRequest& bound) noexcept {
  if (bound.calls != nullptr) return bound.calls->method;
  return bound.captured != nullptr ? bound.captured->method() : -1;
}

void push_as(BoundRequest& bound, int64_t site, const at::Tensor& attn_bhqk) noexcept {
  push_call(bound, site, attn_bhqk, WeightsLayout{.heads = bound.recorder->sites[site].heads});
}

void push_as(BoundRequest& bound, int64_t site, const ops::Scores& scores) noexcept { push_call(bound, site, scores); }

}  // namespace

Gaze attach(const ModelDescription& model, Options options) {
  return Gaze(when_wanted(std::move(options), [&](const Options& wanted, const std::shared_ptr<const Log>& log) {
    return attach_described(model, wanted, log, [](AttachedModel&) {});
  }));
}

ModelCall::ModelCall() noexcept = default;
ModelCall::ModelCall(ModelCall&&) noexcept = default;
ModelCall::ModelCall(std::shared_ptr<Recorder> recorder, int64_t method) noexcept
    : recorder_(std::move(recorder)), entered_(enter_call(&recorder_->model, method).answer), method_(method) {}
ModelCall& ModelCall::operator=(ModelCall&& other) noexcept {
  if (this != &other) {
    end();
    recorder_ = std::move(other.recorder_);
    entered_ = std::move(other.entered_);
    method_ = other.method_;
  }
  return *this;
}
ModelCall::~ModelCall() { end(); }

void ModelCall::end() noexcept {
  if (entered_) {
    abandon_call(entered_);
  } else if (recorder_) {
    leave_opened(&recorder_->model, /*threw=*/true);
  }
}

void ModelCall::leave() noexcept {
  if (entered_) {
    leave_call(entered_);
  } else if (recorder_) {
    leave_opened(&recorder_->model, /*threw=*/false);
  }
  entered_.reset();
  recorder_.reset();
}

void ModelCall::offer(int64_t argument, const at::Tensor& value) noexcept {
  if (!recorder_) return;
  BoundRequest* bound = open_for(*recorder_);
  // Of another one's the index says nothing.
  if (bound != nullptr && method_of(*bound) == method_) offer_argument(*bound, argument, value);
}

void ModelCall::offer(std::string_view argument, const at::Tensor& value) noexcept {
  if (!recorder_) return;
  const auto& by_method = recorder_->model.argument_names;
  if (static_cast<size_t>(method_) >= by_method.size()) return;
  const std::vector<std::string>& names = by_method[static_cast<size_t>(method_)];
  const auto at = std::find(names.begin(), names.end(), argument);
  if (at != names.end()) offer(at - names.begin(), value);
}

FrontEnd::FrontEnd() noexcept = default;
FrontEnd::FrontEnd(const Gaze& gaze) noexcept : recorder_(gaze.recorder_) {}

int64_t FrontEnd::add_site(Site site) noexcept {
  if (!recorder_) return kNoSite;
  try {
    if (recorder_->live()) return recorder_->sites.add(std::move(site));
  } catch (...) {  // counted as any other
  }
  recorder_->counters->site_refused();
  return kNoSite;
}

ModelCall FrontEnd::enter(std::string_view method) const noexcept {
  if (!recorder_ || !recorder_->live()) return {};
  const std::vector<std::string>& methods = recorder_->model.methods;
  const auto at = std::find(methods.begin(), methods.end(), method);
  if (at == methods.end()) return {};
  return ModelCall(recorder_, at - methods.begin());
}

bool FrontEnd::wanted() const noexcept { return recorder_ && open_for(*recorder_) != nullptr; }

template <class Call>
void FrontEnd::push_to_request(int64_t site, const Call& call) noexcept {
  if (!recorder_) return;
  BoundRequest* bound = site >= 0 && site < recorder_->sites.size() ? open_for(*recorder_) : nullptr;
  if (bound == nullptr) return recorder_->counters->call_dropped();
  push_as(*bound, site, call);
}

void FrontEnd::push(int64_t site, const at::Tensor& attn_bhqk) noexcept { push_to_request(site, attn_bhqk); }
void FrontEnd::push(int64_t site, const ops::Scores& scores) noexcept { push_to_request(site, scores); }

}  // namespace gaze

// SPDX-License-Identifier: MIT
// A TorchScript module is attached: its geometry verified, its graphs tapped, and the taps checked to change nothing.
#include <torch/csrc/jit/api/module.h>
#include <gaze/gaze.hpp>
#include <gaze/hooks/probe.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "set_up.hpp"
#include "torchscript/instrument.hpp"
#include "torchscript/parameters_digest.hpp"
#include "torchscript/self_check.hpp"

namespace gaze {
namespace {

void measure_geometry(const torch::jit::Module& module, const Options& options, const Profile& profile,
                      const std::vector<c10::IValue>* example_inputs) {
  as_options_say(options, [&] {
    if (example_inputs == nullptr) {
      throw Error(
          "attach: example_inputs: expected those of forward, or of a method that the profile names, on which "
          "`verify` measures the geometry, got none. Give them, or set verify to false.");
    }
    verify(module, profile, *example_inputs);
  });
}

/// False, and said, when the taps change something.
bool changes_nothing(const SelfCheck& example, const torch::jit::Module& module,
                     const std::shared_ptr<Recorder>& recorder, const Log& log) {
  try {
    if (example.passes(module, recorder)) return true;
  } catch (...) {
    recorder->model.release(recorder.get());
    throw;
  }
  recorder->counters->self_check_failed();
  recorder->model.release(recorder.get());
  log.error(
      "attach: the example's outputs with taps differ from those without; capture stays off for this module. "
      "A model that is random or keeps state between calls cannot be checked: attach without example_inputs.");
  return false;
}

/// @return devices but the CPU that hold parameters
std::vector<at::Device> prepare_devices(const torch::jit::Module& module, Worker& worker) {
  std::vector<at::Device> known;
  for (const at::Tensor& parameter : module.parameters()) {
    const at::Device device = parameter.device();
    if (device.is_cpu() || std::find(known.begin(), known.end(), device) != known.end()) continue;
    known.push_back(device);
    worker.prepare(device);
  }
  return known;
}

/// @throws as attach, and std::bad_alloc
std::shared_ptr<Recorder> attach_on(torch::jit::Module& module, const Options& options,
                                    const std::vector<c10::IValue>* example_inputs,
                                    const std::shared_ptr<const Log>& log) {
  Profile profile = checked_profile(options);
  if (find_sites(module).sites.empty()) {
    throw Error(
        "attach: expected a module with attention (softmax between two products, or scaled_dot_product_attention), "
        "found none. `gaze sites MODEL.pt` shows what was looked at.");
  }
  if (profile.verify) measure_geometry(module, options, profile, example_inputs);
  std::optional<SelfCheck> example;
  if (example_inputs != nullptr) example.emplace(module, profile, *example_inputs);

  RecordDelivery delivery = start_delivery(options, log);
  AttachedModel& model = instrument(module);
  auto recorder =
      as_options_say(options, [&] { return std::make_shared<Recorder>(options, std::move(profile), model); });
  if (options.model_path.empty()) recorder->parameters_sha256 = parameters_digest(module);
  claim(recorder, delivery);
  if (example && !changes_nothing(*example, module, recorder, *log)) return recorder;
  recorder->devices = prepare_devices(module, *delivery.worker);
  go_live(*recorder, std::move(delivery), "", *log);
  return recorder;
}

}  // namespace

Gaze attach(torch::jit::Module& module, Options options, const std::vector<c10::IValue>* example_inputs) {
  return Gaze(when_wanted(std::move(options), [&](const Options& wanted, const std::shared_ptr<const Log>& log) {
    return attach_on(module, wanted, example_inputs, log);
  }));
}

}  // namespace gaze

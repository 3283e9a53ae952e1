// SPDX-License-Identifier: MIT
#include "torchscript/self_check.hpp"

#include <ATen/core/grad_mode.h>

#include "capture/exact_capture.hpp"
#include "request/call_frames.hpp"
#include "request/request_state.hpp"
#include "torchscript/example_inputs.hpp"

namespace gaze {
namespace {

void append_bytes(const c10::IValue& value, std::string& out) {
  if (value.isTensor()) {
    const at::Tensor tensor = value.toTensor().detach().cpu().contiguous();
    out += c10::str(tensor.scalar_type(), tensor.sizes(), ";");
    out.append(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  } else if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) append_bytes(element, out);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) append_bytes(element, out);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      append_bytes(entry.key(), out);
      append_bytes(entry.value(), out);
    }
  } else {
    out += c10::str(value, ";");
  }
}

std::string outputs_of(const torch::jit::Module& module, const std::string& method,
                       const std::vector<c10::IValue>& inputs) {
  const at::NoGradGuard no_grad;
  std::string bytes;
  append_bytes(module.get_method(method)(inputs), bytes);
  return bytes;
}

}  // namespace

SelfCheck::SelfCheck(const torch::jit::Module& module, const Profile& profile, const std::vector<c10::IValue>& inputs)
    : inputs_(inputs), method_(example_method(module, profile, inputs)) {
  untapped_ = outputs_of(module.clone(/*inplace=*/true), method_, inputs_);
}

bool SelfCheck::passes(const torch::jit::Module& module, const std::shared_ptr<Recorder>& recorder) const {
  const auto state = std::make_shared<RequestState>(recorder, std::make_unique<ExactCapture>(recorder->rules));
  bind_newest(state);
  std::string tapped;
  try {
    tapped = outputs_of(module, method_, inputs_);
  } catch (...) {
    state->discard();
    throw;
  }
  state->discard();
  return tapped == untapped_ && outputs_of(module, method_, inputs_) == untapped_;
}

}  // namespace gaze

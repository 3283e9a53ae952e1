// SPDX-License-Identifier: MIT
#include "torchscript/example_inputs.hpp"

#include <torch/csrc/jit/api/module.h>
#include <gaze/render/profile.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {
namespace {

bool takes(const torch::jit::Module& module, const std::string& method, const std::vector<c10::IValue>& inputs) {
  const auto found = module.find_method(method);
  if (!found) return false;
  std::vector<c10::IValue> stack{module._ivalue()};
  stack.insert(stack.end(), inputs.begin(), inputs.end());
  try {
    found->function().getSchema().checkAndNormalizeInputs(stack, {});
    return true;
  } catch (const c10::Error&) {
    return false;
  }
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::string example_method(const torch::jit::Module& module, const Profile& profile,
                           const std::vector<c10::IValue>& inputs) {
  std::vector<std::string> named;
  if (profile.image) {
    for (const auto& [method, argument] : profile.image->argument) named.push_back(method);
  }
  if (profile.sound) {
    for (const auto& [method, argument] : profile.sound->argument) named.push_back(method);
  }
  const bool forward = std::find(named.begin(), named.end(), "forward") != named.end();
  std::vector<std::string> able;
  for (const std::string& method : named) {
    if (takes(module, method, inputs)) able.push_back(method);
  }
  if ((forward || able.empty()) && takes(module, "forward", inputs)) return "forward";
  if (able.size() == 1) return able.front();
  if (able.empty()) {
    throw Error("attach: example_inputs: expected the arguments of forward" +
                (named.empty() ? "" : ", or of a method that the profile names (" + list_of(named) + ")") + ", got " +
                std::to_string(inputs.size()) + " that none of them takes. Correct them.");
  }
  throw Error("attach: example_inputs: expected arguments that one method takes, got some for each of " +
              list_of(able) + ". Let the profile's argument name one of them alone, or give the arguments of forward.");
}

std::vector<std::vector<int64_t>> first_rows(const std::vector<c10::IValue>& arguments) {
  std::vector<std::vector<int64_t>> rows(arguments.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!arguments[i].isTensor()) continue;
    const at::Tensor ids = arguments[i].toTensor();
    const bool tokens = ids.defined() && ids.dim() == 2 && ids.size(0) > 0 &&
                        (ids.scalar_type() == at::kLong || ids.scalar_type() == at::kInt);
    if (!tokens) continue;
    const at::Tensor row_t = ids[0].to(at::kCPU, at::kLong).contiguous();
    rows[i].assign(row_t.const_data_ptr<int64_t>(), row_t.const_data_ptr<int64_t>() + row_t.numel());
  }
  return rows;
}

}  // namespace gaze

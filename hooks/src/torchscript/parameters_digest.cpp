// SPDX-License-Identifier: MIT
#include "torchscript/parameters_digest.hpp"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>
#include <gaze/render/digest.hpp>

#include <algorithm>

#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"

namespace gaze {
namespace {

constexpr int64_t kSamples = 1024;

void add(const std::string& name, const at::Tensor& tensor, Digest& digest) {
  if (!tensor.defined()) return;
  digest.add(name);
  digest.add(c10::str(tensor.scalar_type(), tensor.sizes()));
  if (!is_plain(tensor) || tensor.numel() == 0 || tensor.is_meta()) return;
  const at::Tensor flat = tensor.detach().reshape({-1});
  const int64_t step = std::max<int64_t>(1, flat.numel() / kSamples);
  const at::Tensor samples = flat.slice(0, 0, flat.numel(), step).cpu().contiguous();
  digest.add(samples.const_data_ptr(), samples.nbytes());
}

}  // namespace

std::string parameters_digest(const torch::jit::Module& module) {
  const InsideTap inside;
  const at::NoGradGuard no_grad;
  Digest digest;
  bool any = false;
  for (const auto& [name, tensor] : module.named_parameters()) {
    add(name, tensor, digest);
    any = true;
  }
  for (const auto& [name, tensor] : module.named_buffers()) {
    add(name, tensor, digest);
    any = true;
  }
  return any ? digest.hex() : std::string();
}

}  // namespace gaze

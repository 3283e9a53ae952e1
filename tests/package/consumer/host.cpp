// SPDX-License-Identifier: MIT
// Runs the sample model once: host MODEL.pt
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gaze/gaze.hpp>

#include <iostream>

int main(int, char** argv) {
  const at::NoGradGuard no_grad;
  torch::jit::Module model = torch::jit::load(argv[1]);
  auto gaze = gaze::attach(model);
  const at::Tensor prompt = at::tensor({int64_t{1}, int64_t{3}, int64_t{4}, int64_t{5}, int64_t{11}}).unsqueeze(0);
  const at::Tensor ids = model.run_method("generate", at::full({1, 3, 96, 160}, 0.1), prompt, 2).toTensor();
  std::cout << "gaze " GAZE_VERSION ", " << ids.size(1) << " tokens\n";
  return 0;
}

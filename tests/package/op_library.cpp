// SPDX-License-Identifier: MIT
// A library that registers the operator which mistakes_models.py registers in Python: for --op-library.
#include <ATen/ops/add.h>
#include <torch/library.h>

namespace {

at::Tensor twice(const at::Tensor& a) { return at::add(a, a); }

}  // namespace

TORCH_LIBRARY(gaze_mistakes, library) { library.def("twice", &twice); }

// SPDX-License-Identifier: MIT
// The operators that gaze.export_ready puts into programs. They compute nothing and need LibTorch alone: a package with
// them runs where no capture is.
#include <torch/library.h>

#include "aoti/observers.hpp"

namespace gaze {
namespace {

Observers observers;

/// An address as a number: who asks may have been built apart from this library.
int64_t observers_of(int64_t version) {
  return version == Observers::kVersion ? reinterpret_cast<int64_t>(&observers) : 0;
}

void observe_weights(const at::Tensor& weights, c10::string_view site, bool scaled) {
  if (const auto tell = observers.weights.load(std::memory_order_acquire)) tell(weights, site, scaled);
}

void observe_scores(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask, bool causal,
                    std::optional<double> scale, c10::string_view site) {
  if (const auto tell = observers.scores.load(std::memory_order_acquire)) tell(q, k, mask, causal, scale, site);
}

// Of tensors without memory, as exports run them.
void no_weights(const at::Tensor&, c10::string_view, bool) {}
void no_scores(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, bool, std::optional<double>,
               c10::string_view) {}

}  // namespace
}  // namespace gaze

TORCH_LIBRARY_FRAGMENT(gaze, library) {
  library.def("observers(int version) -> int", &gaze::observers_of);
  library.def("observe_weights(Tensor weights, str site, bool scaled) -> ()");
  library.def("observe_scores(Tensor q, Tensor k, Tensor? mask, bool causal, float? scale, str site) -> ()");
}

TORCH_LIBRARY_IMPL(gaze, CompositeExplicitAutograd, library) {
  library.impl("observe_weights", &gaze::observe_weights);
  library.impl("observe_scores", &gaze::observe_scores);
}

TORCH_LIBRARY_IMPL(gaze, Meta, library) {
  library.impl("observe_weights", &gaze::no_weights);
  library.impl("observe_scores", &gaze::no_scores);
}

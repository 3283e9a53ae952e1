// SPDX-License-Identifier: MIT
#include "capture/encoder_layers.hpp"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gaze/ops/blend.hpp>

#include <algorithm>

#include "capture/plain_tensor.hpp"

namespace gaze {
namespace {

/// Of a position's row. All of it makes a map so wide that no cell stands out; half points as well.
constexpr double kFollowed = 0.5;
constexpr ops::ReduceOptions kMean{.heads = ops::HeadReduce::Mean, .layers = ops::LayerReduce::Mean};

std::vector<int64_t> versions_of(const AttentionCall& call) {
  std::vector<int64_t> versions;
  call.each_tensor([&](const at::Tensor& tensor) { versions.push_back(tensor.defined() ? version_of(tensor) : 0); });
  return versions;
}

int64_t bytes_of(const AttentionCall& call) {
  // Whole memories: queries and keys may be parts of one, whose values are kept with them.
  std::vector<const c10::StorageImpl*> counted;
  size_t bytes = 0;
  call.each_tensor([&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const c10::StorageImpl* memory = tensor.storage().unsafeGetStorageImpl();
    if (std::find(counted.begin(), counted.end(), memory) != counted.end()) return;
    counted.push_back(memory);
    bytes += tensor.storage().nbytes();
  });
  return static_cast<int64_t>(bytes);
}

at::Tensor any_of(const at::Tensor& flags_n, ops::RowFlag flag) {
  return flags_n.bitwise_and(static_cast<int64_t>(flag)).gt(0).any().to(at::kInt).mul(static_cast<int64_t>(flag));
}

}  // namespace

void EncoderLayers::keep(int64_t site, const AttentionCall& call, int64_t budget_bytes) {
  if (left_) return;
  const bool again =
      std::any_of(layers_.begin(), layers_.end(), [&](const Layer& layer) { return layer.site == site; });
  const double matrix = 8.0 * static_cast<double>(call.queries()) * static_cast<double>(call.keys());
  const int64_t bytes = bytes_ + bytes_of(call);
  if (again || call.queries() != call.keys() ||
      static_cast<double>(bytes) + matrix > static_cast<double>(budget_bytes)) {
    return leave();
  }
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  layers_.push_back({site, call.keep(), versions_of(call)});
  bytes_ = bytes;
}

void EncoderLayers::leave() noexcept {
  layers_.clear();
  bytes_ = 0;
  left_ = true;
}

bool EncoderLayers::lead_to(int64_t batch, int64_t keys, int64_t sites) const noexcept {
  return sites > 0 && static_cast<int64_t>(layers_.size()) == sites &&
         std::all_of(layers_.begin(), layers_.end(),
                     [&](const Layer& layer) { return layer.call->batch() == batch && layer.call->keys() == keys; });
}

bool EncoderLayers::written_over() const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [](const Layer& layer) { return versions_of(*layer.call) != layer.versions; });
}

EncoderLayers::Carried EncoderLayers::carry(const at::Tensor& map_tk, int64_t row) const {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  Carried carried{map_tk, {}};
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    const AttentionCall& call = *layer->call;
    ops::Accumulator rows = ops::make_accumulator(call.queries(), call.keys(), call.device());
    call.add_whole(row, kMean, rows);
    const at::Tensor made_of_nk = ops::finish(rows, call.queries(), kMean).map_tc.to(map_tk.device());
    // A position that saw nothing is what it was.
    const at::Tensor alone_n = made_of_nk.sum(1).eq(0).to(at::kFloat);
    const at::Tensor followed_nk = made_of_nk.mul(ops::top_mass(made_of_nk, kFollowed));
    const at::Tensor& map = carried.map_tk;
    carried.map_tk = (map + ops::compose(map, followed_nk) + map * alone_n).mul(0.5);
    const at::Tensor flags =
        any_of(rows.flags_t, ops::kRowNonFinite).bitwise_or(any_of(rows.flags_t, ops::kRowSum)).to(map_tk.device());
    carried.flags = carried.flags.defined() ? carried.flags.bitwise_or(flags) : flags;
  }
  return carried;
}

void EncoderLayers::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const Layer& layer : layers_) layer.call->each_tensor(see);
}

}  // namespace gaze

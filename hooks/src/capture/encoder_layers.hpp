// SPDX-License-Identifier: MIT
// The encoder whose positions are the keys of the selected sites: what each position was made of. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/reduce.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "capture/attention_call.hpp"

namespace gaze {

/// Calls are kept by reference, so that the host's thread computes nothing; whoever reads the map carries it on. What
/// cannot be kept, or does not lead to the keys, leaves the map as it is: it is over the encoder's positions then.
class EncoderLayers {
 public:
  /// One call, in the order the layers run. Beyond `budget_bytes`, of what is kept and of the matrix that one layer
  /// takes later, everything is let go.
  void keep(int64_t site, const AttentionCall& call, int64_t budget_bytes);
  /// Lets go of everything, for good.
  void leave() noexcept;
  /// Whether each of `sites` layers ran once, for this batch and over exactly these keys.
  [[nodiscard]] bool lead_to(int64_t batch, int64_t keys, int64_t sites) const noexcept;
  /// Whether something was written into what is kept. Tensors made in inference mode do not tell.
  [[nodiscard]] bool written_over() const;

  struct Carried {
    at::Tensor map_tk;  ///< float32, of the size and on the device of what was carried; rows keep their sums
    at::Tensor flags;   ///< int32 []: ops::RowFlag, what made the encoder's own rows useless
  };
  /// From the last layer to the first, half of each position stays where it is and half goes to the fewest positions
  /// that hold half of its row, the mean over heads: a rollout (Abnar & Zuidema 2020) along what is strongest.
  ///
  /// @param map_tk  float32 [tokens, keys]
  /// @param row     of the batch
  /// Cost: for each layer its rows once more, and tokens x keys x keys multiply-adds. Asynchronous on the current
  /// stream. Precondition: lead_to(.., keys, ..).
  [[nodiscard]] Carried carry(const at::Tensor& map_tk, int64_t row) const;

  struct Layer {
    int64_t site = 0;
    std::shared_ptr<const AttentionCall> call;
    std::vector<int64_t> versions;  // of its tensors
  };
  [[nodiscard]] const std::vector<Layer>& layers() const noexcept { return layers_; }
  [[nodiscard]] int64_t bytes() const noexcept { return bytes_; }
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

 private:
  std::vector<Layer> layers_;
  int64_t bytes_ = 0;
  bool left_ = false;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What latents are made of: the maps of the sites that stand between the picture and the selected ones. Knows no
// TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/reduce.hpp>

#include <map>
#include <string>
#include <vector>

#include "capture/accumulator_rows.hpp"
#include "capture/latent_layout.hpp"

namespace gaze {

class LatentMaps {
 public:
  /// How heads and layers of these sites are reduced.
  static constexpr ops::ReduceOptions kReduce{.heads = ops::HeadReduce::Mean, .layers = ops::LayerReduce::Mean};

  struct Call {
    int64_t batch = 0, heads = 0, queries = 0, keys = 0;
    at::Device device = at::kCPU;
  };
  /// Adds all queries of a batch row, over all keys, to an accumulator [queries, keys] on the call's device.
  using Add = c10::function_ref<void(int64_t row, ops::Accumulator& to)>;

  /// @param rollout       the product over layers instead of their mean; queries and keys are then one
  /// @param budget_bytes  that all maps may take
  LatentMaps(bool rollout, int64_t budget_bytes) : rollout_(rollout), budget_bytes_(budget_bytes) {}

  /// One call of a site. A site's nth call belongs to the nth run. Allocates queries x keys floats for each batch row
  /// at a run's first call.
  /// @throws gaze::Error ShapeMismatch when sites of a run differ, HostBudget beyond the budget.
  void add(int64_t site, const std::string& name, const Call& call, Add add);

  [[nodiscard]] bool empty() const { return runs_.empty(); }
  void release() noexcept { runs_.clear(); }
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;
  struct Uses {
    int64_t heads = 0, calls = 0;
  };
  [[nodiscard]] const std::map<int64_t, Uses>& sites() const { return sites_; }

  /// What each of `rows` rows of the request has. @throws gaze::Error ShapeMismatch when that does not come out even.
  [[nodiscard]] LatentUnits units(int64_t rows) const;
  /// Whether every run's batch is a multiple of `rows`.
  [[nodiscard]] bool are_of(int64_t rows) const noexcept;

  /// The picture's map of one row, and what was wrong with the maps it went through.
  struct Composed {
    at::Tensor map_tk;  ///< float32 [tokens, geometry.span()]
    at::Tensor mass_t;  ///< `mass_t` without the keys between the latents
    at::Tensor flags;   ///< int32 []
  };
  /// @param window_tn  float32 [tokens, place.span()]: the selected sites' map; @param mass_t  its share
  /// Cost: tokens x latents x keys multiply-adds; asynchronous on the current stream.
  [[nodiscard]] Composed compose(const at::Tensor& window_tn, const at::Tensor& mass_t, const LatentLayout& place,
                                 int64_t row, int64_t rows) const;

 private:
  struct Unit {
    RowAccumulators sums;   // one per device the layers lie on
    at::Tensor product_nn;  // rollout
    at::Tensor flags;       // rollout: int32 [n]
  };
  struct Run {
    Call like;
    std::vector<Unit> units;  // one for each batch row
  };
  void roll_on(Unit& unit, const Call& call, int64_t row, Add add);
  [[nodiscard]] const Unit& unit_of(int64_t row, int64_t rows, int64_t index) const;
  [[nodiscard]] ops::Accumulator summed(const Unit& unit) const;

  bool rollout_;
  int64_t budget_bytes_;
  int64_t bytes_ = 0;
  std::vector<Run> runs_;
  std::map<int64_t, Uses> sites_;
};

}  // namespace gaze

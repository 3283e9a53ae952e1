// SPDX-License-Identifier: MIT
// Attention rollout over a decoder's layers, while its cache grows. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/reduce.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gaze {

/// Abnar & Zuidema (2020), of one batch row: after layer l the position q holds of the medium's key m
///   r_l(q, m) = 0.5 r_{l-1}(q, m) + 0.5 sum over k of A_l(q, k) r_{l-1}(k, m),   r_0 the identity,
/// which are the medium's columns of the product of 0.5 A + 0.5 I. Rows whose A does not sum to 1 are divided by their
/// sum. Keeps what each layer held of every position, for the steps to come.
class RolloutRows {
 public:
  struct Layer {
    int64_t site = 0;
    int64_t queries = 0, keys = 0;  ///< of the call: the queries are the last of the keys
    int64_t first_key = 0;          ///< of the medium
    int64_t medium = 0;             ///< its keys
    int64_t room = 0;               ///< positions that may come after those of the first call
    int64_t first_query = 0;        ///< first row that is a token's
    int64_t first_token = 0, tokens = 0;
    at::Device device = at::kCPU;
  };
  /// Adds all queries over all keys to an accumulator [queries, keys].
  using Add = c10::function_ref<void(ops::Accumulator& to)>;

  /// One call of a site; sites are layers in the order in which they first run. Writes the tokens' rows to `to`, where
  /// those of the last layer stay.
  /// Cost: queries x keys x medium multiply-adds, and (keys + room) x medium floats a layer, kept.
  /// @param budget_bytes  what is left of it
  /// @return bytes that are kept from now on
  /// @throws gaze::Error ShapeMismatch where queries are not the last of the keys, HostBudget
  int64_t add(const std::string& name, const Layer& layer, int64_t budget_bytes, Add add, ops::Accumulator& to);

  /// A copy with memory of its own.
  [[nodiscard]] RolloutRows clone() const;
  [[nodiscard]] int64_t bytes() const;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

 private:
  struct Held {
    at::Tensor r_km;  // [positions, medium]
    int64_t keys = 0;
  };
  std::vector<Held> layers_;            // the identity, then each layer
  std::map<int64_t, size_t> layer_of_;  // by site, from 1
};

}  // namespace gaze

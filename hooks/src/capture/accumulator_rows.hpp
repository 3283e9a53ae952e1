// SPDX-License-Identifier: MIT
// The accumulators of a batch, whose rows may be gathered anew. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/reduce.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// One row's accumulators: one per device the model's layers lie on, in the same order for every row.
using RowAccumulators = std::vector<ops::Accumulator>;

/// The one on `device`, made at the first call.
ops::Accumulator& accumulator_on(RowAccumulators& row, int64_t tokens, int64_t cells, at::Device device);

void each_tensor(const RowAccumulators& row, c10::function_ref<void(const at::Tensor&)> see);

/// Makes the maps of one row's accumulators `cells` wide, what they hold first. Asynchronous on each device's current
/// stream. @throws c10::OutOfMemoryError
void widen(RowAccumulators& row, int64_t cells);

/// As if nothing had been added to the tokens from `first` on. Asynchronous on each device's current stream.
void forget_tokens(RowAccumulators& row, int64_t first);

/// Row i of the result holds what row from[i] of `rows` does; `rows` is not to be read afterwards. The first row that
/// names another one takes its memory over, each further one gets a copy of the first `tokens` tokens, in the memory
/// of a row that nobody names while there is one, else in its own. Asynchronous on each device's current stream.
/// Precondition: every from[i] is a row. @throws c10::OutOfMemoryError; what `rows` held is then no longer whole.
std::vector<RowAccumulators> gather_rows(std::vector<RowAccumulators> rows, const std::vector<int64_t>& from,
                                         int64_t tokens);

/// A row whose token t is that of `of_tokens[t]`, as far as there are `tokens`; what comes after the last is zero.
/// Asynchronous on each device's current stream. Precondition: at least one, all with the same devices.
/// @throws c10::OutOfMemoryError
RowAccumulators gather_tokens(const std::vector<const RowAccumulators*>& of_tokens, int64_t tokens);

}  // namespace gaze

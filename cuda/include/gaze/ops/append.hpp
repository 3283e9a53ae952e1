// SPDX-License-Identifier: MIT
// Rows of a decode step that a host records into a CUDA graph once and replays for every token.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/reduce.hpp>

#include <cstdint>

namespace gaze::ops {

/// How many counters `append` wants: one for each block of its kernel.
GAZE_API int64_t append_counters(int64_t batch, int64_t cells);

/// Moves what a step added, one row for each batch row, behind the rows of the steps before it, and leaves zeros: the
/// same launch again appends the next step. Steps beyond the room of `steps` are counted, and kept nowhere.
///
/// @param step     [batch, cells], one row for each batch row
/// @param count_n  int32 [append_counters(batch, cells)]: how many steps came before, in each; one more afterwards, up
///                 to the largest int32. Negative counts are not to be.
/// @param steps    [room * batch, cells], in one piece: step s of batch row b is row s * batch + b
/// Asynchronous on the current CUDA stream; one launch, no allocation: it may be recorded.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void append(Accumulator& step, at::Tensor& count_n, Accumulator& steps);

}  // namespace gaze::ops

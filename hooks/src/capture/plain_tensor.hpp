// SPDX-License-Identifier: MIT
// Which tensors a tap may look into. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace gaze {

/// Dense numbers in memory: not nested, sparse, quantized, wrapped by functorch, traced, fake, without memory, or of a
/// subclass. What it is not may throw at any question that is asked of it.
[[nodiscard]] bool is_plain(const at::Tensor& tensor) noexcept;

/// A batch of plain tensors of different lengths, as torch's fused encoder layers make it.
[[nodiscard]] bool is_plain_batch(const at::Tensor& tensor) noexcept;

/// The same values with no negation or conjugation left to be done by who reads them. Cost: a copy where there is.
/// @param tensor  plain
[[nodiscard]] at::Tensor materialised(const at::Tensor& tensor);

/// What detach() returns, without its way through the dispatcher: the same memory and version, no graph behind it.
/// @param tensor  plain
[[nodiscard]] at::Tensor alias_of(const at::Tensor& tensor);

/// Counts what was written into the tensor's memory; 0 of one made in inference mode, which does not tell.
[[nodiscard]] int64_t version_of(const at::Tensor& tensor);

/// For an error: its dispatch keys.
[[nodiscard]] std::string describe_kind(const at::Tensor& tensor);

}  // namespace gaze

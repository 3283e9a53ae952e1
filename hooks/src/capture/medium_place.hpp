// SPDX-License-Identifier: MIT
// Where the media's keys lie in a batch row's weights. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/geometry.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include "capture/latent_layout.hpp"

namespace gaze {

struct MediumPlace {
  std::optional<Geometry> geometry;     ///< resolved; none: all keys count
  std::optional<LatentLayout> latents;  ///< with a profile's `through`
  bool carried = false;                 ///< the map is taken over all keys, to be carried on through the encoder
  at::Tensor beyond;                    ///< bool []: the row has other visible keys; undefined: it has none

  /// What is accumulated of a row of `keys`.
  [[nodiscard]] KeySpan span(int64_t keys) const;
  [[nodiscard]] const char* noun() const;
};

struct RowPlace {
  std::vector<MediumPlace> media;  ///< at least one
  int64_t prompt_tokens = 0;       ///< of the RequestSpec
};

/// The spans of the first row's media.
/// @throws gaze::Error (ShapeMismatch) where another row has other ones
[[nodiscard]] std::vector<KeySpan> common_spans(const std::vector<RowPlace>& rows, int64_t keys);

}  // namespace gaze

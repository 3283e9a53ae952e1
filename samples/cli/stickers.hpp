// SPDX-License-Identifier: MIT
// The stickers models: their files, their prompts, their input.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/profile.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::cli {

inline constexpr int64_t kMaxNew = 11;  ///< five stickers, two words each, and the end token

struct Stickers {
  std::string model_path;
  std::string profile_path;
  Profile profile;

  /// Ids of "<bos> " + prompt, after those that stand for the picture where the model has such.
  /// @throws Refusal for a word the model does not know.
  [[nodiscard]] std::vector<int64_t> prompt_ids(const std::string& prompt) const;
  /// @throws Refusal for a word the model does not know.
  [[nodiscard]] std::vector<int64_t> word_ids(const std::vector<std::string>& words) const;
  /// Words of an answer up to the end token.
  [[nodiscard]] std::vector<std::string> words(const at::Tensor& ids_t) const;
  /// Photographs, uint8 [576, 960, 3], as the model wants them: float32 [batch, 3, 96, 160].
  [[nodiscard]] at::Tensor inputs(const std::vector<at::Tensor>& photos_hwc) const;
};

/// uint8 [batch, rows, cols, 3] as a model wants them: float32 [batch, 3, rows, cols], by the profile's mean and std.
at::Tensor normalised(const at::Tensor& pixels_bhwc, const ImageInput& image);

/// @throws Refusal or gaze::Error when the model or its profile is missing or of another kind.
Stickers open_stickers(const std::string& model_path);

}  // namespace gaze::cli

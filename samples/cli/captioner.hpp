// SPDX-License-Identifier: MIT
// The captioner: its files, its input, its captions.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/profile.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <opencv2/core.hpp>

#include "loop.hpp"

namespace gaze::cli {

struct Captioner {
  std::string model_path;
  Profile profile;
  std::map<std::pair<std::string, std::string>, size_t> merges;  ///< to their ranks

  /// As its tokenizer would, the end token left out. @param caption  words of ASCII letters, one space between them
  /// @throws Refusal for a letter that the tokenizer does not have
  [[nodiscard]] std::vector<int64_t> ids(const std::string& caption) const;
  /// A composed picture as the model wants it: float32 [1, 3, 96, 96].
  [[nodiscard]] at::Tensor input(const cv::Mat& picture_rgb) const;
};

/// How a host decodes it.
const LoopSettings& caption_loop();

/// Whether the model's profile says that it is the captioner.
bool is_captioner(const std::string& model_path);

/// @throws Refusal or gaze::Error when the model, its profile or its tokenizer is missing or of another kind
Captioner open_captioner(const std::string& model_path);

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// All pictures of a record that is a sound.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "frames.hpp"
#include "hearing.hpp"

namespace gaze {

/// Names of the pictures to draw.
struct SoundPictures {
  std::string summary, sheet;
  std::vector<std::string> words;
};

/// Plots are drawn and tinted on the device; `receive` gets finished pages on the host: summary, words, sheet.
/// @throws gaze::Error (RenderError) in a build without OpenCV; DecodeFailed; what Frames::add throws
void draw_sound(const AttentionRecord& record, const HeardAnalysis& heard, const SoundPictures& names, Frames& frames,
                const std::function<void(const std::string& name, const at::Tensor& rgb_hwc)>& receive);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// All pictures of a map over a sound.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "device/frame_pipeline.hpp"
#include "page/page_memory.hpp"
#include "sound/word_timing.hpp"

namespace gaze {

/// Names of the pictures to draw; empty: not that one.
struct SoundPictures {
  std::string summary, sheet;
  std::vector<std::string> words;
};

/// Gets finished pages on the host.
struct SoundPageReceiver {
  using Receive = std::function<void(const std::string& name, const at::Tensor& rgb_hwc)>;
  Receive page;                                          ///< the summary first, the sheet last
  Receive word;                                          ///< pages of which many differ by little
  std::function<void(const at::Tensor& rgb_hwc)> plots;  ///< of all rows, without a tint
};

/// Plots are drawn and tinted on the device.
/// @throws gaze::Error (RenderError) without the OpenCV part; DecodeFailed; what FramePipeline::add throws
void draw_sound(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard,
                const SoundPictures& names, FramePipeline& frames, PageMemory& pages, const SoundPageReceiver& receive);

}  // namespace gaze

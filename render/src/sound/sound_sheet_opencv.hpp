// SPDX-License-Identifier: MIT
// The contact sheet of a sound: the summary's page, and one strip of waveform per word.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>

#include "page/page_memory.hpp"
#include "sound/sound_plots.hpp"
#include "sound/word_timing.hpp"

namespace gaze {

class SoundSheet {
 public:
  /// @param summary_page  of SoundPanel
  SoundSheet(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard, const SoundLayout& layout,
             const at::Tensor& summary_page, PageMemory& pages);
  /// Strips on the sheet: those of the first words.
  [[nodiscard]] size_t strips() const { return strips_; }
  /// @param strip_hwc  as paint_sound_strip draws it
  void add(size_t word, const at::Tensor& strip_hwc);
  /// uint8 [height, kSoundPageWidth, 3] on the CPU.
  [[nodiscard]] const at::Tensor& page() const { return page_hwc_; }

 private:
  [[nodiscard]] int strip_top(size_t word) const;

  const SoundAnalysis& heard_;
  const SoundLayout layout_;
  const size_t strips_;
  int strips_top_ = 0;
  at::Tensor page_hwc_;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The pictures of a map over a text.
#pragma once

#include <ATen/core/Tensor.h>

#include "page/page_memory.hpp"
#include "text/text_analysis.hpp"

namespace gaze {

/// Bars of the sources, the prompt tinted by the whole answer, then what each word with content read: uint8
/// [height, width, 3] on the CPU. Of a long text the stretches that were read most, of a long answer its first words.
/// @throws gaze::Error (RenderError) without the OpenCV part
at::Tensor draw_text_sheet(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                           PageMemory& pages);

/// Every token of the answer by every token of the prompt; by every source where there are too many.
/// @throws as draw_text_sheet
at::Tensor draw_text_matrix(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                            PageMemory& pages);

}  // namespace gaze

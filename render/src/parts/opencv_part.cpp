// SPDX-License-Identifier: MIT
#include "parts/opencv_part.hpp"

namespace gaze {
namespace {

const ops::Part<OpencvPart>& opened() {
  static const auto* const part =  // leaked: used until the last thread ends
      new ops::Part<OpencvPart>(ops::open_part<OpencvPart>(reinterpret_cast<const void*>(&opened)));
  return *part;
}

/// @param what       begins the error text
/// @param otherwise  what to do without it
const OpencvPart& opencv_part(const std::string& what, const char* otherwise, DropReason reason) {
  const ops::Part<OpencvPart>& part = opened();
  if (part.table == nullptr) {
    throw Error(what + ": expected Gaze's OpenCV part, got: " + part.problem +
                    ". Install OpenCV and a Gaze built with -DGAZE_WITH_OPENCV=ON, or " + otherwise + ".",
                reason);
  }
  return *part.table;
}

const OpencvPart& drawing_part(const std::string& what) {
  return opencv_part(what, "ask for maps alone", DropReason::RenderError);
}

}  // namespace

void open_opencv_part() noexcept {
  try {
    (void)opened();
  } catch (...) {  // tried again, and told, when it is needed
  }
}

DecodedImage decode_image(const std::string& bytes, bool apply_exif, const std::string& what,
                          int64_t longest_side_pixels) {
  return opencv_part(what, "give the picture as a tensor", DropReason::DecodeFailed)
      .decode_image(bytes, apply_exif, what, longest_side_pixels);
}

std::string encode_image(const at::Tensor& rgb_hwc, ImageFormat format) {
  return drawing_part("pictures").encode_image(rgb_hwc, format);
}

std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format) {
  return drawing_part("pictures").encoder_of_alike(format);
}

at::Tensor draw_sheet(const AttentionRecord& record, const MediumMap& map, const Analysis& analysis,
                      const PlacedPicture& placed, FramePipeline& frames, PageMemory& pages) {
  return drawing_part("contact sheet").draw_sheet(record, map, analysis, placed, frames, pages);
}

void draw_sound(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard,
                const SoundPictures& names, FramePipeline& frames, PageMemory& pages,
                const SoundPageReceiver& receive) {
  drawing_part("plots of a sound").draw_sound(record, map, heard, names, frames, pages, receive);
}

at::Tensor draw_text_sheet(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                           PageMemory& pages) {
  return drawing_part("pages of a text").draw_text_sheet(record, map, text, pages);
}

at::Tensor draw_text_matrix(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                            PageMemory& pages) {
  return drawing_part("pages of a text").draw_text_matrix(record, map, text, pages);
}

}  // namespace gaze

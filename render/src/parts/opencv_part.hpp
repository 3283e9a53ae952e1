// SPDX-License-Identifier: MIT
// The library with all that uses OpenCV: image files, and pages with text on them.
#pragma once

#include <gaze/ops/part.hpp>

#include "codecs/image_codec.hpp"
#include "picture/sheet.hpp"
#include "sound/sound_pictures.hpp"
#include "text/text_pictures.hpp"

namespace gaze {

/// What libgaze_opencv.so gives to the core: the functions of these names in the headers above.
struct OpencvPart : ops::PartTag {
  static constexpr const char *kFile = "libgaze_opencv.so", *kSymbol = "gaze_opencv_table";
  decltype(&gaze::decode_image) decode_image;
  decltype(&gaze::encode_image) encode_image;
  decltype(&gaze::encoder_of_alike) encoder_of_alike;
  decltype(&gaze::draw_sheet) draw_sheet;
  decltype(&gaze::draw_sound) draw_sound;
  decltype(&gaze::draw_text_sheet) draw_text_sheet;
  decltype(&gaze::draw_text_matrix) draw_text_matrix;
};

/// Opens the part where it is there; without effect later on. For set-up: a process that ends while a thread is loading
/// a library destroys what that library has just made, and dies of it.
void open_opencv_part() noexcept;

}  // namespace gaze

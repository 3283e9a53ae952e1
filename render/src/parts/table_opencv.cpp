// SPDX-License-Identifier: MIT
#include "parts/opencv_part.hpp"

extern "C" GAZE_API const gaze::OpencvPart gaze_opencv_table = {{GAZE_VERSION, sizeof(gaze::OpencvPart)},
                                                                &gaze::decode_image,
                                                                &gaze::encode_image,
                                                                &gaze::encoder_of_alike,
                                                                &gaze::draw_sheet,
                                                                &gaze::draw_sound,
                                                                &gaze::draw_text_sheet,
                                                                &gaze::draw_text_matrix};

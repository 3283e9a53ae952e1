// SPDX-License-Identifier: MIT
// What blacks out pictures, recordings and the maps over them.
#pragma once

#include <gaze/render/redaction.hpp>

namespace gaze {

[[noreturn]] void refuse_redaction(const char* what);

/// Pixels black, and cells that touch one of them without weight.
void black_out(const Redaction& redaction, const AttentionRecord& record, PictureMedium& medium, MediumMap& map);
/// Samples 0.
void black_out(const Redaction& redaction, SoundMedium& medium);

/// A grey picture of the same size.
void leave_out_content(PictureMedium& medium);
/// A silent recording of the same length.
void leave_out_content(SoundMedium& medium);

}  // namespace gaze

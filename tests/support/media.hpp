// SPDX-License-Identifier: MIT
// The media of a record's first map.
#pragma once

#include <gaze/render/record.hpp>

#include <variant>
#include <vector>

namespace gaze {  // where a record's own is looked for

template <typename Record>
auto& picture_of(Record&& record) {
  return std::get<PictureMedium>(record.maps.at(0).medium).picture;
}
template <typename Record>
auto& sound_of(Record&& record) {
  return std::get<SoundMedium>(record.maps.at(0).medium).sound;
}
template <typename Record>
auto& windows_of(Record&& record) {
  return std::get<SoundMedium>(record.maps.at(0).medium).windows;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Which tokens heard which part of a recording.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/medium.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// A window of the model, and the tokens [first_token, end_token) that it answered with.
struct SoundPart {
  int64_t first_token = 0, end_token = 0;
  double start_seconds = 0;  ///< of the recording, where time 0 of the keys lies
  int64_t keys = 0;          ///< that the recording fills; those behind are padding

  [[nodiscard]] int64_t tokens() const { return end_token - first_token; }
};

/// Cells of a recording, a key each.
int64_t cells_of(double seconds, const Timeline& time);

/// From the recording's start to where the last window's keys end.
double covered_seconds(const SoundMedium& medium);

/// Every token of the map in one part; without windows there is one.
/// @param seconds  of the recording
/// @throws gaze::Error (GridMismatch) where windows, keys and the recording contradict each other
std::vector<SoundPart> divide(const SoundMedium& medium, const at::Tensor& map_tk, double seconds);

/// [tokens, keys] -> [tokens, keys of the longest part]: 0 where they are padding.
at::Tensor heard_keys(const at::Tensor& rows_tk, const std::vector<SoundPart>& parts);

/// [tokens, keys of a part] -> [tokens, cells of the recording]; what falls beyond it is left out. A part that begins
/// between two cells gives each its share.
/// @param rows_tk  may have fewer tokens than the parts
at::Tensor lay_out(const at::Tensor& rows_tk, const std::vector<SoundPart>& parts, double seconds_per_key,
                   int64_t cells);

}  // namespace gaze

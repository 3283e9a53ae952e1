// SPDX-License-Identifier: MIT
// What a pixel of a plot stands for, and its colour; for host and device code, which must agree to the bit. So no
// product below meets a sum unless it is exact or fused on purpose: no compiler may round it another way.
#pragma once

#include <cmath>
#include <cstdint>

#include "axis.hpp"

namespace gaze::kernels {

struct Range {
  std::int64_t begin, end;  ///< empty: begin >= end
};

/// Where column c begins.
GAZE_HOST_DEVICE inline double column_place(double first, double per_column, std::int64_t c) {
  return fma(static_cast<double>(c), per_column, first);
}

/// A place this little short of a whole number is that number: columns that were made to end with the recording do.
constexpr double kSnap = 1e-6;

/// Samples under column c: at least one, unless that lies off the recording.
GAZE_HOST_DEVICE inline Range samples_under(double first, double per_column, std::int64_t c, std::int64_t samples) {
  const std::int64_t begin = cell(column_place(first, per_column, c) + kSnap, samples);
  const std::int64_t next = cell(column_place(first, per_column, c + 1) + kSnap, samples);
  const std::int64_t end = next > begin ? next : begin + 1;
  return {begin < 0 ? 0 : begin, end > samples ? samples : end};
}

/// Frames under column c, frame t being the point t: those on it, else the one nearest to its middle.
GAZE_HOST_DEVICE inline Range frames_under(double first, double per_column, std::int64_t c, std::int64_t frames) {
  const double most = static_cast<double>(frames) + 1;
  const auto held = [most](double place) { return place < -2 ? -2.0 : place > most ? most : place; };
  const double left = held(column_place(first, per_column, c));
  const double right = held(column_place(first, per_column, c + 1));
  Range range = {static_cast<std::int64_t>(ceil(left - kSnap)), static_cast<std::int64_t>(ceil(right - kSnap))};
  if (range.begin >= range.end) {
    range.begin = static_cast<std::int64_t>(floor((left + right + 1) * 0.5));
    range.end = range.begin + 1;
  }
  return {range.begin < 0 ? 0 : range.begin, range.end > frames ? frames : range.end};
}

/// Mel bands under a row, low ones at the bottom; at least one.
GAZE_HOST_DEVICE inline Range bands_under(std::int64_t row, std::int64_t height, std::int64_t mels) {
  const std::int64_t from_below = height - 1 - row;
  const std::int64_t begin = from_below * mels / height, end = (from_below + 1) * mels / height;
  return {begin, end > begin ? end : begin + 1};
}

/// Rows of a channel; those between two channels belong to none.
GAZE_HOST_DEVICE inline Range strip_of(std::int64_t channel, std::int64_t channels, std::int64_t height) {
  std::int64_t gap = channels > 1 ? height / (8 * channels) : 0;
  if (gap > 8) gap = 8;
  return {channel * (height + gap) / channels, (channel + 1) * (height + gap) / channels - gap};
}

/// The row of the strip a value lies in: full_scale at the upper edge, -full_scale at the lower.
GAZE_HOST_DEVICE inline std::int32_t row_of(double value, double full_scale, const Range& strip) {
  double share = value / full_scale;
  share = share > 1 ? 1 : share < -1 ? -1 : share;
  const std::int64_t rows = strip.end - strip.begin;
  const std::int64_t row = static_cast<std::int64_t>((1 - share) * 0.5 * static_cast<double>(rows));
  return static_cast<std::int32_t>(strip.begin + (row < rows ? row : rows - 1));
}

/// What a column of a strip shows: rows first..last of each part, both included; none where first > last.
struct Bar {
  std::int32_t first = 0, last = -1, core_first = 0, core_last = -1;
  std::int32_t zero = -1;
};

/// @param envelope_kw  of the channel
GAZE_HOST_DEVICE inline Bar bar_of(const float* envelope_kw, std::int64_t width, std::int64_t x, double full_scale,
                                   const Range& strip) {
  const double low = static_cast<double>(envelope_kw[x]), high = static_cast<double>(envelope_kw[width + x]);
  const double rms = static_cast<double>(envelope_kw[2 * width + x]);
  Bar bar;
  if (!(low <= high) || !(rms >= 0)) return bar;  // NaN
  bar.zero = row_of(0, full_scale, strip);
  if (low == 0 && high == 0) return bar;
  bar.first = row_of(high, full_scale, strip);
  bar.last = row_of(low, full_scale, strip);
  const std::int32_t above = row_of(rms, full_scale, strip), below = row_of(-rms, full_scale, strip);
  bar.core_first = above > bar.first ? above : bar.first;
  bar.core_last = below < bar.last ? below : bar.last;
  // A steep line is one line, not dots: a column reaches as far as the one before it.
  if (x > 0) {
    const double low_before = static_cast<double>(envelope_kw[x - 1]);
    const double high_before = static_cast<double>(envelope_kw[width + x - 1]);
    if (low_before > high) bar.first = row_of(low_before, full_scale, strip);
    if (high_before < low) bar.last = row_of(high_before, full_scale, strip);
  }
  return bar;
}

constexpr std::uint8_t kPaper = 250, kZeroLine = 205, kBody = 165, kCore = 110;

GAZE_HOST_DEVICE inline std::uint8_t shade_of(const Bar& bar, std::int32_t row) {
  if (row >= bar.core_first && row <= bar.core_last) return kCore;
  if (row >= bar.first && row <= bar.last) return kBody;
  return row == bar.zero ? kZeroLine : kPaper;
}

/// A channel (0 red, 1 green, 2 blue) of a spectrogram's pixel; what is no number above 0 is paper.
GAZE_HOST_DEVICE inline std::uint8_t ink_of(float value, int channel) {
  const int ink = channel == 0 ? 38 : channel == 1 ? 50 : 70;
  const int level = !(value > 0) ? 0 : value < 1 ? static_cast<int>(value * 256) : 255;  // exact: a power of two
  return static_cast<std::uint8_t>(kPaper - ((kPaper - ink) * level + 127) / 255);
}

}  // namespace gaze::kernels

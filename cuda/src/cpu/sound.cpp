// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/intrinsics.hpp"
#include "cpu/row.hpp"
#include "cpu/vector.hpp"
#include "kernels.hpp"
#include "plot.hpp"

namespace gaze::kernels::cpu {
namespace {

struct Figures {
  float low, high;
  double squares;
};

/// Samples that are worth a thread.
constexpr double kSamplesPerTask = 128 << 10;

}  // namespace
}  // namespace gaze::kernels::cpu

#define GAZE_BODY "cpu/sound.inl"
#include "cpu/each_isa.hpp"

namespace gaze::kernels::cpu {

void envelope(const EnvelopeParams& p, const Parallel& parallel, Isa isa) {
  const auto figures_of = isa == Isa::Avx512 ? avx512::figures_of
                          : isa == Isa::Avx2 ? avx2::figures_of
                                             : baseline::figures_of;
  if (p.columns == 0) return;
  const double wanted = std::ceil(kSamplesPerTask / std::max(p.per_column, 1.0));
  const std::int64_t task_columns = std::min(static_cast<std::int64_t>(wanted), p.columns);
  const std::int64_t tasks = (p.columns + task_columns - 1) / task_columns;
  run(parallel, tasks * p.channels, [&](std::int64_t task) {
    const std::int64_t channel = task / tasks, first = task % tasks * task_columns;
    const float* const samples_t = p.samples_ct + channel * p.samples;
    float* const out_kw = p.out_ckw + channel * 3 * p.columns;
    for (std::int64_t c = first; c < std::min(first + task_columns, p.columns); ++c) {
      const Range under = samples_under(p.first, p.per_column, c, p.samples);
      float low = 0, high = 0, rms = 0;
      if (under.begin < under.end) {
        const std::int64_t count = under.end - under.begin;
        const Figures figures = figures_of(samples_t + under.begin, count);
        low = figures.low;
        high = figures.high;
        rms = static_cast<float>(std::sqrt(figures.squares / static_cast<double>(count)));
        if (!std::isfinite(figures.squares)) low = high = rms = std::numeric_limits<float>::quiet_NaN();
      }
      out_kw[c] = low;
      out_kw[p.columns + c] = high;
      out_kw[2 * p.columns + c] = rms;
    }
  });
}

namespace {

void fill_grey(std::uint8_t* rgb, const std::uint8_t* shade, std::int64_t width) {
  for (std::int64_t x = 0; x < width; ++x) {
    rgb[3 * x] = shade[x];
    rgb[3 * x + 1] = shade[x];
    rgb[3 * x + 2] = shade[x];
  }
}

/// The bars of one strip, a row for each of their parts: loops over columns are vector code then.
struct Bars {
  Bars(Pieces& pieces, std::int64_t width)
      : first(pieces.take<std::int32_t>(width)),
        last(pieces.take<std::int32_t>(width)),
        core_first(pieces.take<std::int32_t>(width)),
        core_last(pieces.take<std::int32_t>(width)),
        zero(pieces.take<std::int32_t>(width)),
        shade(pieces.take<std::uint8_t>(width)) {}
  std::int32_t *first, *last, *core_first, *core_last, *zero;
  std::uint8_t* shade;
};

}  // namespace

std::size_t draw_waveform_workspace(const WaveformParams& p) {
  Pieces pieces(nullptr);
  const Bars bars(pieces, p.width);
  return pieces.bytes();
}

void draw_waveform(const WaveformParams& p, std::int64_t first, std::int64_t end, void* workspace) {
  Pieces pieces(workspace);
  const Bars bars(pieces, p.width);
  std::memset(p.out_rgb + 3 * first * p.width, kPaper, static_cast<std::size_t>(3 * (end - first) * p.width));
  for (std::int64_t channel = 0; channel < p.channels; ++channel) {
    const Range strip = strip_of(channel, p.channels, p.height);
    const std::int64_t top = std::max(first, strip.begin), bottom = std::min(end, strip.end);
    if (top >= bottom) continue;
    for (std::int64_t x = 0; x < p.width; ++x) {
      const Bar bar = bar_of(p.envelope_ckw + channel * 3 * p.width, p.width, x, p.full_scale, strip);
      bars.first[x] = bar.first;
      bars.last[x] = bar.last;
      bars.core_first[x] = bar.core_first;
      bars.core_last[x] = bar.core_last;
      bars.zero[x] = bar.zero;
    }
    for (std::int64_t y = top; y < bottom; ++y) {
      const auto row = static_cast<std::int32_t>(y);
      for (std::int64_t x = 0; x < p.width; ++x) {
        bars.shade[x] =
            shade_of({bars.first[x], bars.last[x], bars.core_first[x], bars.core_last[x], bars.zero[x]}, row);
      }
      fill_grey(p.out_rgb + 3 * y * p.width, bars.shade, p.width);
    }
  }
}

std::size_t draw_spectrogram_workspace(const SpectrogramParams& p) {
  Pieces pieces(nullptr);
  pieces.take<Range>(p.width);
  return pieces.bytes();
}

void draw_spectrogram(const SpectrogramParams& p, std::int64_t first, std::int64_t end, void* workspace) {
  Pieces pieces(workspace);
  Range* const under = pieces.take<Range>(p.width);
  for (std::int64_t x = 0; x < p.width; ++x) under[x] = frames_under(p.first, p.per_column, x, p.frames);
  Range drawn = {0, 0};
  for (std::int64_t y = first; y < end; ++y) {
    std::uint8_t* const out = p.out_rgb + 3 * y * p.width;
    const Range bands = bands_under(y, p.height, p.mels);
    if (bands.begin == drawn.begin && bands.end == drawn.end) {
      std::memcpy(out, out - 3 * p.width, static_cast<std::size_t>(3 * p.width));
      continue;
    }
    drawn = bands;
    for (std::int64_t x = 0; x < p.width; ++x) {
      float loudest = 0;
      for (std::int64_t m = bands.begin; m < bands.end && under[x].begin < under[x].end; ++m) {
        const float here = maximum(p.mel_mt + m * p.frames + under[x].begin, under[x].end - under[x].begin);
        loudest = here > loudest ? here : loudest;
      }
      for (int channel = 0; channel < 3; ++channel) out[3 * x + channel] = ink_of(loudest, channel);
    }
  }
}

}  // namespace gaze::kernels::cpu

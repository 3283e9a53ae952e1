// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"
#include "plot.hpp"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kRows = 16;  ///< of a plot, per thread
/// Columns of more samples are worth a block, others a warp.
constexpr double kSamplesPerWarp = 2048;

/// Of the samples x, x + step, ... below `end`.
struct Figures {
  float low = INFINITY, high = -INFINITY;
  double squares = 0;  ///< in double: those of finite floats stay finite, others show in the sum

  __device__ Figures(const float* samples_t, std::int64_t begin, std::int64_t end, int step) {
#pragma unroll 4
    for (std::int64_t i = begin; i < end; i += step) {
      const float x = samples_t[i];
      low = fminf(low, x);
      high = fmaxf(high, x);
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
  }
};

__device__ void write_column(const EnvelopeParams& p, std::int64_t channel, std::int64_t column, const Range& under,
                             float low, float high, double squares) {
  float* const out = p.out_ckw + channel * 3 * p.columns + column;
  const bool some = under.begin < under.end, finite = isfinite(squares);
  const double mean = some ? squares / static_cast<double>(under.end - under.begin) : 0.0;
  out[0] = !some ? 0.0f : finite ? low : NAN;
  out[p.columns] = !some ? 0.0f : finite ? high : NAN;
  out[2 * p.columns] = finite ? static_cast<float>(sqrt(mean)) : NAN;
}

/// A column of a channel is a warp's.
__global__ void __launch_bounds__(kThreads) narrow_columns(const EnvelopeParams p) {
  const std::int64_t id = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (id >= p.channels * p.columns) return;  // the whole warp
  const std::int64_t channel = id / p.columns, column = id % p.columns;
  const Range under = samples_under(p.first, p.per_column, column, p.samples);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const Figures mine(p.samples_ct + channel * p.samples, under.begin + lane, under.end, kWarp);
  const float low = warp_min(mine.low), high = warp_max(mine.high);
  const double squares = warp_sum(mine.squares);
  if (lane == 0) write_column(p, channel, column, under, low, high, squares);
}

/// A column of a channel is a block's.
__global__ void __launch_bounds__(kThreads) wide_columns(const EnvelopeParams p) {
  const std::int64_t channel = blockIdx.x / p.columns, column = blockIdx.x % p.columns;
  const Range under = samples_under(p.first, p.per_column, column, p.samples);
  const int thread = static_cast<int>(threadIdx.x);
  const Figures mine(p.samples_ct + channel * p.samples, under.begin + thread, under.end, kThreads);
  const float low = block_reduce(mine.low, INFINITY, Min()), high = block_reduce(mine.high, -INFINITY, Max());
  const double squares = block_reduce(mine.squares, 0.0, Sum());
  if (thread == 0) write_column(p, channel, column, under, low, high, squares);
}

/// A thread owns a column and walks down kRows rows.
__global__ void __launch_bounds__(kThreads) waveform_pixels(const WaveformParams p) {
  const std::int64_t x = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (x >= p.width) return;
  for (std::int64_t top = blockIdx.y * kRows; top < p.height; top += gridDim.y * kRows) {
    const std::int64_t bottom = top + kRows < p.height ? top + kRows : p.height;
    // The strip of the first row: as strip_of says, or the one above it whose gap it lies in.
    std::int64_t channel = top * p.channels / p.height;
    while (channel > 0 && strip_of(channel, p.channels, p.height).begin > top) --channel;
    Range strip = strip_of(channel, p.channels, p.height);
    Bar bar = bar_of(p.envelope_ckw + channel * 3 * p.width, p.width, x, p.full_scale, strip);
    for (std::int64_t y = top; y < bottom; ++y) {
      if (channel + 1 < p.channels && strip_of(channel + 1, p.channels, p.height).begin <= y) {
        strip = strip_of(++channel, p.channels, p.height);
        bar = bar_of(p.envelope_ckw + channel * 3 * p.width, p.width, x, p.full_scale, strip);
      }
      const std::uint8_t shade = y < strip.end ? shade_of(bar, static_cast<std::int32_t>(y)) : kPaper;
      for (int c = 0; c < 3; ++c) p.out_rgb[3 * (y * p.width + x) + c] = shade;
    }
  }
}

/// Likewise; rows of the same bands share what was read.
__global__ void __launch_bounds__(kThreads) spectrogram_pixels(const SpectrogramParams p) {
  const std::int64_t x = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (x >= p.width) return;
  const Range under = frames_under(p.first, p.per_column, x, p.frames);
  for (std::int64_t top = blockIdx.y * kRows; top < p.height; top += gridDim.y * kRows) {
    Range held = {0, 0};
    float loudest = 0;
    for (std::int64_t y = top; y < top + kRows && y < p.height; ++y) {
      const Range bands = bands_under(y, p.height, p.mels);
      if (bands.begin != held.begin || bands.end != held.end) {
        held = bands;
        loudest = 0;
        for (std::int64_t m = bands.begin; m < bands.end; ++m) {
          for (std::int64_t t = under.begin; t < under.end; ++t) loudest = fmaxf(loudest, p.mel_mt[m * p.frames + t]);
        }
      }
      for (int c = 0; c < 3; ++c) p.out_rgb[3 * (y * p.width + x) + c] = ink_of(loudest, c);
    }
  }
}

dim3 plot_grid(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMostRows = 65535;
  const std::int64_t rows = divide_up(height, kRows);
  return grid_of(divide_up(width, kThreads), rows < kMostRows ? rows : kMostRows);
}

}  // namespace

int envelope(const EnvelopeParams& p, Stream stream) {
  const std::int64_t columns = p.channels * p.columns;
  if (columns == 0) return 0;  // a grid of nothing is an error
  if (p.per_column > kSamplesPerWarp) {
    return start(wide_columns, grid_of(columns), kThreads, 0, stream_of(stream), p);
  }
  return start(narrow_columns, grid_of(divide_up(columns, kThreads / kWarp)), kThreads, 0, stream_of(stream), p);
}

int draw_waveform(const WaveformParams& p, Stream stream) {
  return start(waveform_pixels, plot_grid(p.height, p.width), kThreads, 0, stream_of(stream), p);
}

int draw_spectrogram(const SpectrogramParams& p, Stream stream) {
  return start(spectrogram_pixels, plot_grid(p.height, p.width), kThreads, 0, stream_of(stream), p);
}

}  // namespace gaze::kernels::cuda

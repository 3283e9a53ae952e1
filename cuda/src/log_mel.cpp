// SPDX-License-Identifier: MIT
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/hann_window.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stft.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>
#include <gaze/ops/sound.hpp>
#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "kernel_table.hpp"
#include "quiet.hpp"

namespace gaze::ops {
namespace {

constexpr const char* kOp = "log_mel";
constexpr int64_t kMostHop = int64_t{1} << 30;
/// Samples of all windows that are transformed together: an hour must not lie in memory frame by frame. On the CPU they
/// stay in its caches, on a GPU few launches count.
constexpr int64_t kTogetherCpu = 1 << 18, kTogetherGpu = 1 << 22;

/// A duration in whole samples, at least one.
int64_t samples_of(const char* argument, double seconds, int64_t sample_rate_hz, int64_t most) {
  const double samples = std::round(seconds * static_cast<double>(sample_rate_hz));
  GAZE_CHECK(seconds > 0 && samples <= static_cast<double>(most), kOp, argument, "above 0 and at most ", most,
             " samples, got ", seconds, " s at ", sample_rate_hz, " Hz");
  return std::max<int64_t>(1, static_cast<int64_t>(samples));
}

double top_hz(const LogMelOptions& options, int64_t sample_rate_hz) {
  return std::min(options.high_hz, 0.5 * static_cast<double>(sample_rate_hz));
}

double mel_of(double hz) { return 2595 * std::log10(1 + hz / 700); }
double hz_of(double mel) { return 700 * (std::pow(10, mel / 2595) - 1); }

/// [mels, bins]: triangles between neighbours on the mel scale, each scaled to a sum of 1, so that a band's width does
/// not make it louder. One that lies between two bins takes the nearest.
at::Tensor mel_filters(int64_t mels, double low_hz, double high_hz, int64_t window, int64_t sample_rate_hz) {
  const int64_t bins = window / 2 + 1;
  const double bin_hz = static_cast<double>(sample_rate_hz) / static_cast<double>(window);
  const double low = mel_of(low_hz), step = (mel_of(high_hz) - low) / static_cast<double>(mels + 1);
  at::Tensor filters_mf = at::zeros({mels, bins}, at::kFloat);
  float* const weights = filters_mf.data_ptr<float>();
  for (int64_t m = 0; m < mels; ++m) {
    const double left = hz_of(low + step * static_cast<double>(m));
    const double middle = hz_of(low + step * static_cast<double>(m + 1));
    const double right = hz_of(low + step * static_cast<double>(m + 2));
    const auto weight = [&](int64_t bin) {
      const double hz = bin_hz * static_cast<double>(bin);
      return std::max(0.0, std::min((hz - left) / (middle - left), (right - hz) / (right - middle)));
    };
    const auto first = std::clamp<int64_t>(static_cast<int64_t>(left / bin_hz), 0, bins - 1);
    const auto last = std::clamp<int64_t>(static_cast<int64_t>(right / bin_hz) + 1, 0, bins - 1);
    double sum = 0;
    for (int64_t bin = first; bin <= last; ++bin) sum += weight(bin);
    for (int64_t bin = first; bin <= last && sum > 0; ++bin) {
      weights[m * bins + bin] = static_cast<float>(weight(bin) / sum);
    }
    if (!(sum > 0)) weights[m * bins + std::clamp<int64_t>(std::llround(middle / bin_hz), 0, bins - 1)] = 1;
  }
  return filters_mf;
}

/// Filters [first, first + count), and the bins that any of them weighs.
struct Band {
  int64_t first, count, first_bin, bins;
};

/// A filter weighs few of the bins: neighbours are multiplied with those alone that they share.
std::vector<Band> bands_of(const at::Tensor& filters_mf) {
  constexpr int64_t kTogether = 16;
  const int64_t mels = filters_mf.size(0), bins = filters_mf.size(1);
  const float* const weights = filters_mf.const_data_ptr<float>();
  std::vector<Band> bands;
  for (int64_t first = 0; first < mels; first += kTogether) {
    const int64_t count = std::min(kTogether, mels - first);
    int64_t low = bins, high = 0;
    for (int64_t i = first * bins; i < (first + count) * bins; ++i) {
      if (weights[i] == 0) continue;
      low = std::min(low, i % bins);
      high = std::max(high, i % bins);
    }
    bands.push_back({first, count, low, high - low + 1});
  }
  return bands;
}

/// [window, 2]: cosine and sine of -2 pi i / window.
at::Tensor turns_of(int64_t window) {
  at::Tensor turns_i2 = at::empty({window, 2}, at::kFloat);
  float* turn = turns_i2.data_ptr<float>();
  for (int64_t i = 0; i < window; ++i) {
    const double angle = -2 * M_PI * static_cast<double>(i) / static_cast<double>(window);
    *turn++ = static_cast<float>(std::cos(angle));
    *turn++ = static_cast<float>(std::sin(angle));
  }
  return turns_i2;
}

/// How a recording is cut into windows, and what they are multiplied with.
struct Windows {
  int64_t window, hop;
  at::Tensor taper_i;   ///< [window]
  at::Tensor turns_i2;  ///< of `turns_of` on the CPU, else undefined
};

Windows make_windows(int64_t window, int64_t taper, int64_t hop, const at::TensorOptions& like) {
  // A window of one sample stands first of two.
  at::Tensor taper_i = at::constant_pad_nd(at::hann_window(taper, like), {0, window - taper});
  return {window, hop, taper_i, taper_i.is_cpu() ? turns_of(window) : at::Tensor()};
}

/// [bins, frames] of samples that hold `frames` windows.
at::Tensor power_of(const at::Tensor& samples_t, int64_t frames, const Windows& by) {
  if (!samples_t.is_cpu()) {
    const at::Tensor spectrum_bt = at::stft(samples_t, by.window, by.hop, by.window, by.taper_i, /*center=*/false,
                                            "constant", /*normalized=*/false, /*onesided=*/true,
                                            /*return_complex=*/true);
    return at::view_as_real(spectrum_bt).square().sum(-1);
  }
  at::Tensor power_bt = at::empty({by.window / 2 + 1, frames}, samples_t.options());
  power_spectrum_cpu({samples_t.const_data_ptr<float>(), by.window, by.hop, frames, by.taper_i.const_data_ptr<float>(),
                      by.turns_i2.const_data_ptr<float>(), power_bt.mutable_data_ptr<float>()});
  return power_bt;
}

}  // namespace

double mel_band(double hz, int64_t sample_rate_hz, const LogMelOptions& options) noexcept {
  const double low = mel_of(options.low_hz), high = mel_of(top_hz(options, sample_rate_hz));
  return (mel_of(hz) - low) / (high - low) * static_cast<double>(options.mels + 1) - 1;
}

at::Tensor log_mel(const at::Tensor& samples_ct, int64_t sample_rate_hz, const LogMelOptions& options) {
  check_like(kOp, "samples_ct", samples_ct, at::kFloat,
             samples_ct.defined() ? samples_ct.device() : at::Device(at::kCPU));
  GAZE_CHECK(samples_ct.dim() == 2 && samples_ct.numel() > 0, kOp, "samples_ct",
             "[channels, samples] with at least one sample, got ", samples_ct.sizes());
  GAZE_CHECK(sample_rate_hz >= 1, kOp, "sample_rate_hz", "at least 1, got ", sample_rate_hz);
  GAZE_CHECK(options.mels >= 1, kOp, "options.mels", "at least 1, got ", options.mels);
  GAZE_CHECK(options.range_db > 0, kOp, "options.range_db", "above 0, got ", options.range_db);
  const double high_hz = top_hz(options, sample_rate_hz);
  GAZE_CHECK(options.low_hz >= 0 && options.low_hz < high_hz, kOp, "options.low_hz", "0 to less than ", high_hz,
             ", got ", options.low_hz);
  const int64_t taper = samples_of("options.window_seconds", options.window_seconds, sample_rate_hz, kMostWindow);
  const int64_t hop = samples_of("options.hop_seconds", options.hop_seconds, sample_rate_hz, kMostHop);
  const int64_t window = std::max<int64_t>(2, taper);  // a transform of one sample knows no frequency
  const int64_t samples = samples_ct.size(1), frames = samples / hop + 1;

  const Quiet quiet;
  const at::Tensor host_mf = mel_filters(options.mels, options.low_hz, high_hz, window, sample_rate_hz);
  const std::vector<Band> bands = bands_of(host_mf);
  const at::Tensor filters_mb = to_device(host_mf, route_to(samples_ct.device()), Cargo::Table);
  const Windows windows = make_windows(window, taper, hop, samples_ct.options());
  at::Tensor mel_mt = at::empty({options.mels, frames}, samples_ct.options());
  const int64_t together =
      std::max<int64_t>(1, (samples_ct.is_cpu() ? kTogetherCpu : kTogetherGpu) / std::max(window, hop));
  for (int64_t first = 0; first < frames; first += together) {
    const int64_t count = std::min(together, frames - first);
    // Frame t is centred at t x hop; zeros lie before and behind the recording.
    const int64_t begin = first * hop - window / 2, end = begin + (count - 1) * hop + window;
    const int64_t held_begin = std::max<int64_t>(begin, 0), held_end = std::min(end, samples);
    const at::Tensor mono = samples_ct.narrow(1, held_begin, held_end - held_begin).mean(0);
    const at::Tensor padded = at::constant_pad_nd(mono, {held_begin - begin, end - held_end});
    const at::Tensor power_bt = power_of(padded, count, windows);
    for (const Band& band : bands) {
      const at::Tensor filters = filters_mb.narrow(0, band.first, band.count).narrow(1, band.first_bin, band.bins);
      mel_mt.narrow(0, band.first, band.count)
          .narrow(1, first, count)
          .copy_(at::mm(filters, power_bt.narrow(0, band.first_bin, band.bins)));
    }
  }
  const at::Tensor loudest = mel_mt.amax();
  mel_mt.log10_().sub_(loudest.log10()).mul_(10 / options.range_db).add_(1).clamp_(0, 1);
  return mel_mt.masked_fill_(loudest.eq(0), 0);  // silence: no sound is the loudest
}

}  // namespace gaze::ops

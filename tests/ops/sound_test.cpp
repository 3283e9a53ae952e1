// SPDX-License-Identifier: MIT
// envelope, log_mel and the plots of both against float64.
#include <ATen/ops/full.h>
#include <ATen/ops/hann_window.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stft.h>
#include <ATen/ops/zeros.h>
#include <gaze/ops/sound.hpp>
#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <complex>
#include <limits>

#include "tensors.hpp"

using namespace gaze::ops;
using namespace gaze::test;

namespace {

const double kNaN = std::nan(""), kInf = std::numeric_limits<double>::infinity();

long double place(const Columns& columns, int64_t c) {
  return static_cast<long double>(columns.first) +
         static_cast<long double>(c) * static_cast<long double>(columns.per_column);
}

/// Min, max and rms of every column, sample by sample.
std::vector<double> envelope_of(const Array& samples, const Columns& columns) {
  const int64_t channels = samples.sizes[0], count = samples.sizes[1];
  std::vector<double> out(static_cast<size_t>(channels * 3 * columns.count));
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t c = 0; c < columns.count; ++c) {
      const long double begin = std::floor(place(columns, c) + 1e-6L);
      const long double end = std::max(std::floor(place(columns, c + 1) + 1e-6L), begin + 1);
      double low = kInf, high = -kInf, squares = 0, held = 0;
      bool finite = true;
      const auto first = static_cast<int64_t>(std::clamp(begin, 0.0L, static_cast<long double>(count)));
      for (int64_t t = first; t < count && static_cast<long double>(t) < end; ++t) {
        const double x = samples(channel, t);
        finite &= std::isfinite(x);
        low = std::min(low, x);
        high = std::max(high, x);
        squares += x * x;
        ++held;
      }
      const double figures[3] = {low, high, std::sqrt(squares / held)};
      for (int64_t k = 0; k < 3; ++k) {
        out[static_cast<size_t>((channel * 3 + k) * columns.count + c)] = held == 0 ? 0 : finite ? figures[k] : kNaN;
      }
    }
  }
  return out;
}

double mel_of(double hz) { return 2595 * std::log10(1 + hz / 700); }

/// [mels][bins]: triangles over the mel scale that sum to 1, the nearest bin for one between two bins.
std::vector<std::vector<double>> filters_of(const LogMelOptions& options, int64_t window, double rate) {
  const double high_hz = std::min(options.high_hz, rate / 2);
  const double low = mel_of(options.low_hz), step = (mel_of(high_hz) - low) / static_cast<double>(options.mels + 1);
  std::vector<std::vector<double>> filters;
  for (int64_t m = 0; m < options.mels; ++m) {
    double edge[3], sum = 0;
    for (int i = 0; i < 3; ++i) {
      edge[i] = 700 * (std::pow(10, (low + step * static_cast<double>(m + i)) / 2595) - 1);
    }
    std::vector<double> filter;
    size_t nearest = 0;
    for (int64_t k = 0; k <= window / 2; ++k) {
      const double hz = static_cast<double>(k) * rate / static_cast<double>(window);
      const double rising = (hz - edge[0]) / (edge[1] - edge[0]), falling = (edge[2] - hz) / (edge[2] - edge[1]);
      filter.push_back(std::max(0.0, std::min(rising, falling)));
      sum += filter.back();
      const double nearest_hz = static_cast<double>(nearest) * rate / static_cast<double>(window);
      if (std::abs(hz - edge[1]) < std::abs(nearest_hz - edge[1])) nearest = static_cast<size_t>(k);
    }
    if (sum > 0) {
      for (double& x : filter) x /= sum;
    } else {
      filter[nearest] = 1;
    }
    filters.push_back(filter);
  }
  return filters;
}

/// In place: decibels below the loudest, over the range.
void scale_to_loudest(std::vector<double>& power, double range_db) {
  const double loudest = *std::max_element(power.begin(), power.end());
  for (double& x : power) x = loudest > 0 ? std::clamp(1 + 10 * std::log10(x / loudest) / range_db, 0.0, 1.0) : 0;
}

/// By a sum over every sample for every frequency.
std::vector<double> log_mel_of(const Array& samples, int64_t rate, const LogMelOptions& options) {
  const int64_t channels = samples.sizes[0], count = samples.sizes[1];
  const auto whole = [&](double seconds) {
    return std::max<int64_t>(1, std::llround(seconds * static_cast<double>(rate)));
  };
  const int64_t taper = whole(options.window_seconds), hop = whole(options.hop_seconds);
  const int64_t window = std::max<int64_t>(taper, 2), frames = count / hop + 1;
  std::vector<std::complex<double>> turn;
  for (int64_t i = 0; i < window; ++i) {
    turn.push_back(std::polar(1.0, -2 * M_PI * static_cast<double>(i) / static_cast<double>(window)));
  }
  const auto filters = filters_of(options, window, static_cast<double>(rate));
  std::vector<double> out(static_cast<size_t>(options.mels * frames));
  for (int64_t t = 0; t < frames; ++t) {
    std::vector<double> tapered(static_cast<size_t>(window));
    for (int64_t i = 0; i < taper; ++i) {  // a window of one sample stands first of two
      const int64_t at = t * hop - window / 2 + i;
      if (at < 0 || at >= count) continue;
      double mean = 0;
      for (int64_t c = 0; c < channels; ++c) mean += samples(c, at) / static_cast<double>(channels);
      const double hann =
          taper == 1 ? 1 : 0.5 - 0.5 * std::cos(2 * M_PI * static_cast<double>(i) / static_cast<double>(taper));
      tapered[static_cast<size_t>(i)] = mean * hann;
    }
    std::vector<double> power;
    for (int64_t k = 0; k <= window / 2; ++k) {
      std::complex<double> sum = 0;
      for (int64_t i = 0; i < window; ++i) {
        sum += tapered[static_cast<size_t>(i)] * turn[static_cast<size_t>(k * i % window)];
      }
      power.push_back(std::norm(sum));
    }
    for (size_t m = 0; m < filters.size(); ++m) {
      double& mel = out[m * static_cast<size_t>(frames) + static_cast<size_t>(t)];
      for (size_t k = 0; k < power.size(); ++k) mel += filters[m][k] * power[k];
    }
  }
  scale_to_loudest(out, options.range_db);
  return out;
}

/// Of float32 transforms 80 dB below the loudest: a thousandth of the power there, over 80.
constexpr Tolerance kLevels{2e-4, 0};

constexpr double kPaper = 250, kLine = 205, kBody = 165, kCore = 110;

std::vector<double> waveform_of(const Array& envelope, double full_scale, int64_t height, int64_t width) {
  const int64_t channels = envelope.sizes[0];
  const int64_t gap = channels == 1 ? 0 : std::min<int64_t>(8, height / (8 * channels));
  std::vector<double> out(static_cast<size_t>(3 * height * width), kPaper);
  for (int64_t channel = 0; channel < channels; ++channel) {
    const int64_t top = channel * (height + gap) / channels, end = (channel + 1) * (height + gap) / channels - gap;
    const auto row = [&](double value) {
      const double share = std::clamp(value / full_scale, -1.0, 1.0);
      const auto below = static_cast<int64_t>(std::floor((1 - share) * static_cast<double>(end - top) / 2));
      return top + std::min(below, end - top - 1);
    };
    for (int64_t x = 0; x < width; ++x) {
      double low = envelope(channel, int64_t{0}, x), high = envelope(channel, int64_t{1}, x);
      const double rms = envelope(channel, int64_t{2}, x);
      if (std::isnan(low)) continue;
      const double core_low = std::max(low, -rms), core_high = std::min(high, rms);
      const bool silent = low == 0 && high == 0;
      if (x > 0) {
        low = std::min(low,
                       std::isnan(envelope(channel, int64_t{1}, x - 1)) ? low : envelope(channel, int64_t{1}, x - 1));
        high = std::max(high,
                        std::isnan(envelope(channel, int64_t{0}, x - 1)) ? high : envelope(channel, int64_t{0}, x - 1));
      }
      for (int64_t y = top; y < end; ++y) {
        double shade = y == row(0) ? kLine : kPaper;
        if (!silent && y >= row(high) && y <= row(low)) shade = kBody;
        if (!silent && y >= row(core_high) && y <= row(core_low)) shade = kCore;
        std::fill_n(out.begin() + 3 * (y * width + x), 3, shade);
      }
    }
  }
  return out;
}

std::vector<double> spectrogram_of(const Array& mel, const Columns& columns, int64_t height) {
  const int64_t mels = mel.sizes[0], frames = mel.sizes[1];
  std::vector<double> out;
  for (int64_t y = 0; y < height; ++y) {
    const int64_t band = (height - 1 - y) * mels / height;
    const int64_t band_end = std::max(band + 1, (height - y) * mels / height);
    for (int64_t x = 0; x < columns.count; ++x) {
      const long double left = place(columns, x), right = place(columns, x + 1);
      double loudest = 0;
      bool some = false;
      const auto show = [&](int64_t t) {
        for (int64_t m = band; m < band_end; ++m) loudest = mel(m, t) > loudest ? mel(m, t) : loudest;
      };
      for (int64_t t = -2; t < frames + 2; ++t) {
        const auto at = static_cast<long double>(t);
        if (at < left - 1e-6L || at >= right - 1e-6L) continue;
        some = true;
        if (t >= 0 && t < frames) show(t);
      }
      const long double nearest = std::floor((left + right + 1) / 2);
      if (!some && nearest >= 0 && nearest < static_cast<long double>(frames)) show(static_cast<int64_t>(nearest));
      const double level = std::min(255.0, std::floor(loudest * 256));
      for (const double ink : {38.0, 50.0, 70.0}) {
        out.push_back(kPaper - std::floor(((kPaper - ink) * level + 127) / 255));
      }
    }
  }
  return out;
}

at::Tensor plot(int64_t height, int64_t width, at::Device device) {
  return at::full({height, width, 3}, 7, at::TensorOptions().dtype(at::kByte).device(device));
}

}  // namespace

CATCH_TEST_CASE("sound: the envelope matches float64 wherever the columns lie") {
  for (const at::Device device : devices()) {
    for (const int64_t samples : {1, 2, 33, 1000, 40000}) {
      const auto all = static_cast<double>(samples);
      const std::vector<Columns> places = {
          {0, all / 100, 100}, {-37.5, 3.3, 50},  {all - 5, 0.4, 40},      {0, 1e9, 3},  {0, all, 1},
          {-1e18, 1e3, 5},     {1e300, 1e300, 4}, {-1e300, 1e300, 4},      {0.25, 1, 7}, {-3, 5000.7, 9},
          {0, 1e-9, 3},        {0, all / 7, 0},   {-all / 2, all / 30, 90}};
      for (const int64_t channels : {1, 2, 7}) {
        Random random(40);
        const at::Tensor x = random.tensor({channels, samples}, at::kFloat, -1, 1, device);
        const Array values(x);
        for (const Columns& columns : places) {
          CATCH_CAPTURE(device.str(), samples, channels, columns.first, columns.per_column);
          const at::Tensor got = envelope(x, columns);
          CATCH_CHECK(got.sizes() == at::IntArrayRef({channels, 3, columns.count}));
          CATCH_CHECK(got.device() == device);
          const std::vector<double> want = envelope_of(values, columns);
          const std::vector<double> figures = values_of(got);
          CATCH_CHECK(differs(figures, want, {0, 1e-6}) == "");
          for (size_t i = 0; i < figures.size(); ++i) {  // extremes are samples: exact
            const bool rms = i / static_cast<size_t>(columns.count) % 3 == 2;
            CATCH_REQUIRE((rms || figures[i] == want[i]));
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("sound: a sample that is not finite makes its column NaN, and no other") {
  for (const at::Device device : devices()) {
    for (const double odd : {kNaN, kInf, -kInf}) {
      for (const int64_t at : {0, 150, 199, 12345, 29999}) {
        for (const double per_column : {1.0, 7.5, 200.0, 10000.0}) {
          CATCH_CAPTURE(device.str(), odd, at, per_column);
          Random random(41);
          at::Tensor x = random.tensor({2, 30000}, at::kFloat, -1, 1, device);
          x.select(0, 1).select(0, at).fill_(odd);
          const Columns columns{0, per_column, static_cast<int64_t>(30000 / per_column)};
          const at::Tensor got = envelope(x, columns);
          CATCH_CHECK(differs(values_of(got), envelope_of(Array(x), columns), {0, 1e-6}) == "");
          CATCH_CHECK(values_of(got.isnan().sum())[0] == 3);
        }
      }
    }
  }
}

CATCH_TEST_CASE("sound: the loudest and the faintest finite samples keep a finite rms") {
  for (const at::Device device : devices()) {
    for (const double value : {3e38, -3e38, 1e-30, 0.0}) {
      const at::Tensor x = at::full({1, 5000}, value, at::TensorOptions().device(device));
      const std::vector<double> got = values_of(envelope(x, {0, 2500, 2}));
      CATCH_CHECK(differs(got, std::vector<double>{value, value, value, value, std::abs(value), std::abs(value)},
                          {0, 1e-6}) == "");
    }
  }
}

CATCH_TEST_CASE("sound: a peak of one sample in an hour is seen in 1600 columns") {
  for (const at::Device device : devices()) {
    constexpr int64_t kSamples = 16000 * 3600 - 7;  // so that columns end within samples
    at::Tensor x = at::zeros({1, kSamples}, at::TensorOptions().device(device));
    // Of two columns the first and the last sample, and the recording's last.
    const std::vector<int64_t> at = {0, 35998, 35999, 71998, 28800000, kSamples - 1};
    const std::vector<int64_t> column = {0, 0, 1, 1, 800, 1599};
    for (size_t i = 0; i < at.size(); ++i) x.select(1, at[i]).fill_(i % 2 == 0 ? 0.5 : -0.5);
    const Array got(envelope(x, {0, static_cast<double>(kSamples) / 1600, 1600}));
    for (size_t i = 0; i < at.size(); ++i) {
      CATCH_CAPTURE(at[i]);
      CATCH_CHECK(got(int64_t{0}, int64_t(i % 2 == 0), column[i]) == (i % 2 == 0 ? 0.5 : -0.5));
    }
    double lows = 0, highs = 0;
    for (int64_t c = 0; c < 1600; ++c) {
      lows += got(int64_t{0}, int64_t{0}, c) < 0;
      highs += got(int64_t{0}, int64_t{1}, c) > 0;
    }
    CATCH_CHECK(lows == 3);
    CATCH_CHECK(highs == 3);
  }
}

CATCH_TEST_CASE("sound: columns made to end with the recording hold its last sample") {
  for (const at::Device device : devices()) {
    for (const int64_t columns : {1, 3, 7, 49, 93, 98, 103, 160}) {
      for (int64_t samples = columns; samples < 1000; samples += 37) {
        CATCH_CAPTURE(columns, samples);
        at::Tensor x = at::zeros({1, samples}, at::TensorOptions().device(device));
        x.select(1, samples - 1).fill_(1);
        const double per_column = static_cast<double>(samples) / static_cast<double>(columns);
        CATCH_CHECK(values_of(envelope(x, {0, per_column, columns}).select(1, 1)).back() == 1);
      }
    }
  }
}

CATCH_TEST_CASE("sound: the log-mel spectrogram matches a direct transform in float64") {
  struct Case {
    int64_t rate, channels, samples;
    LogMelOptions options;
  };
  const std::vector<Case> cases = {
      {16000, 1, 1600, {}},
      {16000, 2, 1601, {}},
      {8000, 1, 799, {.mels = 128}},
      {8000, 7, 400, {}},
      {192000, 1, 4000, {.hop_seconds = 0.005, .high_hz = 96000}},
      {44100, 1, 2000, {.window_seconds = 0.0201, .low_hz = 100, .range_db = 40}},  // an odd window
      {100, 1, 90, {.mels = 20}},
      {100, 1, 90, {.window_seconds = 0.001, .hop_seconds = 0.001, .mels = 3}},  // of one sample each
      {1, 1, 9, {.mels = 2}},
      {16000, 1, 1000, {.window_seconds = 0.002, .hop_seconds = 0.02, .mels = 5}},  // samples between the windows
      {16000, 1, 1, {}},
      {16000, 1, 200, {.mels = 1}},
      {16000, 1, 161, {.hop_seconds = 1}},
  };
  for (const at::Device device : devices()) {
    for (const Case& c : cases) {
      CATCH_CAPTURE(device.str(), c.rate, c.channels, c.samples);
      Random random(42);
      std::vector<double> values = random.many(c.channels * c.samples, -0.2, 0.2);
      for (size_t i = 0; i < values.size(); ++i) values[i] += std::sin(0.3 * static_cast<double>(i)) + 0.1;
      const at::Tensor x = tensor_of(values, {c.channels, c.samples}, at::kFloat, device);
      const Transferred before = transferred();
      const at::Tensor got = log_mel(x, c.rate, c.options);
      const std::vector<double> want = log_mel_of(Array(x), c.rate, c.options);
      CATCH_CHECK(got.size(0) == c.options.mels);
      CATCH_CHECK(got.device() == device);
      CATCH_CHECK(differs(values_of(got), want, kLevels) == "");
      CATCH_CHECK(values_of(got.max())[0] == 1);
      CATCH_CHECK(transferred().up(Cargo::Table).calls - before.up(Cargo::Table).calls == (device.is_cpu() ? 0 : 1));
    }
  }
}

CATCH_TEST_CASE("sound: a recording of several pieces is one spectrogram") {
  for (const at::Device device : devices()) {
    constexpr int64_t kSamples = 16000 * 120 + 5, kWindow = 400, kHop = 160;  // more than 2^22 windowed samples
    const at::Tensor x = at::randn({1, kSamples}, at::TensorOptions().device(device));
    const LogMelOptions options{.mels = 8};
    const at::Tensor wide = x[0].to(at::kDouble);
    const at::Tensor spectrum = at::stft(wide, kWindow, kHop, kWindow, at::hann_window(kWindow, wide.options()),
                                         /*center=*/true, "constant", false, true, true);
    std::vector<double> filters;
    for (const auto& filter : filters_of(options, kWindow, 16000)) {
      filters.insert(filters.end(), filter.begin(), filter.end());
    }
    const at::Tensor power =
        at::mm(tensor_of(filters, {8, kWindow / 2 + 1}, at::kDouble, device), spectrum.abs().square());
    std::vector<double> want = values_of(power);
    scale_to_loudest(want, options.range_db);
    const at::Tensor got = log_mel(x, 16000, options);
    CATCH_CHECK(got.sizes() == at::IntArrayRef({8, kSamples / kHop + 1}));
    CATCH_CHECK(differs(values_of(got), want, kLevels) == "");
  }
}

CATCH_TEST_CASE("sound: silence is 0 everywhere, and what is not finite is no silence") {
  for (const at::Device device : devices()) {
    for (const int64_t samples : {1, 160, 5000}) {
      const at::Tensor x = at::zeros({2, samples}, at::TensorOptions().device(device));
      const std::vector<double> got = values_of(log_mel(x, 16000));
      CATCH_CHECK(got == std::vector<double>(static_cast<size_t>(80 * (samples / 160 + 1))));
      x.select(1, samples / 2).fill_(kNaN);
      for (const double level : values_of(log_mel(x, 16000))) CATCH_REQUIRE(std::isnan(level));
    }
  }
}

CATCH_TEST_CASE("sound: no mel band is empty, however coarse the bins") {
  for (const at::Device device : devices()) {
    for (const int64_t rate : {100, 8000, 16000}) {
      for (const int64_t mels : {5, 80}) {
        // An impulse has the same power in every bin: no band may be empty.
        at::Tensor x = at::zeros({1, rate}, at::TensorOptions().device(device));
        x.select(1, rate / 2).fill_(1);
        const at::Tensor got = log_mel(x, rate, {.mels = mels});
        const std::vector<double> loudest = values_of(got.amax(1));
        CATCH_CHECK(differs(loudest, std::vector<double>(loudest.size(), 1), {1e-4, 0}) == "");
      }
    }
  }
}

CATCH_TEST_CASE("sound: the waveform's pixels follow its rule") {
  for (const at::Device device : devices()) {
    for (const int64_t channels : {1, 2, 7}) {
      for (const int64_t height : {7, 15, 16, 33, 101}) {
        for (const int64_t width : {1, 31, 300}) {
          for (const double full_scale : {1.0, 0.3, 1e-300}) {
            CATCH_CAPTURE(device.str(), channels, height, width, full_scale);
            Random random(43);
            at::Tensor x = random.tensor({channels, 5000}, at::kFloat, -1, 1, device);
            x.narrow(1, 2000, 1000).fill_(0);
            x.narrow(1, 3000, 600).mul_(0.2).add_(0.6);  // its range and its neighbour's do not meet
            x.select(1, 4100).fill_(kInf);
            const at::Tensor envelope_ckw = envelope(x, {-300, 5400.0 / static_cast<double>(width), width});
            at::Tensor out = plot(height, width, device);
            draw_waveform_out(envelope_ckw, full_scale, out);
            CATCH_CHECK(differs(values_of(out), waveform_of(Array(envelope_ckw), full_scale, height, width)) == "");
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("sound: a waveform drawn by hand") {
  for (const at::Device device : devices()) {
    // Columns: silence, full scale with half of it as rms, beyond the scale, below zero only, NaN.
    const at::Tensor envelope_ckw =
        tensor_of({0, -1, -9, -0.75, kNaN, 0, 1, 9, -0.25, kNaN, 0, 0.5, 9, 0.5, kNaN}, {1, 3, 5}, at::kFloat, device);
    at::Tensor out = plot(8, 5, device);
    draw_waveform_out(envelope_ckw, 1, out);
    const std::vector<double> rows[8] = {
        {250, 165, 110, 250, 250}, {250, 165, 110, 250, 250}, {250, 110, 110, 250, 250}, {250, 110, 110, 250, 250},
        {205, 110, 110, 205, 250}, {250, 110, 110, 110, 250}, {250, 110, 110, 110, 250}, {250, 165, 110, 165, 250}};
    std::vector<double> want;
    for (const auto& row : rows) {
      for (const double shade : row) want.insert(want.end(), 3, shade);
    }
    CATCH_CHECK(differs(values_of(out), want) == "");
  }
}

CATCH_TEST_CASE("sound: the spectrogram's pixels follow its rule") {
  for (const at::Device device : devices()) {
    for (const int64_t mels : {1, 5, 80}) {
      for (const int64_t frames : {1, 2, 300}) {
        for (const int64_t height : {1, 33, 160}) {
          for (const int64_t width : {1, 77, 300}) {
            const double all = static_cast<double>(frames), pixels = static_cast<double>(width);
            for (const Columns& columns : {Columns{0, all / pixels, width}, Columns{-20.3, (all + 50) / pixels, width},
                                           Columns{0.5, 0.01, width}, Columns{-1e300, 1e300, width},
                                           Columns{0, 1e12, width}, Columns{-2, 0.25, width}}) {
              CATCH_CAPTURE(device.str(), mels, frames, height, width, columns.first, columns.per_column);
              Random random(44);
              at::Tensor mel = random.tensor({mels, frames}, at::kFloat, -0.1, 1.1, device);
              mel.select(0, mels / 2).select(0, frames / 2).fill_(kNaN);
              at::Tensor out = plot(height, width, device);
              draw_spectrogram_out(mel, columns, out);
              CATCH_CHECK(differs(values_of(out), spectrogram_of(Array(mel), columns, height)) == "");
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("sound: wrong arguments are named, with what was expected") {
  for (const at::Device device : devices()) {
    const auto real = at::TensorOptions().device(device);
    const at::Tensor x = at::zeros({2, 100}, real), envelope_ckw = at::zeros({2, 3, 10}, real);
    at::Tensor out = plot(6, 10, device);
    const auto wrong_envelope = [](const at::Tensor& samples, const Columns& columns) {
      return error_of([&] { envelope(samples, columns); });
    };
    const auto wrong_mel = [&](const LogMelOptions& options, int64_t rate = 16000) {
      return error_of([&] { log_mel(x, rate, options); });
    };
    const auto wrong_waveform = [](const at::Tensor& from, double full_scale, at::Tensor to) {
      return error_of([&] { draw_waveform_out(from, full_scale, to); });
    };
    const auto wrong_spectrogram = [](const at::Tensor& from, const Columns& columns, at::Tensor to) {
      return error_of([&] { draw_spectrogram_out(from, columns, to); });
    };
    const auto says = [](const std::string& text) { return Catch::Matchers::StartsWith(text); };
    CATCH_CHECK_THAT(wrong_envelope({}, {0, 1, 1}), says("gaze::envelope: samples_ct: expected a tensor"));
    CATCH_CHECK_THAT(wrong_envelope(x.to(at::kDouble), {0, 1, 1}), says("gaze::envelope: samples_ct: expected Float"));
    CATCH_CHECK_THAT(wrong_envelope(x[0], {0, 1, 1}), says("gaze::envelope: samples_ct: expected [channels, samples]"));
    CATCH_CHECK_THAT(wrong_envelope(x.narrow(1, 0, 0), {0, 1, 1}),
                     says("gaze::envelope: samples_ct: expected [channels, samples] with at least one sample"));
    CATCH_CHECK_THAT(wrong_envelope(x.t(), {0, 1, 1}), says("gaze::envelope: samples_ct: expected a contiguous"));
    CATCH_CHECK_THAT(wrong_envelope(x, {kNaN, 1, 1}), says("gaze::envelope: columns.first: expected a finite"));
    CATCH_CHECK_THAT(wrong_envelope(x, {0, 0, 1}), says("gaze::envelope: columns.per_column: expected a finite"));
    CATCH_CHECK_THAT(wrong_envelope(x, {0, kInf, 1}), says("gaze::envelope: columns.per_column: expected a finite"));
    CATCH_CHECK_THAT(wrong_envelope(x, {0, 1, -1}), says("gaze::envelope: columns.count: expected 0.."));
    CATCH_CHECK_THAT(wrong_envelope(x, {0, 1, int64_t{1} << 28}),
                     says("gaze::envelope: columns.count: expected at most"));

    CATCH_CHECK_THAT(error_of([&] { log_mel({}, 16000); }), says("gaze::log_mel: samples_ct: expected a tensor"));
    CATCH_CHECK_THAT(error_of([&] { log_mel(x.narrow(1, 0, 0), 16000); }),
                     says("gaze::log_mel: samples_ct: expected ["));
    CATCH_CHECK_THAT(error_of([&] { log_mel(x.to(at::kHalf), 16000); }),
                     says("gaze::log_mel: samples_ct: expected Float"));
    CATCH_CHECK_THAT(wrong_mel({}, 0), says("gaze::log_mel: sample_rate_hz: expected at least 1, got 0"));
    CATCH_CHECK_THAT(wrong_mel({.window_seconds = 0}), says("gaze::log_mel: options.window_seconds: expected above 0"));
    CATCH_CHECK_THAT(wrong_mel({.window_seconds = 16385.0 / 16000}),
                     says("gaze::log_mel: options.window_seconds: expected above 0 and at most 16384 samples"));
    CATCH_CHECK_THAT(wrong_mel({.hop_seconds = kNaN}), says("gaze::log_mel: options.hop_seconds: expected above 0"));
    CATCH_CHECK_THAT(wrong_mel({.mels = 0}), says("gaze::log_mel: options.mels: expected at least 1, got 0"));
    CATCH_CHECK_THAT(wrong_mel({.low_hz = 8000}), says("gaze::log_mel: options.low_hz: expected 0 to less than 8000"));
    CATCH_CHECK_THAT(wrong_mel({.low_hz = 60}, 100), says("gaze::log_mel: options.low_hz: expected 0 to less than 50"));
    CATCH_CHECK_THAT(wrong_mel({.range_db = 0}), says("gaze::log_mel: options.range_db: expected above 0, got 0"));

    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, 0, out), says("gaze::draw_waveform: full_scale: expected a finite"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, kNaN, out),
                     says("gaze::draw_waveform: full_scale: expected a finite"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, 1, out.narrow(0, 0, 1)),
                     says("gaze::draw_waveform: out_hwc: expected at least one row for each of 2 channels"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw.narrow(2, 0, 9).contiguous(), 1, out),
                     says("gaze::draw_waveform: envelope_ckw: expected [channels, 3, 10]"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw.transpose(0, 2).contiguous().transpose(0, 2), 1, out),
                     says("gaze::draw_waveform: envelope_ckw: expected a contiguous"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, 1, out.narrow(0, 0, 0)),
                     says("gaze::draw_waveform: out_hwc: expected ["));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, 1, out.transpose(0, 1)),
                     says("gaze::draw_waveform: out_hwc: expected a contiguous"));
    CATCH_CHECK_THAT(wrong_waveform(envelope_ckw, 1, {}), says("gaze::draw_waveform: out_hwc: expected a tensor"));

    CATCH_CHECK_THAT(wrong_spectrogram(x, {0, 1, 9}, out),
                     says("gaze::draw_spectrogram: columns.count: expected the 10"));
    CATCH_CHECK_THAT(wrong_spectrogram(x, {0, -1, 10}, out),
                     says("gaze::draw_spectrogram: columns.per_column: expected a finite"));
    CATCH_CHECK_THAT(wrong_spectrogram(x.t(), {0, 1, 10}, out),
                     says("gaze::draw_spectrogram: mel_mt: expected a contiguous"));
    CATCH_CHECK_THAT(wrong_spectrogram(x.narrow(1, 0, 0), {0, 1, 10}, out),
                     says("gaze::draw_spectrogram: mel_mt: expected ["));
    CATCH_CHECK_THAT(wrong_spectrogram(x, {0, 1, 10}, out.to(at::kFloat)),
                     says("gaze::draw_spectrogram: out_hwc: expected Byte"));
  }
}

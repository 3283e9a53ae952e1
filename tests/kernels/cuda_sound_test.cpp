// SPDX-License-Identifier: MIT
// The CUDA kernels of recordings, run thread by thread on the processor, against their CPU twins.
#include <limits>
#include <utility>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

constexpr float kInf = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

CATCH_TEST_CASE("cuda envelope equals its cpu twin") {
  Numbers numbers;
  struct Place {
    double first, per_column;
    std::int64_t columns;
  };
  for (const std::int64_t samples : {1, 33, 9000}) {
    for (const std::int64_t channels : {1, 3}) {
      // Columns of a warp and of a block, before and behind the recording, and none.
      for (const Place& place : {Place{0, 0.3, 40}, Place{-20, 7.7, 33}, Place{-2500, 2400, 6}, Place{-5, 1e9, 2},
                                 Place{0, 100, 0}, Place{1e300, 1e300, 3}}) {
        CATCH_CAPTURE(samples, channels, place.first, place.per_column);
        std::vector<float> values = numbers.many(size(channels * samples), -1, 1);
        if (samples > 1) {
          values[2] = kNaN;
          values[size(samples) - 1] = -kInf;
          values[size(samples) / 2] = 3e38f;
        }
        const Input input(values);
        Output<float> got(size(channels * 3 * place.columns), 9.0f), want(size(channels * 3 * place.columns), 9.0f);
        EnvelopeParams p{input.data(), channels, samples, place.first, place.per_column, place.columns, want.data()};
        cpu::envelope(p, {});
        p.out_ckw = got.data();
        CATCH_REQUIRE(cuda::envelope(p, nullptr) == 0);
        CATCH_CHECK(got.intact());
        CATCH_CHECK(differs(got.values(), want.values(), {0, 1e-6}) == "");
      }
    }
  }
}

CATCH_TEST_CASE("cuda draw_waveform gives the bytes of its cpu twin") {
  Numbers numbers;
  for (const std::int64_t channels : {1, 2, 7}) {
    for (const std::int64_t height : {7, 10, 16, 17, 130}) {
      for (const std::int64_t width : {1, 300}) {
        CATCH_CAPTURE(channels, height, width);
        std::vector<float> values = numbers.many(size(channels * 3 * width), -0.5, 0.5);
        for (std::int64_t channel = 0; channel < channels; ++channel) {
          float* const kw = values.data() + channel * 3 * width;
          for (std::int64_t x = 0; x < width; ++x) {
            if (kw[x] > kw[width + x]) std::swap(kw[x], kw[width + x]);
            if (x % 11 == 3) kw[x] = kw[width + x] = kw[2 * width + x] = 0;
            if (x % 13 == 5) kw[x] = kw[width + x] = kw[2 * width + x] = kNaN;
          }
        }
        const Input envelope(values);
        Output<std::uint8_t> got(size(3 * height * width)), want(size(3 * height * width));
        WaveformParams p{envelope.data(), channels, height, width, 0.4, want.data()};
        std::vector<double> workspace(cpu::draw_waveform_workspace(p) / sizeof(double) + 1);
        cpu::draw_waveform(p, 0, height, workspace.data());
        p.out_rgb = got.data();
        CATCH_REQUIRE(cuda::draw_waveform(p, nullptr) == 0);
        CATCH_CHECK(got.intact());
        CATCH_CHECK(got.values() == want.values());
      }
    }
  }
}

CATCH_TEST_CASE("cuda draw_spectrogram gives the bytes of its cpu twin") {
  Numbers numbers;
  for (const std::int64_t mels : {1, 5, 80}) {
    for (const std::int64_t frames : {1, 300}) {
      for (const std::int64_t height : {1, 33, 130}) {
        for (const double per_column : {0.1, 1.0, 2.7}) {
          CATCH_CAPTURE(mels, frames, height, per_column);
          constexpr std::int64_t kWidth = 300;
          std::vector<float> values = numbers.many(size(mels * frames), -0.1, 1.1);
          values[size(mels * frames) / 2] = kNaN;
          const Input mel(values);
          Output<std::uint8_t> got(size(3 * height * kWidth)), want(size(3 * height * kWidth));
          SpectrogramParams p{mel.data(), mels, frames, -7.3, per_column, height, kWidth, want.data()};
          std::vector<double> workspace(cpu::draw_spectrogram_workspace(p) / sizeof(double) + 1);
          cpu::draw_spectrogram(p, 0, height, workspace.data());
          p.out_rgb = got.data();
          CATCH_REQUIRE(cuda::draw_spectrogram(p, nullptr) == 0);
          CATCH_CHECK(got.intact());
          CATCH_CHECK(got.values() == want.values());
        }
      }
    }
  }
}

// SPDX-License-Identifier: MIT
// envelope and the two plots on raw memory: every instruction set, any threads, any rows, guard zones.
#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "plot.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// One thread per task.
const cpu::Parallel kThreads = {4, [](std::int64_t count, void (*work)(const void*, std::int64_t), const void* task) {
                                  std::vector<std::thread> threads;
                                  for (std::int64_t i = 0; i < count; ++i) threads.emplace_back(work, task, i);
                                  for (std::thread& thread : threads) thread.join();
                                }};

}  // namespace

CATCH_TEST_CASE("envelope keeps to its memory with every instruction set, and its result does not depend on threads") {
  Numbers numbers;
  for (const cpu::Isa isa : cpu::kIsas) {
    if (!cpu::has(isa)) continue;
    for (const std::int64_t samples : {1, 15, 31, 32, 33, 255, 257, 70001}) {
      for (const std::int64_t columns : {0, 1, 3, 64}) {
        for (const std::int64_t channels : {1, 2}) {
          CATCH_CAPTURE(cpu::name(isa), samples, columns, channels);
          const std::vector<float> values = numbers.many(size(channels * samples), -1, 1);
          const Input input(values);
          // From before the recording to behind it: what lies there is NaN.
          EnvelopeParams p{input.data(), channels, samples, -3.5, (static_cast<double>(samples) + 9) / 60,
                           columns,      nullptr};
          Output<float> out(size(channels * 3 * columns), 9.0f), threaded(size(channels * 3 * columns), 9.0f);
          p.out_ckw = out.data();
          cpu::envelope(p, {}, isa);
          CATCH_CHECK(out.intact());
          p.out_ckw = threaded.data();
          cpu::envelope(p, kThreads, isa);
          CATCH_CHECK(threaded.intact());
          CATCH_CHECK(threaded.values() == out.values());
          for (std::int64_t channel = 0; channel < channels; ++channel) {
            const float* const x = values.data() + channel * samples;
            for (std::int64_t c = 0; c < columns; ++c) {
              const auto at = [&](std::int64_t column) {
                return static_cast<std::int64_t>(
                    std::floor(p.first + static_cast<double>(column) * p.per_column + 1e-6));
              };
              const std::int64_t begin = std::max<std::int64_t>(at(c), 0);
              const std::int64_t end = std::min(std::max(at(c + 1), at(c) + 1), samples);
              double squares = 0;
              for (std::int64_t t = begin; t < end; ++t) squares += std::pow(static_cast<double>(x[t]), 2);
              const auto figure = [&](std::int64_t k) { return out[size((channel * 3 + k) * columns + c)]; };
              CATCH_REQUIRE(figure(0) == (begin < end ? *std::min_element(x + begin, x + end) : 0));
              CATCH_REQUIRE(figure(1) == (begin < end ? *std::max_element(x + begin, x + end) : 0));
              const double rms = begin < end ? std::sqrt(squares / static_cast<double>(end - begin)) : 0;
              CATCH_REQUIRE(std::abs(static_cast<double>(figure(2)) - rms) <= 1e-7);
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("no place of a column leads off the recording") {
  constexpr double kHuge = std::numeric_limits<double>::max();
  for (const std::int64_t count : {std::int64_t{1}, std::int64_t{100}, std::int64_t{1} << 40}) {
    for (const double first : {-kHuge, -1e18, -1.0, -1e-9, 0.0, 0.5, 99.9999999, 1e18, kHuge}) {
      for (const double per_column : {5e-324, 1e-9, 0.3, 1.0, 1e9, kHuge}) {
        for (const std::int64_t column : {0, 1, 1599, 500000000}) {
          CATCH_CAPTURE(count, first, per_column, column);
          for (const Range under :
               {samples_under(first, per_column, column, count), frames_under(first, per_column, column, count)}) {
            CATCH_REQUIRE(under.begin >= 0);
            CATCH_REQUIRE(under.end <= count);
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("no strip of a waveform is empty, none overlaps the next, and all rows of the plot are taken") {
  for (const std::int64_t channels : {1, 2, 3, 7, 40}) {
    for (std::int64_t height = channels; height < 700; height += 3) {
      std::int64_t end = 0;
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        const Range strip = strip_of(channel, channels, height);
        CATCH_REQUIRE(strip.begin - end <= 8);
        CATCH_REQUIRE(strip.begin >= end);
        CATCH_REQUIRE(strip.end > strip.begin);
        end = strip.end;
      }
      CATCH_REQUIRE(end == height);
    }
  }
}

CATCH_TEST_CASE("plots keep to their memory, and rows may be drawn in any pieces") {
  Numbers numbers;
  for (const std::int64_t width : {1, 31, 257}) {
    for (const std::int64_t height : {2, 33}) {
      CATCH_CAPTURE(width, height);
      const Input envelope(numbers.many(size(2 * 3 * width), 0, 1)), mel(numbers.many(size(5 * 40)));
      const WaveformParams wave{envelope.data(), 2, height, width, 0.5, nullptr};
      const SpectrogramParams levels{mel.data(), 5,     40,     -4.5, 50.0 / static_cast<double>(width),
                                     height,     width, nullptr};
      const auto draw = [&](auto params, std::size_t bytes, auto kernel) {
        Output<std::uint8_t> whole(size(3 * height * width), 7), pieces(size(3 * height * width), 7);
        Output<double> workspace((bytes + 7) / 8);
        params.out_rgb = whole.data();
        kernel(params, 0, height, workspace.data());
        params.out_rgb = pieces.data();
        kernel(params, height / 2, height, workspace.data());
        kernel(params, 0, height / 2, workspace.data());
        CATCH_CHECK((whole.intact() && pieces.intact() && workspace.intact()));
        CATCH_CHECK(whole.values() == pieces.values());
        for (const std::uint8_t byte : whole.values()) CATCH_REQUIRE(byte >= 38);  // all drawn
      };
      draw(wave, cpu::draw_waveform_workspace(wave), cpu::draw_waveform);
      draw(levels, cpu::draw_spectrogram_workspace(levels), cpu::draw_spectrogram);
    }
  }
}

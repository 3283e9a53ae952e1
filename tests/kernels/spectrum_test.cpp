// SPDX-License-Identifier: MIT
// power_spectrum on raw memory against a sum over every sample in float64: every instruction set, any groups, guard
// zones.
#include <cmath>
#include <complex>
#include <limits>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

constexpr std::int64_t kGroup = cpu::kFrameGroup;

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::vector<float> turns_of(std::int64_t window) {
  std::vector<float> turns;
  for (std::int64_t i = 0; i < window; ++i) {
    const double angle = -2 * M_PI * static_cast<double>(i) / static_cast<double>(window);
    turns.push_back(static_cast<float>(std::cos(angle)));
    turns.push_back(static_cast<float>(std::sin(angle)));
  }
  return turns;
}

/// [bins][frames]
std::vector<double> direct(const std::vector<float>& samples, const std::vector<float>& taper, std::int64_t hop,
                           std::int64_t frames) {
  const auto window = static_cast<std::int64_t>(taper.size()), bins = window / 2 + 1;
  std::vector<std::complex<double>> turns;
  for (std::int64_t i = 0; i < window; ++i) {
    turns.push_back(std::polar(1.0, -2 * M_PI * static_cast<double>(i) / static_cast<double>(window)));
  }
  std::vector<double> power(size(bins * frames));
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t bin = 0; bin < bins; ++bin) {
      std::complex<double> sum = 0;
      for (std::int64_t i = 0; i < window; ++i) {
        const double x = static_cast<double>(samples[size(t * hop + i)]) * static_cast<double>(taper[size(i)]);
        sum += x * turns[size(bin * i % window)];
      }
      power[size(bin * frames + t)] = std::norm(sum);
    }
  }
  return power;
}

struct Spectrum {
  std::int64_t window, hop, frames;
  std::vector<float> samples, taper;

  Spectrum(Numbers& numbers, std::int64_t window_samples, std::int64_t hop_samples, std::int64_t frame_count)
      : window(window_samples),
        hop(hop_samples),
        frames(frame_count),
        samples(numbers.many(size((frame_count - 1) * hop_samples + window_samples), -1, 1)),
        taper(numbers.many(size(window_samples), 0, 1)) {}

  /// Group by group, from the last to the first, or all at once.
  std::vector<float> by(cpu::Isa isa, bool one_by_one) const {
    const Input in(samples), tapers(taper), turns(turns_of(window));
    Output<float> out(size((window / 2 + 1) * frames), 9.0f);
    const PowerSpectrumParams p{in.data(), window, hop, frames, tapers.data(), turns.data(), out.data()};
    Output<std::uint8_t> workspace(cpu::power_spectrum_workspace(p));
    const std::int64_t groups = (frames + kGroup - 1) / kGroup;
    if (one_by_one) {
      for (std::int64_t group = groups - 1; group >= 0; --group) {
        cpu::power_spectrum(p, group, group + 1, workspace.data(), isa);
      }
    } else {
      cpu::power_spectrum(p, 0, groups, workspace.data(), isa);
    }
    CATCH_CHECK(out.intact());
    CATCH_CHECK(workspace.intact());
    return out.values();
  }
};

}  // namespace

CATCH_TEST_CASE("power_spectrum matches a direct transform with every instruction set, and keeps to its memory") {
  Numbers numbers;
  for (const cpu::Isa isa : cpu::kIsas) {
    if (!cpu::has(isa)) continue;
    // Of every radix, by itself and with the others; a prime; what 25 ms are at the usual rates.
    for (const std::int64_t window : {2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 25, 30, 49, 64, 97, 200, 400, 551, 1102}) {
      for (const std::int64_t frames : {1, 5, 15, 16, 17, 32, 33, 70}) {
        if (window > 100 && frames > 17) continue;  // the direct sum is slow
        const std::int64_t hop = frames % 3 == 0 ? 1 : frames % 3 == 1 ? window / 2 : 2 * window + 1;
        CATCH_CAPTURE(cpu::name(isa), window, frames, hop);
        const Spectrum spectrum(numbers, window, hop, frames);
        const std::vector<float> got = spectrum.by(isa, false);
        const std::vector<double> want = direct(spectrum.samples, spectrum.taper, hop, frames);
        double loudest = 0;
        for (const double power : want) loudest = std::max(loudest, power);
        for (size_t i = 0; i < want.size(); ++i) {
          const double off = std::abs(std::sqrt(static_cast<double>(got[i])) - std::sqrt(want[i]));
          if (!(off <= 2e-6 * std::sqrt(loudest))) CATCH_FAIL("off by " << off << " at " << i);
        }
      }
    }
  }
}

CATCH_TEST_CASE("power_spectrum gives the same bytes however its groups are shared out") {
  Numbers numbers;
  for (const cpu::Isa isa : cpu::kIsas) {
    if (!cpu::has(isa)) continue;
    for (const std::int64_t frames : {1, 31, 32, 33, 100}) {
      CATCH_CAPTURE(cpu::name(isa), frames);
      const Spectrum spectrum(numbers, 60, 7, frames);
      CATCH_CHECK(spectrum.by(isa, true) == spectrum.by(isa, false));
    }
  }
}

CATCH_TEST_CASE("power_spectrum passes on what is not finite, within its group") {
  Numbers numbers;
  for (const cpu::Isa isa : cpu::kIsas) {
    if (!cpu::has(isa)) continue;
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      CATCH_CAPTURE(cpu::name(isa), bad);
      Spectrum spectrum(numbers, 15, 15, 2 * kGroup);
      const std::vector<float> clean = spectrum.by(isa, false);
      spectrum.samples[size(15 * (kGroup + 3) + 7)] = bad;
      const std::vector<float> got = spectrum.by(isa, false);
      for (std::int64_t bin = 0; bin < 8; ++bin) {
        CATCH_CHECK(!std::isfinite(got[size(bin * 2 * kGroup + kGroup + 3)]));
        for (std::int64_t t = 0; t < kGroup; ++t) {
          CATCH_REQUIRE(got[size(bin * 2 * kGroup + t)] == clean[size(bin * 2 * kGroup + t)]);
        }
      }
    }
  }
}

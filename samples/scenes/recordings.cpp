// SPDX-License-Identifier: MIT
#include "recordings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <numbers>
#include <stdexcept>

#include "random.hpp"

namespace gaze::scenes {
namespace {

using Samples = std::vector<float>;

std::size_t samples_of(double seconds) { return static_cast<std::size_t>(std::lround(seconds * kSampleRateHz)); }

double mean_power(const Samples& samples) {
  double sum = 0;
  for (const float x : samples) sum += static_cast<double>(x) * x;
  return samples.empty() ? 0 : sum / static_cast<double>(samples.size());
}

void add_white(Random& random, Samples& out) {
  for (float& x : out) x += random.uniform(-1.F, 1.F);
}

// Three one-pole filters over white noise: close to -3 dB per octave.
void add_pink(Random& random, Samples& out) {
  std::array<float, 3> state{};
  for (float& x : out) {
    const float white = random.uniform(-1.F, 1.F);
    state[0] = 0.99765F * state[0] + white * 0.0990460F;
    state[1] = 0.96300F * state[1] + white * 0.2965164F;
    state[2] = 0.57000F * state[2] + white * 1.0526913F;
    x += state[0] + state[1] + state[2] + white * 0.1848F;
  }
}

// A tone as a rotating number: one complex product per sample.
void add_tone(Samples& out, std::size_t first, std::size_t count, double hertz, float level, double fade_seconds) {
  const double turn = 2 * std::numbers::pi * hertz / kSampleRateHz;
  const std::complex<double> step = std::polar(std::exp(-1 / (fade_seconds * kSampleRateHz)), turn);
  std::complex<double> value{level, 0};
  for (std::size_t i = first; i < std::min(out.size(), first + count); ++i) {
    out[i] += static_cast<float>(value.imag());
    value *= step;
  }
}

void add_hum(Random& random, Samples& out) {
  const double mains = random.chance(0.5F) ? 50 : 60;
  for (int harmonic = 1; harmonic <= 12; ++harmonic)
    add_tone(out, 0, out.size(), mains * harmonic, random.uniform(0.1F, 1.F) / static_cast<float>(harmonic), 1e6);
}

// Chords of plucked notes in one key.
void add_music(Random& random, Samples& out) {
  constexpr std::array<int, 7> kScale = {0, 2, 4, 5, 7, 9, 11};
  const double root = 110.0 * std::exp2(random.below(12) / 12.0);
  const double beat = random.uniform(0.18F, 0.5F);
  const int harmonics = 2 + random.below(5);
  for (double at = 0; at < static_cast<double>(out.size()) / kSampleRateHz; at += beat) {
    const int notes = 1 + random.below(3);
    for (int note = 0; note < notes; ++note) {
      const int degree = random.below(14);
      const double hertz = root * std::exp2((kScale[static_cast<std::size_t>(degree % 7)] + 12.0 * (degree / 7)) / 12);
      const float level = random.uniform(0.3F, 1.F);
      for (int harmonic = 1; harmonic <= harmonics; ++harmonic) {
        if (hertz * harmonic > 7000) break;
        add_tone(out, samples_of(at), samples_of(4 * beat), hertz * harmonic, level / static_cast<float>(harmonic),
                 beat);
      }
    }
  }
}

// Speech that says nothing: clips of other voices backwards, one over the other.
void add_babble(Random& random, const std::vector<Clip>& clips, Samples& out) {
  for (int layer = 0; layer < 4; ++layer) {
    std::size_t at = 0;
    while (at < out.size()) {
      const Samples& clip = clips[static_cast<std::size_t>(random.below(static_cast<int>(clips.size())))].samples;
      for (std::size_t i = 0; i < clip.size() && at + i < out.size(); ++i) out[at + i] += clip[clip.size() - 1 - i];
      at += clip.size();
    }
  }
}

std::string add_disturbance(Random& random, const std::vector<Clip>& clips, Samples& out) {
  switch (random.below(5)) {
    case 0:
      add_white(random, out);
      return "white noise";
    case 1:
      add_pink(random, out);
      return "pink noise";
    case 2:
      add_hum(random, out);
      return "mains hum";
    case 3:
      add_babble(random, clips, out);
      return "babble";
    default:
      add_music(random, out);
      return "music";
  }
}

}  // namespace

RecordingComposer::RecordingComposer(std::vector<Clip> clips) : clips_(std::move(clips)) {
  for (const Clip& clip : clips_) {
    words_ = std::max(words_, clip.word + 1);
    voices_.push_back(clip.voice);
  }
  std::sort(voices_.begin(), voices_.end());
  voices_.erase(std::unique(voices_.begin(), voices_.end()), voices_.end());
  own_.assign(voices_.size(), std::vector<std::vector<int>>(static_cast<std::size_t>(words_)));
  for (std::size_t i = 0; i < clips_.size(); ++i) {
    const auto voice = std::lower_bound(voices_.begin(), voices_.end(), clips_[i].voice) - voices_.begin();
    own_[static_cast<std::size_t>(voice)][static_cast<std::size_t>(clips_[i].word)].push_back(static_cast<int>(i));
  }
  for (const auto& words : own_) {
    if (std::any_of(words.begin(), words.end(), [](const std::vector<int>& own) { return own.empty(); }))
      throw std::invalid_argument("recordings: expected every voice to say every word");
  }
  if (clips_.empty()) throw std::invalid_argument("recordings: expected clips, got none");
}

Recording RecordingComposer::compose(std::uint64_t seed, const RecordingLimits& limits) const {
  Random random(seed * 0x9E3779B97F4A7C15ULL + 1);
  Recording recording;
  const auto voice = static_cast<std::size_t>(random.below(static_cast<int>(voices_.size())));
  recording.voice = voices_[voice];
  const int words = limits.min_words + random.below(limits.max_words - limits.min_words + 1);

  Samples& speech = recording.samples;
  speech.resize(samples_of(random.uniform(0.1F, 0.8F)));
  const auto limit = static_cast<std::size_t>(limits.max_seconds * kSampleRateHz);
  double power = 0;
  std::size_t heard = 0;
  for (int i = 0; i < words; ++i) {
    const int word = random.below(words_);
    const std::vector<int>& own = own_[voice][static_cast<std::size_t>(word)];
    const Samples& clip =
        clips_[static_cast<std::size_t>(own[static_cast<std::size_t>(random.below(static_cast<int>(own.size())))])]
            .samples;
    const float loudness_db = random.uniform(-3.F, 3.F);
    const float pause = random.chance(0.75F) ? random.uniform(0.04F, 0.25F) : random.uniform(0.25F, 0.8F);
    const std::size_t start = speech.size() + (i == 0 ? 0 : samples_of(pause));
    if (i >= limits.min_words && start + clip.size() > limit) break;
    // Voices differ in loudness; words of one recording by a little.
    const auto gain = static_cast<float>(0.1 / std::sqrt(mean_power(clip) + 1e-12) * std::pow(10.0, loudness_db / 20));
    speech.resize(start);
    for (const float x : clip) speech.push_back(gain * x);
    recording.words.push_back(
        {word, static_cast<double>(start) / kSampleRateHz, static_cast<double>(speech.size()) / kSampleRateHz});
    power += gain * gain * mean_power(clip) * static_cast<double>(clip.size());
    heard += clip.size();
  }
  const std::size_t tail = samples_of(random.uniform(0.1F, 0.6F));
  speech.resize(std::max(speech.size(), std::min(speech.size() + tail, limit)));

  recording.snr_db = random.uniform(5.F, 20.F);
  recording.disturbance = "none";
  if (random.chance(0.88F)) {
    Samples noise(speech.size());
    recording.disturbance = add_disturbance(random, clips_, noise);
    const double wanted = power / static_cast<double>(heard) * std::pow(10.0, -recording.snr_db / 10);
    const auto gain = static_cast<float>(std::sqrt(wanted / (mean_power(noise) + 1e-12)));
    for (std::size_t i = 0; i < speech.size(); ++i) speech[i] += gain * noise[i];
  }
  float peak = 1e-6F;
  for (const float x : speech) peak = std::max(peak, std::abs(x));
  const float level = random.uniform(0.2F, 0.95F) / peak;
  for (float& x : speech) x = level * x + random.uniform(-3e-5F, 3e-5F);
  return recording;
}

}  // namespace gaze::scenes

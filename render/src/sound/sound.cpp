// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <c10/util/StringUtil.h>
#include <gaze/render/audio_file.hpp>
#include <gaze/render/sound.hpp>

#include <cmath>
#include <string>

namespace gaze {
namespace {

[[noreturn]] void refuse_sound(const std::string& text) { throw Error("sound: " + text, DropReason::DecodeFailed); }

}  // namespace

Recording decode(const Sound& sound) {
  if (sound.empty())
    refuse_sound("expected samples or the path of a file, got neither. Give the request the recording.");
  if (!std::isfinite(sound.start_seconds) || sound.start_seconds < 0)
    refuse_sound("expected start_seconds of 0 or more, got " + std::to_string(sound.start_seconds) + ".");
  if (!sound.samples.defined()) {
    Audio audio = read_audio(sound.path);
    return {std::move(audio.samples_ct), audio.sample_rate_hz, sound.start_seconds, std::move(audio.note)};
  }
  if (sound.sample_rate_hz < 1) {
    refuse_sound("expected the sample rate of the samples, got " + std::to_string(sound.sample_rate_hz) +
                 " Hz. Set sample_rate_hz.");
  }
  at::Tensor samples_ct = sound.samples.detach();
  if (samples_ct.dim() == 1) samples_ct = samples_ct.unsqueeze(0);
  if (samples_ct.dim() != 2 || samples_ct.size(0) < 1 || samples_ct.size(0) > 64 || samples_ct.size(1) < 1) {
    refuse_sound(
        "expected [samples] or [channels, samples] with 1..64 channels and at least 1 sample, got a tensor of " +
        c10::str(sound.samples.sizes()) + ". Put the channels first.");
  }
  if (samples_ct.scalar_type() == at::kShort) {
    samples_ct = samples_ct.to(at::kFloat) / 32768;
  } else if (at::isFloatingType(samples_ct.scalar_type())) {
    samples_ct = samples_ct.to(at::kFloat);
  } else {
    refuse_sound(std::string("expected floating or 16-bit samples, got ") + c10::toString(samples_ct.scalar_type()) +
                 ". Convert them to -1..1.");
  }
  return {samples_ct.contiguous(), sound.sample_rate_hz, sound.start_seconds, {}};
}

}  // namespace gaze

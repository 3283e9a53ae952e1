// SPDX-License-Identifier: MIT
// From samples to the plots of a recording.
#include <ATen/ATen.h>
#include <gaze/ops/sound.hpp>

#include <memory>

#include "harness.hpp"

namespace gaze_bench {
namespace {

namespace ops = gaze::ops;

constexpr int64_t kRate = 16000, kWidth = 1600, kHeight = 300;

at::TensorOptions floats() { return at::TensorOptions().device(settings().device).dtype(at::kFloat); }

/// Whole columns, so that torch can view them.
at::Tensor noise(int64_t channels, int64_t seconds) {
  at::manual_seed(1);
  return at::randn({channels, seconds * kRate}, floats()).mul_(0.1);
}

/// Columns over all samples, or frames.
ops::Columns columns_of(int64_t count) { return {0, static_cast<double>(count) / kWidth, kWidth}; }

std::string within(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  const double off = (got.to(at::kDouble) - want).abs().max().item<double>();
  return off <= tolerance ? "" : "off by " + std::to_string(off);
}

at::Tensor peer_envelope(const at::Tensor& samples_ct, at::ScalarType dtype) {
  const at::Tensor x = samples_ct.view({samples_ct.size(0), kWidth, -1}).to(dtype);
  return at::stack({x.amin(2), x.amax(2), x.square().mean(2).sqrt()}, 1);
}

Subject envelope_subject(int64_t channels, int64_t seconds) {
  const at::Tensor samples_ct = noise(channels, seconds), peers_ct = noise(channels, seconds);
  Subject subject;
  subject.ours = {
      "gaze", [=, out = at::Tensor()]() mutable { out = ops::envelope(samples_ct, columns_of(samples_ct.size(1))); }};
  subject.peers.push_back({"torch", [=, out = at::Tensor()]() mutable { out = peer_envelope(peers_ct, at::kFloat); }});
  subject.bytes = static_cast<int64_t>(samples_ct.nbytes());
  subject.check = [=] {
    return within(ops::envelope(samples_ct, columns_of(samples_ct.size(1))), peer_envelope(samples_ct, at::kDouble),
                  1e-6);
  };
  return subject;
}

Subject log_mel_subject() {
  const at::Tensor samples_ct = noise(1, 30), peers_ct = noise(1, 30);
  const at::Tensor hann = at::hann_window(400, floats());
  Subject subject;
  subject.ours = {"gaze", [=, out = at::Tensor()]() mutable { out = ops::log_mel(samples_ct, kRate); }};
  // The transform alone: what everyone pays.
  subject.peers.push_back({"at::stft", [=, out = at::Tensor()]() mutable {
                             out = at::stft(peers_ct[0], 400, 160, 400, hann, true, "constant", false, true, true);
                           }});
  return subject;
}

Subject waveform_subject() {
  const at::Tensor samples_ct = noise(2, 30);
  const at::Tensor envelope_ckw = ops::envelope(samples_ct, columns_of(samples_ct.size(1)));
  at::Tensor out_hwc = at::zeros({kHeight, kWidth, 3}, floats().dtype(at::kByte));
  Subject subject;
  subject.ours = {"gaze", [=]() mutable { ops::draw_waveform_out(envelope_ckw, 0.5, out_hwc); }};
  subject.bytes = out_hwc.numel();
  return subject;
}

Subject spectrogram_subject(int64_t seconds) {
  const at::Tensor mel_mt = at::rand({80, seconds * 100}, floats());
  at::Tensor out_hwc = at::zeros({kHeight, kWidth, 3}, floats().dtype(at::kByte));
  Subject subject;
  subject.ours = {"gaze", [=]() mutable { ops::draw_spectrogram_out(mel_mt, columns_of(mel_mt.size(1)), out_hwc); }};
  subject.bytes = static_cast<int64_t>(mel_mt.nbytes()) + out_hwc.numel();
  return subject;
}

}  // namespace

void add_sound_lines() {
  for (const int threads : thread_counts()) {
    add("envelope 30 s stereo to 1600 columns", threads, [] { return envelope_subject(2, 30); });
    add("envelope 1 h mono to 1600 columns", threads, [] { return envelope_subject(1, 3600); });
    add("log-mel 30 s", threads, [] { return log_mel_subject(); });
  }
  add("waveform stereo 1600x300", 1, [] { return waveform_subject(); });
  add("spectrogram 30 s 1600x300", 1, [] { return spectrogram_subject(30); });
  add("spectrogram 1 h 1600x300", 1, [] { return spectrogram_subject(3600); });
}

}  // namespace gaze_bench

// SPDX-License-Identifier: MIT
// That taps change nothing: an example's outputs, byte for byte, without taps, with a capture, and with idle taps.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <gaze/render/profile.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gaze {

class Recorder;

class SelfCheck {
 public:
  /// Runs a clone of the module, which has no taps yet.
  /// @throws gaze::Error when no method takes the inputs; whatever the model throws
  SelfCheck(const torch::jit::Module& module, const Profile& profile, const std::vector<c10::IValue>& inputs);
  /// Runs the module, now tapped, twice.
  /// @throws whatever the model throws
  [[nodiscard]] bool passes(const torch::jit::Module& module, const std::shared_ptr<Recorder>& recorder) const;

 private:
  const std::vector<c10::IValue>& inputs_;
  std::string method_, untapped_;
};

}  // namespace gaze

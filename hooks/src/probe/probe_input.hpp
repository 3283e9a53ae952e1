// SPDX-License-Identifier: MIT
// How the probed argument is cut into strips, in its own structure. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <string>

namespace gaze {

/// One way of cutting an input: columns, rows, or tiles and frames.
struct InputAxis {
  int64_t length = 1;   ///< pixels, patches, steps or parts
  int64_t strip = 1;    ///< of a strip; the last one may be smaller
  int64_t strips = 0;   ///< how many; 0: the input has no such axis
  at::Tensor strip_of;  ///< int64, broadcasts to the input: which strip each element lies in
};

class ProbeInput {
 public:
  /// @throws gaze::Error when the tensor is not what the options say.
  ProbeInput(const c10::IValue& value, int64_t argument, const ProbeOptions& options);

  /// The input with one strip changed.
  [[nodiscard]] at::Tensor perturbed(const InputAxis& axis, int64_t strip) const;

  /// A sound that begins `steps` later, or earlier; what falls off one end comes in at the other.
  [[nodiscard]] at::Tensor moved(int64_t steps) const;

  /// The first half of a sound.
  [[nodiscard]] at::Tensor first_half() const;

  at::Tensor base;
  int64_t batch = 1;
  InputAxis columns, rows, parts;
  std::string unit;
  int64_t silent_steps = 0;

 private:
  void read_picture(int64_t argument, const ProbeOptions& options);
  void read_patches(int64_t argument, const ProbeOptions& options);
  void read_sound(int64_t argument, const ProbeOptions& options);

  at::Tensor noise_;
  int64_t time_ = -1;  // of a sound: its dimension
};

}  // namespace gaze

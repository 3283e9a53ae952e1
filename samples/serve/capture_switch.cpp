// SPDX-License-Identifier: MIT
#include "capture_switch.hpp"

#include <random>

namespace gaze::serve {

bool CaptureSwitch::choose(Wish wish) const {
  if (!capture() || wish == Wish::Off) return false;
  if (wish == Wish::On) return true;
  thread_local std::mt19937_64 random{std::random_device()()};
  return std::uniform_real_distribution<double>()(random) < sample_rate();
}

void CaptureSwitch::set(std::optional<bool> capture, std::optional<double> sample_rate) noexcept {
  if (sample_rate) sample_rate_ = *sample_rate;
  if (capture) capture_ = able_ && *capture;
}

}  // namespace gaze::serve

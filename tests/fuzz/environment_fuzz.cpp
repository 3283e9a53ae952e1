// SPDX-License-Identifier: MIT
// Whatever the environment holds, options come out that capture no more than was meant, and one warning at most for
// each variable.
#include <gaze/hooks/options.hpp>

#include <array>
#include <cmath>

#include "fuzz.hpp"

namespace {

constexpr std::array<const char*, 14> kNames = {
    "GAZE_CAPTURE",    "GAZE_DISABLED",    "GAZE_OUT_DIR",         "GAZE_PROFILE", "GAZE_SAMPLE_RATE",
    "GAZE_LAYERS",     "GAZE_HEADS",       "GAZE_COLORMAP",        "GAZE_FORMAT",  "GAZE_DELIVERY",
    "GAZE_WORD_FILES", "GAZE_QUEUE_BYTES", "GAZE_DEFERRED_TOKENS", "GAZE_LOG"};

/// Empty for a variable that is unset.
std::string value_of(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  const auto set = bytes.take<uint16_t>();
  gaze::Options given;
  given.capture = bytes.take<uint8_t>() % 2 == 0;
  given.read_environment = true;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if ((set >> i & 1U) != 0) {
      setenv(kNames[i], bytes.text().c_str(), 1);
    } else {
      unsetenv(kNames[i]);
    }
  }
  std::vector<std::string> warnings;
  const gaze::Options options = gaze::from_environment(given, &warnings);
  GAZE_HOLDS(warnings.size() <= kNames.size());
  for (const std::string& warning : warnings) GAZE_HOLDS(warning.size() < 600);
  GAZE_HOLDS(options.sample_rate >= 0 && options.sample_rate <= 1);
  GAZE_HOLDS(options.queue_bytes >= 1);
  GAZE_HOLDS(options.deferred_tokens == 0 || (options.deferred_tokens >= 2 && options.deferred_tokens <= 32));

  const bool captures = options.capture && !options.disabled;
  // Switched off by anything but these.
  const std::string disabled = value_of("GAZE_DISABLED");
  if (disabled != "" && disabled != "0" && disabled != "false" && disabled != "no" && disabled != "off") {
    bool lower_case = true;
    for (const char c : disabled) lower_case = lower_case && !(c >= 'A' && c <= 'Z');
    GAZE_HOLDS(!captures || !lower_case);
  }
  // A limit that was meant and is not understood is no leave to capture without it.
  if (const std::string rate = value_of("GAZE_SAMPLE_RATE"); captures && !rate.empty() && options.sample_rate == 1) {
    char* end = nullptr;
    const double number = std::strtod(rate.c_str(), &end);
    GAZE_HOLDS(end != rate.c_str() && number >= 0.9999999);
  }
  return 0;
}

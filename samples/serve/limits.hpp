// SPDX-License-Identifier: MIT
// What one client may take of the server.
#pragma once

#include <chrono>
#include <cstddef>

namespace gaze::serve {

struct Limits {
  size_t connections = 64;                     ///< at once, each with a thread of its own
  size_t waiting = 16;                         ///< connections that wait for a thread; more are told 503
  std::chrono::milliseconds patience{10'000};  ///< for a request's head, for its body, and for each answer to be taken
  size_t head_bytes = 16 << 10;
  size_t head_lines = 64;
  size_t body_bytes = 12 << 20;  ///< a picture of 9 MB as base64
};

}  // namespace gaze::serve

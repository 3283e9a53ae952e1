// SPDX-License-Identifier: MIT
// The server's own figures, as Prometheus reads them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace gaze::serve {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  /// @param path  one of the server's, or "other"
  void answered(const std::string& path, int status);
  void took(double seconds);  ///< an answer, from its whole body to its words
  void ran_batch(size_t rows);
  void now(size_t connections, size_t queued);
  [[nodiscard]] std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
// A request that is refused, and how.
#pragma once

#include <stdexcept>
#include <string>

namespace gaze::serve {

class HttpError : public std::runtime_error {
 public:
  HttpError(int status, const std::string& text) : std::runtime_error(text), status_(status) {}
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

/// {"error": text}, whatever bytes the text holds.
std::string error_json(const std::string& text);

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
// multipart/form-data (RFC 7578), within a body that is here already.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gaze::serve {

struct Part {
  std::string name;
  std::string_view content;  ///< of the body
};

/// @throws HttpError (400) where the body is no whole multipart of few parts, each with a name
std::vector<Part> parse_multipart(std::string_view body, std::string_view content_type);

}  // namespace gaze::serve

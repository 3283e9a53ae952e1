// SPDX-License-Identifier: MIT
// What a client asks, as it came over the network and before the model sees it.
#pragma once

#include <string>

namespace httplib {
struct Request;
}

namespace gaze::serve {

/// X-Gaze: whether the client wants an overlay.
enum class Wish { Unsaid, On, Off };

struct Question {
  std::string id;       ///< 1 to 128 of A-Z a-z 0-9 . _ : -
  std::string picture;  ///< bytes of an image file
  std::string prompt;
  std::string traceparent;  ///< as W3C Trace Context has it; empty: none, or not well-formed
  Wish wish = Wish::Unsaid;
};

/// Of a POST: JSON {"picture": base64, "prompt": text}, or multipart with the parts picture and prompt.
/// @throws HttpError where it is anything else
Question read_question(const httplib::Request& request);

}  // namespace gaze::serve

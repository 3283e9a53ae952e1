// SPDX-License-Identifier: MIT
// Questions about scenes of stickers, each picture with a number in its corner.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::serve {

struct LoadQuestion {
  uint32_t number = 0;  ///< in the picture's corner
  std::string jpeg;
  std::string prompt, truth;
};

/// Numbers first, first + 1, ...; three of four ask for a description, of both lengths of prompts.
std::vector<LoadQuestion> make_questions(const std::string& data_dir, uint32_t first, size_t count);

}  // namespace gaze::serve

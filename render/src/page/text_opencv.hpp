// SPDX-License-Identifier: MIT
// Text on a picture.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gaze::text {

struct Face {
  double size;    ///< height of a capital letter in pixels
  double stroke;  ///< line width in pixels
  cv::Scalar colour;
};

/// Somebody's text as it is drawn.
struct Shown {
  std::string text;             ///< ASCII, or UTF-8 of which what is no ASCII is drawn by the machine's fonts
  std::vector<uint32_t> boxes;  ///< the different characters that no font has, rising: drawn as boxes
  bool lossy = false;           ///< some character is drawn as a box or as '?'
};

/// @param utf8  any bytes; no more than `most` characters of it are shown, "..." behind them stands for the rest
Shown shown(std::string_view utf8, size_t most);

/// Why texts are shown in Latin letters only; empty: they are not.
const std::string& latin_only();

/// Width in pixels of one line. Lines are those of `shown`: ASCII looks the same on every machine.
int width(const std::string& line, const Face& face);

/// Draws one line; `left` and `baseline` in pixels. What falls off the picture is cut.
void draw(cv::Mat& rgb, const std::string& line, int left, int baseline, const Face& face);

/// Breaks at spaces, inside a word only where it alone is too wide. At most `most` lines; the last ends in "..." when
/// something was left out.
std::vector<std::string> wrap(const std::string& words, const Face& face, int limit, size_t most);

}  // namespace gaze::text

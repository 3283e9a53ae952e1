// SPDX-License-Identifier: MIT
// The one composer of what the captioner sees: two coloured shapes on a photograph, and the caption that is true of
// them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

#include "scenes.hpp"

namespace gaze::scenes {

inline constexpr int kShapesSide = 384;      // of the picture, px
inline constexpr int kShapesModelSide = 96;  // of what the captioner sees

// A caption begins with the shape whose colour comes first here.
inline constexpr std::array<const char*, 9> kShapeColourNames = {"red",  "orange", "yellow", "green", "turquoise",
                                                                 "blue", "purple", "pink",   "white"};
inline constexpr std::array<const char*, 5> kShapeNames = {"circle", "square", "triangle", "star", "cross"};

struct Shape {
  int colour = 0;  // index into kShapeColourNames; the two of a picture differ
  int kind = 0;    // index into kShapeNames
  cv::Point2f centre_px;
  float radius_px = 0.F;  // of the circle round it
  float angle_deg = 0.F;  // clockwise on the screen

  std::string name() const;  // "red circle"
};

struct ShapesPicture {
  cv::Mat rgb;                // kShapesSide x kShapesSide, 8UC3, RGB
  std::vector<Shape> shapes;  // two as the caption names them, or none

  // "a red circle left of a turquoise star"; empty without shapes. The longer of the two ways between the centres is
  // named.
  std::string caption() const;
};

// What the captioner sees, kShapesModelSide x kShapesModelSide, 8UC3, RGB.
cv::Mat captioner_input(const cv::Mat& picture_rgb);

class ShapesComposer {
 public:
  // data_dir is samples/data; held-out pictures use photographs that no training picture uses.
  explicit ShapesComposer(const std::filesystem::path& data_dir);

  // Same arguments, same picture. Safe to call from several threads. Without shapes: the photograph alone.
  ShapesPicture compose(std::uint64_t seed, Split split, bool with_shapes = true) const;

 private:
  std::vector<cv::Mat> train_rgb_;
  std::vector<cv::Mat> held_out_rgb_;
};

}  // namespace gaze::scenes

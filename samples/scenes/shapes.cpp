// SPDX-License-Identifier: MIT
#include "shapes.hpp"

#include <algorithm>
#include <cmath>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "random.hpp"

namespace gaze::scenes {
namespace {

constexpr float kPi = 3.14159265F;

const std::array<cv::Vec3f, kShapeColourNames.size()> kPaint = {{
    {214.F, 34.F, 36.F},    // red
    {246.F, 132.F, 20.F},   // orange
    {248.F, 222.F, 50.F},   // yellow
    {48.F, 160.F, 60.F},    // green
    {56.F, 208.F, 196.F},   // turquoise
    {44.F, 84.F, 214.F},    // blue
    {130.F, 52.F, 180.F},   // purple
    {250.F, 136.F, 190.F},  // pink
    {246.F, 246.F, 242.F},  // white
}};

cv::Mat background(Random& random, const std::vector<cv::Mat>& photos_rgb, bool training) {
  const cv::Mat& photo = photos_rgb[static_cast<std::size_t>(random.below(static_cast<int>(photos_rgb.size())))];
  const auto side = static_cast<int>(static_cast<float>(std::min(photo.rows, photo.cols)) *
                                     random.uniform(training ? 0.3F : 0.6F, 1.F));
  const int left = random.below(photo.cols - side + 1);
  const int top = random.below(photo.rows - side + 1);
  cv::Mat rgb;
  cv::resize(photo(cv::Rect(left, top, side, side)), rgb, {kShapesSide, kShapesSide}, 0, 0, cv::INTER_LINEAR);
  if (random.chance(0.5F)) cv::flip(rgb, rgb, 1);
  // Few photographs are many when their colours change.
  if (training && random.chance(0.7F)) {
    std::vector<int> order = {0, 1, 2};
    random.shuffle(order);
    cv::Matx<float, 3, 4> mix = cv::Matx<float, 3, 4>::zeros();
    for (int channel = 0; channel < 3; ++channel) {
      for (int from = 0; from < 3; ++from) mix(channel, from) = random.uniform(-0.2F, 0.2F);
      mix(channel, order[static_cast<std::size_t>(channel)]) += random.uniform(0.6F, 1.2F);
      mix(channel, 3) = random.uniform(-25.F, 35.F);
    }
    cv::transform(rgb, rgb, mix);
  }
  return rgb;
}

// Corners on a circle of radius 1.
std::vector<cv::Point2f> outline(int kind) {
  std::vector<cv::Point2f> points;
  const auto add = [&](float turn, float radius) {
    points.emplace_back(radius * std::sin(2 * kPi * turn), -radius * std::cos(2 * kPi * turn));
  };
  switch (kind) {
    case 0:
      for (int i = 0; i < 48; ++i) add(static_cast<float>(i) / 48, 1.F);
      break;
    case 1:
      for (int i = 0; i < 4; ++i) add((static_cast<float>(i) + 0.5F) / 4, 1.F);
      break;
    case 2:
      for (int i = 0; i < 3; ++i) add(static_cast<float>(i) / 3, 1.F);
      break;
    case 3:
      for (int i = 0; i < 10; ++i) add(static_cast<float>(i) / 10, i % 2 == 0 ? 1.F : 0.42F);
      break;
    default:
      for (int arm = 0; arm < 4; ++arm) {
        add((static_cast<float>(arm) - 0.5F) / 4, 0.42F);
        add((static_cast<float>(arm) - 0.19F) / 4, 1.F);
        add((static_cast<float>(arm) + 0.19F) / 4, 1.F);
      }
  }
  return points;
}

void paint(Random& random, cv::Mat& rgb, const Shape& shape) {
  constexpr int kShift = 4;  // corners in 1/16 px
  const float cosine = std::cos(shape.angle_deg * kPi / 180);
  const float sine = std::sin(shape.angle_deg * kPi / 180);
  std::vector<cv::Point> corners;
  for (const cv::Point2f& p : outline(shape.kind)) {
    const float x = shape.centre_px.x + shape.radius_px * (cosine * p.x - sine * p.y);
    const float y = shape.centre_px.y + shape.radius_px * (sine * p.x + cosine * p.y);
    corners.emplace_back(cvRound(x * (1 << kShift)), cvRound(y * (1 << kShift)));
  }
  const float light = random.uniform(0.88F, 1.04F);
  cv::Scalar colour;
  for (int channel = 0; channel < 3; ++channel)
    colour[channel] = kPaint[static_cast<std::size_t>(shape.colour)][channel] * light + random.uniform(-12.F, 12.F);
  cv::fillPoly(rgb, std::vector<std::vector<cv::Point>>{corners}, colour, cv::LINE_AA, kShift);
}

// Two that do not touch, and of whose ways across and down one is clearly the longer.
std::vector<Shape> place(Random& random) {
  while (true) {
    std::vector<Shape> shapes(2);
    for (Shape& shape : shapes) {
      shape.radius_px = random.uniform(50.F, 76.F);
      const float margin = shape.radius_px + 2;
      shape.centre_px.x = random.uniform(margin, kShapesSide - margin);
      shape.centre_px.y = random.uniform(margin, kShapesSide - margin);
    }
    const cv::Point2f apart = shapes[1].centre_px - shapes[0].centre_px;
    const float across = std::abs(apart.x);
    const float down = std::abs(apart.y);
    const bool clear = std::abs(across - down) > 0.25F * std::max(across, down);
    if (clear && std::hypot(apart.x, apart.y) > shapes[0].radius_px + shapes[1].radius_px + 6) return shapes;
  }
}

// In squares of a pixel of the model's input, so that shrinking leaves it.
void add_noise(Random& random, cv::Mat& rgb) {
  cv::Mat noise(kShapesModelSide, kShapesModelSide, CV_16SC3);
  const float most = random.uniform(0.F, 14.F);
  for (int y = 0; y < noise.rows; ++y) {
    auto* row = noise.ptr<cv::Vec3s>(y);
    for (int x = 0; x < noise.cols; ++x) {
      for (int channel = 0; channel < 3; ++channel) row[x][channel] = static_cast<short>(random.uniform(-most, most));
    }
  }
  cv::resize(noise, noise, rgb.size(), 0, 0, cv::INTER_NEAREST);
  cv::add(rgb, noise, rgb, cv::noArray(), CV_8U);
}

}  // namespace

std::string Shape::name() const {
  return std::string(kShapeColourNames[static_cast<std::size_t>(colour)]) + " " +
         kShapeNames[static_cast<std::size_t>(kind)];
}

std::string ShapesPicture::caption() const {
  if (shapes.empty()) return "";
  const cv::Point2f apart = shapes[1].centre_px - shapes[0].centre_px;
  const char* where = apart.y > 0 ? " above a " : " below a ";
  if (std::abs(apart.x) > std::abs(apart.y)) where = apart.x > 0 ? " left of a " : " right of a ";
  std::string text = "a " + shapes[0].name() + where + shapes[1].name();
  for (std::size_t at = 0; (at = text.find("a orange", at)) != std::string::npos;) text.insert(at + 1, "n");
  return text;
}

cv::Mat captioner_input(const cv::Mat& picture_rgb) {
  cv::Mat small;
  cv::resize(picture_rgb, small, {kShapesModelSide, kShapesModelSide}, 0, 0, cv::INTER_AREA);
  return small;
}

ShapesComposer::ShapesComposer(const std::filesystem::path& data_dir) {
  for (const Split split : {Split::train, Split::held_out}) {
    for (const auto& file : photo_files(data_dir, split)) {
      cv::Mat rgb;
      cv::cvtColor(cv::imread(file.string(), cv::IMREAD_COLOR), rgb, cv::COLOR_BGR2RGB);
      (split == Split::train ? train_rgb_ : held_out_rgb_).push_back(rgb);
    }
  }
}

ShapesPicture ShapesComposer::compose(std::uint64_t seed, Split split, bool with_shapes) const {
  const bool training = split == Split::train;
  Random random(seed * 2 + (training ? 0 : 1));
  ShapesPicture picture;
  picture.rgb = background(random, training ? train_rgb_ : held_out_rgb_, training);
  if (with_shapes) {
    picture.shapes = place(random);
    std::vector<int> colours;
    for (int i = 0; i < static_cast<int>(kShapeColourNames.size()); ++i) colours.push_back(i);
    random.shuffle(colours);
    std::sort(colours.begin(), colours.begin() + 2);
    for (std::size_t i = 0; i < 2; ++i) {
      Shape& shape = picture.shapes[i];
      shape.colour = colours[i];
      shape.kind = random.below(static_cast<int>(kShapeNames.size()));
      shape.angle_deg = random.uniform(-10.F, 10.F);
      paint(random, picture.rgb, shape);
    }
  }
  add_noise(random, picture.rgb);
  const float exposure = random.uniform(0.88F, 1.08F);
  const float red = random.uniform(0.95F, 1.05F);
  const float blue = random.uniform(0.95F, 1.05F);
  cv::multiply(picture.rgb, cv::Scalar(red * exposure, exposure, blue * exposure), picture.rgb);
  return picture;
}

}  // namespace gaze::scenes

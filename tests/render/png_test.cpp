// SPDX-License-Identifier: MIT
// Our PNG files as another program reads them.
#include "codecs/png/png.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/test.hpp"

namespace {

/// Pictures are drawn and compared in OpenCV's order of channels, so that red and blue cannot be swapped unseen.
using Pixel = std::function<cv::Vec3b(int x, int y)>;

cv::Mat drawn(int width, int height, const Pixel& pixel) {
  cv::Mat bgr(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) bgr.at<cv::Vec3b>(y, x) = pixel(x, y);
  }
  return bgr;
}

std::string encoded(const cv::Mat& bgr) {
  cv::Mat rgb;
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  return gaze::encode_png(rgb.data, rgb.rows, rgb.cols);
}

std::size_t opencv_size(const cv::Mat& bgr) {
  std::vector<unsigned char> bytes;
  CATCH_REQUIRE(cv::imencode(".png", bgr, bytes));
  return bytes.size();
}

void check_holds(std::string file, const cv::Mat& bgr) {
  const cv::Mat read = cv::imdecode(cv::Mat(1, static_cast<int>(file.size()), CV_8UC1, file.data()),
                                    cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  CATCH_REQUIRE(read.size() == bgr.size());
  CATCH_CHECK(cv::norm(read, bgr, cv::NORM_INF) == 0);
}

/// The size of the file, which must hold exactly these pixels.
std::size_t round_trip(const cv::Mat& bgr) {
  const std::string file = encoded(bgr);
  check_holds(file, bgr);
  return file.size();
}

/// zlib's checksum of the filtered rows, at the end of the pixels: readers of pictures do not all look at it.
std::string checksum(const std::string& file) { return file.substr(file.size() - 20, 4); }

uint8_t byte(double value) { return cv::saturate_cast<uint8_t>(value); }

}  // namespace

CATCH_TEST_CASE("png: OpenCV reads back every pixel, of pictures of every shape and kind") {
  cv::RNG random(5);
  const std::vector<std::pair<const char*, Pixel>> kinds = {
      {"noise", [&](int, int) { return cv::Vec3b(byte(random(256)), byte(random(256)), byte(random(256))); }},
      {"two values", [&](int, int) { return random(2) == 0 ? cv::Vec3b(0, 0, 0) : cv::Vec3b(255, 255, 255); }},
      {"black", [](int, int) { return cv::Vec3b(0, 0, 0); }},
      {"one colour", [](int, int) { return cv::Vec3b(200, 30, 255); }},
      {"gray ramp", [](int x, int y) { return cv::Vec3b::all(static_cast<uint8_t>(x / 3 + y)); }},
      {"stripes", [](int x, int) { return x / 7 % 2 == 0 ? cv::Vec3b(255, 0, 0) : cv::Vec3b(0, 128, 255); }},
      {"rare dots", [&](int, int) { return cv::Vec3b::all(random(97) == 0 ? byte(random(256)) : 9); }}};
  const std::vector<cv::Size> sizes = {{1, 1},  {1, 2},  {2, 1},    {3, 3},   {1, 517},   {517, 1},  {2, 300},
                                       {86, 1}, {87, 5}, {257, 31}, {641, 9}, {640, 480}, {90000, 3}};
  for (const auto& [kind, pixel] : kinds) {
    for (const cv::Size size : sizes) {
      CATCH_CAPTURE(kind, size.width, size.height);
      round_trip(drawn(size.width, size.height, pixel));
    }
  }
}

CATCH_TEST_CASE("png: runs of zeros of every length, and every rare symbol, survive") {
  // The first row is the difference from nothing, so zeros there are runs; the dots between them have all values.
  for (int gap = 1; gap < 300; ++gap) {
    CATCH_CAPTURE(gap);
    round_trip(drawn(1200, 1, [&](int x, int) { return x % gap == 0 ? cv::Vec3b(9, byte(x % 256), 1) : cv::Vec3b(); }));
  }
  // Frequencies that halve make the longest codes there can be.
  int left = 1 << 19, value = 0;
  round_trip(drawn(1024, 512, [&](int, int) {
    if (--left <= 1 << (18 - value) && value < 18) ++value;
    return cv::Vec3b::all(static_cast<uint8_t>(value * 13));
  }));
}

CATCH_TEST_CASE("png: a large picture of many blocks survives") {
  cv::RNG random(6);
  cv::Mat noise(270, 480, CV_8UC3), large;
  random.fill(noise, cv::RNG::UNIFORM, 0, 256);
  cv::resize(noise, large, {3840, 2160}, 0, 0, cv::INTER_CUBIC);
  CATCH_CHECK(round_trip(large) < large.total() * 3);
}

CATCH_TEST_CASE("png: files are about as large as OpenCV's") {
  cv::RNG random(7);
  const cv::Mat photo = drawn(800, 600, [&](int x, int y) {  // soft shapes, sharp edges and a sensor's noise
    const double shade = 120 + 60 * std::sin(x / 41.0) * std::cos(y / 33.0) + ((x / 90 + y / 70) % 2 == 0 ? 25 : 0);
    return cv::Vec3b(byte(shade + random.gaussian(2)), byte(0.9 * shade + random.gaussian(2)),
                     byte(1.1 * shade + random.gaussian(2)));
  });
  cv::Mat page(900, 1200, CV_8UC3, cv::Scalar::all(255));
  for (int line = 0; line < 20; ++line) {
    cv::putText(page, "Attention is evidence, not proof.", {40, 60 + 40 * line}, cv::FONT_HERSHEY_SIMPLEX, 1,
                cv::Scalar(30, 30, 30), 2, cv::LINE_AA);
  }
  CATCH_CHECK(static_cast<double>(round_trip(photo)) < 1.1 * static_cast<double>(opencv_size(photo)));
  CATCH_CHECK(static_cast<double>(round_trip(page)) < 1.25 * static_cast<double>(opencv_size(page)));
}

CATCH_TEST_CASE("png: pictures of a series are what they would be alone, whatever differs between them") {
  cv::RNG random(8);
  for (const cv::Size size : std::vector<cv::Size>{{1, 1}, {3, 2}, {64, 3}, {65, 200}, {700, 431}, {90000, 3}}) {
    const cv::Mat first = drawn(size.width, size.height, [&](int x, int y) {
      return y % 9 < 4 ? cv::Vec3b::all(255) : cv::Vec3b(byte(x / 3), byte(random(5) + y), byte(x * y));
    });
    gaze::PngSeries series;
    const auto add = [&](const cv::Mat& bgr) {
      cv::Mat rgb;
      cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
      std::string file = series.encode(rgb.data, rgb.rows, rgb.cols);
      check_holds(file, bgr);
      return file;
    };
    CATCH_CAPTURE(size.width, size.height);
    CATCH_CHECK(add(first) == encoded(first));
    CATCH_CHECK(add(first) == encoded(first));
    for (int i = 0; i < 40; ++i) {  // one pixel: in each corner, at each side of a tile, in any row
      const int x = i < 4 ? (i % 2) * (size.width - 1) : random(size.width);
      const int y = i < 4 ? (i / 2) * (size.height - 1) : random(size.height);
      CATCH_CAPTURE(x, y);
      cv::Mat other = first.clone();
      other.at<cv::Vec3b>(y, x)[random(3)] ^= static_cast<uint8_t>(1 + random(255));
      const std::string file = add(other);
      // One pixel changes no block's filter, so the filtered rows, and their sum, are those of the picture alone.
      if (size.width > 3) CATCH_CHECK(checksum(file) == checksum(encoded(other)));
    }
    cv::Mat marked = first.clone();
    marked.colRange(size.width / 3, size.width / 3 + std::max(1, size.width / 7)).setTo(cv::Scalar(1, 2, 250));
    add(marked);
    cv::Mat half = first.clone();
    half.colRange(0, (size.width + 1) / 2).setTo(cv::Scalar(90, 2, 1));
    add(half);
    for (const cv::Mat& unlike :
         {drawn(size.width, size.height, [](int, int) { return cv::Vec3b(3, 2, 1); }),
          drawn(size.width + 1, size.height, [](int x, int y) { return cv::Vec3b::all(byte(x ^ y)); }), first}) {
      CATCH_CHECK(add(unlike) == encoded(unlike));
    }
  }
}

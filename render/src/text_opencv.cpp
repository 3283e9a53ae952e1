// SPDX-License-Identifier: MIT
#include "text_opencv.hpp"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

namespace gaze::text {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kCapHeight = 21;  // of the font at scale 1
constexpr int kOversample = 4;     // the font's strokes are drawn large and averaged: even weight at small sizes

double scale(const Face& face) { return face.size / kCapHeight; }

std::string fit(std::string line, const Face& face, int limit) {
  while (!line.empty() && width(line + "...", face) > limit) line.pop_back();
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "...";
}

}  // namespace

int width(const std::string& line, const Face& face) {
  int below = 0;
  const cv::Size size = cv::getTextSize(line, kFont, scale(face) * kOversample, 1, &below);
  return static_cast<int>(std::ceil(static_cast<double>(size.width) / kOversample + face.stroke));
}

void draw(cv::Mat& rgb, const std::string& line, int left, int baseline, const Face& face) {
  const int height = static_cast<int>(std::ceil(face.size * 2));
  const int rise = static_cast<int>(std::ceil(face.size * 1.4));  // room above the baseline
  const int pad = 4;
  const cv::Size small(width(line, face) + 2 * pad, height);
  cv::Mat large(small * kOversample, CV_8UC1, cv::Scalar(0));
  cv::putText(large, line, {pad * kOversample, rise * kOversample}, kFont, scale(face) * kOversample, cv::Scalar(255),
              std::max(1, static_cast<int>(std::lround(face.stroke * kOversample))), cv::LINE_AA);
  cv::Mat alpha;
  cv::resize(large, alpha, small, 0, 0, cv::INTER_AREA);
  const cv::Rect target = cv::Rect({left - pad, baseline - rise}, small) & cv::Rect({0, 0}, rgb.size());
  for (int y = target.y; y < target.y + target.height; ++y) {
    for (int x = target.x; x < target.x + target.width; ++x) {
      const double a = alpha.at<uint8_t>(y - (baseline - rise), x - (left - pad)) / 255.0;
      auto& pixel = rgb.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c) pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] * (1 - a) + face.colour[c] * a);
    }
  }
}

std::vector<std::string> wrap(const std::string& words, const Face& face, int limit, size_t most) {
  std::vector<std::string> lines(1);
  const auto full = [&] { return lines.size() == most; };
  size_t at = 0;
  while (at < words.size()) {
    const size_t end = std::min(words.find(' ', at), words.size());
    std::string word = words.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    std::string& line = lines.back();
    const std::string joined = line.empty() ? word : line + " " + word;
    if (width(joined, face) <= limit) {
      line = joined;
      continue;
    }
    if (!line.empty()) {
      if (full()) return line = fit(joined, face, limit), lines;
      lines.emplace_back();
    }
    while (width(word, face) > limit) {
      if (full()) return lines.back() = fit(word, face, limit), lines;
      size_t length = 1;
      while (length < word.size() && width(word.substr(0, length + 1), face) <= limit) ++length;
      lines.back() = word.substr(0, length);
      word.erase(0, length);
      lines.emplace_back();
    }
    lines.back() = word;
  }
  return lines;
}

}  // namespace gaze::text

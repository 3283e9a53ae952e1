// SPDX-License-Identifier: MIT
#include "text_opencv.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <opencv2/imgproc.hpp>
#include <tuple>

namespace gaze::text {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kCapHeight = 21;  // of the font at scale 1
constexpr int kOversample = 4;     // the font's strokes are drawn large and averaged: even weight at small sizes
constexpr int kPad = 4;            // pixels around a glyph

double scale(const Face& face) { return face.size / kCapHeight; }

std::string fit(std::string line, const Face& face, int limit) {
  while (!line.empty() && width(line + "...", face) > limit) line.pop_back();
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "...";
}

int height(const Face& face) { return static_cast<int>(std::ceil(face.size * 2)); }
int rise(const Face& face) { return static_cast<int>(std::ceil(face.size * 1.4)); }  // room above the baseline

// Drawn once: strokes are dear, and a page repeats its letters.
struct Glyph {
  cv::Mat alpha;   ///< of pixels, the pen kPad from the left edge
  double advance;  ///< in strokes' pixels
};

Glyph make_glyph(char c, const Face& face, int phase) {
  constexpr int kMany = 64;  // a single one's width is rounded
  int below = 0;
  const double size = scale(face) * kOversample;
  const cv::Size many = cv::getTextSize(std::string(kMany, c), kFont, size, 1, &below);
  Glyph glyph{{}, (many.width - 1.0) / kMany};
  const cv::Size small(static_cast<int>(std::ceil((glyph.advance + phase) / kOversample)) + 2 * kPad, height(face));
  cv::Mat large(small * kOversample, CV_8UC1, cv::Scalar(0));
  cv::putText(large, std::string(1, c), {kPad * kOversample + phase, rise(face) * kOversample}, kFont, size,
              cv::Scalar(255), std::max(1, static_cast<int>(std::lround(face.stroke * kOversample))), cv::LINE_AA);
  cv::resize(large, glyph.alpha, small, 0, 0, cv::INTER_AREA);
  return glyph;
}

/// @param phase  of the pen between two pixels, 0..kOversample - 1
const Glyph& glyph_of(char c, const Face& face, int phase) {
  static thread_local std::map<std::tuple<char, double, double, int>, Glyph> glyphs;  // faces are few
  const auto key = std::make_tuple(c, face.size, face.stroke, phase);
  const auto known = glyphs.find(key);
  return known != glyphs.end() ? known->second : glyphs.emplace(key, make_glyph(c, face, phase)).first->second;
}

// Of eight pixels.
bool none(const uint8_t* alpha_x) {
  uint64_t eight;
  std::memcpy(&eight, alpha_x, sizeof eight);
  return eight == 0;
}

}  // namespace

int width(const std::string& line, const Face& face) {
  int below = 0;
  const cv::Size size = cv::getTextSize(line, kFont, scale(face) * kOversample, 1, &below);
  return static_cast<int>(std::ceil(static_cast<double>(size.width) / kOversample + face.stroke));
}

void draw(cv::Mat& rgb, const std::string& line, int left, int baseline, const Face& face) {
  const int top = baseline - rise(face);
  cv::Mat alpha(height(face), width(line, face) + 2 * kPad, CV_8UC1, cv::Scalar(0));
  double pen = kPad * kOversample;
  for (const char c : line) {
    const auto at = static_cast<int>(std::lround(pen));
    const Glyph& glyph = glyph_of(c, face, at % kOversample);
    const int from = at / kOversample - kPad, end = std::min(from + glyph.alpha.cols, alpha.cols);
    for (int y = 0; y < alpha.rows; ++y) {
      auto* line_x = alpha.ptr<uint8_t>(y);
      const auto* glyph_x = glyph.alpha.ptr<uint8_t>(y);
      for (int x = from; x < end; ++x) line_x[x] = std::max(line_x[x], glyph_x[x - from]);
    }
    pen += glyph.advance;
  }
  const cv::Rect target = cv::Rect({left - kPad, top}, alpha.size()) & cv::Rect({0, 0}, rgb.size());
  const std::array<int, 3> ink{static_cast<int>(face.colour[0]), static_cast<int>(face.colour[1]),
                               static_cast<int>(face.colour[2])};
  for (int y = target.y; y < target.y + target.height; ++y) {
    const uint8_t* alpha_x = alpha.ptr<uint8_t>(y - top) - (left - kPad);
    auto* rgb_x = rgb.ptr<cv::Vec3b>(y);
    const int end = target.x + target.width;
    for (int x = target.x; x < end; ++x) {
      while (x + 8 <= end && none(alpha_x + x)) x += 8;  // most of a line is paper
      if (x == end) break;
      const int a = alpha_x[x];
      if (a == 0) continue;
      for (int c = 0; c < 3; ++c) {
        rgb_x[x][c] = static_cast<uint8_t>((rgb_x[x][c] * (255 - a) + ink[static_cast<size_t>(c)] * a + 127) / 255);
      }
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

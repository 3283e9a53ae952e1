// SPDX-License-Identifier: MIT
#include "page/text_opencv.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/utf8.hpp"
#include "page/text_part.hpp"
#include "page/transliterate.hpp"
#include "page/wrap.hpp"

namespace gaze::text {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kCapHeight = 21;  // of the font at scale 1
constexpr int kOversample = 4;     // the font's strokes are drawn large and averaged: even weight at small sizes
constexpr int kPad = 4;            // pixels around a glyph

double scale(const Face& face) { return face.size / kCapHeight; }

// Of a character at scale 1: whole, as the font is drawn on a grid.
int64_t units_of(char c) {
  static const std::array<int64_t, 256> units = [] {
    std::array<int64_t, 256> all{};
    for (size_t i = 0; i < all.size(); ++i) {
      const char shown = i >= ' ' && i <= '~' ? static_cast<char>(i) : '?';
      int below = 0;
      all[i] = cv::getTextSize(std::string(1, shown), kFont, 1, 1, &below).width - 1;
    }
    return all;
  }();
  return units[static_cast<unsigned char>(c)];
}

// As cv::getTextSize rounds, in strokes' pixels.
int width_of(int64_t units, const Face& face) {
  const auto large = cvRound(static_cast<double>(units) * scale(face) * kOversample + 1);
  return static_cast<int>(std::ceil(static_cast<double>(large) / kOversample + face.stroke));
}

// The most units that a line of `limit` pixels has room for; -1 where not even an empty one fits.
int64_t most_units(const Face& face, int limit) {
  int64_t units = static_cast<int64_t>(std::max(0.0, (limit + 1) / scale(face)));
  while (units >= 0 && width_of(units, face) > limit) --units;
  return units;
}

int height(const Face& face) { return static_cast<int>(std::ceil(face.size * 2)); }
int rise(const Face& face) { return static_cast<int>(std::ceil(face.size * 1.4)); }  // room above the baseline

// How much ink lies on each pixel. Memory of its own, as OpenCV reports a failed allocation by a type of its own.
struct Alpha {
  Alpha(int height, int width)
      : rows(height), cols(width), memory(static_cast<size_t>(height) * static_cast<size_t>(width)) {}
  [[nodiscard]] uint8_t* row(int y) { return memory.data() + static_cast<ptrdiff_t>(y) * cols; }
  [[nodiscard]] const uint8_t* row(int y) const { return memory.data() + static_cast<ptrdiff_t>(y) * cols; }

  int rows, cols;
  std::vector<uint8_t> memory;
};

// Drawn once: strokes are dear, and a page repeats its letters.
struct Glyph {
  Alpha alpha;     ///< of pixels, the pen kPad from the left edge
  double advance;  ///< in strokes' pixels
};

// Plain loops: cv::resize begins OpenCV's threads.
Alpha averaged(const Alpha& large) {
  Alpha small(large.rows / kOversample, large.cols / kOversample);
  for (int y = 0; y < small.rows; ++y) {
    for (int x = 0; x < small.cols; ++x) {
      int sum = kOversample * kOversample / 2;
      for (int dy = 0; dy < kOversample; ++dy) {
        const uint8_t* large_x = large.row(y * kOversample + dy) + static_cast<ptrdiff_t>(x) * kOversample;
        for (int dx = 0; dx < kOversample; ++dx) sum += large_x[dx];
      }
      small.row(y)[x] = static_cast<uint8_t>(sum / (kOversample * kOversample));
    }
  }
  return small;
}

Glyph make_glyph(char c, const Face& face, int phase) {
  const double size = scale(face) * kOversample;
  const double advance = static_cast<double>(units_of(c)) * size;
  const int width = static_cast<int>(std::ceil((advance + phase) / kOversample)) + 2 * kPad;
  Alpha large(height(face) * kOversample, width * kOversample);
  cv::Mat drawn(large.rows, large.cols, CV_8UC1, large.memory.data());
  cv::putText(drawn, std::string(1, c), {kPad * kOversample + phase, rise(face) * kOversample}, kFont, size,
              cv::Scalar(255), std::max(1, static_cast<int>(std::lround(face.stroke * kOversample))), cv::LINE_AA);
  return {averaged(large), advance};
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

// Of any script, where it is there and finds fonts.
struct Fonts {
  const TextPart* part = nullptr;
  std::string problem;
};

Fonts open_fonts() {
  const auto opened = ops::open_part<TextPart>(reinterpret_cast<const void*>(&open_fonts));
  if (opened.table == nullptr) {
    return {nullptr, "expected Gaze's text part, got: " + opened.problem +
                         ". Install FreeType, HarfBuzz, fontconfig and FriBidi, and a Gaze built with "
                         "-DGAZE_WITH_TEXT=ON, to have every script drawn."};
  }
  try {
    (void)opened.table->width("", 10);
    return {opened.table, {}};
  } catch (const Error& error) {
    return {nullptr, error.what()};
  }
}

const Fonts& fonts() {
  static const auto* const opened = new Fonts(open_fonts());  // leaked: used until the last thread ends
  return *opened;
}

bool ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Null where the line is drawn by strokes, as it is on every machine.
const TextPart* part_for(std::string_view line) { return ascii(line) ? nullptr : fonts().part; }

// In one line, and no longer than `most` characters.
std::string first_characters(std::string_view utf8, size_t most) {
  std::string line;
  for (size_t count = 0; !utf8.empty(); ++count) {
    if (count == most) return line + "...";
    const Utf8 character = decode_utf8(utf8);
    const bool control = character.code < 0x20 || (character.code >= 0x7F && character.code < 0xA0);
    line += control ? " " : character.valid ? utf8.substr(0, character.length) : "\xEF\xBF\xBD";
    utf8.remove_prefix(character.length);
  }
  return line;
}

// Quotes, dashes and dots have a likeness that says as much; letters with marks do not.
bool punctuated_ascii(std::string_view text) {
  while (!text.empty()) {
    const Utf8 character = decode_utf8(text);
    const bool plain =
        character.code < 0x80 || character.code == 0xA0 ||
        (character.code >= 0x2010 && character.code <= 0x2026 && !to_ascii(text.substr(0, character.length), 8).lossy);
    if (!plain) return false;
    text.remove_prefix(character.length);
  }
  return true;
}

std::vector<std::string> wrap_shaped(const TextPart& part, std::string_view words, const Face& face, int limit,
                                     size_t most) {
  std::vector<Step> steps;  // by the byte that each begins with
  for (const Cluster& cluster : part.clusters(words, face.size)) {
    steps.push_back({cluster.bytes, cluster.advance_64th, cluster.breaks_before});
    for (size_t inside = 1; inside < cluster.bytes; ++inside) steps.push_back({cluster.bytes - inside, 0, false});
  }
  words = words.substr(0, steps.size());
  const auto step = [&](std::string_view rest) { return steps[static_cast<size_t>(rest.data() - words.data())]; };
  const auto wide = [&](const char* text) { return std::llround(64 * part.width(text, face.size)); };
  return gaze::wrap(words, Measure{step, wide(" "), wide("...")}, int64_t{64} * limit, most);
}

}  // namespace

Shown shown(std::string_view utf8, size_t most) {
  const std::string text = first_characters(utf8, most);
  if (!punctuated_ascii(text) && fonts().part != nullptr) {
    Shown shown{text, fonts().part->without_glyph(text)};
    shown.lossy = !shown.boxes.empty() || text.find("\xEF\xBF\xBD") != std::string::npos;
    return shown;
  }
  Plain plain = to_ascii(utf8, most);
  return {std::move(plain.text), {}, plain.lossy};
}

const std::string& latin_only() { return fonts().problem; }

int width(const std::string& line, const Face& face) {
  if (const TextPart* part = part_for(line)) return static_cast<int>(std::ceil(part->width(line, face.size)));
  int64_t units = 0;
  for (const char c : line) units += units_of(c);
  return width_of(units, face);
}

void draw(cv::Mat& rgb, const std::string& line, int left, int baseline, const Face& face) {
  if (const TextPart* part = part_for(line)) {
    const auto colour = [&](int c) { return static_cast<uint8_t>(face.colour[c]); };
    part->draw({rgb.data, rgb.rows, rgb.cols, static_cast<int64_t>(rgb.step[0])}, line, left, baseline,
               {face.size, face.stroke, {colour(0), colour(1), colour(2)}});
    return;
  }
  const int top = baseline - rise(face);
  // No wider than what can be seen of it, or a long line would cost its whole length.
  const int seen = std::max(0, rgb.cols - left) + 2 * kPad;
  Alpha alpha(height(face), std::min(seen, width(line, face) + 2 * kPad));
  double pen = kPad * kOversample;
  for (const char c : line) {
    const auto at = static_cast<int>(std::lround(pen));
    if (at / kOversample - kPad >= alpha.cols) break;
    const Glyph& glyph = glyph_of(c, face, at % kOversample);
    const int from = at / kOversample - kPad, end = std::min(from + glyph.alpha.cols, alpha.cols);
    for (int y = 0; y < alpha.rows; ++y) {
      uint8_t* line_x = alpha.row(y);
      const uint8_t* glyph_x = glyph.alpha.row(y);
      for (int x = from; x < end; ++x) line_x[x] = std::max(line_x[x], glyph_x[x - from]);
    }
    pen += glyph.advance;
  }
  const cv::Rect target = cv::Rect(left - kPad, top, alpha.cols, alpha.rows) & cv::Rect({0, 0}, rgb.size());
  const std::array<int, 3> ink{static_cast<int>(face.colour[0]), static_cast<int>(face.colour[1]),
                               static_cast<int>(face.colour[2])};
  for (int y = target.y; y < target.y + target.height; ++y) {
    const uint8_t* alpha_x = alpha.row(y - top) - (left - kPad);
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
  if (const TextPart* part = part_for(words)) return wrap_shaped(*part, words, face, limit, most);
  return gaze::wrap(words, units_of, most_units(face, limit), most);
}

}  // namespace gaze::text

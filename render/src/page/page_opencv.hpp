// SPDX-License-Identifier: MIT
// How pages look: their colours, faces, and blocks of text.
#pragma once

#include <gaze/render/record.hpp>
#include <gaze/render/words.hpp>

#include <string>
#include <vector>

#include "page/text_opencv.hpp"

namespace gaze::page {

inline const cv::Scalar kPaper(252, 252, 250), kInk(28, 30, 34), kSoft(105, 110, 118), kRule(214, 216, 218);
inline const text::Face kLabel{9, 1.1, kSoft}, kBody{10, 1.2, kInk}, kNote{9, 1.1, kSoft}, kTitle{13, 2.0, kInk};
constexpr int kMargin = 36;
/// Characters, above what one line, or the few lines of a paragraph, of the widest page hold of the narrowest letter.
constexpr size_t kMostLine = 600, kMostParagraph = 4096;

std::string format(const char* pattern, double value);

/// A lift for people: "3.4x".
std::string times(double lift);

/// A word as it is shown; a lossy one is told apart by its token's number.
std::string label(const Word& word);

struct Line {
  std::string text;
  text::Face face;
  int indent, height;
};

/// Appends `content` under a name in the margin; nothing where it is empty.
void add_wrapped(std::vector<Line>& lines, const std::string& name, const std::string& content, const text::Face& face,
                 int width, size_t most);

/// Prompt and answer.
std::vector<Line> header_lines(const AttentionRecord& record, int width);

/// One note after the other, wrapped, which characters could not be drawn, and what attention is no proof of last.
std::vector<Line> footer_lines(const AttentionRecord& record, std::vector<std::string> notes,
                               const std::string& evidence, int width);

int height_of(const std::vector<Line>& lines);
void draw_lines(cv::Mat& sheet, const std::vector<Line>& lines, int left, int top);

}  // namespace gaze::page

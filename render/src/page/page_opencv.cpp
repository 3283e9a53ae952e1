// SPDX-License-Identifier: MIT
#include "page/page_opencv.hpp"

#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

#include "maps/captions.hpp"

namespace gaze::page {
namespace {

// What of the record's texts and the notes about it is not drawn as it is written; mostly nothing.
std::string note_of_glyphs(const AttentionRecord& record, const std::vector<std::string>& notes) {
  std::set<uint32_t> boxes;
  bool lossy = false;
  const auto look_at = [&](const std::string& text) {
    const text::Shown shown = text::shown(text, kMostParagraph);
    boxes.insert(shown.boxes.begin(), shown.boxes.end());
    lossy |= shown.lossy;
  };
  look_at(record.prompt);
  look_at(answer_text(record));
  for (const std::string& note : notes) look_at(note);
  if (!boxes.empty()) {
    return std::to_string(boxes.size()) + (boxes.size() == 1 ? " character has" : " characters have") +
           " no glyph in the fonts of this machine: drawn as boxes.";
  }
  return lossy && !text::latin_only().empty() ? "What is not Latin is drawn as ?: " + text::latin_only()
                                              : std::string();
}

}  // namespace

std::string format(const char* pattern, double value) {
  char out[64];
  std::snprintf(out, sizeof out, pattern, value);
  return out;
}

std::string times(double lift) { return format(lift < 10 ? "%.1fx" : "%.0fx", lift); }

std::string label(const Word& word) {
  const std::string token = "token " + std::to_string(word.first + 1);
  if (word.text.empty()) return token;
  const text::Shown shown = text::shown(word.text, kMostLine);
  return shown.lossy ? shown.text + " (" + token + ")" : shown.text;
}

void add_wrapped(std::vector<Line>& lines, const std::string& name, const std::string& content, const text::Face& face,
                 int width, size_t most) {
  if (content.empty()) return;
  constexpr int kIndent = 84;
  bool first = true;
  for (const std::string& line : text::wrap(text::shown(content, kMostParagraph).text, face, width - kIndent, most)) {
    if (first) lines.push_back({name, kLabel, 0, 0});
    lines.push_back({line, face, kIndent, static_cast<int>(std::lround(face.size * 2.3))});
    first = false;
  }
}

std::vector<Line> header_lines(const AttentionRecord& record, int width) {
  std::vector<Line> lines;
  add_wrapped(lines, "prompt", record.prompt, {11, 1.3, kInk}, width, 4);
  add_wrapped(lines, "answer", answer_text(record), kTitle, width, 4);
  return lines;
}

std::vector<Line> footer_lines(const AttentionRecord& record, std::vector<std::string> notes,
                               const std::string& evidence, int width) {
  std::vector<Line> lines;
  if (std::string note = note_of_glyphs(record, notes); !note.empty()) notes.push_back(std::move(note));
  for (const std::string& note : notes) {
    for (const std::string& line : text::wrap(text::shown(note, kMostParagraph).text, kNote, width, 3))
      lines.push_back({line, kNote, 0, 21});
  }
  lines.push_back({evidence, kBody, 0, 24});
  return lines;
}

int height_of(const std::vector<Line>& lines) {
  int height = 0;
  for (const Line& line : lines) height += line.height;
  return height;
}

void draw_lines(cv::Mat& sheet, const std::vector<Line>& lines, int left, int top) {
  int baseline = top + static_cast<int>(kTitle.size) + 2;
  for (const Line& line : lines) {
    text::draw(sheet, line.text, left + line.indent, baseline, line.face);
    baseline += line.height;
  }
}

}  // namespace gaze::page

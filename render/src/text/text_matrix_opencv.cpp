// SPDX-License-Identifier: MIT
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "base/utf8.hpp"
#include "maps/captions.hpp"
#include "page/page_opencv.hpp"
#include "text/text_ink_opencv.hpp"
#include "text/text_pictures.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

using namespace page;

constexpr int64_t kMostColumns = 160, kMostRows = 96;
constexpr int kCell = 13, kRowLabel = 150, kColumnLabel = 120, kHead = 34, kPartHead = 22;
const text::Face kToken{8, 1.0, kInk};

struct Column {
  std::string label;
  int32_t part = 0;
  bool sink = false;
};

struct Matrix {
  std::vector<Column> columns;
  std::vector<std::string> rows;
  std::vector<float> value;  ///< [rows, columns], a share
  bool by_source = false;
};

std::string label_of(const std::string& token, const TokenSpelling* spelling) {
  const Piece piece = pieces_of({token}, spelling).front();
  return text::shown(piece.special ? token : one_line(piece.bytes), 60).text;
}

Matrix matrix_of(const AttentionRecord& record, const TextMedium& medium, const TextAnalysis& text) {
  Matrix made;
  std::vector<int64_t> keys = matrix_keys(text);
  const int64_t tokens = std::min(text.share_tk.size(0), kMostRows);
  for (int64_t t = 0; t < tokens; ++t) {
    const auto token = static_cast<size_t>(t);
    made.rows.push_back(token < record.labels.size() ? label_of(record.labels[token], record.spelling.get())
                                                     : "token " + std::to_string(t + 1));
  }
  const std::vector<TextPart>& parts = text.parts.parts;
  made.by_source = static_cast<int64_t>(keys.size()) > kMostColumns;
  const at::Tensor& from = made.by_source ? text.mass_tp : text.share_tk;
  if (made.by_source) {
    keys.clear();
    for (size_t p = 0; p < std::min(parts.size(), static_cast<size_t>(kMostColumns)); ++p) {
      keys.push_back(static_cast<int64_t>(p));
      made.columns.push_back(
          {text::shown(title(parts[p]), 60).text, static_cast<int32_t>(p), parts[p].is == TextPart::Is::Sink});
    }
  } else {
    const TokenSpelling* spelling = medium.text.tokens.empty() ? medium.spelling.get() : nullptr;
    for (const int64_t k : keys) {
      const auto key = static_cast<size_t>(k);
      const bool own = k >= text.keys.prompt;
      const int32_t part = text.parts.part_k[key];
      made.columns.push_back({label_of(text.keys.label_k[key], own ? record.spelling.get() : spelling), part,
                              parts[static_cast<size_t>(part)].is == TextPart::Is::Sink});
    }
  }
  const auto* share = from.const_data_ptr<float>();
  for (int64_t t = 0; t < tokens; ++t) {
    for (const int64_t column : keys) made.value.push_back(share[t * from.size(1) + column]);
  }
  return made;
}

/// What the colours end at: the strongest that is no sink.
float top_of(const Matrix& matrix) {
  float top = 0;
  for (size_t i = 0; i < matrix.value.size(); ++i) {
    if (!matrix.columns[i % matrix.columns.size()].sink) top = std::max(top, matrix.value[i]);
  }
  return top;
}

/// From below to above.
void draw_upright(cv::Mat& page, const std::string& label, int left, int bottom) {
  const std::string line = text::wrap(label.empty() ? "?" : label, kToken, kColumnLabel - 8, 1).front();
  cv::Mat flat(kCell, std::max(1, text::width(line, kToken) + 4), CV_8UC3, kPaper);
  text::draw(flat, line, 1, kCell - 3, kToken);
  cv::Mat upright;
  cv::rotate(flat, upright, cv::ROTATE_90_COUNTERCLOCKWISE);
  const int height = std::min(upright.rows, kColumnLabel);
  upright.rowRange(upright.rows - height, upright.rows)
      .copyTo(page(cv::Rect(left, bottom - height, upright.cols, height)));
}

/// A part's name over its columns.
void draw_parts(cv::Mat& page, const Matrix& matrix, const TextAnalysis& text, int left, int top, int bottom) {
  for (size_t first = 0; first < matrix.columns.size();) {
    size_t end = first;
    while (end < matrix.columns.size() && matrix.columns[end].part == matrix.columns[first].part) ++end;
    const TextPart& part = text.parts.parts[static_cast<size_t>(matrix.columns[first].part)];
    const int x = left + static_cast<int>(first) * kCell, width = static_cast<int>(end - first) * kCell;
    cv::rectangle(page, cv::Rect(x, top + kPartHead - 6, width - 1, 4), TextInk::of(part.is), -1);
    const std::string name = text::shown(title(part), 200).text;
    if (text::width(name, kToken) < width) text::draw(page, name, x, top + kPartHead - 9, kToken);
    if (first > 0) cv::line(page, {x - 1, top + kPartHead}, {x - 1, bottom}, kRule, 1);
    first = end;
  }
}

}  // namespace

at::Tensor draw_text_matrix(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                            PageMemory& pages) {
  const Matrix matrix = matrix_of(record, std::get<TextMedium>(map.medium), text);
  const auto columns = static_cast<int>(matrix.columns.size()), rows = static_cast<int>(matrix.rows.size());
  const int width = std::max(kMargin * 2 + kRowLabel + columns * kCell, 640);
  const bool parts = !matrix.by_source;
  const int top = kMargin + kHead + (parts ? kPartHead : 0) + kColumnLabel;
  const float most = top_of(matrix);
  std::vector<std::string> notes;
  if (matrix.by_source) notes.push_back("The text is too long for a column for each token: each column is a source.");
  if (text.share_tk.size(0) > kMostRows) notes.push_back("The first " + std::to_string(kMostRows) + " tokens.");
  notes.push_back(format("Colour: the share of a token's attention, up to %.1f %%; ", 100 * static_cast<double>(most)) +
                  "what is stronger, a sink's, has the last colour.");
  const std::vector<Line> footer = footer_lines(record, notes, evidence_note(map), width - 2 * kMargin);
  const int bottom = top + rows * kCell;
  const at::Tensor page_hwc = pages.take(bottom + 12 + height_of(footer) + kMargin, width);
  cv::Mat page = view(page_hwc);
  page.setTo(kPaper);
  text::draw(page, matrix.by_source ? "Each token of the answer, and what it read" : "Token by token", kMargin,
             kMargin + 14, kTitle);
  const int left = kMargin + kRowLabel;
  const TextInk ink(record.style);
  for (int c = 0; c < columns; ++c)
    draw_upright(page, matrix.columns[static_cast<size_t>(c)].label, left + c * kCell, top - 3);
  for (int r = 0; r < rows; ++r) {
    const std::string label = text::wrap(matrix.rows[static_cast<size_t>(r)], kToken, kRowLabel - 12, 1).front();
    text::draw(page, label, left - 6 - text::width(label, kToken), top + r * kCell + kCell - 3, kToken);
    for (int c = 0; c < columns; ++c) {
      const float value = matrix.value[static_cast<size_t>(r * columns + c)];
      const double level = most > 0 ? std::sqrt(static_cast<double>(value / most)) : 0;
      cv::rectangle(page, cv::Rect(left + c * kCell, top + r * kCell, kCell - 1, kCell - 1), ink.behind(level), -1);
    }
  }
  if (parts) draw_parts(page, matrix, text, left, kMargin + kHead, bottom);
  draw_lines(page, footer, kMargin, bottom + 12);
  return page_hwc;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <opencv2/imgproc.hpp>

#include "maps/captions.hpp"
#include "page/colour_bar_opencv.hpp"
#include "page/page_opencv.hpp"
#include "text/text_ink_opencv.hpp"
#include "text/text_pictures.hpp"

namespace gaze {
namespace {

using namespace page;

constexpr int kWidth = 1280, kLabelWidth = 190, kTextLeft = kMargin + kLabelWidth + 12;
constexpr int kTextWidth = kWidth - kMargin - kTextLeft, kLineHeight = 26, kBarHeight = 16, kBarPitch = 24;
constexpr size_t kMostBars = 24, kMostWords = 12, kMostParagraphs = 8, kWholeLines = 3, kWordLines = 2,
                 kPartsOfWord = 3;
constexpr double kNothing = 0.0005;  ///< of a sink that has no bar
constexpr double kLeastPart = 0.03;  ///< share of a word's attention that a part is shown for
const text::Face kRead{10, 1.3, kInk}, kPart{9, 1.2, kInk}, kWarning{10, 1.5, cv::Scalar(176, 58, 32)};

double at(const at::Tensor& value_ln, int64_t l, size_t n) {
  return static_cast<double>(value_ln.const_data_ptr<float>()[l * value_ln.size(1) + static_cast<int64_t>(n)]);
}

std::string percent(double share) { return format(share < 0.0995 ? "%.1f %%" : "%.0f %%", 100 * share); }

/// What is drawn once the page's height is known.
class Flow {
 public:
  Flow(const AttentionRecord& record, const TextAnalysis& text) : text_(text), ink_(record.style) {}

  void space(int height) { top_ += height; }
  [[nodiscard]] int top() const { return top_; }
  void add(int height, std::function<void(cv::Mat&, int top)> draw) {
    steps_.push_back([draw = std::move(draw), top = top_](cv::Mat& page) { draw(page, top); });
    top_ += height;
  }
  void lines(const std::vector<Line>& lines) {
    add(height_of(lines), [=](cv::Mat& page, int top) { draw_lines(page, lines, kMargin, top); });
  }
  void rule() {
    add(1, [](cv::Mat& page, int top) { cv::line(page, {kMargin, top}, {kWidth - kMargin, top}, kRule, 1); });
  }
  void title(const std::string& words) {
    add(30, [=](cv::Mat& page, int top) { text::draw(page, words, kMargin, top + 20, kTitle); });
  }

  /// A bar for each part of row `l`, sources first; of many those with most.
  void bars(int64_t l) {
    const std::vector<TextPart>& parts = text_.parts.parts;
    std::vector<size_t> order;
    for (size_t p = 0; p < parts.size(); ++p) {
      const bool nothing = parts[p].is == TextPart::Is::Sink && at(text_.mass_lp, l, p) < kNothing;
      if (!nothing) order.push_back(p);
    }
    const size_t all = order.size();
    if (order.size() > kMostBars) {
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return at(text_.mass_lp, l, a) > at(text_.mass_lp, l, b); });
      order.resize(kMostBars);
      std::sort(order.begin(), order.end());
    }
    double most = 0, told = 0;
    for (const size_t p : order) most = std::max(most, at(text_.mass_lp, l, p));
    for (const size_t p : order) {
      const double mass = at(text_.mass_lp, l, p);
      told += mass;
      add(kBarPitch, [=, this](cv::Mat& page, int top) { draw_bar(page, top, parts[p], mass, most); });
    }
    if (order.size() < all) {
      const std::string rest = std::to_string(all - order.size()) + " more: " + percent(1 - told);
      add(kBarPitch, [=](cv::Mat& page, int top) { text::draw(page, rest, kTextLeft, top + 13, kNote); });
    }
  }

  /// The part's words, tinted by row `l`, in at most `most` lines around what was read most.
  void paragraph(int64_t l, int32_t part, size_t most, bool flat, double range) {
    const std::vector<size_t> words = window_of(l, part, most);
    if (words.empty()) return;
    const TextPart& of = text_.parts.parts[static_cast<size_t>(part)];
    const std::string mass = percent(at(text_.mass_lp, l, static_cast<size_t>(part)));
    int x = 0, y = 0;
    const int blank = text::width(" ", kRead) + 5;
    struct Placed {
      std::string text;
      int x, y, width;
      double value;
    };
    std::vector<Placed> placed;
    const auto place = [&](const std::string& text, bool joined, double value) {
      const int width = text::width(text, kRead);
      if (x > 0) x += joined ? 0 : blank;
      if (x > 0 && x + width > kTextWidth) {
        x = 0;
        ++y;
      }
      placed.push_back({text, x, y, width, value});
      x += width;
    };
    const bool begins = words.front() == 0 || text_.read[words.front() - 1].part != part;
    if (!begins) place("...", false, 0);
    for (const size_t r : words) {
      const ReadWord& word = text_.read[r];
      const double value = flat || range <= 0 ? 0 : at(text_.shown_lr, l, r) / range;
      place(text::shown(word.text.empty() ? "?" : word.text, 80).text, word.joined, value);
    }
    const bool ends = words.back() + 1 == text_.read.size() || text_.read[words.back() + 1].part != part;
    if (!ends) place("...", false, 0);
    add((y + 1) * kLineHeight + 4, [=, this, title = label_of(of)](cv::Mat& page, int top) {
      text::draw(page, title, kMargin, top + 17, kPart);
      text::draw(page, mass, kTextLeft - 14 - text::width(mass, kNote), top + 17, kNote);
      for (const Placed& word : placed) {
        const int left = kTextLeft + word.x, line = top + word.y * kLineHeight;
        const cv::Scalar behind = ink_.behind(word.value);
        if (word.value > 0) cv::rectangle(page, cv::Rect(left - 2, line, word.width + 4, kLineHeight - 3), behind, -1);
        text::draw(page, word.text, left, line + 17, {kRead.size, kRead.stroke, TextInk::on(behind)});
      }
    });
  }

  void draw(cv::Mat& page) const {
    for (const auto& step : steps_) step(page);
  }

 private:
  [[nodiscard]] static std::string label_of(const TextPart& part) {
    return text::wrap(text::shown(title_of(part), 300).text, kPart, kLabelWidth - 60, 1).front();
  }
  [[nodiscard]] static std::string title_of(const TextPart& part) { return gaze::title(part); }

  static void draw_bar(cv::Mat& page, int top, const TextPart& part, double mass, double most) {
    constexpr int kRoom = kTextWidth - 120;
    text::draw(page, label_of(part), kMargin, top + 13, kPart);
    const int width = most > 0 ? static_cast<int>(std::lround(mass / most * kRoom)) : 0;
    cv::rectangle(page, cv::Rect(kTextLeft, top, std::max(width, 1), kBarHeight), TextInk::of(part.is), -1);
    text::draw(page, percent(mass), kTextLeft + width + 10, top + 13, kNote);
  }

  /// Words of a part that fit into the lines.
  [[nodiscard]] std::vector<size_t> window_of(int64_t l, int32_t part, size_t lines) const {
    const int64_t room = static_cast<int64_t>(lines) * kTextWidth * 9 / 10;
    const int blank = text::width(" ", kRead) + 5;
    const auto width_of = [&](size_t r) {
      return text::width(text::shown(text_.read[r].text, 80).text, kRead) + blank;
    };
    const auto is = [&](size_t r) { return r < text_.read.size() && text_.read[r].part == part; };
    // The middle is what was read most; then a word on either side in turn, as long as there is room.
    const ReadWindow window = best_window(text_, l, part, lines * static_cast<size_t>(kTextWidth) / 140);
    std::vector<size_t> words;
    int64_t width = 0;
    const auto fits = [&](size_t r) {
      width += width_of(r);
      return width <= room;
    };
    size_t first = window.first, end = window.first;
    while (end < window.first + window.count && fits(end)) ++end;
    for (bool before = true, behind = true; before || behind;) {
      behind = behind && is(end) && fits(end);
      if (behind) ++end;
      before = before && first > 0 && is(first - 1) && fits(first - 1);
      if (before) --first;
    }
    for (size_t r = first; r < end; ++r) {
      if (is(r)) words.push_back(r);
    }
    return words;
  }

  const TextAnalysis& text_;
  TextInk ink_;
  int top_ = kMargin;
  std::vector<std::function<void(cv::Mat&)>> steps_;
};

/// Parts with words, in their order, of which row l looked at `least` at least; of many those with most.
std::vector<int32_t> parts_read(const TextAnalysis& text, int64_t l, double least, size_t most) {
  std::vector<int32_t> parts;
  for (size_t p = 0; p < text.parts.parts.size(); ++p) {
    if (text.parts.parts[p].is_read() && at(text.mass_lp, l, p) >= least) parts.push_back(static_cast<int32_t>(p));
  }
  const auto mass = [&](int32_t p) { return at(text.mass_lp, l, static_cast<size_t>(p)); };
  std::stable_sort(parts.begin(), parts.end(), [&](int32_t a, int32_t b) { return mass(a) > mass(b); });
  if (parts.size() > most) parts.resize(most);
  return parts;
}

/// Whether a word of the part is tinted so that it is seen.
bool stands_out(const TextAnalysis& text, int64_t l, int32_t part, double range) {
  constexpr double kSeen = 0.2;
  for (const size_t r : top_words(text, l, part, 1)) return at(text.shown_lr, l, r) > kSeen * range;
  return false;
}

std::vector<std::string> notes_of(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                                  size_t left_out) {
  std::vector<std::string> notes = text.keys.notes;
  notes.insert(notes.end(), text.parts.notes.begin(), text.parts.notes.end());
  const std::vector<SiteUse>& own = std::get<TextMedium>(map.medium).sites;
  std::string sites;
  for (const SiteUse& site : own.empty() ? record.sites : own) sites += (sites.empty() ? "" : ", ") + site.name;
  notes.push_back("Sites: " + sites + ".");
  notes.push_back(own.empty() ? describe_choices(record, map, text.sinks_subtracted)
                              : std::string("Layers: mean. Heads: mean."));
  notes.push_back(
      "Bars: the share of all attention, of the words with content. Sinks: tokens that draw attention "
      "whatever is asked; they are told apart, and no word is tinted by them.");
  if (left_out > 0) notes.push_back(std::to_string(left_out) + " more words are in sources.json.");
  if (const std::string origin = describe_origin(record); !origin.empty()) notes.push_back(origin);
  return notes;
}

}  // namespace

at::Tensor draw_text_sheet(const AttentionRecord& record, const MediumMap& map, const TextAnalysis& text,
                           PageMemory& pages) {
  Flow flow(record, text);
  constexpr int kInner = kWidth - 2 * kMargin;
  if (const std::vector<Line> header = header_lines(record, kInner); !header.empty()) {
    flow.lines(header);
    flow.space(6);
    flow.rule();
    flow.space(10);
  }
  flow.title("What the answer rests on");
  flow.bars(0);
  if (is_flat(text)) {
    flow.add(kBarPitch, [](cv::Mat& page, int top) {
      text::draw(page, "No passage stands out among the others.", kTextLeft, top + 14, kWarning);
    });
  }
  flow.space(10);
  flow.add(46, [&](cv::Mat& page, int top) {
    draw_colour_bar(page, record.style, text.range_max_lift, 252, kTextLeft, top, 360);
    text::draw(page, describe_colours(record.style, text.sinks_subtracted), kTextLeft + 380, top + 13, kNote);
  });
  flow.space(8);
  for (const int32_t part : parts_read(text, 0, 0, kMostParagraphs))
    flow.paragraph(0, part, kWholeLines, text.summary.diffuse, text.summary.range_max_lift);
  size_t shown = 0, left_out = 0;
  for (size_t w = 0; w < text.words.size(); ++w) {
    const WordFacts& word = text.words[w];
    if (!word.content) continue;
    if (++shown > kMostWords) {
      ++left_out;
      continue;
    }
    flow.space(8);
    flow.rule();
    flow.space(4);
    flow.title(label(word.word) + (word.diffuse ? " (diffuse)" : ""));
    const auto l = static_cast<int64_t>(w) + 1;
    bool first = true;
    for (const int32_t part : parts_read(text, l, kLeastPart, kPartsOfWord)) {
      if (first || stands_out(text, l, part, word.range_max_lift))
        flow.paragraph(l, part, first ? kWordLines : 1, word.diffuse, word.range_max_lift);
      first = false;
    }
  }
  flow.space(8);
  flow.rule();
  flow.space(8);
  flow.lines(footer_lines(record, notes_of(record, map, text, left_out), evidence_note(map), kInner));
  const at::Tensor page_hwc = pages.take(flow.top() + kMargin, kWidth);
  cv::Mat page = view(page_hwc);
  page.setTo(kPaper);
  flow.draw(page);
  return page_hwc;
}

}  // namespace gaze

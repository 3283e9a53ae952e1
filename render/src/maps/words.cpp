// SPDX-License-Identifier: MIT
#include <gaze/render/words.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/utf8.hpp"
#include "maps/punctuation.hpp"
#include "maps/word_breaks.hpp"
#include "tokens/characters.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

constexpr uint32_t kJoiner = 0x200D;

bool regional(uint32_t code) { return code >= 0x1F1E6 && code <= 0x1F1FF; }

/// Tokens between two special ones, as one text.
class Run {
 public:
  Run(const std::vector<Piece>& pieces, size_t first, size_t end) : first_(first), parts_(end - first) {
    for (size_t i = first; i < end; ++i) {
      parts_[i - first].at = text_.size();
      text_ += pieces[i].bytes;
    }
    read(pieces);
  }

  [[nodiscard]] const std::string& text() const { return text_; }

  /// Whether words depend on where the text breaks.
  [[nodiscard]] bool asks() const {
    return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.start == Start::AtBreak; });
  }

  /// @param breaks  of the text; null: not known, each token begins a word
  void add_words(const WordBreaks* breaks, std::vector<Word>& words) const {
    const size_t before = words.size();
    bool blank = false;  // the last word is white space so far
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (i == 0 || (begins(parts_[i], breaks) && !blank)) {
        words.push_back(
            {.text = {}, .first = static_cast<int64_t>(first_ + i), .count = 0, .joined = parts_[i].joined});
        blank = true;
      }
      ++words.back().count;
      words.back().text += bytes(i);
      blank = blank && parts_[i].blank;
    }
    // White space at the end belongs to the word before it, where there is one.
    if (blank) {
      const int64_t count = words.back().count;
      words.pop_back();
      if (words.size() > before) words.back().count += count;
    }
    std::for_each(words.begin() + static_cast<std::ptrdiff_t>(before), words.end(),
                  [](Word& word) { trim(word.text); });
  }

  void mark_punctuation(std::vector<bool>& marks) const {
    for (size_t i = 0; i < parts_.size(); ++i) marks[first_ + i] = !parts_[i].blank && !parts_[i].said;
  }

 private:
  enum class Start {
    Inside,  ///< no word begins here
    Word,    ///< one may begin here
    AtBreak  ///< one begins here where the text breaks into words
  };

  struct Part {
    size_t at = 0;  ///< in the text
    Start start = Start::Inside;
    bool joined = false;  ///< a word may begin here, and no space stands before it
    bool blank = true;    ///< nothing but white space
    bool said = false;    ///< something else than white space and punctuation
  };

  static bool begins(const Part& part, const WordBreaks* breaks) {
    if (part.start != Start::AtBreak || breaks == nullptr) return part.start != Start::Inside;
    return std::binary_search(breaks->at.begin(), breaks->at.end(), part.at);
  }

  [[nodiscard]] std::string_view bytes(size_t part) const {
    const size_t end = part + 1 < parts_.size() ? parts_[part + 1].at : text_.size();
    return std::string_view(text_).substr(parts_[part].at, end - parts_[part].at);
  }

  // One character after another, with the parts that begin at it or inside it.
  void read(const std::vector<Piece>& pieces) {
    size_t part = 0, flag_halves = 0;  // in a row
    uint32_t before = ' ';
    for (size_t at = 0; at < text_.size();) {
      const Utf8 character = decode_utf8(std::string_view(text_).substr(at));
      const size_t end = at + character.length;
      const bool in_one_sight =
          extends(character.code) || before == kJoiner || (flag_halves % 2 == 1 && regional(character.code));
      for (; part < parts_.size() && parts_[part].at < end; ++part) {
        const bool inside = parts_[part].at != at || (in_one_sight && !white(before));
        if (!inside) parts_[part].start = start(pieces[first_ + part].front, before, character.code);
        parts_[part].joined = part > 0 && joined(pieces[first_ + part].front, before, character.code);
      }
      if (!white(character.code)) {
        for (size_t i = part; i-- > 0;) {
          parts_[i].blank = false;
          parts_[i].said = parts_[i].said || !punctuation(character.code);
          if (parts_[i].at <= at) break;
        }
      }
      flag_halves = regional(character.code) ? flag_halves + 1 : 0;
      before = character.code;
      at = end;
    }
  }

  static Start start(Piece::Front front, uint32_t before, uint32_t at) {
    const auto neither = [&](Spacing kind) { return spacing(before) != kind && spacing(at) != kind; };
    const Start looked_up = in_dictionaries(before) && in_dictionaries(at) ? Start::AtBreak : Start::Word;
    if (front == Piece::Front::Begins) return Start::Word;
    // A tokenizer that splits at spaces continues a text of syllables to its end.
    if (front == Piece::Front::Continues)
      return neither(Spacing::Spaces) && neither(Spacing::Ideographs) ? looked_up : Start::Inside;
    if (neither(Spacing::Spaces)) return looked_up;
    const bool one = spacing(before) != Spacing::Spaces || spacing(at) != Spacing::Spaces;
    return front == Piece::Front::Unmarked || one || white(before) || white(at) ? Start::Word : Start::Inside;
  }

  static bool joined(Piece::Front front, uint32_t before, uint32_t at) {
    if (white(before) || white(at)) return false;
    return front == Piece::Front::Open || (spacing(before) != Spacing::Spaces && spacing(at) != Spacing::Spaces);
  }

  static void trim(std::string& text) {
    size_t first = 0, last = 0;  // of what is not white space
    bool found = false;
    for (size_t at = 0; at < text.size();) {
      const Utf8 character = decode_utf8(std::string_view(text).substr(at));
      if (!white(character.code)) {
        if (!found) first = at;
        found = true;
        last = at + character.length;
      }
      at += character.length;
    }
    text = text.substr(first, last - first);
  }

  size_t first_;
  std::string text_;
  std::vector<Part> parts_;
};

std::vector<Run> runs_of(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  const std::vector<Piece> pieces = pieces_of(labels, spelling);
  std::vector<Run> runs;
  for (size_t first = 0; first < pieces.size();) {
    size_t end = first;
    while (end < pieces.size() && !pieces[end].special) ++end;
    if (end > first) runs.emplace_back(pieces, first, end);
    first = end + 1;
  }
  return runs;
}

/// Of the runs that ask for them. All or none: an answer has words by one rule.
std::vector<std::optional<WordBreaks>> breaks_of(const std::vector<Run>& runs, WordRule& rule) {
  std::vector<std::optional<WordBreaks>> breaks(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].asks()) continue;
    breaks[i] = word_breaks(runs[i].text(), rule.note);
    if (!breaks[i]) {
      rule.name = "tokens";
      breaks.assign(runs.size(), std::nullopt);
      break;
    }
    rule.name = breaks[i]->by;
  }
  return breaks;
}

}  // namespace

std::vector<Word> merge_words(const std::vector<std::string>& labels, const TokenSpelling* spelling, WordRule* rule) {
  const std::vector<Run> runs = runs_of(labels, spelling);
  WordRule found;
  const std::vector<std::optional<WordBreaks>> breaks = breaks_of(runs, found);
  std::vector<Word> words;
  for (size_t i = 0; i < runs.size(); ++i) runs[i].add_words(breaks[i] ? &*breaks[i] : nullptr, words);
  if (rule != nullptr) *rule = std::move(found);
  return words;
}

std::vector<bool> punctuation_tokens(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  std::vector<bool> marks(labels.size());
  for (const Run& run : runs_of(labels, spelling)) run.mark_punctuation(marks);
  return marks;
}

}  // namespace gaze

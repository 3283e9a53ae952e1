// SPDX-License-Identifier: MIT
#include <gaze/render/words.hpp>

#include <algorithm>
#include <string_view>

#include "base/utf8.hpp"
#include "maps/punctuation.hpp"
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
      parts_[i - first].start = text_.size();
      text_ += pieces[i].bytes;
    }
    read(pieces);
  }

  void add_words(std::vector<Word>& words) const {
    const size_t before = words.size();
    bool blank = false;  // the last word is white space so far
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (i == 0 || (parts_[i].begins && !blank)) {
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
  struct Part {
    size_t start = 0;     ///< in the text
    bool begins = false;  ///< a word may begin here
    bool joined = false;  ///< and no space stands before it
    bool blank = true;    ///< nothing but white space
    bool said = false;    ///< something else than white space and punctuation
  };

  [[nodiscard]] std::string_view bytes(size_t part) const {
    const size_t end = part + 1 < parts_.size() ? parts_[part + 1].start : text_.size();
    return std::string_view(text_).substr(parts_[part].start, end - parts_[part].start);
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
      for (; part < parts_.size() && parts_[part].start < end; ++part) {
        parts_[part].begins = parts_[part].start == at && !(in_one_sight && !white(before)) &&
                              begins(pieces[first_ + part].front, before, character.code);
        parts_[part].joined = part > 0 && joined(pieces[first_ + part].front, before, character.code);
      }
      if (!white(character.code)) {
        for (size_t i = part; i-- > 0;) {
          parts_[i].blank = false;
          parts_[i].said = parts_[i].said || !punctuation(character.code);
          if (parts_[i].start <= at) break;
        }
      }
      flag_halves = regional(character.code) ? flag_halves + 1 : 0;
      before = character.code;
      at = end;
    }
  }

  static bool begins(Piece::Front front, uint32_t before, uint32_t at) {
    if (front == Piece::Front::Begins) return true;
    // A tokenizer that splits at spaces continues such a text to its end.
    if (front == Piece::Front::Continues)
      return spacing(before) == Spacing::Syllables && spacing(at) == Spacing::Syllables;
    return white(before) || white(at) || spacing(before) != Spacing::Spaces || spacing(at) != Spacing::Spaces;
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

}  // namespace

std::vector<Word> merge_words(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  std::vector<Word> words;
  for (const Run& run : runs_of(labels, spelling)) run.add_words(words);
  return words;
}

std::vector<bool> punctuation_tokens(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  std::vector<bool> marks(labels.size());
  for (const Run& run : runs_of(labels, spelling)) run.mark_punctuation(marks);
  return marks;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "tokens/pieces.hpp"

#include <algorithm>
#include <bitset>
#include <optional>
#include <tuple>
#include <utility>

#include "base/utf8.hpp"
#include "tokens/byte_level.hpp"

namespace gaze {
namespace {

using Bytes = TokenSpelling::Bytes;
using Words = TokenSpelling::Words;

constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581
constexpr std::string_view kSpaceStandIn = "\xC4\xA0";   // U+0120
constexpr std::string_view kLineStandIn = "\xC4\x8A";    // U+010A
constexpr std::string_view kContinues = "##", kEnds = "</w>", kJoins = "@@";
constexpr size_t kTokensPerMark = 200;  // where fewer have one, it is text

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

// Of "<0xNN>", else -1.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  const int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Length of the marks of words at the front of a token.
size_t begin_mark(std::string_view token) {
  size_t length = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view mark : {std::string_view(" "), kMetaspace, kSpaceStandIn}) {
      if (!token.substr(length).starts_with(mark)) continue;
      length += mark.size();
      found = true;
    }
  }
  return length;
}

bool has_behind(std::string_view token, std::string_view mark) {
  return token.size() > mark.size() && token.starts_with(mark);
}

bool has_before(std::string_view token, std::string_view mark) {
  return token.size() > mark.size() && token.ends_with(mark);
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  if (what.empty()) return;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

struct MarkCounts {
  size_t begins = 0, lone_begins = 0, metaspaces = 0, stand_ins = 0, ends = 0, joins = 0, continues = 0;

  [[nodiscard]] size_t most() const { return std::max({begins, ends, joins, continues}); }
};

MarkCounts count_marks(const std::vector<std::string>& tokens) {
  MarkCounts counts;
  for (const std::string& token : tokens) {
    const size_t mark = begin_mark(token);
    if (mark > 0) ++(mark < token.size() ? counts.begins : counts.lone_begins);
    if (token.starts_with(kMetaspace)) ++counts.metaspaces;
    if (token.find(kSpaceStandIn) != std::string::npos || token.find(kLineStandIn) != std::string::npos)
      ++counts.stand_ins;
    if (has_before(token, kEnds)) ++counts.ends;
    if (has_before(token, kJoins)) ++counts.joins;
    if (has_behind(token, kContinues)) ++counts.continues;
  }
  return counts;
}

// The mark that most tokens have.
std::pair<Words, std::string_view> words_by(const MarkCounts& counts) {
  const size_t most = counts.most();
  if (most == 0) return {counts.lone_begins > 0 ? Words::Spaces : Words::Each, {}};
  if (counts.begins == most) return {Words::Spaces, {}};
  if (counts.ends == most) return {Words::Suffix, kEnds};
  return counts.joins == most ? std::pair{Words::Joiner, kJoins} : std::pair{Words::Prefix, kContinues};
}

// In an answer a mark at the front of any word decides: "##" is then text (a Markdown heading).
std::pair<Words, std::string_view> words_by_labels(MarkCounts counts) {
  if (counts.begins + counts.lone_begins > 0) counts = {.lone_begins = 1};
  return words_by(counts);
}

class Speller {
 public:
  Speller(const std::vector<std::string>& labels, const TokenSpelling& spelling)
      : spelling_(spelling), words_(spelling.words), mark_(spelling.mark) {
    const MarkCounts counts = count_marks(labels);
    if (words_ == Words::ByLabels) std::tie(words_, mark_) = words_by_labels(counts);
    const bool likely = spelling.bytes == Bytes::Likely;
    stand_ins_ = spelling.bytes == Bytes::StandIns;
    if (likely || spelling.bytes == Bytes::ByLabels)
      stand_ins_ = stand_for_text(labels, likely || counts.stand_ins > 0);
  }

  [[nodiscard]] bool special(std::string_view label) const {
    if (label.empty()) return true;
    if (spelling_.special) return spelling_.special->count(std::string(label)) > 0;
    // CLIP has a token "<3</w>".
    if (words_ == Words::Suffix && has_before(label, mark_)) return false;
    return looks_special(label);
  }

  /// Of a token that is not special.
  /// @param continued  whether the tokenizer says that it goes on with a word; then whether the next one does
  Piece piece(std::string_view label, bool& continued) const {
    const std::string_view text = unmarked(label);
    const bool marked = text.size() < label.size();
    Piece piece;
    if (words_ == Words::Each)
      piece.front = spelling_.words == Words::Each ? Piece::Front::Begins : Piece::Front::Unmarked;
    if (words_ == Words::Prefix) piece.front = marked ? Piece::Front::Continues : Piece::Front::Begins;
    if (words_ == Words::Suffix || words_ == Words::Joiner) {
      piece.front = continued ? Piece::Front::Continues : Piece::Front::Begins;
      continued = marked == (words_ == Words::Joiner);
    }
    piece.bytes = bytes(text);
    return piece;
  }

 private:
  // Without what says where words begin and end.
  [[nodiscard]] std::string_view unmarked(std::string_view label) const {
    if (words_ == Words::Prefix && has_behind(label, mark_)) label.remove_prefix(mark_.size());
    if ((words_ == Words::Suffix || words_ == Words::Joiner) && has_before(label, mark_))
      label.remove_suffix(mark_.size());
    return label;
  }

  // Whether all labels are bytes in GPT-2's alphabet that make UTF-8. Latin letters are of that alphabet too:
  // "NESCAFÉ®" makes UTF-8 of it.
  [[nodiscard]] bool stand_for_text(const std::vector<std::string>& labels, bool has_marks) const {
    std::string text;
    size_t characters = 0, longest = 0;
    const auto whole = [&](bool last) {
      for (std::string_view rest = text; !rest.empty();) {
        const Utf8 character = decode_utf8(rest);
        // An answer may end inside a character; "café" seems to.
        if (!character.valid) return last && character.length == rest.size() && (character.length > 1 || longest > 1);
        if (character.length > 1) ++characters;
        longest = std::max(longest, character.length);
        rest.remove_prefix(character.length);
      }
      text.clear();
      return true;
    };
    for (const std::string& label : labels) {
      if (special(label)) {
        if (!whole(false)) return false;
        continue;
      }
      const std::optional<std::string> bytes = bytes_of_stand_ins(unmarked(label));
      if (!bytes) return false;
      text += *bytes;
    }
    return whole(true) && (has_marks || longest > 2 || characters > 1);
  }

  [[nodiscard]] std::string bytes(std::string_view token) const {
    if (stand_ins_) return bytes_of_stand_ins(token).value_or(std::string(token));
    const int byte = spelling_.byte_fallback ? fallback_byte(token) : -1;
    if (byte >= 0) return {static_cast<char>(byte)};
    std::string text(token);
    if (spelling_.bytes == Bytes::Themselves) {
      if (words_ == Words::Spaces) replace_all(text, mark_, " ");
      return text;
    }
    // Of GPT-2's stand-ins the marks alone, before what is text already.
    std::string front = text.substr(0, begin_mark(text));
    text.erase(0, front.size());
    replace_all(front, kSpaceStandIn, " ");
    if (text == kLineStandIn) text = "\n";
    text.insert(0, front);
    replace_all(text, kMetaspace, " ");
    return text;
  }

  const TokenSpelling& spelling_;
  Words words_;
  std::string_view mark_;
  bool stand_ins_ = false;
};

bool has_whole_alphabet(const std::vector<std::string>& vocabulary) {
  std::bitset<256> found;
  for (const std::string& token : vocabulary) {
    if (token.empty() || token.size() > 2) continue;
    const Utf8 character = decode_utf8(token);
    const int byte = character.valid && character.length == token.size() ? stood_for(character.code) : -1;
    if (byte >= 0) found.set(static_cast<size_t>(byte));
  }
  return found.all();
}

}  // namespace

bool looks_special(std::string_view token) {
  if (token.empty()) return true;
  if (token.size() > 2 && token.front() == '<' && token.back() == '>') return fallback_byte(token) < 0;
  if (token.size() < 3 || token.front() != '[' || token.back() != ']') return false;
  const std::string_view name = token.substr(1, token.size() - 2);
  for (const char* known : {"CLS", "SEP", "PAD", "UNK", "MASK", "BOS", "EOS"}) {
    if (name == known) return true;
  }
  return has_behind(name, "unused") && name.find_first_not_of("0123456789", 6) == std::string_view::npos;
}

TokenSpelling spelling_of(const std::vector<std::string>& vocabulary) {
  const MarkCounts counts = count_marks(vocabulary);
  TokenSpelling spelling;
  std::tie(spelling.words, spelling.mark) = words_by(counts);
  const bool few = counts.most() * kTokensPerMark < vocabulary.size();
  if (few && counts.most() > 0) spelling.words = TokenSpelling::Words::ByLabels;
  if (has_whole_alphabet(vocabulary)) {
    spelling.bytes = Bytes::StandIns;
  } else if (spelling.words == Words::Spaces && counts.metaspaces > counts.stand_ins) {
    spelling.bytes = Bytes::Themselves;
    spelling.mark = kMetaspace;
  } else if (spelling.words == Words::Prefix) {
    spelling.bytes = Bytes::Themselves;
    spelling.byte_fallback = false;
  } else if (counts.stand_ins > 0) {
    spelling.bytes = Bytes::Likely;
  }
  return spelling;
}

std::vector<Piece> pieces_of(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  const TokenSpelling unknown;
  const Speller speller(labels, spelling != nullptr ? *spelling : unknown);
  std::vector<Piece> pieces;
  pieces.reserve(labels.size());
  bool continued = false;
  for (const std::string& label : labels) {
    if (speller.special(label)) {
      pieces.push_back({.special = true});
      continued = false;
    } else {
      pieces.push_back(speller.piece(label, continued));
    }
  }
  return pieces;
}

}  // namespace gaze

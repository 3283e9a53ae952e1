// SPDX-License-Identifier: MIT
#include "text/character_places.hpp"

#include <algorithm>
#include <string_view>

#include "base/utf8.hpp"
#include "tokens/characters.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

/// A byte of the text that is not white space, and the character that it is of.
struct Said {
  char byte;
  int64_t character;
};

char folded(char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte; }

std::vector<Said> said_bytes(std::string_view utf8) {
  std::vector<Said> said;
  int64_t character = 0;
  for (size_t at = 0; at < utf8.size(); ++character) {
    const Utf8 next = decode_utf8(utf8.substr(at));
    for (size_t i = 0; i < next.length && !white(next.code); ++i) said.push_back({folded(utf8[at + i]), character});
    at += next.length;
  }
  return said;
}

/// Without white space.
std::string said_of(std::string_view bytes) {
  std::string said;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8 next = decode_utf8(bytes.substr(at));
    for (size_t i = 0; i < next.length && !(next.valid && white(next.code)); ++i) said += folded(bytes[at + i]);
    at += next.length;
  }
  return said;
}

}  // namespace

std::optional<std::vector<CharacterSpan>> character_places(const std::string& utf8,
                                                           const std::vector<std::string>& labels,
                                                           const TokenSpelling* spelling) {
  constexpr size_t kReach = 64;  // bytes that a normalising tokenizer may leave out or write otherwise
  const std::vector<Said> text = said_bytes(utf8);
  const std::vector<Piece> pieces = pieces_of(labels, spelling);
  std::vector<CharacterSpan> places(labels.size());
  size_t at = 0, found = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    // What is no text may be written out all the same, as a chat's template does.
    const std::string said = said_of(pieces[i].special ? labels[i] : pieces[i].bytes);
    if (said.empty()) continue;
    const size_t reach = pieces[i].special ? 1 : kReach;
    for (size_t from = at; from < std::min(at + reach, text.size()); ++from) {
      if (text.size() - from < said.size()) break;
      const auto same = [&](size_t b) { return text[from + b].byte == said[b]; };
      size_t b = 0;
      while (b < said.size() && same(b)) ++b;
      if (b < said.size()) continue;
      places[i] = {text[from].character, text[from + said.size() - 1].character + 1};
      at = from + said.size();
      found += said.size();
      break;
    }
  }
  if (found * 10 < text.size() * 9) return std::nullopt;
  return places;
}

}  // namespace gaze

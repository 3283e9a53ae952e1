// SPDX-License-Identifier: MIT
#include "text/text_parts.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "base/utf8.hpp"
#include "text/character_places.hpp"
#include "tokens/characters.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

constexpr size_t kMostIdBytes = 200, kMostSources = 1024, kMostNotes = 20;

/// Tokens [first, end).
struct TokenSpan {
  int64_t first = 0, end = 0;
};

std::string range(int64_t first, int64_t end) { return "[" + std::to_string(first) + ", " + std::to_string(end) + ")"; }

/// Places a request's sources, or says why not.
class Sources {
 public:
  Sources(const TextMedium& medium, const TextKeys& keys) : medium_(medium), keys_(keys) {}

  std::vector<TextPart> placed() {
    std::vector<TextPart> parts;
    const std::vector<TextSource>& stated = medium_.text.sources;
    for (size_t i = 0; i < std::min(stated.size(), kMostSources); ++i) add(stated[i], i, parts);
    if (stated.size() > kMostSources) {
      say("sources: expected at most " + std::to_string(kMostSources) + ", got " + std::to_string(stated.size()) +
          ": the others are left out.");
    }
    if (stated.empty()) add_marked(parts);
    std::sort(parts.begin(), parts.end(),
              [](const TextPart& a, const TextPart& b) { return a.first_key < b.first_key; });
    name_those_without(parts);
    return parts;
  }
  std::vector<std::string> notes;

 private:
  void say(std::string note) {
    if (notes.size() < kMostNotes) notes.push_back(std::move(note));
  }

  void add(const TextSource& source, size_t index, std::vector<TextPart>& parts) {
    const std::string at = "sources[" + std::to_string(index) + "]" +
                           (source.id.empty() ? "" : " (" + excerpt(source.id, 60) + ")") + ": ";
    const std::optional<TokenSpan> tokens = tokens_of(source, at);
    if (!tokens) return;
    const std::optional<TokenSpan> keys = keys_of(*tokens);
    if (!keys)
      return say(at + "expected tokens that are keys of the prompt, got " + range(tokens->first, tokens->end) +
                 ": left out.");
    for (const TextPart& other : parts) {
      if (keys->first >= other.end_key || other.first_key >= keys->end) continue;
      return say(at + "expected tokens of its own, got " + range(tokens->first, tokens->end) + ", which " +
                 title(other) + " has as well: left out.");
    }
    parts.push_back(
        {TextPart::Is::Source, name(source.kind), excerpt(source.id, kMostIdBytes), keys->first, keys->end});
  }

  std::optional<TokenSpan> tokens_of(const TextSource& source, const std::string& at) {
    const auto count = static_cast<int64_t>(keys_.key_of_token.size());
    if (source.first_token >= 0 || source.end_token >= 0) {
      if (source.first_token >= 0 && source.first_token < source.end_token && source.end_token <= count)
        return TokenSpan{source.first_token, source.end_token};
      say(at + "expected a range within the prompt's " + std::to_string(count) + " tokens, got " +
          range(source.first_token, source.end_token) + ": left out.");
      return std::nullopt;
    }
    if (source.first_character < 0 && source.end_character < 0) {
      say(at + "expected a range of tokens or of characters, got none: left out.");
      return std::nullopt;
    }
    return tokens_of_characters(source, at);
  }

  std::optional<TokenSpan> tokens_of_characters(const TextSource& source, const std::string& at) {
    const std::string got = ", got characters " + range(source.first_character, source.end_character);
    if (medium_.text.text.empty()) {
      say(at + "expected the prompt's text beside ranges of characters" + got + " without: left out.");
      return std::nullopt;
    }
    if (!asked_characters_) {
      asked_characters_ = true;
      std::vector<std::string> labels;
      for (const int64_t key : keys_.key_of_token)
        labels.push_back(key < 0 ? std::string() : keys_.label_k[static_cast<size_t>(key)]);
      const TokenSpelling* spelling = medium_.text.tokens.empty() ? medium_.spelling.get() : nullptr;
      characters_ = character_places(medium_.text.text, labels, spelling);
    }
    if (!characters_) {
      say(at + "expected a prompt whose tokens make its text, got another one: left out. Give the ranges in tokens.");
      return std::nullopt;
    }
    TokenSpan tokens{-1, -1};
    int64_t end = 0;
    for (size_t i = 0; i < characters_->size(); ++i) {
      const CharacterSpan& of = (*characters_)[i];
      end = std::max(end, of.end);
      if (of.first >= of.end || of.first >= source.end_character || of.end <= source.first_character) continue;
      if (tokens.first < 0) tokens.first = static_cast<int64_t>(i);
      tokens.end = static_cast<int64_t>(i) + 1;
    }
    if (tokens.first >= 0 && source.end_character <= end) return tokens;
    say(at + "expected a range within the prompt's characters that has some" + got + " of " + std::to_string(end) +
        ": left out.");
    return std::nullopt;
  }

  /// From the first of them that is a key to the last.
  [[nodiscard]] std::optional<TokenSpan> keys_of(const TokenSpan& tokens) const {
    TokenSpan keys{-1, -1};
    for (int64_t i = tokens.first; i < tokens.end; ++i) {
      const int64_t key = keys_.key_of_token[static_cast<size_t>(i)];
      if (key < 0 || key >= keys_.prompt) continue;
      if (keys.first < 0) keys.first = key;
      keys.end = key + 1;
    }
    return keys.first < 0 ? std::nullopt : std::optional(keys);
  }

  [[nodiscard]] bool stands_at(const std::vector<int64_t>& what, size_t at) const {
    return !what.empty() && keys_.ids.size() - at >= what.size() &&
           std::equal(what.begin(), what.end(), keys_.ids.begin() + static_cast<std::ptrdiff_t>(at));
  }

  [[nodiscard]] const TextMarker* marker_at(size_t at) const {
    const TextMarker* longest = nullptr;
    for (const TextMarker& marker : medium_.markers) {
      if (stands_at(marker.begin, at) && (longest == nullptr || marker.begin.size() > longest->begin.size()))
        longest = &marker;
    }
    return longest;
  }

  void add_marked(std::vector<TextPart>& parts) {
    if (medium_.markers.empty()) return;
    if (keys_.ids.empty() || keys_.key_of_token.empty()) {
      return say("text.markers: expected the prompt's ids, got none: no part of it is told apart.");
    }
    const size_t count = std::min(keys_.ids.size(), keys_.key_of_token.size());
    for (size_t at = 0; at < count;) {
      const TextMarker* marker = marker_at(at);
      if (marker == nullptr) {
        ++at;
        continue;
      }
      const size_t first = at + marker->begin.size();
      size_t end = first;
      while (end < count && !(marker->end.empty() ? marker_at(end) != nullptr : stands_at(marker->end, end))) ++end;
      const std::optional<TokenSpan> keys = keys_of({static_cast<int64_t>(first), static_cast<int64_t>(end)});
      if (keys && parts.size() < kMostSources)
        parts.push_back({TextPart::Is::Source, name(marker->kind), {}, keys->first, keys->end});
      at = std::max(end, at + 1);
    }
    if (parts.empty()) say("text.markers: expected some of them among the prompt's ids, got none.");
  }

  static void name_those_without(std::vector<TextPart>& parts) {
    std::map<std::string, int64_t> count, number;
    for (const TextPart& part : parts) ++count[part.kind];
    for (TextPart& part : parts) {
      const int64_t n = ++number[part.kind];
      if (part.id.empty() && count[part.kind] > 1) part.id = std::to_string(n);
    }
  }

  const TextMedium& medium_;
  const TextKeys& keys_;
  bool asked_characters_ = false;
  std::optional<std::vector<CharacterSpan>> characters_;
};

bool blank(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Utf8 next = decode_utf8(std::string_view(bytes).substr(at));
    if (!white(next.code)) return false;
    at += next.length;
  }
  return !bytes.empty();
}

}  // namespace

std::string title(const TextPart& part) { return part.kind + (part.id.empty() ? "" : " " + part.id); }

TextParts divide_keys(const TextMedium& medium, const TextKeys& keys, const std::vector<bool>& seen_k) {
  Sources sources(medium, keys);
  TextParts made;
  made.parts = sources.placed();
  made.notes = std::move(sources.notes);
  made.part_k.assign(keys.label_k.size(), -1);
  for (size_t p = 0; p < made.parts.size(); ++p) {
    std::fill(made.part_k.begin() + made.parts[p].first_key, made.part_k.begin() + made.parts[p].end_key,
              static_cast<int32_t>(p));
  }
  std::map<std::pair<std::string, std::string>, int32_t> beside;
  const auto part = [&](TextPart::Is is, const std::string& kind, const std::string& id) {
    const auto [found, fresh] = beside.try_emplace({kind, id}, static_cast<int32_t>(made.parts.size()));
    if (fresh) made.parts.push_back({is, kind, id, 0, 0});
    return found->second;
  };
  const bool causal = medium.answer_key >= 0;
  const std::vector<Piece> pieces =
      pieces_of(keys.label_k, medium.text.tokens.empty() ? medium.spelling.get() : nullptr);
  // Behind padding. One that slid out of a window is still the first.
  int64_t first_text = 0;
  const auto passed_over = [&](size_t key) { return keys.between_k[key] || (keys.special_k[key] && !seen_k[key]); };
  while (first_text < keys.prompt && passed_over(static_cast<size_t>(first_text))) ++first_text;
  for (int64_t k = 0; k < keys.size(); ++k) {
    const auto key = static_cast<size_t>(k);
    int32_t& of = made.part_k[key];
    if (keys.between_k[key]) {
      std::string noun = "picture";
      for (const KeysBetween& other : medium.between) {
        if (k >= other.span.first_key && k < other.span.first_key + other.span.keys) noun = other.noun;
      }
      of = part(TextPart::Is::Other, noun, "");
    } else if (causal && k == first_text && keys.prompt > 1) {
      of = part(TextPart::Is::Sink, "sink", "first token");
    } else if (keys.special_k[key] && !seen_k[key]) {
      of = part(TextPart::Is::Sink, "sink", "padding");
    } else if (keys.special_k[key] || blank(pieces[key].bytes)) {
      of = part(TextPart::Is::Sink, "sink", "separators");
    } else if (k >= keys.prompt) {
      of = part(TextPart::Is::Own, "own words", "");
    } else if (of < 0) {
      of = part(TextPart::Is::Rest, "rest", "");
    }
  }
  return made;
}

}  // namespace gaze

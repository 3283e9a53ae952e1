// SPDX-License-Identifier: MIT
#include "tokens/vocabulary.hpp"

#include <sys/stat.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/files.hpp"
#include "base/utf8.hpp"
#include "tokens/pieces.hpp"
#include "tokens/sentencepiece.hpp"
#include "tokens/vocabulary_builder.hpp"
#include "tokens/vocabulary_json.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxVocabularyBytes = size_t{64} << 20;

std::string_view next_line(std::string_view& content) {
  const size_t end = content.find('\n');
  std::string_view line = content.substr(0, end);
  content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

int base64_digit(char digit) {
  if (digit >= 'A' && digit <= 'Z') return digit - 'A';
  if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
  if (digit >= '0' && digit <= '9') return digit - '0' + 52;
  return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

std::optional<std::string> base64_bytes(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const int digit = i < text.size() - padding ? base64_digit(text[i]) : 0;
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

/// "base64 rank"
std::optional<std::pair<std::string, int64_t>> ranked_token(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view number = line.substr(space + 1);
  int64_t rank = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  std::optional<std::string> bytes = base64_bytes(line.substr(0, space));
  if (!bytes) return std::nullopt;
  return std::pair{std::move(*bytes), rank};
}

TokenSpelling parse_ranks(std::string_view content, VocabularyBuilder& builder) {
  const std::string expected = "lines of a token in base64, a space and its rank";
  for (size_t number = 1; !content.empty(); ++number) {
    const std::string_view line = next_line(content);
    std::optional<std::pair<std::string, int64_t>> token = ranked_token(line);
    if (!token && !line.empty())
      builder.refuse(expected, "line " + std::to_string(number) + " \"" + excerpt(line, 60) + "\"");
    if (token) builder.add(token->second, std::move(token->first));
  }
  if (builder.size() == 0) builder.refuse(expected, "none");
  // Bytes need no stand-ins, and special tokens are in no such file.
  return {.bytes = TokenSpelling::Bytes::Themselves,
          .byte_fallback = false,
          .words = TokenSpelling::Words::Spaces,
          .special = std::set<std::string>()};
}

void parse_lines(std::string_view content, VocabularyBuilder& builder) {
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
  while (!content.empty()) builder.append(std::string(next_line(content)));
  if (builder.size() == 0) builder.refuse("one token a line", "none");
}

std::string source_of(const std::string& path) { return "vocabulary '" + excerpt(path, 1000) + "'"; }

// What a tokenizer got after its vocabulary was made.
void add_tokens_beside(const std::string& path, VocabularyBuilder& builder, std::optional<TokenSpelling>& spelling) {
  const size_t slash = path.rfind('/');
  const std::string beside = (slash == std::string::npos ? "" : path.substr(0, slash + 1)) + "added_tokens.json";
  struct stat status = {};
  if (beside == path || ::stat(beside.c_str(), &status) != 0) return;
  const size_t before = builder.size();
  builder.go_on_with(source_of(beside));
  std::optional<TokenSpelling> none;
  if (parse_json_vocabulary(files::read(beside, "vocabulary", kMaxVocabularyBytes), builder, none) != JsonForm::Ids)
    builder.refuse("an object from texts to ids", "another one");
  for (size_t id = before; spelling && spelling->special && id < builder.size(); ++id) {
    if (!builder.text(id).empty() && looks_special(builder.text(id))) spelling->special->insert(builder.text(id));
  }
}

}  // namespace

Vocabulary read_vocabulary(const std::string& path) {
  return parse_vocabulary(files::read(path, "vocabulary", kMaxVocabularyBytes), path);
}

Vocabulary parse_vocabulary(const std::string& content, const std::string& path) {
  VocabularyBuilder builder(source_of(path));
  std::optional<TokenSpelling> spelling;
  bool complete = false;
  std::string_view first = content;
  if (path.ends_with(".txt")) {
    parse_lines(content, builder);
  } else if (ranked_token(next_line(first))) {
    spelling = parse_ranks(content, builder);
    complete = true;
  } else if (path.ends_with(".model")) {
    spelling = parse_sentencepiece(content, builder);
  } else {
    complete = parse_json_vocabulary(content, builder, spelling) != JsonForm::Ids;
  }
  if (!complete) add_tokens_beside(path, builder, spelling);
  Vocabulary vocabulary;
  vocabulary.texts = builder.take();
  vocabulary.spelling = spelling ? std::move(*spelling) : spelling_of(vocabulary.texts);
  return vocabulary;
}

}  // namespace gaze

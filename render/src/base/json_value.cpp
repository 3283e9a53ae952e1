// SPDX-License-Identifier: MIT
#include "base/json_value.hpp"

#include <charconv>
#include <utility>

namespace gaze {
namespace {

constexpr int kDeepest = 64;

void add_utf8(std::string& text, uint32_t code) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    add(0x80 | (code & 63));
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 63));
    add(0x80 | (code & 63));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 63));
    add(0x80 | (code >> 6 & 63));
    add(0x80 | (code & 63));
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::optional<JsonValue> whole() {
    JsonValue value;
    if (!read(value, 0)) return std::nullopt;
    skip_blanks();
    return rest_.empty() ? std::optional(std::move(value)) : std::nullopt;
  }

 private:
  void skip_blanks() {
    const size_t begin = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(begin == std::string_view::npos ? rest_.size() : begin);
  }

  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool read(JsonValue& value, int depth) {
    skip_blanks();
    if (rest_.empty() || depth > kDeepest) return false;
    switch (rest_.front()) {
      case '{':
        return read_object(value, depth);
      case '[':
        return read_array(value, depth);
      case '"':
        value.kind = JsonValue::Kind::Text;
        return read_text(value.text);
      default:
        return read_word(value);
    }
  }

  bool read_object(JsonValue& value, int depth) {
    value.kind = JsonValue::Kind::Object;
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      skip_blanks();
      if (!read_text(value.keys.emplace_back()) || !take(':')) return false;
      if (!read(value.values.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  bool read_array(JsonValue& value, int depth) {
    value.kind = JsonValue::Kind::Array;
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!read(value.values.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool read_text(std::string& text) {
    if (rest_.empty() || rest_.front() != '"') return false;
    rest_.remove_prefix(1);
    while (true) {
      size_t end = 0;
      while (end < rest_.size() && rest_[end] != '"' && rest_[end] != '\\') {
        if (static_cast<unsigned char>(rest_[end++]) < 0x20) return false;
      }
      if (end == rest_.size()) return false;
      text.append(rest_.substr(0, end));
      const bool ends = rest_[end] == '"';
      rest_.remove_prefix(end + 1);
      if (ends) return true;
      if (!read_escape(text)) return false;
    }
  }

  bool read_escape(std::string& text) {
    if (rest_.empty()) return false;
    constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    const char mark = rest_.front();
    rest_.remove_prefix(1);
    if (const size_t at = kFrom.find(mark); at != std::string_view::npos) {
      text += kTo[at];
      return true;
    }
    uint32_t code = 0;
    if (mark != 'u' || !read_code(code)) return false;
    const bool high = code >= 0xD800 && code < 0xDC00;
    if (high && rest_.starts_with("\\u")) {
      const std::string_view before = rest_;
      rest_.remove_prefix(2);
      uint32_t low = 0;
      if (!read_code(low)) return false;
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      } else {
        rest_ = before;
      }
    }
    // Half of a pair alone is no character.
    add_utf8(text, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
    return true;
  }

  bool read_code(uint32_t& code) {
    if (rest_.size() < 4) return false;
    const auto result = std::from_chars(rest_.data(), rest_.data() + 4, code, 16);
    if (result.ec != std::errc() || result.ptr != rest_.data() + 4) return false;
    rest_.remove_prefix(4);
    return true;
  }

  bool read_word(JsonValue& value) {
    const size_t end = rest_.find_first_of(" \t\r\n,]}");
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(word.size());
    value.text = word;
    if (word == "null") return true;
    if (word == "true" || word == "false") {
      value.kind = JsonValue::Kind::Bool;
      return true;
    }
    value.kind = JsonValue::Kind::Number;
    double number = 0;
    const auto result = std::from_chars(word.data(), word.data() + word.size(), number);
    const bool begins = !word.empty() && (word.front() == '-' || (word.front() >= '0' && word.front() <= '9'));
    return begins && result.ec != std::errc::invalid_argument && result.ptr == word.data() + word.size();
  }

  std::string_view rest_;
};

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size() && i < values.size(); ++i) {
    if (keys[i] == key) return &values[i];
  }
  return nullptr;
}

std::string JsonValue::text_at(std::string_view key) const {
  const JsonValue* value = find(key);
  return value != nullptr && value->kind == Kind::Text ? value->text : std::string();
}

std::optional<int64_t> JsonValue::whole_at(std::string_view key) const {
  const JsonValue* value = find(key);
  int64_t number = 0;
  if (value == nullptr || value->kind != Kind::Number) return std::nullopt;
  const char* end = value->text.data() + value->text.size();
  const auto result = std::from_chars(value->text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end ? std::optional(number) : std::nullopt;
}

bool JsonValue::is_null_at(std::string_view key) const {
  const JsonValue* value = find(key);
  return value != nullptr && value->kind == Kind::Null;
}

std::optional<JsonValue> read_json(std::string_view text) { return Reader(text).whole(); }

}  // namespace gaze

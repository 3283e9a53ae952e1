// SPDX-License-Identifier: MIT
// JSON that is read where memory may be gone: unlike the library that reads profiles, nothing here allocates in a
// destructor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

struct JsonValue {
  enum class Kind { Null, Bool, Number, Text, Array, Object };
  Kind kind = Kind::Null;
  std::string text;               // of a text, unescaped; of the other scalars as it is written
  std::vector<std::string> keys;  // of an object
  std::vector<JsonValue> values;  // of an object or an array

  /// The first member of that name; null where there is none, or this is no object.
  [[nodiscard]] const JsonValue* find(std::string_view key) const;
  /// The member's text, or empty; its whole number, or none.
  [[nodiscard]] std::string text_at(std::string_view key) const;
  [[nodiscard]] std::optional<int64_t> whole_at(std::string_view key) const;
  [[nodiscard]] bool is_null_at(std::string_view key) const;
};

/// One value of RFC 8259, at most 64 deep, and nothing behind it; nullopt for anything else.
std::optional<JsonValue> read_json(std::string_view text);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// JSON that is written, not read. The worker must survive when memory is gone: the library that reads allocates in its
// destructors, which ends the process.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace gaze {

/// A value; members of an object keep their order. Copies are deep.
class JsonText {
 public:
  using Member = std::pair<std::string, JsonText>;

  JsonText(std::nullptr_t = nullptr) : text_("null") {}
  JsonText(bool value) : text_(value ? "true" : "false") {}
  template <typename Integer>
  requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>) JsonText(Integer value)
      : text_(std::to_string(value)) {}
  JsonText(double value);  ///< what is not finite is written as null
  JsonText(std::string_view text);
  JsonText(const char* text) : JsonText(std::string_view(text)) {}
  JsonText(const std::string& text) : JsonText(std::string_view(text)) {}
  JsonText(std::initializer_list<Member> members);

  static JsonText array() { return JsonText(Kind::Array); }
  static JsonText object() { return JsonText(Kind::Object); }
  /// Of anything that can be walked through.
  template <typename Values>
  static JsonText array_of(const Values& values) {
    JsonText made(Kind::Array);
    for (const auto& value : values) made.values_.emplace_back(value);
    return made;
  }

  /// The member of that name of an object, or of null, which becomes an object; made where there is none.
  JsonText& operator[](std::string_view name);
  /// To an array.
  void push_back(JsonText value);
  /// To an object: another one's members, behind those that are there.
  void append(JsonText members);

  /// @param indent  spaces for each level; negative: all on one line, without blanks
  /// UTF-8; bytes that are none become U+FFFD.
  [[nodiscard]] std::string dump(int indent) const;

 private:
  enum class Kind { Scalar, Array, Object };
  explicit JsonText(Kind kind) : kind_(kind) {}
  void write(std::string& out, int indent, int level) const;

  Kind kind_ = Kind::Scalar;
  std::string text_;  // of a scalar, as it is written
  std::vector<JsonText> values_;
  std::vector<Member> members_;
};

/// The text, or null where it is empty.
inline JsonText text_or_null(const std::string& text) { return text.empty() ? JsonText(nullptr) : JsonText(text); }

}  // namespace gaze

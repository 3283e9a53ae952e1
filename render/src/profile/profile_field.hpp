// SPDX-License-Identifier: MIT
// A value of a profile and where it stands, so that every error names its place.
#pragma once

#include <gaze/render/status.hpp>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.hpp"

namespace gaze {

constexpr int64_t kMaxCount = int64_t{1} << 24;

// Appends the beginning of a value: no more of it is looked at than is shown.
inline void append_beginning(const nlohmann::json& value, size_t most, std::string& out) {
  if (value.is_structured()) {
    out += value.is_array() ? '[' : '{';
    bool first = true;
    for (auto item = value.begin(); item != value.end() && out.size() <= most; ++item, first = false) {
      if (!first) out += ',';
      if (value.is_object()) {
        append_beginning(item.key().substr(0, most), most, out);
        out += ':';
      }
      append_beginning(*item, most, out);
    }
    out += value.is_array() ? ']' : '}';
    return;
  }
  const bool long_text = value.is_string() && value.get_ref<const std::string&>().size() > most;
  const nlohmann::json part = long_text ? nlohmann::json(value.get_ref<const std::string&>().substr(0, most)) : value;
  out += part.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// As JSON, cut after some 60 bytes.
inline std::string show(const nlohmann::json& value) {
  constexpr size_t kMost = 60;
  std::string text;
  append_beginning(value, kMost, text);
  if (text.size() > kMost) text = text.substr(0, beginning(text, kMost - 3).size()) + "...";
  return text;
}

class Field {
 public:
  Field(const nlohmann::json& value, std::string source, std::string path)
      : value_(value), source_(std::move(source)), path_(std::move(path)) {}

  [[noreturn]] void refuse(const std::string& expected) const { refuse(expected, show(value_)); }
  [[noreturn]] void refuse(const std::string& expected, const std::string& got) const {
    throw Error(source_ + ": " + (path_.empty() ? "the profile" : path_) + ": expected " + expected + ", got " + got +
                ".");
  }

  /// Refuses fields that are not in the list.
  void expect_object(const std::vector<const char*>& allowed) const {
    std::string list;
    for (const char* name : allowed) list += (list.empty() ? "" : ", ") + std::string(name);
    if (!value_.is_object()) refuse("an object with " + list);
    for (const auto& [key, value] : value_.items()) {
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
        at(key).refuse("one of the fields " + list, "an unknown field");
    }
  }

  [[nodiscard]] bool has(const char* key) const { return value_.contains(key); }
  [[nodiscard]] Field at(const std::string& key) const {
    const std::string name = excerpt(key, 60);
    return {value_.at(key), source_, path_.empty() ? name : path_ + "." + name};
  }
  [[nodiscard]] Field at(size_t index) const {
    return {value_.at(index), source_, path_ + "[" + std::to_string(index) + "]"};
  }
  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] const nlohmann::json& value() const { return value_; }
  [[nodiscard]] size_t size() const { return value_.size(); }

  [[nodiscard]] std::string text() const {
    if (!value_.is_string()) refuse("a string");
    return value_.get<std::string>();
  }

  [[nodiscard]] int64_t whole(int64_t least, int64_t greatest) const {
    const std::string expected = "a whole number in " + std::to_string(least) + ".." + std::to_string(greatest);
    if (!value_.is_number_integer()) refuse(expected);
    if (value_.is_number_unsigned() && value_.get<uint64_t>() > static_cast<uint64_t>(greatest)) refuse(expected);
    const auto number = value_.get<int64_t>();
    if (number < least || number > greatest) refuse(expected);
    return number;
  }

  [[nodiscard]] double number() const {
    if (!value_.is_number()) refuse("a number");
    return value_.get<double>();
  }

  [[nodiscard]] bool flag() const {
    if (!value_.is_boolean()) refuse("true or false");
    return value_.get<bool>();
  }

 private:
  const nlohmann::json& value_;
  std::string source_, path_;
};

}  // namespace gaze

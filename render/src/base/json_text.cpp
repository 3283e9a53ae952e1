// SPDX-License-Identifier: MIT
#include "base/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.hpp"

namespace gaze {
namespace {

std::string in_quotes(std::string_view bytes) {
  std::string out = "\"";
  while (!bytes.empty()) {
    const Utf8 character = decode_utf8(bytes);
    const auto first = static_cast<unsigned char>(bytes.front());
    if (!character.valid) {
      out += "\xEF\xBF\xBD";
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += static_cast<char>(first);
    } else if (first < 0x20 || first == 0x7F) {
      static constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[first >> 4];
      out += kHex[first & 15];
    } else {
      out += bytes.substr(0, character.length);
    }
    bytes.remove_prefix(character.length);
  }
  return out + '"';
}

void next_line(std::string& out, int indent, int level) {
  if (indent < 0) return;
  out += '\n';
  out.append(static_cast<size_t>(indent * level), ' ');
}

}  // namespace

JsonText::JsonText(double value) : text_("null") {
  if (!std::isfinite(value)) return;
  char digits[32];
  text_.assign(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  // A reader must not take it for an integer.
  if (text_.find_first_of(".e") == std::string::npos) text_ += ".0";
}

JsonText::JsonText(std::string_view text) : text_(in_quotes(text)) {}

JsonText::JsonText(std::initializer_list<Member> members) : kind_(Kind::Object), members_(members) {}

JsonText& JsonText::operator[](std::string_view name) {
  if (kind_ == Kind::Scalar) *this = object();
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& member) { return member.first == name; });
  return found != members_.end() ? found->second : members_.emplace_back(name, nullptr).second;
}

void JsonText::push_back(JsonText value) { values_.push_back(std::move(value)); }

void JsonText::append(JsonText members) {
  for (Member& member : members.members_) members_.push_back(std::move(member));
}

std::string JsonText::dump(int indent) const {
  std::string out;
  write(out, indent, 0);
  return out;
}

void JsonText::write(std::string& out, int indent, int level) const {
  if (kind_ == Kind::Scalar) {
    out += text_;
    return;
  }
  const bool array = kind_ == Kind::Array;
  const size_t count = array ? values_.size() : members_.size();
  out += array ? '[' : '{';
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    next_line(out, indent, level + 1);
    if (!array) out.append(in_quotes(members_[i].first)).append(indent < 0 ? ":" : ": ");
    (array ? values_[i] : members_[i].second).write(out, indent, level + 1);
  }
  if (count > 0) next_line(out, indent, level);
  out += array ? ']' : '}';
}

}  // namespace gaze

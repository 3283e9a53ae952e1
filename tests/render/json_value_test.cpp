// SPDX-License-Identifier: MIT
#include "base/json_value.hpp"

#include <nlohmann/json.hpp>
#include <random>

#include "records.hpp"

namespace {

using gaze::JsonValue;
using gaze::read_json;
using nlohmann::json;

bool is_same(const JsonValue& ours, const json& theirs) {
  switch (ours.kind) {
    case JsonValue::Kind::Null:
      return theirs.is_null();
    case JsonValue::Kind::Bool:
      return theirs.is_boolean() && (ours.text == "true") == theirs.get<bool>();
    case JsonValue::Kind::Number:
      return theirs.is_number();
    case JsonValue::Kind::Text:
      return theirs.is_string() && theirs.get<std::string>() == ours.text;
    default:
      break;
  }
  if (theirs.size() != ours.values.size()) return false;
  for (size_t i = 0; i < ours.values.size(); ++i) {
    const bool object = ours.kind == JsonValue::Kind::Object;
    if (object != theirs.is_object() || !is_same(ours.values[i], object ? theirs.at(ours.keys[i]) : theirs.at(i)))
      return false;
  }
  return true;
}

}  // namespace

CATCH_TEST_CASE("json_value: what another reader reads") {
  for (const char* text : {R"({"a": [1, -2.5e3, true, null], "b": {"c": "d\n\u00e9\ud83d\ude00\/"}})", "[]", "{}",
                           " 3 ", "\"\"", R"([[[]], {"": {}}])", R"("\ud83d alone")"}) {
    CATCH_INFO(text);
    const auto value = read_json(text);
    CATCH_REQUIRE(value);
    const json theirs = json::parse(text, nullptr, false);
    CATCH_CHECK((theirs.is_discarded() || is_same(*value, theirs)));
  }
  for (const char* text :
       {"", "{", "[1,]", "{\"a\" 1}", "tru", "\"\x01\"", "\"a", "1 2", "{\"a\":1,}", "\"\\x\"", "nan", "-"}) {
    CATCH_INFO(text);
    CATCH_CHECK(!read_json(text));
  }
  CATCH_CHECK(!read_json(std::string(100'000, '[')));
}

CATCH_TEST_CASE("json_value: nothing that is cut or changed does more than be refused") {
  const std::string text =
      R"({"sequence": 12, "names": ["a", "b\u0041"], "none": null, "deep": {"x": [1, 2, {"y": 0}]}})";
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string changed = text.substr(0, random() % (text.size() + 1));
    for (size_t n = random() % 3; n > 0 && !changed.empty(); --n)
      changed[random() % changed.size()] = static_cast<char>(random());
    const auto value = read_json(changed);
    const json theirs = json::parse(changed, nullptr, false);
    // Ours asks for no valid UTF-8, and takes numbers that JSON writes otherwise.
    if (value && !theirs.is_discarded()) CATCH_REQUIRE(is_same(*value, theirs));
    if (!theirs.is_discarded() && theirs.is_object() && theirs.size() == 4) CATCH_REQUIRE(value);
  }
}

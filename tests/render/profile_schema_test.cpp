// SPDX-License-Identifier: MIT
// docs/profile.schema.json and the tables of docs/profiles.md say what the parser accepts, field by field, and the
// profiles that are shown pass it.
#include <gaze/render/presets.hpp>
#include <gaze/render/profile.hpp>

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "random_profiles.hpp"
#include "records.hpp"

namespace {

using nlohmann::json;

const std::string kSchemaFile = std::string(GAZE_SOURCE_DIR) + "/docs/profile.schema.json";

const json& schema() {
  static const json parsed = json::parse(gaze::test::read_bytes(kSchemaFile));
  return parsed;
}

bool has_type(const json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

bool within(const json& rule, const char* least, const char* greatest, double size) {
  return size >= rule.value(least, -INFINITY) && size <= rule.value(greatest, INFINITY);
}

/// The part of JSON Schema that the file uses; an unknown word in it fails the test.
bool valid(const json& value, const json& rule) {
  static const std::set<std::string> known = {"$schema",
                                              "title",
                                              "description",
                                              "default",
                                              "type",
                                              "additionalProperties",
                                              "required",
                                              "enum",
                                              "const",
                                              "properties",
                                              "dependentRequired",
                                              "items",
                                              "minItems",
                                              "maxItems",
                                              "minimum",
                                              "maximum",
                                              "minLength",
                                              "minProperties",
                                              "oneOf",
                                              "exclusiveMinimum"};
  for (const auto& [word, unused] : rule.items()) {
    CATCH_INFO(word);
    CATCH_REQUIRE(known.count(word) == 1);
  }
  if (rule.contains("type") && !has_type(value, rule.at("type"))) return false;
  if (rule.contains("const") && value != rule.at("const")) return false;
  if (rule.contains("enum") && std::count(rule.at("enum").begin(), rule.at("enum").end(), value) == 0) return false;
  if (rule.contains("oneOf")) {
    const auto fits = [&](const json& one) { return valid(value, one); };
    if (std::count_if(rule.at("oneOf").begin(), rule.at("oneOf").end(), fits) != 1) return false;
  }
  if (value.is_number()) {
    const auto number = value.get<double>();
    if (!within(rule, "minimum", "maximum", number)) return false;
    if (rule.contains("exclusiveMinimum") && number <= rule.at("exclusiveMinimum").get<double>()) return false;
  }
  if (value.is_string() && value.get<std::string>().size() < rule.value("minLength", size_t{0})) return false;
  if (value.is_array()) {
    if (!within(rule, "minItems", "maxItems", static_cast<double>(value.size()))) return false;
    if (rule.contains("items")) {
      for (const json& item : value) {
        if (!valid(item, rule.at("items"))) return false;
      }
    }
  }
  if (!value.is_object()) return true;
  if (value.size() < rule.value("minProperties", size_t{0})) return false;
  for (const json& field : rule.value("required", json::array())) {
    if (!value.contains(field.get<std::string>())) return false;
  }
  const json dependent = rule.value("dependentRequired", json::object());
  for (const auto& [field, others] : dependent.items()) {
    for (const json& other : others) {
      if (value.contains(field) && !value.contains(other.get<std::string>())) return false;
    }
  }
  for (const auto& [field, entry] : value.items()) {
    if (rule.contains("properties") && rule.at("properties").contains(field)) {
      if (!valid(entry, rule.at("properties").at(field))) return false;
    } else if (rule.contains("additionalProperties")) {
      const json& more = rule.at("additionalProperties");
      if (more == false || !valid(entry, more)) return false;
    }
  }
  return true;
}

std::string refused(const json& profile) {
  const auto found = gaze::test::refusal([&] { gaze::parse_profile(profile.dump()); });
  return found ? found->text : "accepted";
}

const json kLeast = json::parse(R"({"gaze_profile": 1, "sites": {"match": ["a"]}})");

/// `value` at "geometry.tiles" or "geometry.spans[0]" of a profile.
json profile_with(const std::string& path, const json& value) {
  json profile = kLeast;
  if (path.empty()) {
    profile.update(value);
    return profile;
  }
  std::string pointer = "/" + path;
  for (const auto& [from, to] : {std::pair<std::string, std::string>{".", "/"}, {"[0]", "/0"}}) {
    for (size_t at = pointer.find(from); at != std::string::npos; at = pointer.find(from)) {
      pointer.replace(at, from.size(), to);
    }
  }
  if (const size_t at = path.find("[0]"); at != std::string::npos) {
    profile[json::json_pointer(pointer.substr(0, at + 1))] = json::array({json::object()});
  }
  profile[json::json_pointer(pointer)] = value;
  return profile;
}

/// The names in "expected one of the fields a, b, c, got".
std::set<std::string> listed(const std::string& text, const std::string& after) {
  std::set<std::string> names;
  const size_t begin = text.find(after);
  CATCH_INFO(text);
  CATCH_REQUIRE(begin != std::string::npos);
  std::string rest = text.substr(begin + after.size());
  rest = rest.substr(0, rest.find(", got "));
  for (size_t at = 0; at != std::string::npos;) {
    const size_t comma = rest.find(", ", at);
    names.insert(rest.substr(at, comma - at));
    at = comma == std::string::npos ? comma : comma + 2;
  }
  return names;
}

/// Every object of the schema that names its fields, and every choice, with their paths.
void walk(const json& rule, const std::string& path, int64_t& objects, int64_t& choices) {
  if (rule.contains("properties")) {
    ++objects;
    CATCH_INFO("object " << path);
    std::set<std::string> fields;
    for (const auto& [field, unused] : rule.at("properties").items()) fields.insert(field);
    CATCH_CHECK(listed(refused(profile_with(path, {{"zzz", 1}})), "expected one of the fields ") == fields);
    CATCH_CHECK(rule.at("additionalProperties") == false);
    for (const auto& [field, entry] : rule.at("properties").items()) {
      CATCH_CHECK((entry.contains("description") && !entry.at("description").get<std::string>().empty()));
      walk(entry, path.empty() ? field : path + "." + field, objects, choices);
    }
  }
  for (const json& one : rule.value("oneOf", json::array())) walk(one, path, objects, choices);
  if (rule.contains("items") && rule.at("items").contains("properties")) {
    walk(rule.at("items"), path + "[0]", objects, choices);
  }
  if (rule.contains("enum")) {
    ++choices;
    CATCH_INFO("choice " << path);
    std::set<std::string> values;
    for (const json& value : rule.at("enum")) values.insert(value.get<std::string>());
    const std::string text = refused(profile_with(path, "?"));
    const std::string one_of = "expected one of ";
    CATCH_CHECK(listed(text, text.find(one_of) == std::string::npos ? "expected " : one_of) == values);
  }
}

std::set<std::string> property_names(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, unused] : object.at("properties").items()) names.insert(name);
  return names;
}

/// Path of every field that has a row in the tables of docs/profiles.md -> the names that its type has.
void add_documented(const json& rule, const std::string& path, std::map<std::string, std::set<std::string>>& rows) {
  if (rule.contains("properties")) {
    for (const auto& [name, inner] : rule.at("properties").items())
      add_documented(inner, path.empty() ? name : path + "." + name, rows);
    return;
  }
  for (const json& one : rule.value("oneOf", json::array())) {
    if (!rule.contains("type")) add_documented(one, path, rows);
  }
  if (rule.contains("oneOf") && !rule.contains("type")) return;
  std::set<std::string>& names = rows[path];
  if (path == "geometry.preset") return;  // docs/geometry.md lists them
  for (const json& name : rule.value("enum", json::array())) names.insert(name.get<std::string>());
  if (rule.contains("items") && rule.at("items").contains("properties")) names = property_names(rule.at("items"));
}

/// The words between backticks.
std::set<std::string> marked(const std::string& text) {
  std::set<std::string> words;
  for (size_t at = text.find('`'); at != std::string::npos; at = text.find('`', at)) {
    const size_t end = text.find('`', at + 1);
    words.insert(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return words;
}

/// The tables of docs/profiles.md, as `add_documented`.
std::map<std::string, std::set<std::string>> documented_rows() {
  std::map<std::string, std::set<std::string>> rows;
  std::istringstream page(gaze::test::read_bytes(std::string(GAZE_SOURCE_DIR) + "/docs/profiles.md"));
  std::string within;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| field of `geometry` |", 0) == 0) within = "geometry.";
    if (line.rfind("| `", 0) != 0) continue;
    const size_t type = line.find(" | ") + 3;
    for (const std::string& name : marked(line.substr(0, type))) {
      CATCH_INFO(line);
      CATCH_CHECK(rows.count(within + name) == 0);
      rows[within + name] = marked(line.substr(type, line.find(" | ", type) - type));
    }
  }
  return rows;
}

/// Text between "```json" and "```" of a page.
std::vector<std::string> json_blocks(const std::string& page) {
  const std::string text = gaze::test::read_bytes(std::string(GAZE_SOURCE_DIR) + "/docs/" + page);
  const std::string open = "```json\n";
  std::vector<std::string> blocks;
  for (size_t at = text.find(open); at != std::string::npos; at = text.find(open, at)) {
    at += open.size();
    blocks.push_back(text.substr(at, text.find("```", at) - at));
  }
  return blocks;
}

}  // namespace

CATCH_TEST_CASE("profile schema: the file is what the tables of fields say") {
  const std::string wanted = gaze::profile_schema() + "\n";
  if (std::getenv("GAZE_WRITE_SCHEMA") != nullptr) gaze::test::write_bytes(kSchemaFile, wanted);
  CATCH_INFO("GAZE_WRITE_SCHEMA=1 build/test/tests/render/gaze_render_tests 'profile schema: the file*' writes it");
  CATCH_CHECK((gaze::test::read_bytes(kSchemaFile) == wanted));
}

CATCH_TEST_CASE("profile schema: docs/profiles.md has a row for every field, and no other") {
  std::map<std::string, std::set<std::string>> wanted;
  add_documented(schema(), "", wanted);
  CATCH_CHECK(documented_rows() == wanted);
}

CATCH_TEST_CASE("profile schema: what is written of random profiles passes it") {
  gaze::test::RandomProfiles profiles(7);
  for (int i = 0; i < 100; ++i) {
    const std::string text = gaze::profile_json(profiles.next());
    CATCH_INFO(text);
    CATCH_CHECK(valid(json::parse(text), schema()));
  }
}

CATCH_TEST_CASE("profile schema: it names the fields and the choices of the parser, no more and no fewer") {
  int64_t objects = 0;
  int64_t choices = 0;
  walk(schema(), "", objects, choices);
  CATCH_CHECK(objects == 21);
  CATCH_CHECK(choices == 11);
}

CATCH_TEST_CASE("profile schema: whole numbers have the parser's limits") {
  const auto check = [](const std::string& path, const json& rule) {
    CATCH_INFO(path);
    const std::string text = refused(profile_with(path, "?"));
    CATCH_CHECK_THAT(text, Catch::Matchers::Contains(path + ": expected a whole number in " +
                                                     std::to_string(rule.at("minimum").get<int64_t>()) + ".." +
                                                     std::to_string(rule.at("maximum").get<int64_t>()) + ", got"));
  };
  const json& fields = schema().at("properties");
  int64_t numbers = 0;
  for (const char* object : {"heads", "image", "sound", "geometry", "tokens"}) {
    for (const auto& [field, rule] : fields.at(object).at("properties").items()) {
      const std::string path = std::string(object) + "." + field;
      if (rule.value("type", "") == "integer") check(path, rule), ++numbers;
      if (path != "geometry.tiles" && path != "geometry.thumbnail" && path != "geometry.video" &&
          path != "geometry.time")
        continue;
      for (const auto& [inner, inner_rule] : rule.at("properties").items()) {
        if (inner_rule.value("type", "") == "integer") check(path + "." + inner, inner_rule), ++numbers;
      }
    }
  }
  check("geometry.spans.placeholder",
        fields.at("geometry").at("properties").at("spans").at("oneOf").at(1).at("properties").at("placeholder"));
  CATCH_CHECK(numbers == 36);
}

CATCH_TEST_CASE("profile schema: the shipped profile and those of the pages pass the schema and the parser") {
  std::vector<std::string> texts = {
      gaze::test::read_bytes(std::string(GAZE_SOURCE_DIR) + "/samples/models/stickers/profile.json")};
  for (const char* page : {"profiles.md", "geometry.md", "heads.md"}) {
    const std::vector<std::string> blocks = json_blocks(page);
    CATCH_CHECK_FALSE(blocks.empty());
    texts.insert(texts.end(), blocks.begin(), blocks.end());
  }
  for (const std::string& text : texts) {
    CATCH_INFO(text);
    json profile = json::parse(text);
    // The pages show a geometry by itself too.
    if (!profile.contains("gaze_profile")) profile = profile_with("", profile);
    CATCH_CHECK(valid(profile, schema()));
    if (profile.contains("tokens")) profile["tokens"].erase("vocabulary");
    CATCH_CHECK(refused(profile) == "accepted");
  }
}

CATCH_TEST_CASE("profile schema: what the parser refuses by type or name, the schema refuses too") {
  const std::pair<const char*, const char*> cases[] = {
      {"name", "5"},
      {"sites", R"({"match": []})"},
      {"sites", R"({"match": [""]})"},
      {"through", R"({"reduce": "rollout"})"},
      {"through", R"({"match": []})"},
      {"through", R"({"match": ["a"], "reduce": "max"})"},
      {"layers", R"({"range": [1]})"},
      {"layers", R"({"reduce": "avg"})"},
      {"heads", R"({"k": 0})"},
      {"heads", R"({"k": 2.5})"},
      {"heads", R"({"select": []})"},
      {"heads", R"({"select": [{"site": "a"}]})"},
      {"heads", R"({"select": [{"site": "", "heads": [1]}]})"},
      {"heads", R"({"select": [{"site": "a", "heads": []}]})"},
      {"heads", R"({"select": [{"site": "a", "heads": [256]}]})"},
      {"image", R"({"mean": [0.5]})"},
      {"image", R"({"mean": [0.5, 0.5], "std": [1, 1]})"},
      {"image", R"({"mean": [0.5], "std": [0]})"},
      {"image", R"({"width": 5})"},
      {"image", R"({"argument": {}})"},
      {"image", R"({"argument": {"forward": 256}})"},
      {"geometry", R"({"rows": 2, "cols": 3, "unpad": 1})"},
      {"geometry", R"({"rows": 2, "cols": 3, "order": "hilbert"})"},
      {"geometry", R"({"rows": 2, "cols": 3, "tiles": {"rows": 2}})"},
      {"geometry", R"({"rows": 2, "cols": 3, "tiles": [2, 2]})"},
      {"geometry", R"({"rows": 2, "cols": 3, "thumbnail": {"rows": 2, "cols": 2, "at": "middle"}})"},
      {"geometry", R"({"rows": 2, "cols": 3, "video": {"frame": -2}})"},
      {"sound", R"({"argument": {"encode": 0}})"},
      {"sound", R"({"sample_rate_hz": 16000})"},
      {"sound", R"({"argument": {"encode": 0}, "sample_rate_hz": 0})"},
      {"sound", R"({"argument": {}, "sample_rate_hz": 16000})"},
      {"geometry", R"({"time": {"keys": 5}})"},
      {"geometry", R"({"time": {"keys": 5, "seconds_per_key": 0}})"},
      {"geometry", R"({"time": {"keys": 5, "seconds_per_key": "20 ms"}})"},
      {"geometry", R"({"rows": 2, "cols": 3, "spans": []})"},
      {"geometry", R"({"rows": 2, "cols": 3, "spans": [{"first_key": 2}]})"},
      {"geometry", R"({"rows": 2, "cols": 3, "spans": {"placeholder": 5}})"},
      {"geometry", R"({"rows": 2, "cols": 3, "spans": {"placeholder": 5, "argument": {}}})"},
      {"geometry", R"({"preset": "llava"})"},
      {"text", R"({"argument": {}})"},
      {"text", R"({"sites": []})"},
      {"text", R"({"markers": []})"},
      {"text", R"({"markers": [{"kind": "user"}]})"},
      {"text", R"({"markers": [{"kind": "reader", "begin": [1]}]})"},
      {"text", R"({"markers": [{"kind": "user", "begin": []}]})"},
      {"text", R"({"markers": [{"kind": "user", "begin": ["a"]}]})"},
      {"text", R"({"words": 1})"},
      {"tokens", R"({"eos": -2})"},
  };
  for (const auto& [field, value] : cases) {
    CATCH_INFO(field << ": " << value);
    const json profile = profile_with(field, json::parse(value));
    CATCH_CHECK_FALSE(valid(profile, schema()));
    CATCH_CHECK(refused(profile) != "accepted");
  }
  CATCH_CHECK(valid(kLeast, schema()));
  CATCH_CHECK(refused(kLeast) == "accepted");
}

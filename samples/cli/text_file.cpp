// SPDX-License-Identifier: MIT
#include "text_file.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "console.hpp"

namespace gaze::cli {
namespace {

using nlohmann::json;

constexpr size_t kMostBytes = size_t{256} << 20;

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] TextFile read() const {
    std::ifstream file(path_, std::ios::binary);
    if (!file.is_open()) refuse("a file", path_ + ", which cannot be read. Check the path");
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() > kMostBytes) refuse("at most 256 MiB", std::to_string(bytes.size() >> 20));
    const json root = json::parse(bytes, nullptr, false);
    if (!root.is_object()) refuse("a JSON object with ids, tokens, text, sources, prompt", "something else");
    for (const auto& [key, value] : root.items()) {
      const auto known = {"ids", "tokens", "text", "sources", "prompt"};
      if (std::find(known.begin(), known.end(), key) == known.end())
        refuse("the fields ids, tokens, text, sources, prompt", key.substr(0, 60));
    }
    TextFile read;
    for (const json& id : list(root, "ids")) read.text.ids.push_back(whole(id, "ids"));
    for (const json& token : list(root, "tokens")) read.text.tokens.push_back(text(token, "tokens"));
    if (root.contains("text")) read.text.text = text(root["text"], "text");
    if (root.contains("prompt")) read.prompt = text(root["prompt"], "prompt");
    for (const json& source : list(root, "sources")) read.text.sources.push_back(source_of(source));
    return read;
  }

 private:
  [[noreturn]] void refuse(const std::string& expected, const std::string& got) const {
    throw Refusal("--text: expected " + expected + " in " + path_ + ", got " + got + ".");
  }
  [[nodiscard]] json list(const json& object, const char* field) const {
    if (!object.contains(field)) return json::array();
    if (!object[field].is_array()) refuse(std::string(field) + " to be a list", object[field].type_name());
    return object[field];
  }
  [[nodiscard]] int64_t whole(const json& value, const std::string& field) const {
    if (!value.is_number_integer()) refuse("whole numbers in " + field, value.type_name());
    return value.get<int64_t>();
  }
  [[nodiscard]] std::string text(const json& value, const std::string& field) const {
    if (!value.is_string()) refuse("text in " + field, value.type_name());
    return value.get<std::string>();
  }
  [[nodiscard]] std::pair<int64_t, int64_t> range(const json& value, const std::string& field) const {
    if (!value.is_array() || value.size() != 2) refuse(field + " to be [first, end]", value.type_name());
    return {whole(value[0], field), whole(value[1], field)};
  }
  [[nodiscard]] TextSource source_of(const json& value) const {
    if (!value.is_object()) refuse("objects with kind, id, tokens or characters in sources", value.type_name());
    TextSource source;
    for (const auto& [key, field] : value.items()) {
      if (key == "kind") {
        const std::string name = text(field, "sources.kind");
        const auto kind = parse_source_kind(name);
        if (!kind) refuse("sources.kind to be one of system, user, passage, turn, tool", name.substr(0, 60));
        source.kind = *kind;
      } else if (key == "id") {
        source.id = text(field, "sources.id");
      } else if (key == "tokens") {
        std::tie(source.first_token, source.end_token) = range(field, "sources.tokens");
      } else if (key == "characters") {
        std::tie(source.first_character, source.end_character) = range(field, "sources.characters");
      } else {
        refuse("objects with kind, id, tokens or characters in sources", key.substr(0, 60));
      }
    }
    return source;
  }

  std::string path_;
};

}  // namespace

TextFile read_text_file(const std::string& path) { return Reader(path).read(); }

}  // namespace gaze::cli

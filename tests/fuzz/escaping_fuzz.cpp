// SPDX-License-Identifier: MIT
// Labels, prompts and ids of any bytes, in all that is written of them: JSON stays one value, a page's script does not
// end, a line of a terminal or a table stays one.
#include <cli/console.hpp>
#include <cli/page.hpp>
#include <cli/table.hpp>

#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "base/utf8.hpp"
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  // What the library writes, read by another one.
  gaze::JsonText written = gaze::JsonText::object();
  written["text"] = text;
  written["key " + text] = 1;
  written["list"] = gaze::JsonText::array_of(std::vector<std::string>{text, text});
  for (const int indent : {-1, 2}) {
    const std::string dumped = written.dump(indent);
    const auto read = nlohmann::json::parse(dumped, nullptr, false);
    GAZE_HOLDS(read.is_object() && read["text"].is_string() && read["list"].size() == 2);
    GAZE_HOLDS(read["list"][1] == read["text"]);
    // Valid UTF-8 comes back as it was.
    if (nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore) ==
        nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
      GAZE_HOLDS(read["text"] == text);
  }
  const std::string in_page = gaze::cli::page_json({{"text", text}, {"words", {text}}});
  GAZE_HOLDS(in_page.find('<') == std::string::npos);
  const auto read = nlohmann::json::parse(in_page, nullptr, false);
  GAZE_HOLDS(read.is_object() && read["words"][0] == read["text"]);

  const std::string line = gaze::cli::printable(text);
  for (const char c : line) GAZE_HOLDS(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  GAZE_HOLDS(gaze::cli::printable(line) == line);

  const std::string field = gaze::cli::csv_text(text);
  const bool quoted = field.size() >= 2 && field.front() == '"' && field.back() == '"';
  size_t quotes = 0;
  for (size_t i = quoted ? 1 : 0; i < field.size() - (quoted ? 1 : 0); ++i) {
    if (!quoted) GAZE_HOLDS(field[i] != ',' && field[i] != '"' && field[i] != '\n' && field[i] != '\r');
    quotes += field[i] == '"' ? 1 : 0;
  }
  GAZE_HOLDS(quotes % 2 == 0);
  const size_t first = quoted ? 1 : 0;
  if (field.size() > first) GAZE_HOLDS(std::string("=+-@\t\r").find(field[first]) == std::string::npos);
  return 0;
}

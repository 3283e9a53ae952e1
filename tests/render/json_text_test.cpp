// SPDX-License-Identifier: MIT
// JSON as it is written, read back by a library.
#include "base/json_text.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "support/test.hpp"

using gaze::JsonText;
using nlohmann::ordered_json;

CATCH_TEST_CASE("what is written is what a library reads, member by member") {
  const double numbers[] = {0.0, -0.0, 1.0, 0.1, 1e-300, 5e-324, 1e22, -123456789.0, 1.7976931348623157e308, 1.0 / 3.0};
  JsonText text = JsonText::object();
  ordered_json want = ordered_json::object();
  for (const double number : numbers) {
    text["n" + std::to_string(number)] = number;
    want["n" + std::to_string(number)] = number;
  }
  for (const int64_t number : {int64_t{0}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    text[std::to_string(number)] = number;
    want[std::to_string(number)] = number;
  }
  text["list"] = JsonText::array_of(std::vector<std::string>{"a", "", "b"});
  want["list"] = {"a", "", "b"};
  text["none"] = JsonText::array();
  want["none"] = ordered_json::array();
  text["empty"] = JsonText::object();
  want["empty"] = ordered_json::object();
  text["inner"] = {{"yes", true}, {"no", false}, {"null", nullptr}, {"deep", {{"er", "text"}}}};
  want["inner"] = {{"yes", true}, {"no", false}, {"null", nullptr}, {"deep", {{"er", "text"}}}};
  CATCH_CHECK(ordered_json::parse(text.dump(2)) == want);
  CATCH_CHECK(ordered_json::parse(text.dump(-1)) == want);
  // The layout is the library's, too: bundles of other versions stay alike.
  CATCH_CHECK(JsonText({{"a", 1}, {"b", JsonText::array()}, {"c", {{"d", 0.5}}}}).dump(2) ==
              ordered_json({{"a", 1}, {"b", ordered_json::array()}, {"c", {{"d", 0.5}}}}).dump(2));
}

CATCH_TEST_CASE("numbers that are none are null, and whole ones stay floating") {
  CATCH_CHECK(JsonText(std::nan("")).dump(2) == "null");
  CATCH_CHECK(JsonText(std::numeric_limits<double>::infinity()).dump(2) == "null");
  CATCH_CHECK(JsonText(3.0).dump(2) == "3.0");
  CATCH_CHECK(ordered_json::parse(JsonText(1e300).dump(2)).is_number_float());
}

CATCH_TEST_CASE("any bytes make a text that a library reads") {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 12, ' ');
    for (char& byte : bytes) byte = static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
    const std::string written = JsonText(bytes).dump(2);
    CATCH_CAPTURE(written);
    CATCH_REQUIRE(ordered_json::accept(written));
    const std::string want =
        ordered_json::parse(ordered_json(bytes).dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    CATCH_CHECK(ordered_json::parse(written).get<std::string>() == want);
  }
}

CATCH_TEST_CASE("a name that is set twice is one member, and appended members come last") {
  JsonText text = {{"a", 1}};
  text["a"] = 2;
  text.append({{"b", 3}});
  CATCH_CHECK(text.dump(-1) == R"({"a":2,"b":3})");
}

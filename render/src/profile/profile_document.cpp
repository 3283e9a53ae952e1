// SPDX-License-Identifier: MIT
#include "profile/profile_document.hpp"

#include <gaze/render/status.hpp>

#include <set>

#include "base/utf8.hpp"

namespace gaze {
namespace {

constexpr int kMostDepth = 32;

}  // namespace

using nlohmann::json;

// The parser keeps the last of two equal names silently; a profile with two is a mistake.
json parse_document(const std::string& text, const std::string& source) {
  std::vector<std::set<std::string>> open;
  std::string duplicate;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMostDepth) {
      throw Error(source + ": expected lists and objects at most " + std::to_string(kMostDepth) +
                  " deep, got deeper ones. Remove the brackets that nothing needs.");
    }
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  json document;
  try {
    document = json::parse(text, watch);
  } catch (const json::exception& error) {
    throw Error(source + ": expected JSON, got: " + excerpt(error.what(), 240) + ".");
  }
  if (!duplicate.empty())
    throw Error(source + ": " + excerpt(duplicate, 60) + ": expected each field once, got it twice.");
  return document;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include <gaze/ops/api.hpp>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundle_file.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "grey_jpeg.hpp"
#include "page.hpp"
#include "report_file.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t kMostPageBytes = 1'000'000;
constexpr size_t kLeastPrompt = 3;    // bytes: a shorter one stands in any text
constexpr size_t kOwnWords = 24;      // bytes: a page's own words are not repeated at such length
constexpr size_t kLeastPicture = 64;  // characters of an embedded one
const std::string kRemovedPrompt = "[prompt removed]";

/// A grey one of the same size, on which the maps lie as before.
ordered_json without_picture(const ordered_json& jpeg) {
  const JpegSize size = jpeg.is_string() ? jpeg_size(from_base64(jpeg.get<std::string>())) : JpegSize();
  return size.width > 0 && size.height > 0 ? base64(grey_jpeg(size)) : std::string();
}

/// What the model looked at and listened to.
void remove_media(ordered_json& data) {
  if (!data.contains("maps") || !data["maps"].is_array()) return;
  for (ordered_json& map : data["maps"]) {
    if (!map.is_object()) continue;
    if (map.contains("jpeg")) map["jpeg"] = without_picture(map["jpeg"]);
    if (map.contains("wav")) map["wav"] = "";
  }
}

/// A page to mail has the map of all heads alone. @return whether there were others
bool remove_heads(ordered_json& data) {
  bool had = false;
  if (!data.contains("maps") || !data["maps"].is_array()) return had;
  for (ordered_json& map : data["maps"]) {
    if (map.is_object() && map.contains("detail")) had = !std::exchange(map["detail"], nullptr).is_null() || had;
  }
  return had;
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

/// The prompt, and its text within the request's id, which hosts make of it.
void remove_prompt(ordered_json& request, const std::string& prompt) {
  request["prompt"] = nullptr;
  if (prompt.size() >= kLeastPrompt && request.contains("request_id") && request["request_id"].is_string())
    replace_all(request["request_id"].get_ref<std::string&>(), prompt, kRemovedPrompt);
}

/// Fields that repeat the prompt: they are not named, so they stay, and that is said.
std::vector<std::string> fields_with(const ordered_json& request, const std::string& prompt) {
  std::vector<std::string> fields;
  const std::string quoted = ordered_json(prompt).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  const std::string inner = quoted.substr(1, quoted.size() - 2);
  for (const auto& [name, value] : request.items()) {
    const std::string text = value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    if (prompt.size() >= kLeastPrompt && text.find(inner) != std::string::npos) fields.push_back(printable(name));
  }
  return fields;
}

/// Text as it would stand in a page outside of its data.
std::string html_escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const char* name = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : nullptr;
    name != nullptr ? escaped += name : escaped += c;
  }
  return escaped;
}

bool embeds_media(const std::string& text) {
  static const std::string kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  for (size_t at = 0; (at = text.find(";base64,", at)) != std::string::npos; ++at) {
    const size_t from = at + 8, end = text.find_first_not_of(kLetters, from);
    if ((end == std::string::npos ? text.size() : end) - from >= kLeastPicture) return true;
  }
  return false;
}

void expect_nothing_beside(const Report& report, bool media, const std::string& prompt) {
  for (const std::string* around : {&report.before, &report.after}) {
    const bool has_media = media && embeds_media(*around);
    const bool has_prompt = prompt.size() >= kOwnWords && (around->find(prompt) != std::string::npos ||
                                                           around->find(html_escaped(prompt)) != std::string::npos);
    if (has_media || has_prompt)
      throw Refusal(std::string("--redact: expected the ") + (has_media ? "picture" : "prompt") +
                    " in the page's data alone, found it beside that too, where it would stay. Was report.html "
                    "changed? Take the bundle as gaze wrote it.");
  }
}

std::string version_of(const nlohmann::json& request) {
  const std::string version = printable(text_at(request, "gaze_version").substr(0, 40));
  return version.empty() ? "an unknown version of gaze" : "gaze " + version;
}

}  // namespace

int pack(const PackArguments& arguments) {
  const fs::path folder(arguments.bundle);
  const nlohmann::json request = read_request(folder);
  std::optional<Report> report = read_report(folder / "report.html");
  if (!report)
    throw Refusal("BUNDLE: expected a bundle with report.html, found none that holds its data in " + arguments.bundle +
                  ", which " + version_of(request) +
                  " wrote. Answer the request again with gaze " GAZE_VERSION ": its bundles have one.");
  const auto redacts = [&](const char* what) {
    return std::find(arguments.redact.begin(), arguments.redact.end(), what) != arguments.redact.end();
  };
  const std::string prompt = redacts("prompt") ? text_at(request, "prompt") : "";
  const bool had_heads = remove_heads(report->data);
  if (redacts("picture")) remove_media(report->data);
  if (redacts("prompt")) remove_prompt(report->data["request"], prompt);
  expect_nothing_beside(*report, redacts("picture"), prompt);
  const std::string text = report->before + page_json(report->data) + report->after;
  if (text.size() > kMostPageBytes) {
    const bool bare = redacts("picture");
    throw Refusal("BUNDLE: expected a page of at most 1000000 bytes, got " + std::to_string(text.size()) +
                  (bare ? ", without the picture, for " + std::to_string(list_at(request, "words").size()) + " words"
                        : std::string(", with the picture or the recording")) +
                  ". " + (bare ? "Zip the folder instead." : "--redact picture leaves either out."));
  }
  write_page(arguments.out, text, "--out");
  std::printf("page     %s  %zu bytes\n", printable(arguments.out).c_str(), text.size());
  std::vector<std::string> removed = arguments.redact;
  if (had_heads) removed.emplace_back("every head's map");
  std::printf("removed  %s\n", removed.empty() ? "nothing" : join(removed).c_str());
  const std::vector<std::string> kept = fields_with(report->data["request"], prompt);
  if (!kept.empty()) std::printf("kept     what repeats the prompt: %s\n", join(kept).c_str());
  return 0;
}

}  // namespace gaze::cli

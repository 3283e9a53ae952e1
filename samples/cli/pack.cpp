// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bundle_file.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "page.hpp"
#include "report_file.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t kMostPageBytes = 1'000'000;
constexpr size_t kLeastPrompt = 3;  // bytes: a shorter one stands in any text
const std::string kRemovedPrompt = "[prompt removed]";

/// Every text below `value`, which `change` may replace.
void each_text(ordered_json& value, const std::function<void(std::string&)>& change) {
  if (value.is_string()) {
    change(value.get_ref<std::string&>());
  } else if (value.is_structured()) {
    for (ordered_json& inner : value) each_text(inner, change);
  }
}

/// Pictures may be long: whatever data address of one stands in the data goes.
void remove_pictures(ordered_json& data) {
  each_text(data, [](std::string& text) {
    if (text.starts_with("data:image/")) text.clear();
  });
  if (data.contains("map") && data["map"].is_object()) data["map"]["picture"] = nullptr;
}

/// The prompt, and the same text wherever else it stands, but in the host's attributes.
void remove_prompt(ordered_json& data, const std::string& prompt) {
  ordered_json& request = data["request"];
  ordered_json attributes = request.contains("attributes") ? request["attributes"] : ordered_json();
  if (prompt.size() >= kLeastPrompt) {
    each_text(data, [&](std::string& text) {
      for (size_t at = 0; (at = text.find(prompt, at)) != std::string::npos; at += kRemovedPrompt.size())
        text.replace(at, prompt.size(), kRemovedPrompt);
    });
  }
  request["prompt"] = nullptr;
  if (!attributes.is_null()) request["attributes"] = std::move(attributes);
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

void expect_nothing_left(const Report& report, bool picture, const std::string& prompt) {
  for (const std::string* around : {&report.before, &report.after}) {
    const bool has_picture = picture && (around->find("data:image/jpeg") != std::string::npos ||
                                         around->find("data:image/png") != std::string::npos);
    const bool has_prompt = prompt.size() >= kLeastPrompt && (around->find(prompt) != std::string::npos ||
                                                              around->find(html_escaped(prompt)) != std::string::npos);
    if (has_picture || has_prompt)
      throw Refusal(std::string("--redact: expected the ") + (has_picture ? "picture" : "prompt") +
                    " in the page's data alone, found it beside that too, where it would stay. Was report.html "
                    "changed? Take the bundle as gaze wrote it.");
  }
}

std::string version_of(const nlohmann::json& request) {
  const std::string version = printable(text_at(request, "gaze_version").substr(0, 40));
  return version.empty() ? "an unknown version of gaze" : "gaze " + version;
}

bool attributes_hold(const nlohmann::json& request, const std::string& prompt) {
  return prompt.size() >= kLeastPrompt &&
         object_at(request, "attributes").dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).find(prompt) !=
             std::string::npos;
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
  if (redacts("picture")) remove_pictures(report->data);
  if (redacts("prompt")) remove_prompt(report->data, prompt);
  expect_nothing_left(*report, redacts("picture"), prompt);
  const std::string text = report->before + page_json(report->data) + report->after;
  if (text.size() > kMostPageBytes) {
    const std::string words = std::to_string(list_at(request, "words").size());
    throw Refusal(
        "BUNDLE: expected a page of at most 1000000 bytes, got " + std::to_string(text.size()) +
        (redacts("picture") ? " without the picture, for " + words + " words" : std::string(" with its picture")) +
        ". " + (redacts("picture") ? "Zip the folder instead." : "--redact picture leaves the picture out."));
  }
  write_page(arguments.out, text, "--out");
  std::printf("page     %s  %zu bytes\n", printable(arguments.out).c_str(), text.size());
  std::printf("removed  %s\n", arguments.redact.empty() ? "nothing" : join(arguments.redact).c_str());
  if (attributes_hold(request, prompt)) std::printf("kept     attributes, one of which holds the prompt's text\n");
  return 0;
}

}  // namespace gaze::cli

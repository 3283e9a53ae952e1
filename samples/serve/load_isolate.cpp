// SPDX-License-Identifier: MIT
#include "load_isolate.hpp"

#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include <opencv2/imgcodecs.hpp>

#include "watermark.hpp"

namespace gaze::serve {
namespace {
namespace fs = std::filesystem;

constexpr size_t kMostNotes = 20;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The number in the picture that the page shows.
std::optional<uint32_t> number_on(const std::string& page) {
  const std::string mark = "\"jpeg\":\"";
  const size_t begin = page.find(mark);
  if (begin == std::string::npos) return std::nullopt;
  const size_t end = page.find('"', begin + mark.size());
  if (end == std::string::npos) return std::nullopt;
  const std::string text = page.substr(begin + mark.size(), end - begin - mark.size());
  std::vector<uint8_t> bytes(text.size() / 4 * 3);
  const auto* from = reinterpret_cast<const unsigned char*>(text.data());
  if (EVP_DecodeBlock(bytes.data(), from, static_cast<int>(text.size())) < 0) return std::nullopt;
  const cv::Mat picture = cv::imdecode(bytes, cv::IMREAD_COLOR);
  return picture.empty() ? std::nullopt : read_watermark(picture);
}

/// What of a bundle is another request's; empty: nothing.
std::string mixed_in(const nlohmann::json& request, const std::string& page, const Asked& asked,
                     const LoadQuestion& question) {
  const std::optional<uint32_t> number = number_on(page);
  if (number != question.number)
    return "its picture's number is " + (number ? std::to_string(*number) : std::string("none"));
  if (request["answer"] != asked.answer) return "its words are " + request["answer"].dump();
  if (request["prompt"] != question.prompt) return "its prompt is " + request["prompt"].dump();
  if (request["attributes"].value("traceparent", "") != traceparent_of(question.number))
    return "its trace is " + request["attributes"].dump();
  return {};
}

bool is_whole(const fs::path& folder, const nlohmann::json& request) {
  if (!request.is_object() || !request["error"].is_null() || request["files"].empty()) return false;
  for (const auto& file : request["files"]) {
    std::error_code failed;
    if (!file.is_string() || fs::file_size(folder / file.get<std::string>(), failed) == 0 || failed) return false;
  }
  return true;
}

}  // namespace

Isolation check_bundles(const std::string& folder, const LoadResult& result,
                        const std::vector<LoadQuestion>& questions) {
  std::map<std::string, const Asked*> open;  // without a bundle so far
  for (const Asked& asked : result.asked) {
    if (asked.status == 200 && !asked.bundle.empty()) open[asked.id] = &asked;
  }
  Isolation isolation;
  const auto note = [&](const fs::path& bundle, const std::string& text) {
    if (isolation.notes.size() < kMostNotes) isolation.notes.push_back(bundle.filename().string() + ": " + text);
  };
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    ++isolation.bundles;
    nlohmann::json request = nlohmann::json::parse(read_file(entry.path() / "request.json"), nullptr, false);
    if (!is_whole(entry.path(), request)) {
      ++isolation.torn;
      note(entry.path(), "is not whole");
      continue;
    }
    const auto found = open.find(request["request_id"].get<std::string>());
    if (found == open.end()) {
      ++isolation.mixed;
      note(entry.path(), "is of no request that waits for one");
      continue;
    }
    ++isolation.checked;
    const Asked& asked = *found->second;
    const std::string mixed =
        mixed_in(request, read_file(entry.path() / "report.html"), asked, questions[asked.question]);
    if (!mixed.empty()) {
      ++isolation.mixed;
      note(entry.path(), asked.id + ": " + mixed);
    }
    open.erase(found);
  }
  isolation.missing = open.size();
  return isolation;
}

nlohmann::json json_of(const Isolation& isolation) {
  return {{"bundles", isolation.bundles}, {"checked", isolation.checked}, {"mixed", isolation.mixed},
          {"torn", isolation.torn},       {"missing", isolation.missing}, {"notes", isolation.notes}};
}

}  // namespace gaze::serve

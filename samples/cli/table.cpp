// SPDX-License-Identifier: MIT
#include "table.hpp"

#include <algorithm>
#include <array>
#include <system_error>

#include "bundle_file.hpp"
#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kColumns =
    "folder,request_id,created,prompt,answer,error,model,model_sha256,profile,profile_sha256,answer_verdict,answer_"
    "score,"
    "word_index,word,content,verdict,score,mass,max_lift,entropy,diffuse,hot_x,hot_y,start_seconds,end_seconds,"
    "share_within,flags\r\n";

/// A number as JSON writes it, or nothing.
std::string csv_number(const json& object, std::string_view field) {
  const auto number = number_at(object, field);
  return number ? json(*number).dump() : std::string();
}

std::string csv_bool(const json& object, std::string_view field) {
  return object.contains(field) && object[std::string(field)].is_boolean() ? (is_true_at(object, field) ? "1" : "0")
                                                                           : "";
}

std::string words_columns(const json& word) {
  const StoredVerdict grounding = grounding_of(word);
  std::string row = csv_text(text_at(word, "text")) + "," + csv_bool(word, "content") + "," +
                    csv_text(grounding.verdict) + "," + csv_number(object_at(word, "grounding"), "score");
  for (const char* field : {"mass", "max_lift", "entropy"}) row += "," + csv_number(word, field);
  row += "," + csv_bool(word, "diffuse");
  const json& point = list_at(word, "hot_point");
  for (size_t axis = 0; axis < 2; ++axis)
    row += "," + (axis < point.size() && point[axis].is_number() ? point[axis].dump() : std::string());
  for (const char* field : {"start", "end", "share_within"}) row += "," + csv_number(word, field);
  std::string flags;
  for (const json& flag : list_at(word, "flags")) {
    if (flag.is_string()) flags += (flags.empty() ? "" : " ") + flag.get<std::string>();
  }
  return row + "," + csv_text(flags);
}

}  // namespace

std::string csv_text(std::string_view text) {
  // The last four are the wide forms of the first, which some spreadsheets take for them.
  constexpr std::array<std::string_view, 12> kFormula = {"=",  "+", "-",  "@",  "\t", "\r",
                                                         "\n", "'", "＝", "＋", "－", "＠"};
  const bool marked = std::any_of(kFormula.begin(), kFormula.end(), [&](auto mark) { return text.starts_with(mark); });
  std::string field = (marked ? "'" : "") + std::string(text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

Table::Table(const fs::path& file) : file_(file), part_(file) {
  part_ += ".part";
  out_.open(part_, std::ios::binary | std::ios::trunc);
  out_ << kColumns;
  if (!out_)
    throw Refusal("--table: expected a file that can be written, got " + file.string() + ". Does the folder exist?");
}

Table::~Table() {
  std::error_code ignored;
  if (out_.is_open()) fs::remove(part_, ignored);
}

void Table::add(const std::string& folder, const json& request) {
  const json& model = object_at(request, "model");
  const json& error = object_at(request, "error");
  const StoredVerdict grounding = grounding_of(request);
  std::string answer = csv_text(folder);
  for (const char* field : {"request_id", "created", "prompt", "answer"})
    answer += "," + csv_text(text_at(request, field));
  answer += "," + csv_text(text_at(error, "reason")) + "," + csv_text(text_at(model, "path")) + "," +
            csv_text(text_at(model, "sha256")) + "," + csv_text(text_at(request, "profile")) + "," +
            csv_text(text_at(request, "profile_sha256")) + "," + csv_text(grounding.verdict) + "," +
            csv_number(object_at(request, "grounding"), "score") + ",";
  const json& words = list_at(request, "words");
  for (size_t w = 0; w < words.size(); ++w) out_ << answer << w + 1 << "," << words_columns(words[w]) << "\r\n";
  if (words.empty()) out_ << answer << "," << words_columns(json::object()) << "\r\n";
}

void Table::publish() {
  out_.close();
  std::error_code failed;
  if (out_) fs::rename(part_, file_, failed);
  if (out_ && !failed) return;
  std::error_code ignored;
  fs::remove(part_, ignored);
  throw Refusal("--table: expected a file that can be written, got " + file_.string() + ". Is there room?");
}

}  // namespace gaze::cli

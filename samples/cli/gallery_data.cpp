// SPDX-License-Identifier: MIT
#include "gallery_data.hpp"

#include <gaze/ops/api.hpp>

#include <system_error>

#include "console.hpp"
#include "page.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;

/// Rows that another version wrote are not taken over: they may say less.
const std::string kOldRowsHead = "gaze_rows(\"" GAZE_VERSION " 1\",[";

std::string chunk_name(const std::string& kind, uint64_t chunk) {
  char number[24];
  std::snprintf(number, sizeof number, "-%04llu.js", static_cast<unsigned long long>(chunk));
  return kind + number;
}

/// The order of a list: by the folder's name, newest first.
bool stands_before(const std::string& a, const std::string& b) {
  const auto name = [](const std::string& address) {
    return std::string_view(address).substr(address.rfind('/') == std::string::npos ? 0 : address.rfind('/') + 1);
  };
  return name(a) != name(b) ? name(a) > name(b) : a < b;
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
  throw Refusal("--out: expected a folder that can be written, got " + folder.string() + ". Is there room?");
}

}  // namespace

ChunkWriter::ChunkWriter(fs::path folder, std::string kind) : folder_(std::move(folder)), kind_(std::move(kind)) {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) refuse_folder(folder_);
}

fs::path ChunkWriter::name(uint64_t chunk) const { return folder_ / chunk_name(kind_, chunk); }

void ChunkWriter::add(const nlohmann::ordered_json& row) {
  if (rows_ % kRows == 0) {
    end_chunk();
    ++chunks_;
    out_.open(name(chunks_).string() + ".part", std::ios::binary | std::ios::trunc);
    out_ << (kind_ == "rows" ? kOldRowsHead : "gaze_" + kind_ + "(\"\",[") << "\n";
  } else {
    out_ << ",\n";
  }
  out_ << page_json(row);
  if (!out_) refuse_folder(folder_);
  ++rows_;
}

void ChunkWriter::end_chunk() {
  if (!out_.is_open()) return;
  out_ << "\n]);\n";
  out_.close();
  if (!out_) refuse_folder(folder_);
}

void ChunkWriter::publish() {
  end_chunk();
  std::error_code failed;
  for (uint64_t chunk = 1; chunk <= chunks_ && !failed; ++chunk)
    fs::rename(name(chunk).string() + ".part", name(chunk), failed);
  if (failed) refuse_folder(folder_);
  for (uint64_t chunk = chunks_ + 1; fs::remove(name(chunk), failed) && !failed; ++chunk) {
  }
}

std::optional<nlohmann::ordered_json> OldRows::take(const std::string& address, const std::string& stamp) {
  while (!ended_ && (address_.empty() || stands_before(address_, address))) ended_ = !next();
  if (ended_ || address_ != address || row_.value("stamp", "") != stamp) return std::nullopt;
  return row_;
}

bool OldRows::next() {
  std::string line;
  while (!std::getline(in_, line) || !line.starts_with('{')) {
    if (in_.is_open() && in_) continue;
    in_ = std::ifstream(folder_ / chunk_name("rows", ++chunk_), std::ios::binary);
    if (!std::getline(in_, line) || line != kOldRowsHead) return false;
  }
  if (line.ends_with(',')) line.pop_back();
  row_ = nlohmann::ordered_json::parse(line, nullptr, false);
  const bool whole = row_.is_object() && row_.contains("folder") && row_["folder"].is_string() &&
                     row_.contains("stamp") && row_["stamp"].is_string();
  address_ = whole ? row_["folder"].get<std::string>() : "";
  return whole;
}

}  // namespace gaze::cli

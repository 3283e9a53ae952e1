// SPDX-License-Identifier: MIT
#include "page.hpp"

#include <openssl/evp.h>

#include <fstream>
#include <stdexcept>
#include <system_error>

#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostEncoded = size_t{1} << 30;  // OpenSSL counts in int

/// What stands between the first `begin` and the next `end`.
std::string_view between(std::string_view text, std::string_view begin, std::string_view end) {
  const size_t from = text.find(begin);
  const size_t to = from == std::string_view::npos ? from : text.find(end, from);
  if (to == std::string_view::npos) throw std::logic_error("page: expected " + std::string(begin));
  return text.substr(from + begin.size(), to - from - begin.size());
}

void put(std::string& text, std::string_view mark, std::string_view value) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) throw std::logic_error("page: expected the mark " + std::string(mark));
  text.replace(at, mark.size(), value);
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

std::string from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > kMostEncoded) return "";
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return "";
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<size_t>(length) - padding);
  return bytes;
}

std::string policy_digest(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("cannot compute a SHA-256");
  return "'sha256-" + base64({reinterpret_cast<const char*>(digest), length}) + "'";
}

std::string page_json(const nlohmann::ordered_json& value) {
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) c == '<' ? escaped += "\\u003c" : escaped += c;
  return escaped;
}

std::string page(std::string_view source, std::string_view sources, const nlohmann::ordered_json& data) {
  const std::string style = policy_digest(between(source, "<style>", "</style>"));
  const std::string script = policy_digest(between(source, "<script>", "</script>"));
  std::string text(source);
  std::string policy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + style;
  policy += "; script-src " + script + std::string(sources);
  put(text, "POLICY_OF_THE_PAGE", policy);
  put(text, "DATA_OF_THE_PAGE", page_json(data));
  return text;
}

void write_page(const fs::path& file, std::string_view text, const std::string& option) {
  fs::path part = file;
  part += ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  std::error_code failed;
  // As bundles are: it holds what was asked and answered.
  fs::permissions(part, fs::perms::owner_read | fs::perms::owner_write, failed);
  if (out && !failed) fs::rename(part, file, failed);
  if (out && !failed) return;
  std::error_code ignored;
  fs::remove(part, ignored);
  throw Refusal(option + ": expected a file that can be written, got " + file.string() +
                ". Does the folder exist, and is there room?");
}

}  // namespace gaze::cli

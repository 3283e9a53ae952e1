// SPDX-License-Identifier: MIT
#include "question.hpp"

#include <httplib.h>
#include <openssl/evp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

#include "http_error.hpp"
#include "http_server.hpp"
#include "multipart.hpp"

namespace gaze::serve {
namespace {

constexpr size_t kMostPrompt = 1000, kMostId = 128;

/// One object of texts: nothing else is kept, however much of it comes.
class Texts final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::string picture, prompt;

  bool start_object(std::size_t) override { return depth_++ == 0; }
  bool end_object() override { return true; }
  bool key(string_t& name) override {
    into_ = name == "picture" ? &picture : name == "prompt" ? &prompt : nullptr;
    return into_ != nullptr && into_->empty();
  }
  bool string(string_t& text) override {
    if (into_ == nullptr) return false;
    *into_ = std::move(text);
    return true;
  }
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  int depth_ = 0;
  std::string* into_ = nullptr;
};

std::string from_base64(const std::string& text) {
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes(text.size() / 4 * 3, '\0');
  const auto* from = reinterpret_cast<const unsigned char*>(text.data());
  const int size = text.size() % 4 != 0 ? -1
                                        : EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), from,
                                                          static_cast<int>(text.size()));
  if (size < 0) throw HttpError(400, "picture: expected base64");
  bytes.resize(std::max<size_t>(static_cast<size_t>(size), padding) - padding);
  return bytes;
}

void read_json(const std::string& body, Question& question) {
  Texts texts;
  if (!nlohmann::json::sax_parse(body, &texts))
    throw HttpError(400, R"(expected JSON {"picture": base64, "prompt": text}, and no other fields)");
  question.picture = from_base64(texts.picture);
  question.prompt = std::move(texts.prompt);
}

void read_parts(const std::string& body, const std::string& content_type, Question& question) {
  for (const Part& part : parse_multipart(body, content_type)) {
    std::string* const into = part.name == "picture"  ? &question.picture
                              : part.name == "prompt" ? &question.prompt
                                                      : nullptr;
    if (into == nullptr || !into->empty())
      throw HttpError(400, "multipart: expected one part named picture and one named prompt");
    into->assign(part.content);
  }
}

std::string new_id() {
  static std::atomic<uint64_t> count{0};
  static const uint64_t process = std::random_device()() | uint64_t{std::random_device()()} << 32;
  char text[40];
  std::snprintf(text, sizeof text, "%016llx-%llu", static_cast<unsigned long long>(process),
                static_cast<unsigned long long>(++count));
  return text;
}

bool holds_only(std::string_view text, bool (*allowed)(char)) { return std::all_of(text.begin(), text.end(), allowed); }

std::string read_id(const httplib::Request& request) {
  const auto header = request.headers.find("X-Request-Id");
  if (header == request.headers.end()) return new_id();
  const std::string& id = header->second;  // whole: get_header_value ends at a NUL
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
  };
  if (id.empty() || id.size() > kMostId || !holds_only(id, allowed))
    throw HttpError(400, "X-Request-Id: expected 1 to 128 of A-Z, a-z, 0-9, and . _ : -");
  return id;
}

/// One that is not well-formed is left out, as W3C Trace Context says.
std::string read_traceparent(const httplib::Request& request) {
  const std::string text = request.get_header_value("traceparent");
  if (text.size() != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return {};
  const auto allowed = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; };
  return holds_only(text, allowed) && std::count(text.begin(), text.end(), '-') == 3 ? text : std::string();
}

Wish read_wish(const httplib::Request& request) {
  if (!request.has_header("X-Gaze")) return Wish::Unsaid;
  const std::string text = request.get_header_value("X-Gaze");
  if (text == "on") return Wish::On;
  if (text == "off") return Wish::Off;
  throw HttpError(400, "X-Gaze: expected on or off");
}

}  // namespace

Question read_question(const httplib::Request& request) {
  Question question{read_id(request), {}, {}, read_traceparent(request), read_wish(request)};
  const std::string type = content_type_of(request);
  if (type == "application/json" || type.starts_with("application/json;")) {
    read_json(request.body, question);
  } else if (type.starts_with("multipart/form-data;")) {
    read_parts(request.body, type, question);
  } else {
    throw HttpError(415, "Content-Type: expected application/json or multipart/form-data");
  }
  if (question.picture.empty()) throw HttpError(400, "picture: expected an image file, got nothing");
  if (question.prompt.empty()) throw HttpError(400, "prompt: expected a text, got nothing");
  if (question.prompt.size() > kMostPrompt) throw HttpError(400, "prompt: expected at most 1000 bytes");
  return question;
}

}  // namespace gaze::serve

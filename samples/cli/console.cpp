// SPDX-License-Identifier: MIT
#include "console.hpp"

#include <unistd.h>

#include <cstdio>

namespace gaze::cli {
namespace {

// Bytes of the well-formed UTF-8 character at the front that a terminal only prints; 0 when there is none.
size_t printable_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  const size_t length = byte(0) >= 0xf0 && byte(0) <= 0xf4 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc2 ? 2 : 0;
  if (length == 0 || byte(0) > 0xf4 || text.size() < length) return 0;
  uint32_t code = byte(0) & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  const bool shortest = length == 2 || (length == 3 && code >= 0x800) || (length == 4 && code >= 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  const bool control = code < 0xa0;
  // Marks that turn the writing direction make a line read as another one.
  const bool turns = code == 0x061c || (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                     (code >= 0x2066 && code <= 0x2069);
  return shortest && !surrogate && !control && !turns && code <= 0x10ffff ? length : 0;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = printable_length(text);
    if (length > 0) {
      out += text.substr(0, length);
      text.remove_prefix(length);
      continue;
    }
    char code[5];
    std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(text.front()));
    out += code;
    text.remove_prefix(1);
  }
  return out;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

Progress::Progress(std::string what, int64_t total)
    : what_(std::move(what)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      begun_(std::chrono::steady_clock::now()),
      last_(begun_) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void Progress::show(int64_t done) {
  using std::chrono::duration;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - begun_ < std::chrono::seconds(1) || now - last_ < std::chrono::milliseconds(200)) return;
  last_ = now;
  shown_ = true;
  const double left_s =
      duration<double>(now - begun_).count() / static_cast<double>(done) * static_cast<double>(total_ - done);
  std::fprintf(stderr, "\r\x1b[K%s %lld of %lld, about %.0f s left", what_.c_str(), static_cast<long long>(done),
               static_cast<long long>(total_), left_s);
}

}  // namespace gaze::cli

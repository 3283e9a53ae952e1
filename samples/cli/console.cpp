// SPDX-License-Identifier: MIT
#include "console.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

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

namespace {

// Behind the Python-style traceback, where lines of the model's source are indented, stands the error's own first line.
// The last line is not always part of it: an operator without a kernel goes on with a list of all backends.
std::string behind_traceback(const std::string& text) {
  const size_t traceback = text.rfind("Traceback of TorchScript");
  if (traceback == std::string::npos) return text;
  size_t line = text.find('\n', traceback);
  while (line != std::string::npos && line + 1 < text.size()) {
    const size_t end = text.find('\n', line + 1);
    const std::string first_word = text.substr(line + 1, text.find_first_of(" \n", line + 1) - line - 1);
    if (first_word.size() > 1 && first_word.back() == ':') return text.substr(line + 1);
    line = end;
  }
  return text.substr(text.rfind('\n') + 1);
}

/// What stands from the mark on is for those who work on LibTorch.
void cut_at(std::string& text, std::string_view mark) { text.resize(std::min(text.size(), text.find(mark))); }

/// What an assertion of LibTorch's own says stands behind its place in the source.
std::string behind_assertion(const std::string& text) {
  constexpr std::string_view kAssert = "INTERNAL ASSERT FAILED", kPlea = "please report a bug to PyTorch.";
  if (text.find(kAssert) == std::string::npos) return text;
  const size_t plea = text.find(kPlea);
  std::string said = plea == std::string::npos ? std::string() : text.substr(plea + kPlea.size());
  said.erase(0, std::min(said.size(), said.find_first_not_of(" \n")));
  return said.empty() ? "LibTorch met what it does not expect" : said;
}

}  // namespace

std::string brief(std::string text) {
  cut_at(text, "\nException raised from");
  text = behind_assertion(behind_traceback(text));
  for (const std::string_view mark :
       {" This could be because", " is only available for these backends", " This is an internal miniz error",
        "\nCPU: registered at", "The above operation failed in interpreter"})
    cut_at(text, mark);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  text.erase(0, std::min(text.size(), text.find_first_not_of(' ')));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.size() > 300) text = text.substr(0, 297) + "...";
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

std::string nearest(std::string_view typed, const std::vector<std::string>& names) {
  std::string best;
  size_t least = typed.size() / 2 + 1;  // more changes than that are another word
  for (const std::string& name : names) {
    std::vector<size_t> row(name.size() + 1);  // changes from the letters so far to each beginning of the name
    for (size_t i = 0; i < row.size(); ++i) row[i] = i;
    for (size_t t = 0; t < typed.size(); ++t) {
      size_t corner = std::exchange(row[0], t + 1);
      for (size_t i = 1; i < row.size(); ++i) {
        const size_t changed = corner + (typed[t] == name[i - 1] ? 0 : 1);
        corner = std::exchange(row[i], std::min({changed, row[i] + 1, row[i - 1] + 1}));
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = name;
    }
  }
  return best;
}

namespace {
constexpr std::chrono::seconds kTerminalAfter{1}, kLinesAfter{10};
}  // namespace

Progress::Progress(std::string verb, std::string units)
    : verb_(std::move(verb)),
      units_(std::move(units)),
      terminal_(isatty(STDERR_FILENO) == 1),
      begun_(std::chrono::steady_clock::now()),
      next_(begun_ + (terminal_ ? kTerminalAfter : kLinesAfter)) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void Progress::show(int64_t done, int64_t total) {
  using std::chrono::duration;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_ || done < 1 || done >= total) return;
  const double spent_s = duration<double>(now - begun_).count();
  const double left_s = spent_s / static_cast<double>(done) * static_cast<double>(total - done);
  next_ = terminal_ ? now + std::chrono::milliseconds(200) : now + (now - begun_);
  shown_ = terminal_;
  std::fprintf(stderr, "%s%s  %lld of %lld %s, about %.0f s left%s", terminal_ ? "\r\x1b[K" : "gaze: ", verb_.c_str(),
               static_cast<long long>(done), static_cast<long long>(total), units_.c_str(), left_s,
               terminal_ ? "" : "\n");
  std::fflush(stderr);
}

}  // namespace gaze::cli

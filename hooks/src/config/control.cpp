// SPDX-License-Identifier: MIT
#include <gaze/hooks/control.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace gaze {
namespace {

constexpr size_t kMostBytes = 64 << 10;
constexpr size_t kMostPattern = 256;
constexpr size_t kMostProblems = 8;

template <class Number>
bool parse_number(std::string_view text, Number& out) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  return result.ec == std::errc() && result.ptr == end;
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<bool> parse_switch(std::string_view text) {
  for (const std::string_view yes : {"on", "1", "true", "yes"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"off", "0", "false", "no"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

/// What a line may say; null: it decided something.
const char* apply(std::string_view name, std::string_view value, ControlFile& file) {
  Control& control = file.control;
  if (name == "capture") {
    const std::optional<bool> on = parse_switch(value);
    if (!on) return "on or off";
    control.capture = *on;
  } else if (name == "sample_rate") {
    double rate = 0;
    if (!parse_number(value, rate) || !(rate >= 0 && rate <= 1)) return "a number from 0 to 1";
    control.sample_rate = rate;
  } else if (name == "next") {
    int64_t next = 0;
    if (!parse_number(value, next) || next < 0 || next > 1'000'000'000) return "a whole number from 0 to 1000000000";
    control.next = next;
    file.says_next = true;
  } else if (name == "ids" || name == "prompts") {
    if (value.size() > kMostPattern) return "a pattern of at most 256 bytes";
    (name == "ids" ? control.ids : control.prompts) = value;
  } else if (name == "per_second") {
    double most = 0;
    if (!parse_number(value, most) || !(most >= 0 && most <= 1e6)) return "a number from 0, which is no limit, to 1e6";
    control.per_second = most;
  } else if (name == "keep") {
    const std::optional<KeepRule> rule = parse_keep(value);
    if (!rule) return "all, or any of flagged,slow:SECONDS,long:TOKENS";
    control.keep = *rule;
  } else if (name == "until") {
    int64_t until = 0;
    if (!parse_number(value, until) || until < 0) return "seconds since 1970";
    file.until_seconds = until;
  } else {
    return "capture, sample_rate, next, ids, prompts, per_second, keep or until";
  }
  return nullptr;
}

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

}  // namespace

std::optional<KeepRule> parse_keep(std::string_view text) {
  KeepRule rule;
  if (text == "all") return rule;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view word = trimmed(text.substr(0, comma));
    if (word == "flagged") {
      rule.flagged = true;
    } else if (word.starts_with("slow:")) {
      if (!parse_number(word.substr(5), rule.slow_seconds)) return std::nullopt;
      if (!(rule.slow_seconds > 0 && std::isfinite(rule.slow_seconds))) return std::nullopt;
    } else if (word.starts_with("long:")) {
      if (!parse_number(word.substr(5), rule.long_tokens) || rule.long_tokens < 1) return std::nullopt;
    } else {
      return std::nullopt;
    }
    if (comma == std::string_view::npos) return rule;
    text.remove_prefix(comma + 1);
  }
}

std::string text_of(const KeepRule& rule) {
  if (rule.everything()) return "all";
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ",") + word; };
  if (rule.flagged) add("flagged");
  if (rule.slow_seconds > 0) add("slow:" + number_text(rule.slow_seconds));
  if (rule.long_tokens > 0) add("long:" + std::to_string(rule.long_tokens));
  return text;
}

// Goes back to the latest '*' alone: longer tails of what it took are tried one by one.
bool matches(std::string_view pattern, std::string_view text) noexcept {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

ControlFile read_control(std::string_view text, const Control& control) {
  ControlFile file{control, false, 0, {}};
  const auto problem = [&](const std::string& sentence) {
    if (file.problems.size() < kMostProblems) file.problems.push_back(sentence);
  };
  if (text.size() > kMostBytes) {
    problem("expected at most 65536 bytes, got " + std::to_string(text.size()) + ".");
    return file;
  }
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    const std::string_view said = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (said.empty() || said.front() == '#') continue;
    const size_t equals = said.find('=');
    const std::string_view name = trimmed(said.substr(0, equals));
    const char* const allowed = equals == std::string_view::npos ? "a line such as sample_rate = 0.01"
                                                                 : apply(name, trimmed(said.substr(equals + 1)), file);
    if (allowed == nullptr) continue;
    problem("line " + std::to_string(line) + ": expected " + allowed + ", got \"" + std::string(said.substr(0, 80)) +
            "\".");
  }
  return file;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The names people type for reductions and colours.
#include <gaze/render/profile.hpp>
#include <gaze/render/token_rows.hpp>

#include <charconv>
#include <string_view>

#include "profile/names.hpp"

namespace gaze {
namespace {

constexpr Named<ops::Colormap> kColormaps[] = {
    {"turbo", ops::Colormap::Turbo},     {"inferno", ops::Colormap::Inferno}, {"viridis", ops::Colormap::Viridis},
    {"cividis", ops::Colormap::Cividis}, {"gray", ops::Colormap::Gray},       {"diverging", ops::Colormap::Diverging}};

std::optional<int64_t> parse_count(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

bool glob_match(const std::string& pattern, const std::string& name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string::npos;  // last `*` seen, and how far it has been stretched
  size_t stretched = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      stretched = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++stretched;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::optional<HeadChoice> parse_heads(const std::string& text) {
  const size_t colon = text.find(':');
  const std::optional<ops::HeadReduce> kind = value_of(kHeadNames, std::string_view(text).substr(0, colon));
  if (!kind) return std::nullopt;
  HeadChoice choice;
  choice.kind = *kind;
  if (colon == std::string::npos) {
    if (*kind == ops::HeadReduce::One) return std::nullopt;  // which one is not guessed
    return choice;
  }
  const std::optional<int64_t> count = parse_count(std::string_view(text).substr(colon + 1));
  if (!count) return std::nullopt;
  if (*kind == ops::HeadReduce::One) {
    choice.head = *count;
  } else if (*kind == ops::HeadReduce::TopK && *count > 0) {
    choice.k = *count;
  } else {
    return std::nullopt;
  }
  return choice;
}

std::optional<LayerChoice> parse_layers(const std::string& text) {
  LayerChoice choice;
  std::string_view range = text;
  const size_t colon = text.find(':');
  const std::string_view head = std::string_view(text).substr(0, colon);
  choice.kind = value_of(kLayerNames, head);
  if (choice.kind) {
    if (colon == std::string::npos) return choice;
    range = range.substr(colon + 1);
  } else if (colon != std::string::npos) {
    return std::nullopt;
  }
  const size_t dash = range.find('-');
  const std::optional<int64_t> first = parse_count(range.substr(0, dash));
  const std::optional<int64_t> last = dash == std::string::npos ? first : parse_count(range.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  choice.first = *first;
  choice.last = *last;
  return choice;
}

std::optional<ops::Colormap> parse_colormap(const std::string& text) { return value_of(kColormaps, text); }

const char* name(ops::HeadReduce kind) noexcept { return name_of(kHeadNames, kind); }
const char* name(ops::LayerReduce kind) noexcept { return name_of(kLayerNames, kind); }
const char* name(ops::Colormap colormap) noexcept { return name_of(kColormaps, colormap); }

const char* name(SourceKind kind) noexcept { return name_of(kSourceKindNames, kind); }
std::optional<SourceKind> parse_source_kind(const std::string& text) { return value_of(kSourceKindNames, text); }

std::optional<TokenRows> parse_token_rows(const std::string& text) {
  TokenRows rows;
  if (const auto of = value_of(kTokenRowNames, text)) {
    rows.of = *of;
    return rows;
  }
  const size_t dash = text.find('-');
  const std::optional<int64_t> first = parse_count(std::string_view(text).substr(0, dash));
  const std::optional<int64_t> last =
      dash == std::string::npos ? first : parse_count(std::string_view(text).substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  rows.of = TokenRows::Of::Range;
  rows.first = *first;
  rows.last = *last;
  return rows;
}

std::string name(const TokenRows& rows) {
  if (rows.of == TokenRows::Of::Found) return "found";
  if (rows.of != TokenRows::Of::Range) return name_of(kTokenRowNames, rows.of);
  return std::to_string(rows.first) + "-" + std::to_string(rows.last);
}

}  // namespace gaze

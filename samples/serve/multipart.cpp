// SPDX-License-Identifier: MIT
#include "multipart.hpp"

#include <algorithm>

#include "http_error.hpp"

namespace gaze::serve {
namespace {

constexpr size_t kMostParts = 8, kMostHead = 2048, kMostBoundary = 70;

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return out;
}

/// The value behind `; name=`, with quotes or without; empty: there is none.
std::string parameter(std::string_view header, std::string_view name) {
  const std::string small = lowered(header);
  for (size_t at = small.find(name); at != std::string::npos; at = small.find(name, at + 1)) {
    const size_t before = at == 0 ? std::string::npos : small.find_last_not_of(" \t", at - 1);
    size_t begin = at + name.size();
    if (before == std::string::npos || small[before] != ';' || begin >= small.size() || small[begin] != '=') continue;
    ++begin;
    const bool quoted = begin < header.size() && header[begin] == '"';
    const size_t end = quoted ? header.find('"', begin + 1) : header.find_first_of("; \t", begin);
    if (quoted && end == std::string_view::npos) return {};
    if (quoted) ++begin;
    return std::string(header.substr(begin, std::min(end, header.size()) - begin));
  }
  return {};
}

std::string name_in(std::string_view head) {
  while (!head.empty()) {
    const size_t end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    if (lowered(line).starts_with("content-disposition:")) return parameter(line, "name");
  }
  return {};
}

[[noreturn]] void refuse(const std::string& expected) { throw HttpError(400, "multipart: expected " + expected); }

}  // namespace

std::vector<Part> parse_multipart(std::string_view body, std::string_view content_type) {
  const std::string boundary = parameter(content_type, "boundary");
  if (boundary.empty() || boundary.size() > kMostBoundary) refuse("a boundary of 1 to 70 characters");
  const std::string mark = "\r\n--" + boundary;
  size_t at = 0;  // behind a mark
  if (body.starts_with(std::string_view(mark).substr(2))) {
    at = mark.size() - 2;
  } else {
    at = body.find(mark);
    if (at == std::string_view::npos) refuse("the boundary that Content-Type says");
    at += mark.size();
  }
  std::vector<Part> parts;
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with("\r\n")) refuse("an end of line behind a boundary");
    if (parts.size() == kMostParts) refuse("at most 8 parts");
    const size_t head = body.substr(at, kMostHead).find("\r\n\r\n");
    if (head == std::string_view::npos) refuse("a part's head of at most 2048 bytes");
    const std::string name = name_in(body.substr(at + 2, std::max<size_t>(head, 2) - 2));
    if (name.empty()) refuse("Content-Disposition with a name for each part");
    const size_t content = at + head + 4;
    // An empty part's mark begins with the end of its head.
    const size_t end = body.find(mark, content - 2);
    if (end == std::string_view::npos) refuse("a closing boundary: it is cut off");
    parts.push_back({name, body.substr(content, end < content ? 0 : end - content)});
    at = end + mark.size();
  }
  return parts;
}

}  // namespace gaze::serve

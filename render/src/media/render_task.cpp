// SPDX-License-Identifier: MIT
#include "media/render_task.hpp"

#include <cstdio>

namespace gaze {
namespace {

std::string slug(const Word& word) {
  if (word.text.empty()) return "token";
  std::string text;
  for (const char c : word.text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) text += lower;
    if (text.size() == 24) break;
  }
  return text.empty() ? "word" : text;
}

}  // namespace

std::string RenderTask::picture(const std::string& name) const {
  const ImageFormat format = options.format;
  return file(name + (format == ImageFormat::Jpeg ? ".jpg" : format == ImageFormat::Webp ? ".webp" : ".png"));
}

std::string RenderTask::word(size_t index, const Word& word) const {
  char number[24];
  std::snprintf(number, sizeof number, "%02zu", index + 1);
  return picture(std::string("words/") + number + "-" + slug(word));
}

}  // namespace gaze

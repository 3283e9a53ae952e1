// SPDX-License-Identifier: MIT
#include "bundle/bundle_files.hpp"

#include <gaze/render/stop.hpp>

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

void BundleFiles::write(const std::string& file, std::string_view bytes) {
  throw_if_stopping();
  staged.write(file, bytes);
  sidecar.files.push_back(file);
}

std::string picture_file(const std::string& name, ImageFormat format) {
  return name + (format == ImageFormat::Jpeg ? ".jpg" : format == ImageFormat::Webp ? ".webp" : ".png");
}

std::string word_file(size_t index, const Word& word, ImageFormat format) {
  char number[24];
  std::snprintf(number, sizeof number, "%02zu", index + 1);
  return picture_file(std::string("words/") + number + "-" + slug(word), format);
}

}  // namespace gaze

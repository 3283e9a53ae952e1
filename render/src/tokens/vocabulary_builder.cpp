// SPDX-License-Identifier: MIT
#include "tokens/vocabulary_builder.hpp"

#include <gaze/render/status.hpp>

#include "base/utf8.hpp"

namespace gaze {

void VocabularyBuilder::add(int64_t id, std::string text) {
  const auto index = static_cast<size_t>(id);
  if (id >= 0 && index < texts_.size() && known_[index] && texts_[index] != text) {
    refuse("one text for each id",
           "\"" + excerpt(texts_[index], 60) + "\" and \"" + excerpt(text, 60) + "\" for " + std::to_string(id));
  }
  set(id, std::move(text));
}

void VocabularyBuilder::set(int64_t id, std::string text) {
  if (id < 0 || id >= static_cast<int64_t>(kMostTokens)) {
    refuse("ids in 0.." + std::to_string(kMostTokens - 1), std::to_string(id) + " for \"" + excerpt(text, 60) + "\"");
  }
  const auto index = static_cast<size_t>(id);
  if (index >= texts_.size()) {
    texts_.resize(index + 1);
    known_.resize(index + 1);
  }
  texts_[index] = std::move(text);
  known_[index] = true;
}

void VocabularyBuilder::refuse(const std::string& expected, const std::string& got) const {
  throw Error(source_ + ": expected " + expected + ", got " + got + ".");
}

std::vector<std::string> VocabularyBuilder::take() {
  for (size_t id = 0; id < texts_.size(); ++id) {
    if (!known_[id]) texts_[id] = "#" + std::to_string(id);
  }
  return std::move(texts_);
}

}  // namespace gaze

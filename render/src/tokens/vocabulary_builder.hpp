// SPDX-License-Identifier: MIT
// A vocabulary while its files are read.
#pragma once

#include <gaze/render/token_spelling.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gaze {

/// As many ids as a vocabulary may have.
constexpr size_t kMostTokens = size_t{1} << 21;

class VocabularyBuilder {
 public:
  /// @param source  the beginning of every error
  explicit VocabularyBuilder(std::string source) : source_(std::move(source)) {}

  /// @throws gaze::Error when no vocabulary has such an id, or it has another text already
  void add(int64_t id, std::string text);
  /// Whatever the id's text was.
  void set(int64_t id, std::string text);
  void clear() { texts_.clear(), known_.clear(); }
  void append(std::string text) { set(static_cast<int64_t>(texts_.size()), std::move(text)); }

  [[nodiscard]] size_t size() const { return texts_.size(); }
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }
  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] const std::string& text(size_t id) const { return texts_[id]; }
  [[noreturn]] void refuse(const std::string& expected, const std::string& got) const;
  /// Of another file that the same vocabulary is in.
  void go_on_with(std::string source) { source_ = std::move(source); }
  /// The texts of all ids; "#id" where no file has one.
  std::vector<std::string> take();

 private:
  std::string source_;
  std::vector<std::string> texts_;
  std::vector<bool> known_;
};

}  // namespace gaze

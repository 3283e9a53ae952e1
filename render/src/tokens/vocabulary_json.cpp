// SPDX-License-Identifier: MIT
#include "tokens/vocabulary_json.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

using nlohmann::json;
using Bytes = TokenSpelling::Bytes;
using Words = TokenSpelling::Words;

constexpr size_t kMostDepth = 32;
constexpr const char* kExpectedJson =
    "a list of strings, or an object whose field tokens or words is one, or one from texts to ids, or a tokenizer.json";

/// A value that holds no others.
struct Scalar {
  enum class Kind { Text, Whole, Flag, Other } kind = Kind::Other;
  std::string* text = nullptr;
  int64_t whole = 0;
  bool flag = false;
  std::string shown = {};  ///< of what is no text
};

std::string show(const Scalar& value) {
  return value.kind == Scalar::Kind::Text ? "\"" + excerpt(*value.text, 60) + "\"" : value.shown;
}

struct AddedToken {
  int64_t id = -1;
  std::string text;
  bool special = false;
};

/// Keeps what a vocabulary is made of, and no tree.
class VocabularyHandler : public nlohmann::json_sax<json> {
 public:
  explicit VocabularyHandler(VocabularyBuilder& builder) : builder_(builder) {}

  JsonForm finish(std::optional<TokenSpelling>& spelling) {
    if (tokenizer_) {
      if (builder_.size() == 0) builder_.refuse("texts and ids in model.vocab", "none");
      spelling = tokenizer_spelling();
      return JsonForm::Tokenizer;
    }
    if (!list_key_.empty()) {
      if (builder_.size() == 0) refuse_all("[]");
      return JsonForm::List;
    }
    if (!odd_.empty()) refuse_all(odd_);
    if (ids_.empty()) refuse_all("{}");
    for (auto& [text, id] : ids_) builder_.add(id, std::move(text));
    return JsonForm::Ids;
  }

  bool null() override { return scalar({.shown = "null"}); }
  bool boolean(bool flag) override {
    return scalar({.kind = Scalar::Kind::Flag, .flag = flag, .shown = flag ? "true" : "false"});
  }
  bool number_integer(int64_t number) override {
    return scalar({.kind = Scalar::Kind::Whole, .whole = number, .shown = std::to_string(number)});
  }
  bool number_unsigned(uint64_t number) override {
    const auto whole = static_cast<int64_t>(std::min<uint64_t>(number, INT64_MAX));
    return scalar({.kind = Scalar::Kind::Whole, .whole = whole, .shown = std::to_string(number)});
  }
  bool number_float(double, const std::string& number) override { return scalar({.shown = excerpt(number, 60)}); }
  bool string(std::string& text) override { return scalar({.kind = Scalar::Kind::Text, .text = &text}); }
  bool binary(json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(false); }
  bool start_array(size_t) override { return open(true); }
  bool key(std::string& name) override {
    levels_.back().key = std::move(name);
    return true;
  }
  bool end_object() override {
    if (levels_.size() == 3 && within("added_tokens")) take_added();
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const json::exception& error) override {
    builder_.refuse("JSON", "this: " + excerpt(error.what(), 240));
  }

 private:
  struct Level {
    bool list = false;
    std::string key = {};  ///< of the value that comes, in an object
    size_t index = 0;      ///< in a list
  };

  [[nodiscard]] bool within(const char* root_key) const {
    return !levels_.front().list && levels_.front().key == root_key;
  }
  [[nodiscard]] const std::string& key_at(size_t level) const { return levels_[level].key; }

  [[noreturn]] void refuse_all(const std::string& got) const {
    throw Error(builder_.source() + ": " + (list_key_.empty() ? "the file" : list_key_) + ": expected " +
                kExpectedJson + ", got " + got + ".");
  }
  // Of an element of the list.
  [[noreturn]] void refuse_element(const std::string& got) const {
    throw Error(builder_.source() + ": " + list_key_ + "[" + std::to_string(levels_.back().index) +
                "]: expected a string, got " + got + ".");
  }
  [[nodiscard]] bool in_list() const {
    return !list_key_.empty() && levels_.back().list &&
           (levels_.size() == 1 || (levels_.size() == 2 && within(list_key_.c_str())));
  }

  bool open(bool list) {
    const char* const shown = list ? "a list" : "an object";
    if (levels_.size() == kMostDepth) {
      throw Error(builder_.source() + ": expected lists and objects at most " + std::to_string(kMostDepth) +
                  " deep, got deeper ones. Remove the brackets that nothing needs.");
    }
    if (levels_.empty()) {
      if (list) list_key_ = "the file";
    } else if (levels_.size() == 1 && !levels_[0].list) {
      open_field(list, shown);
    } else if (levels_.size() == 3 && within("model") && key_at(1) == "vocab" && !levels_[2].list) {
      builder_.refuse("an id for \"" + excerpt(key_at(2), 60) + "\" in model.vocab", shown);
    }
    entry_has_text_ = false;
    levels_.push_back({.list = list});
    return true;
  }

  // Of the object that the file is.
  void open_field(bool list, const char* shown) {
    const std::string& name = key_at(0);
    if (list && (name == "tokens" || (name == "words" && list_key_ != "tokens"))) {
      if (list_key_ == name) {
        throw Error(builder_.source() + ": " + name + ": expected each field once, got it twice.");
      }
      if (!list_key_.empty()) builder_.clear();
      list_key_ = name;
    } else if (!list && name == "model") {
      if (tokenizer_) throw Error(builder_.source() + ": model: expected each field once, got it twice.");
      if (!list_key_.empty()) builder_.clear();
      tokenizer_ = true;
      list_key_.clear();
    } else if (odd_.empty()) {
      odd_ = shown + std::string(" for \"") + excerpt(name, 60) + "\"";
    }
  }

  bool close() {
    const char* const shown = levels_.back().list ? "a list" : "an object";
    levels_.pop_back();
    if (!levels_.empty() && in_list()) refuse_element(shown);
    return next();
  }
  bool next() {
    if (!levels_.empty() && levels_.back().list) ++levels_.back().index;
    return true;
  }

  bool scalar(const Scalar& value) {
    if (levels_.empty()) refuse_all(show(value));
    if (in_list()) {
      if (value.kind != Scalar::Kind::Text) refuse_element(show(value));
      builder_.append(std::move(*value.text));
    } else if (levels_.size() == 1) {
      field(value);
    } else if (within("model")) {
      model_value(value);
    } else if (within("added_tokens") && levels_.size() == 3) {
      added_value(value);
    } else if (within("decoder") || within("pre_tokenizer") || within("normalizer")) {
      step_value(value);
    }
    return next();
  }

  void field(const Scalar& value) {
    if (value.kind == Scalar::Kind::Whole) {
      ids_.emplace_back(std::move(levels_.back().key), value.whole);
      if (ids_.size() > kMostTokens) builder_.refuse("at most " + std::to_string(kMostTokens) + " texts", "more");
    } else if (odd_.empty()) {
      odd_ = show(value) + " for \"" + excerpt(key_at(0), 60) + "\"";
    }
  }

  void model_value(const Scalar& value) {
    if (levels_.size() == 3 && key_at(1) == "vocab" && !levels_[2].list) {
      if (value.kind != Scalar::Kind::Whole)
        builder_.refuse("an id for \"" + excerpt(key_at(2), 60) + "\" in model.vocab", show(value));
      builder_.add(value.whole, std::move(levels_[2].key));
    } else if (levels_.size() == 4 && key_at(1) == "vocab" && value.kind == Scalar::Kind::Text && !entry_has_text_) {
      builder_.append(std::move(*value.text));
      entry_has_text_ = true;
    } else if (levels_.size() == 2 && value.kind == Scalar::Kind::Text) {
      if (key_at(1) == "type") model_ = *value.text;
      if (key_at(1) == "unk_token") unknown_ = std::move(*value.text);
      if (key_at(1) == "continuing_subword_prefix") prefix_ = std::move(*value.text);
      if (key_at(1) == "end_of_word_suffix") suffix_ = std::move(*value.text);
    } else if (levels_.size() == 2 && key_at(1) == "unk_id" && value.kind == Scalar::Kind::Whole) {
      unknown_id_ = value.whole;
    }
  }

  void added_value(const Scalar& value) {
    const std::string& name = levels_.back().key;
    if (name == "id" && value.kind == Scalar::Kind::Whole) added_.id = value.whole;
    if (name == "content" && value.kind == Scalar::Kind::Text) added_.text = std::move(*value.text);
    if (name == "special" && value.kind == Scalar::Kind::Flag) added_.special = value.flag;
  }
  void take_added() {
    more_.push_back(std::exchange(added_, {}));
    if (more_.size() > kMostTokens) builder_.refuse("at most " + std::to_string(kMostTokens) + " added tokens", "more");
  }

  // Of what normalises, splits or joins text.
  void step_value(const Scalar& value) {
    if (value.kind != Scalar::Kind::Text) return;
    const std::string& name = levels_.back().key;
    const bool decodes = within("decoder");
    if (name == "type") {
      byte_level_ = byte_level_ || *value.text == "ByteLevel";
      if (decodes && *value.text == "WordPiece") model_ = "WordPiece";
    }
    if (name == "replacement") space_ = std::move(*value.text);
    if (name == "String") replaced_ = std::move(*value.text);
    if (decodes && name == "content" && *value.text == " ") space_ = replaced_;
    if (decodes && name == "suffix" && suffix_.empty()) suffix_ = std::move(*value.text);
  }

  TokenSpelling tokenizer_spelling() {
    std::set<std::string> special;
    for (AddedToken& token : more_) {
      // "<|0.00|>" and the like are never text, whatever they are said to be.
      if (token.special || (token.text.starts_with("<|") && token.text.ends_with("|>"))) special.insert(token.text);
      builder_.set(token.id, std::move(token.text));
    }
    if (unknown_id_ >= 0 && static_cast<size_t>(unknown_id_) < builder_.size())
      unknown_ = builder_.text(static_cast<size_t>(unknown_id_));
    TokenSpelling spelling;
    if (byte_level_) {
      spelling = {.bytes = Bytes::StandIns, .byte_fallback = false, .words = Words::Spaces};
    } else if (model_ == "WordPiece") {
      spelling = {.bytes = Bytes::Themselves,
                  .byte_fallback = false,
                  .words = Words::Prefix,
                  .mark = prefix_.empty() ? "##" : prefix_};
    } else if (!space_.empty() || model_ == "Unigram") {
      spelling = {.bytes = Bytes::Themselves, .words = Words::Spaces, .mark = space_.empty() ? "\xE2\x96\x81" : space_};
    } else {
      spelling = spelling_of(builder_.texts());
    }
    if (!suffix_.empty() && model_ != "WordPiece" && model_ != "Unigram") {
      if (!byte_level_) spelling.bytes = Bytes::Themselves;
      spelling.words = Words::Suffix;
      spelling.mark = suffix_;
    }
    if (!special.empty()) {
      if (!unknown_.empty()) special.insert(unknown_);
      spelling.special = std::move(special);
    }
    return spelling;
  }

  VocabularyBuilder& builder_;
  std::vector<Level> levels_;
  std::string list_key_;  ///< where the list of texts is
  bool tokenizer_ = false;
  std::string odd_;  ///< the first value that is no id, in an object from texts to ids
  std::vector<std::pair<std::string, int64_t>> ids_;
  // Of a tokenizer.
  std::vector<AddedToken> more_;
  AddedToken added_;
  std::string model_, unknown_, prefix_, suffix_, space_, replaced_;
  int64_t unknown_id_ = -1;
  bool byte_level_ = false, entry_has_text_ = false;
};

}  // namespace

JsonForm parse_json_vocabulary(const std::string& content, VocabularyBuilder& builder,
                               std::optional<TokenSpelling>& spelling) {
  VocabularyHandler handler(builder);
  json::sax_parse(content, &handler);
  return handler.finish(spelling);
}

}  // namespace gaze

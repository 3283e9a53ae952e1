// SPDX-License-Identifier: MIT
#include "reader.hpp"

#include <ATen/Parallel.h>
#include <gaze/render/words.hpp>

#include <cctype>

#include "console.hpp"
#include "samples.hpp"
#include "tokens.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kBegin = 2, kSeparator = 3, kEnd = 4;

std::vector<std::string> words_in(const std::string& text) {
  std::vector<std::string> words;
  bool open = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) != 0) {
      open = false;
      continue;
    }
    const bool mark = std::ispunct(byte) != 0;
    if (!open || mark) words.emplace_back();
    words.back() += c;
    open = !mark;
  }
  return words;
}

}  // namespace

std::vector<int64_t> Reader::tokens(const std::string& text) const {
  std::vector<int64_t> found;
  for (const std::string& word : words_in(text)) {
    for (size_t at = 0; at < word.size();) {
      size_t length = word.size() - at;
      const auto piece = [&] { return ids.find((at > 0 ? "##" : "") + word.substr(at, length)); };
      auto known = piece();
      while (known == ids.end() && length > 1) {
        --length;
        known = piece();
      }
      if (known == ids.end())
        throw Refusal(model_path + ": expected pieces for \"" + word + "\", got none. Use the reader's own folder.");
      found.push_back(known->second);
      at += length;
    }
  }
  return found;
}

Text Reader::prompt(const std::vector<std::string>& passages, const std::string& question) const {
  Text text;
  text.ids = {kBegin};
  const auto add = [&](const std::string& part, SourceKind kind, std::string id) {
    const auto first = static_cast<int64_t>(text.ids.size());
    for (const int64_t token : tokens(part)) text.ids.push_back(token);
    text.sources.push_back({kind, std::move(id), first, static_cast<int64_t>(text.ids.size())});
    text.ids.push_back(kSeparator);
  };
  for (size_t p = 0; p < passages.size(); ++p) add(passages[p], SourceKind::Passage, "doc-" + std::to_string(p + 1));
  add(question, SourceKind::User, "question");
  return text;
}

std::string Reader::said(const std::vector<int64_t>& answer) const {
  std::string text;
  std::vector<int64_t> kept;
  for (const int64_t id : answer) {
    if (id == profile.eos) break;
    kept.push_back(id);
  }
  if (kept.empty()) return text;
  for (const Word& word : merge_words(texts_of(row_of(kept)[0], profile), profile.spelling.get()))
    text += (text.empty() ? "" : " ") + word.text;
  return text;
}

const LoopSettings& reader_loop() {
  static const LoopSettings settings{.methods = "step", .bos = {}, .eos = kEnd, .most = 12};
  return settings;
}

Reader open_reader(const std::string& model_path) {
  at::set_num_threads(1);  // so small a model's threads mostly wait for each other
  Reader reader;
  reader.model_path = model_path;
  const std::string profile = profile_beside(model_path);
  if (profile.empty()) throw Refusal(model_path + ": expected profile.json beside it, got none.");
  reader.profile = read_profile(profile);
  if (reader.profile.name != "reader" || reader.profile.vocabulary.empty())
    throw Refusal(profile + ": expected the reader's profile with its vocabulary, got \"" +
                  printable(reader.profile.name) + "\". Use the reader's own folder.");
  for (size_t id = 0; id < reader.profile.vocabulary.size(); ++id)
    reader.ids.emplace(reader.profile.vocabulary[id], static_cast<int64_t>(id));
  return reader;
}

}  // namespace gaze::cli

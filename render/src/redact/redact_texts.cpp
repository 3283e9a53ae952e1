// SPDX-License-Identifier: MIT
#include "redact/redact_texts.hpp"

#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "device/device_event.hpp"
#include "maps/content_words.hpp"
#include "maps/punctuation.hpp"
#include "redact/redact_media.hpp"
#include "text/text_keys.hpp"
#include "text/text_parts.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

const std::string kBegins = "\xE2\x96\x81";  // as SentencePiece marks the first token of a word
const std::string kGoesOn = "\xC2\xB7";      // a later token of a word
const std::string kNoText = "<special>";

/// Those around what is hidden, told without it, and each hidden token as one.
std::vector<Word> words_around(const std::vector<std::string>& labels, const TokenSpelling* spelling) {
  std::vector<Word> words;
  for (size_t first = 0; first < labels.size();) {
    const auto begin = labels.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = std::find(begin, labels.end(), kRedacted);
    for (Word& word : merge_words({begin, end}, spelling)) {
      word.first += static_cast<int64_t>(first);
      words.push_back(std::move(word));
    }
    first = static_cast<size_t>(end - labels.begin());
    if (end == labels.end()) break;
    words.push_back({.text = kRedacted, .first = static_cast<int64_t>(first), .count = 1});
    ++first;
  }
  for (Word& word : words) word.content = word.text == kRedacted || is_content_word(word.text);
  return words;
}

/// Of the answer: those that have a row.
std::vector<Word> words_of_answer(const AttentionRecord& record) {
  const auto rows = record.maps.empty() ? record.labels.size() : static_cast<size_t>(record.maps.front().tokens());
  const auto kept = static_cast<std::ptrdiff_t>(std::min(record.labels.size(), rows));
  return words_around({record.labels.begin(), record.labels.begin() + kept}, record.spelling.get());
}

/// A prompt as one label for each of its keys, with its sources as ranges of them; nothing else of it is left.
struct PlainPrompt {
  std::vector<std::string> labels;
  std::vector<TextSource> sources;
  std::vector<int64_t> key_of_token;
  std::shared_ptr<const TokenSpelling> spelling;
};

std::vector<bool> seen_keys_of(const MediumMap& map, const ops::Route& route, size_t keys) {
  const at::Tensor sum_k = fetch(map.map_tk.sum(0).contiguous(), route, ops::Cargo::Figures);
  const auto* sum = sum_k.const_data_ptr<float>();
  std::vector<bool> seen(keys);
  for (size_t k = 0; k < std::min(keys, static_cast<size_t>(sum_k.size(0))); ++k) seen[k] = sum[k] > 0;
  return seen;
}

PlainPrompt read_prompt(const AttentionRecord& record, const TextMedium& medium, const MediumMap& map) {
  const ops::Route route = ops::route_to(record.device());
  const TextKeys keys = read_keys(record, medium, route);
  PlainPrompt prompt;
  prompt.spelling = medium.text.tokens.empty() ? medium.spelling : nullptr;
  if (keys.key_of_token.empty()) return prompt;  // which is which is not known: nothing of it is shown
  prompt.key_of_token = keys.key_of_token;
  prompt.labels.assign(keys.label_k.begin(), keys.label_k.begin() + keys.prompt);
  const TextParts parts = divide_keys(medium, keys, seen_keys_of(map, route, keys.label_k.size()));
  for (const TextPart& part : parts.parts) {
    if (part.is != TextPart::Is::Source) continue;
    const auto kind = parse_source_kind(part.kind);
    prompt.sources.push_back({.kind = kind.value_or(SourceKind::Passage),
                              .id = part.id,
                              .first_token = part.first_key,
                              .end_token = part.end_key});
  }
  return prompt;
}

void keep(PlainPrompt prompt, TextMedium& medium) {
  medium.text = {};
  medium.ids_k.reset();
  medium.markers.clear();
  medium.spelling = std::move(prompt.spelling);
  medium.vocabulary = nullptr;
  if (prompt.labels.empty()) return;
  medium.prompt_key = 0;
  medium.text.ids.resize(prompt.labels.size());
  std::iota(medium.text.ids.begin(), medium.text.ids.end(), 0);
  medium.text.sources = std::move(prompt.sources);
  medium.vocabulary = std::make_shared<const std::vector<std::string>>(std::move(prompt.labels));
}

void hide_passage(const std::string& id, PlainPrompt& prompt) {
  bool any = false;
  for (TextSource& source : prompt.sources) {
    if (source.id != id) continue;
    any = true;
    for (int64_t key = source.first_token; key < source.end_token; ++key)
      prompt.labels[static_cast<size_t>(key)] = kRedacted;
  }
  if (!any) refuse_redaction("expected ids of passages of the prompt, got another one.");
}

}  // namespace

void black_out_answer(const Redaction& redaction, AttentionRecord& record) {
  if (redaction.tokens.empty()) return;
  const auto labels = static_cast<int64_t>(record.labels.size());
  const int64_t tokens = std::max(labels, record.maps.empty() ? 0 : record.maps.front().tokens());
  for (const int64_t token : redaction.tokens) {
    if (token < 0 || token >= tokens) refuse_redaction("expected tokens of the answer, got an index out of range.");
    if (token < labels) record.labels[static_cast<size_t>(token)] = kRedacted;
  }
  record.token_ids.clear();
  if (record.words) {
    for (Word& word : *record.words) {
      const bool hidden = std::any_of(redaction.tokens.begin(), redaction.tokens.end(), [&](int64_t token) {
        return token >= word.first && token < word.first + word.count;
      });
      if (!hidden) continue;
      word.text = kRedacted;
      word.content = true;
    }
  } else if (!record.labels.empty()) {
    record.words = words_of_answer(record);
  }
}

void black_out_prompt(const Redaction& redaction, const AttentionRecord& record, TextMedium& medium, MediumMap& map) {
  if (!redaction.prompt && redaction.prompt_tokens.empty() && redaction.passages.empty()) return;
  PlainPrompt prompt = read_prompt(record, medium, map);
  const auto tokens = static_cast<int64_t>(prompt.key_of_token.size());
  for (const int64_t token : redaction.prompt_tokens) {
    if (token < 0 || token >= tokens) refuse_redaction("expected tokens of the prompt, got an index out of range.");
    const int64_t key = prompt.key_of_token[static_cast<size_t>(token)];
    if (key >= 0 && key < static_cast<int64_t>(prompt.labels.size()))
      prompt.labels[static_cast<size_t>(key)] = kRedacted;
  }
  for (const std::string& id : redaction.passages) hide_passage(id, prompt);
  if (redaction.prompt) std::fill(prompt.labels.begin(), prompt.labels.end(), kRedacted);
  keep(std::move(prompt), medium);
}

void leave_out_answer(const HashText& hash, AttentionRecord& record) {
  if (!record.prompt.empty() && record.prompt != kRedacted) record.prompt = hash ? hash(record.prompt) : std::string();
  record.token_ids.clear();
  if (!record.words && !record.labels.empty()) record.words = words_of_answer(record);
  const std::vector<Piece> pieces = pieces_of(record.labels, record.spelling.get());
  const std::vector<bool> marks = punctuation_tokens(record.labels, record.spelling.get());
  std::vector<bool> begins(record.labels.size());
  if (record.words) {
    for (size_t w = 0; w < record.words->size(); ++w) {
      Word& word = (*record.words)[w];
      if (word.first >= 0 && word.first < static_cast<int64_t>(begins.size()))
        begins[static_cast<size_t>(word.first)] = true;
      word.joined = false;
      if (word.text.empty() || word.text == kRedacted) continue;
      word.content = word.content.value_or(is_content_word(word.text));
      word.text = hash ? hash(word.text) : "word " + std::to_string(w + 1);
    }
  }
  for (size_t t = 0; t < record.labels.size(); ++t) {
    std::string& label = record.labels[t];
    if (label == kRedacted) continue;
    if (pieces[t].special) {
      label = kNoText;
    } else if (marks[t]) {
      label = (begins[t] ? kBegins : "") + ".";
    } else {
      label = (begins[t] ? kBegins : "") + (hash ? hash(label) : "token" + std::to_string(t + 1));
    }
  }
  record.spelling = nullptr;
}

void leave_out_prompt(const HashText& hash, const AttentionRecord& record, TextMedium& medium, MediumMap& map) {
  PlainPrompt prompt = read_prompt(record, medium, map);
  const std::vector<Piece> pieces = pieces_of(prompt.labels, prompt.spelling.get());
  const std::vector<Word> words = words_around(prompt.labels, prompt.spelling.get());
  for (size_t k = 0; k < prompt.labels.size(); ++k) {
    std::string& label = prompt.labels[k];
    if (label == kRedacted || label.empty()) continue;
    const bool blank = pieces[k].bytes.find_first_not_of(" \t\r\n") == std::string::npos;
    label = pieces[k].special ? kNoText : blank ? " " : kGoesOn;
  }
  for (size_t w = 0; w < words.size(); ++w) {
    std::string& label = prompt.labels[static_cast<size_t>(words[w].first)];
    if (label == kRedacted) continue;
    label = kBegins + (hash ? hash(words[w].text) : "word" + std::to_string(w + 1));
  }
  for (TextSource& source : prompt.sources) source.id = hash && !source.id.empty() ? hash(source.id) : std::string();
  prompt.spelling = nullptr;
  keep(std::move(prompt), medium);
}

}  // namespace gaze

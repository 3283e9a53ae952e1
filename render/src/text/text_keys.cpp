// SPDX-License-Identifier: MIT
#include "text/text_keys.hpp"

#include <algorithm>

#include "device/device_event.hpp"
#include "tokens/pieces.hpp"

namespace gaze {
namespace {

/// The host's, unless the model was given as many others: then they are another row's.
std::vector<int64_t> ids_of(const TextMedium& medium, const ops::Route& route, std::vector<std::string>& notes) {
  const std::vector<int64_t>& stated = medium.text.ids;
  if (!medium.ids_k.defined()) return stated;
  const at::Tensor here_k = fetch(medium.ids_k.contiguous(), route, ops::Cargo::Figures);
  const auto* ids = here_k.const_data_ptr<int64_t>();
  const std::vector<int64_t> given(ids, ids + here_k.size(0));
  if (stated.empty()) return given;
  if (stated.size() != given.size() || stated == given) return stated;
  const auto first = std::mismatch(stated.begin(), stated.end(), given.begin()).first - stated.begin();
  notes.push_back("text.ids: expected what the model was given, got other ids from token " + std::to_string(first) +
                  " on, as of another row of the batch: the model's own are shown.");
  return given;
}

std::vector<std::string> labels_of(const TextMedium& medium, const std::vector<int64_t>& ids) {
  if (!medium.text.tokens.empty()) return medium.text.tokens;
  std::vector<std::string> labels;
  labels.reserve(ids.size());
  const size_t known = medium.vocabulary ? medium.vocabulary->size() : 0;
  for (const int64_t id : ids) {
    const bool has = id >= 0 && static_cast<size_t>(id) < known;
    labels.push_back(has ? (*medium.vocabulary)[static_cast<size_t>(id)] : "#" + std::to_string(id));
  }
  return labels;
}

/// The keys of other media, as far as they are before `end`; apart and rising.
std::vector<KeySpan> between(const TextMedium& medium, int64_t end) {
  std::vector<KeySpan> spans;
  int64_t from = 0;
  for (const KeysBetween& keys : medium.between) {
    const int64_t first = std::max(keys.span.first_key, from);
    const int64_t last = std::min(keys.span.first_key + keys.span.keys, end);
    if (first >= last) continue;
    spans.push_back({first, last - first});
    from = last;
  }
  return spans;
}

/// Each token's key, or none where their number fits in no way.
/// @param past  keys that were there before the prompt's first call: of a text that has none of them the tokens begin
///              behind these
std::vector<int64_t> places_of(int64_t tokens, int64_t past, int64_t prompt, const std::vector<KeySpan>& others) {
  if (past > 0 && past + tokens == prompt) {
    std::vector<int64_t> behind;
    for (int64_t key = past; key < prompt; ++key) behind.push_back(key);
    return behind;
  }
  int64_t taken = 0;
  for (const KeySpan& span : others) taken += span.keys;
  const auto spans = static_cast<int64_t>(others.size());
  std::vector<int64_t> places;
  const bool one_each = tokens >= prompt;                    // a filler for every key of another medium
  const bool one_a_span = tokens + taken - spans == prompt;  // one for all of them
  if (!one_each && !one_a_span && tokens + taken != prompt) return places;
  if (one_each) {
    for (int64_t i = 0; i < tokens; ++i) places.push_back(i < prompt ? i : -1);
    return places;
  }
  size_t next = 0;
  for (int64_t key = 0; key < prompt;) {
    if (next < others.size() && key == others[next].first_key) {
      if (one_a_span) places.push_back(-1);
      key += others[next++].keys;
      continue;
    }
    places.push_back(key++);
  }
  return places;
}

void note_count(int64_t tokens, int64_t prompt, TextKeys& keys) {
  if (tokens == 0) {
    keys.notes.push_back(
        "The prompt's tokens are not known: give the request's text its ids, or the profile "
        "text.argument.");
  } else {
    keys.notes.push_back("text: expected " + std::to_string(prompt) + " tokens, one for each key of the prompt, got " +
                         std::to_string(tokens) +
                         ": which is which cannot be told. Give all that the model was given, "
                         "padding and special tokens too.");
  }
}

}  // namespace

TextKeys read_keys(const AttentionRecord& record, const TextMedium& medium, const ops::Route& route) {
  const int64_t count = medium.geometry.cols;
  TextKeys keys;
  keys.prompt = medium.answer_key >= 0 ? std::min(medium.answer_key, count) : count;
  keys.label_k.resize(static_cast<size_t>(count));
  keys.special_k.resize(keys.label_k.size());
  keys.between_k.resize(keys.label_k.size());
  const std::vector<KeySpan> others = between(medium, keys.prompt);
  for (const KeySpan& span : others) {
    std::fill_n(keys.between_k.begin() + span.first_key, span.keys, true);
  }
  keys.ids = ids_of(medium, route, keys.notes);
  const std::vector<std::string> labels = labels_of(medium, keys.ids);
  const auto tokens = static_cast<int64_t>(labels.size());
  keys.key_of_token = places_of(tokens, medium.prompt_key, keys.prompt, others);
  if (keys.key_of_token.empty()) note_count(tokens, keys.prompt, keys);
  const TokenSpelling* spelling = medium.text.tokens.empty() ? medium.spelling.get() : nullptr;
  const std::vector<Piece> pieces = pieces_of(labels, spelling);
  for (size_t i = 0; i < keys.key_of_token.size() && i < labels.size(); ++i) {
    if (keys.key_of_token[i] < 0) continue;
    const auto key = static_cast<size_t>(keys.key_of_token[i]);
    keys.label_k[key] = labels[i];
    keys.special_k[key] = pieces[i].special;
  }
  const std::vector<Piece> own = pieces_of(record.labels, record.spelling.get());
  for (size_t t = 0; t < record.labels.size() && keys.prompt + static_cast<int64_t>(t) < count; ++t) {
    const size_t key = static_cast<size_t>(keys.prompt) + t;
    keys.label_k[key] = record.labels[t];
    keys.special_k[key] = own[t].special;
  }
  return keys;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "text/sources_json.hpp"

#include <gaze/render/profile.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/json_text.hpp"

namespace gaze {
namespace {

constexpr size_t kTopWords = 3, kWindowWords = 12, kPartsOfWord = 4;
constexpr double kLeastMass = 0.02;  ///< of a source that a word's own entries are told of

/// A share of a million: more digits would be float32's own.
double rounded(double share) { return std::round(share * 1e6) / 1e6; }

double at(const at::Tensor& value_np, int64_t n, size_t part) {
  const float value = value_np.const_data_ptr<float>()[n * value_np.size(1) + static_cast<int64_t>(part)];
  return rounded(static_cast<double>(value));
}

JsonText masses(const at::Tensor& mass_np, int64_t n) {
  JsonText list = JsonText::array();
  for (int64_t p = 0; p < mass_np.size(1); ++p) list.push_back(at(mass_np, n, static_cast<size_t>(p)));
  return list;
}

JsonText lifts(const TextAnalysis& text, int64_t l) {
  JsonText list = JsonText::array();
  for (size_t p = 0; p < text.parts.parts.size(); ++p)
    list.push_back(rounded(lift_of(text, l, static_cast<int32_t>(p))));
  return list;
}

/// Tokens of the prompt or of the answer, as the host counts them.
class TokenNumbers {
 public:
  explicit TokenNumbers(const TextKeys& keys) : keys_(keys), token_of_key_(keys.label_k.size(), -1) {
    for (size_t i = 0; i < keys.key_of_token.size(); ++i) {
      if (keys.key_of_token[i] >= 0) token_of_key_[static_cast<size_t>(keys.key_of_token[i])] = static_cast<int64_t>(i);
    }
  }
  [[nodiscard]] JsonText of(int64_t key) const {
    if (key >= keys_.prompt) return key - keys_.prompt;
    const int64_t token = token_of_key_[static_cast<size_t>(key)];
    return token < 0 ? JsonText(nullptr) : JsonText(token);
  }

 private:
  const TextKeys& keys_;
  std::vector<int64_t> token_of_key_;
};

JsonText part_list(const TextAnalysis& text, const TokenNumbers& numbers) {
  JsonText list = JsonText::array();
  for (size_t p = 0; p < text.parts.parts.size(); ++p) {
    const TextPart& part = text.parts.parts[p];
    const auto keys = std::count(text.parts.part_k.begin(), text.parts.part_k.end(), static_cast<int32_t>(p));
    JsonText entry = {{"kind", part.kind}, {"id", part.id.empty() ? JsonText(nullptr) : JsonText(part.id)}};
    entry["first_token"] = part.is == TextPart::Is::Source ? numbers.of(part.first_key) : JsonText(nullptr);
    entry["tokens"] = keys;
    entry["mass"] = at(text.mass_lp, 0, p);
    entry["lift"] = lift_of(text, 0, static_cast<int32_t>(p));
    list.push_back(std::move(entry));
  }
  return list;
}

std::string text_of(const TextAnalysis& text, const ReadWindow& window) {
  std::string words;
  for (size_t r = window.first; r < window.first + window.count; ++r)
    words += (words.empty() || text.read[r].joined ? "" : " ") + text.read[r].text;
  return words;
}

/// The parts with words that row l looked at, most first.
std::vector<size_t> strongest_parts(const TextAnalysis& text, int64_t l, size_t most) {
  std::vector<size_t> parts;
  for (size_t p = 0; p < text.parts.parts.size(); ++p) {
    if (text.parts.parts[p].is_read() && at(text.mass_lp, l, p) >= kLeastMass) parts.push_back(p);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [&](size_t a, size_t b) { return at(text.mass_lp, l, a) > at(text.mass_lp, l, b); });
  if (parts.size() > most) parts.resize(most);
  return parts;
}

/// What row l looked at there.
JsonText looked_at(const TextAnalysis& text, int64_t l, const TokenNumbers& numbers, size_t most_parts) {
  JsonText list = JsonText::array();
  for (const size_t p : strongest_parts(text, l, most_parts)) {
    const auto part = static_cast<int32_t>(p);
    JsonText words = JsonText::array();
    for (const size_t r : top_words(text, l, part, kTopWords)) {
      const ReadWord& word = text.read[r];
      words.push_back(
          {{"text", word.text},
           {"first_token", numbers.of(word.first_key)},
           {"tokens", word.keys},
           {"mass", rounded(mass_of(text, l, word))},
           {"lift", static_cast<double>(
                        text.lift_lr.const_data_ptr<float>()[l * text.lift_lr.size(1) + static_cast<int64_t>(r)])}});
    }
    JsonText entry = {{"source", p}, {"words", std::move(words)}};
    const ReadWindow window = best_window(text, l, part, kWindowWords);
    if (window.count > 0) {
      entry["window"] = {{"first_token", numbers.of(text.read[window.first].first_key)},
                         {"words", window.count},
                         {"mass", rounded(window.mass)},
                         {"text", text_of(text, window)}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

JsonText entropy_json(const TextAnalysis& text, int64_t l) {
  const std::optional<double> entropy = passages_entropy(text, l);
  return entropy ? JsonText(*entropy) : JsonText(nullptr);
}

JsonText word_list(const TextAnalysis& text, const TokenNumbers& numbers) {
  JsonText list = JsonText::array();
  for (size_t w = 0; w < text.words.size(); ++w) {
    const WordFacts& facts = text.words[w];
    const auto l = static_cast<int64_t>(w) + 1;
    list.push_back({{"text", facts.word.text},
                    {"first", facts.word.first},
                    {"count", facts.word.count},
                    {"content", facts.content},
                    {"mass", masses(text.mass_lp, l)},
                    {"lift", lifts(text, l)},
                    {"passages_entropy", entropy_json(text, l)},
                    {"looked_at", looked_at(text, l, numbers, kPartsOfWord)}});
  }
  return list;
}

JsonText token_list(const AttentionRecord& record, const TextAnalysis& text) {
  JsonText list = JsonText::array();
  for (int64_t t = 0; t < text.mass_tp.size(0); ++t) {
    const auto index = static_cast<size_t>(t);
    list.push_back({{"index", t},
                    {"text", index < record.labels.size() ? JsonText(record.labels[index]) : JsonText(nullptr)},
                    {"mass", masses(text.mass_tp, t)}});
  }
  return list;
}

}  // namespace

std::string sources_json(const AttentionRecord& record, const TextMedium& medium, const TextAnalysis& text) {
  const TokenNumbers numbers(text.keys);
  JsonText sites = JsonText::array();
  for (const SiteUse& site : medium.sites.empty() ? record.sites : medium.sites) sites.push_back(site.name);
  const bool alone = medium.sites.empty();
  JsonText notes = JsonText::array_of(text.keys.notes);
  for (const std::string& note : text.parts.notes) notes.push_back(note);
  JsonText root;
  root["gaze_sources"] = 1;
  root["request_id"] = record.request_id;
  root["prompt_tokens"] = text.keys.key_of_token.size();
  root["keys"] = text.keys.size();
  root["answer_key"] = medium.answer_key >= 0 ? JsonText(text.keys.prompt) : JsonText(nullptr);
  root["sites"] = std::move(sites);
  root["heads"] = alone ? name(record.reduce.heads) : "mean";
  root["layers"] = alone ? name(record.reduce.layers) : "mean";
  root["sinks_subtracted"] = text.sinks_subtracted;
  root["sources"] = part_list(text, numbers);
  root["passages_entropy"] = entropy_json(text, 0);
  root["flat"] = is_flat(text);
  root["looked_at"] = looked_at(text, 0, numbers, text.parts.parts.size());
  root["words"] = word_list(text, numbers);
  root["tokens"] = token_list(record, text);
  root["notes"] = std::move(notes);
  return root.dump(-1) + "\n";
}

}  // namespace gaze

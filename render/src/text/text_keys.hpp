// SPDX-License-Identifier: MIT
// Which token of a prompt or an answer stands at each key.
#pragma once

#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

struct TextKeys {
  int64_t prompt = 0;                 ///< keys before the answer's own
  std::vector<std::string> label_k;   ///< as the tokenizer writes them; empty where it is not known
  std::vector<bool> special_k;        ///< no text: the beginning, a separator, a filler
  std::vector<bool> between_k;        ///< another medium's
  std::vector<int64_t> key_of_token;  ///< of the prompt's tokens; -1: it has none
  std::vector<int64_t> ids;           ///< of the prompt's tokens, where they are known
  std::vector<std::string> notes;     ///< what does not fit, for people

  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(label_k.size()); }
};

/// The prompt's tokens in the order of the keys, other media's keys passed over; then the answer's, which are the
/// record's labels. Where the numbers contradict each other no key has a text, and a note says so.
TextKeys read_keys(const AttentionRecord& record, const TextMedium& medium, const ops::Route& route);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Which rows of a site's calls are tokens, and of which. Knows no TorchScript.
#pragma once

#include <gaze/render/geometry.hpp>
#include <gaze/render/token_rows.hpp>

#include <cstdint>
#include <string>

namespace gaze {

/// The rows of one call that are tokens.
struct CallRows {
  int64_t first_query = 0, queries = 0;
  int64_t first_token = 0;
  bool takes_back = false;  ///< the tokens from first_token on, of earlier calls, were none
};

/// What is known beside the call itself.
struct RowFacts {
  const TokenRows& rules;
  int64_t prompt_tokens = 0;          ///< of the RequestSpec
  bool self = false;                  ///< self-attention: its keys are those of the rows so far
  const Geometry* picture = nullptr;  ///< where it is the only medium, and the rows may be its own keys
};

/// Of one site, call after call.
class SiteRows {
 public:
  /// @throws gaze::Error (ShapeMismatch) naming the site where the rules do not fit the call
  CallRows next(const std::string& site, int64_t queries, int64_t keys, const RowFacts& facts);

  /// The latest call was kept and had as many keys as the one before it, which had grown by its only row.
  [[nodiscard]] bool stopped_growing() const noexcept { return stopped_growing_; }
  [[nodiscard]] int64_t rows() const noexcept { return rows_; }
  /// Of self-attention: how many of its oldest keys the cache had dropped when the latest call was kept.
  [[nodiscard]] int64_t dropped_keys() const noexcept { return dropped_keys_; }
  /// The latest call had more keys than the one before it, from which some were missing: which key is which cannot be
  /// told.
  [[nodiscard]] bool grew_again() const noexcept { return grew_again_; }
  /// Of self-attention: how many positions calls were fed up to the first token's row, that one included; -1: its rows
  /// are of no answer.
  [[nodiscard]] int64_t prompt_fed() const noexcept { return answer_row_ < 0 ? -1 : answer_row_ + 1; }
  /// Keys that were there before the first call, as far as is known by now: of one call alone a cache of fixed size
  /// looks as if it had been filled.
  [[nodiscard]] int64_t past_keys() const noexcept { return past_; }
  /// Some call had more keys than the one before it, by its own rows.
  [[nodiscard]] bool ever_grew() const noexcept { return ever_grew_; }
  /// What is known of the tokens so far; of labels nothing.
  [[nodiscard]] RowUse use(const TokenRows& rules) const;

 private:
  enum class Phase { Begin, Prompt, Encoder, Recomputed, Answer };
  CallRows found(int64_t queries, int64_t keys, const RowFacts& facts);
  /// Where in the sequence a kept call's rows stand.
  void follow(bool first, const CallRows& rows, int64_t queries, int64_t keys, const RowFacts& facts);
  CallRows first_found(int64_t queries, int64_t keys, const RowFacts& facts);
  CallRows stated(const std::string& site, int64_t queries, int64_t keys, const RowFacts& facts);

  Phase phase_ = Phase::Begin;
  int64_t calls_ = 0, pieces_ = 1, first_queries_ = 0;
  int64_t queries_ = 0, keys_ = 0;  // of the latest kept call
  int64_t rows_ = 0;                // that are tokens
  int64_t origin_ = 0;              // position of the first token's row, with Of::All
  int64_t past_ = 0;                // keys that were there before the first call
  int64_t fed_ = 0;                 // positions that calls were fed since
  int64_t answer_row_ = -1;         // the first token's row among those
  int64_t dropped_keys_ = 0;
  CallRows latest_;
  bool grew_ = false, stopped_growing_ = false, ever_grew_ = false, grew_again_ = false;
  bool encoder_ = false, class_row_ = true, unclear_ = false;
};

}  // namespace gaze

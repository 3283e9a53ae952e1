// SPDX-License-Identifier: MIT
#include "capture/site_rows.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {
namespace {

/// All rows of the call are the picture's own keys, and it attends to nothing else.
bool over_itself(int64_t queries, int64_t keys, const Geometry* picture) {
  return picture != nullptr && queries > 1 && queries == keys && picture->first_key == 0 && keys == picture->keys();
}

}  // namespace

CallRows SiteRows::next(const std::string& site, int64_t queries, int64_t keys, const RowFacts& facts) {
  const TokenRows& rules = facts.rules;
  const int64_t call = calls_++;
  const int64_t turn = call / rules.calls_per_token;
  if (turn % rules.passes != rules.pass) return {};
  if (call % rules.calls_per_token > 0) {
    if (queries != queries_) {
      throw Error(site + ": expected " + std::to_string(rules.calls_per_token) +
                      " calls a token with the same rows, as rows.calls_per_token says, got " +
                      std::to_string(queries_) + " rows and then " + std::to_string(queries) + ". Correct it.",
                  DropReason::ShapeMismatch);
    }
    CallRows again = latest_;
    again.takes_back = false;
    return again;
  }
  const bool first = phase_ == Phase::Begin;
  if (first) first_queries_ = queries;
  stopped_growing_ = queries == 1 && grew_ && keys == keys_;
  CallRows rows = rules.of == TokenRows::Of::Found ? found(queries, keys, facts) : stated(site, queries, keys, facts);
  grew_ = !first && keys == keys_ + queries;
  ever_grew_ = ever_grew_ || grew_;
  follow(first, rows, queries, keys, facts);
  if (phase_ == Phase::Begin) phase_ = Phase::Answer;
  rows_ = rows.first_token + rows.queries;
  queries_ = queries;
  keys_ = keys;
  return latest_ = rows;
}

void SiteRows::follow(bool first, const CallRows& rows, int64_t queries, int64_t keys, const RowFacts& facts) {
  const bool anew = queries == keys;
  const int64_t before = first || anew ? 0 : fed_;
  if (first || anew) past_ = keys - queries;
  fed_ = before + queries;
  // A cache of fixed size looked like one that was filled before.
  if (!first && keys == keys_ && !ever_grew_ && fed_ <= keys) past_ = 0;
  // What was checked and refused is cut off.
  if (facts.rules.of == TokenRows::Of::All && keys < past_ + fed_) fed_ = keys - past_;
  // Pieces of a prompt may be of any length.
  grew_again_ = dropped_keys_ > 0 && queries == 1 && queries_ == 1 && keys > keys_;
  dropped_keys_ = std::max<int64_t>(0, past_ + fed_ - keys);
  const bool whole = facts.rules.of == TokenRows::Of::All && facts.prompt_tokens == 0;
  if (rows.queries > 0 && rows.first_token == 0) answer_row_ = whole ? -1 : before + rows.first_query;
}

CallRows SiteRows::first_found(int64_t queries, int64_t keys, const RowFacts& facts) {
  CallRows rows{.first_query = queries - 1, .queries = 1};
  if (queries == 1) {
    phase_ = Phase::Answer;
  } else if (facts.prompt_tokens > 0) {
    phase_ = Phase::Answer;
    rows.first_query = std::min(facts.prompt_tokens, queries) - 1;
    rows.queries = queries - rows.first_query;
  } else if (over_itself(queries, keys, facts.picture)) {
    phase_ = Phase::Encoder;
    class_row_ = facts.picture->leading > 0 || facts.picture->trailing > 0;
    if (facts.picture->leading > 0) rows.first_query = 0;
  } else {
    phase_ = Phase::Prompt;
  }
  encoder_ = phase_ == Phase::Encoder;
  return rows;
}

CallRows SiteRows::found(int64_t queries, int64_t keys, const RowFacts& facts) {
  if (phase_ == Phase::Begin) return first_found(queries, keys, facts);
  CallRows rows{.first_query = queries - 1, .queries = 1, .first_token = rows_};
  const auto begin_again = [&] {
    ++pieces_;
    rows.first_token = 0;
    rows.takes_back = true;
    phase_ = queries > 1 ? Phase::Prompt : Phase::Answer;
  };
  if (phase_ == Phase::Encoder) {
    if (over_itself(queries, keys, facts.picture)) {
      rows.first_query = latest_.first_query;
    } else {  // a prefix of the picture alone
      begin_again();
      encoder_ = false;
      class_row_ = true;
    }
  } else if (phase_ == Phase::Prompt && queries == 1) {
    phase_ = Phase::Answer;
  } else if (phase_ == Phase::Prompt) {
    const bool anew = keys != keys_ + queries && queries == queries_ + 1;
    anew ? void(phase_ = Phase::Recomputed) : begin_again();
  } else if (phase_ == Phase::Recomputed && queries != queries_ + 1) {
    unclear_ = true;
  }
  return rows;
}

CallRows SiteRows::stated(const std::string& site, int64_t queries, int64_t keys, const RowFacts& facts) {
  using Of = TokenRows::Of;
  const bool first = phase_ == Phase::Begin;
  CallRows rows{.first_query = queries - 1, .queries = 1, .first_token = rows_};
  if (facts.rules.of == Of::First) {
    rows.first_query = 0;
  } else if (facts.rules.of == Of::Range) {
    if (facts.rules.last >= queries) {
      throw Error(site + ": expected calls of at least " + std::to_string(facts.rules.last + 1) +
                      " rows, as rows.of_call says, got one of " + std::to_string(queries) + ". Correct the range.",
                  DropReason::ShapeMismatch);
    }
    rows.first_query = facts.rules.first;
    rows.queries = facts.rules.last - facts.rules.first + 1;
  } else if (first && facts.prompt_tokens > 0) {
    rows.first_query = std::min(facts.prompt_tokens, queries) - 1;
    rows.queries = queries - rows.first_query;
  } else if (facts.rules.of == Of::All) {
    rows.first_query = 0;
    rows.queries = queries;
  }
  if (facts.rules.of == Of::All && facts.self) {
    const int64_t position = keys - queries + rows.first_query;
    if (first) origin_ = position;
    // A cache that was cut back: what was checked and refused.
    const int64_t token = position - origin_;
    if (!first && token >= 0 && token < rows_) {
      rows.first_token = token;
      rows.takes_back = true;
    }
  }
  return rows;
}

RowUse SiteRows::use(const TokenRows& rules) const {
  return {.rules = rules,
          .calls = calls_,
          .queries = first_queries_,
          .pieces = pieces_,
          .tokens = rows_,
          .encoder = encoder_,
          .class_row = class_row_,
          .unclear = unclear_};
}

}  // namespace gaze

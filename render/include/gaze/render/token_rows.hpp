// SPDX-License-Identifier: MIT
// Which rows of the model's attention calls are the answer's tokens.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace gaze {

/// Which rows of the selected sites' calls are tokens, where Gaze is not to find it out by itself.
struct TokenRows {
  enum class Of {
    Found,  ///< the last row of the prompt, whose calls may be pieces of it, then the last row of every call; the class
            ///< token's row of an encoder over the picture's own keys
    Last,   ///< the last row of every call
    First,  ///< the first row of every call, as of a class token
    All,    ///< every row of every call: learned queries, several tokens checked at once
    Range   ///< rows first .. last of every call
  };
  Of of = Of::Found;
  int64_t first = 0, last = 0;  ///< for Range, inclusive
  /// Calls of one site that belong to one token, each a layer of it: a block that runs several times.
  int64_t calls_per_token = 1;
  /// Tokens whose calls take turns, of which number `pass` is kept: a pass with the picture and one without.
  int64_t passes = 1, pass = 0;

  friend bool operator==(const TokenRows&, const TokenRows&) = default;
};

/// How a request's tokens were told from the other rows.
struct RowUse {
  TokenRows rules;
  int64_t calls = 0;      ///< of the site that had most rows
  int64_t queries = 0;    ///< rows of its first call
  int64_t pieces = 1;     ///< calls that the prompt came in
  int64_t tokens = 0;     ///< rows that are tokens, those beyond the limit included
  bool encoder = false;   ///< the rows were the picture's own cells
  bool class_row = true;  ///< false: of such an encoder none stands for the answer
  bool unclear = false;   ///< the first calls may be a prompt in pieces or an answer computed anew for every token
  /// Texts or ids that the host named, what stands behind the answer's end included; of any row of the batch.
  int64_t named = 0, named_by_batch = 0;
  bool regrouped = false;  ///< Request::reorder was called: a row may have ended early
};

/// "last", "first", "all" or "3-5" (from 0, inclusive). nullopt when not understood.
GAZE_API std::optional<TokenRows> parse_token_rows(const std::string& text);
/// "found", or what `parse_token_rows` understands.
GAZE_API std::string name(const TokenRows& rows);

}  // namespace gaze

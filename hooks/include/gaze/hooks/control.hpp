// SPDX-License-Identifier: MIT
// What may be decided anew while a server runs: which requests are captured, and which answers are kept.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// An answer is kept when any of what is set holds for it; nothing set: all are kept.
struct GAZE_API KeepRule {
  bool flagged = false;     ///< attention does not support it, as its report says: weak, not grounded, diffuse
  double slow_seconds = 0;  ///< > 0: it took at least so long from begin to finish
  int64_t long_tokens = 0;  ///< > 0: it has at least so many tokens
  [[nodiscard]] bool everything() const noexcept { return !flagged && !(slow_seconds > 0) && long_tokens <= 0; }
  friend bool operator==(const KeepRule&, const KeepRule&) = default;
};

/// "all", or any of flagged, slow:SECONDS, long:TOKENS, with commas. Unset: not understood.
GAZE_API std::optional<KeepRule> parse_keep(std::string_view text);
/// As `parse_keep` reads it.
GAZE_API std::string text_of(const KeepRule& rule);

/// A request is captured when capture is on, the host has not opted it out, it is chosen, and neither the breaker nor
/// `per_second` forbids it. Chosen are: what the host opted in, what an id or a prompt names, the next ones, and the
/// sample. Of a batch the sample takes all rows or none.
struct GAZE_API Control {
  bool capture = true;       ///< false: nothing is captured until it is true again; open requests go on
  double sample_rate = 1;    ///< 0..1, of the requests
  int64_t next = 0;          ///< so many requests from now on, whatever the rate
  std::string ids = {};      ///< whatever the rate: a pattern of ids, '*' any text, '?' one byte; empty: none
  std::string prompts = {};  ///< likewise, of prompts
  double per_second = 0;     ///< > 0: at most so many in a second, the rest is counted as rate_limited
  KeepRule keep = {};
  friend bool operator==(const Control&, const Control&) = default;
};

/// Whether all of `text` is what `pattern` says. Time: at most the product of their lengths.
GAZE_API bool matches(std::string_view pattern, std::string_view text) noexcept;

/// What a control file says, a line each: `capture = off`, `sample_rate = 0.01`, `next = 5`, `ids = 42*`,
/// `prompts = *invoice*`, `per_second = 2`, `keep = flagged,slow:2.5`, `until = 1796083200` (seconds since 1970, when
/// it ends to hold; 0: never). Blank lines and those that begin with '#' say nothing. Names that are not there are left
/// as they are in `control`.
struct GAZE_API ControlFile {
  Control control;
  bool says_next = false;             ///< `next` is the file's
  int64_t until_seconds = 0;          ///< 0: for ever
  std::vector<std::string> problems;  ///< of lines that were not understood, a sentence each: they decide nothing
};
/// @param text  of any length and content; what is beyond 64 KiB is a problem
GAZE_API ControlFile read_control(std::string_view text, const Control& control);

}  // namespace gaze

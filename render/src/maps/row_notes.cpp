// SPDX-License-Identifier: MIT
#include "maps/row_notes.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(text, DropReason::Labels); }

void refuse_more(const RowUse& rows, int64_t labels) {
  std::string text = "labels: expected at most " + std::to_string(rows.tokens) +
                     ", one for each row that is a token, got " + std::to_string(labels) + ". ";
  if (rows.queries == labels || (rows.queries > 1 && rows.calls == 1)) {
    text +=
        "Where each of a call's rows is a token, say \"rows\": {\"of_call\": \"all\"} in the profile (gaze run --rows "
        "all), with the prompt's length where it stands before the answer (RequestSpec::prompt_tokens, "
        "--prompt-tokens).";
  } else {
    text +=
        "Label only the tokens the model generated; where several are checked in one call, say \"rows\": "
        "{\"of_call\": \"all\"} in the profile";
    if (labels < rows.tokens + rows.pieces) {
      text += ", and where the last row of every call made one, {\"of_call\": \"last\"} (gaze run --rows last)";
    }
    text += ".";
  }
  refuse(text);
}

void refuse_fewer(const RowUse& rows, int64_t named) {
  std::string text = "labels: expected " + std::to_string(rows.tokens) + ", one for each row that is a token, got " +
                     std::to_string(named) + ": which row belongs to which label cannot be told. ";
  if (rows.tokens % named == 0) {
    const std::string turns = std::to_string(rows.tokens / named);
    text += "Where each token takes " + turns + " calls of a layer, say \"rows\": {\"calls_per_token\": " + turns +
            "} in the profile (gaze run --calls-per-token " + turns + "); where it takes " + turns +
            " passes of which one sees the picture, {\"passes\": " + turns + ", \"pass\": 0} (--passes " + turns +
            "). ";
  }
  refuse(text +
         "Else label every row, with the end's and what follows it, and feed the prompt within the request in "
         "pieces of more than one token.");
}

}  // namespace

void check_labels(const AttentionRecord& record) {
  const auto labels = static_cast<int64_t>(record.labels.size());
  if (!record.rows) {
    const int64_t tokens = record.maps.empty() ? 0 : record.maps.front().tokens();
    if (labels <= tokens) return;
    refuse("labels: expected at most " + std::to_string(tokens) + " (one per captured token), got " +
           std::to_string(labels) + ". Label only the tokens the model generated.");
  }
  const RowUse& rows = *record.rows;
  if (labels > rows.tokens) refuse_more(rows, labels);
  const int64_t named = std::max(rows.named, rows.named_by_batch);
  if (named == 0 || rows.tokens <= named || rows.regrouped) return;
  // One row more: of the step that made the end, or that nobody asked for.
  if (rows.tokens == named + 1 && rows.pieces == 1 && !rows.unclear) return;
  refuse_fewer(rows, named);
}

std::string row_note(const AttentionRecord& record) {
  if (!record.rows || record.rows->tokens == 0) return "";
  const RowUse& rows = *record.rows;
  const TokenRows& rules = rows.rules;
  std::string text;
  const auto say = [&](const std::string& what) { text += (text.empty() ? "Rows: " : "; ") + what; };
  const std::string of = " of " + std::to_string(rows.queries);
  if (!rows.class_row) {
    say("the last" + of + " in each call, a cell of its own: no row stands for the answer");
  } else if (rules.of == TokenRows::Of::First || (rows.encoder && rules.of == TokenRows::Of::Found)) {
    say((rules.of == TokenRows::Of::First ? "the first" + of : "the class token's" + of) + " in each call");
  } else if (rules.of == TokenRows::Of::Range) {
    say(name(rules) + of + " in each call");
  } else if (rules.of == TokenRows::Of::All) {
    say("all of each call");
  } else if (rows.calls == 1 && rows.queries > 1 && rows.tokens == 1) {
    say("the last" + of + " in one call");
  }
  if (rows.pieces > 1) say("the prompt came in " + std::to_string(rows.pieces) + " calls");
  if (rules.calls_per_token > 1) say(std::to_string(rules.calls_per_token) + " calls a token");
  if (rules.passes > 1) say("pass " + std::to_string(rules.pass) + " of " + std::to_string(rules.passes));
  const int64_t named = std::max(rows.named, rows.named_by_batch);
  if (rows.named > 0 && rows.tokens > named) {
    const int64_t more = rows.tokens - rows.named;
    say(more == 1 ? "the last has no label" : "the last " + std::to_string(more) + " have no label");
  }
  return text.empty() ? text : text + ".";
}

}  // namespace gaze

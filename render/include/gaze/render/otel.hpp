// SPDX-License-Identifier: MIT
// Answers for OpenTelemetry, as lines of OTLP in JSON: a collector's otlpjsonfile receiver reads them.
#pragma once

#include <gaze/render/answer_figures.hpp>
#include <gaze/render/record.hpp>
#include <gaze/render/status.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace gaze {

/// Where an answer belongs: of a W3C traceparent.
struct TraceContext {
  std::string trace_id, parent_span_id;  ///< 32 and 16 lower-case hexadecimal digits
};
/// Unset: it is none of version 00 to fe, or an id is zero.
GAZE_API std::optional<TraceContext> parse_traceparent(std::string_view text);

struct OtelLines {
  std::string span;   ///< TracesData
  std::string event;  ///< LogsData: gen_ai.evaluation.result; empty: nothing was measured
};

/// A line each, without its end. Holds no text of the answer, the prompt or the passages. The record's attribute
/// "traceparent" says what the span belongs to; without one it begins a trace of its own.
/// @param figures  null: the answer was not drawn
/// @param bundle   path; empty: there is none
/// @param reason   DropReason::kCount: it was kept
GAZE_API OtelLines otel_lines(const AttentionRecord& record, const AnswerFigures* figures, const std::string& bundle,
                              DropReason reason);

/// Adds the lines to traces.jsonl and logs.jsonl of a directory, which is made where there is none. A file of more than
/// 64 MiB is renamed first, to traces.1.jsonl say, in whose place the one before is lost.
/// @throws gaze::Error (OutDir, DiskFull, IoError)
GAZE_API void append_otel(const std::string& directory, const OtelLines& lines);

}  // namespace gaze

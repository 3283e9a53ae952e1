// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/otel.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "base/files.hpp"
#include "base/json_text.hpp"
#include "operate/otel_names.hpp"

namespace gaze {
namespace {

constexpr int64_t kMostFileBytes = int64_t{64} << 20;
constexpr int kStatusError = 2;
constexpr int kKindInternal = 1;
constexpr int kSeverityInfo = 9;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

JsonText text_value(const std::string& text) { return {{"stringValue", JsonText(text)}}; }
JsonText number_value(double number) { return {{"doubleValue", JsonText(number)}}; }
/// 64 bits are text in JSON of Protocol Buffers.
JsonText whole_value(int64_t number) { return {{"intValue", JsonText(std::to_string(number))}}; }

class Attributes {
 public:
  void add(const char* name, JsonText value) {
    list_.push_back({{"key", JsonText(name)}, {"value", std::move(value)}});
  }
  void add_text(const char* name, const std::string& text) {
    if (!text.empty()) add(name, text_value(text));
  }
  void add_number(const char* name, double number) {
    if (std::isfinite(number)) add(name, number_value(number));
  }
  JsonText list() && { return std::move(list_); }

 private:
  JsonText list_ = JsonText::array();
};

JsonText documents(const std::vector<SourceMass>& sources) {
  JsonText values = JsonText::array();
  for (const SourceMass& source : sources) {
    Attributes one;
    one.add(otel::kDocumentId, text_value(source.id));
    one.add_number(otel::kDocumentScore, source.mass);
    values.push_back({{"kvlistValue", {{"values", std::move(one).list()}}}});
  }
  return {{"arrayValue", {{"values", std::move(values)}}}};
}

JsonText resource(const AttentionRecord& record) {
  Attributes of;
  of.add_text("service.name", "gaze");
  of.add_text("host.name", record.host);
  of.add("process.pid", whole_value(record.process));
  return {{"attributes", std::move(of).list()}};
}

JsonText scope() { return {{"name", JsonText("gaze")}, {"version", JsonText(GAZE_VERSION)}}; }

/// "traces" -> "traces.jsonl"
void append_line(int directory, const std::string& path, const char* stem, const std::string& line) {
  if (line.empty()) return;
  const std::string name = std::string(stem) + ".jsonl";
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size > kMostFileBytes)
    ::renameat(directory, name.c_str(), directory, (std::string(stem) + ".1.jsonl").c_str());
  const files::Descriptor file(
      ::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  const std::string whole = line + "\n";
  // In one piece: others may add lines at the same time.
  if (file.get() >= 0 && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
      ::write(file.get(), whole.data(), whole.size()) == static_cast<ssize_t>(whole.size()))
    return;
  throw Error("output " + path + "/" + name + ": cannot add a line: " + std::generic_category().message(errno) + ".",
              errno == ENOSPC || errno == EDQUOT ? DropReason::DiskFull : DropReason::IoError);
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  // 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01; later versions may go on behind.
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace = text.substr(3, 32);
  const std::string_view span = text.substr(36, 16);
  if (!is_hex(version) || !is_hex(trace) || !is_hex(span) || !is_hex(text.substr(53, 2))) return std::nullopt;
  if (version == "ff" || is_zero(trace) || is_zero(span)) return std::nullopt;
  if (version == "00" ? text.size() != 55 : text.size() > 55 && text[55] != '-') return std::nullopt;
  return TraceContext{std::string(trace), std::string(span)};
}

OtelLines otel_lines(const AttentionRecord& record, const AnswerFigures* figures, const std::string& bundle,
                     DropReason reason) {
  const auto said = record.attributes.find("traceparent");
  const std::optional<TraceContext> within =
      said == record.attributes.end() ? std::nullopt : parse_traceparent(said->second);
  const std::string trace_id = within ? within->trace_id : files::random_hex(32);
  const std::string span_id = files::random_hex(16);
  const auto open = record.timings_ms.find("begin_to_finish");
  const int64_t end_ns = record.created_ms * 1'000'000;
  const int64_t open_ns = open == record.timings_ms.end() ? 0 : std::llround(open->second * 1e6);
  const bool kept = reason == DropReason::kCount;

  Attributes of;
  of.add_text(otel::kOperation, otel::kOperationValue);
  of.add_text(otel::kModel, record.profile);
  of.add_text(otel::kResponseId, record.request_id);
  if (!kept) of.add_text(otel::kErrorType, name(reason));
  of.add_text(otel::kBundle, bundle);
  if (figures != nullptr) {
    of.add(otel::kOutputTokens, whole_value(figures->tokens));
    of.add_text(otel::kParameters, figures->model_sha256);
    of.add_text(otel::kVerdict, name(figures->verdict));
    of.add_number(otel::kMass, figures->mass);
    of.add_number(otel::kEntropy, figures->entropy);
    of.add_number(otel::kFocus, figures->focus);
    of.add_number(otel::kLift, figures->max_lift);
    if (!figures->sources.empty()) of.add(otel::kDocuments, documents(figures->sources));
  }
  JsonText span;
  span["traceId"] = trace_id;
  span["spanId"] = span_id;
  if (within) span["parentSpanId"] = within->parent_span_id;
  span["name"] = otel::kSpan;
  span["kind"] = kKindInternal;
  span["startTimeUnixNano"] = std::to_string(end_ns - open_ns);
  span["endTimeUnixNano"] = std::to_string(end_ns);
  span["attributes"] = std::move(of).list();
  if (!kept && reason != DropReason::NotKept) span["status"] = {{"code", kStatusError}, {"message", name(reason)}};
  JsonText spans = JsonText::array(), scopes = JsonText::array(), resources = JsonText::array();
  spans.push_back(std::move(span));
  scopes.push_back({{"scope", scope()}, {"spans", std::move(spans)}});
  resources.push_back({{"resource", resource(record)}, {"scopeSpans", std::move(scopes)}});
  OtelLines lines{JsonText{{"resourceSpans", std::move(resources)}}.dump(-1), {}};
  if (figures == nullptr) return lines;

  Attributes result;
  result.add_text(otel::kEvaluationName, otel::kEvaluationNameValue);
  result.add_number(otel::kScore, figures->focus);
  result.add_text(otel::kLabel, name(figures->verdict));
  result.add_text(otel::kExplanation, bundle);
  result.add_text(otel::kResponseId, record.request_id);
  JsonText event;
  event["timeUnixNano"] = std::to_string(end_ns);
  event["observedTimeUnixNano"] = std::to_string(end_ns);
  event["severityNumber"] = kSeverityInfo;
  event["eventName"] = otel::kEvaluation;
  event["traceId"] = trace_id;
  event["spanId"] = span_id;
  event["attributes"] = std::move(result).list();
  JsonText events = JsonText::array(), log_scopes = JsonText::array(), log_resources = JsonText::array();
  events.push_back(std::move(event));
  log_scopes.push_back({{"scope", scope()}, {"logRecords", std::move(events)}});
  log_resources.push_back({{"resource", resource(record)}, {"scopeLogs", std::move(log_scopes)}});
  lines.event = JsonText{{"resourceLogs", std::move(log_resources)}}.dump(-1);
  return lines;
}

void append_otel(const std::string& directory, const OtelLines& lines) {
  const files::Descriptor folder = files::open_directory(directory, false);
  append_line(folder.get(), directory, "traces", lines.span);
  append_line(folder.get(), directory, "logs", lines.event);
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include <gaze/render/operation.hpp>
#include <gaze/render/text.hpp>

#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gaze {
namespace {

using Value = std::function<double(const CaptureFacts&)>;

/// One value for each capture.
struct Series {
  const char* name;
  const char* type;
  const char* help;
  Value value;
};

const std::vector<Series>& plain_series() {
  static const std::vector<Series> all = {
      {"gaze_requests_begun_total", "counter", "Requests opened, one for each batch row.",
       [](const CaptureFacts& c) { return static_cast<double>(c.begun); }},
      {"gaze_requests_sampled_total", "counter", "Of these, captured.",
       [](const CaptureFacts& c) { return static_cast<double>(c.sampled); }},
      {"gaze_requests_written_total", "counter", "Of the captured, kept.",
       [](const CaptureFacts& c) { return static_cast<double>(c.written); }},
      {"gaze_requests_in_flight", "gauge", "Captured requests that are open, queued or being drawn.",
       [](const CaptureFacts& c) { return static_cast<double>(c.in_flight); }},
      {"gaze_tokens_dropped_total", "counter", "Tokens beyond an answer's limit.",
       [](const CaptureFacts& c) { return static_cast<double>(c.tokens_dropped); }},
      {"gaze_taps_total", "counter", "Attention calls reduced.",
       [](const CaptureFacts& c) { return static_cast<double>(c.taps); }},
      {"gaze_tap_seconds_total", "counter", "Time of the model's threads within taps of captured requests.",
       [](const CaptureFacts& c) { return c.tap_seconds; }},
      {"gaze_bundle_bytes_total", "counter", "Bytes of bundles written.",
       [](const CaptureFacts& c) { return static_cast<double>(c.bundle_bytes); }},
      {"gaze_queue_bytes", "gauge", "Memory of finished requests that wait for the worker.",
       [](const CaptureFacts& c) { return static_cast<double>(c.queue_bytes); }},
      {"gaze_queue_budget_bytes", "gauge", "What may wait before more is dropped.",
       [](const CaptureFacts& c) { return static_cast<double>(c.queue_budget_bytes); }},
      {"gaze_capture_on", "gauge", "1 while requests are captured.",
       [](const CaptureFacts& c) { return c.on ? 1.0 : 0.0; }},
      {"gaze_sample_rate", "gauge", "Share of the requests that the sample takes.",
       [](const CaptureFacts& c) { return c.sample_rate; }},
      {"gaze_breaker_open", "gauge", "1 while nothing is captured, since what was captured could not be kept.",
       [](const CaptureFacts& c) { return c.breaker != nullptr ? 1.0 : 0.0; }},
      {"gaze_breaker_opened_total", "counter", "How often the breaker opened.",
       [](const CaptureFacts& c) { return static_cast<double>(c.breaker_opened); }},
  };
  return all;
}

void append(std::string& out, double value) {
  if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

/// A label's value, in quotes.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : one_line(text)) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  out += '"';
}

std::string model_label(const CaptureFacts& capture) {
  std::string label = "model=";
  append_quoted(label, capture.model);
  return label;
}

void head(std::string& out, const char* name, const char* type, const char* help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

void sample(std::string& out, std::string_view name, const std::string& labels, double value) {
  out.append(name).append("{").append(labels).append("} ");
  append(out, value);
  out += '\n';
}

void append_histogram(std::string& out, const char* name, const std::string& label, const Histogram& histogram) {
  const std::string bucket = std::string(name) + "_bucket";
  int64_t below = 0;
  for (size_t bin = 0; bin <= histogram.bounds(); ++bin) {
    below += histogram.count(bin);
    std::string labels = label + ",le=\"";
    append(labels, bin < histogram.bounds() ? histogram.bound(bin) : std::numeric_limits<double>::infinity());
    sample(out, bucket, labels + "\"", static_cast<double>(below));
  }
  sample(out, std::string(name) + "_sum", label, histogram.sum());
  sample(out, std::string(name) + "_count", label, static_cast<double>(below));
}

void append_answers(std::string& out, const std::vector<CaptureFacts>& captures) {
  using Counts = std::array<std::atomic<int64_t>, 4>;
  const auto verdicts = [&](const char* name, const char* help, Counts AnswerTotals::*counts) {
    head(out, name, "counter", help);
    for (const CaptureFacts& capture : captures) {
      if (capture.answers == nullptr) continue;
      for (size_t v = 0; v < 4; ++v) {
        const std::string labels = model_label(capture) + ",verdict=\"" + gaze::name(static_cast<Verdict>(v)) + "\"";
        sample(out, name, labels, static_cast<double>((capture.answers->*counts)[v]));
      }
    }
  };
  verdicts("gaze_answers_total", "Answers by what their attention says of them.", &AnswerTotals::answers);
  verdicts("gaze_words_total", "Their words, likewise.", &AnswerTotals::words);
  const auto histogram = [&](const char* name, const char* help, Histogram AnswerTotals::*of) {
    head(out, name, "histogram", help);
    for (const CaptureFacts& capture : captures) {
      if (capture.answers != nullptr) append_histogram(out, name, model_label(capture), capture.answers->*of);
    }
  };
  histogram("gaze_render_seconds", "Time of the worker for an answer.", &AnswerTotals::render_seconds);
  histogram("gaze_answer_open_seconds", "From a request's begin to its finish.", &AnswerTotals::open_seconds);
  histogram("gaze_answer_mass", "Share of attention on what is shown.", &AnswerTotals::mass);
  histogram("gaze_answer_entropy", "Of an answer's map: 0 one cell, 1 all alike.", &AnswerTotals::entropy);
  histogram("gaze_answer_focus", "Of an answer's words: 1 all attention on one cell.", &AnswerTotals::focus);
}

/// Of captures that compare with a baseline, once there is something to say.
void append_drift(std::string& out, const std::vector<CaptureFacts>& captures) {
  const auto each = [&](const char* name, const char* help, const auto& say) {
    head(out, name, "gauge", help);
    for (const CaptureFacts& capture : captures) {
      if (capture.drift && capture.drift->verdict() != DriftVerdict::CannotSay) say(capture);
    }
  };
  each("gaze_drift_psi", "Population stability index of the last answers against the baseline.",
       [&](const CaptureFacts& capture) {
         for (const DriftFigure figure : kDriftFigures) {
           const std::string labels = model_label(capture) + ",figure=\"" + name(figure) + "\"";
           const FigureDrift& drift = capture.drift->figures[static_cast<size_t>(figure)];
           if (drift.verdict != DriftVerdict::CannotSay) sample(out, "gaze_drift_psi", labels, drift.psi);
         }
       });
  each("gaze_drift_verdict", "Drift from the baseline: 0 none, 1 moderate, 2 major.", [&](const CaptureFacts& capture) {
    const int above_none = static_cast<int>(capture.drift->verdict()) - static_cast<int>(DriftVerdict::None);
    sample(out, "gaze_drift_verdict", model_label(capture), above_none);
  });
}

}  // namespace

namespace {

/// A series is there once for each name: two captures of one get names of their own.
std::vector<CaptureFacts> told_apart(std::vector<CaptureFacts> captures) {
  std::map<std::string, int> seen;
  for (CaptureFacts& capture : captures) {
    if (const int number = ++seen[capture.model]; number > 1) capture.model += " (" + std::to_string(number) + ")";
  }
  return captures;
}

}  // namespace

std::string metrics_text(const std::vector<CaptureFacts>& given, int64_t device_to_host_bytes) {
  const std::vector<CaptureFacts> captures = told_apart(given);
  std::string out;
  head(out, "gaze_info", "gauge", "What is captured, and by what.");
  for (const CaptureFacts& capture : captures) {
    std::string labels = "version=\"" GAZE_VERSION "\"," + model_label(capture);
    const auto add = [&](const char* name, const std::string& value) {
      labels.append(",").append(name).append("=");
      append_quoted(labels, value);
    };
    add("torch", capture.torch_version);
    add("model_sha256", capture.model_sha256);
    add("profile_sha256", capture.profile_sha256);
    sample(out, "gaze_info", labels, 1);
  }
  for (const Series& series : plain_series()) {
    head(out, series.name, series.type, series.help);
    for (const CaptureFacts& capture : captures) sample(out, series.name, model_label(capture), series.value(capture));
  }
  head(out, "gaze_requests_dropped_total", "counter", "Requests that left nothing, by reason (docs/bundle.md).");
  for (const CaptureFacts& capture : captures) {
    for (const auto& [reason, count] : capture.dropped) {
      const std::string labels = model_label(capture) + ",reason=\"" + reason + "\"";
      sample(out, "gaze_requests_dropped_total", labels, static_cast<double>(count));
    }
  }
  head(out, "gaze_device_to_host_bytes_total", "counter", "What came back from devices, of all captures.");
  out += "gaze_device_to_host_bytes_total ";
  append(out, static_cast<double>(device_to_host_bytes));
  out += '\n';
  append_answers(out, captures);
  append_drift(out, captures);
  return out;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What a running capture says of itself: bins, Prometheus' text, status.json, OpenTelemetry's lines, and their files.
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/operation.hpp>
#include <gaze/render/otel.hpp>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#include "records.hpp"

namespace {

namespace fs = std::filesystem;
using gaze::DropReason;
using gaze::test::TempDir;
using nlohmann::json;

const std::string kHostile = "a\"b\\c\nd\xff{}=,\u2028\x1b[31m";

json attributes_of(const json& list) {
  json found = json::object();
  for (const json& each : list) found[each.at("key").get<std::string>()] = each.at("value");
  return found;
}

gaze::AttentionRecord traced(const std::string& traceparent) {
  gaze::AttentionRecord record = gaze::test::planted(2, 3, {1, 2});
  record.request_id = kHostile;
  record.profile = "tiny";
  record.created_ms = 1'700'000'000'250;
  record.timings_ms["begin_to_finish"] = 1250;
  if (!traceparent.empty()) record.attributes["traceparent"] = traceparent;
  return record;
}

}  // namespace

CATCH_TEST_CASE("operate: bins hold what a naive count holds, whatever is added") {
  gaze::Histogram histogram({-1, 0, 0.5, 2});
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0.5, 2);
  std::vector<double> values = {-1, 0, 0.5, 2, 2.0000001, -1e300, 1e300, INFINITY, -INFINITY};
  for (int i = 0; i < 1000; ++i) values.push_back(normal(random));
  for (const double value : values) histogram.add(value);
  histogram.add(NAN);
  int64_t all = 0;
  for (size_t bin = 0; bin <= histogram.bounds(); ++bin) {
    const double below = bin < histogram.bounds() ? histogram.bound(bin) : INFINITY;
    const double above = bin == 0 ? -INFINITY : histogram.bound(bin - 1);
    const auto wanted = std::count_if(values.begin(), values.end(),
                                      [&](double value) { return value <= below && (value > above || bin == 0); });
    CATCH_CHECK(histogram.count(bin) == wanted);
    all += histogram.count(bin);
  }
  CATCH_CHECK(all == static_cast<int64_t>(values.size()));
}

CATCH_TEST_CASE("operate: Prometheus' text holds its form whatever a model is called") {
  gaze::AnswerTotals totals;
  totals.add({.verdict = gaze::Verdict::Weak, .words = {0, 1, 2, 3}, .mass = 0.07, .render_seconds = 0.004});
  gaze::CaptureFacts facts;
  facts.model = kHostile;
  facts.begun = 7;
  facts.tap_seconds = 0.125;
  facts.dropped = {{"disk_full", 2}};
  facts.answers = &totals;
  const std::string text = gaze::metrics_text({facts, {}}, 42);
  CATCH_CHECK_THAT(text, Catch::Contains("gaze_tap_seconds_total{model=\"a\\\"b\\\\c d"));
  CATCH_CHECK_THAT(text, Catch::Contains("gaze_device_to_host_bytes_total 42\n"));
  CATCH_CHECK_THAT(text, Catch::Contains("verdict=\"weak\"} 1\n") && Catch::Contains(",le=\"0.05\"} 0\n") &&
                             Catch::Contains(",le=\"0.1\"} 1\n") && Catch::Contains(",le=\"+Inf\"} 1\n"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    CATCH_INFO(line);
    CATCH_CHECK(line.find_first_of("\x1b\xff") == std::string::npos);
    if (!line.starts_with("#")) CATCH_CHECK_NOTHROW(std::stod(line.substr(line.rfind(' ') + 1)));
  }
  CATCH_CHECK_THAT(gaze::metrics_text({}, 0), Catch::Contains("# TYPE gaze_answers_total counter\n"));
}

CATCH_TEST_CASE("operate: status.json is JSON whatever it tells") {
  gaze::CaptureFacts facts;
  facts.model = facts.out_dir = kHostile;
  facts.control = {{"ids", kHostile}};
  facts.tap_seconds = NAN;
  facts.dropped = {{"disk_full", 2}, {"labels", 0}};
  facts.breaker = "disk_full";
  const json status = json::parse(gaze::status_json({facts}, 1'700'000'000'123, false));
  CATCH_CHECK(status["pid"] == ::getpid());
  CATCH_CHECK(status["written"] == "2023-11-14T22:13:20.123Z");
  const json& capture = status["captures"].at(0);
  CATCH_CHECK(capture["dropped"] == json({{"disk_full", 2}}));
  CATCH_CHECK(capture["tap_seconds"].is_null());
  CATCH_CHECK(capture["breaker"]["open_for"] == "disk_full");
  CATCH_CHECK(json::parse(gaze::status_json({}, 0, true))["ended"] == true);
}

CATCH_TEST_CASE("operate: drift is told where there is a baseline, from answers enough on") {
  gaze::CaptureFacts facts;
  facts.model = "tiny";
  CATCH_CHECK_THAT(gaze::metrics_text({facts}, 0),
                   Catch::Contains("# TYPE gaze_drift_psi gauge\n") && !Catch::Contains("gaze_drift_verdict{"));
  CATCH_CHECK_FALSE(json::parse(gaze::status_json({facts}, 0, false))["captures"][0].contains("drift"));
  facts.drift = gaze::DriftFacts{kHostile, {}};
  CATCH_CHECK_THAT(gaze::metrics_text({facts}, 0), !Catch::Contains("gaze_drift_verdict{"));
  const json early = json::parse(gaze::status_json({facts}, 0, false))["captures"][0]["drift"];
  CATCH_CHECK(early["verdict"] == "cannot say");
  CATCH_CHECK(early["figures"].empty());
  facts.drift->figures[0] = {gaze::DriftVerdict::None, 0.03125, 0.125, 0.5};
  facts.drift->figures[2] = {gaze::DriftVerdict::Major, 0.75, 0.5, 1e-9};
  const std::string text = gaze::metrics_text({facts}, 0);
  CATCH_CHECK_THAT(text, Catch::Contains("gaze_drift_psi{model=\"tiny\",figure=\"mass\"} 0.03125\n") &&
                             Catch::Contains("gaze_drift_psi{model=\"tiny\",figure=\"focus\"} 0.75\n") &&
                             !Catch::Contains("figure=\"entropy\"") &&
                             Catch::Contains("gaze_drift_verdict{model=\"tiny\"} 2\n"));
  const json drift = json::parse(gaze::status_json({facts}, 0, false))["captures"][0]["drift"];
  CATCH_CHECK(drift["verdict"] == "major");
  CATCH_CHECK(drift["figures"].size() == 2);
  CATCH_CHECK(drift["figures"]["focus"] == json({{"verdict", "major"}, {"psi", 0.75}, {"ks", 0.5}, {"ks_p", 1e-9}}));
}

CATCH_TEST_CASE("metrics: two captures of one name have no series in common") {
  gaze::CaptureFacts facts;
  facts.model = "tiny";
  std::istringstream lines(gaze::metrics_text({facts, facts, facts}, 0));
  std::set<std::string> series;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    CATCH_INFO(line);
    CATCH_CHECK(series.insert(line.substr(0, line.rfind(' '))).second);
  }
  CATCH_CHECK(series.count("gaze_requests_begun_total{model=\"tiny (3)\"}") == 1);
}

CATCH_TEST_CASE("operate: a traceparent is what W3C says, and nothing else") {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736", span = "00f067aa0ba902b7";
  const auto context = gaze::parse_traceparent("00-" + trace + "-" + span + "-01");
  CATCH_REQUIRE(context);
  CATCH_CHECK(context->trace_id == trace);
  CATCH_CHECK(context->parent_span_id == span);
  CATCH_CHECK(gaze::parse_traceparent("cc-" + trace + "-" + span + "-01-what later versions add"));
  const std::vector<std::string> wrong = {"",
                                          "00",
                                          "00-" + trace + "-" + span,
                                          "00-" + trace + "-" + span + "-01-more",
                                          "ff-" + trace + "-" + span + "-01",
                                          "cc-" + trace + "-" + span + "-01more",
                                          "00-" + std::string(32, '0') + "-" + span + "-01",
                                          "00-" + trace + "-" + std::string(16, '0') + "-01",
                                          "00-" + std::string(32, 'A') + "-" + span + "-01",
                                          "00_" + trace + "-" + span + "-01",
                                          "00-" + trace + "-" + span + "-0g",
                                          std::string(55, '-')};
  for (const std::string& text : wrong) {
    CATCH_INFO(text);
    CATCH_CHECK_FALSE(gaze::parse_traceparent(text));
  }
}

CATCH_TEST_CASE("operate: an answer is a span in its trace and an evaluation's event, without its text") {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736", parent = "00f067aa0ba902b7";
  gaze::AttentionRecord record = traced("00-" + trace + "-" + parent + "-01");
  record.prompt = record.labels.emplace_back("CANARY");
  gaze::AnswerFigures figures;
  figures.verdict = gaze::Verdict::NotGrounded;
  figures.tokens = 2;
  figures.mass = 0.25;
  figures.focus = 0.125;
  figures.sources = {{"doc 1", 0.5}, {"doc 2", 0.125}};
  const gaze::OtelLines lines = gaze::otel_lines(record, &figures, "/bundles/one", DropReason::kCount);
  CATCH_CHECK(lines.span.find('\n') == std::string::npos);
  CATCH_CHECK((lines.span + lines.event).find("CANARY") == std::string::npos);
  const json span = json::parse(lines.span)["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
  CATCH_CHECK(span["traceId"] == trace);
  CATCH_CHECK(span["parentSpanId"] == parent);
  CATCH_CHECK(span["spanId"].get<std::string>().size() == 16);
  CATCH_CHECK(span["startTimeUnixNano"] == "1699999999000000000");
  CATCH_CHECK(span["endTimeUnixNano"] == "1700000000250000000");
  CATCH_CHECK_FALSE(span.contains("status"));
  const json of = attributes_of(span["attributes"]);
  CATCH_CHECK(of["gen_ai.request.model"]["stringValue"] == "tiny");
  CATCH_CHECK(of["gen_ai.usage.output_tokens"]["intValue"] == "2");
  CATCH_CHECK(of["gaze.mass"]["doubleValue"] == 0.25);
  CATCH_CHECK(of["gaze.bundle"]["stringValue"] == "/bundles/one");
  CATCH_CHECK_FALSE(of.contains("gaze.entropy"));  // it was not measured
  CATCH_CHECK_FALSE(of.contains("error.type"));
  const json& documents = of["gen_ai.retrieval.documents"]["arrayValue"]["values"];
  CATCH_CHECK(attributes_of(documents.at(1)["kvlistValue"]["values"])["score"]["doubleValue"] == 0.125);
  const json event = json::parse(lines.event)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
  CATCH_CHECK(event["eventName"] == "gen_ai.evaluation.result");
  CATCH_CHECK(event["traceId"] == trace);
  CATCH_CHECK(event["spanId"] == span["spanId"]);
  const json result = attributes_of(event["attributes"]);
  CATCH_CHECK(result["gen_ai.evaluation.name"]["stringValue"] == "gaze.grounding");
  CATCH_CHECK(result["gen_ai.evaluation.score.label"]["stringValue"] == "not grounded");

  // Of one that failed, in a trace of its own.
  const gaze::OtelLines failed = gaze::otel_lines(traced("nonsense"), nullptr, "", DropReason::DiskFull);
  CATCH_CHECK(failed.event.empty());
  const json lost = json::parse(failed.span)["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
  CATCH_CHECK(lost["traceId"].get<std::string>().size() == 32);
  CATCH_CHECK_FALSE(lost.contains("parentSpanId"));
  CATCH_CHECK(lost["status"]["code"] == 2);
  CATCH_CHECK(attributes_of(lost["attributes"])["error.type"]["stringValue"] == "disk_full");
}

CATCH_TEST_CASE("operate: lines are added whole, and a full file makes way for another") {
  const TempDir dir;
  gaze::append_otel(dir / "otel", {"{\"a\":1}", "{\"b\":1}"});
  gaze::append_otel(dir / "otel", {"{\"a\":2}", ""});
  CATCH_CHECK(gaze::test::read_bytes(dir / "otel/traces.jsonl") == "{\"a\":1}\n{\"a\":2}\n");
  CATCH_CHECK(gaze::test::read_bytes(dir / "otel/logs.jsonl") == "{\"b\":1}\n");
  fs::resize_file(dir / "otel/traces.jsonl", (64 << 20) + 1);
  gaze::append_otel(dir / "otel", {"{\"a\":3}", ""});
  CATCH_CHECK(gaze::test::read_bytes(dir / "otel/traces.jsonl") == "{\"a\":3}\n");
  CATCH_CHECK(fs::file_size(dir / "otel/traces.1.jsonl") == (64U << 20) + 1);
  // What is planted there is neither followed nor waited for.
  fs::remove(dir / "otel/logs.jsonl");
  gaze::test::write_bytes(dir / "victim", "mine");
  fs::create_symlink(dir / "victim", dir / "otel/logs.jsonl");
  GAZE_REQUIRE_REFUSED(gaze::append_otel(dir / "otel", {"", "{}"}), DropReason::IoError, "logs.jsonl");
  CATCH_CHECK(gaze::test::read_bytes(dir / "victim") == "mine");
  fs::remove(dir / "otel/logs.jsonl");
  CATCH_REQUIRE(::mkfifo((dir / "otel/logs.jsonl").c_str(), 0600) == 0);
  GAZE_REQUIRE_REFUSED(gaze::append_otel(dir / "otel", {"", "{}"}), DropReason::IoError, "logs.jsonl");
}

CATCH_TEST_CASE("operate: a file is replaced in one step, for its owner or for everybody") {
  const TempDir dir;
  const auto mode = [&](const std::string& name) {
    return static_cast<unsigned>(fs::status(dir / name).permissions());
  };
  gaze::replace_file(dir / "new/own", "1", gaze::FileFor::Owner, false);
  gaze::replace_file(dir / "new/shared", "2", gaze::FileFor::Everybody, false);
  CATCH_CHECK(mode("new/own") == 0600);
  CATCH_CHECK(mode("new/shared") == 0644);
  // What a killed process left of its name is no hindrance; a link is replaced, not followed.
  gaze::test::write_bytes(dir / "new/.own.tmp", "half");
  gaze::test::write_bytes(dir / "victim", "mine");
  fs::remove(dir / "new/own");
  fs::create_symlink(dir / "victim", dir / "new/own");
  gaze::replace_file(dir / "new/own", "3", gaze::FileFor::Owner, false);
  CATCH_CHECK(gaze::test::read_bytes(dir / "victim") == "mine");
  CATCH_CHECK(gaze::test::read_bytes(dir / "new/own") == "3");
  CATCH_CHECK(gaze::test::list(dir / "new") == std::vector<std::string>{"own", "shared"});
  fs::permissions(dir / "new", fs::perms::all);
  GAZE_REQUIRE_REFUSED(gaze::replace_file(dir / "new/own", "4", gaze::FileFor::Owner, true), DropReason::OutDir, "new");
  GAZE_REQUIRE_REFUSED(gaze::replace_file(dir / "new/", "4", gaze::FileFor::Owner, false), DropReason::OutDir,
                       "file name");
}

CATCH_TEST_CASE("operate: a file that others may decide is not read") {
  const TempDir dir;
  std::string refused;
  CATCH_CHECK(gaze::read_own_file(dir / "none", refused).empty());
  CATCH_CHECK(refused.empty());
  gaze::test::write_bytes(dir / "file", "capture = off");
  CATCH_CHECK(gaze::read_own_file(dir / "file", refused) == "capture = off");
  const auto is_refused = [&](const std::string& name, const char* why) {
    CATCH_CHECK(gaze::read_own_file(dir / name, refused).empty());
    CATCH_CHECK_THAT(refused, Catch::Contains(why));
  };
  fs::permissions(dir / "file", fs::perms::others_write, fs::perm_options::add);
  is_refused("file", "chmod go-w");
  fs::create_symlink(dir / "file", dir / "link");
  is_refused("link", "Too many levels");
  CATCH_REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  is_refused("fifo", "regular file");
  fs::create_directory(dir / "folder");
  is_refused("folder", "regular file");
  gaze::test::write_bytes(dir / "large", std::string(70'000, ' '));
  is_refused("large", "65536");
}

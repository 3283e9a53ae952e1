// SPDX-License-Identifier: MIT
#include <limits.h>
#include <unistd.h>
#include <gaze/render/operation.hpp>

#include "base/json_text.hpp"
#include "maps/captions.hpp"

namespace gaze {
namespace {

JsonText verdicts(const std::array<std::atomic<int64_t>, 4>& counts) {
  JsonText json = JsonText::object();
  for (size_t v = 0; v < counts.size(); ++v) json[name(static_cast<Verdict>(v))] = counts[v].load();
  return json;
}

JsonText drift_json(const DriftFacts& drift) {
  JsonText figures = JsonText::object();
  for (const DriftFigure figure : kDriftFigures) {
    const FigureDrift& found = drift.figures[static_cast<size_t>(figure)];
    if (found.verdict == DriftVerdict::CannotSay) continue;
    figures[name(figure)] = {{"verdict", name(found.verdict)},
                             {"psi", JsonText(found.psi)},
                             {"ks", JsonText(found.ks)},
                             {"ks_p", JsonText(found.ks_p)}};
  }
  return {{"baseline", drift.baseline}, {"verdict", name(drift.verdict())}, {"figures", std::move(figures)}};
}

JsonText capture_json(const CaptureFacts& capture) {
  JsonText json;
  json["model"] = capture.model;
  json["model_sha256"] = capture.model_sha256;
  json["profile_sha256"] = capture.profile_sha256;
  json["torch_version"] = capture.torch_version;
  json["sites"] = capture.sites;
  json["layers"] = capture.layers;
  json["out_dir"] = capture.out_dir;
  json["attached"] = JsonText(utc_text(capture.attached_ms));
  json["on"] = capture.on;
  json["control"] = JsonText::object();
  for (const auto& [name, value] : capture.control) json["control"][name] = value;
  json["requests"] = {{"begun", capture.begun},
                      {"sampled", capture.sampled},
                      {"written", capture.written},
                      {"in_flight", capture.in_flight}};
  json["dropped"] = JsonText::object();
  for (const auto& [reason, count] : capture.dropped) {
    if (count != 0) json["dropped"][reason] = count;
  }
  json["tokens_dropped"] = capture.tokens_dropped;
  json["taps"] = capture.taps;
  json["tap_seconds"] = JsonText(capture.tap_seconds);
  json["queue"] = {{"bytes", capture.queue_bytes}, {"budget_bytes", capture.queue_budget_bytes}};
  json["breaker"] = {{"open_for", capture.breaker != nullptr ? JsonText(capture.breaker) : JsonText(nullptr)},
                     {"opened", capture.breaker_opened}};
  json["bundle_bytes"] = capture.bundle_bytes;
  if (capture.answers != nullptr) json["answers"] = verdicts(capture.answers->answers);
  if (capture.drift) json["drift"] = drift_json(*capture.drift);
  return json;
}

}  // namespace

std::string status_json(const std::vector<CaptureFacts>& captures, int64_t now_ms, bool ended) {
  char host[HOST_NAME_MAX + 1] = {};
  ::gethostname(host, sizeof host - 1);
  JsonText root;
  root["gaze_status"] = 1;
  root["gaze_version"] = GAZE_VERSION;
  root["host"] = host;
  root["pid"] = ::getpid();
  root["written"] = JsonText(utc_text(now_ms));
  root["ended"] = ended;
  root["captures"] = JsonText::array();
  for (const CaptureFacts& capture : captures) root["captures"].push_back(capture_json(capture));
  return root.dump(2) + "\n";
}

}  // namespace gaze

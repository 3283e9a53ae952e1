// SPDX-License-Identifier: MIT
#include "bundle/renderers.hpp"

#include <c10/util/Exception.h>

#include <chrono>
#include <utility>

#include "bundle/request_json.hpp"
#include "maps/grounding.hpp"
#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"
#include "picture/picture_renderer.hpp"
#include "report/report_page.hpp"
#include "sound/sound_renderer.hpp"
#include "text/text_renderer.hpp"

namespace gaze {
namespace {

void add_request_json(RequestFacts& facts, Artifacts& artifacts) {
  facts.files = artifacts.names();
  facts.files.emplace_back("request.json");
  artifacts.add("request.json", write_json(facts));
}

// The page holds all that request.json says.
void add_report(RequestFacts& facts, Artifacts& artifacts) {
  facts.files = artifacts.names();
  facts.files.insert(facts.files.end(), {"report.html", "request.json"});
  const std::string json = write_json(facts);
  artifacts.add("report.html", report_page(json, facts.record.style, facts.maps));
  artifacts.add("request.json", json);
}

AnswerFigures figures_of(const RequestFacts& facts) {
  const AttentionRecord& record = facts.record;
  const MapFacts& first = facts.maps.front();
  const WordFacts& summary = first.summary.facts;
  AnswerFigures figures;
  figures.model = record.profile;
  figures.model_sha256 = record.model_sha256.empty() ? record.parameters_sha256 : record.model_sha256;
  figures.verdict = summary.grounding.verdict;
  std::vector<WordFacts> words;
  for (const DrawnMap& word : first.words) {
    words.push_back(word.facts);
    ++figures.words[static_cast<size_t>(word.facts.grounding.verdict)];
  }
  figures.flagged = is_flagged(summary, words);
  figures.tokens = record.maps.front().tokens();
  figures.mass = summary.mass;
  figures.max_lift = summary.max_lift;
  figures.entropy = summary.entropy;
  figures.focus = summary.sharpest.focus;
  const auto open = record.timings_ms.find("begin_to_finish");
  if (open != record.timings_ms.end()) figures.open_seconds = open->second / 1000;
  figures.render_seconds = facts.render_ms / 1000;
  for (const MapFacts& map : facts.maps) {
    if (!map.text) continue;
    for (const TextFacts::Source& source : map.text->sources) {
      if (!source.id.empty()) figures.sources.push_back({source.id, source.mass});
    }
  }
  return figures;
}

/// Where the artifacts of a record's map lie.
std::string folder_of(const AttentionRecord& record, size_t map) {
  return map == 0 ? std::string() : noun(record.maps[map].medium) + ("-" + std::to_string(map + 1)) + "/";
}

}  // namespace

void render_record(const AttentionRecord& record, const RenderOptions& options, FrameRing& ring, PageMemory& pages,
                   Artifacts& artifacts) {
  const auto start = std::chrono::steady_clock::now();
  const SideStream side(ring.stream(), record);
  check_record(record, ring.route());
  RequestFacts facts(record);
  for (size_t i = 0; i < record.maps.size(); ++i) {
    const RenderTask task{record, record.maps[i], options, ring, pages, folder_of(record, i)};
    // An alternative of Medium without a renderer does not compile.
    facts.maps.push_back(
        std::visit([&](const auto& medium) { return render_map(medium, task, artifacts); }, task.map.medium));
  }
  facts.tokens = facts.maps.front().tokens;
  facts.render_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  artifacts.measured(figures_of(facts));
  if (options.delivery == Delivery::Frame) {
    add_report(facts, artifacts);
  } else {
    add_request_json(facts, artifacts);
  }
}

void render_refusal(const AttentionRecord& record, DropReason reason, const std::string& message, FrameRing& ring,
                    Artifacts& artifacts) {
  RequestFacts facts(record);
  facts.error_reason = name(reason);
  facts.error_message = message.empty() ? "unknown failure" : message;
  try {
    const SideStream side(ring.stream(), record);
    if (!record.maps.empty()) facts.tokens = token_facts(record.maps.front(), ring.route());
  } catch (const c10::Error&) {  // a device that failed must not hide that it did
  }
  add_request_json(facts, artifacts);
}

void render(const AttentionRecord& record, const RenderOptions& options, Artifacts& artifacts) {
  PageMemory pages;
  with_reason([&] { render_record(record, options, *FrameRing::of(record.device()), pages, artifacts); });
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "load_compare.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "server_process.hpp"

namespace gaze::serve {
namespace {
namespace fs = std::filesystem;

constexpr std::chrono::seconds kMostDrawing{120};
constexpr double kWarmSeconds = 3;

struct Way {
  const char* name;
  std::map<std::string, std::string> variables;
};
const std::vector<Way> kWays = {
    {"off", {{"GAZE_CAPTURE", "0"}}},
    {"1 in 100", {{"GAZE_CAPTURE", "1"}, {"GAZE_SAMPLE_RATE", "0.01"}, {"GAZE_LOG", "error"}}},
    {"every request", {{"GAZE_CAPTURE", "1"}, {"GAZE_LOG", "error"}}},
};

struct Drawn {
  double written = 0, lost = 0;
};

/// A request that was captured is written, under way, or lost.
Drawn drawn_by(int port) {
  const double written = metric_of(port, "gaze_requests_written_total");
  return {written,
          metric_of(port, "gaze_requests_sampled_total") - written - metric_of(port, "gaze_requests_in_flight")};
}

struct Served {
  std::unique_ptr<ServerProcess> process;
  Drawn before;  // the first round that counts
  std::vector<LoadFigures> rounds;
};

/// So that no way pays for what another left to draw.
double wait_until_drawn(int port) {
  const auto begun = std::chrono::steady_clock::now();
  while (metric_of(port, "gaze_requests_in_flight") > 0 && std::chrono::steady_clock::now() - begun < kMostDrawing)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

void remove_bundles(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) fs::remove_all(entry);
  }
}

double median_of(const std::vector<LoadFigures>& rounds, double LoadFigures::*figure) {
  std::vector<double> values;
  for (const LoadFigures& round : rounds) values.push_back(round.*figure);
  return median(std::move(values));
}

/// Of what was measured a moment apart: the machine has other work, now more of it, now less.
double median_ratio(const std::vector<LoadFigures>& rounds, const std::vector<LoadFigures>& off,
                    double LoadFigures::*figure) {
  std::vector<double> ratios;
  for (size_t round = 0; round < rounds.size(); ++round)
    if (off[round].*figure > 0) ratios.push_back(rounds[round].*figure / off[round].*figure);
  return median(std::move(ratios));
}

nlohmann::json row_of(const Way& way, const Served& served, const Served& off) {
  nlohmann::json row = {{"way", way.name}, {"rounds", nlohmann::json::array()}};
  size_t answered = 0, captured = 0, failed = 0;
  for (const LoadFigures& round : served.rounds) {
    answered += round.answered;
    captured += round.captured;
    failed += round.failed;
    row["rounds"].push_back({{"per_second", round.per_second},
                             {"p50_ms", round.p50_ms},
                             {"p99_ms", round.p99_ms},
                             {"mean_batch", round.mean_batch},
                             {"answered", round.answered},
                             {"captured", round.captured}});
  }
  row.update({{"answered", answered}, {"captured", captured}, {"failed", failed}});
  const Drawn drawn = drawn_by(served.process->port());
  row["drawn"] = drawn.written - served.before.written;
  row["lost"] = drawn.lost - served.before.lost;
  row["drawing_seconds"] = median_of(served.rounds, &LoadFigures::drawing_seconds);
  for (const auto& [name, figure] :
       {std::pair("per_second", &LoadFigures::per_second), std::pair("p50_ms", &LoadFigures::p50_ms),
        std::pair("p99_ms", &LoadFigures::p99_ms)}) {
    row[name] = median_of(served.rounds, figure);
    row[std::string(name) + "_ratio"] = median_ratio(served.rounds, off.rounds, figure);
  }
  return row;
}

void print(const nlohmann::json& rows) {
  std::printf(
      "\n| captured | answers a second | ratio | p50 ms | ratio | p99 ms | ratio | answers | bundles | lost | drawn "
      "after s "
      "|\n|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const auto& row : rows) {
    const auto figure = [&](const char* name) { return row[name].get<double>(); };
    std::printf("| %s | %.1f | %.2f | %.1f | %.2f | %.1f | %.2f | %.0f | %.0f | %.0f | %.1f |\n",
                row["way"].get<std::string>().c_str(), figure("per_second"), figure("per_second_ratio"),
                figure("p50_ms"), figure("p50_ms_ratio"), figure("p99_ms"), figure("p99_ms_ratio"), figure("answered"),
                figure("drawn"), figure("lost"), figure("drawing_seconds"));
  }
}

}  // namespace

nlohmann::json compare(const std::vector<std::string>& command, const std::string& folder, LoadPlan plan, int rounds,
                       const std::vector<LoadQuestion>& questions) {
  std::vector<Served> servers;
  for (const Way& way : kWays) {
    std::vector<std::string> words = command;
    words.insert(words.end(), {"--bundles", folder});
    servers.push_back({std::make_unique<ServerProcess>(words, way.variables), {}, {}});
  }
  const double seconds = plan.seconds;
  for (int round = 0; round <= rounds; ++round) {  // round 0 warms up, and does not count
    plan.seconds = round == 0 ? std::min(seconds, kWarmSeconds) : seconds;
    for (size_t way = 0; way < kWays.size(); ++way) {
      plan.port = servers[way].process->port();
      plan.prefix = "r" + std::to_string(round) + "-";
      LoadFigures figures = figures_of(run_clients(plan, questions), questions);
      figures.drawing_seconds = wait_until_drawn(plan.port);
      remove_bundles(folder);
      std::fprintf(stderr,
                   "gaze_load: round %d of %d, %s: %.1f answers a second, p50 %.1f ms, p99 %.1f ms, batch %.1f%s",
                   round, rounds, kWays[way].name, figures.per_second, figures.p50_ms, figures.p99_ms,
                   figures.mean_batch, round == 0 ? " (warming up)\n" : "");
      if (round == 0) servers[way].before = drawn_by(plan.port);
      if (round == 0) continue;
      std::fprintf(stderr, ", %zu captured, drawn %.1f s after\n", figures.captured, figures.drawing_seconds);
      servers[way].rounds.push_back(figures);
    }
  }
  nlohmann::json rows = nlohmann::json::array();
  for (size_t way = 0; way < kWays.size(); ++way) rows.push_back(row_of(kWays[way], servers[way], servers[0]));
  print(rows);
  return rows;
}

}  // namespace gaze::serve

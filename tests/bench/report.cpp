// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#ifdef GAZE_WITH_OPENCV
#include <opencv2/core/version.hpp>
#else
#define CV_VERSION "none"
#endif
#include <random>
#include <sstream>

#include "cpu/isa.hpp"

namespace gaze_bench {
namespace {

struct Verdict {
  std::string gate, want, got;
  bool passed = false;
  double badness = 0;  // to tell the worse of two repeats
};

struct Kept {
  Line line;
  std::vector<Verdict> verdicts;
};

std::vector<Kept>& kept() {
  static std::vector<Kept> lines;
  return lines;
}

std::string text(const char* format, double number) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, number);
  return buffer;
}

std::string milliseconds(double ms) { return text(ms < 1 ? "%.4f" : ms < 100 ? "%.2f" : "%.0f", ms); }

double middle(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto half = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), half, values.end());
  if (values.size() % 2 == 1) return *half;
  return (*half + *std::max_element(values.begin(), half)) / 2;
}

Verdict judge(const Line& line, const Gate& gate) {
  const bool against_copy = gate.kind == Gate::Kind::TimesTheCopy || gate.kind == Gate::Kind::ShareOfCopy;
  const std::string peer = against_copy ? "a copy" : line.peers.at(gate.peer).first;
  const Times& other = against_copy ? line.copy.value() : line.peers.at(gate.peer).second;
  const bool at_least = gate.kind == Gate::Kind::FasterThan || gate.kind == Gate::Kind::ShareOfCopy;
  const Ratio ratio = at_least ? ratio_of(other, line.ours) : ratio_of(line.ours, other);
  const double got = gate.on_median ? ratio.median : at_least ? ratio.low : ratio.high;
  const std::string title = line.name + ", " + std::to_string(line.threads) + " thread(s): ";
  Verdict verdict;
  switch (gate.kind) {
    case Gate::Kind::FasterThan:
      verdict.gate = title + "times faster than " + peer;
      break;
    case Gate::Kind::ShareOfPeer:
    case Gate::Kind::TimesTheCopy:
      verdict.gate = title + "time, times that of " + peer;
      break;
    case Gate::Kind::ShareOfCopy:
      verdict.gate = title + "bandwidth, share of " + peer + "'s";
      break;
  }
  verdict.want = (at_least ? ">= " : "<= ") + text("%g", gate.want);
  verdict.got = text("%.3f", got);
  verdict.passed = at_least ? got >= gate.want : got <= gate.want;
  verdict.badness = at_least ? -got : got;
  return verdict;
}

std::string first_value(const char* path, const std::string& field) {
  std::ifstream file(path);
  for (std::string row; std::getline(file, row);)
    if (row.rfind(field, 0) == 0) return row.substr(row.find(':') + 2);
  return "unknown";
}

std::string instruction_sets() {
  std::string names;
  for (const auto isa : gaze::kernels::cpu::kIsas)
    if (gaze::kernels::cpu::has(isa)) names += (names.empty() ? "" : ", ") + std::string(gaze::kernels::cpu::name(isa));
  return names;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d", std::gmtime(&now));
  return buffer;
}

void write_rows(std::ostream& out, const Line& line) {
  const std::string head = "| " + line.name + " | " + std::to_string(line.threads) + " | ";
  if (!line.skipped.empty() || !line.error.empty()) {
    out << head << (line.error.empty() ? "skipped: " + line.skipped : "error: " + line.error) << " | | | | | |\n";
    return;
  }
  const double ours = line.ours.median();
  std::string rate = " | ";
  if (line.bytes > 0) {
    rate = text("%.1f", static_cast<double>(line.bytes) / ours / 1e6) + " | " +
           text("%.2f", ratio_of(line.ours, *line.copy).median);
  }
  for (const auto& [peer, times] : line.peers) {
    const Ratio ratio = ratio_of(times, line.ours);
    out << head << milliseconds(ours) << " | " << peer << " " << milliseconds(times.median()) << " | "
        << text("%.2f", ratio.median) << " | " << text("%.2f", ratio.low) << " | " << rate << " |\n";
  }
}

}  // namespace

double Times::median() const { return middle(ms_); }

Ratio ratio_of(const Times& above, const Times& below) {
  if (above.all().empty() || below.all().empty()) return {};
  std::mt19937 engine(1);
  const auto drawn = [&](size_t count) {
    std::uniform_int_distribution<size_t> any(0, count - 1);
    std::vector<size_t> rounds(count);
    for (size_t& round : rounds) round = any(engine);
    return rounds;
  };
  const auto resampled = [](const Times& times, const std::vector<size_t>& rounds) {
    std::vector<double> ms;
    for (const size_t round : rounds) ms.push_back(times.all()[round]);
    return middle(std::move(ms));
  };
  // Two that ran in the same rounds saw the same weather: they are compared round by round.
  const bool together = above.all().size() == below.all().size();
  Times paired;
  if (together) {
    std::vector<double> quotients;
    for (size_t round = 0; round < above.all().size(); ++round)
      quotients.push_back(above.all()[round] / below.all()[round]);
    paired = Times(std::move(quotients));
  }
  std::vector<double> ratios(1000);
  for (double& ratio : ratios) {
    const std::vector<size_t> rounds = drawn(above.all().size());
    ratio =
        together ? resampled(paired, rounds) : resampled(above, rounds) / resampled(below, drawn(below.all().size()));
  }
  std::sort(ratios.begin(), ratios.end());
  return {together ? paired.median() : above.median() / below.median(), ratios[50], ratios[949]};
}

void report(Line line) {
  std::vector<Verdict> verdicts;
  if (line.error.empty() && line.skipped.empty())
    for (const Gate& gate : line.gates) verdicts.push_back(judge(line, gate));
  if (!line.error.empty()) verdicts.push_back({line.name, "right results", line.error});
  const auto same = std::find_if(kept().begin(), kept().end(), [&](const Kept& other) {
    return other.line.name == line.name && other.line.threads == line.threads;
  });
  if (same == kept().end()) {
    kept().push_back({std::move(line), std::move(verdicts)});
    return;
  }
  if (verdicts.size() != same->verdicts.size() || !line.error.empty()) {
    *same = {std::move(line), std::move(verdicts)};
    return;
  }
  for (size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].badness > same->verdicts[i].badness) same->verdicts[i] = verdicts[i];
  same->line.ours.append(line.ours);
  for (size_t i = 0; i < line.peers.size(); ++i) same->line.peers[i].second.append(line.peers[i].second);
  if (line.copy) same->line.copy->append(*line.copy);
}

void report_bytes(const std::string& name, int64_t want, int64_t got) {
  kept().push_back({{}, {{name + ": bytes", "<= " + std::to_string(want), std::to_string(got), got <= want, 0}}});
}

std::string load_average() {
  std::ifstream file("/proc/loadavg");
  std::string one, five, fifteen;
  file >> one >> five >> fifteen;
  return one + " " + five + " " + fifteen;
}

bool any_error() {
  return std::any_of(kept().begin(), kept().end(), [](const Kept& each) { return !each.line.error.empty(); });
}

bool print_gates() {
  bool passed = true;
  std::printf("\ngate | want | got | pass/miss\n");
  for (const Kept& each : kept()) {
    for (const Verdict& verdict : each.verdicts) {
      std::printf("%s | %s | %s | %s\n", verdict.gate.c_str(), verdict.want.c_str(), verdict.got.c_str(),
                  verdict.passed ? "pass" : "miss");
      passed = passed && verdict.passed;
    }
    if (!each.line.skipped.empty())
      std::printf("%s | | skipped: %s |\n", each.line.name.c_str(), each.line.skipped.c_str());
  }
  return passed;
}

bool write_markdown(const std::string& path, const std::string& load_before) {
  std::ofstream out(path);
  out << "- Command: `" << settings().command << "`\n"
      << "- Date and commit: " << today() << ", " << GAZE_BENCH_COMMIT << "\n"
      << "- Machine: " << first_value("/proc/cpuinfo", "model name") << ", " << thread_counts().back()
      << " threads; instruction sets " << instruction_sets() << "; device " << settings().device.str() << "\n"
      << "- Load average (1, 5, 15 minutes): " << load_before << " before, " << load_average() << " after\n"
      << "- Versions: LibTorch " << TORCH_VERSION << ", OpenCV " << CV_VERSION << ", g++ " << __VERSION__ << "\n\n"
      << "| work | threads | ours ms | peer ms | times faster | at least | GB/s | times a copy |\n"
      << "|---|---|---|---|---|---|---|---|\n";
  for (const Kept& each : kept())
    if (!each.line.name.empty()) write_rows(out, each.line);
  out << "\n| gate | want | got | |\n|---|---|---|---|\n";
  for (const Kept& each : kept())
    for (const Verdict& verdict : each.verdicts)
      out << "| " << verdict.gate << " | " << verdict.want << " | " << verdict.got << " | "
          << (verdict.passed ? "pass" : "**miss**") << " |\n";
  return static_cast<bool>(out.flush());
}

}  // namespace gaze_bench

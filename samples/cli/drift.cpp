// SPDX-License-Identifier: MIT
#include <gaze/render/drift.hpp>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bundle_verbs.hpp"
#include "console.hpp"
#include "drift_sides.hpp"
#include "gallery.hpp"
#include "page.hpp"

namespace gaze::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kMajorDrift = 3;  // exit status

ordered_json version_facts(const VersionStatistics& version) {
  ordered_json facts = {{"model", version.model},
                        {"model_sha256", version.model_sha256},
                        {"answers", version.answers},
                        {"tokens", version.tokens},
                        {"verdicts", ordered_json::object()}};
  for (const Verdict verdict : {Verdict::Grounded, Verdict::Weak, Verdict::NotGrounded, Verdict::CannotSay})
    facts["verdicts"][name(verdict)] = version.verdicts[static_cast<size_t>(verdict)];
  return facts;
}

ordered_json histogram_facts(const FigureHistogram& histogram) {
  return {{"measured", histogram.measured()}, {"unmeasured", histogram.unmeasured}, {"bins", histogram.bins()}};
}

ordered_json figure_facts(DriftFigure figure, const FigureDrift& drift, const VersionStatistics& a,
                          const VersionStatistics& b) {
  ordered_json edges = ordered_json::array();
  for (size_t bin = 0; bin <= FigureHistogram::kBins; ++bin) edges.push_back(FigureHistogram::edge(figure, bin));
  return {{"figure", name(figure)},
          {"verdict", name(drift.verdict)},
          {"psi", drift.psi},
          {"ks", drift.ks},
          {"ks_p", drift.ks_p},
          {"a", histogram_facts(a.of(figure))},
          {"b", histogram_facts(b.of(figure))},
          {"edges", std::move(edges)}};
}

ordered_json side_facts(const DriftSide& side) {
  return {{"path", printable(side.path)},
          {"answers", side.statistics.answers()},
          {"refused", side.refused},
          {"unreadable", side.unreadable},
          {"left_out", side.left_out + static_cast<uint64_t>(side.statistics.left_out())}};
}

/// Versions of a side that nothing was compared with.
ordered_json alone(const DriftSide& side, const std::vector<VersionPair>& pairs, size_t VersionPair::*of) {
  ordered_json versions = ordered_json::array();
  for (size_t i = 0; i < side.statistics.versions().size(); ++i) {
    const bool paired = std::any_of(pairs.begin(), pairs.end(), [&](const VersionPair& pair) { return pair.*of == i; });
    if (!paired) versions.push_back(version_facts(side.statistics.versions()[i]));
  }
  return versions;
}

ordered_json compared(const DriftSide& a, const DriftSide& b) {
  const std::vector<VersionPair> pairs = pair_versions(a.statistics, b.statistics);
  DriftVerdict worst = DriftVerdict::CannotSay;
  ordered_json versions = ordered_json::array();
  for (const VersionPair& pair : pairs) {
    const VersionStatistics& one = a.statistics.versions()[pair.a];
    const VersionStatistics& other = b.statistics.versions()[pair.b];
    const VersionDrift found = gaze::drift(one, other);
    worst = std::max(worst, verdict_of(found));
    ordered_json figures = ordered_json::array();
    for (const DriftFigure figure : kDriftFigures)
      figures.push_back(figure_facts(figure, found[static_cast<size_t>(figure)], one, other));
    versions.push_back({{"a", version_facts(one)},
                        {"b", version_facts(other)},
                        {"same_file", pair.same_file},
                        {"verdict", name(verdict_of(found))},
                        {"figures", std::move(figures)}});
  }
  return {{"gaze_drift", 1},
          {"verdict", name(worst)},
          {"a", side_facts(a)},
          {"b", side_facts(b)},
          {"versions", std::move(versions)},
          {"only_in_a", alone(a, pairs, &VersionPair::a)},
          {"only_in_b", alone(b, pairs, &VersionPair::b)}};
}

// ---- the text

/// One character for each bin; the highest bin is full.
std::string bars(const ordered_json& bins) {
  constexpr const char* kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto counts = bins.get<std::vector<int64_t>>();
  const int64_t most = std::max<int64_t>(1, *std::max_element(counts.begin(), counts.end()));
  std::string text;
  // A bin with a single answer is seen.
  for (const int64_t count : counts) text += kBars[(count * 8 + most - 1) / most];
  return text;
}

std::string named(const ordered_json& version) {
  const auto text = [&](const char* field) { return printable(version[field].get<std::string>()); };
  const std::string model = text("model"), sha = text("model_sha256").substr(0, 12);
  return (model.empty() ? "no name" : model) + (sha.empty() ? "" : " " + sha);
}

void print_side(const char* side, const ordered_json& facts) {
  std::printf("%s  %s: %lld answers", side, facts["path"].get<std::string>().c_str(),
              facts["answers"].get<long long>());
  for (const auto& [field, text] : {std::pair("refused", "not drawn"), std::pair("unreadable", "that cannot be read"),
                                    std::pair("left_out", "left out")}) {
    if (facts[field].get<long long>() > 0) std::printf(", %lld %s", facts[field].get<long long>(), text);
  }
  std::printf("\n");
}

void print_version(const ordered_json& version) {
  const std::string a = named(version["a"]), b = named(version["b"]);
  std::printf("\n%s: %s\n", (a == b ? a : a + " -> " + b).c_str(), version["verdict"].get<std::string>().c_str());
  if (!version["same_file"].get<bool>()) std::printf("  another model, or another file of it\n");
  std::printf("  %-9s %-10s %6s %6s %8s  %-22s  %-22s  bins\n", "figure", "drift", "PSI", "KS", "p", "A", "B");
  for (const ordered_json& figure : version["figures"]) {
    const ordered_json& edges = figure["edges"];
    std::printf("  %-9s %-10s %6.3f %6.3f %8.2g  [%s]  [%s]  %g to %g\n", figure["figure"].get<std::string>().c_str(),
                figure["verdict"].get<std::string>().c_str(), figure["psi"].get<double>(), figure["ks"].get<double>(),
                figure["ks_p"].get<double>(), bars(figure["a"]["bins"]).c_str(), bars(figure["b"]["bins"]).c_str(),
                edges.front().get<double>(), edges.back().get<double>());
    const auto not_measured = figure["a"]["unmeasured"].get<long long>() + figure["b"]["unmeasured"].get<long long>();
    if (not_measured > 0) std::printf("            not measured of %lld answers\n", not_measured);
  }
  std::printf("  %-9s", "verdicts");
  for (const auto& [verdict, count] : version["a"]["verdicts"].items())
    std::printf("  %s %lld -> %lld", verdict.c_str(), count.get<long long>(),
                version["b"]["verdicts"][verdict].get<long long>());
  std::printf("\n");
}

void print_drift(const ordered_json& result) {
  print_side("A", result["a"]);
  print_side("B", result["b"]);
  for (const ordered_json& version : result["versions"]) print_version(version);
  for (const auto& [field, side] : {std::pair("only_in_a", "A"), std::pair("only_in_b", "B")}) {
    for (const ordered_json& version : result[field])
      std::printf("\n%s: only in %s, %lld answers\n", named(version).c_str(), side,
                  version["answers"].get<long long>());
  }
  std::printf("\ndrift  %s\n", result["verdict"].get<std::string>().c_str());
}

}  // namespace

int drift(const DriftArguments& arguments) {
  if (arguments.b.empty() && arguments.save.empty())
    throw Refusal("B: expected what to compare with, found none. With --save FILE A alone is counted and kept.");
  if (arguments.b.empty() && !arguments.html.empty())
    throw Refusal("--html: expected A and B, whose difference the page draws, found no B.");
  const auto limit = static_cast<size_t>(arguments.limit);
  const DriftSide a = read_drift_side(arguments.a, "A", limit);
  if (!arguments.save.empty()) write_page(arguments.save, a.statistics.json() + "\n", "--save");
  if (arguments.b.empty()) {
    if (arguments.json) {
      std::printf("%s\n", a.statistics.json().c_str());
      return 0;
    }
    print_side("A", side_facts(a));
    std::printf("kept  %s\n", printable(arguments.save).c_str());
    return 0;
  }
  ordered_json result = compared(a, read_drift_side(arguments.b, "B", limit));
  if (!arguments.html.empty()) write_page(arguments.html, page(drift_page, "", result), "--html");
  if (arguments.json) {
    std::printf("%s\n", result.dump(1, ' ', false, ordered_json::error_handler_t::replace).c_str());
  } else {
    print_drift(result);
    if (!arguments.html.empty()) std::printf("page  %s\n", printable(arguments.html).c_str());
  }
  return result["verdict"] == name(DriftVerdict::Major) ? kMajorDrift : 0;
}

}  // namespace gaze::cli

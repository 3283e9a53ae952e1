// SPDX-License-Identifier: MIT
#include "grounding_cases.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "verbs.hpp"

namespace gaze::cli {
namespace {

constexpr Verdict kVerdicts[] = {Verdict::Grounded, Verdict::Weak, Verdict::NotGrounded, Verdict::CannotSay};

struct Kind {
  std::string name;
  Truth truth;
};

// In the order in which they first occurred, the supported first and those beside last.
std::vector<Kind> kinds_of(const std::vector<JudgedCase>& cases) {
  std::vector<Kind> kinds;
  for (const JudgedCase& each : cases) {
    const auto same = [&](const Kind& kind) { return kind.name == each.kind && kind.truth == each.truth; };
    if (std::none_of(kinds.begin(), kinds.end(), same)) kinds.push_back({each.kind, each.truth});
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const Kind& a, const Kind& b) { return a.truth < b.truth; });
  return kinds;
}

int64_t count(const std::vector<JudgedCase>& cases, const Kind& kind, const Verdict* verdict = nullptr) {
  return std::count_if(cases.begin(), cases.end(), [&](const JudgedCase& each) {
    return each.kind == kind.name && each.truth == kind.truth &&
           (verdict == nullptr || each.grounding.verdict == *verdict);
  });
}

double area_of(const std::vector<JudgedCase>& cases, const Kind& kind) {
  if (kind.truth == Truth::Supported) return std::numeric_limits<double>::quiet_NaN();
  return area_under_roc(scores_of(cases, Truth::Supported), scores_of(cases, kind.truth, kind.name));
}

nlohmann::json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::round(1e4 * value) / 1e4;
}

}  // namespace

double area_under_roc(const std::vector<double>& supported, const std::vector<double>& unsupported) {
  if (supported.empty() || unsupported.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<std::pair<double, bool>> all;
  for (const double score : supported) all.emplace_back(score, true);
  for (const double score : unsupported) all.emplace_back(score, false);
  std::sort(all.begin(), all.end());
  double ranks = 0;  // of the supported; equal scores share their mean rank
  for (size_t first = 0; first < all.size();) {
    size_t end = first;
    while (end < all.size() && all[end].first == all[first].first) ++end;
    const double rank = static_cast<double>(first + 1 + end) / 2;
    for (; first < end; ++first) ranks += all[first].second ? rank : 0;
  }
  const auto n = static_cast<double>(supported.size()), m = static_cast<double>(unsupported.size());
  return (ranks - n * (n + 1) / 2) / (n * m);
}

double quantile_of(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

std::vector<double> scores_of(const std::vector<JudgedCase>& cases, Truth truth, const std::string& kind) {
  std::vector<double> scores;
  for (const JudgedCase& each : cases) {
    if (each.truth != truth || (!kind.empty() && each.kind != kind)) continue;
    if (std::isfinite(each.grounding.score)) scores.push_back(each.grounding.score);
  }
  return scores;
}

void print_cases(const char* title, const std::vector<JudgedCase>& cases) {
  std::printf("%-34s  cases    AUC  grounded  weak  not grounded  cannot say\n", title);
  for (const Kind& kind : kinds_of(cases)) {
    const double area = area_of(cases, kind);
    char shown[16] = "     -";
    if (std::isfinite(area)) std::snprintf(shown, sizeof shown, "%6.3f", area);
    long long counts[std::size(kVerdicts)];
    for (size_t i = 0; i < std::size(kVerdicts); ++i) counts[i] = count(cases, kind, &kVerdicts[i]);
    std::printf("%s %-32s %6lld %s  %8lld  %4lld  %12lld  %10lld\n", kind.truth == Truth::Supported ? "+" : "-",
                (kind.name + (kind.truth == Truth::Beside ? " *" : "")).c_str(),
                static_cast<long long>(count(cases, kind)), shown, counts[0], counts[1], counts[2], counts[3]);
  }
  const double all = area_under_roc(scores_of(cases, Truth::Supported), scores_of(cases, Truth::Unsupported));
  std::printf("area under the ROC curve            %6.3f\n\n", all);
}

nlohmann::ordered_json json_of(const std::vector<JudgedCase>& cases) {
  nlohmann::ordered_json json = {
      {"auc", rounded(area_under_roc(scores_of(cases, Truth::Supported), scores_of(cases, Truth::Unsupported)))},
      {"kinds", nlohmann::json::array()},
      {"cases", nlohmann::json::array()}};
  for (const Kind& kind : kinds_of(cases)) {
    nlohmann::ordered_json entry = {{"kind", kind.name},
                                    {"supported", kind.truth == Truth::Supported},
                                    {"judged_together", kind.truth != Truth::Beside},
                                    {"cases", count(cases, kind)},
                                    {"auc", rounded(area_of(cases, kind))}};
    for (const Verdict& verdict : kVerdicts) entry[name(verdict)] = count(cases, kind, &verdict);
    json["kinds"].push_back(std::move(entry));
  }
  for (const JudgedCase& each : cases) {
    json["cases"].push_back({{"kind", each.kind},
                             {"supported", each.truth == Truth::Supported},
                             {"judged_together", each.truth != Truth::Beside},
                             {"score", each.grounding.score},  // null: there is none
                             {"verdict", name(each.grounding.verdict)}});
  }
  return json;
}

void print_judged(const EvaluateArguments& arguments, const std::string& inputs, const std::string& model,
                  const std::vector<JudgedCase>& answers, const std::vector<JudgedCase>& words) {
  if (arguments.json) {
    const nlohmann::ordered_json json = {
        {inputs, arguments.scenes}, {"seed", arguments.seed}, {"answers", json_of(answers)}, {"words", json_of(words)}};
    std::printf("%s\n", json.dump(1).c_str());
    return;
  }
  std::printf("%lld %s from seed %llu that training never %s, %s\n\n", static_cast<long long>(arguments.scenes),
              inputs.c_str(), static_cast<unsigned long long>(arguments.seed), inputs == "recordings" ? "heard" : "saw",
              model.c_str());
  print_cases("answers", answers);
  print_cases("words", words);
  std::printf("+ supported by the input, - not; * left out of the area below the table\n");
}

}  // namespace gaze::cli

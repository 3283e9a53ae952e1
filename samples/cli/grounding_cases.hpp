// SPDX-License-Identifier: MIT
// Verdicts on answers whose truth is known, or assumed, and how well they tell it.
#pragma once

#include <gaze/render/grounding.hpp>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace gaze::cli {

struct EvaluateArguments;

enum class Truth {
  Supported,    ///< by the input
  Unsupported,  ///< and of the kinds that are judged together
  Beside        ///< not supported, and told apart from the other kinds
};

struct JudgedCase {
  std::string kind;
  Truth truth = Truth::Supported;
  Grounding grounding;
};

/// Of an answer without words.
inline const Grounding kNothingSaid = {};

/// The probability that a supported case has the higher score than an unsupported one, a tie counting half: the area
/// under the ROC curve, by ranks (Mann and Whitney). NaN where either is empty. Scores are finite.
double area_under_roc(const std::vector<double>& supported, const std::vector<double>& unsupported);

/// Linear interpolation between order statistics; `values` must not be empty. @param share  0..1
double quantile_of(std::vector<double> values, double share);

/// Scores of cases; those without one are left out.
std::vector<double> scores_of(const std::vector<JudgedCase>& cases, Truth truth, const std::string& kind = "");

/// A table for people: per kind how many, the area against all that is supported, and how many got each verdict.
void print_cases(const char* title, const std::vector<JudgedCase>& cases);

/// {"auc", "kinds": [{"kind", "supported", "judged_together", "cases", "auc", verdict: count, ...}], "cases": [...]}
nlohmann::ordered_json json_of(const std::vector<JudgedCase>& cases);

/// What `gaze evaluate --grounding` prints, for people or as JSON. @param inputs  "scenes" or "recordings"
void print_judged(const EvaluateArguments& arguments, const std::string& inputs, const std::string& model,
                  const std::vector<JudgedCase>& answers, const std::vector<JudgedCase>& words);

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "analysis.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>

namespace gaze {
namespace {

void check_shapes(const AttentionRecord& record) {
  const auto refuse = [](const std::string& text) { throw Error(text, DropReason::ShapeMismatch); };
  if (record.map_tc.dim() != 2) {
    refuse("record.map_tc: expected [tokens, cells], got " + std::to_string(record.map_tc.dim()) + " dimensions.");
  }
  const int64_t tokens = record.map_tc.size(0);
  const auto check_row = [&](const char* field, const at::Tensor& tensor) {
    if (tensor.defined() && tensor.dim() == 1 && tensor.size(0) == tokens) return;
    const std::string got = !tensor.defined()   ? "nothing"
                            : tensor.dim() == 1 ? std::to_string(tensor.size(0))
                                                : std::to_string(tensor.dim()) + " dimensions";
    refuse(std::string("record.") + field + ": expected " + std::to_string(tokens) + " values, one per token, got " +
           got + ".");
  };
  check_row("mass_t", record.mass_t);
  check_row("visible_t", record.visible_t);
  check_row("flags_t", record.flags_t);
}

void check_rows(const AttentionRecord& record, const at::Tensor& flags_t) {
  const auto* flags = flags_t.const_data_ptr<int32_t>();
  for (int64_t t = 0; t < flags_t.size(0); ++t) {
    if ((flags[t] & ops::kRowNonFinite) != 0) {
      throw Error("attention: expected finite weights, got NaN or infinity in the row of token " + std::to_string(t) +
                      ". Check the model's input and precision; no overlay is drawn from broken weights.",
                  DropReason::NonFinite);
    }
    if ((flags[t] & ops::kRowSum) != 0) {
      throw Error("attention: expected rows that sum to 1, got another sum in the row of token " + std::to_string(t) +
                      ". Select a site whose tensor is the softmax over keys (gaze sites).",
                  DropReason::RowSum);
    }
  }
  if (!at::isfinite(record.map_tc).all().item<bool>() || !at::isfinite(record.mass_t).all().item<bool>()) {
    throw Error("attention: expected a finite map, got NaN or infinity. Check the model's input and precision.",
                DropReason::NonFinite);
  }
}

void check_record(const AttentionRecord& record, const at::Tensor& flags_t) {
  check_rows(record, flags_t);
  const int64_t tokens = record.map_tc.size(0);
  if (static_cast<int64_t>(record.labels.size()) > tokens) {
    throw Error("labels: expected at most " + std::to_string(tokens) + " (one per captured token), got " +
                    std::to_string(record.labels.size()) + ". Label only the tokens the model generated.",
                DropReason::Labels);
  }
  check(record.geometry);
  if (record.map_tc.size(1) != record.geometry.cells()) {
    throw Error("geometry: expected a map of " + std::to_string(record.geometry.rows) + " x " +
                    std::to_string(record.geometry.cols) + " = " + std::to_string(record.geometry.cells()) +
                    " cells, got " + std::to_string(record.map_tc.size(1)) + ". Correct rows and cols.",
                DropReason::GridMismatch);
  }
  if (record.keys > 0) check_keys(record.geometry, record.keys, false);
}

std::vector<Word> find_words(const AttentionRecord& record) {
  if (!record.labels.empty()) return merge_words(record.labels);
  std::vector<Word> words;
  for (int64_t t = 0; t < record.map_tc.size(0); ++t) words.push_back({.text = {}, .first = t, .count = 1});
  return words;
}

at::Tensor merge_rows(const at::Tensor& rows_tc, const std::vector<Word>& words) {
  if (words.empty()) return rows_tc.narrow(0, 0, 0);
  std::vector<at::Tensor> merged;
  for (const Word& word : words) merged.push_back(rows_tc.narrow(0, word.first, word.count).mean(0));
  return at::stack(merged);
}

// 0..1 of each row's own minimum and maximum; a constant row is 0.
at::Tensor min_max(const at::Tensor& shown_wc) {
  const at::Tensor low = shown_wc.amin({1}, true);
  const at::Tensor width = shown_wc.amax({1}, true) - low;
  return at::where(width > 0, (shown_wc - low) / width, at::zeros_like(shown_wc));
}

// The figures of raw maps, by the rules of ops::normalise.
void describe(const at::Tensor& lift_wc, std::vector<Finding*> findings) {
  const at::Tensor visible_w = at::ones({lift_wc.size(0)}, lift_wc.options());
  const ops::Normalised figures = ops::normalise(lift_wc, visible_w, {.subtract_sinks = false});
  const at::Tensor max_lift_w = figures.max_lift_t.cpu();
  const at::Tensor entropy_w = figures.entropy_t.cpu();
  const at::Tensor diffuse_w = figures.diffuse_t.cpu();
  for (size_t w = 0; w < findings.size(); ++w) {
    findings[w]->max_lift = max_lift_w.const_data_ptr<float>()[w];
    findings[w]->entropy = entropy_w.const_data_ptr<float>()[w];
    findings[w]->diffuse = diffuse_w.const_data_ptr<bool>()[w];
  }
}

void describe_words(const AttentionRecord& record, const at::Tensor& flags_t, Analysis& analysis) {
  const at::Tensor mass_t = record.mass_t.to(at::kCPU, at::kFloat).contiguous();
  std::vector<Finding*> findings;
  for (Finding& finding : analysis.words) {
    for (int64_t t = finding.word.first; t < finding.word.first + finding.word.count; ++t) {
      finding.mass += mass_t.const_data_ptr<float>()[t] / static_cast<double>(finding.word.count);
      finding.flags |= flags_t.const_data_ptr<int32_t>()[t];
    }
    findings.push_back(&finding);
  }
  describe(analysis.lift_wc, findings);
}

void set_values(const ops::NormaliseOptions& options, Analysis& analysis) {
  const at::Tensor peak_w = analysis.shown_wc.amax({1}).cpu();
  analysis.value_wc =
      options.per_map_min_max ? min_max(analysis.shown_wc) : (analysis.shown_wc / analysis.range_max_lift).clamp(0, 1);
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    Finding& finding = analysis.words[w];
    finding.range_max_lift = options.per_map_min_max ? peak_w.const_data_ptr<float>()[w] : analysis.range_max_lift;
  }
}

// The mean over words that look at different places is low everywhere, so it has a range of its own.
// An answer without words (special tokens only) is summarised over its tokens.
void summarise(const ops::Normalised& tokens, const ops::NormaliseOptions& options, Analysis& analysis) {
  const bool has_words = !analysis.words.empty();
  Finding& summary = analysis.summary;
  analysis.lift_c = (has_words ? analysis.lift_wc : tokens.lift_tc).mean(0);
  analysis.shown_c = (has_words ? analysis.shown_wc : tokens.shown_tc).mean(0);
  describe(analysis.lift_c.unsqueeze(0), {&summary});
  if (has_words) {
    // Focused words that differ make a wide mean; that is not what "diffuse" says.
    summary.diffuse =
        std::all_of(analysis.words.begin(), analysis.words.end(), [](const Finding& f) { return f.diffuse; });
    for (const Finding& finding : analysis.words) {
      summary.mass += finding.mass / static_cast<double>(analysis.words.size());
      summary.flags |= finding.flags;
    }
  } else {
    summary.mass = analysis.mass_t.mean().item<double>();
  }
  const auto peak = analysis.shown_c.max().item<double>();
  summary.range_max_lift = peak > 0 ? peak : 1;
  analysis.value_c = options.per_map_min_max ? min_max(analysis.shown_c.unsqueeze(0)).squeeze(0)
                                             : analysis.shown_c / summary.range_max_lift;
}

}  // namespace

Analysis analyse(const AttentionRecord& record) {
  if (!record.error.empty()) throw Error(record.error, record.error_reason);
  if (!record.map_tc.defined() || record.map_tc.size(0) == 0) {
    throw Error(
        "attention: expected at least 1 captured token, got 0. No selected site ran while the request was open: "
        "check the profile's sites against gaze sites.",
        DropReason::NoAttention);
  }
  check_shapes(record);
  const at::Tensor flags_t = record.flags_t.to(at::kCPU, at::kInt).contiguous();
  check_record(record, flags_t);

  std::vector<Word> words = find_words(record);
  const int64_t tokens = record.labels.empty() ? record.map_tc.size(0) : static_cast<int64_t>(record.labels.size());
  Analysis analysis;
  analysis.map_tc = record.map_tc.narrow(0, 0, tokens).to(at::kFloat).contiguous();
  analysis.mass_t = record.mass_t.narrow(0, 0, tokens).to(at::kFloat).contiguous();
  const at::Tensor visible_t = record.visible_t.narrow(0, 0, tokens).to(at::kFloat).contiguous();
  const ops::Normalised normalised = ops::normalise(analysis.map_tc, visible_t, record.style.normalise);
  analysis.lift_tc = normalised.lift_tc;
  analysis.range_max_lift = normalised.range_max.item<double>();
  analysis.sinks_subtracted = normalised.sinks_subtracted;
  analysis.lift_wc = merge_rows(normalised.lift_tc, words);
  analysis.shown_wc = merge_rows(normalised.shown_tc, words);
  for (Word& word : words) analysis.words.push_back({.word = std::move(word)});
  if (!analysis.words.empty()) {
    describe_words(record, flags_t, analysis);
    set_values(record.style.normalise, analysis);
  }
  summarise(normalised, record.style.normalise, analysis);
  return analysis;
}

}  // namespace gaze

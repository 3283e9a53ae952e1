// SPDX-License-Identifier: MIT
#include "maps/map_analysis.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/quantile.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "codecs/base_picture.hpp"
#include "device/device_event.hpp"
#include "maps/content_words.hpp"
#include "maps/grounding.hpp"
#include "maps/hottest.hpp"
#include "maps/keys_to_cells.hpp"
#include "maps/row_notes.hpp"

namespace gaze {
namespace {

/// @param tokens  of the record's first map
void check_shapes(const MediumMap& map, int64_t tokens) {
  const auto refuse = [](const std::string& text) { throw Error(text, DropReason::ShapeMismatch); };
  if (!map.map_tk.defined() || map.map_tk.dim() != 2) {
    refuse("record.map_tk: expected [tokens, keys], got " +
           std::to_string(map.map_tk.defined() ? map.map_tk.dim() : 0) + " dimensions.");
  }
  if (map.tokens() != tokens) {
    refuse("record.map_tk: expected the " + std::to_string(tokens) + " tokens of the record's first map, got " +
           std::to_string(map.tokens()) + ".");
  }
  const auto check_row = [&](const char* field, const at::Tensor& tensor) {
    if (tensor.defined() && tensor.dim() == 1 && tensor.size(0) == tokens) return;
    const std::string got = !tensor.defined()   ? "nothing"
                            : tensor.dim() == 1 ? std::to_string(tensor.size(0))
                                                : std::to_string(tensor.dim()) + " dimensions";
    refuse(std::string("record.") + field + ": expected " + std::to_string(tokens) + " values, one per token, got " +
           got + ".");
  };
  check_row("mass_t", map.mass_t);
  check_row("visible_t", map.visible_t);
  check_row("flags_t", map.flags_t);
}

void check_rows(const std::vector<int32_t>& flags_t, bool finite) {
  for (size_t t = 0; t < flags_t.size(); ++t) {
    if ((flags_t[t] & ops::kRowNonFinite) != 0) {
      throw Error("attention: expected finite weights, got NaN or infinity in the row of token " + std::to_string(t) +
                      ". Check the model's input and precision; no overlay is drawn from broken weights.",
                  DropReason::NonFinite);
    }
    if ((flags_t[t] & ops::kRowSum) != 0) {
      throw Error("attention: expected rows that sum to 1, got another sum in the row of token " + std::to_string(t) +
                      ". Select a site whose tensor is the softmax over keys (gaze sites).",
                  DropReason::RowSum);
    }
    if ((flags_t[t] & ops::kRowBeyond) != 0) {
      throw Error(
          "geometry: expected a row of the cells' keys alone, whatever else it holds masked, got visible keys beyond "
          "them. Correct the geometry's size, say in first_key or spans where its keys lie, or select another site.",
          DropReason::GridMismatch);
    }
  }
  if (!finite) {
    throw Error("attention: expected a finite map, got NaN or infinity. Check the model's input and precision.",
                DropReason::NonFinite);
  }
}

void check_facts(const AttentionRecord& record, const MediumMap& map) {
  const Geometry& geometry = map.geometry();
  check_labels(record);
  check(geometry);
  if (std::holds_alternative<SoundMedium>(map.medium) != geometry.time.has_value()) {
    throw Error(std::string("geometry.time: expected it with a sound, and with nothing else, got a ") +
                    noun(map.medium) + (geometry.time ? " with it." : " without."),
                DropReason::GridMismatch);
  }
  if (std::holds_alternative<TextMedium>(map.medium) != geometry.text) {
    throw Error(std::string("geometry.text: expected it with a text, and with nothing else, got a ") +
                    noun(map.medium) + (geometry.text ? " with it." : " without."),
                DropReason::GridMismatch);
  }
  if (map.map_tk.size(1) != geometry.span()) {
    const bool cells_alone = geometry.span() == geometry.cells();
    throw Error("geometry: expected a map of " + std::to_string(geometry.grid_rows()) + " x " +
                    std::to_string(geometry.grid_cols()) + (cells_alone ? " = " : " cells, with what stands between ") +
                    std::to_string(geometry.span()) + (cells_alone ? " cells, got " : " keys, got ") +
                    std::to_string(map.map_tk.size(1)) + ". Correct rows and cols.",
                DropReason::GridMismatch);
  }
  if (record.keys > 0 && !map.through && !geometry.text) check_keys(geometry, record.keys, false);
}

at::Tensor finite(const MediumMap& map) {
  return at::isfinite(map.map_tk).all().logical_and(at::isfinite(map.mass_t).all());
}

std::vector<Word> find_words(const AttentionRecord& record, int64_t tokens, std::optional<WordRule>& rule) {
  if (record.words) return *record.words;
  if (!record.labels.empty()) {
    // Those of tokens beyond the limit have no row.
    const auto kept = std::min(record.labels.size(), static_cast<size_t>(tokens));
    return merge_words({record.labels.begin(), record.labels.begin() + static_cast<std::ptrdiff_t>(kept)},
                       record.spelling.get(), &rule.emplace());
  }
  std::vector<Word> words;
  for (int64_t t = 0; t < tokens; ++t) words.push_back({.text = {}, .first = t, .count = 1});
  return words;
}

// Makes one row of a word's tokens.
class Merge {
 public:
  /// @param weight_t  what a token counts beside the others of its word, > 0
  Merge(const std::vector<WordFacts>& words, const at::Tensor& weight_t) : words_(words), weight_t_(weight_t) {}

  // The mean over words, then each word. An answer without words (special tokens only) is summarised over its tokens.
  [[nodiscard]] at::Tensor rows(const at::Tensor& rows_tc) const {
    if (words_.empty()) return rows_tc.mean(0, true);
    std::vector<at::Tensor> merged;
    for (const WordFacts& facts : words_) merged.push_back(row(rows_tc, facts.word));
    const at::Tensor rows_wc = at::stack(merged);
    return at::cat({rows_wc.mean(0, true), rows_wc});
  }

  // As above, but each cell's mean is over the words that reach it.
  [[nodiscard]] at::Tensor where_reached(const at::Tensor& rows_tc, const at::Tensor& reach_tc) const {
    at::Tensor merged_lc = rows(rows_tc);
    const at::Tensor reach_c = rows(reach_tc)[0];
    at::Tensor mean_c = merged_lc[0];
    mean_c.copy_(at::where(reach_c > 0, mean_c / reach_c, at::zeros_like(mean_c)));
    return merged_lc;
  }

 private:
  [[nodiscard]] at::Tensor row(const at::Tensor& rows_tc, const Word& word) const {
    if (word.count == 1) return rows_tc[word.first];
    const at::Tensor weight_t1 = weight_t_.narrow(0, word.first, word.count).unsqueeze(1);
    return (rows_tc.narrow(0, word.first, word.count) * weight_t1).sum(0) / weight_t1.sum();
  }

  const std::vector<WordFacts>& words_;
  const at::Tensor weight_t_;
};

// What is said of raw maps, of words or of tokens, by the rules of ops::normalise.
struct RawFacts {
  at::Tensor max_lift_l, entropy_l, diffuse_l;

  // Sub-words that look nowhere in particular must not hide the one that points; of a flat word all count the same.
  [[nodiscard]] at::Tensor focus(const at::Tensor& mass_l) const {
    constexpr double kLeast = 1e-6;
    return (mass_l * (1 - entropy_l)).clamp_min(kLeast);
  }

  // Maps that have only some of the `keys` they were measured over.
  void spread_over(const at::Tensor& reached_l, int64_t keys) {
    if (keys < 2) return;
    entropy_l = (entropy_l * std::log(static_cast<double>(keys)) / reached_l.clamp_min(2).log()).clamp_max(1);
    diffuse_l = diffuse_l.logical_or(entropy_l > ops::kDiffuseEntropy);
  }
  void replace_first(const RawFacts& first) {
    max_lift_l.narrow(0, 0, 1).copy_(first.max_lift_l);
    entropy_l.narrow(0, 0, 1).copy_(first.entropy_l);
    diffuse_l.narrow(0, 0, 1).copy_(first.diffuse_l);
  }
};

RawFacts raw_facts(const at::Tensor& lift_lc) {
  const at::Tensor once_l = at::ones({lift_lc.size(0)}, lift_lc.options());
  const ops::Normalised raw = ops::normalise(lift_lc, once_l, {.subtract_sinks = false});
  return {raw.max_lift_t, raw.entropy_t, raw.diffuse_t};
}

// 0..1 of each row's own minimum and maximum; a constant row is 0.
at::Tensor min_max(const at::Tensor& shown_lc) {
  const at::Tensor low = shown_lc.amin({1}, true);
  const at::Tensor width = shown_lc.amax({1}, true) - low;
  return at::where(width > 0, (shown_lc - low) / width, at::zeros_like(shown_lc));
}

// The words share the request's range. Their mean, which looks at different places, is low everywhere: it has its own.
at::Tensor values(const Analysis& analysis, const at::Tensor& peak_l, const at::Tensor& range_max, bool per_map) {
  if (per_map) return min_max(analysis.shown_lc);
  const at::Tensor peak = peak_l.narrow(0, 0, 1);
  const at::Tensor summary_range = at::where(peak > 0, peak, at::ones_like(peak));
  const at::Tensor range_l = at::cat({summary_range, range_max.expand({peak_l.size(0) - 1})});
  return (analysis.shown_lc / range_l.unsqueeze(1)).clamp(0, 1);
}

// Over minutes of sound one word would make all others pale: the mean's range ends where it does for nine words of ten,
// each at its own hottest cell.
void lower_summary_range(const Analysis& analysis, at::Tensor& peak_l) {
  constexpr double kShareOfWords = 0.9;
  const at::Tensor hottest_w = analysis.shown_wc().argmax(1);
  const at::Tensor high = at::quantile(analysis.shown_lc[0].index_select(0, hottest_w), kShareOfWords);
  peak_l[0].copy_(at::where(high > 0, high, peak_l[0]));
}

// Reads what `analyse` packed, in the same order.
class Readback {
 public:
  explicit Readback(const at::Tensor& host) : host_(host), next_(host_.const_data_ptr<double>()) {}
  const double* take(size_t count) { return std::exchange(next_, next_ + count); }

 private:
  at::Tensor host_;
  const double* next_;
};

template <typename Value>
void take_tokens(Readback& figures, size_t tokens, std::vector<Value>& values) {
  const double* row = figures.take(tokens);
  values.assign(row, row + tokens);
}

// Of every token that was asked for.
struct TokenShapes {
  std::vector<double> max_lift, entropy;
  std::vector<bool> diffuse;
};

void describe_words(const TokenFacts& tokens, const TokenShapes& shapes, std::vector<WordFacts>& words) {
  for (WordFacts& facts : words) {
    facts.content = has_content(facts.word);
    for (int64_t i = facts.word.first; i < facts.word.first + facts.word.count; ++i) {
      const auto t = static_cast<size_t>(i);
      facts.mass += tokens.mass[t] / static_cast<double>(facts.word.count);
      facts.flags |= tokens.flags[t];
      const double focus = tokens.mass[t] * (1 - shapes.entropy[t]);
      if (facts.sharpest.token >= 0 && focus <= facts.sharpest.focus) continue;
      facts.sharpest = {i, shapes.max_lift[t], shapes.entropy[t], tokens.mass[t], focus};
      facts.diffuse = shapes.diffuse[t];
    }
  }
}

void describe_maps(Readback& figures, const double* peak_l, bool per_map, Analysis& analysis) {
  std::vector<WordFacts*> factss = {&analysis.summary};
  for (WordFacts& facts : analysis.words) factss.push_back(&facts);
  const size_t maps = factss.size();
  const double* max_lift_l = figures.take(maps);
  const double* entropy_l = figures.take(maps);
  const double* diffuse_l = figures.take(maps);
  for (size_t l = 0; l < maps; ++l) {
    factss[l]->max_lift = max_lift_l[l];
    factss[l]->entropy = entropy_l[l];
    // No stamp on a word whose sharpest token points.
    factss[l]->diffuse = diffuse_l[l] != 0 && (l == 0 || factss[l]->diffuse);
    factss[l]->range_max_lift = per_map ? peak_l[l] : analysis.range_max_lift;
  }
  analysis.summary.range_max_lift = peak_l[0] > 0 ? peak_l[0] : 1;
}

// A key frame's mass in equal parts on the frames that share it.
void describe_frames(Readback& figures, const Video& video, Analysis& analysis) {
  const auto describe = [&](WordFacts& facts) {
    const double* mass_f = figures.take(static_cast<size_t>(video.key_frames()));
    for (int64_t frame = 0; frame < video.frames; ++frame) {
      facts.frame_mass.push_back(mass_f[frame / video.temporal_merge] / static_cast<double>(video.temporal_merge));
    }
  };
  describe(analysis.summary);
  for (WordFacts& facts : analysis.words) describe(facts);
}

void describe_hot(const double* hot_l, const Placement& placement, Analysis& analysis) {
  const auto place = [&](double hot, WordFacts& facts) {
    if (hot < 0) return;
    const auto index = static_cast<int64_t>(hot);
    facts.hot_x = static_cast<double>(index % placement.width);
    facts.hot_y = static_cast<double>(index / placement.width);
  };
  place(*hot_l, analysis.summary);
  for (WordFacts& facts : analysis.words) place(*++hot_l, facts);
}

// Over the words that have content, or all where none has.
void summarise_sharpest(const std::vector<WordFacts>& words, SharpestToken& mean) {
  const bool any = std::any_of(words.begin(), words.end(), [](const WordFacts& facts) { return facts.content; });
  double count = 0;
  for (const WordFacts& facts : words) {
    if (any && !facts.content) continue;
    ++count;
    mean.max_lift += facts.sharpest.max_lift;
    mean.entropy += facts.sharpest.entropy;
    mean.mass += facts.sharpest.mass;
    mean.focus += facts.sharpest.focus;
  }
  for (double* sum : {&mean.max_lift, &mean.entropy, &mean.mass, &mean.focus}) *sum /= count;
}

void summarise(size_t tokens, Analysis& analysis) {
  WordFacts& summary = analysis.summary;
  const std::vector<WordFacts>& words = analysis.words;
  if (words.empty()) {
    for (size_t t = 0; t < tokens; ++t) summary.mass += analysis.tokens.mass[t] / static_cast<double>(tokens);
    return;
  }
  // Focused words that differ make a wide mean; that is not what "diffuse" says.
  summary.diffuse = std::all_of(words.begin(), words.end(), [](const WordFacts& f) { return f.diffuse; });
  for (const WordFacts& facts : words) {
    summary.mass += facts.mass / static_cast<double>(words.size());
    summary.flags |= facts.flags;
  }
  summarise_sharpest(words, summary.sharpest);
}

}  // namespace

void check_record(const AttentionRecord& record, const ops::Route& route) {
  if (!record.error.empty()) throw Error(record.error, record.error_reason);
  if (record.maps.empty() || record.maps.front().tokens() == 0) {
    throw Error(
        "attention: expected at least 1 captured token, got 0. No selected site ran while the request was open: "
        "check the profile's sites against gaze sites.",
        DropReason::NoAttention);
  }
  for (const MediumMap& map : record.maps) {
    check_shapes(map, record.maps.front().tokens());
    try {
      check_facts(record, map);
    } catch (const Error&) {
      // Broken weights are the graver fault, and cost a transfer to see.
      Readback figures(fetch(pack({map.flags_t, finite(map)}), route, ops::Cargo::Figures));
      std::vector<int32_t> flags_t;
      take_tokens(figures, static_cast<size_t>(map.tokens()), flags_t);
      check_rows(flags_t, *figures.take(1) != 0);
      throw;
    }
  }
}

Analysis analyse(const AttentionRecord& record, const MediumMap& map, const ops::Route& route, const Underlay* picture,
                 const RowLayout* layout) {
  const auto labels = static_cast<int64_t>(record.labels.size());
  const int64_t tokens = labels == 0 ? map.tokens() : std::min(labels, map.tokens());
  const ops::NormaliseOptions& options = record.style.normalise;
  Analysis analysis;
  for (Word& word : find_words(record, map.tokens(), analysis.word_rule))
    analysis.words.emplace_back().word = std::move(word);

  // Enqueued on the device ...
  const CellMaps cells = keys_to_cells(map, record.reduce, route);
  analysis.map_tc = cells.map_tc.narrow(0, 0, tokens).contiguous();
  analysis.mass_t = cells.mass_t.narrow(0, 0, tokens).contiguous();
  analysis.mass_is_exact = cells.mass_is_exact;
  at::Tensor& visible_t = analysis.visible_t;
  visible_t = map.visible_t.narrow(0, 0, tokens).to(at::kFloat).contiguous();
  // Uniform attention stays 1.0 where a cell shows more keys than one.
  if (cells.keys_per_cell != 1) visible_t = visible_t / cells.keys_per_cell;
  const ops::Normalised normalised = ops::normalise(analysis.map_tc, visible_t, options);
  analysis.sinks_subtracted = normalised.sinks_subtracted;
  RawFacts shape{normalised.max_lift_t, normalised.entropy_t, normalised.diffuse_t};  // of tokens
  const at::Tensor reach_tk = layout == nullptr ? at::Tensor() : layout->reach_tk.narrow(0, 0, tokens);
  if (layout != nullptr) shape.spread_over(reach_tk.sum(1), reach_tk.size(1));
  const Merge merge(analysis.words, analysis.focus_t = shape.focus(analysis.mass_t));
  RawFacts raw;
  if (layout == nullptr) {
    analysis.lift_tc = normalised.lift_tc;
    analysis.lift_lc = merge.rows(normalised.lift_tc);
    analysis.shown_lc = merge.rows(normalised.shown_tc);
    raw = raw_facts(analysis.lift_lc);
  } else {
    analysis.lift_tc = layout->lay_out(normalised.lift_tc);
    const at::Tensor reach_tc = layout->lay_out(reach_tk);
    analysis.lift_lc = merge.where_reached(analysis.lift_tc, reach_tc);
    analysis.shown_lc = merge.where_reached(layout->lay_out(normalised.shown_tc), reach_tc);
    raw = raw_facts(merge.rows(normalised.lift_tc));
    raw.spread_over(merge.rows(reach_tk).sum(1), reach_tk.size(1));
    raw.replace_first(raw_facts(analysis.lift_lc.narrow(0, 0, 1)));
  }
  at::Tensor peak_l = analysis.shown_lc.amax({1});
  if (layout != nullptr && !analysis.words.empty()) lower_summary_range(analysis, peak_l);
  analysis.value_lc = values(analysis, peak_l, normalised.range_max, options.per_map_min_max);
  std::vector<at::Tensor> parts = {cells.mass_t,     map.visible_t,   map.flags_t,     finite(map),
                                   shape.max_lift_l, shape.entropy_l, shape.diffuse_l, normalised.range_max,
                                   peak_l,           raw.max_lift_l,  raw.entropy_l,   raw.diffuse_l};
  if (cells.frame_mass_tf.defined()) {
    const Merge alike(analysis.words, at::ones_like(analysis.mass_t));
    parts.push_back(alike.rows(cells.frame_mass_tf.narrow(0, 0, tokens)));
  }
  if (picture != nullptr) {
    parts.push_back(hottest(analysis.shown_lc, picture->placement, record.style.interpolation, route));
    if (picture->range.defined()) parts.push_back(picture->range);
    if (record.style.contour) analysis.inside_lc = ops::top_mass(analysis.shown_lc, record.style.contour_share);
  }

  // ... and back in one transfer.
  Readback figures(fetch(pack(parts), route, ops::Cargo::Figures));
  const auto captured = static_cast<size_t>(map.tokens());
  take_tokens(figures, captured, analysis.tokens.mass);
  take_tokens(figures, captured, analysis.tokens.visible);
  take_tokens(figures, captured, analysis.tokens.flags);
  check_rows(analysis.tokens.flags, *figures.take(1) != 0);
  TokenShapes shapes;
  take_tokens(figures, static_cast<size_t>(tokens), shapes.max_lift);
  take_tokens(figures, static_cast<size_t>(tokens), shapes.entropy);
  take_tokens(figures, static_cast<size_t>(tokens), shapes.diffuse);
  analysis.range_max_lift = *figures.take(1);
  const size_t maps = 1 + analysis.words.size();
  const double* peaks = figures.take(maps);
  describe_words(analysis.tokens, shapes, analysis.words);
  describe_maps(figures, peaks, options.per_map_min_max, analysis);
  summarise(static_cast<size_t>(tokens), analysis);
  judge(map.grounding, analysis.words, analysis.summary);
  if (const auto& video = map.geometry().video) describe_frames(figures, *video, analysis);
  if (picture != nullptr) {
    describe_hot(figures.take(maps), picture->placement, analysis);
    if (picture->range.defined()) check_range(figures.take(kRangeFigures));
  }
  return analysis;
}

at::Tensor merge_tokens(const std::vector<WordFacts>& words, const at::Tensor& focus_t, const at::Tensor& rows_tn) {
  return Merge(words, focus_t).rows(rows_tn);
}

MapView word_view(const Analysis& analysis, size_t word) {
  const auto row = static_cast<int64_t>(word) + 1;
  return {analysis.value_lc[row], analysis.inside_lc.defined() ? analysis.inside_lc[row] : at::Tensor(),
          analysis.words[word].diffuse};
}

MapView summary_view(const Analysis& analysis) {
  return {analysis.value_lc[0], analysis.inside_lc.defined() ? analysis.inside_lc[0] : at::Tensor(),
          analysis.summary.diffuse};
}

}  // namespace gaze

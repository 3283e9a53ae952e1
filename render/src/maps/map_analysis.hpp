// SPDX-License-Identifier: MIT
// The numbers of a record, before any pixel: checked, merged into words, normalised over the request.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>
#include <gaze/render/word_facts.hpp>

#include <functional>
#include <optional>
#include <vector>

#include "base/for_parts.hpp"
#include "geometry/placement.hpp"
#include "maps/map_painter.hpp"
#include "maps/token_facts.hpp"

namespace gaze {

struct Analysis {
  TokenFacts tokens;  ///< all that were captured
  std::vector<WordFacts> words;
  WordFacts summary;
  at::Tensor map_tc, lift_tc, mass_t;      ///< the tokens that were asked for, over the cells, raw
  at::Tensor visible_t, focus_t;           ///< theirs: keys a row sees, in cells; what each counts within its word
  at::Tensor lift_lc, shown_lc, value_lc;  ///< row 0 is the mean over words, then each word; value is 0..1
  at::Tensor inside_lc;                    ///< bool: what the contours enclose; undefined without contours or picture
  double range_max_lift = 1;
  bool sinks_subtracted = false;
  bool mass_is_exact = true;
  std::optional<WordRule> word_rule;  ///< unset: without labels every token is a word

  [[nodiscard]] at::Tensor lift_wc() const { return lift_lc.narrow(0, 1, lift_lc.size(0) - 1); }
  [[nodiscard]] at::Tensor shown_wc() const { return shown_lc.narrow(0, 1, shown_lc.size(0) - 1); }
};

/// Where rows lie that do not all have their keys in the same place.
struct RowLayout {
  std::function<at::Tensor(const at::Tensor& rows_tk)> lay_out;  ///< [tokens, keys] -> [tokens, cells]
  at::Tensor reach_tk;                                           ///< float32, 1 where a token has a key at all, else 0
};

/// The picture that maps are to be seen on.
struct Underlay {
  const Placement& placement;
  const at::Tensor& range;  ///< of its values, to be checked (base_picture.hpp); undefined: there is nothing to check
};

/// Refuses what must not be drawn, as far as it can be told without the device.
/// @throws gaze::Error with the record's own error, NoAttention, ShapeMismatch, Labels or GridMismatch
void check_record(const AttentionRecord& record, const ops::Route& route);

/// Of one map of a record that was checked. Computes on the map's device, whose figures come back in one transfer of
/// 8 (3 tokens + 3 labels + 2 + 5 (1 + words)) bytes, 24 more for a picture whose range is to be checked, and
/// 8 (1 + words) for each key frame of a video.
/// @param picture  null: no hottest pixels, which makes 4 (1 + words), and no contours
/// @param layout  null: keys are cells. Else rows are normalised over their keys; the mean over words is, in each cell,
///                that over the words which reach it
/// @throws gaze::Error with NonFinite, RowSum or the picture's DecodeFailed
Analysis analyse(const AttentionRecord& record, const MediumMap& map, const ops::Route& route, const Underlay* picture,
                 const RowLayout* layout = nullptr);

/// The mean over words, then each word by the focus of its tokens. @param rows_tn  float32 [tokens, ...]
at::Tensor merge_tokens(const std::vector<WordFacts>& words, const at::Tensor& focus_t, const at::Tensor& rows_tn);

GAZE_FOR_PARTS MapView word_view(const Analysis& analysis, size_t word);
GAZE_FOR_PARTS MapView summary_view(const Analysis& analysis);

}  // namespace gaze

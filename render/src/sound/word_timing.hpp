// SPDX-License-Identifier: MIT
// The numbers of a map over a sound: cut to the recording, normalised, aligned.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/sound.hpp>

#include <optional>
#include <vector>

#include "maps/token_facts.hpp"
#include "sound/sound_parts.hpp"

namespace gaze {

/// Seconds from the recording's own start.
struct TimeSpan {
  double start = 0, end = 0;
};

/// Cell i is heard from first_seconds + i x seconds_per_key on, counted from the recording's own start; cells are those
/// of the recording alone: keys after its end are taken off, and their share is said as mass on padding.
struct SoundAnalysis {
  WordTiming timing;
  Recording recording;
  TokenFacts tokens;                       ///< all that were captured
  std::optional<WordRule> word_rule;       ///< as in Analysis
  at::Tensor value_lc, shown_lc, lift_lc;  ///< float32 [1 + words, cells]: the summary, then each word; value is 0..1
  at::Tensor map_tk;                       ///< the tokens that were asked for, over their part's keys, raw; on the host
  at::Tensor lift_tc, mass_t;              ///< the same tokens', over the cells
  at::Tensor visible_t, focus_t;           ///< theirs, as in Analysis
  std::vector<SoundPart> parts;
  double first_seconds = 0;  ///< may be slightly below 0
  double seconds_per_key = 0;
  std::vector<TimeSpan> reach_w;  ///< what each word's keys cover, within the recording: its windows
  std::vector<float> level_k;     ///< root mean square of the sound under each cell
};

/// Of a map of a record that was checked. Computes on the map's device. The map comes back for alignment (Cargo::Map: 4
/// x tokens x keys of a part); as Cargo::Figures those of `analyse`, 4 x cells of levels, and 8 x (1 + words) of
/// hottest cells.
/// @throws gaze::Error as `analyse`, and DecodeFailed or GridMismatch of the sound
SoundAnalysis analyse_sound(const AttentionRecord& record, const MediumMap& map, const SoundMedium& medium,
                            const ops::Route& route);

/// A model's input is filled up with zeros; samples after the last other one are padding. Without them.
Recording without_padding(Recording recording, const ops::Route& route);

}  // namespace gaze

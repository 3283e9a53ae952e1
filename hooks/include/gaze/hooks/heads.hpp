// SPDX-License-Identifier: MIT
// Finds the few heads whose maps point at what an answer is about, from unlabelled inputs.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/profile.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace c10 {
struct IValue;
}

namespace gaze {

struct HeadsOptions {
  int64_t top = 3;  ///< most heads to choose, and votes of each sample; 1 to 64
  /// Called after every run: how many are done, how many there will be, seconds since the first began.
  std::function<void(int64_t done, int64_t runs, double seconds)> progress = {};
  /// Runs the input of this number in place of the method alone, as the loop of a host that decodes.
  std::function<void(size_t input)> drive = {};
};

/// What one head did. Means over the answer's rows, of all samples.
struct MeasuredHead {
  std::string site;
  int64_t head = 0;            ///< from 0
  double share = 0;            ///< of a row's attention, on the cells of the picture; 0..1
  double spatial_entropy = 0;  ///< nats, >= 0; 0: what lies above the map's mean is one connected region
  double entropy = 0;          ///< of the map over its cells; 0..1, 1: all cells alike
  double change = 0;           ///< of its map over the tokens of one answer; 0: always the same map, 1: no two overlap
  int64_t votes = 0;           ///< samples in which it is among the best
  bool chosen = false;
  std::string discarded;            ///< why it can have no vote; empty: it can
  std::vector<at::Tensor> maps_yx;  ///< of every sample, in order: float32 [rows, cols] on the CPU, mean over its rows
};

struct HeadsResult {
  std::string method;
  int64_t samples = 0;      ///< batch rows of all inputs
  int64_t rows = 0;         ///< rows of attention that each head was measured on
  double least_share = 0;   ///< heads below it were discarded
  double least_change = 0;  ///< heads below it were discarded
  double most_entropy = 0;  ///< heads above it were discarded
  double seconds = 0;
  std::vector<MeasuredHead> heads;  ///< best first: the chosen, by votes, those without a vote, the discarded
};

/// Runs `method` on every element of `inputs` (its arguments, without self) and measures each head of the sites the
/// profile selects on the rows that a capture would take: the last of the first call, then every one-token call. Heads
/// are chosen as in Kang et al., "Your Large Vision-Language Model Only Needs A Few Attention Heads For Visual
/// Grounding" (CVPR 2025): those with little attention on the picture are discarded, then each sample votes for the
/// heads of the lowest spatial entropy, the entropy of the masses of the connected regions (8 neighbours) above the
/// map's mean.
///
/// Also discarded, which the paper does not: heads that spread out (entropy above 0.95, diffuse as in an overlay), and
/// heads that always show the same map, which are sinks. `change` is the mean total variation distance of an answer's
/// maps, each of sum 1, to their mean, over its largest value 1 - 1/rows; where no answer has two rows, that of the
/// samples' mean maps. The thresholds come from the data: `least_share` lies between the two groups that all
/// heads' shares fall into (Otsu 1979; the paper takes the knee of their curve), but is no more than half of the
/// largest; `least_change` is a quarter of the largest change among the heads with that share.
///
/// The module is attached while this runs, and not afterwards; it answers as before.
/// Cost: one run of the method for each input, without gradients, and the rows of every head on the picture, float32
/// [heads, rows, keys of the picture] a site, in host memory while one input is measured.
/// @throws gaze::Error when `top` or the inputs are not as stated, the profile has no geometry or does not fit the
/// module, the method does not exist or reaches no selected site, the weights are not finite, or there are no two rows
/// to compare; what the model throws passes through
GAZE_API HeadsResult find_heads(torch::jit::Module& module, const std::string& method, const Profile& profile,
                                const std::vector<std::vector<c10::IValue>>& inputs, const HeadsOptions& options = {});

/// The chosen heads, by site in the order of the best, for Profile::selected_heads.
/// @throws gaze::Error when none was chosen.
GAZE_API std::vector<SiteHeads> selected_heads(const HeadsResult& result);

}  // namespace gaze

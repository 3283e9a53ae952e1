// SPDX-License-Identifier: MIT
// Measures which keys of each attention site stand for which part of a picture, instead of assuming it.
#pragma once

#include <gaze/hooks/sites.hpp>
#include <gaze/render/profile.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace c10 {
struct IValue;
}

namespace gaze {

struct ProbeOptions {
  int64_t bands = 64;     ///< most strips to perturb per axis, 2 to 4096; a cell should be 3 strips wide or more
  uint64_t seed = 1;      ///< of the perturbation's signs
  double strength = 1.0;  ///< of the perturbation, in standard deviations of the picture; > 0
  /// Called after every run: how many are done, how many there will be, seconds since the first began.
  std::function<void(int64_t done, int64_t runs, double seconds)> progress = {};
};

/// What one key answered to. Pixels are those of the picture argument.
struct ProbedKey {
  bool responds = false;  ///< changes when the picture does
  bool placed = false;    ///< changes more for one region than for others
  bool local = false;     ///< changes mostly for that region
  double x = 0, y = 0;    ///< centre of that region in pixels, from the left and from the top
  double change = 0;      ///< mean squared change per run, relative to the key's square; 0 = never
};

struct ProbedSite {
  Site site;
  std::vector<ProbedKey> keys;       ///< of the site's first call; empty: it did not run
  int64_t responding = 0;            ///< keys that respond
  double local_share = 0;            ///< of the cells' keys, or without a geometry of the responding ones; 0..1
  std::optional<Geometry> geometry;  ///< the layout that the local keys have, when there is one
  bool anchored = true;              ///< false: `last_row_end` of the geometry cannot be told from the keys that follow
  std::string verdict;               ///< one line in plain words
};

struct ProbeResult {
  std::string method;
  int64_t image_argument = 0;
  int64_t width = 0, height = 0;              ///< pixels of the picture argument
  int64_t strip_width = 0, strip_height = 0;  ///< pixels of a perturbed strip
  int64_t runs = 0;
  double seconds = 0;
  std::vector<ProbedSite> sites;  ///< in the order of the method's graph
};

/// Runs `method` on the given arguments and on copies whose picture is perturbed strip by strip, and finds per site
/// which keys respond, where each has its centre, and which geometry that makes. Nothing is placed in the module: a
/// copy of the method's graph is run, without gradients. Probe before `attach`.
///
/// Cost: 2 + ceil(width / strip) + ceil(height / strip) runs of the method, at most 2 + 2 x bands; memory for the keys
/// of the first call of every site, once.
/// @param arguments       of the method, without self; defaults may be left out
/// @param image_argument  index of the picture among them: floating point, [batch, channels, height, width] or
///                        [batch, 1, channels, height, width]
/// @throws gaze::Error    when an argument is not as stated, when two runs on the same input give different keys, and
///                        when the method's graph holds no attention; what the model throws passes through
GAZE_API ProbeResult probe(const torch::jit::Module& module, const std::string& method,
                           const std::vector<c10::IValue>& arguments, int64_t image_argument,
                           const ProbeOptions& options = {});

/// A profile for the sites that would make the overlay: those of the proposed sites that have the geometry of the one
/// with the largest local share; of all sites where no proposed one has a geometry. How the picture became the model's
/// input is not measured: `fit` is Resize.
/// @throws gaze::Error when no site has a geometry.
GAZE_API Profile proposed_profile(const ProbeResult& result);

/// What a profile says against what was measured, one line each; empty: it is verified. Looks at the sites that the
/// profile selects.
/// @throws gaze::Error when the profile has no geometry, or matches no site of the method.
GAZE_API std::vector<std::string> differences(const ProbeResult& result, const Profile& profile);

}  // namespace gaze

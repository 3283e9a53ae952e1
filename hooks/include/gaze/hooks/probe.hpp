// SPDX-License-Identifier: MIT
// Measures which keys of each attention site stand for which part of a picture or a sound, instead of assuming it.
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

/// What the probed argument is. It is floating point, and may have more leading dimensions of size 1.
enum class ProbeMedium {
  Picture,   ///< [batch, channels, height, width], or a spectrogram [batch, height, width]
  Pictures,  ///< several of one prompt, [pictures, channels, height, width] or with a batch of 1 before them: to verify
             ///< a profile with spans, for no layout of several is looked for
  Tiles,     ///< [batch, tiles, channels, height, width]
  Video,     ///< [batch, frames, channels, height, width]
  Patches,   ///< [patches, values] or [batch, patches, values]
  Sound      ///< a waveform [batch, samples], or a spectrogram [batch, bins, frames]
};

/// How the tiles of a picture lie. Two of them one above the other, or side by side: the keys do not always tell.
struct ProbeTiles {
  int64_t rows = 0, cols = 0;  ///< 0: every arrangement is tried
  std::optional<bool>
      thumbnail_first;  ///< a tile more than rows x cols is the whole picture: before or after the others
};

/// Which place of the picture each row of a list of patches is.
struct ProbePatches {
  int64_t frames = 1;          ///< of patches, one after another
  int64_t rows = 0, cols = 0;  ///< patches of a frame; 0: the first two values of every patch are its row and column
  int64_t merge = 1;           ///< patches are listed in groups of merge x merge, that are merged later
};

struct ProbeOptions {
  ProbeMedium medium = ProbeMedium::Picture;
  ProbeTiles tiles = {};        ///< of Tiles
  ProbePatches patches = {};    ///< of Patches
  double seconds_per_step = 0;  ///< of Sound: of a sample or a frame, > 0
  bool time_first = false;      ///< of Sound: the spectrogram is [batch, frames, bins]
  int64_t bands = 64;           ///< most strips to perturb per axis, 2 to 4096; a cell should be 3 strips wide or more
  uint64_t seed = 1;            ///< of the perturbation's signs
  double strength = 1.0;        ///< of the perturbation, in standard deviations of the picture; > 0
  /// Called after every run: how many are done, how many there will be at most, seconds since the first began. There
  /// will be more once strips leave the time of a sound's keys open.
  std::function<void(int64_t done, int64_t runs, double seconds)> progress = {};
};

/// What one key answered to. Pixels are those of the picture argument.
struct ProbedKey {
  bool responds = false;  ///< changes when the picture does
  bool placed = false;    ///< changes more for one region than for others
  bool local = false;     ///< changes mostly for that region
  double x = 0, y = 0;    ///< centre of that region in pixels, from the left and from the top; of a sound, x in steps
  int64_t part = 0;       ///< the picture, the tile or the frame that changes it most
  double change = 0;      ///< mean squared change per run, relative to the key's square; 0 = never
};

struct ProbedSite {
  Site site;
  std::vector<ProbedKey> keys;       ///< of the site's first call; empty: it did not run
  int64_t groups = 1;                ///< rows of keys per picture, windows say; `keys` takes them together
  int64_t responding = 0;            ///< keys that respond
  bool grows = false;                ///< of a sound: half of it gives fewer keys
  double local_share = 0;            ///< of the cells' keys, or without a geometry of the responding ones; 0..1
  std::optional<Geometry> geometry;  ///< the layout that the keys of the overlay's row have, when there is one
  bool anchored = true;              ///< false: `last_row_end` of the geometry cannot be told from the keys that follow
  std::string verdict;               ///< one line in plain words
};

struct ProbeResult {
  std::string method;
  int64_t argument = 0;
  ProbeMedium medium = ProbeMedium::Picture;
  std::string unit;                           ///< "pixels", "patches" of a list, "samples" or "frames" of a sound
  int64_t width = 0, height = 0;              ///< of the picture, of each tile or frame; of a sound its steps and bins
  int64_t parts = 1;                          ///< pictures, tiles or frames
  ProbeTiles tiles = {};                      ///< as stated
  double seconds_per_step = 0;                ///< of a sound
  int64_t silent_steps = 0;                   ///< at the end of a sound: all equal, padding
  int64_t strip_width = 0, strip_height = 0;  ///< of a perturbed strip
  int64_t runs = 0;
  double seconds = 0;
  std::vector<std::vector<int64_t>>
      ids;                        ///< by argument: its first row where it is integers [batch, tokens], else none
  std::vector<ProbedSite> sites;  ///< in the order of the method's graph
};

/// Runs `method` on the given arguments and on copies of one of them that are perturbed strip by strip, and finds per
/// site which keys respond, where each has its centre, and which geometry that makes. Nothing is placed in the module:
/// a copy of the method's graph is run, without gradients. Probe before `attach`.
///
/// Cost: 2 runs of the method, and one for each strip and each tile or frame: at most 2 + 2 x bands + parts, of a
/// spectrogram 3 + bands + 8, of a sound 3 + bands, and 36 more for each time of keys that strips leave open; memory
/// for the keys of the first call of every site, once.
/// @param arguments  of the method, without self; defaults may be left out
/// @param argument   index of the one that is perturbed, as `options.medium` says
/// @throws gaze::Error when an argument is not as stated, when the method's graph changes with training and the module
///                     is in training mode, when two runs on the same input give different keys, and when the graph
///                     holds no attention; what the model throws passes through
GAZE_API ProbeResult probe(const torch::jit::Module& module, const std::string& method,
                           const std::vector<c10::IValue>& arguments, int64_t argument,
                           const ProbeOptions& options = {});

/// A profile for the sites that would make the overlay: those of the proposed sites that have the geometry of the one
/// with the largest local share; of all sites where no proposed one has a geometry. Where the proposed sites' keys are
/// latents, the geometry is that of the sites between, which `through` names, and its span where the latents are. How
/// the picture became the model's input is not measured: `fit` is Resize. Where a shorter sound has fewer keys, their
/// number is left out; the profile says which argument the samples of a waveform are.
/// @throws gaze::Error when no site has a geometry.
GAZE_API Profile proposed_profile(const ProbeResult& result);

/// What a profile says against what was measured, one line each; empty: it is verified. Looks at the sites that the
/// profile selects, or at those of its `through`. A placeholder's spans are those of the ids that the method was given.
/// @throws gaze::Error when the profile has no geometry, matches no site of the method, or has spans that are not those
///                     of the probed pictures.
GAZE_API std::vector<std::string> differences(const ProbeResult& result, const Profile& profile);

/// What `attach` does where a profile says `verify`: probes the method that the inputs are for, `forward` or one that
/// the profile names, by the argument that `image.argument` or `sound.argument` says. A picture is [batch, channels,
/// height, width]; the profile's spans say when they are several of one prompt; with two axes before the channels they
/// are tiles or frames where the geometry has these, else several pictures. A sound is [batch, samples].
/// @throws gaze::Error naming every difference; when the profile lacks a geometry or that argument; and as `probe`.
GAZE_API void verify(const torch::jit::Module& module, const Profile& profile, const std::vector<c10::IValue>& inputs);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What the keys that a map is over stand for, and where they lie on it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/geometry.hpp>
#include <gaze/render/picture.hpp>
#include <gaze/render/prompt_text.hpp>
#include <gaze/render/site_use.hpp>
#include <gaze/render/token_spelling.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gaze {

/// A recording as the host has it; decoding happens on the worker.
struct GAZE_API Sound {
  at::Tensor samples = {};     ///< [samples] or [channels, samples]; floating -1..1 or 16-bit integers; any device
  int64_t sample_rate_hz = 0;  ///< of the tensor
  std::string path = {};       ///< an audio file instead
  double start_seconds = 0;    ///< where it begins in a longer recording: times are told from that one's start
  bool padded = false;         ///< the tensor is a model's input: zeros at its end are padding, not silence

  [[nodiscard]] bool empty() const { return !samples.defined() && path.empty(); }
};

/// From this token on, time 0 of the keys lies at `start_seconds` of the sound.
struct SoundWindow {
  int64_t first_token = 0;
  double start_seconds = 0;
  double seconds = std::numeric_limits<double>::infinity();  ///< of the sound, from there on; keys behind are padding
};

struct PictureMedium {
  Geometry geometry;  ///< resolved; without `time`
  Picture picture;
  PictureSize original = {};  ///< set where `picture` is a smaller copy: what the geometry and all places are told of
};

struct SoundMedium {
  Geometry geometry;  ///< resolved; with `time`
  Sound sound;
  std::vector<SoundWindow> windows;  ///< ascending; empty: one that begins with the sound
};

/// Keys of another medium among a text's.
struct KeysBetween {
  std::string noun;  ///< "picture"
  KeySpan span;
};

struct TextMedium {
  Geometry geometry;  ///< with `text`: the prompt's tokens, and the answer's where they are keys
  Text text;
  at::Tensor ids_k = {};    ///< of the prompt, as the model was given them: int64 [tokens], any device; else undefined
  int64_t prompt_key = 0;   ///< where the prompt's tokens begin among the keys: before it is what was cached earlier
  int64_t answer_key = -1;  ///< where the answer's own tokens begin among the keys; -1: they are none
  std::vector<KeysBetween> between = {};                            ///< rising
  std::vector<TextMarker> markers = {};                             ///< of the profile
  std::shared_ptr<const std::vector<std::string>> vocabulary = {};  ///< texts of ids; null: not known
  std::shared_ptr<const TokenSpelling> spelling = {};  ///< of the vocabulary; null: told by the tokens themselves
  std::vector<SiteUse> sites = {};                     ///< that looked at it, where it has some of its own
};

/// A closed set: who adds an alternative is told by the compiler, at every std::visit, what it has to be taught.
using Medium = std::variant<PictureMedium, SoundMedium, TextMedium>;

/// The medium whose keys have this geometry, without its content.
GAZE_API Medium medium_of(Geometry geometry);
/// "picture", "sound", "text".
GAZE_API const char* noun(const Medium& medium) noexcept;

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The JSON that tells which sites, which key span and which geometry a model has.
#pragma once

#include <gaze/ops/colour.hpp>
#include <gaze/ops/reduce.hpp>
#include <gaze/render/geometry.hpp>
#include <gaze/render/grounding_limits.hpp>
#include <gaze/render/prompt_text.hpp>
#include <gaze/render/token_rows.hpp>
#include <gaze/render/token_spelling.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// Where the base picture and the answer's rows are found in a model's own calls.
struct ImageInput {
  std::map<std::string, int64_t>
      argument;                   ///< method -> index of the picture among the call's arguments (without self)
  std::vector<float> mean, std;   ///< pixel = tensor * std + mean; both of 1 or 3 values, or empty
  int64_t width = 0, height = 0;  ///< 0 = any
};

/// Where the recording is found in a model's own calls: floating [batch, samples] or [batch, channels, samples], which
/// zeros at the end may fill up.
struct SoundInput {
  std::map<std::string, int64_t> argument;  ///< method -> index of the samples among the call's arguments
  int64_t sample_rate_hz = 0;
  /// With `time`: where its keys lie in rows that hold a picture's as well, whose geometry is then the profile's own.
  std::optional<Geometry> beside = {};
};

/// The prompt's own token ids say where its pictures are: each run of one id is the keys of one picture.
struct PlaceholderSpans {
  int64_t placeholder = 0;                  ///< the id that stands in the prompt once for every key of a picture
  std::map<std::string, int64_t> argument;  ///< method -> index of the ids [batch, tokens] among the call's arguments
};

/// The prompt, where its words are to be seen: by itself, or beside the picture or sound that geometry is for.
struct TextInput {
  std::map<std::string, int64_t> argument;  ///< method -> index of the ids [batch, tokens] among the call's arguments
  std::vector<std::string> sites;           ///< glob patterns; empty: those of the profile
  std::vector<TextMarker> markers;          ///< which parts a prompt has
};

/// Heads of one site.
struct SiteHeads {
  std::string site;            ///< its whole name
  std::vector<int64_t> heads;  ///< from 0, each once; at most 64, below 256
};

/// The attention that stands between the picture and the selected sites, whose keys are then latents instead of the
/// picture's: a resampler's (Q-Former, perceiver), or an encoder's self-attention.
struct Through {
  std::vector<std::string> sites;  ///< glob patterns
  bool rollout = false;            ///< the product over layers of an encoder's self-attention, instead of their mean
};

struct Profile {
  std::string name = "unnamed";
  std::vector<std::string> sites;        ///< glob patterns of site names, `*` matches within the whole name
  std::optional<ops::HeadReduce> heads;  ///< unset: the library's default
  int64_t head = 0, top_k = 3;
  /// Only these sites of the matched ones count, and of each only these heads; empty: all heads of all.
  std::vector<SiteHeads> selected_heads;
  std::optional<ops::LayerReduce> layers;
  int64_t first_layer = 0, last_layer = -1;  ///< range over the matched sites in order, inclusive; -1 = last
  std::optional<Through> through;  ///< geometry then describes these sites' keys, its spans and first_key the latents
  /// Whether a picture's map is carried on through the encoder whose positions the keys are, where the model shows one.
  bool encoder = true;
  TokenRows rows;  ///< which rows of the sites' calls are tokens
  std::optional<ImageInput> image;
  std::optional<SoundInput> sound;
  std::optional<TextInput> text;
  std::optional<Geometry> geometry;
  std::optional<GroundingLimits> grounding;  ///< of the first medium, with this profile's heads and layers
  bool verify = false;                       ///< `attach` measures the geometry, and throws where it is another
  std::optional<PlaceholderSpans> spans;     ///< for geometries that say neither spans nor first_key
  std::vector<std::string> vocabulary;       ///< text of token ids, read from `vocabulary_file`
  /// How the vocabulary's texts are written; null: told by an answer's labels.
  std::shared_ptr<const TokenSpelling> spelling;
  std::string vocabulary_file;  ///< as the profile names it: relative to the profile's own directory
  int64_t eos = -1;
};

/// Reads a profile file (docs/profiles.md). `directory` of the file resolves the vocabulary's relative path.
/// @throws gaze::Error naming the JSON path of the field, what is allowed and what was found; unknown fields are
/// refused.
GAZE_API Profile read_profile(const std::string& path);

/// As `read_profile`, from text.
GAZE_API Profile parse_profile(const std::string& json, const std::string& directory = ".");

/// The text of a profile file, from which `parse_profile` reads the same profile again. Fields at their defaults are
/// left out, and a preset is written as the fields it stands for. Not written, for no file can say it: what a geometry
/// has from a request (`resolve`, `take_row`), and `spans` where no geometry is or it has spans of its own. A geometry
/// without an input size takes the image's when it is read. Whether the profile can be used is checked there too.
/// @throws gaze::Error when there are texts of tokens without `vocabulary_file`.
GAZE_API std::string profile_json(const Profile& profile);

/// The JSON Schema of profile files, for editors and validators (docs/profile.schema.json).
GAZE_API std::string profile_schema();

/// True when `name` matches the glob `pattern`.
GAZE_API bool glob_match(const std::string& pattern, const std::string& name);

/// "mean", "max", "min", "weighted", "one:3", "topk:3" -> kind, head, k. nullopt when not understood.
struct HeadChoice {
  ops::HeadReduce kind = ops::HeadReduce::Weighted;
  int64_t head = 0, k = 3;
};
GAZE_API std::optional<HeadChoice> parse_heads(const std::string& text);
/// "mean", "max", "last", "weighted", "rollout", or a range "2-5" / "3", or both: "max:2-5".
struct LayerChoice {
  std::optional<ops::LayerReduce> kind;
  int64_t first = 0, last = -1;
};
GAZE_API std::optional<LayerChoice> parse_layers(const std::string& text);
GAZE_API std::optional<ops::Colormap> parse_colormap(const std::string& text);
GAZE_API const char* name(ops::HeadReduce kind) noexcept;
GAZE_API const char* name(ops::LayerReduce kind) noexcept;
GAZE_API const char* name(ops::Colormap colormap) noexcept;

}  // namespace gaze

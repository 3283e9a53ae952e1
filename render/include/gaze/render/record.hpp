// SPDX-License-Identifier: MIT
// What capture hands to rendering: the reduced attention of one request and all that must be said about it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/quantise.hpp>
#include <gaze/ops/reduce.hpp>
#include <gaze/render/grounding_limits.hpp>
#include <gaze/render/medium.hpp>
#include <gaze/render/site_use.hpp>
#include <gaze/render/style.hpp>
#include <gaze/render/token_rows.hpp>
#include <gaze/render/token_spelling.hpp>
#include <gaze/render/words.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace c10 {
struct Event;
}

namespace gaze {

/// The picture's map was composed: the selected sites' rows over latents, times what each latent was made of.
struct ThroughUse {
  std::vector<SiteUse> sites;  ///< that stand between
  bool rollout = false;        ///< the product of their layers, else the mean
  int64_t latents = 0;         ///< of the picture
  int64_t keys = 0;            ///< in a row of these sites
  bool gaps = false;           ///< other keys stood among the latents: their mass was taken off as the map has it
};

/// What the heads of one site attended to, each by itself.
struct SiteDetail {
  std::string site;         ///< as in SiteUse
  ops::QuantisedRows rows;  ///< [heads, tokens, geometry().span()]
};

/// Kept beside a map to look closer at: docs/detail.md.
struct Detail {
  std::vector<SiteDetail> sites;  ///< in the order of AttentionRecord::sites
  bool if_flagged = false;        ///< only an answer that is flagged has it in its bundle
  std::string left_out;           ///< why there are no sites; empty: there are
};

/// What a request's tokens attended to on one medium. Its tensors lie on the device of the model's first layer.
struct GAZE_API MediumMap {
  Medium medium;
  at::Tensor map_tk;     ///< float32 [tokens, geometry().span()]; row t belongs to the step that predicted token t
  at::Tensor mass_t;     ///< float32 [tokens]: share of attention on the span, mean over heads and layers
  at::Tensor visible_t;  ///< float32 [tokens]
  at::Tensor flags_t;    ///< int32 [tokens]: ops::RowFlag
  std::optional<ThroughUse> through = {};
  std::optional<GroundingLimits> grounding = {};  ///< unset: none were measured with these heads and layers
  std::optional<Detail> detail = {};              ///< unset: nobody asked for it

  [[nodiscard]] const Geometry& geometry() const;
  [[nodiscard]] Geometry& geometry();
  /// Rows of map_tk; 0 without one.
  [[nodiscard]] int64_t tokens() const;
};

/// What of a request's content may be written: all, none of it, or words by their keyed hashes (docs/privacy.md).
enum class Content { Full, Maps, Hashed };

struct AttentionRecord {
  std::string request_id;           ///< the host's; never used as a file name
  std::string prompt;               ///< text, if the host gave it
  std::vector<std::string> labels;  ///< text of the captured tokens, in order; those of dropped tokens are left out
  std::vector<int64_t> token_ids;   ///< if the host gave them
  /// How the labels are written; null: told by the labels themselves.
  std::shared_ptr<const TokenSpelling> spelling;
  /// The words, where they are known already: tokens of the labels, in order. Unset: they are told from the labels.
  std::optional<std::vector<Word>> words = {};

  /// One for each medium that was looked at, over the same tokens; the first is the one that words are told by. Empty,
  /// or without tensors, where capture could not finish.
  std::vector<MediumMap> maps;
  int64_t keys = 0;  ///< keys per row at the first captured call
  /// Recorded on the stream that filled the tensors (the media's as well); whoever reads them on another stream waits
  /// for it there. Null when no stream works on them.
  std::shared_ptr<c10::Event> ready;

  Style style;
  ops::ReduceOptions reduce;
  std::vector<SiteUse> sites;
  std::string layers;  ///< how layers were chosen, for people: "all 3 selected sites", "last", "1-2"

  std::string model_path, model_sha256, profile, method, torch_version;
  std::string parameters_sha256;  ///< of names, types, sizes and samples of the values of the model's parameters
  std::string profile_sha256;     ///< of the profile's file, or of its text where it was made in code
  std::string host;               ///< of the process, as its machine names itself
  int64_t process = 0;            ///< its id
  int64_t created_ms = 0;         ///< when the request was finished: milliseconds since 1970, UTC
  std::map<std::string, std::string> attributes;  ///< what the host says of the request, as in its RequestSpec
  std::map<std::string, double> timings_ms;       ///< name -> milliseconds
  std::map<std::string, int64_t> drops;           ///< reason -> count since attach, non-zero ones
  int64_t tokens_dropped = 0;                     ///< rows beyond the token limit
  std::optional<RowUse> rows = {};  ///< unset: nothing is known of them, and labels are not compared with them
  std::string error;                ///< set when capture could not finish: what was expected, found, how to fix it
  DropReason error_reason = DropReason::Internal;
  std::vector<std::string> notes = {};  ///< what was asked for and could not be shown, for people
  Content content = Content::Full;      ///< what was left of the request's content
  bool redacted = false;                ///< parts of it were blacked out

  /// Where the maps are; the processor where there are none.
  [[nodiscard]] GAZE_API at::Device device() const;
  /// Every defined tensor the record holds: what its memory is counted by, and kept by on other streams.
  [[nodiscard]] GAZE_API std::vector<at::Tensor> tensors() const;
  /// Host and device bytes the record holds; what the queue's budget counts.
  [[nodiscard]] GAZE_API int64_t bytes() const;
};

}  // namespace gaze

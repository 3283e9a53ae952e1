// SPDX-License-Identifier: MIT
// The attention calls of a TorchScript module.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/site_kind.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace gaze {

/// What an attention's output is multiplied with before it is added to the rest: tanh or sigmoid of something.
struct Gate {
  std::optional<double> value;  ///< of a parameter of one element, -1..1; unset: larger, or computed in every call
};

/// Whether the projections of an attention's queries and keys read the same value.
enum class SiteRelation {
  Self,    ///< they do
  Cross,   ///< they do not
  Unknown  ///< the graph, or who describes the site, does not say
};

/// "self", "cross" or "unknown"
constexpr const char* name(SiteRelation relation) noexcept {
  switch (relation) {
    case SiteRelation::Self:
      return "self";
    case SiteRelation::Cross:
      return "cross";
    case SiteRelation::Unknown:
      break;
  }
  return "unknown";
}

/// One attention call.
struct Site {
  std::string name;  ///< module path, e.g. "decoder.layers.0.cross_attn"; "name#2" for a second call in one module
  SiteKind kind = SiteKind::Unstated;
  SiteRelation relation = SiteRelation::Unknown;
  std::string tower;     ///< the module that holds the layers, e.g. "vision_tower.encoder"; empty: the model itself
  int64_t heads = 0;     ///< 0 when the graph does not say
  int64_t kv_heads = 0;  ///< fewer than heads where groups of them share keys; 0 when the graph does not say
  std::optional<Gate> gate = {};  ///< 0: what it looks at does not reach the answer
  /// Runs in a loop of the model that gathers its batch anew, as a beam search does: row i of a batch goes on from
  /// another row, and captured maps are of rows, not of beams. Only gathers along the first axis are noticed.
  bool gathers_rows = false;
  bool channels = false;  ///< compares channels, not positions: no key of it lies anywhere in the input
  /// Of what is recomputed from queries and keys: nothing that runs after it in its method writes to them or to their
  /// mask, so that rows may be recomputed as the method returns. False where that is not known.
  bool inputs_stay = false;
  /// With inputs_stay: its keys are part of what the method is given or returns, a cache, so that to hold them until it
  /// returns takes no memory.
  bool keys_live_on = false;
  std::vector<std::string> q_reads;  ///< tensor arguments of the method that the queries depend on
  std::vector<std::string> k_reads;  ///< as q_reads, of the keys
  std::string source;                ///< Python file:line as the file kept it
  std::vector<std::string> methods;  ///< methods of the root module whose graph holds the site
  bool proposed = false;             ///< would make the overlay when no profile says otherwise
  std::vector<std::string> through;  ///< sites whose latents stand among its keys instead of the picture's: what a
                                     ///< profile's `through` names; empty: none
};

/// Something that looks like attention and is not understood.
struct Unknown {
  std::string what;  ///< the operator
  std::string why;
  std::string source;
};

struct SiteReport {
  std::vector<Site> sites;
  std::vector<Unknown> unknown;
};

/// Marks the sites that would make the overlay when no profile says otherwise: cross-attention where there is any, else
/// self-attention whose keys come from several inputs (masks and positions do not count), else all self-attention.
/// Never what compares channels. Where a tower's cross-attention has parameters for queries (latents), and the keys of
/// another tower's self-attention come from what that read and from more, these are marked instead, with `through`.
GAZE_API void propose(std::vector<Site>& sites);

/// Reads the module's graphs; changes nothing.
/// @throws gaze::Error when the graphs cannot be read.
GAZE_API SiteReport find_sites(const torch::jit::Module& module);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// What an attention site leaves to be read.
#pragma once

namespace gaze {

enum class SiteKind {
  Unstated,  ///< what a Site and a SiteUse begin with
  Softmax,   ///< weights materialised
  Sdpa       ///< fused: its weights are nowhere, rows are recomputed from queries and keys
};

/// "softmax" or "sdpa"; empty: unstated
constexpr const char* name(SiteKind kind) noexcept {
  switch (kind) {
    case SiteKind::Softmax:
      return "softmax";
    case SiteKind::Sdpa:
      return "sdpa";
    case SiteKind::Unstated:
      break;
  }
  return "";
}

}  // namespace gaze

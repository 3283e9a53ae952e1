// SPDX-License-Identifier: MIT
// What was measured of one answer: metrics, drift and triggers are made of it.
#pragma once

#include <gaze/render/grounding.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace gaze {

/// What one passage of a text got.
struct SourceMass {
  std::string id;   ///< the host's
  double mass = 0;  ///< 0..1: share of attention
};

/// Of the first medium that was looked at. NaN: it was not measured.
struct AnswerFigures {
  std::string model = {};         ///< the profile's name
  std::string model_sha256 = {};  ///< of the model's file, else of its parameters; empty: neither is known
  Verdict verdict = Verdict::CannotSay;
  bool flagged = false;            ///< somebody should look closer, as request.json's report marks it
  std::array<int64_t, 4> words{};  ///< of each verdict, by its value
  int64_t tokens = 0;
  double mass = std::numeric_limits<double>::quiet_NaN();      ///< 0..1: share of attention on the keys shown
  double max_lift = std::numeric_limits<double>::quiet_NaN();  ///< of the whole answer's raw map
  double entropy = std::numeric_limits<double>::quiet_NaN();   ///< 0..1, of the same
  double focus = std::numeric_limits<double>::quiet_NaN();     ///< 0..1: mean over words of their sharpest token's
  double open_seconds = 0;                                     ///< from begin to finish
  double render_seconds = 0;                                   ///< until everything was drawn
  std::vector<SourceMass> sources = {};                        ///< of a text, whichever medium it is
};

}  // namespace gaze

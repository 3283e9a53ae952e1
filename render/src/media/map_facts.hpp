// SPDX-License-Identifier: MIT
// What a renderer measured of a map, and the files it made.
#pragma once

#include <gaze/render/word_facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "geometry/placement.hpp"
#include "maps/token_facts.hpp"

namespace gaze {

/// A drawn or measured map and the file it went to (empty: none).
struct DrawnMap {
  WordFacts facts;
  std::string file;
  std::optional<WordTimes> times = {};  ///< of a sound
};

struct PictureFacts {
  int64_t width = 0, height = 0;              ///< of the original picture
  int64_t drawn_width = 0, drawn_height = 0;  ///< of the overlays; 0: none was drawn
  std::string note;                           ///< what of its file is shown, where that is not all of it
};

/// What report.html draws the maps of a picture from.
struct ReportPicture {
  std::string jpeg;     ///< the picture in the size it is drawn
  Placement placement;  ///< of the grid on that
  at::Tensor shown_lc;  ///< float32 [1 + words, cells] on the CPU: the whole answer first
  at::Tensor lift_lc;   ///< likewise, before sinks were taken off
};

/// And those of a sound: plots in rows of time, one below the other.
struct ReportSound {
  std::string jpeg;  ///< of the plots, without a tint
  std::string wav;   ///< to listen to; empty: too long for a page
  int64_t rows = 1;
  double seconds_per_row = 0;
  double first_seconds = 0, seconds_per_cell = 0;
  at::Tensor shown_lc, lift_lc;  ///< as a picture's, over the recording's cells
};

/// And those of a text: its words, and its tokens where they are few.
struct ReportText {
  struct Part {
    std::string kind, id;
    bool source = false, sink = false;
  };
  struct Word {
    std::string text;
    int32_t part = 0;
    bool joined = false;     ///< no space stands before it
    bool after_gap = false;  ///< words before it are left out
  };
  struct Key {
    std::string label;
    int32_t part = 0;
  };
  std::vector<Part> parts;
  std::vector<Word> words;
  int64_t cut = 0;                        ///< words that are left out
  at::Tensor mass_lp, shown_lr, lift_lr;  ///< float32 [1 + words, parts or the prompt's words]: the whole answer first
  std::vector<Key> keys;                  ///< empty: too many
  at::Tensor share_tk;                    ///< float32 [tokens, keys]
};

/// What a text's sources.json sums up.
struct TextFacts {
  struct Source {
    std::string kind, id;
    double mass = 0;
  };
  std::string file;
  int64_t prompt_tokens = 0, answer_key = -1;
  std::vector<Source> sources;
  std::optional<double> passages_entropy;  ///< unset with fewer than two
  bool flat = false;                       ///< none of them stands out
  std::vector<std::string> notes;
};

struct SoundFacts {
  double seconds = 0, start_seconds = 0, seconds_per_key = 0;
  int64_t sample_rate_hz = 0, channels = 0;  ///< 0 when there was no recording
  double padding = 0;                        ///< mean share of attention on keys after its end
  std::string note;                          ///< what its file says of itself that is not so
};

/// What went into the bundle of every head's map.
struct DetailFacts {
  struct Site {
    std::string name;
    int64_t heads = 0;
  };
  std::string file;         ///< empty: none was written
  std::string left_out;     ///< why; empty: it was not
  std::vector<Site> sites;  ///< what report.html has, in this order
  /// Its lift, [heads of all sites, 1 + words, cells]: the mean over words first. Four bits a cell, the first of two in
  /// the low half of a byte, each row in bytes of its own: lift = most x (root / 15)^2. Empty without report.html.
  std::string roots;
  std::vector<float> most;
};

struct MapFacts {
  TokenFacts tokens;
  std::vector<DrawnMap> words;
  DrawnMap summary;
  std::optional<PictureFacts> picture;  ///< where its size is known
  std::optional<ReportPicture> report_picture;
  std::optional<ReportSound> report_sound;
  std::optional<ReportText> report_text;
  std::optional<TextFacts> text;
  std::optional<DetailFacts> detail;  ///< unset: nobody asked for it, or it was not flagged
  std::optional<SoundFacts> sound;
  double range_max_lift = 1;
  bool sinks_subtracted = false;
  bool mass_is_exact = true;          ///< false: the span's mass was divided as the map is
  std::optional<WordRule> word_rule;  ///< unset: without labels every token is a word
};

}  // namespace gaze

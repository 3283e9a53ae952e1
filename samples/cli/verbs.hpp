// SPDX-License-Identifier: MIT
// The verbs of the `gaze` program. Each returns the exit status and throws Refusal or gaze::Error for what it refuses.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "loop.hpp"

namespace gaze::cli {

struct DemoArguments {
  std::string out_dir;   ///< empty: GAZE_OUT_DIR, else ./overlays
  std::string data_dir;  ///< empty: the samples beside the program or in the source tree
  std::string device = "cpu";
  bool speech = false;
  std::vector<std::string> audio;  ///< instead of the shipped recordings
};
int demo(const DemoArguments& arguments);
int demo_speech(const DemoArguments& arguments);

struct SitesArguments {
  std::string model, out;
  bool json = false;
};
int sites(const SitesArguments& arguments);

struct RunArguments {
  std::string model, inputs;
  std::string method = "forward";
  std::vector<std::string> images;  ///< one per batch row
  std::vector<std::string> audio;   ///< likewise
  std::vector<std::string> texts;   ///< likewise: what --text names
  std::string word_files;
  bool align_to_energy = false;
  std::string profile, labels, out_dir, weights;
  std::string rows;             ///< which rows of a call are tokens; empty: the profile's
  int64_t calls_per_token = 0;  ///< 0: the profile's
  std::string passes;           ///< "2" or "2:1", passes and the one that is kept; empty: the profile's
  int64_t prompt_tokens = 0;    ///< of the RequestSpec
  LoopSettings loop;
  std::string device = "cpu";
};
int run(const RunArguments& arguments);

struct ProbeArguments {
  std::string model, inputs;
  std::string method = "forward";
  int64_t argument = 0;
  ProbeOptions options;
  std::string profile;       ///< to verify; empty: measure
  std::string out, picture;  ///< files to write; empty: none
  std::string device = "cpu";
  bool json = false;
};
int probe(const ProbeArguments& arguments);

struct InitArguments {
  ProbeArguments probe;         ///< but for what it writes
  bool names_argument = false;  ///< else the only picture is probed
  std::string out_dir = ".";
};
int init(const InitArguments& arguments);

struct HeadsArguments {
  std::string model;
  std::vector<std::string> inputs;  ///< one file for each run
  std::string method = "forward";
  std::string profile;  ///< empty: profile.json beside the model
  int64_t top = 3;
  LoopSettings loop;
  std::string out, picture;  ///< files to write; empty: none
  std::string device = "cpu";
  bool json = false;
};
int heads(const HeadsArguments& arguments);

struct GroundArguments {
  std::string model;
  std::vector<std::string> inputs;  ///< one file for each run
  std::string method = "forward";
  std::string profile;  ///< empty: profile.json beside the model
  LoopSettings loop;
  std::string out;  ///< file to write; empty: none
  std::string device = "cpu";
  bool json = false;
};
int ground(const GroundArguments& arguments);

struct PreloadArguments {
  std::vector<std::string> command;
};
/// Becomes the command; returns only by throwing.
int preload(const PreloadArguments& arguments);

struct EvaluateArguments {
  int64_t scenes = 500;
  uint64_t seed = 9'000'000;
  std::string model;  ///< empty: the shipped one
  std::string device = "cpu";
  bool json = false;
  bool speech = false;
  bool align_to_energy = false;
  bool grounding = false;
  bool sources = false;
};
int evaluate(const EvaluateArguments& arguments);
int evaluate_speech(const EvaluateArguments& arguments);
int evaluate_grounding(const EvaluateArguments& arguments);
int evaluate_caption_grounding(const EvaluateArguments& arguments);
int evaluate_speech_grounding(const EvaluateArguments& arguments);
int evaluate_sources(const EvaluateArguments& arguments);

}  // namespace gaze::cli

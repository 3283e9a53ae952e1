// SPDX-License-Identifier: MIT
// The speech sample: its files, its recordings, its way of answering.
#pragma once

#include <gaze/gaze.hpp>
#include <gaze/render/sound.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <scenes/recordings.hpp>

#include "script.hpp"

namespace gaze::cli {

struct Speech {
  std::string model_path;
  Profile profile;
  double window_seconds = 0;  ///< what the model hears at once
};

/// @throws Refusal or gaze::Error when the model or its profile is missing or of another kind.
Speech open_speech(const std::string& model_path);

/// Id that an answer begins with.
inline constexpr int64_t kBegin = 1;

struct Match {
  size_t said, heard;
};
struct WordMatches {
  int64_t edits = 0;        ///< the fewest insertions, deletions and substitutions
  std::vector<Match> same;  ///< words that are the same, from the last to the first
};
WordMatches matched_words(const std::vector<std::string>& said, const std::vector<std::string>& heard);

/// The sample's ids of spoken words.
/// @throws Refusal for a word that its vocabulary cannot write
std::vector<int64_t> spoken_ids(const Speech& speech, const std::vector<std::string>& words);

/// The words the sample knows, in the order of the composer's indices.
std::vector<std::string> spoken_words(const std::string& samples);

/// Words of voices that training never heard.
scenes::RecordingComposer held_out_composer(const std::string& samples);

/// The mean over channels at the model's rate, float32 [samples]; resampled by way of the spectrum.
at::Tensor model_input(const at::Tensor& samples_ct, int64_t sample_rate_hz);

/// Where the parts of a recording begin that are answered one after the other: the window, cut at the quietest moment
/// of its last quarter. @param input_s  at the model's rate
std::vector<double> parts_of(const at::Tensor& input_s, double window_seconds);

/// No more token rows than this come from a recording of so many seconds.
int64_t most_rows(const Speech& speech, double seconds);

/// Answers a recording, part by part, within `request`, and labels it.
/// @return the words
std::vector<std::string> answer(const Speech& speech, Model& model, const at::Tensor& input_s, at::Device device,
                                Request& request);

}  // namespace gaze::cli

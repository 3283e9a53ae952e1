// SPDX-License-Identifier: MIT
// Tokens of any bytes become words, and the files of word times stay well-formed whatever the words and times are.
#include <gaze/render/words.hpp>

#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "fuzz.hpp"
#include "sound/word_files.hpp"

namespace {

using gaze::WordTiming;

int64_t cues_of_vtt(const std::string& file) {
  std::istringstream lines(file);
  std::string line;
  GAZE_HOLDS(std::getline(lines, line) && line == "WEBVTT");
  int64_t cues = 0;
  for (; std::getline(lines, line); ++cues) {
    GAZE_HOLDS(line.empty());
    GAZE_HOLDS(std::getline(lines, line) && line.find(" --> ") != std::string::npos);
    GAZE_HOLDS(std::getline(lines, line) && !line.empty());
    GAZE_HOLDS(line.find("-->") == std::string::npos && line.find('<') == std::string::npos);
  }
  return cues;
}

int64_t cues_of_srt(const std::string& file) {
  std::istringstream lines(file);
  std::string line;
  int64_t cues = 0;
  while (std::getline(lines, line)) {
    if (cues > 0) GAZE_HOLDS(line.empty() && std::getline(lines, line));
    GAZE_HOLDS(line == std::to_string(++cues));
    GAZE_HOLDS(std::getline(lines, line) && line.find(" --> ") != std::string::npos);
    GAZE_HOLDS(std::getline(lines, line) && !line.empty() && line.find("-->") == std::string::npos);
  }
  return cues;
}

/// As many intervals as it says, each beginning where the one before it ends.
void check_textgrid(const std::string& file) {
  const std::string size = "intervals: size = ";
  const size_t at = file.find(size);
  GAZE_HOLDS(at != std::string::npos);
  const long told = std::atol(file.c_str() + at + size.size());
  std::istringstream lines(file.substr(at));
  std::string line, end;
  long seen = 0;
  while (std::getline(lines, line)) {
    line.erase(0, line.find_first_not_of(' '));
    const auto value = [&](const char* field) {
      return line.rfind(field, 0) == 0 ? line.substr(std::strlen(field)) : std::string();
    };
    if (const std::string begin = value("xmin = "); !begin.empty()) {
      if (seen++ > 0) GAZE_HOLDS(begin == end);
    }
    if (const std::string to = value("xmax = "); !to.empty()) end = to;
    if (const std::string text = value("text = "); !text.empty())
      GAZE_HOLDS(text.front() == '"' && text.find('"', 1) != std::string::npos);
  }
  GAZE_HOLDS(seen == told);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  std::vector<std::string> labels(static_cast<size_t>(bytes.between(0, 12)));
  WordTiming timing;
  timing.start_seconds = bytes.take<double>();
  timing.seconds = bytes.take<double>();
  timing.seconds_per_key = bytes.take<double>();
  for (std::string& label : labels) label = bytes.text();
  const std::vector<gaze::Word> words = gaze::merge_words(labels);
  int64_t last = 0;
  for (const gaze::Word& word : words) {
    GAZE_HOLDS(word.first >= last && word.count >= 1 && !word.text.empty());
    last = word.first + word.count;
    GAZE_HOLDS(last <= static_cast<int64_t>(labels.size()));
    gaze::TimedWord heard;
    heard.word = word;
    heard.start_seconds = bytes.take<float>();
    heard.end_seconds = bytes.take<float>();
    heard.share_within = bytes.take<float>();
    heard.hot_seconds = bytes.take<double>();
    timing.words.push_back(heard);
  }
  const auto json = nlohmann::json::parse(gaze::words_json(timing));
  GAZE_HOLDS(json["words"].size() == words.size());
  GAZE_HOLDS(cues_of_vtt(gaze::words_vtt(timing)) == cues_of_srt(gaze::words_srt(timing)));
  check_textgrid(gaze::words_textgrid(timing));
  return 0;
}

// SPDX-License-Identifier: MIT
// How well the verdicts tell what the speech sample hears from what it does not, on recordings whose words are known.
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <scenes/random.hpp>

#include "console.hpp"
#include "grounding_cases.hpp"
#include "judged_model.hpp"
#include "samples.hpp"
#include "speech.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

using Samples = std::vector<float>;

Samples scaled(Samples samples, float peak) {
  float most = 1e-9F;
  for (const float x : samples) most = std::max(most, std::abs(x));
  for (float& x : samples) x *= peak / most;
  return samples;
}

Samples white_noise(scenes::Random& random, size_t count) {
  Samples samples(count);
  for (float& x : samples) x = random.uniform(-1.F, 1.F);
  return samples;
}

// White noise through one low pass of 160 Hz, as of a fan.
Samples rumble(scenes::Random& random, size_t count) {
  Samples samples = white_noise(random, count);
  float state = 0;
  for (float& x : samples) x = state += 0.06F * (x - state);
  return samples;
}

Samples tones(scenes::Random& random, size_t count) {
  Samples samples(count);
  for (int tone = 0; tone < 4; ++tone) {
    const double hertz = random.uniform(60.F, 3000.F);
    const float level = random.uniform(0.1F, 1.F);
    for (size_t i = 0; i < count; ++i)
      samples[i] +=
          level *
          static_cast<float>(std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / scenes::kSampleRateHz));
  }
  return samples;
}

class SpeechJudge {
 public:
  SpeechJudge(const std::string& model, at::Device device)
      : speech_(open_speech(model)),
        device_(device),
        judged_(speech_.model_path, device, speech_.profile),
        composer_(held_out_composer(samples_dir())),
        vocabulary_(spoken_words(samples_dir())) {}

  void judge_recording(uint64_t seed) {
    scenes::Random random(seed);
    const scenes::Recording recording = composer_.compose(seed);
    const size_t count = recording.samples.size();
    std::vector<std::string> said;
    for (const scenes::SpokenWord& word : recording.words)
      said.push_back(vocabulary_.at(static_cast<size_t>(word.word)));
    listen(recording.samples, said);
    const float peak = std::pow(10.F, random.uniform(-2.F, -0.1F));
    const std::pair<const char*, Samples> sounds[] = {{"silence", Samples(count)},
                                                      {"white noise", scaled(white_noise(random, count), peak)},
                                                      {"rumble", scaled(rumble(random, count), peak)},
                                                      {"tones", scaled(tones(random, count), peak)}};
    for (const auto& [kind, samples] : sounds) {
      invent(kind, samples);
      say(std::string("said over ") + kind, Truth::Unsupported, samples, said);
    }
    say("said over other words", Truth::Beside, composer_.compose(seed + 1).samples, said);
  }

  std::vector<JudgedCase> answers, words;
  [[nodiscard]] const std::string& path() const { return speech_.model_path; }

 private:
  GroundedAnswer own_answer(const Samples& samples, std::vector<std::string>& heard) {
    const at::Tensor samples_s = at::tensor(at::ArrayRef<float>(samples));
    return judged_.judge(spec_of(samples_s), [&](Request& request) {
      heard = answer(speech_, judged_.model(), samples_s, device_, request);
    });
  }

  static RequestSpec spec_of(const at::Tensor& samples_s) {
    RequestSpec spec;
    spec.sound.samples = samples_s;
    spec.sound.sample_rate_hz = scenes::kSampleRateHz;
    return spec;
  }

  void listen(const Samples& samples, const std::vector<std::string>& said) {
    std::vector<std::string> heard;
    const GroundedAnswer answer = own_answer(samples, heard);
    if (heard.empty()) {
      answers.push_back({"wrong answer", Truth::Unsupported, kNothingSaid});
      return;
    }
    const bool right = heard == said;
    answers.push_back(
        {right ? "right" : "wrong answer", right ? Truth::Supported : Truth::Unsupported, answer.summary.grounding});
    std::vector<bool> same(heard.size());
    for (const Match& pair : matched_words(said, heard).same) same[pair.heard] = true;
    for (size_t w = 0; w < answer.words.size(); ++w)
      words.push_back({same.at(w) ? "right" : "wrong word", same[w] ? Truth::Supported : Truth::Unsupported,
                       answer.words[w].grounding});
  }

  // What is heard where nobody speaks.
  void invent(const std::string& kind, const Samples& samples) {
    std::vector<std::string> heard;
    const GroundedAnswer answer = own_answer(samples, heard);
    if (heard.empty()) {
      answers.push_back({kind, Truth::Unsupported, kNothingSaid});
    } else {
      add(kind, Truth::Unsupported, answer);
    }
  }

  // The right words of a recording, over another sound.
  void say(const std::string& kind, Truth truth, const Samples& samples, const std::vector<std::string>& said) {
    const auto most = static_cast<size_t>(speech_.window_seconds * scenes::kSampleRateHz);
    const at::Tensor samples_s = at::tensor(at::ArrayRef<float>(samples.data(), std::min(samples.size(), most)));
    const std::vector<int64_t> ids = spoken_ids(speech_, said);
    std::vector<int64_t> tokens = {kBegin};
    tokens.insert(tokens.end(), ids.begin(), ids.end() - 1);
    RequestSpec spec = spec_of(samples_s);
    spec.prompt_tokens = 1;
    add(kind, truth, judged_.judge(std::move(spec), [&](Request& request) {
      judged_.model().forward(samples_s.unsqueeze(0).to(device_), row_of(tokens).to(device_));
      request.tokens(ids);
    }));
  }

  void add(const std::string& kind, Truth truth, const GroundedAnswer& answer) {
    answers.push_back({kind, truth, answer.summary.grounding});
    for (const WordFacts& word : answer.words) words.push_back({kind, truth, word.grounding});
  }

  Speech speech_;
  at::Device device_;
  JudgedModel judged_;
  scenes::RecordingComposer composer_;
  std::vector<std::string> vocabulary_;
};

}  // namespace

int evaluate_speech_grounding(const EvaluateArguments& arguments) {
  SpeechJudge judge(arguments.model.empty() ? samples_dir() + "/models/speech/speech.pt" : arguments.model,
                    parse_device(arguments.device));
  Progress progress("evaluate", "recordings");
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    judge.judge_recording(arguments.seed + static_cast<uint64_t>(i));
    progress.show(i + 1, arguments.scenes);
  }
  print_judged(arguments, "recordings", printable(judge.path()), judge.answers, judge.words);
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// Word errors, and when words were heard, through Gaze as a host uses it.
#include <ATen/ops/tensor.h>
#include <gaze/gaze.hpp>
#include <gaze/render/sound.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "console.hpp"
#include "samples.hpp"
#include "speech.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

/// Keeps what was heard in every request; writes nothing.
class Timings final : public Sink {
 public:
  void consume(const AttentionRecord& record) override {
    WordTiming timing;
    std::string error;
    try {
      timing = time_words(record);
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error_.empty()) error_ = std::move(error);
    last_ = std::move(timing);
  }

  /// @throws Refusal when a map could not be made.
  WordTiming take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_.empty()) throw Refusal("evaluate: expected a map for every answer, got: " + error_);
    return std::exchange(last_, {});
  }

 private:
  std::mutex mutex_;
  std::string error_;
  WordTiming last_;
};

/// One model under capture. Two of them: a module has one live capture at a time.
class Writer {
 public:
  Writer(const Speech& speech, at::Device device, Options options)
      : speech_(speech), model_(speech.model_path, device), device_(device), sink_(std::make_shared<Timings>()) {
    options.capture = true;
    options.read_environment = false;  // figures compare only at the same settings
    options.log = "error";
    options.sink = sink_;
    gaze_ = attach(model_.module(), options);
  }

  WordTiming listen(const at::Tensor& samples_s, std::vector<std::string>& words) {
    RequestSpec spec;
    spec.sound.samples = samples_s;
    spec.sound.sample_rate_hz = scenes::kSampleRateHz;
    Request request = gaze_.begin(std::move(spec));
    words = answer(speech_, model_, samples_s, device_, request);
    request.finish();
    gaze_.flush(std::chrono::minutes(5));
    return sink_->take();
  }

 private:
  const Speech& speech_;
  Model model_;
  at::Device device_;
  std::shared_ptr<Timings> sink_;
  Gaze gaze_;
};

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

struct SpeechFigures {
  int64_t recordings = 0, said = 0, wrong = 0, compared = 0, inside = 0, inside_raw = 0;
  std::vector<double> start_ms, end_ms;
};

// How far beyond a word's ends its hottest key may be centred: half a key.
bool within(const scenes::SpokenWord& word, double seconds, double half_key) {
  return seconds >= word.start_seconds - half_key && seconds <= word.end_seconds + half_key;
}

}  // namespace

int evaluate_speech(const EvaluateArguments& arguments) {
  const std::string samples = samples_dir();
  const at::Device device = parse_device(arguments.device);
  const Speech speech = open_speech(arguments.model.empty() ? samples + "/models/speech/speech.pt" : arguments.model);
  const scenes::RecordingComposer composer = held_out_composer(samples);
  const std::vector<std::string> vocabulary = spoken_words(samples);

  Options defaults;
  defaults.profile_in_code = speech.profile;
  defaults.style.align_to_energy = arguments.align_to_energy;
  Options mean = defaults;
  mean.profile_in_code->heads = ops::HeadReduce::Mean;
  mean.profile_in_code->layers = ops::LayerReduce::Mean;
  mean.profile_in_code->selected_heads.clear();
  mean.style.normalise.subtract_sinks = false;
  Writer as_shipped(speech, device, defaults);
  Writer raw(speech, device, mean);

  SpeechFigures figures;
  Progress progress("evaluate", "recordings");
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    const scenes::Recording recording = composer.compose(arguments.seed + static_cast<uint64_t>(i));
    const at::Tensor samples_s = at::tensor(at::ArrayRef<float>(recording.samples));
    std::vector<std::string> said, heard, raw_heard;
    for (const scenes::SpokenWord& word : recording.words)
      said.push_back(vocabulary.at(static_cast<size_t>(word.word)));
    const WordTiming timing = as_shipped.listen(samples_s, heard);
    const WordTiming raw_timing = raw.listen(samples_s, raw_heard);
    const auto [edits, matches] = matched_words(said, heard);
    ++figures.recordings;
    figures.said += static_cast<int64_t>(said.size());
    figures.wrong += edits;
    const double half_key = timing.seconds_per_key / 2;
    for (const Match& pair : matches) {
      const scenes::SpokenWord& truth = recording.words[pair.said];
      const TimedWord& word = timing.words.at(pair.heard);
      ++figures.compared;
      figures.inside += within(truth, word.hot_seconds, half_key) ? 1 : 0;
      figures.inside_raw += within(truth, raw_timing.words.at(pair.heard).hot_seconds, half_key) ? 1 : 0;
      figures.start_ms.push_back(1e3 * std::abs(word.start_seconds - truth.start_seconds));
      figures.end_ms.push_back(1e3 * std::abs(word.end_seconds - truth.end_seconds));
    }
    progress.show(i + 1, arguments.scenes);
  }

  const auto share = [](int64_t part, int64_t all) {
    return all == 0 ? 0.0 : std::round(1e4 * static_cast<double>(part) / static_cast<double>(all)) / 1e4;
  };
  const auto ms = [](const std::vector<double>& values, double at) {
    return std::round(10 * quantile(values, at)) / 10;
  };
  if (arguments.json) {
    const nlohmann::ordered_json json = {
        {"recordings", figures.recordings},
        {"seed", arguments.seed},
        {"words", figures.said},
        {"word_error_rate", share(figures.wrong, figures.said)},
        {"words_compared", figures.compared},
        {"inside", share(figures.inside, figures.compared)},
        {"inside_raw_mean", share(figures.inside_raw, figures.compared)},
        {"start_error_ms", {{"median", ms(figures.start_ms, 0.5)}, {"p90", ms(figures.start_ms, 0.9)}}},
        {"end_error_ms", {{"median", ms(figures.end_ms, 0.5)}, {"p90", ms(figures.end_ms, 0.9)}}},
        {"aligned", arguments.align_to_energy ? "attention, moved to the sound's energy" : "attention"}};
    std::printf("%s\n", json.dump(1).c_str());
    return 0;
  }
  std::printf("%lld recordings from seed %llu of voices that training never heard, %s\n\n",
              static_cast<long long>(figures.recordings), static_cast<unsigned long long>(arguments.seed),
              printable(speech.model_path).c_str());
  std::printf("word error rate                  %6.2f %%  %lld of %lld words\n",
              100 * share(figures.wrong, figures.said), static_cast<long long>(figures.wrong),
              static_cast<long long>(figures.said));
  std::printf("hottest moment inside the word   %6.2f %%  %lld of %lld\n",
              100 * share(figures.inside, figures.compared), static_cast<long long>(figures.inside),
              static_cast<long long>(figures.compared));
  std::printf("  raw mean of heads, layers      %6.2f %%  %lld of %lld\n",
              100 * share(figures.inside_raw, figures.compared), static_cast<long long>(figures.inside_raw),
              static_cast<long long>(figures.compared));
  std::printf("error of a word's start          median %5.1f ms, 90th percentile %6.1f ms\n", ms(figures.start_ms, 0.5),
              ms(figures.start_ms, 0.9));
  std::printf("error of a word's end            median %5.1f ms, 90th percentile %6.1f ms\n", ms(figures.end_ms, 0.5),
              ms(figures.end_ms, 0.9));
  std::printf("\nWords that were written down wrong have no time to compare and count as word errors alone.\n");
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/fft_irfftn.h>
#include <ATen/ops/fft_rfftn.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <tuple>

#include "console.hpp"
#include "grounding_cases.hpp"
#include "judged_model.hpp"
#include "profile_file.hpp"
#include "samples.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kLeastCases = 10;
constexpr double kLeastArea = 0.95;  // of answers; below it a verdict would be a guess
constexpr double kAccused = 0.02;    // of the supported, that lie below the lower limit
constexpr double kDoubted = 0.1;     // of the supported, that lie below the upper one at the least
constexpr double kBelieved = 0.05;   // of the unsupported, that lie above the upper one at the most
constexpr uint64_t kSeed = 1;

struct Measured {
  std::vector<JudgedCase> answers, words;
};

/// Index of the picture or the sound among the method's arguments.
int64_t medium_argument(const Profile& profile, const std::string& method) {
  std::map<std::string, int64_t> arguments;
  if (profile.sound) arguments = profile.sound->argument;
  if (profile.image) arguments = profile.image->argument;
  const auto found = arguments.find(method);
  if (found == arguments.end())
    throw Refusal(
        "profile: image.argument (or sound.argument): expected the index of the picture among the arguments of " +
        method + ", got none. Add it.");
  return found->second;
}

// All of one value, its mean.
at::Tensor flat(const at::Tensor& input) { return at::full_like(input, input.mean().item()); }

// Its spectrum with random phases: as loud and as coarse everywhere, and nothing in it.
at::Tensor scrambled(const at::Tensor& input) {
  const bool picture = input.dim() == 4;
  const std::vector<int64_t> dims = picture ? std::vector<int64_t>{2, 3} : std::vector<int64_t>{-1};
  const at::Tensor values = input.to(at::kDouble);
  at::Tensor spectrum = at::fft_rfftn(values, c10::nullopt, dims);
  std::vector<int64_t> sizes = spectrum.sizes().vec();
  if (picture) sizes[1] = 1;  // colours keep their relations
  at::Tensor phase = at::rand(sizes, values.options()) * (2 * std::numbers::pi);
  // The mean stays.
  picture ? phase.select(3, 0).select(2, 0).zero_() : phase.select(-1, 0).zero_();
  spectrum = spectrum * at::polar(at::ones_like(phase), phase);
  std::vector<int64_t> shape;
  for (const int64_t dim : dims) shape.push_back(input.size(dim));
  return at::fft_irfftn(spectrum, shape, dims).to(input.scalar_type()).contiguous();
}

void add(const GroundedAnswer& answer, const std::string& kind, Truth truth, Measured& measured) {
  measured.answers.push_back({kind, truth, answer.summary.grounding});
  for (const WordFacts& word : answer.words) {
    if (word.content) measured.words.push_back({kind, truth, word.grounding});
  }
}

/// Few of the supported are not grounded, and few of the unsupported grounded.
std::pair<double, double> limits_of(const std::vector<JudgedCase>& cases, const char* what) {
  const std::vector<double> supported = scores_of(cases, Truth::Supported);
  const std::vector<double> unsupported = scores_of(cases, Truth::Unsupported);
  const auto least = static_cast<size_t>(kLeastCases);
  if (supported.size() < least || unsupported.size() < least)
    throw Refusal("--inputs: expected at least " + std::to_string(kLeastCases) + " " + what +
                  " over inputs with and over those without content, got " + std::to_string(supported.size()) +
                  " and " + std::to_string(unsupported.size()) +
                  ". Give more inputs, whose questions the model answers whatever it is shown.");
  const double weak = quantile_of(supported, kAccused);
  const double grounded = std::max(quantile_of(supported, kDoubted), quantile_of(unsupported, 1 - kBelieved));
  // With few digits, for people read them; down, so that a score that is the limit reaches it.
  const auto rounded = [](double limit) { return std::floor(1e4 * limit) / 1e4; };
  return {rounded(weak), rounded(grounded)};
}

Measured measure(const GroundArguments& arguments, const Profile& profile, at::Device device) {
  JudgedModel judged(arguments.model, device, profile);
  const bool loops = !arguments.loop.methods.empty();
  const std::string method = loops ? arguments.loop.first_method() : arguments.method;
  const int64_t argument = medium_argument(profile, method);
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  generator.set_current_seed(kSeed);
  Measured measured;
  Progress progress("ground", "inputs");
  for (size_t i = 0; i < arguments.inputs.size(); ++i) {
    Call call(judged.model(), method, arguments.inputs[i], device);
    if (loops) {
      LoopSettings loop = arguments.loop;
      if (loop.eos < 0) loop.eos = profile.eos;
      call.drive(std::move(loop));
    }
    const at::Tensor input = call.tensor_argument(argument);
    if (!input.defined() || !at::isFloatingType(input.scalar_type()) || input.numel() == 0)
      throw Refusal("--inputs: expected a picture or a sound of floating values in argument " +
                    std::to_string(argument) + " of " + arguments.inputs[i] + ", got none. Correct the profile.");
    const auto run = [&](const char* kind, Truth truth) {
      bool said = true;
      const GroundedAnswer answer = judged.judge({}, [&](Request& request) {
        call.run();
        const std::vector<std::vector<int64_t>> ids = call.token_ids();
        if (ids.size() != 1) return;
        const auto prompt = static_cast<std::ptrdiff_t>(call.prompt_in_front(0, ids[0]));
        const std::vector<int64_t> own(ids[0].begin() + prompt, ids[0].end());
        said = !own.empty() && own.front() != profile.eos;
        request.tokens(own);
      });
      if (said) add(answer, kind, truth, measured);
    };
    run("as given", Truth::Supported);
    call.replace(argument, flat(input));
    run("one value", Truth::Unsupported);
    call.replace(argument, scrambled(input));
    run("phases scrambled", Truth::Unsupported);
    progress.show(static_cast<int64_t>(i) + 1, static_cast<int64_t>(arguments.inputs.size()));
  }
  return measured;
}

void print(const Measured& measured, const GroundingLimits& limits) {
  print_cases("answers", measured.answers);
  print_cases("words", measured.words);
  std::printf("answer    not grounded below %.4f, grounded from %.4f on\n", limits.answer_weak, limits.answer_grounded);
  std::printf("word      not grounded below %.4f, grounded from %.4f on\n", limits.word_weak, limits.word_grounded);
}

}  // namespace

int ground(const GroundArguments& arguments) {
  const std::string path = arguments.profile.empty() ? profile_beside(arguments.model) : arguments.profile;
  if (path.empty())
    throw Refusal(
        "--profile: expected a profile, whose geometry says what the picture's keys are, got none, and no profile.json "
        "beside the model. `gaze probe` makes one.");
  const Profile profile = read_profile(path);
  const Measured measured = measure(arguments, profile, parse_device(arguments.device));
  GroundingLimits limits;
  std::tie(limits.answer_weak, limits.answer_grounded) = limits_of(measured.answers, "answers");
  std::tie(limits.word_weak, limits.word_grounded) = limits_of(measured.words, "words");
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"grounding",
                                          {{"word_weak", limits.word_weak},
                                           {"word_grounded", limits.word_grounded},
                                           {"answer_weak", limits.answer_weak},
                                           {"answer_grounded", limits.answer_grounded}}},
                                         {"answers", json_of(measured.answers)},
                                         {"words", json_of(measured.words)}};
    std::printf("%s\n", json.dump(1).c_str());
  } else {
    print(measured, limits);
  }
  const double area =
      area_under_roc(scores_of(measured.answers, Truth::Supported), scores_of(measured.answers, Truth::Unsupported));
  if (area < kLeastArea) {
    char text[160];
    std::snprintf(
        text, sizeof text,
        "ground: expected attention that tells answers to these inputs from answers to inputs without content "
        "(area %.2f), got %.2f.",
        kLeastArea, area);
    throw Refusal(std::string(text) + " Choose heads that point (gaze heads); else its verdicts would be guesses.");
  }
  if (arguments.out.empty()) return 0;
  write_grounding(path, limits, arguments.out);
  if (!arguments.json) std::printf("profile   %s\n", printable(arguments.out).c_str());
  return 0;
}

}  // namespace gaze::cli

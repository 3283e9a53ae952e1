// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <gaze/render/audio_file.hpp>
#include <gaze/render/safetensors.hpp>
#include <gaze/render/words.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "console.hpp"
#include "photo_file.hpp"
#include "samples.hpp"
#include "script.hpp"
#include "settings.hpp"
#include "text_file.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open())
    throw Refusal("--labels: expected a text file with one token per line, got " + path +
                  ", which cannot be read. Check the path.");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
  }
  if (file.bad() || lines.empty())
    throw Refusal("--labels: expected a text file with one token per line, got " + path +
                  ", which holds none. Leave the flag out to draw without texts.");
  return lines;
}

/// Keys of the safetensors file. A call number is added where a site ran several times, and to all keys where
/// "site#2", the name of a module's second site, would otherwise be taken for a call.
std::vector<std::string> keys_of(const std::vector<ExactWeights>& calls) {
  std::map<std::string, int64_t> runs;
  for (const ExactWeights& call : calls) ++runs[call.site];
  for (const bool number_all : {false, true}) {
    std::vector<std::string> keys;
    for (const ExactWeights& call : calls)
      keys.push_back(number_all || runs[call.site] > 1 ? call.site + "#" + std::to_string(call.call) : call.site);
    if (number_all || std::set<std::string>(keys.begin(), keys.end()).size() == keys.size()) return keys;
  }
  return {};
}

/// Two runs without capture, the second one to compare with. @return whether they agree
bool run_without_capture(Call& call) {
  call.run();
  call.remember();
  call.run();
  return call.as_remembered();
}

void write_weights(Gaze& gaze, Call& call, const RunArguments& arguments, bool same_without_capture) {
  const std::vector<ExactWeights> calls = gaze.capture_weights([&] { call.run(); });
  if (calls.empty())
    throw Refusal("--weights: expected the method " + arguments.method +
                  " to call attention, got none. `gaze sites` says which methods do.");
  const std::vector<std::string> keys = keys_of(calls);
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t i = 0; i < calls.size(); ++i) tensors.emplace_back(keys[i], calls[i].attn_bhqk);
  write_safetensors(arguments.weights, tensors, {{"method", arguments.method}});
  std::printf("weights   %s (%zu attention calls)\n", printable(arguments.weights).c_str(), calls.size());
  if (!same_without_capture) {
    std::printf("unchanged not known: two runs without capture differ already\n");
  } else if (call.as_remembered()) {
    std::printf("unchanged the result is byte for byte that without capture\n");
  } else {
    throw Refusal("--weights: expected the result of " + arguments.method +
                  " to be byte for byte that without capture, got another one. This is a defect of gaze: please report "
                  "the model's architecture.");
  }
}

/// How long a sound's samples last that the model is given, and how long up to the zeros they are filled up with.
struct GivenSound {
  double seconds = 0, sounding_seconds = 0;
};

std::optional<GivenSound> given_sound(const Call& call, const Profile& profile, const RunArguments& arguments,
                                      size_t row) {
  if (!profile.sound || profile.sound->sample_rate_hz < 1) return std::nullopt;
  const auto argument = profile.sound->argument.find(arguments.method);
  if (argument == profile.sound->argument.end()) return std::nullopt;
  const at::Tensor input = call.tensor_argument(argument->second);
  if (!input.defined() || input.dim() < 2 || static_cast<int64_t>(row) >= input.size(0)) return std::nullopt;
  const at::Tensor samples_s =
      input.select(0, static_cast<int64_t>(row)).reshape({-1, input.size(-1)}).ne(0).any(0).cpu();
  const auto rate = static_cast<double>(profile.sound->sample_rate_hz);
  const at::Tensor sounding = samples_s.nonzero();
  const int64_t last = sounding.size(0) > 0 ? sounding[-1][0].item<int64_t>() + 1 : 0;
  return GivenSound{static_cast<double>(input.size(-1)) / rate, static_cast<double>(last) / rate};
}

/// A recording of another length than the model heard puts every word at a wrong time.
void expect_same_sound(const Call& call, const Profile& profile, const RunArguments& arguments) {
  constexpr double kSlackSeconds = 0.1;
  for (size_t row = 0; row < arguments.audio.size(); ++row) {
    const std::optional<GivenSound> given = given_sound(call, profile, arguments, row);
    if (!given) continue;
    const Audio audio = read_audio(arguments.audio[row]);
    const double seconds = static_cast<double>(audio.samples_ct.size(1)) / static_cast<double>(audio.sample_rate_hz);
    if (seconds <= given->seconds + kSlackSeconds && seconds >= given->sounding_seconds - kSlackSeconds) continue;
    char text[160];
    std::snprintf(
        text, sizeof text,
        "--audio: expected the sound that the model is given, %.2f s of it in the inputs, got one of %.2f s: ",
        seconds > given->seconds ? given->seconds : given->sounding_seconds, seconds);
    throw Refusal(text + arguments.audio[row] +
                  ". Give that recording, cut as it was for the model; or leave the flag out to draw on the inputs.");
  }
}

/// One spec per row of the batch: as many as the picture's or the sound's argument has, else as many as files were
/// given.
std::vector<RequestSpec> requests_for(const Call& call, const Profile& profile, const RunArguments& arguments) {
  size_t rows = std::max<size_t>({1, arguments.images.size(), arguments.audio.size(), arguments.texts.size()});
  const auto count_rows = [&](const std::map<std::string, int64_t>& methods, int64_t least_dim) {
    const auto argument = methods.find(arguments.method);
    const at::Tensor input = argument == methods.end() ? at::Tensor() : call.tensor_argument(argument->second);
    if (input.defined() && input.dim() >= least_dim) rows = static_cast<size_t>(input.size(0));
  };
  if (profile.image) count_rows(profile.image->argument, 4);
  if (profile.sound) count_rows(profile.sound->argument, 2);
  // Of an encoder with a passage in each row of its batch the decoder's batch says: one text.
  if (profile.text && arguments.texts.empty()) count_rows(profile.text->argument, 2);
  const auto expect_each = [rows](const char* flag, const std::vector<std::string>& files) {
    if (files.empty() || files.size() == rows) return;
    throw Refusal(std::string(flag) + ": expected one per row of the batch (" + std::to_string(rows) + "), got " +
                  std::to_string(files.size()) + ". Give the flag once per row, in order.");
  };
  expect_each("--image", arguments.images);
  expect_each("--audio", arguments.audio);
  expect_each("--text", arguments.texts);
  const bool sound = profile.geometry && profile.geometry->time;
  const bool both = profile.sound && profile.sound->beside;
  if (!both && (sound ? !arguments.images.empty() : !arguments.audio.empty()))
    throw Refusal(std::string(sound ? "--image" : "--audio") + ": expected a profile whose keys are those of a " +
                  (sound ? "picture" : "sound") + ", got one of a " + (sound ? "sound" : "picture") + ". Give " +
                  (sound ? "--audio" : "--image") + " instead.");
  if (!arguments.labels.empty() && rows > 1)
    throw Refusal("--labels: expected a batch of 1, because one file describes one answer; got " +
                  std::to_string(rows) + " rows. Save one row with torch.save.");
  expect_same_sound(call, profile, arguments);
  std::vector<RequestSpec> specs(rows);
  for (size_t row = 0; row < rows; ++row) {
    specs[row].prompt_tokens = arguments.prompt_tokens;
    specs[row].id = rows == 1 ? arguments.method : arguments.method + "-" + std::to_string(row);
    if (!arguments.images.empty()) specs[row].image = photo_file(arguments.images[row]);
    if (!arguments.audio.empty()) specs[row].sound.path = arguments.audio[row];
    if (!arguments.texts.empty()) {
      TextFile file = read_text_file(arguments.texts[row]);
      specs[row].text = std::move(file.text);
      specs[row].prompt = std::move(file.prompt);
    }
  }
  return specs;
}

/// Gives the words of an answer their names before it is drawn, for how many tokens were captured is known only then.
class NamedBundles final : public Sink {
 public:
  NamedBundles(std::shared_ptr<Bundles> bundles, const Profile& profile)
      : bundles_(std::move(bundles)), profile_(profile) {}

  /// Before the requests finish. @param rows  the ids of every row, by request
  void name(std::map<std::string, std::vector<int64_t>> rows) {
    ids_ = std::move(rows);
    for (const auto& [request, ids] : ids_) most_ = std::max(most_, static_cast<int64_t>(ids.size()));
  }

  void consume(const AttentionRecord& record) override {
    const auto found = ids_.find(record.request_id);
    if (found == ids_.end() || record.maps.empty() || record.maps[0].tokens() == 0) return bundles_->consume(record);
    std::vector<int64_t>& ids = found->second;
    AttentionRecord named = record;
    if (named.rows) {
      named.rows->named = static_cast<int64_t>(ids.size());
      named.rows->named_by_batch = most_;
    }
    named.labels = texts_of(row_of(ids)[0], profile_);
    ids.resize(named.labels.size());
    named.token_ids = ids;
    named.spelling = profile_.spelling;
    bundles_->consume(named);
  }

 private:
  std::shared_ptr<Bundles> bundles_;
  Profile profile_;
  std::map<std::string, std::vector<int64_t>> ids_;
  int64_t most_ = 0;
};

void name_words(const Call& call, const std::vector<RequestSpec>& specs, NamedBundles& bundles) {
  std::vector<std::vector<int64_t>> ids = call.token_ids();
  if (ids.size() != specs.size()) {
    std::printf(
        "words     have no names: the vocabulary needs token ids for %zu rows, got %zu in what was returned. Give "
        "--labels FILE, or return ids [batch, tokens].\n",
        specs.size(), ids.size());
    return;
  }
  std::map<std::string, std::vector<int64_t>> named;
  for (size_t row = 0; row < specs.size(); ++row) {
    const size_t prompt = call.prompt_in_front(row, ids[row]);
    if (prompt > 0) {
      std::printf("words     the last %zu of the ids that %s returned: %zu before them are the prompt's\n",
                  ids[row].size() - prompt, printable(specs[row].id).c_str(), prompt);
    }
    named[specs[row].id] = {ids[row].begin() + static_cast<std::ptrdiff_t>(prompt), ids[row].end()};
  }
  bundles.name(std::move(named));
}

void write_overlays(Gaze& gaze, Call& call, const Profile& profile, const RunArguments& arguments, NamedBundles& named,
                    const Bundles& bundles) {
  std::vector<std::string> labels;
  if (!arguments.labels.empty()) labels = read_lines(arguments.labels);
  const std::vector<RequestSpec> specs = requests_for(call, profile, arguments);
  Request request = gaze.begin(specs);
  call.run();
  if (!labels.empty()) {
    request.label(std::move(labels));
  } else if (!profile.vocabulary.empty()) {
    name_words(call, specs, named);
  }
  request.finish();
  wait_for_bundles(gaze, bundles);
  for (const Bundles::Outcome& outcome : bundles.outcomes())
    std::printf("overlays  %s\n", printable(outcome.path).c_str());
}

/// The flags win over the profile.
void choose_rows(const RunArguments& arguments, TokenRows& rows) {
  if (!arguments.rows.empty()) {
    const TokenRows chosen = *parse_token_rows(arguments.rows);
    rows.of = chosen.of;
    rows.first = chosen.first;
    rows.last = chosen.last;
  }
  if (arguments.calls_per_token > 0) rows.calls_per_token = arguments.calls_per_token;
  if (arguments.passes.empty()) return;
  long long passes = 0, pass = 0;
  char rest = 0;
  const int read = std::sscanf(arguments.passes.c_str(), "%lld:%lld%c", &passes, &pass, &rest);
  const bool alone = arguments.passes.find(':') == std::string::npos;
  if (read != (alone ? 1 : 2) || passes < 1 || passes > 256 || pass < 0 || pass >= passes) {
    throw Refusal("--passes: expected N or N:K with 0 <= K < N <= 256, got " + arguments.passes +
                  ". --passes 2:0 keeps the first of two.");
  }
  rows.passes = passes;
  rows.pass = pass;
}

void print_answers(const Call& call, const Profile& profile) {
  for (const std::vector<int64_t>& ids : call.token_ids()) {
    std::string answer;
    for (const Word& word : merge_words(texts_of(row_of(ids)[0], profile), profile.spelling.get()))
      answer += (answer.empty() ? "" : " ") + word.text;
    std::printf("answer    %s\n", printable(answer).c_str());
  }
}

/// With the inputs' file, or what a text says of the prompt.
std::unique_ptr<Call> call_of(Model& model, const RunArguments& arguments, at::Device device) {
  if (!arguments.inputs.empty()) return std::make_unique<Call>(model, arguments.method, arguments.inputs, device);
  const Text text = read_text_file(arguments.texts.front()).text;
  if (text.ids.empty())
    throw Refusal("--text: expected the prompt's ids in " + arguments.texts.front() +
                  " where no --inputs are given, got none. Add \"ids\".");
  return std::make_unique<Call>(model, arguments.method, row_of(text.ids).to(device));
}

}  // namespace

int run(const RunArguments& given) {
  RunArguments arguments = given;
  const bool loops = !arguments.loop.methods.empty();
  if (loops) arguments.method = arguments.loop.first_method();
  Options options = capture_options();
  if (!arguments.profile.empty()) options.profile = arguments.profile;
  if (options.profile.empty()) options.profile = profile_beside(arguments.model);
  if (!arguments.out_dir.empty()) options.out_dir = arguments.out_dir;
  options.model_path = arguments.model;
  options.style.align_to_energy = arguments.align_to_energy;
  if (!arguments.word_files.empty()) options.word_files = *parse_word_files(arguments.word_files);
  const bool overlays = !options.profile.empty();
  if (!overlays && arguments.weights.empty())
    throw Refusal(
        "run: expected a profile, which says what the attention keys stand for, or --weights FILE; got neither. Give "
        "--profile P, "
        "or put profile.json beside the model (docs/profiles.md).");

  const at::Device device = parse_device(arguments.device);
  Model model(arguments.model, device);
  const std::unique_ptr<Call> made = call_of(model, arguments, device);
  Call& call = *made;
  Profile profile;
  if (overlays) profile = read_profile(options.profile);
  choose_rows(arguments, profile.rows);
  if (loops) {
    LoopSettings loop = arguments.loop;
    if (loop.eos < 0) loop.eos = profile.eos;
    call.drive(std::move(loop));
  }
  options.profile_in_code = profile;
  options.profile_text = profile_json(profile);
  const auto bundles = std::make_shared<Bundles>(options);
  const auto named = std::make_shared<NamedBundles>(bundles, profile);
  options.sink = named;
  const bool same_without_capture = arguments.weights.empty() || run_without_capture(call);
  Gaze gaze = attach(model.module(), options);
  if (!arguments.weights.empty()) write_weights(gaze, call, arguments, same_without_capture);
  if (overlays) write_overlays(gaze, call, profile, arguments, *named, *bundles);
  std::printf("returned  %s\n", call.summary().c_str());
  if (loops) print_answers(call, profile);
  return 0;
}

}  // namespace gaze::cli

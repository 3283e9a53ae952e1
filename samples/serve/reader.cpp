// SPDX-License-Identifier: MIT
#include "reader.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <cli/tokens.hpp>
#include <gaze/render/bundle.hpp>

#include <cstdio>
#include <semaphore>
#include <sstream>

#include "http_error.hpp"

namespace gaze::serve {
namespace {

constexpr size_t kMostPromptIds = 13;  // of the model's 24 places; an answer takes 11
constexpr std::ptrdiff_t kMostDecoded = 2;

/// Pictures that are decoded at once: each may be 120 MB then, whatever its file's size.
std::counting_semaphore<kMostDecoded>& decoding() {
  static std::counting_semaphore<kMostDecoded> free(kMostDecoded);
  return free;
}

class Turn {
 public:
  Turn() { decoding().acquire(); }
  ~Turn() { decoding().release(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

Options options_of(const cli::Stickers& stickers, const std::string& bundles) {
  Options options;
  std::vector<std::string> warnings;
  options = from_environment(std::move(options), &warnings);
  for (const std::string& warning : warnings) std::fprintf(stderr, "gaze_serve: %s\n", warning.c_str());
  options.read_environment = false;
  options.profile_in_code = stickers.profile;
  options.profile_text = profile_json(stickers.profile);
  options.model_path = stickers.model_path;
  if (!bundles.empty()) options.out_dir = bundles;
  return options;
}

RequestSpec spec_of(const Job& job) {
  RequestSpec spec;
  spec.id = job.question.id;
  spec.image = Picture::from_bytes(job.question.picture);
  spec.prompt = job.question.prompt;
  if (job.question.wish != Wish::Unsaid) spec.capture = job.question.wish == Wish::On;
  if (!job.question.traceparent.empty()) spec.attributes["traceparent"] = job.question.traceparent;
  return spec;
}

}  // namespace

Reader::Reader(const std::string& model, const std::string& profile, const std::string& bundles,
               std::function<void(const std::string&, const std::string&)> published) {
  at::set_num_threads(1);  // so small a model's threads mostly wait for each other
  stickers_.model_path = model;
  stickers_.profile_path = profile;
  stickers_.profile = read_profile(profile);
  if (stickers_.profile.vocabulary.empty() || !stickers_.profile.image || stickers_.profile.image->mean.empty())
    throw std::runtime_error(profile + ": expected the profile of a stickers model");
  module_ = std::make_unique<torch::jit::Module>(torch::jit::load(model));
  module_->eval();
  Options options = options_of(stickers_, bundles);
  const auto sink = std::make_shared<BundleSink>(bundle_options(options));
  sink->on_published(std::move(published));
  options.sink = sink;
  const bool asked = options.capture;
  options.capture = !options.disabled;  // so that it can be turned on later
  gaze_ = attach(*module_, options);
  Control control = gaze_.control();
  control.capture = asked;
  if (gaze_.enabled()) gaze_.control(control);
}

Reader::~Reader() = default;

Job Reader::prepare(Question question) const {
  Job job;
  std::istringstream words(question.prompt);
  for (std::string word; words >> word;) {
    const auto& known = stickers_.profile.vocabulary;
    if (word.starts_with('<') || std::find(known.begin(), known.end(), word) == known.end())
      throw HttpError(422, "prompt: expected words that the model knows, such as \"describe the stickers :\"");
  }
  job.prompt_ids = stickers_.prompt_ids(question.prompt);
  if (job.prompt_ids.size() > kMostPromptIds)
    throw HttpError(422, "prompt: expected at most " + std::to_string(kMostPromptIds - 1) + " words");
  try {
    const Turn turn;
    const at::Tensor photo_hwc = decode(Picture::from_bytes(question.picture));
    job.input_chw = stickers_.inputs({photo_hwc});
  } catch (const Error& error) {
    throw HttpError(422, error.what());
  }
  job.question = std::move(question);
  return job;
}

std::vector<Answer> Reader::run(std::vector<Job*>& rows) {
  const c10::InferenceMode inference;
  std::vector<at::Tensor> inputs, prompts;
  std::vector<RequestSpec> specs;
  for (const Job* row : rows) {
    inputs.push_back(row->input_chw);
    prompts.push_back(cli::row_of(row->prompt_ids));
    if (gaze_.enabled()) specs.push_back(spec_of(*row));
  }
  Request request = gaze_.begin(std::move(specs));
  const at::Tensor ids_bt = module_->get_method("generate")({at::cat(inputs), cli::stack_rows(prompts), cli::kMaxNew})
                                .toTensor()
                                .contiguous();
  std::vector<Answer> answers;
  for (size_t row = 0; row < rows.size(); ++row) {
    const at::Tensor ids_t = ids_bt[static_cast<int64_t>(row)];
    request.tokens({ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel()}, row);
    std::string text;
    for (const std::string& word : stickers_.words(ids_t)) text += (text.empty() ? "" : " ") + word;
    answers.push_back({text, request.captures(row), rows.size()});
  }
  request.finish();
  return answers;
}

void Reader::answer(std::vector<Job>& batch) {
  std::vector<Job*> rows;
  for (Job& job : batch) rows.push_back(&job);
  std::vector<Answer> answers;
  try {
    answers = run(rows);
  } catch (...) {
    if (rows.size() == 1) return rows[0]->answer.set_exception(std::current_exception());
  }
  for (size_t row = 0; row < answers.size(); ++row) rows[row]->answer.set_value(std::move(answers[row]));
  if (!answers.empty()) return;
  for (Job* const row : rows) {  // each alone, so that only those fail that the model cannot take
    std::vector<Job*> alone = {row};
    try {
      row->answer.set_value(run(alone)[0]);
    } catch (...) {
      row->answer.set_exception(std::current_exception());
    }
  }
}

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
// Whether attention tells the passage that an answer rests on, on questions whose passage is known.
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include <scenes/facts.hpp>

#include "console.hpp"
#include "judged_model.hpp"
#include "reader.hpp"
#include "samples.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

struct Share {
  int64_t hits = 0, all = 0;
  void add(bool hit) {
    hits += hit ? 1 : 0;
    ++all;
  }
  [[nodiscard]] double value() const { return all > 0 ? static_cast<double>(hits) / static_cast<double>(all) : 0; }
};

std::string text_of(const Share& share) {
  char text[64];
  std::snprintf(text, sizeof text, "%5.1f %%  (%lld of %lld)", 100 * share.value(), static_cast<long long>(share.hits),
                static_cast<long long>(share.all));
  return text;
}

/// Of a random pair that the first is the greater one.
double auc(const std::vector<double>& greater, const std::vector<double>& less) {
  double wins = 0;
  for (const double a : greater) {
    for (const double b : less) wins += a > b ? 1 : a == b ? 0.5 : 0;
  }
  const auto pairs = static_cast<double>(greater.size()) * static_cast<double>(less.size());
  return pairs > 0 ? wins / pairs : 0;
}

struct Figures {
  Share exact, exact_stated, exact_not_stated, holder, flat_stated, flat_not_stated;
  std::vector<double> entropy_stated, entropy_not_stated;
};

class SourceJudge {
 public:
  SourceJudge(const std::string& model, at::Device device)
      : reader_(open_reader(model)),
        device_(device),
        judged_(reader_.model_path, device, reader_.profile),
        loop_(judged_.model().module(), reader_loop()) {}

  void ask(uint64_t seed) {
    const scenes::FactsCase composed = scenes::compose_facts(seed, /*held_out=*/true);
    const scenes::FactsQuestion& question = composed.questions.front();
    RequestSpec spec;
    spec.text = reader_.prompt(composed.passages, question.text);
    const at::Tensor prompt_bt = row_of(spec.text.ids).to(device_);
    std::vector<int64_t> ids;
    const AnswerSources found = judged_.read(std::move(spec), [&](Request& request) {
      const at::NoGradGuard no_grad;
      const at::Tensor ids_t = loop_.run({prompt_bt, c10::IValue()})[0];
      ids.assign(ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel());
      request.tokens(ids);
    });
    const bool stated = question.passage >= 0;
    const bool right = reader_.said(ids) == question.answer;
    figures.exact.add(right);
    (stated ? figures.exact_stated : figures.exact_not_stated).add(right);
    size_t largest = 0;
    for (size_t p = 1; p < composed.passages.size(); ++p) {
      if (found.sources[p].mass > found.sources[largest].mass) largest = p;
    }
    if (stated) figures.holder.add(static_cast<int>(largest) == question.passage);
    (stated ? figures.entropy_stated : figures.entropy_not_stated).push_back(found.passages_entropy);
    (stated ? figures.flat_stated : figures.flat_not_stated).add(found.flat);
  }

  Figures figures;
  [[nodiscard]] const std::string& path() const { return reader_.model_path; }

 private:
  Reader reader_;
  at::Device device_;
  JudgedModel judged_;
  Loop loop_;
};

}  // namespace

int evaluate_sources(const EvaluateArguments& arguments) {
  SourceJudge judge(arguments.model.empty() ? samples_dir() + "/models/reader/reader.pt" : arguments.model,
                    parse_device(arguments.device));
  Progress progress("evaluate", "questions");
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    judge.ask(arguments.seed + static_cast<uint64_t>(i));
    progress.show(i + 1, arguments.scenes);
  }
  const Figures& found = judge.figures;
  const double told = auc(found.entropy_not_stated, found.entropy_stated);
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"questions", arguments.scenes},
                                         {"seed", arguments.seed},
                                         {"exact", found.exact.value()},
                                         {"exact_stated", found.exact_stated.value()},
                                         {"exact_not_stated", found.exact_not_stated.value()},
                                         {"holder", found.holder.value()},
                                         {"flat_stated", found.flat_stated.value()},
                                         {"flat_not_stated", found.flat_not_stated.value()},
                                         {"entropy_auc", told}};
    std::printf("%s\n", json.dump(1).c_str());
    return 0;
  }
  std::printf("%lld questions from seed %llu, %s\n\n", static_cast<long long>(arguments.scenes),
              static_cast<unsigned long long>(arguments.seed), printable(judge.path()).c_str());
  const auto line = [](const char* what, const Share& share) {
    std::printf("%-44s %s\n", what, text_of(share).c_str());
  };
  line("exact answers", found.exact);
  line("  the fact is in a passage", found.exact_stated);
  line("  it is in none: \"not stated\"", found.exact_not_stated);
  line("largest mass on the passage with the fact", found.holder);
  line("flat, the fact is in a passage", found.flat_stated);
  line("flat, it is in none", found.flat_not_stated);
  std::printf("entropy over passages tells the two apart    area %.3f\n", told);
  return 0;
}

}  // namespace gaze::cli

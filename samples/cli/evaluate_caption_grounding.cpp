// SPDX-License-Identifier: MIT
// How well the verdicts tell what the captioner sees from what it does not, on pictures whose shapes are known.
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>

#include <iterator>
#include <sstream>

#include <scenes/random.hpp>
#include <scenes/shapes.hpp>

#include "blank_pictures.hpp"
#include "captioner.hpp"
#include "console.hpp"
#include "grounding_cases.hpp"
#include "judged_model.hpp"
#include "samples.hpp"
#include "speech.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

const cv::Size kPicture(scenes::kShapesSide, scenes::kShapesSide);
const cv::Size kInput(scenes::kShapesModelSide, scenes::kShapesModelSide);

std::vector<std::string> words_of(const std::string& caption) {
  std::istringstream text(caption);
  return {std::istream_iterator<std::string>(text), {}};
}

class CaptionJudge {
 public:
  CaptionJudge(const std::string& model, at::Device device)
      : captioner_(open_captioner(model)),
        device_(device),
        judged_(captioner_.model_path, device, captioner_.profile),
        loop_(judged_.model().module(), caption_loop()),
        composer_(samples_dir() + "/data") {}

  void judge_picture(uint64_t seed) {
    scenes::Random random(seed);
    const scenes::ShapesPicture picture = composer_.compose(seed, scenes::Split::held_out);
    const std::string caption = picture.caption();
    ask(picture.rgb, caption);
    const std::pair<const char*, cv::Mat> blanks[] = {
        {"plain colour", plain_picture(random, kPicture)},
        {"noise", noise_picture(random, kPicture, kInput)},
        {"photograph", composer_.compose(seed, scenes::Split::held_out, /*with_shapes=*/false).rgb}};
    for (const auto& [kind, blank] : blanks) {
      add(kind, Truth::Unsupported, own_caption(blank));
      add(std::string("said over ") + kind, Truth::Unsupported, said_over(blank, caption));
    }
    const scenes::ShapesPicture other = composer_.compose(seed + 1, scenes::Split::held_out);
    add("said over another scene", Truth::Beside, said_over(other.rgb, caption));
  }

  std::vector<JudgedCase> answers, words;
  [[nodiscard]] const std::string& path() const { return captioner_.model_path; }

 private:
  GroundedAnswer own_caption(const cv::Mat& picture) {
    return judged_.judge({}, [&](Request& request) {
      const at::NoGradGuard no_grad;
      const at::Tensor ids_t = loop_.run({captioner_.input(picture).to(device_)})[0];
      request.tokens({ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel()});
    });
  }

  GroundedAnswer said_over(const cv::Mat& picture, const std::string& caption) {
    const std::vector<int64_t> said = captioner_.ids(caption);
    // The last token's row is that of the token before it.
    std::vector<int64_t> ids = caption_loop().bos;
    RequestSpec spec;
    spec.prompt_tokens = static_cast<int64_t>(ids.size());
    ids.insert(ids.end(), said.begin(), said.end() - 1);
    return judged_.judge(std::move(spec), [&](Request& request) {
      judged_.model().forward(captioner_.input(picture).to(device_), row_of(ids).to(device_));
      request.tokens(said);
    });
  }

  void ask(const cv::Mat& picture, const std::string& caption) {
    const GroundedAnswer answer = own_caption(picture);
    std::vector<std::string> said;
    for (const WordFacts& word : answer.words) said.push_back(word.word.text);
    const std::vector<std::string> truth = words_of(caption);
    const bool right = said == truth;
    answers.push_back({right ? "right" : "wrong answer", right ? Truth::Supported : Truth::Unsupported,
                       said.empty() ? kNothingSaid : answer.summary.grounding});
    std::vector<bool> same(said.size());
    for (const Match& pair : matched_words(truth, said).same) same[pair.heard] = true;
    for (size_t w = 0; w < said.size(); ++w) {
      if (!answer.words[w].content) continue;
      words.push_back({same[w] ? "right" : "wrong word", same[w] ? Truth::Supported : Truth::Unsupported,
                       answer.words[w].grounding});
    }
  }

  void add(const std::string& kind, Truth truth, const GroundedAnswer& answer) {
    answers.push_back({kind, truth, answer.words.empty() ? kNothingSaid : answer.summary.grounding});
    for (const WordFacts& word : answer.words) {
      if (word.content) words.push_back({kind, truth, word.grounding});
    }
  }

  Captioner captioner_;
  at::Device device_;
  JudgedModel judged_;
  Loop loop_;
  scenes::ShapesComposer composer_;
};

}  // namespace

int evaluate_caption_grounding(const EvaluateArguments& arguments) {
  CaptionJudge judge(arguments.model, parse_device(arguments.device));
  Progress progress("evaluate", "scenes");
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    judge.judge_picture(arguments.seed + static_cast<uint64_t>(i));
    progress.show(i + 1, arguments.scenes);
  }
  print_judged(arguments, "scenes", printable(judge.path()), judge.answers, judge.words);
  return 0;
}

}  // namespace gaze::cli

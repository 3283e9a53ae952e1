// SPDX-License-Identifier: MIT
// How well the verdicts tell what a sticker reader sees from what it does not, on scenes whose stickers are known.
#include <gaze/render/opencv.hpp>

#include <algorithm>

#include <scenes/random.hpp>
#include <scenes/scenes.hpp>

#include "blank_pictures.hpp"
#include "captioner.hpp"
#include "console.hpp"
#include "grounding_cases.hpp"
#include "judged_model.hpp"
#include "samples.hpp"
#include "stickers.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

using Words = std::vector<std::string>;

const std::string kNone = "none";  // what a reader says of a sticker that does not lie there

struct Asked {
  std::string prompt;
  Words truth;
};

Asked describe(const scenes::Scene& scene) {
  Asked question{"describe the stickers :", {}};
  for (const scenes::Sticker& sticker : scene.stickers) {
    question.truth.push_back(sticker.colour_name());
    question.truth.push_back(sticker.digit_name());
  }
  return question;
}

Asked which(const scenes::Scene& scene, int colour) {
  Asked question{
      std::string("which number is on the ") + scenes::kColourNames[static_cast<size_t>(colour)] + " sticker ?",
      {kNone}};
  for (const scenes::Sticker& sticker : scene.stickers) {
    if (sticker.colour == colour) question.truth = {sticker.digit_name()};
  }
  return question;
}

int absent_colour(const scenes::Scene& scene, scenes::Random& random) {
  std::vector<int> absent;
  for (int colour = 0; colour < scenes::kColours; ++colour) {
    const bool there = std::any_of(scene.stickers.begin(), scene.stickers.end(),
                                   [&](const scenes::Sticker& sticker) { return sticker.colour == colour; });
    if (!there) absent.push_back(colour);
  }
  return absent[static_cast<size_t>(random.below(static_cast<int>(absent.size())))];
}

const cv::Size kPhoto(scenes::kPhotoWidth, scenes::kPhotoHeight);
const cv::Size kInput(scenes::kModelWidth, scenes::kModelHeight);

class StickerJudge {
 public:
  StickerJudge(const std::string& model, at::Device device)
      : stickers_(open_stickers(model)),
        device_(device),
        judged_(stickers_.model_path, device, stickers_.profile),
        composer_(samples_dir() + "/data") {}

  void judge_scene(uint64_t seed) {
    scenes::Random random(seed);
    const scenes::Scene scene = compose(seed, scenes::kMaxStickers);
    const scenes::Scene other = compose(seed + 1, scenes::kMaxStickers);
    const auto turn = static_cast<int>(seed % 2);
    const auto asked = static_cast<size_t>(random.below(static_cast<int>(scene.stickers.size())));
    const Asked question = turn == 0 ? describe(scene) : which(scene, scene.stickers[asked].colour);
    ask("", scene.rgb, question);
    if (turn != 0) ask("absent sticker", scene.rgb, which(scene, absent_colour(scene, random)));
    const std::pair<const char*, cv::Mat> blanks[] = {{"plain colour", plain_picture(random, kPhoto)},
                                                      {"noise", noise_picture(random, kPhoto, kInput)},
                                                      {"photograph", compose(seed, 0).rgb}};
    for (const auto& [kind, photo] : blanks) {
      ask(kind, photo, question);
      say(std::string("said over ") + kind, Truth::Unsupported, photo, question);
    }
    say("said over another scene", Truth::Beside, other.rgb, question);
  }

  std::vector<JudgedCase> answers, words;
  [[nodiscard]] const std::string& path() const { return stickers_.model_path; }

 private:
  [[nodiscard]] scenes::Scene compose(uint64_t seed, int most) const {
    return composer_.compose(seed, scenes::Split::held_out, std::min(2, most), most);
  }

  [[nodiscard]] at::Tensor input(const cv::Mat& photo) const {
    return stickers_.inputs({picture(photo, ChannelOrder::Rgb).tensor}).to(device_);
  }

  // The model's own answer. @param kind  of an input without what is asked for; empty: the scene's own
  void ask(const std::string& kind, const cv::Mat& photo, const Asked& question) {
    Words said;
    const GroundedAnswer answer = judged_.judge({}, [&](Request& request) {
      const at::Tensor prompt_bt = row_of(stickers_.prompt_ids(question.prompt)).to(device_);
      const at::Tensor ids_t = judged_.model().generate(input(photo), prompt_bt, kMaxNew)[0].cpu().contiguous();
      said = stickers_.words(ids_t);
      request.tokens({ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel()});
    });
    if (said.empty()) {
      answers.push_back({kind.empty() ? "wrong answer" : kind, Truth::Unsupported, kNothingSaid});
      return;
    }
    const bool right = said == question.truth;
    if (kind.empty()) {
      add(answers, right, "wrong answer", answer.summary);
    } else {
      answers.push_back({kind, Truth::Unsupported, answer.summary.grounding});
    }
    for (size_t w = 0; w < answer.words.size(); ++w) {
      if (kind.empty()) {
        add(words, w < question.truth.size() && w < said.size() && said[w] == question.truth[w], "wrong word",
            answer.words[w]);
      } else {
        words.push_back({kind, Truth::Unsupported, answer.words[w].grounding});
      }
    }
  }

  static void add(std::vector<JudgedCase>& cases, bool right, const char* wrong, const WordFacts& facts) {
    cases.push_back({right ? "right" : wrong, right ? Truth::Supported : Truth::Unsupported, facts.grounding});
  }

  // The right words of a scene, over another picture.
  void say(const std::string& kind, Truth truth, const cv::Mat& photo, const Asked& question) {
    std::vector<int64_t> ids = stickers_.prompt_ids(question.prompt);
    RequestSpec spec;
    spec.prompt_tokens = static_cast<int64_t>(ids.size());
    const std::vector<int64_t> said = stickers_.word_ids(question.truth);
    // The last word's row is that of the token before it.
    ids.insert(ids.end(), said.begin(), said.end() - 1);
    const GroundedAnswer answer = judged_.judge(std::move(spec), [&](Request& request) {
      judged_.model().forward(input(photo), row_of(ids).to(device_));
      request.tokens(said);
    });
    answers.push_back({kind, truth, answer.summary.grounding});
    for (const WordFacts& word : answer.words) words.push_back({kind, truth, word.grounding});
  }

  Stickers stickers_;
  at::Device device_;
  JudgedModel judged_;
  scenes::Composer composer_;
};

}  // namespace

int evaluate_grounding(const EvaluateArguments& arguments) {
  if (is_captioner(arguments.model)) return evaluate_caption_grounding(arguments);
  StickerJudge judge(arguments.model.empty() ? samples_dir() + "/models/stickers/stickers_sdpa.pt" : arguments.model,
                     parse_device(arguments.device));
  Progress progress("evaluate", "scenes");
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    judge.judge_scene(arguments.seed + static_cast<uint64_t>(i));
    progress.show(i + 1, arguments.scenes);
  }
  print_judged(arguments, "scenes", printable(judge.path()), judge.answers, judge.words);
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include <ATen/ops/full.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bundle_file.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "demo_list.hpp"
#include "samples.hpp"
#include "script.hpp"
#include "settings.hpp"
#include "stickers.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {
namespace fs = std::filesystem;

constexpr int64_t kBlankHeight = 576, kBlankWidth = 960;  // as the photographs

struct Question {
  std::string prompt, truth;
};
struct Shot {
  std::string file;
  std::vector<Question> questions;
};

std::vector<Shot> shots_of(const nlohmann::json& list) {
  std::vector<Shot> shots;
  for (const auto& picture : list.at("pictures")) {
    Shot shot{picture.at("file").get<std::string>(), {}};
    for (const auto& prompt : picture.at("prompts"))
      shot.questions.push_back({prompt.at("text").get<std::string>(), prompt.at("answer").get<std::string>()});
    shots.push_back(std::move(shot));
  }
  return shots;
}

}  // namespace

int demo(const DemoArguments& arguments) {
  const fs::path samples = arguments.data_dir.empty() ? samples_dir() : arguments.data_dir;
  const fs::path pictures = samples / "data" / "demo";
  const std::vector<Shot> shots = read_demo(pictures / "demo.json", "pictures with file and prompts", shots_of);
  const Stickers stickers = open_stickers((samples / "models" / "stickers" / "stickers_sdpa.pt").string());
  const at::Device device = parse_device(arguments.device);
  Model model(stickers.model_path, device);

  Options options = capture_options();
  options.profile_in_code = stickers.profile;
  options.profile_text = profile_json(stickers.profile);
  options.model_path = stickers.model_path;
  if (!arguments.out_dir.empty()) options.out_dir = arguments.out_dir;
  const auto bundles = std::make_shared<Bundles>(options);
  options.sink = bundles;
  Gaze gaze = attach(model.module(), options);

  // Asks, prints, and returns the answer.
  const auto ask = [&](const std::string& file, const at::Tensor& photo_hwc, const std::string& prompt) {
    RequestSpec spec;
    spec.id = file + ": " + prompt;
    spec.image = photo_hwc;
    spec.prompt = prompt;
    const at::Tensor input_bchw = stickers.inputs({photo_hwc}).to(device);
    const at::Tensor prompt_bt = row_of(stickers.prompt_ids(prompt)).to(device);
    Request request = gaze.begin(std::move(spec));
    const at::Tensor ids_bt = model.generate(input_bchw, prompt_bt, kMaxNew);
    const at::Tensor ids_t = ids_bt[0].cpu().contiguous();
    request.tokens({ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel()});
    request.finish();
    wait_for_bundles(gaze, *bundles);
    const std::string answer = join(stickers.words(ids_t));
    const StoredVerdict grounding = grounding_of(read_request(bundles->outcomes().back().path));
    std::printf("  asked     %s\n  answered  %s%s\n", printable(prompt).c_str(), printable(answer).c_str(),
                grounding.verdict.empty() ? "" : ("   (" + printable(grounding.verdict) + ")").c_str());
    return answer;
  };
  const auto print_path = [&] { std::printf("  overlays  %s\n", printable(bundles->outcomes().back().path).c_str()); };

  size_t asked = 0;
  size_t right = 0;
  for (const Shot& shot : shots) {
    const at::Tensor photo_hwc = decode(Picture((pictures / shot.file).string()));
    std::printf("%s\n", printable(shot.file).c_str());
    for (const Question& question : shot.questions) {
      const std::string answer = ask(shot.file, photo_hwc, question.prompt);
      ++asked;
      right += answer == question.truth ? 1 : 0;
      std::printf("  truth     %s%s\n", printable(question.truth).c_str(),
                  answer == question.truth ? "" : "   <-- differs");
      print_path();
    }
  }
  // What is said of a picture without anything in it rests on nothing, and that is seen.
  std::printf("a grey picture\n");
  ask("grey", at::full({kBlankHeight, kBlankWidth, 3}, 128, at::kByte), "which number is on the red sticker ?");
  std::printf("  truth     there is none\n");
  print_path();
  std::printf("\n%zu of %zu answers about photographs right.\n", right, asked);
  report({{options.out_dir}, {}, {}});
  std::printf("Open index.html, or report.html in any of the folders above; all are in\n%s\n",
              whole_path(options.out_dir).c_str());
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// The speech sample writes down recordings, and each bundle shows when every word was heard.
#include <gaze/render/audio_file.hpp>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "console.hpp"
#include "demo_list.hpp"
#include "samples.hpp"
#include "settings.hpp"
#include "speech.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {
namespace fs = std::filesystem;

struct Shown {
  std::string file;  // as it is printed
  std::string path;
  std::string truth;  // empty: not known
  std::string note;
};

std::vector<Shown> shipped(const fs::path& folder) {
  return read_demo(folder / "demo.json", "recordings with file and answer", [&](const nlohmann::json& list) {
    std::vector<Shown> recordings;
    for (const auto& entry : list.at("recordings")) {
      const auto name = entry.at("file").get<std::string>();
      recordings.push_back(
          {name, (folder / name).string(), entry.value("answer", std::string()), entry.value("note", std::string())});
    }
    return recordings;
  });
}

}  // namespace

int demo_speech(const DemoArguments& arguments) {
  const std::string samples = arguments.data_dir.empty() ? samples_dir() : arguments.data_dir;
  std::vector<Shown> recordings;
  for (const std::string& path : arguments.audio) recordings.push_back({path, path, {}, {}});
  if (recordings.empty()) recordings = shipped(fs::path(samples) / "data" / "speech" / "demo");
  const Speech speech = open_speech(samples + "/models/speech/speech.pt");
  const at::Device device = parse_device(arguments.device);
  Model model(speech.model_path, device);

  Options options = capture_options();
  options.profile_in_code = speech.profile;
  options.model_path = speech.model_path;
  if (!arguments.out_dir.empty()) options.out_dir = arguments.out_dir;
  const auto bundles = std::make_shared<Bundles>(options);
  options.sink = bundles;
  Gaze gaze = attach(model.module(), options);

  size_t known = 0;
  size_t right = 0;
  for (const Shown& shown : recordings) {
    Audio audio = read_audio(shown.path);
    const at::Tensor input_s = model_input(audio.samples_ct, audio.sample_rate_hz);
    RequestSpec spec;
    spec.id = shown.file;
    spec.prompt = shown.note;
    spec.sound.samples = std::move(audio.samples_ct);
    spec.sound.sample_rate_hz = audio.sample_rate_hz;
    Request request = gaze.begin(std::move(spec));
    const std::string text = join(answer(speech, model, input_s, device, request));
    request.finish();
    wait_for_bundles(gaze, *bundles);
    known += shown.truth.empty() ? 0 : 1;
    right += !shown.truth.empty() && text == shown.truth ? 1 : 0;
    std::printf("%s%s%s\n  heard     %s\n", printable(shown.file).c_str(), shown.note.empty() ? "" : ": ",
                printable(shown.note).c_str(), printable(text).c_str());
    if (!shown.truth.empty())
      std::printf("  said      %s%s\n", printable(shown.truth).c_str(), text == shown.truth ? "" : "   <-- differs");
    std::printf("  overlays  %s\n", printable(bundles->outcomes().back().path).c_str());
  }
  std::printf("\n");
  if (known > 0) std::printf("%zu of %zu recordings written down right. ", right, known);
  std::printf("Look at sheet.png in any of the folders above; all are in\n%s\n", whole_path(options.out_dir).c_str());
  return 0;
}

}  // namespace gaze::cli

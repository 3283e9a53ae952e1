// SPDX-License-Identifier: MIT
// The speech sample writes down recordings, and each bundle shows when every word was heard.
#include <gaze/render/audio_file.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bundle_verbs.hpp"
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
  std::string truth;  // of short ones; empty: not known
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

constexpr double kMostSecondsPerBundle = 300;  // ten rows of half a minute; longer recordings get several bundles

std::string clock(double seconds) {
  char text[32];
  const auto whole = static_cast<int64_t>(seconds);
  std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(whole / 60), static_cast<int>(whole % 60));
  return text;
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
  options.profile_text = profile_json(speech.profile);
  options.model_path = speech.model_path;
  options.max_tokens = std::max(options.max_tokens, most_rows(speech, kMostSecondsPerBundle));
  if (!arguments.out_dir.empty()) options.out_dir = arguments.out_dir;
  const auto bundles = std::make_shared<Bundles>(options);
  options.sink = bundles;
  Gaze gaze = attach(model.module(), options);

  size_t known = 0;
  size_t right = 0;
  for (const Shown& shown : recordings) {
    const Audio audio = read_audio(shown.path);
    const at::Tensor input_s = model_input(audio.samples_ct, audio.sample_rate_hz);
    std::vector<double> starts = parts_of(input_s, kMostSecondsPerBundle);
    starts.push_back(static_cast<double>(input_s.size(0)) / scenes::kSampleRateHz);
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      const auto slice = [&](const at::Tensor& samples, int64_t rate) {
        const auto first = static_cast<int64_t>(starts[i] * static_cast<double>(rate));
        const auto end =
            i + 2 < starts.size() ? static_cast<int64_t>(starts[i + 1] * static_cast<double>(rate)) : samples.size(-1);
        return samples.narrow(-1, first, end - first);
      };
      RequestSpec spec;
      spec.id = shown.file + (starts.size() > 2 ? " from " + clock(starts[i]) : "");
      spec.prompt = shown.note;
      spec.sound.samples = slice(audio.samples_ct, audio.sample_rate_hz);
      spec.sound.sample_rate_hz = audio.sample_rate_hz;
      spec.sound.start_seconds = starts[i];
      std::printf("%s%s%s\n", printable(spec.id).c_str(), shown.note.empty() ? "" : ": ",
                  printable(shown.note).c_str());
      Request request = gaze.begin(std::move(spec));
      const std::string heard = join(answer(speech, model, slice(input_s, scenes::kSampleRateHz), device, request));
      request.finish();
      wait_for_bundles(gaze, *bundles);
      std::printf("  heard     %s\n", printable(heard).c_str());
      if (!shown.truth.empty()) {
        ++known;
        right += heard == shown.truth ? 1 : 0;
        std::printf("  said      %s%s\n", printable(shown.truth).c_str(), heard == shown.truth ? "" : "   <-- differs");
      }
      std::printf("  overlays  %s\n", printable(bundles->outcomes().back().path).c_str());
    }
  }
  std::printf("\n");
  if (known > 0) std::printf("%zu of %zu recordings written down right. ", right, known);
  report({{options.out_dir}, {}, {}});
  std::printf("Open index.html, or report.html in any of the folders above; all are in\n%s\n",
              whole_path(options.out_dir).c_str());
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// Bundles of a sticker reader's answers to many scenes, some of which are not as they were: for `gaze drift`.
// gaze_drift_bundles MODEL.pt KIND SEED COUNT OUT_DIR
#include <gaze/gaze.hpp>
#include <gaze/render/opencv.hpp>

#include <chrono>
#include <cstdio>
#include <opencv2/imgproc.hpp>

#include <torch/script.h>
#include <samples/cli/blank_pictures.hpp>
#include <samples/cli/stickers.hpp>
#include <scenes/random.hpp>
#include <scenes/scenes.hpp>

namespace {

using gaze::scenes::Random;

cv::Mat blurred(const cv::Mat& photo, double sigma_px) {
  cv::Mat made;
  cv::GaussianBlur(photo, made, {}, sigma_px);
  return made;
}

cv::Mat noisy(const cv::Mat& photo, uint64_t seed, double deviation) {
  cv::Mat noise(photo.size(), CV_16SC3), sum;
  cv::RNG(seed).fill(noise, cv::RNG::NORMAL, 0, deviation);
  photo.convertTo(sum, CV_16SC3);
  sum += noise;
  sum.convertTo(sum, CV_8UC3);
  return sum;
}

cv::Mat dimmed(const cv::Mat& photo, double share) {
  cv::Mat made;
  photo.convertTo(made, CV_8UC3, share);
  return made;
}

// What becomes of a scene's photograph, 960 x 576; the model sees a sixth of that.
cv::Mat changed(const std::string& kind, const cv::Mat& photo, uint64_t seed) {
  Random random(seed);
  const cv::Size input(gaze::scenes::kModelWidth, gaze::scenes::kModelHeight);
  if (kind == "plain") return gaze::cli::plain_picture(random, photo.size());
  if (kind == "squares") return gaze::cli::noise_picture(random, photo.size(), input);
  if (kind == "blurred-6") return blurred(photo, 6);
  if (kind == "blurred-12") return blurred(photo, 12);
  if (kind == "noisy-40") return noisy(photo, seed, 40);
  if (kind == "noisy-120") return noisy(photo, seed, 120);
  if (kind == "dim-50") return dimmed(photo, 0.5);
  if (kind == "dim-20") return dimmed(photo, 0.2);
  return photo;
}

std::string question_of(const std::string& kind, const gaze::scenes::Scene& scene, uint64_t seed) {
  if (kind == "describe" || (kind != "which" && seed % 2 == 0)) return "describe the stickers :";
  const auto colour = static_cast<size_t>(gaze::scenes::colour_to_ask(scene, seed));
  return std::string("which number is on the ") + gaze::scenes::kColourNames[colour] + " sticker ?";
}

void answer_all(const std::string& model_file, const std::string& kind, uint64_t seed, uint64_t count,
                const std::string& out_dir) {
  const torch::NoGradGuard no_grad;
  const gaze::cli::Stickers stickers = gaze::cli::open_stickers(model_file);
  torch::jit::Module model = torch::jit::load(model_file);
  gaze::Options options;
  options.profile_in_code = stickers.profile;
  options.capture = true;
  options.read_environment = false;
  options.out_dir = out_dir;
  options.model_path = model_file;
  options.pictures = {.overlay = false, .words = false, .sheet = false};
  options.log = "error";
  gaze::Gaze gaze = gaze::attach(model, options);
  const gaze::scenes::Composer composer(GAZE_SAMPLES_DIR "/data");
  for (uint64_t i = seed; i < seed + count; ++i) {
    const gaze::scenes::Scene scene = composer.compose(i, gaze::scenes::Split::held_out);
    const cv::Mat small = gaze::scenes::model_input(changed(kind, scene.rgb, i));
    const at::Tensor photo_hwc = gaze::picture(small, gaze::ChannelOrder::Rgb).tensor;
    gaze::RequestSpec spec;
    spec.id = kind + " " + std::to_string(i);
    spec.image = photo_hwc;
    spec.prompt = question_of(kind, scene, i);
    const at::Tensor input = gaze::cli::normalised(photo_hwc.unsqueeze(0), *stickers.profile.image);
    const at::Tensor prompt_bt = torch::tensor(stickers.prompt_ids(spec.prompt)).unsqueeze(0);
    gaze::Request request = gaze.begin(std::move(spec));
    const at::Tensor ids_t =
        model.run_method("generate", input, prompt_bt, gaze::cli::kMaxNew).toTensor()[0].contiguous();
    request.tokens({ids_t.const_data_ptr<int64_t>(), ids_t.const_data_ptr<int64_t>() + ids_t.numel()});
    request.finish();
    if ((i + 1 - seed) % 100 == 0) gaze.flush(std::chrono::minutes(5));
  }
  gaze.flush(std::chrono::minutes(5));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: gaze_drift_bundles MODEL.pt KIND SEED COUNT OUT_DIR\n");
    return 2;
  }
  try {
    answer_all(argv[1], argv[2], std::stoull(argv[3]), std::stoull(argv[4]), argv[5]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

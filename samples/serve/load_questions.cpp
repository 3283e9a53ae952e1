// SPDX-License-Identifier: MIT
#include "load_questions.hpp"

#include <cli/console.hpp>
#include <scenes/scenes.hpp>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "watermark.hpp"

namespace gaze::serve {
namespace {

constexpr uint64_t kFirstSeed = 8'000'000;
constexpr size_t kScenes = 64;  // composing one takes longer than writing its number and encoding it

std::string describe(const scenes::Scene& scene) {
  std::string text;
  for (const scenes::Sticker& sticker : scene.stickers)
    text += (text.empty() ? "" : " ") + sticker.colour_name() + " " + sticker.digit_name();
  return text;
}

std::string encode(const cv::Mat& rgb) {
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, 90});
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<LoadQuestion> make_questions(const std::string& data_dir, uint32_t first, size_t count) {
  const scenes::Composer composer(data_dir);
  std::vector<scenes::Scene> scenes;
  std::vector<LoadQuestion> questions;
  cli::Progress progress("pictures", "pictures");
  for (size_t i = 0; i < count; ++i) {
    if (scenes.size() < std::min(count, kScenes))
      scenes.push_back(composer.compose(kFirstSeed + scenes.size(), scenes::Split::held_out));
    scenes::Scene& scene = scenes[i % kScenes];
    LoadQuestion question{first + static_cast<uint32_t>(i), {}, {}, {}};
    write_watermark(scene.rgb, question.number);
    question.jpeg = encode(scene.rgb);
    const scenes::Sticker& asked = scene.stickers[i / kScenes % scene.stickers.size()];
    const bool describes = i % 4 != 3;
    question.prompt = describes ? std::string("describe the stickers :")
                                : "which number is on the " + asked.colour_name() + " sticker ?";
    question.truth = describes ? describe(scene) : asked.digit_name();
    questions.push_back(std::move(question));
    progress.show(static_cast<int64_t>(i + 1), static_cast<int64_t>(count));
  }
  return questions;
}

}  // namespace gaze::serve

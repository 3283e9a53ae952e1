// SPDX-License-Identifier: MIT
#include "captioner.hpp"

#include <ATen/Parallel.h>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include <scenes/shapes.hpp>

#include "console.hpp"
#include "samples.hpp"
#include "stickers.hpp"

namespace gaze::cli {
namespace {

const std::string kSpace = "\u0120";  // as byte-level BPE writes it

std::string tokenizer_beside(const std::string& model_path) {
  return (std::filesystem::path(model_path).parent_path() / "tokenizer.json").string();
}

}  // namespace

std::vector<int64_t> Captioner::ids(const std::string& caption) const {
  std::vector<int64_t> ids;
  std::istringstream text(caption);
  for (std::string word; text >> word;) {
    std::vector<std::string> pieces;
    if (!ids.empty()) pieces.push_back(kSpace);
    for (const char letter : word) pieces.emplace_back(1, letter);
    while (true) {
      size_t best = merges.size(), at = 0;
      for (size_t i = 0; i + 1 < pieces.size(); ++i) {
        const auto found = merges.find({pieces[i], pieces[i + 1]});
        if (found == merges.end() || found->second >= best) continue;
        best = found->second;
        at = i;
      }
      if (best == merges.size()) break;
      pieces[at] += pieces[at + 1];
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    for (const std::string& piece : pieces) {
      const auto found = std::find(profile.vocabulary.begin(), profile.vocabulary.end(), piece);
      if (found == profile.vocabulary.end())
        throw Refusal(tokenizer_beside(model_path) + ": expected a token for \"" + piece +
                      "\", got none. Use the captioner's own folder.");
      ids.push_back(found - profile.vocabulary.begin());
    }
  }
  return ids;
}

at::Tensor Captioner::input(const cv::Mat& picture_rgb) const {
  const cv::Mat small = scenes::captioner_input(picture_rgb);
  return normalised(picture(small, ChannelOrder::Rgb).tensor.unsqueeze(0), *profile.image);
}

const LoopSettings& caption_loop() {
  static const LoopSettings settings{.methods = "encode,decode", .bos = {1}, .eos = 2, .most = 31};
  return settings;
}

bool is_captioner(const std::string& model_path) {
  const std::string profile = model_path.empty() ? "" : profile_beside(model_path);
  return !profile.empty() && read_profile(profile).name == "captioner";
}

Captioner open_captioner(const std::string& model_path) {
  at::set_num_threads(1);  // so small a model's threads mostly wait for each other
  Captioner captioner;
  captioner.model_path = model_path;
  captioner.profile = read_profile(profile_beside(model_path));
  const std::string path = tokenizer_beside(model_path);
  try {
    std::ifstream file(path);
    const auto json = nlohmann::json::parse(file);
    for (const auto& pair : json.at("model").at("merges"))
      captioner.merges.emplace(std::pair(pair.at(0).get<std::string>(), pair.at(1).get<std::string>()),
                               captioner.merges.size());
  } catch (const nlohmann::json::exception& error) {
    throw Refusal(path + ": expected a tokenizer of byte-level BPE, got " + brief(error.what()) +
                  ". Use the captioner's own folder.");
  }
  if (captioner.profile.vocabulary.empty() || !captioner.profile.image || captioner.profile.image->mean.empty())
    throw Refusal(profile_beside(model_path) +
                  ": expected tokens.vocabulary and image.mean, got none. Use the captioner's own folder.");
  return captioner;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "stickers.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <iterator>
#include <sstream>

#include <scenes/scenes.hpp>

#include "console.hpp"
#include "samples.hpp"
#include "tokens.hpp"

namespace gaze::cli {
namespace {

at::Tensor channels(const std::vector<float>& values) {
  return at::tensor(at::ArrayRef<float>(values)).view({1, static_cast<int64_t>(values.size()), 1, 1});
}

}  // namespace

std::vector<int64_t> Stickers::prompt_ids(const std::string& prompt) const {
  std::vector<int64_t> ids;
  if (profile.spans && profile.geometry)  // early fusion: the picture's cells stand first
    ids.assign(static_cast<size_t>(profile.geometry->rows * profile.geometry->cols), profile.spans->placeholder);
  std::istringstream text("<bos> " + prompt);
  const std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
  const std::vector<int64_t> more = word_ids(words);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

std::vector<int64_t> Stickers::word_ids(const std::vector<std::string>& words) const {
  std::vector<int64_t> ids;
  for (const std::string& word : words) {
    const auto found = std::find(profile.vocabulary.begin(), profile.vocabulary.end(), word);
    if (found == profile.vocabulary.end())
      throw Refusal(profile_path + ": tokens.vocabulary: expected a model that knows the word \"" + word +
                    "\", got one that does not. Use a stickers model.");
    ids.push_back(found - profile.vocabulary.begin());
  }
  return ids;
}

std::vector<std::string> Stickers::words(const at::Tensor& ids_t) const { return texts_of(ids_t, profile); }

at::Tensor Stickers::inputs(const std::vector<at::Tensor>& photos_hwc) const {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& photo_hwc : photos_hwc) {
    const cv::Mat small = scenes::model_input(view(photo_hwc));
    rows.push_back(picture(small, ChannelOrder::Rgb).tensor);
  }
  return normalised(at::stack(rows), *profile.image);
}

at::Tensor normalised(const at::Tensor& pixels_bhwc, const ImageInput& image) {
  const at::Tensor pixels_bchw = pixels_bhwc.permute({0, 3, 1, 2}).to(at::kFloat) / 255;
  return ((pixels_bchw - channels(image.mean)) / channels(image.std)).contiguous();
}

Stickers open_stickers(const std::string& model_path) {
  at::set_num_threads(1);  // so small a model's threads mostly wait for each other
  Stickers stickers;
  stickers.model_path = model_path;
  stickers.profile_path = profile_beside(model_path);
  if (stickers.profile_path.empty())
    throw Refusal("model: expected profile.json beside " + model_path +
                  ", found none. Use a stickers model with its own folder.");
  stickers.profile = read_profile(stickers.profile_path);
  if (stickers.profile.vocabulary.empty() || !stickers.profile.image || stickers.profile.image->mean.empty())
    throw Refusal(stickers.profile_path +
                  ": expected tokens.vocabulary and image.mean, got none. Use a stickers model with its own folder.");
  return stickers;
}

}  // namespace gaze::cli

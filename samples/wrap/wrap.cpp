// SPDX-License-Identifier: MIT
// A host with Gaze in it; README.md shows the lines between the marks.
// In samples/models/stickers: GAZE_CAPTURE=1 GAZE_PROFILE=profile.json wrap stickers_sdpa.pt ../../data/demo/cup.jpg
#include <torch/script.h>
#include <gaze/gaze.hpp>

#include <exception>
#include <iostream>

namespace {

constexpr int64_t kEnd = 2;

/// The host's own loop, without a line of Gaze's.
std::vector<int64_t> decode(torch::jit::Module& model, const at::Tensor& photo) {
  const at::Tensor pixels = photo.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat) / 255;
  const at::Tensor input = (at::adaptive_avg_pool2d(pixels, {96, 160}) - 0.45) / 0.27;
  at::Tensor tokens = torch::tensor({{1, 3, 4, 5, 11}}, torch::kLong);  // <bos> describe the stickers :
  const c10::IValue memory = model.run_method("encode", input);
  c10::IValue cache = c10::List<at::Tensor>();
  std::vector<int64_t> answer;
  while (answer.size() < 11 && (answer.empty() || answer.back() != kEnd)) {
    const auto step = model.run_method("decode_step", tokens, memory, cache).toTuple();
    tokens = step->elements()[0].toTensor().argmax(-1, /*keepdim=*/true);
    cache = step->elements()[1];
    answer.push_back(tokens.item<int64_t>());
  }
  return answer;
}

void answer(const std::string& model_file, const std::string& photo_file) {
  const torch::NoGradGuard no_grad;
  const at::Tensor photo = gaze::decode(photo_file);  // uint8 [576, 960, 3]

  // [page]
  auto model = torch::jit::load(model_file);
  auto gaze = gaze::attach(model);  // does nothing unless GAZE_CAPTURE=1

  auto request = gaze.begin({.id = "42", .image = photo, .prompt = "describe the stickers"});
  std::vector<int64_t> answer = decode(model, photo);  // your own loop, as it is
  request.tokens(answer);                              // or request.label({"red", "seven", ...})
  request.finish();                                    // overlays/<time>-.../ appears; nobody waited for it
  // [/page]

  std::cout << "answer:";
  for (const int64_t token : answer) std::cout << ' ' << token;
  std::cout << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: wrap MODEL.pt PHOTO\n";
    return 2;
  }
  try {
    answer(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "wrap: " << error.what() << '\n';
    return 1;
  }
}

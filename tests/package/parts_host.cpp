// SPDX-License-Identifier: MIT
// A host that uses the parts, and says what it has in its process: parts_host [VERB [ARGUMENT]]... The same source is a
// plugin, which parts_loader opens.
#include <dlfcn.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gaze/gaze.hpp>
#include <gaze/ops/part.hpp>
#include <gaze/render/audio_file.hpp>
#include <gaze/render/words.hpp>

#include "libraries.hpp"

namespace {

template <typename Work>
void say(const Work& work) {
  try {
    const at::Tensor result = work();
    std::cout << "done " << result.sizes() << '\n';
  } catch (const gaze::Error& error) {
    std::cout << "refused " << gaze::name(error.reason()) << ": " << error.what() << '\n';
  }
}

at::Tensor answer(const std::string& file) {
  const at::NoGradGuard no_grad;
  torch::jit::Module model = torch::jit::load(file);
  auto gaze = gaze::attach(model);
  const at::Tensor prompt = at::tensor({int64_t{1}, int64_t{3}, int64_t{4}, int64_t{5}, int64_t{11}}).unsqueeze(0);
  return model.run_method("generate", at::full({1, 3, 96, 160}, 0.1), prompt, 2).toTensor();
}

// Of an answer with a token for each character.
void say_words(const std::string& text) {
  std::vector<std::string> labels;
  for (const char byte : text) {
    if (labels.empty() || (byte & 0xC0) != 0x80) labels.emplace_back();
    labels.back() += byte;
  }
  gaze::WordRule rule;
  const std::vector<gaze::Word> words = gaze::merge_words(labels, nullptr, &rule);
  std::cout << "words " << rule.name << ':';
  for (const gaze::Word& word : words) std::cout << ' ' << word.text;
  std::cout << (rule.note.empty() ? "" : " (" + rule.note + ")") << '\n';
}

std::string at_exit_picture;

void decode_at_exit() {
  say([] { return gaze::decode(gaze::Picture(at_exit_picture)); });
}

}  // namespace

extern "C" GAZE_API int host_main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string verb = argv[i];
    if (verb == "libraries") {
      print_libraries();
      continue;
    }
    const std::string argument = argv[++i];
    if (verb == "answer") say([&] { return answer(argument); });
    if (verb == "picture") say([&] { return gaze::decode(gaze::Picture(argument)); });
    if (verb == "sound") say([&] { return gaze::read_audio(argument).samples_ct; });
    if (verb == "words") say_words(argument);
    if (verb == "at_exit") {
      at_exit_picture = argument;
      gaze::ops::before_parts_end(&decode_at_exit);
    }
    if (verb == "global") std::cout << (dlsym(RTLD_DEFAULT, argument.c_str()) != nullptr ? "global\n" : "unknown\n");
  }
  return 0;
}

int main(int argc, char** argv) { return host_main(argc, argv); }

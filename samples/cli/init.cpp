// SPDX-License-Identifier: MIT
#include <c10/core/ScalarType.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "console.hpp"
#include "script.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHost = R"CPP(// A host of @MODEL@ with Gaze in it, as `gaze init` wrote it. Build and run:
                                    //   cmake -S . -B build -DCMAKE_PREFIX_PATH=<Gaze's prefix> && cmake --build build
                                    //   GAZE_CAPTURE=1 GAZE_PROFILE=profile.json build/host @MODEL@ @INPUTS@
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/script.h>
#include <gaze/gaze.hpp>

#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>

                                    namespace {

                                    /// What Python's torch.save wrote: a tuple in order, or a dict by name.
                                    std::vector<c10::IValue> arguments_of(const torch::jit::Method& method, const std::string& file_name) {
                                      std::ifstream file(file_name, std::ios::binary);
                                      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
                                      const c10::IValue saved = torch::jit::pickle_load(bytes);
                                      if (saved.isTuple()) return saved.toTupleRef().elements().vec();
                                      if (!saved.isGenericDict()) return {saved};
                                      std::vector<c10::IValue> arguments;
                                      const auto& schema = method.function().getSchema().arguments();
                                      for (size_t i = 1; i < schema.size(); ++i) arguments.push_back(saved.toGenericDict().at(schema[i].name()));
                                      return arguments;
                                    }

                                    void answer(const std::string& model_file, const std::string& inputs_file) {
                                      const torch::NoGradGuard no_grad;
                                      auto model = torch::jit::load(model_file);
                                      model.eval();
                                      auto gaze = gaze::attach(model);  // does nothing unless GAZE_CAPTURE=1

                                      // Your loop goes between begin and finish. Give the original: .image or .sound, a
                                      // path, bytes or a tensor.
                                      auto request = gaze.begin({.id = "first"});
                                      const auto method = model.get_method("@METHOD@");
                                      const c10::IValue result = method(arguments_of(method, inputs_file));
                                      // The words' names: request.tokens({ids}) with a vocabulary in the profile, or
                                      // request.label({"a", "red", "cup"}).
                                      request.finish();  // overlays/<time>-.../ appears; nobody waited for it
                                      std::cout << "returned " << result.type()->repr_str() << '\n';
                                    }

                                    }  // namespace

                                    int main(int argc, char** argv) {
                                      if (argc != 3) {
                                        std::cerr << "usage: host MODEL.pt INPUTS.pt\n";
                                        return 2;
                                      }
                                      try {
                                        answer(argv[1], argv[2]);
                                        return 0;
                                      } catch (const std::exception& error) {
                                        std::cerr << "host: " << error.what() << '\n';
                                        return 1;
                                      }
                                    }
)CPP";

constexpr const char* kCMakeLists = R"CMAKE(cmake_minimum_required(VERSION 3.25)
project(host LANGUAGES CXX)
find_package(Gaze REQUIRED)
add_executable(host host.cpp)
target_link_libraries(host PRIVATE gaze::gaze)
)CMAKE";

std::string replaced(std::string text, const std::string& mark, const std::string& by) {
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size()))
    text.replace(at, mark.size(), by);
  return text;
}

void write(const fs::path& path, const std::string& text) {
  if (fs::exists(path)) {
    std::printf("kept      %s, which was there\n", printable(path.string()).c_str());
    return;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush())
    throw Refusal("--out: expected a folder that can be written, got " + path.string() + ": " + std::strerror(errno) +
                  ".");
  std::printf("wrote     %s\n", printable(path.string()).c_str());
}

bool is_picture(const at::Tensor& tensor) {
  return tensor.defined() && tensor.dim() == 4 && (tensor.size(1) == 1 || tensor.size(1) == 3) &&
         (tensor.is_floating_point() || tensor.scalar_type() == at::kByte);
}

/// The only picture among the arguments.
int64_t picture_argument(const Call& call) {
  std::vector<int64_t> pictures;
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    if (is_picture(call.tensor_argument(static_cast<int64_t>(i)))) pictures.push_back(static_cast<int64_t>(i));
  }
  if (pictures.size() == 1) return pictures[0];
  throw Refusal("init: expected one picture among the inputs, [batch, channels, height, width], got " +
                std::to_string(pictures.size()) +
                ". Say which argument is probed, counted from 0: --image-arg N, or --audio-arg N with --sample-rate or "
                "--hop-seconds (gaze init --help has the others).");
}

}  // namespace

int init(const InitArguments& given) {
  ProbeArguments probed = given.probe;
  if (!given.names_argument) {
    const at::Device device = parse_device(probed.device);
    Model model(probed.model, device);
    const Call call(model, probed.method, probed.inputs, device);
    probed.argument = picture_argument(call);
    probed.options.medium = ProbeMedium::Picture;
  }
  const fs::path folder = given.out_dir;
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    throw Refusal("--out: expected a folder that can be made, got " + folder.string() + ": " + failed.message() + ".");
  }
  SitesArguments listed;
  listed.model = probed.model;
  sites(listed);
  std::printf("\nArgument %lld is probed: which keys change with which part of it.\n\n",
              static_cast<long long>(probed.argument));
  probed.out = (folder / "profile.json").string();
  const int status = probe(probed);
  if (status != 0) return status;
  std::string text = replaced(kHost, "@MODEL@", fs::path(probed.model).filename().string());
  text = replaced(text, "@INPUTS@", fs::path(probed.inputs).filename().string());
  write(folder / "host.cpp", replaced(text, "@METHOD@", probed.method));
  write(folder / "CMakeLists.txt", kCMakeLists);
  std::printf(
      "\nNext:\n  gaze run %s --inputs %s --method %s --profile %s\n"
      "Add image.mean and image.std to the profile where the input was normalised, and tokens.vocabulary for the "
      "words'\n"
      "names (docs/first-model.md).\n",
      printable(probed.model).c_str(), printable(probed.inputs).c_str(), printable(probed.method).c_str(),
      printable(probed.out).c_str());
  return 0;
}

}  // namespace gaze::cli

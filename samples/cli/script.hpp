// SPDX-License-Identifier: MIT
// TorchScript for the verbs. Its headers are slow to compile, so only script.cpp includes them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loop.hpp"

namespace torch::jit {
struct Module;
}

namespace c10 {
struct IValue;
}

namespace gaze::cli {

/// The device a person named.
/// @throws Refusal when it is no device, or LibTorch has none of that kind here.
at::Device parse_device(const std::string& text);

/// A library that registers operators, which models then can call; it stays loaded.
/// @throws Refusal when it cannot be loaded.
void load_op_library(const std::string& path);

/// A model file, loaded and in evaluation mode.
class Model {
 public:
  /// @throws Refusal when the file is not a TorchScript model.
  Model(const std::string& path, at::Device device);
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  [[nodiscard]] torch::jit::Module& module() { return *module_; }
  /// Public methods, for messages: "forward(image, tokens), encode(image)".
  [[nodiscard]] std::string methods() const;
  [[nodiscard]] std::vector<std::string> method_names() const;
  /// The sample models' greedy decoding: ids [batch, n].
  [[nodiscard]] at::Tensor generate(const at::Tensor& images_bchw, const at::Tensor& prompt_bt, int64_t max_new);
  /// The sample models' one pass over prompt and answer (teacher forcing).
  void forward(const at::Tensor& input, const at::Tensor& tokens_bt);

 private:
  std::unique_ptr<torch::jit::Module> module_;
};

/// One method with the arguments a file holds, checked against each other.
class Call {
 public:
  /// @throws Refusal when the file is not what torch.save writes, the method does not exist, or its arguments differ.
  Call(Model& model, const std::string& method, const std::string& inputs_file, at::Device device);
  /// Of a method that a loop calls with the prompt's ids int64 [1, tokens], and after them with what it returned.
  /// @throws Refusal when it takes any other tensor
  Call(Model& model, const std::string& method, const at::Tensor& prompt_bt);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// From now on `run` drives a host's loop, whose first method is this one.
  /// @throws Refusal when the model cannot be driven so.
  void drive(LoopSettings settings);

  /// Runs the method, without gradients.
  /// @throws Refusal when the model itself throws.
  void run();
  /// Keeps the last result to compare later ones with.
  void remember();
  /// Whether the last result is byte for byte the remembered one.
  [[nodiscard]] bool as_remembered() const;
  /// In order, without self, defaults filled in.
  [[nodiscard]] const std::vector<c10::IValue>& arguments() const;
  /// Argument `index` (without self) when it is a tensor, else undefined.
  [[nodiscard]] at::Tensor tensor_argument(int64_t index) const;
  /// The token ids in the last result, by rows of the batch: a tensor of whole numbers [rows, n] or [n], a list of
  /// numbers, of rows, or of a tensor for each token, the first of these in a tuple, or what a dict calls "sequences".
  /// Empty: there are none.
  [[nodiscard]] std::vector<std::vector<int64_t>> token_ids() const;
  /// How many ids at the front are those of a row of the inputs: a prompt that the method returns with the answer.
  [[nodiscard]] size_t prompt_in_front(size_t row, const std::vector<int64_t>& ids) const;
  /// Another tensor in place of argument `index` (without self), which must be one.
  void replace(int64_t index, const at::Tensor& tensor);
  /// The last result in a few words: "Tensor int64 [1, 7]".
  [[nodiscard]] std::string summary() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaze::cli

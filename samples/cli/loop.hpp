// SPDX-License-Identifier: MIT
// The loop of a host that decodes greedily: encode once, then one step for every token.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace c10 {
struct IValue;
}

namespace gaze::cli {

/// What `--generate` and the flags beside it say.
struct LoopSettings {
  std::string methods;            ///< "encode,decode_step", or one method that takes all; empty: no loop
  std::vector<int64_t> bos = {};  ///< ids that the decoding begins with; empty: those among the inputs
  int64_t eos = -1;               ///< id that ends an answer; -1: none
  int64_t most = 64;              ///< tokens

  /// The method that --inputs are for.
  [[nodiscard]] std::string first_method() const { return methods.substr(0, methods.find(',')); }
};

/// Which arguments are the tokens, what was encoded, the cache and the position is read from the methods' names and
/// types. A step without a cache gets all tokens so far, with one those that are new.
class Loop {
 public:
  /// @throws Refusal when the methods do not exist, or their arguments cannot be told apart.
  Loop(const torch::jit::Module& module, LoopSettings settings);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// @return ids int64 [rows, n] of the answer, what the decoding begins with left out, the end's id kept; rows that
  /// ended early are filled up with it
  /// @throws Refusal when a result is no logits; what the model throws
  at::Tensor run(const std::vector<c10::IValue>& arguments);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaze::cli

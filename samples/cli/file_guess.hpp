// SPDX-License-Identifier: MIT
// What a file or folder is that was given in place of a model or of a method's arguments.
#pragma once

#include <string>
#include <vector>

namespace gaze::cli {

constexpr const char *kTorchScriptFile = "a TorchScript file",
                     *kSavedValues = "what torch.save wrote: values without a program";

struct FileGuess {
  std::string what;    ///< "a state_dict: weights without a program"; empty: not known
  std::string model;   ///< what its owner does to have a model; empty: what is always said
  std::string inputs;  ///< likewise to have arguments
};

/// By names and first bytes, which nothing of is run.
FileGuess guess_file(const std::string& path);

/// Of an archive that torch.jit.save wrote: whether its program holds what only torch.jit.optimize_for_inference makes.
bool is_optimised(const std::string& path);

}  // namespace gaze::cli

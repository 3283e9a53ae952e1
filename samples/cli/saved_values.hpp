// SPDX-License-Identifier: MIT
// Values as Python's torch.save writes them, of a file that is not trusted.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>

namespace gaze::cli {

/// Tensors on the CPU, in tuples, lists and dicts, at most 64 deep and a million values in all. Nothing of the file is
/// run, and no tensor reaches beyond what the file holds for it.
/// @throws std::exception saying what is wrong with the content
c10::IValue read_saved(const std::string& path);

}  // namespace gaze::cli

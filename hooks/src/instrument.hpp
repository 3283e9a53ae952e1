// SPDX-License-Identifier: MIT
// Places taps in a module's optimised graphs.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <gaze/hooks/sites.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gaze {

class Recorder;

/// A module type whose graphs carry taps. Lives for ever: the graphs may outlive every handle.
struct Instrumented {
  int64_t number = 0;                ///< high bits of the ids in the graphs
  std::vector<Site> sites;           ///< by site index
  std::vector<std::string> methods;  ///< root methods by index
  std::vector<int64_t> arguments;    ///< number of arguments by method, without self

  std::shared_ptr<Recorder> recorder();                   ///< the live capture, or null
  bool claim(const std::shared_ptr<Recorder>& recorder);  ///< false when another capture is live
  void release(const Recorder* recorder);                 ///< no effect unless it is the live one

 private:
  std::mutex mutex_;
  std::weak_ptr<Recorder> recorder_;
};

/// Ids in the graphs: number of the instrumented module and index of the site or method.
inline constexpr int64_t kIndexBits = 20;
inline int64_t make_id(int64_t number, int64_t index) { return (number << kIndexBits) | index; }
inline int64_t index_of(int64_t id) { return id & ((int64_t{1} << kIndexBits) - 1); }
/// Null for an id this process did not make. Lock-free.
Instrumented* instrumented_of(int64_t id) noexcept;

/// Edits the cached optimised graphs of every method for all autocast states; a method that already ran gets a new
/// Function. Idempotent per module type. @throws gaze::Error, leaving the module as it was.
Instrumented& instrument(torch::jit::Module& module);

}  // namespace gaze

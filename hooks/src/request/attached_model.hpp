// SPDX-License-Identifier: MIT
// A model that attach was called for, as its front end sees it. Knows no TorchScript.
#pragma once

#include <gaze/hooks/dispatcher.hpp>
#include <gaze/hooks/sites.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gaze {

class Recorder;

/// A module type whose graphs carry taps, which lives for ever: the graphs may outlive every handle. Or a model that
/// was described, and lives as long as its recorder.
struct AttachedModel {
  int64_t number = 0;                                    ///< high bits of the ids in the graphs
  std::vector<Site> sites;                               ///< by site index; those that attach was told of
  std::vector<std::string> methods;                      ///< root methods by index
  std::vector<int64_t> arguments;                        ///< number of arguments by method, without self
  std::vector<std::vector<std::string>> argument_names;  ///< by method, of a model that was described
  std::vector<char> forks;                               ///< by method: some of its work runs on other threads
  bool numbered = false;                                 ///< calls come without names, in the order of a step
  std::vector<StepSite> step_sites;                      ///< of those that were told, by index

  std::shared_ptr<Recorder> recorder();                   ///< the live capture, or null
  bool claim(const std::shared_ptr<Recorder>& recorder);  ///< false when another capture of this process is live
  void release(const Recorder* recorder);                 ///< no effect unless it is the live one

 private:
  std::weak_ptr<Recorder> recorder_;  // behind the fork gate
};

/// Ids in the graphs: number of the module type and index of the site or method.
inline constexpr int64_t kIndexBits = 20;
inline int64_t make_id(int64_t number, int64_t index) { return (number << kIndexBits) | index; }
inline int64_t index_of(int64_t id) { return id & ((int64_t{1} << kIndexBits) - 1); }
/// Null for an id this process did not make. Lock-free.
AttachedModel* attached_model_of(int64_t id) noexcept;
/// @throws gaze::Error for more live module types than ids are kept for.
void check_number(int64_t number);
/// Makes it known under its number, for ever.
void publish(AttachedModel* model) noexcept;

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The verbs that steer running captures. Each returns the exit status and throws Refusal for what it refuses.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace gaze::cli {

struct CtlArguments {
  std::string folder;                                        ///< with bundles: all processes that capture into it
  int64_t process = 0;                                       ///< > 0: this one alone
  std::vector<std::pair<std::string, std::string>> changes;  ///< names and values of a control file
  int64_t for_seconds = 0;                                   ///< > 0: then they are over
  bool reset = false, json = false;
};
int ctl(const CtlArguments& arguments);

/// Puts the verbs into the program. What is returned runs the one that was typed, -1: another was.
std::vector<std::function<int()>> add_operate_verbs(CLI::App& app);

}  // namespace gaze::cli

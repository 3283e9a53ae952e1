// SPDX-License-Identifier: MIT
// The verbs that prove and delete bundles. Each returns the exit status and throws Refusal for what it refuses.
#pragma once

#include <gaze/render/retention.hpp>

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gaze::cli {

struct VerifyArguments {
  std::string directory;
  std::string key;  ///< of who signed, in PEM; empty: signatures are not looked at
  bool json = false;
};
/// 0: everything is proved; 1: something is not as it was written.
int verify(const VerifyArguments& arguments);

struct PurgeArguments {
  std::string directory;
  Quota limits;
  std::string signing_key;
  bool dry_run = false, json = false;
};
/// 1: the limits do not hold yet, or something stays.
int purge(const PurgeArguments& arguments);

struct ForgetArguments {
  std::vector<std::string> directories;
  std::string request, signing_key;
  bool dry_run = false, json = false;
};
/// 1: something may still hold the request.
int forget(const ForgetArguments& arguments);

/// Puts the verbs into the program. What is returned runs the one that was typed, -1: another was.
std::vector<std::function<int()>> add_ledger_verbs(CLI::App& app);

}  // namespace gaze::cli

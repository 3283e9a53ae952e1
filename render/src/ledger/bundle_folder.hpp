// SPDX-License-Identifier: MIT
// What is a bundle of ours, and how one is deleted.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/chain.hpp"
#include "ledger/signing.hpp"

namespace gaze::ledger {

/// `<UTC time>-<32 hex digits>`
bool is_bundle_name(std::string_view name);

/// When a bundle was published, by its name.
std::time_t time_of(std::string_view bundle_name);

/// Names of bundles in `root`, sorted: the oldest first. @param most  the oldest so many; 0: all
/// @throws gaze::Error where the directory cannot be read
std::vector<std::string> bundle_names(int root, size_t most, const std::string& out_dir);

/// Bytes of a bundle, or negative where it is none of ours.
int64_t bundle_bytes(int root, const std::string& name);

/// Free on the file system of `root`, for this user.
int64_t free_bytes(int root);

constexpr size_t kMostRequestBytes = size_t{64} << 20;

struct Removal {
  bool gone = false;
  int64_t bytes = 0;
  std::string why_kept;
};

/// What is needed to delete, beside a name.
struct Remover {
  int root;
  const std::string& out_dir;
  const Key* key;      // null: lines are not signed
  std::time_t now;     // of the line
  std::string reason;  // quota, age, free, purge or forget
  bool dry_run = false;

  /// Deletes one bundle, whole, once deleted.jsonl says so. Under the lock. @param head  is written, too
  /// @throws gaze::Error where the line cannot be written: then nothing is deleted
  Removal remove(const std::string& name, Head& head) const;
};

}  // namespace gaze::ledger

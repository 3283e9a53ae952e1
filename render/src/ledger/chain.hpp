// SPDX-License-Identifier: MIT
// The head of a directory's chain of manifests, and the lock that whoever moves it holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file_tree.hpp"

namespace gaze::ledger {

constexpr const char* kLockFile = ".chain.lock";
constexpr const char* kHeadFile = "chain.json";

/// A link of the chain: one bundle's manifest.
struct Link {
  int64_t sequence = 0;  // from 1
  std::string manifest;  // SHA-256 of manifest.json
  std::string bundle;    // name of its folder
};

struct Head {
  Link last;                    // sequence 0: none was published
  std::optional<Link> pending;  // written before its bundle appears: whether it did is seen by its name
  int64_t pending_bytes = 0;    // of that bundle, counted already
  std::string deleted;          // SHA-256 of the last line of deleted.jsonl; empty: there was none
  int64_t bytes = -1;           // of all bundles; negative: nobody counted
  int64_t counted = 0;          // when they were counted last, seconds of Unix time

  /// What a killed writer left pending becomes the last link where its bundle appeared, and is forgotten where not.
  void settle(int root);
};

/// `chain.json` as text, and read again; nullopt where it is damaged.
std::string head_text(const Head& head);
std::optional<Head> parse_head(const std::string& text);

/// A head without links where there is no file; nullopt where it is damaged or cannot be read.
std::optional<Head> read_head(int root);
/// In place of the older one, by a rename. Under the lock. @throws gaze::Error
void write_head(int root, const Head& head, const std::string& out_dir);

/// Holds the lock of a directory while it lives.
class ChainLock {
 public:
  /// Tries so many times, 0.5 ms apart, and gives up early while the process ends.
  /// @param make  the file, where there is none
  ChainLock(int root, int tries, bool make = true);
  [[nodiscard]] bool held() const noexcept { return state_ == files::Lock::Held; }
  /// The file system has no locks, so none is waited for.
  [[nodiscard]] bool unknown() const noexcept { return state_ == files::Lock::Unknown; }

 private:
  files::Descriptor file_;
  files::Lock state_ = files::Lock::Busy;
};

}  // namespace gaze::ledger

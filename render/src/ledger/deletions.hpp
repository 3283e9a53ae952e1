// SPDX-License-Identifier: MIT
// deleted.jsonl: what was deleted from a directory, and why, one line each, written before it goes.
#pragma once

#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "ledger/signing.hpp"

namespace gaze::ledger {

constexpr const char* kDeletedFile = "deleted.jsonl";
constexpr const char* kDeletionType = "application/vnd.gaze.deletion+json";

struct Deletion {
  std::string bundle;               // name of its folder
  std::optional<int64_t> sequence;  // none: it stood outside the chain
  std::string manifest, previous;   // SHA-256; empty: none
  std::string reason;               // quota, age, free, purge or forget
  std::string time;
};

/// A line before all others that older ones were folded into. It stands for links `from` to `through` of the chain,
/// which are deleted and gone; or, where both are 0, for bundles that stood outside the chain.
struct Fold {
  int64_t from = 0, through = 0;
  std::string previous;  // SHA-256 of the manifest before the first one; empty: it begins the chain
  std::string manifest;  // SHA-256 of the last one's
  int64_t lines = 0;     // that it stands for
  std::string was;       // SHA-256 of the file's last line before: the head may name it still
  std::string time;
};

/// One line as it was read.
struct DeletionLine {
  Deletion deletion;
  std::optional<Fold> fold;  // then there is no deletion
  std::string before;        // SHA-256 of the line before; empty: the first
  std::string signed_as;     // the text that the signature is of
  std::string key, signature;
};

/// Adds a line behind the others, mended first where a killed process tore the last one. Under the lock.
/// @param key  null: it is not signed
/// @return SHA-256 of the line. @throws gaze::Error
std::string add_deletion(int root, const Deletion& deletion, const Key* key, const std::string& out_dir);

/// Beyond so many bytes lines are folded.
constexpr int64_t kMostDeletedBytes = int64_t{4} << 20;

/// Folds the lines of links that follow one another and are gone into one for each run, drops those of gone bundles
/// outside the chain into one, and links all anew; so the file grows with the bundles that stay, not with those that
/// went. Under the lock, once the head that names the last line is written. Where a line does not follow, is not signed
/// alike or not by `key`, everything stays as it is, for `verify` to tell.
/// @param most_bytes  does nothing below; 0: whatever the size
/// @return SHA-256 of what is the last line now; none: the file is as it was
std::optional<std::string> fold_deletions(int root, const Key* key, const std::string& time, int64_t most_bytes);

/// A line without its end, signed where there is a key.
std::string deletion_line(const Deletion& deletion, const std::string& before, const Key* key);
std::string fold_line(const Fold& fold, const std::string& before, const Key* key);

/// Calls for each whole line, with its SHA-256; nullopt where it is damaged. A last line without an end is left out.
/// @return false where the file cannot be read; true where there is none
bool each_deletion(int root, const std::function<void(const std::optional<DeletionLine>&, const std::string&)>& call);

/// "2026-01-02T03:04:05Z"
std::string utc_time(std::time_t time);

}  // namespace gaze::ledger

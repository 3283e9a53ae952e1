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

/// One line as it was read.
struct DeletionLine {
  Deletion deletion;
  std::string before;     // SHA-256 of the line before; empty: the first
  std::string signed_as;  // the text that the signature is of
  std::string key, signature;
};

/// Adds a line behind the others, mended first where a killed process tore the last one. Under the lock.
/// @param key  null: it is not signed
/// @return SHA-256 of the line. @throws gaze::Error
std::string add_deletion(int root, const Deletion& deletion, const Key* key, const std::string& out_dir);

/// Calls for each whole line, with its SHA-256; nullopt where it is damaged. A last line without an end is left out.
/// @return false where the file cannot be read; true where there is none
bool each_deletion(int root, const std::function<void(const std::optional<DeletionLine>&, const std::string&)>& call);

/// "2026-01-02T03:04:05Z"
std::string utc_time(std::time_t time);

}  // namespace gaze::ledger

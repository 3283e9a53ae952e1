// SPDX-License-Identifier: MIT
// What a directory of bundles holds, proved and deleted: docs/retention.md. Any thread, beside processes that write.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/retention.hpp>

#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace gaze {

/// A bundle that was to be deleted and stays, and why.
struct KeptBundle {
  std::string name, why;
};

struct Deleted {
  std::vector<std::string> names;  ///< in the order they went; of a dry run: would go
  int64_t bytes = 0;               ///< that they held
  int64_t left_bundles = 0;        ///< of the directory, afterwards
  int64_t left_bytes = 0;
  bool within = true;  ///< of a purge: the limits hold now
  std::vector<KeptBundle> kept;
};

struct DeleteOptions {
  bool strict_out_dir = false;
  bool dry_run = false;     ///< tells what would go
  std::string signing_key;  ///< signs the lines of deleted.jsonl; empty: none
  std::time_t now = 0;      ///< by which ages are told; 0: the clock
  std::function<void(int64_t done, int64_t all)> progress;
};

/// Deletes the oldest bundles of one directory until `limits` hold. Each is deleted whole, or stays and is told: one
/// that holds what Gaze did not write, a link, a mount or what is another user's.
/// @throws gaze::Error where the directory cannot be read, its lock not be had within 10 s, or a line not be written
GAZE_API Deleted purge_bundles(const std::string& out_dir, const Quota& limits, const DeleteOptions& options = {});

/// Deletes every bundle of one directory whose request.json has exactly this request id. One whose request.json cannot
/// be read is told in `kept`. @throws as purge_bundles
GAZE_API Deleted forget_request(const std::string& out_dir, const std::string& request_id,
                                const DeleteOptions& options = {});

/// Something that is not as it was written.
struct Finding {
  std::string bundle;  ///< its folder's name; empty: the directory
  std::string kind;    ///< changed, added, missing, moved, gap, order, signature, unchained, damaged
  std::string text;
};

struct Verification {
  int64_t bundles = 0;        ///< folders of a bundle's name
  int64_t proven = 0;         ///< of them, without any finding
  int64_t deleted = 0;        ///< links of the chain whose deletion is told
  int64_t findings = 0;       ///< 0: everything is proved
  int64_t sequence = 0;       ///< of the last link; kept elsewhere it shows when the end was cut off
  std::string last_manifest;  ///< SHA-256
  int64_t signed_bundles = 0;
};

struct VerifyOptions {
  bool strict_out_dir = false;
  std::string public_key;  ///< a file in PEM: everything must be signed with it; empty: signatures are not looked at
  std::function<void(const Finding&)> on_finding;
  std::function<void(int64_t done, int64_t all)> progress;
};

/// Reads every file of every bundle and compares it with its manifest, the manifests with each other, with the head of
/// the chain and with what deleted.jsonl tells. A few hundred bytes of memory for each bundle.
/// @throws gaze::Error where the directory or the key cannot be read
GAZE_API Verification verify_bundles(const std::string& out_dir, const VerifyOptions& options = {});

}  // namespace gaze

// SPDX-License-Identifier: MIT
// One directory of bundles as its writer keeps it: each is chained to the one before, and the oldest make room.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gaze/render/retention.hpp>

#include "ledger/chain.hpp"
#include "ledger/manifest.hpp"

namespace gaze::ledger {

/// Used by one thread at a time.
class Keeper {
 public:
  /// @param key  null: nothing is signed
  Keeper(std::string out_dir, bool strict, Quota quota, std::shared_ptr<const Key> key);

  /// Deletes what is too old, or too much. Counts the directory's bytes where nobody did for an hour. Nothing happens
  /// without a quota. @throws gaze::Error
  void tidy(std::time_t now);
  /// Before drawing: what is free on the file system may not do for it. @throws gaze::Error (Quota)
  void expect_room(std::time_t now);
  /// Writes manifest.json, and the envelope, into what is staged, and publishes it.
  /// @param manifest  with its subjects and where they come from; the rest is filled in
  /// @param bytes     of the files
  /// @return the path. @throws gaze::Error
  std::string publish(files::StagedDirectory& staged, Manifest manifest, int64_t bytes, std::time_t now);

 private:
  enum class Need { Nothing, Bytes, Age, Free };
  [[nodiscard]] Need need_of(int root, const Head& head, int64_t new_bytes, std::time_t now) const;
  /// One of the oldest; false: there is none that can be deleted.
  bool delete_one(int root, Head& head, Need need, std::time_t now);
  /// Deletes some. @return what is needed still; `stuck`: nothing can be deleted for it
  Need delete_some(int root, Head& head, int64_t new_bytes, std::time_t now, bool& stuck);
  /// Deletes what is due, letting others at the lock in between.
  void make_room(int root, std::time_t now);
  [[noreturn]] void refuse_free(int root) const;
  void count(int root, std::time_t now);
  void list(int root);
  std::string publish_chained(files::StagedDirectory& staged, Manifest& manifest, Head& head, int64_t bytes);
  std::string publish_alone(files::StagedDirectory& staged, Manifest& manifest, const std::string& why);
  std::string write_manifest(files::StagedDirectory& staged, Manifest& manifest, int64_t& bytes) const;
  [[nodiscard]] ChainLock take_lock(int root);

  std::string out_dir_;
  bool strict_;
  Quota quota_;
  std::shared_ptr<const Key> key_;
  std::vector<std::string> oldest_;  // the oldest last
  std::set<std::string> kept_;       // cannot be deleted
  bool lock_was_busy_ = false;
};

}  // namespace gaze::ledger

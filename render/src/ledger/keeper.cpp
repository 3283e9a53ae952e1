// SPDX-License-Identifier: MIT
#include "ledger/keeper.hpp"

#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>
#include <gaze/render/stop.hpp>

#include <algorithm>
#include <utility>

#include "ledger/bundle_folder.hpp"
#include "ledger/deletions.hpp"

namespace gaze::ledger {
namespace {

constexpr int kKeeperTries = 1000, kTriesWhenBusy = 40;  // 0.5 ms apart
constexpr int64_t kCountPause = 3600;                    // seconds
constexpr size_t kListed = 4096;
constexpr int kAtOnce = 8;  // deletions before others may have the lock
constexpr size_t kMostKept = 4096;

const char* reason_of(int need) {
  constexpr const char* kReasons[] = {"", "quota", "age", "free"};
  return kReasons[need];
}

}  // namespace

Keeper::Keeper(std::string out_dir, bool strict, Quota quota, std::shared_ptr<const Key> key)
    : out_dir_(std::move(out_dir)), strict_(strict), quota_(quota), key_(std::move(key)) {}

ChainLock Keeper::take_lock(int root) {
  // Who could not have it once waits less until it could.
  ChainLock lock(root, lock_was_busy_ ? kTriesWhenBusy : kKeeperTries);
  lock_was_busy_ = !lock.held() && !lock.unknown();
  return lock;
}

Keeper::Need Keeper::need_of(int root, const Head& head, int64_t new_bytes, std::time_t now) const {
  if (quota_.bytes > 0 && head.bytes >= 0 && head.bytes + new_bytes > quota_.bytes && head.bytes > 0)
    return Need::Bytes;
  if (quota_.age_seconds > 0 && !oldest_.empty() && time_of(oldest_.back()) < now - quota_.age_seconds)
    return Need::Age;
  if (quota_.free_bytes > 0 && free_bytes(root) < quota_.free_bytes) return Need::Free;
  return Need::Nothing;
}

void Keeper::list(int root) {
  oldest_ = bundle_names(root, kListed, out_dir_);
  std::erase_if(oldest_, [&](const std::string& name) { return kept_.count(name) > 0; });
  std::reverse(oldest_.begin(), oldest_.end());
}

bool Keeper::delete_one(int root, Head& head, Need need, std::time_t now) {
  const Remover remover{root, out_dir_, key_.get(), now, reason_of(static_cast<int>(need))};
  bool listed = false;
  while (true) {
    if (oldest_.empty()) {
      if (std::exchange(listed, true)) return false;
      list(root);
      if (oldest_.empty()) return false;
    }
    const std::string name = std::move(oldest_.back());
    oldest_.pop_back();
    if (remover.remove(name, head).gone) return true;
    // Another process may have deleted it; what stays is not tried again.
    if (kept_.size() < kMostKept) kept_.insert(name);
    if (need == Need::Age) return !oldest_.empty();
  }
}

Keeper::Need Keeper::delete_some(int root, Head& head, int64_t new_bytes, std::time_t now, bool& stuck) {
  for (int i = 0;; ++i) {
    const Need need = need_of(root, head, new_bytes, now);
    if (need == Need::Nothing || i == kAtOnce) return need;
    throw_if_stopping();
    stuck = !delete_one(root, head, need, now);
    if (stuck) return need;
  }
}

void Keeper::make_room(int root, std::time_t now) {
  for (bool stuck = false; !stuck;) {
    const ChainLock lock = take_lock(root);
    std::optional<Head> head = read_head(root);
    // Nothing is deleted that cannot be told.
    if ((!lock.held() && !lock.unknown()) || !head) return;
    head->settle(root);
    if (delete_some(root, *head, 0, now, stuck) == Need::Nothing) return;
  }
}

void Keeper::count(int root, std::time_t now) {
  const std::optional<Head> before = read_head(root);
  if (!before) return;
  const bool known = before->bytes >= 0 && before->counted <= now && now - before->counted < kCountPause;
  if (known) return;
  int64_t bytes = 0;
  for (const std::string& name : bundle_names(root, 0, out_dir_)) {
    throw_if_stopping();
    bytes += std::max<int64_t>(0, bundle_bytes(root, name));
  }
  const ChainLock lock = take_lock(root);
  std::optional<Head> head = read_head(root);
  if ((!lock.held() && !lock.unknown()) || !head) return;
  head->settle(root);
  // What others published while it was counted; what they published and was counted too is deleted for once too often.
  head->bytes = bytes + (before->bytes >= 0 ? std::max<int64_t>(0, head->bytes - before->bytes) : 0);
  head->counted = now;
  write_head(root, *head, out_dir_);
}

void Keeper::tidy(std::time_t now) {
  if (!quota_.limits()) return;
  const files::Descriptor root = files::open_existing(out_dir_, strict_);
  if (root.get() < 0) return;
  if (quota_.bytes > 0) count(root.get(), now);
  if (oldest_.empty()) list(root.get());
  make_room(root.get(), now);
}

void Keeper::expect_room(std::time_t now) {
  if (quota_.free_bytes <= 0) return;
  const files::Descriptor root = files::open_existing(out_dir_, strict_);
  if (root.get() < 0 || free_bytes(root.get()) >= quota_.free_bytes) return;
  make_room(root.get(), now);
  if (free_bytes(root.get()) < quota_.free_bytes) refuse_free(root.get());
}

void Keeper::refuse_free(int root) const {
  throw Error("quota: expected " + std::to_string(quota_.free_bytes) + " bytes free on the file system of " + out_dir_ +
                  ", found " + std::to_string(free_bytes(root)) +
                  " with every bundle deleted that can be. Free space or lower GAZE_QUOTA_FREE.",
              DropReason::Quota);
}

std::string Keeper::write_manifest(files::StagedDirectory& staged, Manifest& manifest, int64_t& bytes) const {
  manifest.signer = key_ ? key_->id() : "";
  const std::string text = manifest_text(manifest);
  staged.write(kManifestFile, text);
  bytes += static_cast<int64_t>(text.size());
  if (key_) {
    const std::string envelope = envelope_text(text, key_->id(), key_->sign(kPayloadType, text));
    staged.write(kEnvelopeFile, envelope);
    bytes += static_cast<int64_t>(envelope.size());
  }
  return sha256_of(text);
}

std::string Keeper::publish_chained(files::StagedDirectory& staged, Manifest& manifest, Head& head, int64_t bytes) {
  manifest.sequence = head.last.sequence + 1;
  manifest.previous = head.last.manifest;
  const std::string hash = write_manifest(staged, manifest, bytes);
  head.pending = Link{*manifest.sequence, hash, manifest.bundle};
  head.pending_bytes = bytes;
  if (head.bytes >= 0) head.bytes += bytes;
  write_head(staged.root(), head, out_dir_);
  staged.publish(manifest.bundle);
  head.last = *head.pending;
  head.pending.reset();
  try {
    write_head(staged.root(), head, out_dir_);
  } catch (const Error&) {  // it is published: the next writer sees that by its name
  }
  return manifest.bundle;
}

std::string Keeper::publish_alone(files::StagedDirectory& staged, Manifest& manifest, const std::string& why) {
  manifest.unchained = why;
  int64_t bytes = 0;
  write_manifest(staged, manifest, bytes);
  staged.publish(manifest.bundle);
  return manifest.bundle;
}

std::string Keeper::publish(files::StagedDirectory& staged, Manifest manifest, int64_t bytes, std::time_t now) {
  const int root = staged.root();
  manifest.bundle = files::published_name();
  manifest.time = utc_time(now);
  manifest.gaze_version = GAZE_VERSION;
  const std::string path = out_dir_ + (out_dir_.back() == '/' ? "" : "/");
  bool stuck = false, counted = quota_.bytes <= 0;
  while (true) {
    if (!std::exchange(counted, true)) count(root, now);
    const ChainLock lock = take_lock(root);
    if (!lock.held() && !lock.unknown())
      return path + publish_alone(staged, manifest, "another process held the lock, or another user owns it");
    std::optional<Head> head = read_head(root);
    if (!head) return path + publish_alone(staged, manifest, "chain.json is damaged");
    head->settle(root);
    const Need need = delete_some(root, *head, bytes, now, stuck);
    if (need == Need::Free && stuck) refuse_free(root);
    if (need != Need::Nothing && !stuck) continue;  // others may have the lock in between
    if (lock.unknown()) return path + publish_alone(staged, manifest, "the file system has no locks");
    return path + publish_chained(staged, manifest, *head, bytes);
  }
}

}  // namespace gaze::ledger

// SPDX-License-Identifier: MIT
#include "ledger/chain.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <gaze/render/status.hpp>
#include <gaze/render/stop.hpp>

#include <algorithm>
#include <cerrno>

#include "base/json_text.hpp"
#include "base/json_value.hpp"

namespace gaze::ledger {
namespace {

constexpr const char* kNewHeadFile = ".chain.json.new";
constexpr size_t kMostHeadBytes = 65536;
constexpr int64_t kForm = 1;

JsonText link_json(const Link& link) {
  return {{"sequence", link.sequence}, {"manifest", link.manifest}, {"bundle", link.bundle}};
}

bool read_link(const JsonValue& value, Link& link) {
  link.sequence = value.whole_at("sequence").value_or(0);
  link.manifest = value.text_at("manifest");
  link.bundle = value.text_at("bundle");
  return link.sequence > 0 && link.manifest.size() == 64 && !link.bundle.empty();
}

}  // namespace

void Head::settle(int root) {
  if (!pending) return;
  struct stat status {};
  if (::fstatat(root, pending->bundle.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode)) {
    last = *pending;
  } else if (bytes >= 0) {
    bytes = std::max<int64_t>(0, bytes - pending_bytes);
  }
  pending.reset();
}

std::string head_text(const Head& head) {
  JsonText root = JsonText::object();
  root["gaze_chain"] = kForm;
  root["last"] = head.last.sequence > 0 ? link_json(head.last) : JsonText(nullptr);
  root["pending"] = head.pending ? link_json(*head.pending) : JsonText(nullptr);
  root["pending_bytes"] = head.pending ? head.pending_bytes : 0;
  root["deleted"] = head.deleted.empty() ? JsonText(nullptr) : JsonText(head.deleted);
  root["bytes"] = head.bytes < 0 ? JsonText(nullptr) : JsonText(head.bytes);
  root["counted"] = head.counted;
  return root.dump(1) + "\n";
}

std::optional<Head> parse_head(const std::string& text) {
  const auto root = read_json(text);
  if (!root || root->whole_at("gaze_chain") != kForm) return std::nullopt;
  Head head;
  const JsonValue* last = root->find("last");
  const JsonValue* pending = root->find("pending");
  if (last == nullptr || pending == nullptr) return std::nullopt;
  if (last->kind != JsonValue::Kind::Null && !read_link(*last, head.last)) return std::nullopt;
  if (pending->kind != JsonValue::Kind::Null) {
    if (!read_link(*pending, head.pending.emplace())) return std::nullopt;
    if (head.pending->sequence != head.last.sequence + 1) return std::nullopt;
  }
  head.pending_bytes = root->whole_at("pending_bytes").value_or(0);
  head.deleted = root->text_at("deleted");
  head.bytes = root->whole_at("bytes").value_or(-1);
  head.counted = root->whole_at("counted").value_or(0);
  return head;
}

std::optional<Head> read_head(int root) {
  struct stat status {};
  if (::fstatat(root, kHeadFile, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) return Head();
  const auto text = files::read_inside(root, kHeadFile, kMostHeadBytes);
  return text ? parse_head(*text) : std::nullopt;
}

void write_head(int root, const Head& head, const std::string& out_dir) {
  // A killed process may have left one.
  ::unlinkat(root, kNewHeadFile, 0);
  files::write_new(root, kNewHeadFile, head_text(head), out_dir + "/" + kHeadFile);
  if (::renameat(root, kNewHeadFile, root, kHeadFile) == 0) return;
  const bool full = errno == ENOSPC || errno == EDQUOT;
  ::unlinkat(root, kNewHeadFile, 0);
  throw Error("output " + out_dir + "/" + kHeadFile + ": cannot replace it. Is it a file of this user's?",
              full ? DropReason::DiskFull : DropReason::IoError);
}

ChainLock::ChainLock(int root, int tries, bool make) {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  file_ = files::Descriptor(::openat(root, kLockFile, kFlags | (make ? O_CREAT : 0), 0600));
  struct stat status {};
  if (file_.get() < 0 || ::fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (status.st_uid != ::geteuid()) return;  // another user's could hold it for ever
  for (int attempt = 0; attempt < tries && !(attempt > 0 && stopping()); ++attempt) {
    const timespec pause{0, 500'000};
    if (attempt > 0) ::nanosleep(&pause, nullptr);
    state_ = files::lock(file_.get());
    if (state_ != files::Lock::Busy) break;
  }
  // Whoever removed the file in between gave the others another one to lock.
  if (held() && !files::is_named(root, kLockFile, file_.get())) state_ = files::Lock::Busy;
}

}  // namespace gaze::ledger

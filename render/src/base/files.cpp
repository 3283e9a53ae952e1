// SPDX-License-Identifier: MIT
#include "base/files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>

#include "base/file_tree.hpp"
#include "base/utf8.hpp"

namespace gaze::files {
namespace {

std::string reason_text(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail(const std::string& path, const char* action, int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      throw Error("output " + path + ": cannot " + action + ": " + reason_text(error) +
                      ". Free space or choose another directory.",
                  DropReason::DiskFull);
    case EACCES:
    case EPERM:
    case ENOENT:
    case ENOTDIR:
    case EROFS:
    case ELOOP:
      throw Error("output " + path + ": cannot " + action + ": " + reason_text(error) +
                      ". Give a directory this process may create and write.",
                  DropReason::OutDir);
    default:
      throw Error("output " + path + ": cannot " + action + ": " + reason_text(error) + ".", DropReason::IoError);
  }
}

void write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = retry([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (written < 0) fail(path, "write", errno);
    if (written == 0) fail(path, "write", EIO);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

int rename_new(int from_dir, const char* from, int to_dir, const char* to) {
  const long result = ::syscall(SYS_renameat2, from_dir, from, to_dir, to, RENAME_NOREPLACE);
  if (result == 0 || (errno != ENOSYS && errno != EINVAL)) return static_cast<int>(result);
  // File systems without RENAME_NOREPLACE: `to` is 128 random bits, so nobody else has it.
  return ::renameat(from_dir, from, to_dir, to);
}

void check_owned(int directory, const std::string& path) {
  struct stat status {};
  if (::fstat(directory, &status) != 0) fail(path, "look at the directory", errno);
  const auto refuse = [&](const std::string& got) {
    throw Error("output " + path + ": expected a directory of this user's that nobody else may write, got " + got +
                    ". Choose another, or correct its owner and mode.",
                DropReason::OutDir);
  };
  if (status.st_uid != ::geteuid()) refuse("one of user " + std::to_string(status.st_uid));
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", status.st_mode & 07777U);
    refuse(std::string("mode ") + mode);
  }
}

constexpr std::string_view kStaged = ".tmp-gaze-";
constexpr size_t kStagedDigits = 32;

bool is_staged(std::string_view name) {
  return name.size() == kStaged.size() + kStagedDigits && name.starts_with(kStaged) &&
         name.find_first_not_of("0123456789abcdef", kStaged.size()) == std::string_view::npos;
}

// Locked, so that nobody takes it for a leftover; a lock that is held already is of one who does.
std::optional<Descriptor> make_staged(int root, const std::string& name, const std::string& path) {
  if (::mkdirat(root, name.c_str(), 0700) != 0) fail(path, "create a directory in it", errno);
  Descriptor staged = open_inside(root, name);
  if (staged.get() < 0 && errno != ENOENT) {
    const int error = errno;
    ::unlinkat(root, name.c_str(), AT_REMOVEDIR);
    fail(path, "open a directory in it", error);
  }
  if (staged.get() >= 0 && lock(staged.get()) != Lock::Busy && is_named(root, name, staged.get())) return staged;
  ::unlinkat(root, name.c_str(), AT_REMOVEDIR);
  return std::nullopt;
}

// All or nothing of it is ours: it is looked through before anything is removed.
void remove_leftover(int root, const std::string& name) {
  const Descriptor left = open_inside(root, name);
  struct stat status {};
  if (left.get() < 0 || ::fstat(left.get(), &status) != 0 || status.st_uid != ::geteuid()) return;
  // The name is looked at under the lock: its maker may have published it in between.
  if (lock(left.get()) != Lock::Held || !is_named(root, name, left.get())) return;
  if (const std::optional<Tree> tree = tree_of(left.get())) remove_tree(root, name, left.get(), *tree);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int Descriptor::release() noexcept { return std::exchange(fd_, -1); }

std::string read(const std::string& path, const std::string& what, size_t limit) {
  const auto refuse = [&](const std::string& got) {
    throw Error(what + " '" + excerpt(path, 1000) + "': expected a readable file, got: " + got + ". Correct the path.",
                DropReason::DecodeFailed);
  };
  const Descriptor file(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
  if (file.get() < 0) refuse(reason_text(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse(reason_text(errno));
  if (!S_ISREG(status.st_mode)) refuse("something that is not a regular file");
  const auto size = static_cast<size_t>(status.st_size);
  if (size > limit) refuse(std::to_string(size) + " bytes, more than the limit of " + std::to_string(limit));
  std::string bytes(size, '\0');
  size_t filled = 0;
  while (filled < size) {
    const ssize_t count = retry([&] { return ::read(file.get(), bytes.data() + filled, size - filled); });
    if (count < 0) refuse(reason_text(errno));
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

std::string random_hex(size_t digits) {
  std::string bytes(digits / 2, '\0');
  const ssize_t got = retry([&] { return ::getrandom(bytes.data(), bytes.size(), 0); });
  if (got != static_cast<ssize_t>(bytes.size())) {
    throw Error("random bytes: getrandom failed: " + reason_text(errno) + ".", DropReason::IoError);
  }
  std::string hex;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    hex += "0123456789abcdef"[value >> 4];
    hex += "0123456789abcdef"[value & 15];
  }
  return hex;
}

std::string utc_stamp(std::time_t now) {
  constexpr std::time_t kYear0 = -62167219200, kYear10000 = 253402300800;
  const std::time_t told = std::clamp(now, kYear0, kYear10000 - 1);
  std::tm utc{};
  ::gmtime_r(&told, &utc);
  char text[80];
  std::snprintf(text, sizeof text, "%04d%02d%02dT%02d%02d%02dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                utc.tm_hour, utc.tm_min, utc.tm_sec);
  return text;
}

Descriptor open_existing(std::string path, bool strict) {
  // Behind a slash a link would be followed all the same.
  while (strict && path.size() > 1 && path.back() == '/') path.pop_back();
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (strict ? O_NOFOLLOW : 0);
  Descriptor directory(retry([&] { return ::open(path.c_str(), flags); }));
  if (directory.get() >= 0 && strict) check_owned(directory.get(), path);
  return directory;
}

Descriptor open_directory(const std::string& path, bool strict) {
  if (path.empty()) {
    throw Error("output directory: expected a path, got an empty string. Give a directory.", DropReason::OutDir);
  }
  // A prefix that exists but is not a directory shows in the final open.
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) fail(path, "create the directory", errno);
  Descriptor directory = open_existing(path, strict);
  if (directory.get() < 0) fail(path, "open the directory", errno);
  return directory;
}

void write_new(int directory, const std::string& name, std::string_view bytes, const std::string& path) {
  Descriptor file(retry(
      [&] { return ::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600); }));
  if (file.get() < 0) fail(path, "create", errno);
  try {
    write_all(file.get(), bytes, path);
    // Quotas and network file systems report some failures only here.
    if (::close(file.release()) != 0) fail(path, "close", errno);
  } catch (...) {
    ::unlinkat(directory, name.c_str(), 0);
    throw;
  }
}

StagedDirectory::StagedDirectory(const std::string& out_dir, bool strict)
    : out_dir_(out_dir), root_(open_directory(out_dir, strict)) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    std::string name = staged_name();
    std::optional<Descriptor> staged = make_staged(root_.get(), name, out_dir_);
    if (!staged) continue;
    staged_ = std::move(*staged);
    name_ = std::move(name);
    return;
  }
  throw Error("output " + out_dir_ + ": cannot lock a directory in it: others remove or lock what is made there.",
              DropReason::IoError);
}

StagedDirectory::~StagedDirectory() {
  if (name_.empty()) return;
  // Only what was made here is removed, never what happens to be there.
  for (const std::string& file : written_) ::unlinkat(staged_.get(), file.c_str(), 0);
  for (const std::string& directory : subdirectories_) ::unlinkat(staged_.get(), directory.c_str(), AT_REMOVEDIR);
  ::unlinkat(root_.get(), name_.c_str(), AT_REMOVEDIR);
}

void StagedDirectory::make_subdirectory(const std::string& name) {
  if (::mkdirat(staged_.get(), name.c_str(), 0700) != 0) fail(out_dir_ + "/" + name, "create the directory", errno);
  subdirectories_.push_back(name);
}

void StagedDirectory::write(const std::string& name, std::string_view bytes) {
  write_new(staged_.get(), name, bytes, out_dir_ + "/" + name);
  written_.push_back(name);
}

void StagedDirectory::publish(const std::string& name) {
  if (rename_new(root_.get(), name_.c_str(), root_.get(), name.c_str()) != 0)
    fail(out_dir_, "publish the bundle", errno);
  name_.clear();
}

std::string published_name() { return utc_stamp(std::time(nullptr)) + "-" + random_hex(kStagedDigits); }

std::string staged_name() { return std::string(kStaged) + random_hex(kStagedDigits); }

void remove_leftovers(const std::string& out_dir, bool strict) noexcept {
  try {
    const Descriptor root = open_existing(out_dir, strict);
    if (root.get() < 0) return;
    std::vector<std::string> names;
    each_name(root.get(), [&](std::string_view name) {
      if (is_staged(name)) names.emplace_back(name);
    });
    for (const std::string& name : names) remove_leftover(root.get(), name);
  } catch (const std::exception&) {  // the next process tries again
  }
}

void replace(const std::string& path, std::string_view bytes) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty()) throw Error("output '" + path + "': expected a file name, got a directory.", DropReason::OutDir);
  const Descriptor directory(retry([&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (directory.get() < 0) fail(parent, "open the directory", errno);
  const std::string temporary = ".tmp-" + random_hex(32);
  write_new(directory.get(), temporary, bytes, path);
  if (::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) {
    const int error = errno;
    ::unlinkat(directory.get(), temporary.c_str(), 0);
    fail(path, "publish", error);
  }
}

}  // namespace gaze::files

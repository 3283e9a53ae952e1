// SPDX-License-Identifier: MIT
#include "files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>
#include <utility>

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

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
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
    throw Error(what + " '" + path + "': expected a readable file, got: " + got + ". Correct the path.",
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

std::string utc_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return {text, length};
}

Descriptor open_directory(const std::string& path) {
  if (path.empty()) {
    throw Error("output directory: expected a path, got an empty string. Give a directory.", DropReason::OutDir);
  }
  // A prefix that exists but is not a directory shows in the final open.
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) fail(path, "create the directory", errno);
  const int fd = retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) fail(path, "open the directory", errno);
  return Descriptor(fd);
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

StagedDirectory::StagedDirectory(const std::string& out_dir)
    : out_dir_(out_dir), root_(open_directory(out_dir)), name_(".tmp-" + random_hex(32)) {
  if (::mkdirat(root_.get(), name_.c_str(), 0700) != 0) fail(out_dir_, "create a directory in it", errno);
  const int fd =
      retry([&] { return ::openat(root_.get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
  if (fd < 0) {
    const int error = errno;
    ::unlinkat(root_.get(), name_.c_str(), AT_REMOVEDIR);
    fail(out_dir_, "open a directory in it", error);
  }
  staged_ = Descriptor(fd);
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

std::string StagedDirectory::publish() {
  for (int attempt = 0;; ++attempt) {
    const std::string name = utc_stamp() + "-" + random_hex(32);
    if (rename_new(root_.get(), name_.c_str(), root_.get(), name.c_str()) == 0) {
      name_.clear();
      return out_dir_ + (out_dir_.back() == '/' ? "" : "/") + name;
    }
    if (errno != EEXIST || attempt == 3) fail(out_dir_, "publish the bundle", errno);
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

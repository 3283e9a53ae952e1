// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/operation.hpp>
#include <gaze/render/status.hpp>

#include <cerrno>
#include <system_error>

#include "base/files.hpp"

namespace gaze {
namespace {

constexpr size_t kMostBytes = 64 << 10;

struct Place {
  files::Descriptor folder;
  std::string name;
};

Place place_of(const std::string& path, bool strict) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty()) throw Error("output '" + path + "': expected a file name, got a directory.", DropReason::OutDir);
  return {files::open_directory(folder, strict), std::move(name)};
}

}  // namespace

void replace_file(const std::string& path, std::string_view bytes, FileFor readers, bool strict_directory) {
  const Place place = place_of(path, strict_directory);
  // One name, so that a process that is killed in between leaves one file, which the next one takes.
  const std::string temporary = "." + place.name + ".tmp";
  ::unlinkat(place.folder.get(), temporary.c_str(), 0);
  files::write_new(place.folder.get(), temporary, bytes, path);
  const bool readable = readers == FileFor::Owner || ::fchmodat(place.folder.get(), temporary.c_str(), 0644, 0) == 0;
  if (readable && ::renameat(place.folder.get(), temporary.c_str(), place.folder.get(), place.name.c_str()) == 0)
    return;
  const int error = errno;
  ::unlinkat(place.folder.get(), temporary.c_str(), 0);
  throw Error("output " + path + ": cannot replace it: " + std::generic_category().message(error) + ".",
              DropReason::IoError);
}

std::string read_own_file(const std::string& path, std::string& refused) {
  refused.clear();
  const files::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) {
    if (errno != ENOENT && errno != ENOTDIR) refused = std::generic_category().message(errno);
    return {};
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    refused = "expected a regular file";
  } else if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    refused = "expected a file of this process's user, or of root";
  } else if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refused = "expected a file that nobody else may write: chmod go-w";
  } else if (static_cast<uint64_t>(status.st_size) > kMostBytes) {
    refused = "expected at most 65536 bytes, got " + std::to_string(status.st_size);
  }
  if (!refused.empty()) return {};
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    filled += static_cast<size_t>(count);
  }
  text.resize(filled);
  return text;
}

}  // namespace gaze

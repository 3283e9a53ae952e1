// SPDX-License-Identifier: MIT
#include "base/file_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace gaze::files {
namespace {

constexpr int kDeepest = 3;

struct Entry {
  bool ours = false;  // a file or folder of this user
  bool folder = false;
  uint64_t device = 0;
  int64_t bytes = 0;
};

// Of `name` in `directory`, or of `directory` itself where it is empty. A mount point is not ours, whatever its owner.
Entry look_at(int directory, const char* name, Owner owner) {
  struct statx status {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (retry([&] { return ::statx(directory, name, flags, STATX_BASIC_STATS, &status); }) != 0) return {};
  Entry entry;
  entry.folder = S_ISDIR(status.stx_mode);
  entry.device = (uint64_t{status.stx_dev_major} << 32) | status.stx_dev_minor;
  entry.bytes = static_cast<int64_t>(status.stx_size);
  const bool mounted = (status.stx_attributes & status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
  entry.ours =
      (owner == Owner::Any || status.stx_uid == ::geteuid()) && (entry.folder || S_ISREG(status.stx_mode)) && !mounted;
  return entry;
}

bool look_through(int directory, uint64_t device, Owner owner, const std::string& prefix, int depth, Tree& tree) {
  std::vector<std::string> folders;
  bool ours = true;
  const bool whole = each_name(directory, [&](std::string_view name) {
    const std::string text(name);
    const Entry entry = look_at(directory, text.c_str(), owner);
    ours = ours && entry.ours && entry.device == device;
    if (!ours) return;
    if (entry.folder) {
      folders.push_back(text);
    } else {
      tree.files.push_back(prefix + text);
      tree.bytes += entry.bytes;
    }
  });
  if (!whole || !ours || (depth == kDeepest && !folders.empty())) return false;
  for (const std::string& name : folders) {
    const Descriptor inner = open_inside(directory, name);
    // Looked at again: what is open now is what is walked through.
    const Entry entry = inner.get() < 0 ? Entry() : look_at(inner.get(), "", owner);
    if (!entry.ours || entry.device != device) return false;
    tree.folders.push_back(prefix + name);
    if (!look_through(inner.get(), device, owner, prefix + name + "/", depth + 1, tree)) return false;
  }
  return true;
}

// The folder that a path within `directory` lies in, each step without links.
Descriptor open_parent(int directory, const std::string& path) {
  Descriptor folder(::fcntl(directory, F_DUPFD_CLOEXEC, 0));
  size_t begin = 0;
  for (size_t end = path.find('/'); end != std::string::npos && folder.get() >= 0; end = path.find('/', begin)) {
    folder = open_inside(folder.get(), path.substr(begin, end - begin));
    begin = end + 1;
  }
  return folder;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Lock lock(int fd) {
  if (retry([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) == 0) return Lock::Held;
  if (errno == EWOULDBLOCK) return Lock::Busy;
  return errno == ENOLCK ? Lock::Busy : Lock::Unknown;
}

bool is_named(int root, const std::string& name, int fd) {
  struct stat named {
  }, held{};
  return ::fstatat(root, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(fd, &held) == 0 &&
         named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

Descriptor open_inside(int directory, const std::string& name) {
  return Descriptor(
      retry([&] { return ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
}

bool each_name(int directory, const std::function<void(std::string_view name)>& call) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : ::fdopendir(copy), ::closedir);
  if (!stream) {
    if (copy >= 0) ::close(copy);
    return false;
  }
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") call(name);
    errno = 0;
  }
  return errno == 0;
}

std::optional<Tree> tree_of(int directory, Owner owner) {
  const Entry entry = look_at(directory, "", owner);
  Tree tree;
  if (!entry.ours || !look_through(directory, entry.device, owner, "", 0, tree)) return std::nullopt;
  return tree;
}

void remove_tree(int root, const std::string& name, int directory, const Tree& tree) {
  for (const std::string& file : tree.files) {
    const Descriptor folder = open_parent(directory, file);
    if (folder.get() >= 0) ::unlinkat(folder.get(), last_part(file).c_str(), 0);
  }
  for (auto path = tree.folders.rbegin(); path != tree.folders.rend(); ++path) {
    const Descriptor folder = open_parent(directory, *path);
    if (folder.get() >= 0) ::unlinkat(folder.get(), last_part(*path).c_str(), AT_REMOVEDIR);
  }
  ::unlinkat(root, name.c_str(), AT_REMOVEDIR);
}

Descriptor open_file_inside(int directory, const std::string& path) {
  const Descriptor folder = open_parent(directory, path);
  if (folder.get() < 0) return Descriptor();
  Descriptor file(retry([&] {
    return ::openat(folder.get(), last_part(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  }));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return Descriptor();
  return file;
}

std::optional<std::string> read_inside(int directory, const std::string& path, size_t limit) {
  const Descriptor file = open_file_inside(directory, path);
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return std::nullopt;
  if (static_cast<uint64_t>(status.st_size) > limit) return std::nullopt;
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = retry([&] { return ::read(file.get(), bytes.data() + filled, bytes.size() - filled); });
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace gaze::files

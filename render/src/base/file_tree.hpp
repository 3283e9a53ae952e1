// SPDX-License-Identifier: MIT
// Folders as Gaze makes them: looked through before anything in them is removed, and never left through a link or a
// mount.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace gaze::files {

/// A system call, again where a signal cut it short.
template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

enum class Lock { Held, Busy, Unknown };  // Unknown: this file system has none

/// Tries flock once, without waiting.
Lock lock(int fd);

/// Whether `name` in `root` still is what `fd` has open.
bool is_named(int root, const std::string& name, int fd);

/// A folder within another, not through a link; -1 where there is none.
Descriptor open_inside(int directory, const std::string& name);

/// Calls for each name but "." and ".."; false where the folder cannot be read.
bool each_name(int directory, const std::function<void(std::string_view name)>& call);

/// What lies in a folder, as paths from it.
struct Tree {
  std::vector<std::string> files;
  std::vector<std::string> folders;  // an outer one before what lies in it
  int64_t bytes = 0;                 // of the files
};

/// nullopt where anything else lies in it than files and folders of this user, or of anybody, of the same mount, three
/// deep at most.
enum class Owner { This, Any };
std::optional<Tree> tree_of(int directory, Owner owner = Owner::This);

/// Removes what `tree` names, then `name` itself. What cannot be removed stays.
void remove_tree(int root, const std::string& name, int directory, const Tree& tree);

/// A regular file within `directory`, reached through no link; -1 where there is none.
Descriptor open_file_inside(int directory, const std::string& path);

/// The whole content of a file within `directory`; nullopt where it is no regular file, cannot be read, or is larger.
std::optional<std::string> read_inside(int directory, const std::string& path, size_t limit);

}  // namespace gaze::files

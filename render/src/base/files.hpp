// SPDX-License-Identifier: MIT
// Files through descriptors: every failure is seen, nothing is followed, nothing half-written is left.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace gaze::files {

/// The whole content of a regular file of at most `limit` bytes. A FIFO, a device or a directory is refused, not waited
/// for.
/// @throws gaze::Error (DecodeFailed) beginning with `what`.
std::string read(const std::string& path, const std::string& what, size_t limit);

/// Lower-case hexadecimal digits of fresh random bytes.
std::string random_hex(size_t digits);

/// "20260102T030405Z". Of a clock before the year 0 or behind 9999 its first or last second, so that names sort and
/// none begins with "-".
std::string utc_stamp(std::time_t now);

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  [[nodiscard]] int get() const noexcept { return fd_; }
  int release() noexcept;

 private:
  int fd_;
};

/// Opens a directory, making it and its missing parents (mode 0700) first.
/// @param strict  refuses a link, a directory of another user, and one that its group or others may write
/// @throws gaze::Error (OutDir, DiskFull, IoError)
Descriptor open_directory(const std::string& path, bool strict);

/// One that is there; -1 where there is none. @throws gaze::Error (OutDir) where strict refuses it
Descriptor open_existing(std::string path, bool strict);

/// Creates `name` in `directory` (mode 0600; an existing name or a link is refused) and writes all of `bytes`.
/// @throws gaze::Error (OutDir, DiskFull, IoError)
void write_new(int directory, const std::string& name, std::string_view bytes, const std::string& path_for_people);

/// A directory that is filled under a hidden name and appears under its final one, or not at all. While it is filled it
/// is locked (flock), where the file system can.
class StagedDirectory {
 public:
  StagedDirectory(const std::string& out_dir, bool strict);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  void make_subdirectory(const std::string& name);
  /// `name` may be "file" or "subdirectory/file".
  void write(const std::string& name, std::string_view bytes);
  /// Renames to `name`, which nobody else has. @throws gaze::Error
  void publish(const std::string& name);
  /// Where it appears.
  [[nodiscard]] int root() const noexcept { return root_.get(); }

 private:
  std::string out_dir_;
  Descriptor root_;
  std::string name_;
  Descriptor staged_;
  std::vector<std::string> written_;
  std::vector<std::string> subdirectories_;
};

/// `<UTC time>-<32 hex digits>`: the name of a bundle that is published now.
std::string published_name();

/// A hidden name: what has it is being filled, or removed.
std::string staged_name();

/// Removes what a StagedDirectory left in `out_dir` because its process was killed: directories of its names that this
/// user owns, that nobody has locked, and that hold nothing else than it makes. What cannot be removed stays.
void remove_leftovers(const std::string& out_dir, bool strict) noexcept;

/// Writes `path` through a temporary file next to it and one rename; an older file is replaced.
/// @throws gaze::Error (OutDir, DiskFull, IoError)
void replace(const std::string& path, std::string_view bytes);

}  // namespace gaze::files

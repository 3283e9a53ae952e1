// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <vector>

#include "base/files.hpp"
#include "ledger/deletions.hpp"

namespace gaze::ledger {
namespace {

constexpr const char* kNewFile = ".deleted.new";
constexpr int64_t kLongestLine = 1024;

/// Where a file that cannot be made shorter grows on, it is looked at once for each `most_bytes` of it.
bool is_due(int root, int64_t most_bytes) {
  struct stat status {};
  if (::fstatat(root, kDeletedFile, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) return false;
  return most_bytes == 0 || (status.st_size >= most_bytes && status.st_size % most_bytes < kLongestLine);
}

struct Lines {
  std::vector<DeletionLine> all;
  std::string last;  // SHA-256
};

/// None where one is not as it was written, does not follow the one before, or is not signed as all are.
std::optional<Lines> read_lines(int root, const Key* key) {
  Lines lines;
  bool good = true;
  const bool readable = each_deletion(root, [&](const std::optional<DeletionLine>& line, const std::string& hash) {
    if (!good) return;
    good = line && line->before == lines.last && (!line->fold || lines.all.empty());
    if (!good) return;
    good = key == nullptr ? line->signature.empty()
                          : line->key == key->id() && key->verifies(kDeletionType, line->signed_as, line->signature);
    lines.all.push_back(*line);
    lines.last = hash;
  });
  return readable && good && !lines.all.empty() ? std::optional(std::move(lines)) : std::nullopt;
}

bool is_there(int root, const std::string& name) {
  struct stat status {};
  return ::fstatat(root, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/// The last link of the beginning that is deleted and gone, each told by lines that agree.
Fold beginning(int root, const std::vector<DeletionLine>& lines, const Fold& base) {
  std::map<int64_t, const Deletion*> by_sequence;
  for (const DeletionLine& line : lines) {
    if (line.fold || !line.deletion.sequence) continue;
    const auto [at, first] = by_sequence.emplace(*line.deletion.sequence, &line.deletion);
    const bool agrees = at->second != nullptr && at->second->manifest == line.deletion.manifest &&
                        at->second->bundle == line.deletion.bundle;
    if (!first && !agrees) at->second = nullptr;
  }
  Fold fold = base;
  for (const auto& [sequence, deletion] : by_sequence) {
    if (sequence <= base.through) continue;
    if (sequence != fold.through + 1 || deletion == nullptr || deletion->previous != fold.manifest ||
        deletion->manifest.empty() || is_there(root, deletion->bundle))
      break;
    fold.through = sequence;
    fold.manifest = deletion->manifest;
  }
  return fold;
}

}  // namespace

std::optional<std::string> fold_deletions(int root, const Key* key, const std::string& time, int64_t most_bytes) {
  if (!is_due(root, most_bytes)) return std::nullopt;
  const auto lines = read_lines(root, key);
  if (!lines) return std::nullopt;
  const Fold base = lines->all.front().fold.value_or(Fold{});
  Fold fold = beginning(root, lines->all, base);
  const auto stays = [&](const DeletionLine& line) {
    return !line.fold && (!line.deletion.sequence || *line.deletion.sequence > fold.through);
  };
  const auto left = std::count_if(lines->all.begin(), lines->all.end(), stays);
  const auto folded = static_cast<int64_t>(lines->all.size()) - left - (lines->all.front().fold ? 1 : 0);
  if (folded < std::max<int64_t>(1, most_bytes == 0 ? 1 : static_cast<int64_t>(lines->all.size()) / 4))
    return std::nullopt;
  fold.lines += folded;
  fold.was = lines->last;
  fold.time = time;
  std::string line = fold_line(fold, key);
  std::string last = sha256_of(line), text = line + "\n";
  for (const DeletionLine& each : lines->all) {
    if (!stays(each)) continue;
    line = deletion_line(each.deletion, last, key);
    last = sha256_of(line);
    text += line + "\n";
  }
  try {
    ::unlinkat(root, kNewFile, 0);  // a killed process may have left one
    files::write_new(root, kNewFile, text, kDeletedFile);
  } catch (const Error&) {  // no space: it stays as it is
    return std::nullopt;
  }
  if (::renameat(root, kNewFile, root, kDeletedFile) == 0) return last;
  ::unlinkat(root, kNewFile, 0);
  return std::nullopt;
}

}  // namespace gaze::ledger

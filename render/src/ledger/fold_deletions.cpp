// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <map>
#include <vector>

#include "base/files.hpp"
#include "ledger/deletions.hpp"

namespace gaze::ledger {
namespace {

constexpr const char* kNewFile = ".deleted.new";
constexpr uint64_t kLongestLine = 1024;

/// A file that did not become shorter is looked at again once it has grown by about a sixteenth.
bool is_due(int root, int64_t most_bytes) {
  struct stat status {};
  if (::fstatat(root, kDeletedFile, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) return false;
  if (most_bytes == 0) return true;
  const auto bytes = static_cast<uint64_t>(status.st_size);
  return status.st_size >= most_bytes && bytes % (std::bit_floor(bytes) / 16) < kLongestLine;
}

/// SHA-256 of the last line; none where one is not as it was written, does not follow the one before, or is not signed
/// as all are. Keeps none, for a file that cannot be folded has no bound.
std::optional<std::string> last_of_good_lines(int root, const Key* key) {
  std::string last;
  bool good = true, behind = false;
  const bool readable = each_deletion(root, [&](const std::optional<DeletionLine>& line, const std::string& hash) {
    good = good && line && line->before == last && !(line->fold && behind);
    if (!good) return;
    good = key == nullptr ? line->signature.empty()
                          : line->key == key->id() && key->verifies(kDeletionType, line->signed_as, line->signature);
    behind = behind || !line->fold;
    last = hash;
  });
  return readable && good && !last.empty() ? std::optional(std::move(last)) : std::nullopt;
}

bool is_there(int root, const std::string& name) {
  struct stat status {};
  return ::fstatat(root, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/// What is left of the lines: runs of links that follow one another and are gone, by their first one.
struct Runs {
  std::map<int64_t, Fold> by_first;
  Fold outside;  // of the chain

  /// @return false: it overlaps what is there
  bool add(const Fold& run) {
    const auto [at, first] = by_first.emplace(run.from, run);
    return first && (at == by_first.begin() || std::prev(at)->second.through < run.from) &&
           (std::next(at) == by_first.end() || run.through < std::next(at)->first);
  }
  void join() {
    for (auto at = by_first.begin(); at != by_first.end();) {
      const auto next = std::next(at);
      if (next == by_first.end()) return;
      Fold& run = at->second;
      if (next->first != run.through + 1 || next->second.previous != run.manifest) {
        at = next;
        continue;
      }
      run.through = next->second.through;
      run.manifest = next->second.manifest;
      run.lines += next->second.lines;
      by_first.erase(next);
    }
  }
  [[nodiscard]] bool holds(int64_t sequence) const {
    const auto behind = by_first.upper_bound(sequence);
    return behind != by_first.begin() && std::prev(behind)->second.through >= sequence;
  }
};

/// Links of which every line says the same, and that are gone. None: lines that stand for others overlap.
std::optional<Runs> runs_of(int root, const std::vector<DeletionLine>& lines) {
  struct Told {
    const Deletion* deletion;  // null: lines disagree
    int64_t lines = 0;
  };
  std::map<int64_t, Told> told;
  Runs runs;
  for (const auto& [deletion, fold, before, signed_as, key, signature] : lines) {
    if (fold) {
      if (fold->through == 0) {
        runs.outside.lines += fold->lines;
      } else if (!runs.add(*fold)) {
        return std::nullopt;
      }
    } else if (deletion.sequence) {
      Told& each = told.try_emplace(*deletion.sequence, Told{&deletion}).first->second;
      ++each.lines;
      if (each.deletion != nullptr &&
          (each.deletion->manifest != deletion.manifest || each.deletion->bundle != deletion.bundle ||
           each.deletion->previous != deletion.previous))
        each.deletion = nullptr;
    }
  }
  for (const auto& [sequence, each] : told) {
    const Deletion* gone = each.deletion;
    if (gone == nullptr || gone->manifest.empty() || is_there(root, gone->bundle)) continue;
    if (!runs.add({sequence, sequence, gone->previous, gone->manifest, each.lines, "", ""})) return std::nullopt;
  }
  runs.join();
  // One link alone keeps its line, which says more.
  std::erase_if(runs.by_first, [](const auto& run) { return run.second.from == run.second.through; });
  return runs;
}

/// The file's lines, linked anew.
class Text {
 public:
  explicit Text(const Key* key) : key_(key) {}
  void add(const Fold& fold) { put(fold_line(fold, last_, key_)); }
  void add(const Deletion& deletion) { put(deletion_line(deletion, last_, key_)); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] const std::string& last() const { return last_; }
  [[nodiscard]] int64_t lines() const { return lines_; }

 private:
  void put(const std::string& line) {
    last_ = sha256_of(line);
    bytes_ += line + "\n";
    ++lines_;
  }
  const Key* key_;
  std::string bytes_, last_;
  int64_t lines_ = 0;
};

Text folded(int root, const std::vector<DeletionLine>& lines, Runs runs, const Key* key, const std::string& was,
            const std::string& time) {
  std::vector<const Deletion*> kept;
  for (const DeletionLine& line : lines) {
    if (line.fold) continue;
    const Deletion& deletion = line.deletion;
    if (deletion.sequence ? !runs.holds(*deletion.sequence) : is_there(root, deletion.bundle)) {
      kept.push_back(&deletion);
    } else if (!deletion.sequence) {
      ++runs.outside.lines;
    }
  }
  Text text(key);
  const auto add = [&](Fold fold) {
    fold.was = was;
    fold.time = time;
    text.add(fold);
  };
  if (runs.outside.lines > 0) add(runs.outside);
  for (const auto& [first, run] : runs.by_first) add(run);
  for (const Deletion* deletion : kept) text.add(*deletion);
  return text;
}

bool replace_lines(int root, const std::string& bytes) {
  try {
    ::unlinkat(root, kNewFile, 0);  // a killed process may have left one
    files::write_new(root, kNewFile, bytes, kDeletedFile);
  } catch (const Error&) {  // no space: it stays as it is
    return false;
  }
  if (::renameat(root, kNewFile, root, kDeletedFile) == 0) return true;
  ::unlinkat(root, kNewFile, 0);
  return false;
}

}  // namespace

std::optional<std::string> fold_deletions(int root, const Key* key, const std::string& time, int64_t most_bytes) {
  if (!is_due(root, most_bytes)) return std::nullopt;
  const auto last = last_of_good_lines(root, key);
  if (!last) return std::nullopt;
  std::vector<DeletionLine> lines;
  each_deletion(root, [&](const std::optional<DeletionLine>& line, const std::string&) {
    if (line) lines.push_back(*line);
  });
  auto runs = runs_of(root, lines);
  if (!runs) return std::nullopt;
  const Text text = folded(root, lines, std::move(*runs), key, *last, time);
  // Writing it anew must be worth it.
  const auto had = static_cast<int64_t>(lines.size());
  const int64_t least = std::max<int64_t>(1, most_bytes == 0 ? 1 : had / 4);
  return had - text.lines() >= least && replace_lines(root, text.bytes()) ? std::optional(text.last()) : std::nullopt;
}

}  // namespace gaze::ledger

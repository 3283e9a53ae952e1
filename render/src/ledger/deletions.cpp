// SPDX-License-Identifier: MIT
#include "ledger/deletions.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.hpp"
#include "base/json_text.hpp"
#include "base/json_value.hpp"

namespace gaze::ledger {
namespace {

constexpr size_t kMostLine = 4096;
constexpr std::string_view kKeyField = ",\"key\":\"";

[[noreturn]] void fail(const std::string& out_dir, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error("output " + out_dir + "/" + kDeletedFile +
                  ": cannot add a line to it, so nothing is deleted. Is it a file "
                  "of this user's, and is there space?",
              full ? DropReason::DiskFull : DropReason::IoError);
}

files::Descriptor open_lines(int root, int flags) {
  files::Descriptor file(::openat(root, kDeletedFile, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600));
  struct stat status {};
  if (file.get() >= 0 && (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))) {
    errno = EINVAL;
    return files::Descriptor();
  }
  return file;
}

// The last whole line, once what a killed process tore is cut off.
std::string mended_last_line(int file, const std::string& out_dir) {
  const off_t size = ::lseek(file, 0, SEEK_END);
  if (size < 0) fail(out_dir, errno);
  std::string tail(static_cast<size_t>(std::min<off_t>(size, 2 * kMostLine)), '\0');
  const off_t begin = size - static_cast<off_t>(tail.size());
  if (::pread(file, tail.data(), tail.size(), begin) != static_cast<ssize_t>(tail.size())) fail(out_dir, EIO);
  const size_t end = tail.rfind('\n');
  if (end == std::string::npos && begin > 0) fail(out_dir, EIO);
  const size_t kept = end == std::string::npos ? 0 : end + 1;
  if (kept < tail.size() && ::ftruncate(file, begin + static_cast<off_t>(kept)) != 0) fail(out_dir, errno);
  if (kept == 0) return {};
  const size_t before = end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
  if (before == std::string::npos && begin > 0) fail(out_dir, EIO);
  const size_t first = before == std::string::npos ? 0 : before + 1;
  return tail.substr(first, end - first);
}

std::string signed_line(const JsonText& root, const Key* key) {
  std::string line = root.dump(-1);
  if (key == nullptr) return line;
  const std::string signature = key->sign(kDeletionType, line);
  line.pop_back();
  return line.append(kKeyField).append(key->id()).append("\",\"signature\":\"").append(signature).append("\"}");
}

std::optional<Fold> parse_fold(const JsonValue& value) {
  const auto from = value.whole_at("from"), through = value.whole_at("through"), lines = value.whole_at("lines");
  if (!from || !through || !lines) return std::nullopt;
  Fold fold{*from,
            *through,
            value.text_at("previous"),
            value.text_at("manifest"),
            *lines,
            value.text_at("was"),
            value.text_at("time")};
  const bool outside = fold.from == 0 && fold.through == 0;
  const bool run = fold.from > 0 && fold.through >= fold.from && !fold.manifest.empty();
  return (outside || run) && !fold.was.empty() ? std::optional(std::move(fold)) : std::nullopt;
}

}  // namespace

std::string fold_line(const Fold& fold, const std::string& before, const Key* key) {
  JsonText folded = JsonText::object();
  folded["from"] = fold.from;
  folded["through"] = fold.through;
  folded["previous"] = text_or_null(fold.previous);
  folded["manifest"] = text_or_null(fold.manifest);
  folded["lines"] = fold.lines;
  folded["was"] = fold.was;
  folded["time"] = fold.time;
  JsonText root = JsonText::object();
  root["folded"] = std::move(folded);
  root["before"] = text_or_null(before);
  return signed_line(root, key);
}

std::string deletion_line(const Deletion& deletion, const std::string& before, const Key* key) {
  JsonText root = JsonText::object();
  root["bundle"] = deletion.bundle;
  root["sequence"] = deletion.sequence ? JsonText(*deletion.sequence) : JsonText(nullptr);
  root["manifest"] = text_or_null(deletion.manifest);
  root["previous"] = text_or_null(deletion.previous);
  root["reason"] = deletion.reason;
  root["time"] = deletion.time;
  root["before"] = text_or_null(before);
  return signed_line(root, key);
}

namespace {

std::optional<DeletionLine> parse_line(const std::string& text) {
  const auto root = read_json(text);
  if (!root || root->kind != JsonValue::Kind::Object) return std::nullopt;
  DeletionLine line;
  line.deletion = {root->text_at("bundle"),   root->whole_at("sequence"), root->text_at("manifest"),
                   root->text_at("previous"), root->text_at("reason"),    root->text_at("time")};
  line.before = root->text_at("before");
  line.key = root->text_at("key");
  line.signature = root->text_at("signature");
  line.signed_as = line.signature.empty() ? text : text.substr(0, text.find(kKeyField)) + "}";
  if (const JsonValue* folded = root->find("folded")) {
    line.fold = parse_fold(*folded);
    return line.fold ? std::optional(std::move(line)) : std::nullopt;
  }
  return line.deletion.bundle.empty() || line.deletion.reason.empty() ? std::nullopt : std::optional(std::move(line));
}

}  // namespace

std::string add_deletion(int root, const Deletion& deletion, const Key* key, const std::string& out_dir) {
  const files::Descriptor file = open_lines(root, O_RDWR | O_CREAT | O_APPEND);
  if (file.get() < 0) fail(out_dir, errno);
  const std::string last = mended_last_line(file.get(), out_dir);
  const std::string line = deletion_line(deletion, last.empty() ? std::string() : sha256_of(last), key);
  const std::string bytes = line + "\n";
  ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size())) fail(out_dir, written < 0 ? errno : ENOSPC);
  return sha256_of(line);
}

bool each_deletion(int root, const std::function<void(const std::optional<DeletionLine>&, const std::string&)>& call) {
  const files::Descriptor file = open_lines(root, O_RDONLY);
  if (file.get() < 0) return errno == ENOENT;
  std::array<char, 65536> block{};
  std::string rest;
  bool endless = false;  // a line that is longer than any of ours is told once
  for (ssize_t count = 1; count != 0;) {
    count = ::read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    rest.append(block.data(), static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
      const std::string line = rest.substr(begin, end - begin);
      call(endless || line.size() > kMostLine ? std::nullopt : parse_line(line), sha256_of(line));
      endless = false;
      begin = end + 1;
    }
    rest.erase(0, begin);
    if (rest.size() > kMostLine) {
      endless = true;
      rest.clear();
    }
  }
  return true;
}

std::string utc_time(std::time_t time) {
  const std::string stamp = files::utc_stamp(time);  // 20260102T030405Z
  return stamp.substr(0, 4) + "-" + stamp.substr(4, 2) + "-" + stamp.substr(6, 5) + ":" + stamp.substr(11, 2) + ":" +
         stamp.substr(13);
}

}  // namespace gaze::ledger

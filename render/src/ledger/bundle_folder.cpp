// SPDX-License-Identifier: MIT
#include "ledger/bundle_folder.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/json_value.hpp"
#include "ledger/deletions.hpp"
#include "ledger/manifest.hpp"

namespace gaze::ledger {
namespace {

constexpr const char* kMarker = "request.json";

struct OpenBundle {
  files::Descriptor folder;
  files::Tree tree;
};

std::optional<OpenBundle> open_bundle(int root, const std::string& name, std::string& why) {
  OpenBundle bundle{files::open_inside(root, name), {}};
  if (bundle.folder.get() < 0) {
    why = "it is no folder that can be opened";
    return std::nullopt;
  }
  auto tree = files::tree_of(bundle.folder.get());
  if (!tree) {
    why = "it holds a link, a mount, what is another user's, or what is neither file nor folder";
    return std::nullopt;
  }
  bundle.tree = std::move(*tree);
  if (std::find(bundle.tree.files.begin(), bundle.tree.files.end(), kMarker) == bundle.tree.files.end()) {
    why = "it holds no request.json";
    return std::nullopt;
  }
  return bundle;
}

// What Gaze wrote, as the manifest says, or request.json where there is none.
std::set<std::string> written_files(int folder, const std::optional<Manifest>& manifest) {
  std::set<std::string> names = {kManifestFile, kEnvelopeFile, kMarker};
  if (manifest) {
    for (const Subject& subject : manifest->subjects) names.insert(subject.name);
    return names;
  }
  const auto text = files::read_inside(folder, kMarker, kMostRequestBytes);
  const auto request = text ? read_json(*text) : std::nullopt;
  const JsonValue* list = request ? request->find("files") : nullptr;
  if (list == nullptr) return names;
  for (const JsonValue& name : list->values) names.insert(name.text);
  return names;
}

// The first thing in a bundle that is not Gaze's; empty: there is none.
std::string foreign(const files::Tree& tree, const std::set<std::string>& written) {
  for (const std::string& file : tree.files) {
    if (written.count(file) == 0) return file;
  }
  for (const std::string& folder : tree.folders) {
    const auto inner = written.lower_bound(folder + "/");
    if (inner == written.end() || !inner->starts_with(folder + "/")) return folder;
  }
  return {};
}

}  // namespace

bool is_bundle_name(std::string_view name) {
  constexpr std::string_view kForm = "00000000T000000Z-";
  if (name.size() != kForm.size() + 32) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool digit = name[i] >= '0' && name[i] <= '9';
    const bool fits = i >= kForm.size() ? digit || (name[i] >= 'a' && name[i] <= 'f')
                                        : (kForm[i] == '0' ? digit : name[i] == kForm[i]);
    if (!fits) return false;
  }
  return true;
}

std::time_t time_of(std::string_view bundle_name) {
  std::tm utc{};
  if (std::sscanf(std::string(bundle_name).c_str(), "%4d%2d%2dT%2d%2d%2dZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                  &utc.tm_hour, &utc.tm_min, &utc.tm_sec) != 6)
    return 0;
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  return ::timegm(&utc);
}

std::vector<std::string> bundle_names(int root, size_t most, const std::string& out_dir) {
  std::vector<std::string> names;  // with a limit a heap, the youngest on top
  const bool whole = files::each_name(root, [&](std::string_view name) {
    if (!is_bundle_name(name)) return;
    names.emplace_back(name);
    if (most == 0) return;
    std::push_heap(names.begin(), names.end());
    if (names.size() <= most) return;
    std::pop_heap(names.begin(), names.end());
    names.pop_back();
  });
  if (!whole) throw Error("output " + out_dir + ": cannot list the directory.", DropReason::IoError);
  std::sort(names.begin(), names.end());
  return names;
}

int64_t bundle_bytes(int root, const std::string& name) {
  std::string why;
  const auto bundle = open_bundle(root, name, why);
  return bundle ? bundle->tree.bytes : -1;
}

int64_t free_bytes(int root) {
  struct statvfs status {};
  if (::fstatvfs(root, &status) != 0) return INT64_MAX;
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

Removal Remover::remove(const std::string& name, Head& head) const {
  Removal removal;
  const auto bundle = is_bundle_name(name) ? open_bundle(root, name, removal.why_kept) : std::nullopt;
  if (!bundle) return removal;
  const auto text = files::read_inside(bundle->folder.get(), kManifestFile, kMostManifestBytes);
  const auto manifest = text ? parse_manifest(*text) : std::nullopt;
  const std::string other = foreign(bundle->tree, written_files(bundle->folder.get(), manifest));
  if (!other.empty()) {
    removal.why_kept = "it holds " + other + ", which Gaze did not write";
    return removal;
  }
  removal.bytes = bundle->tree.bytes;
  removal.gone = true;
  if (dry_run) return removal;
  Deletion deletion{name, std::nullopt, text ? sha256_of(*text) : "", "", reason, utc_time(now)};
  if (manifest && manifest->bundle == name) {
    deletion.sequence = manifest->sequence;
    deletion.previous = manifest->previous;
  }
  head.deleted = add_deletion(root, deletion, key, out_dir);
  if (head.bytes >= 0) head.bytes = std::max<int64_t>(0, head.bytes - removal.bytes);
  write_head(root, head, out_dir);
  if (auto last = fold_deletions(root, key, deletion.time, kMostDeletedBytes)) {
    head.deleted = std::move(*last);
    write_head(root, head, out_dir);
  }
  // It goes as it came: by one rename. What a killed process leaves has the name of a leftover.
  const std::string hidden = files::staged_name();
  if (::renameat2(root, name.c_str(), root, hidden.c_str(), RENAME_NOREPLACE) != 0 &&
      ::renameat(root, name.c_str(), root, hidden.c_str()) != 0) {
    removal.gone = false;
    removal.why_kept = "it cannot be renamed";
    return removal;
  }
  if (!files::is_named(root, hidden, bundle->folder.get())) {
    ::renameat(root, hidden.c_str(), root, name.c_str());
    removal.gone = false;
    removal.why_kept = "something else took its place";
    return removal;
  }
  files::remove_tree(root, hidden, bundle->folder.get(), bundle->tree);
  return removal;
}

}  // namespace gaze::ledger

// SPDX-License-Identifier: MIT
#include <gaze/render/ledger.hpp>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "bundle_file.hpp"
#include "bundle_list.hpp"
#include "console.hpp"
#include "gallery_rest.hpp"
#include "ledger_verbs.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// What went and what stays, of all directories.
struct Outcome {
  std::vector<std::string> gone;  ///< folders
  std::vector<KeptBundle> kept;
  int64_t bytes = 0;
  std::vector<std::string> pages;

  void add(const fs::path& directory, const Deleted& deleted) {
    for (const std::string& name : deleted.names) gone.push_back((directory / name).string());
    for (const KeptBundle& each : deleted.kept) kept.push_back({(directory / each.name).string(), each.why});
    bytes += deleted.bytes;
  }
};

void print(const Outcome& outcome, bool dry_run, bool json, ordered_json more) {
  if (!json) {
    for (const KeptBundle& each : outcome.kept)
      std::printf("stays  %s  %s\n", printable(each.name).c_str(), printable(each.why).c_str());
    if (dry_run) {
      for (const std::string& folder : outcome.gone) std::printf("would go  %s\n", printable(folder).c_str());
    }
    for (const std::string& page : outcome.pages) std::printf("%s\n", page.c_str());
    std::printf("%zu bundles %s, %lld bytes; %zu stay that should not\n", outcome.gone.size(),
                dry_run ? "would be deleted" : "deleted", static_cast<long long>(outcome.bytes), outcome.kept.size());
    return;
  }
  ordered_json root = {{"dry_run", dry_run},
                       {"deleted", outcome.gone},
                       {"bytes", outcome.bytes},
                       {"stays", ordered_json::array()},
                       {"pages", outcome.pages}};
  for (const KeptBundle& each : outcome.kept) root["stays"].push_back({{"folder", each.name}, {"why", each.why}});
  root.update(more);
  std::printf("%s\n", root.dump(1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

DeleteOptions options_of(const std::string& signing_key, bool dry_run, Progress& progress) {
  DeleteOptions options;
  options.dry_run = dry_run;
  options.signing_key = signing_key;
  options.progress = [&](int64_t done, int64_t all) { progress.show(done, all); };
  return options;
}

void expect_directory(const std::string& directory) {
  std::error_code failed;
  if (!fs::is_directory(directory, failed))
    throw Refusal("DIR: expected a directory, got " + directory + ". Bundles lie where GAZE_OUT_DIR says.");
  if (fs::exists(fs::path(directory) / "request.json", failed))
    throw Refusal("DIR: expected a directory of bundles, got " + directory + ", which is a bundle itself.");
}

/// The directories that hold bundles, and folders with a request.json that were not published: copies, as `gaze draw`
/// makes them.
struct Places {
  std::set<fs::path> directories;
  std::vector<fs::path> copies;
};

Places places_below(const std::vector<std::string>& roots, Outcome& outcome) {
  Places places;
  const FoundBundles found = find_bundles(roots, std::numeric_limits<size_t>::max());
  for (const std::string& root : roots) places.directories.insert(fs::canonical(root));
  for (const FoundBundle& bundle : found.bundles) {
    const fs::path folder(bundle.folder);
    if (is_bundle_name(folder.filename().string())) {
      places.directories.insert(folder.parent_path());
    } else {
      places.copies.push_back(folder);
    }
  }
  for (const std::string& text : found.not_entered) outcome.kept.push_back({text, "so it was not looked into"});
  return places;
}

bool may_hold(const fs::path& copy, const std::string& request) {
  try {
    return text_at(read_request(copy), "request_id") == request;
  } catch (const Refusal&) {
    return false;
  }
}

}  // namespace

int purge(const PurgeArguments& arguments) {
  expect_directory(arguments.directory);
  Progress progress("purge", "bundles");
  const Deleted deleted = purge_bundles(arguments.directory, arguments.limits,
                                        options_of(arguments.signing_key, arguments.dry_run, progress));
  Outcome outcome;
  outcome.add(arguments.directory, deleted);
  if (!arguments.dry_run && !deleted.names.empty()) outcome.pages = renew_galleries(arguments.directory);
  print(outcome, arguments.dry_run, arguments.json,
        {{"left_bundles", deleted.left_bundles}, {"left_bytes", deleted.left_bytes}, {"within", deleted.within}});
  if (!arguments.json)
    std::printf("%lld bundles left, %lld bytes%s\n", static_cast<long long>(deleted.left_bundles),
                static_cast<long long>(deleted.left_bytes), deleted.within ? "" : ": more than was asked for");
  return deleted.within && outcome.kept.empty() ? 0 : 1;
}

int forget(const ForgetArguments& arguments) {
  for (const std::string& directory : arguments.directories) expect_directory(directory);
  Progress progress("forget", "bundles");
  Outcome outcome;
  const Places places = places_below(arguments.directories, outcome);
  for (const fs::path& directory : places.directories)
    outcome.add(directory, forget_request(directory.string(), arguments.request,
                                          options_of(arguments.signing_key, arguments.dry_run, progress)));
  for (const fs::path& copy : places.copies) {
    if (may_hold(copy, arguments.request))
      outcome.kept.push_back({copy.string(), "it is a copy, as gaze draw makes them: delete it by hand"});
  }
  for (const fs::path& directory : places.directories) {
    if (arguments.dry_run) break;
    const std::vector<std::string> pages = renew_galleries(directory);
    outcome.pages.insert(outcome.pages.end(), pages.begin(), pages.end());
  }
  print(outcome, arguments.dry_run, arguments.json, {{"request", arguments.request}});
  return outcome.kept.empty() ? 0 : 1;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "gallery.hpp"

#include <gaze/ops/api.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "bundle_file.hpp"
#include "bundle_list.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "gallery_data.hpp"
#include "gallery_pairs.hpp"
#include "page.hpp"
#include "table.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// Where the page goes. A directory that is there, or a name without .html, gets an index.html.
fs::path gallery_file(const ReportArguments& arguments) {
  const fs::path out = arguments.out.empty() ? fs::path(arguments.directories.front()) : fs::path(arguments.out);
  std::error_code failed;
  const bool folder = out.extension() != ".html" || fs::is_directory(out, failed);
  if (folder) fs::create_directories(out, failed);
  if (folder && failed)
    throw Refusal("--out: expected a folder that can be written, got " + out.string() + ": " + failed.message() + ".");
  const fs::path file = fs::absolute(folder ? out / "index.html" : out).lexically_normal();
  std::ifstream there(file, std::ios::binary);
  std::string head(400, '\0');
  there.read(head.data(), static_cast<std::streamsize>(head.size()));
  if (there.is_open() && head.find("content=\"gaze report\"") == std::string::npos)
    throw Refusal("--out: expected no file, or a page of gaze report, got " + file.string() +
                  ", which something else wrote. Say another name.");
  return file;
}

/// What a run adds up to.
struct Tally {
  uint64_t unreadable = 0, not_read_again = 0;
  std::vector<Pairable> pairable;
};

void write_rows(const FoundBundles& found, const fs::path& home, const fs::path& data, Table* table, ChunkWriter& rows,
                bool pairs, Tally& tally) {
  OldRows old(data);
  Progress progress("report", "bundles");
  for (const FoundBundle& bundle : found.bundles) {
    const fs::path folder(bundle.folder);
    const std::string address = address_of(folder, home), stamp = stamp_of(folder);
    std::optional<ordered_json> row = old.take(address, stamp);
    if (row) {
      ++tally.not_read_again;
    } else {
      row = row_of(folder);
    }
    (*row)["folder"] = address;
    (*row)["name"] = printable(folder.filename().string());
    (*row)["stamp"] = stamp;
    (*row)["root"] = bundle.root;
    const bool readable = !row->contains("unreadable");
    tally.unreadable += readable ? 0 : 1;
    if (readable && pairs)
      tally.pairable.push_back({row->value("request_id", ""), folder.string(), rows.rows(), bundle.root});
    if (readable && table != nullptr) table->add(bundle.folder, read_request(folder));
    rows.add(*row);
    progress.show(static_cast<int64_t>(rows.rows()), static_cast<int64_t>(found.bundles.size()));
  }
}

void write_pairs(const std::vector<Pairable>& pairable, ChunkWriter& pairs) {
  Progress progress("report", "pairs");
  const auto fellows = pairs_of(pairable);
  for (const auto& [a, b] : fellows) {
    pairs.add(pair_row(a, b));
    progress.show(static_cast<int64_t>(pairs.rows()), static_cast<int64_t>(fellows.size()));
  }
}

ordered_json facts_of_gallery(const ReportArguments& arguments, const FoundBundles& found, const fs::path& data) {
  ordered_json facts = {{"gaze_version", GAZE_VERSION},
                        {"data", address_of(data.filename(), "")},
                        {"directories", ordered_json::array()},
                        {"left_out", found.left_out},
                        {"not_entered", found.not_entered}};
  for (const std::string& directory : arguments.directories) facts["directories"].push_back(printable(directory));
  return facts;
}

}  // namespace

int report(const ReportArguments& arguments) {
  const FoundBundles found = find_bundles(arguments.directories, static_cast<size_t>(arguments.limit));
  if (found.bundles.empty())
    throw Refusal("DIR: expected bundles below " + join(arguments.directories) +
                  ", found none. GAZE_CAPTURE=1 makes a host write them; `gaze demo` writes twelve.");
  const fs::path file = gallery_file(arguments);
  const fs::path home = fs::canonical(file.parent_path());
  const fs::path data = home / (file.stem().string() + "-data");
  const bool two = arguments.directories.size() == 2;
  const auto table = arguments.table.empty() ? nullptr : std::make_unique<Table>(arguments.table);
  ChunkWriter rows(data, "rows"), pairs(data, "pairs");
  Tally tally;
  write_rows(found, home, data, table.get(), rows, two, tally);
  if (two) write_pairs(tally.pairable, pairs);
  ordered_json facts = facts_of_gallery(arguments, found, data);
  facts["rows"] = rows.rows();
  facts["row_chunks"] = rows.chunks();
  facts["pairs"] = two ? ordered_json(pairs.rows()) : ordered_json(nullptr);
  facts["pair_chunks"] = pairs.chunks();
  rows.publish();
  pairs.publish();
  write_page(file, page(gallery_page, " 'self' file:; img-src 'self' file:; frame-src 'self' file:", facts), "--out");
  if (table) table->publish();
  if (arguments.quiet) return 0;
  std::printf("%llu answers below %s: %llu read, %llu as they were, %llu unreadable\n",
              static_cast<unsigned long long>(rows.rows()), printable(join(arguments.directories)).c_str(),
              static_cast<unsigned long long>(rows.rows() - tally.not_read_again),
              static_cast<unsigned long long>(tally.not_read_again), static_cast<unsigned long long>(tally.unreadable));
  if (two)
    std::printf("%llu pairs by request id, %llu answers in one directory only\n",
                static_cast<unsigned long long>(pairs.rows()),
                static_cast<unsigned long long>(tally.pairable.size() - 2 * pairs.rows()));
  if (found.left_out > 0)
    std::printf("%llu older ones left out: --limit %lld\n", static_cast<unsigned long long>(found.left_out),
                static_cast<long long>(arguments.limit));
  for (const std::string& folder : found.not_entered) std::printf("not entered %s\n", folder.c_str());
  std::printf("page  %s\n", printable(file.string()).c_str());
  if (table) std::printf("table %s\n", printable(arguments.table).c_str());
  return 0;
}

}  // namespace gaze::cli

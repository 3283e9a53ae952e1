// SPDX-License-Identifier: MIT
#include "gallery_rest.hpp"

#include <fstream>
#include <system_error>

#include "bundle_verbs.hpp"
#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;

bool is_gallery(const fs::path& file) {
  std::error_code failed;
  if (file.extension() != ".html" || !fs::is_regular_file(fs::symlink_status(file, failed))) return false;
  std::ifstream in(file, std::ios::binary);
  std::string head(400, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  return head.find("content=\"gaze report\"") != std::string::npos;
}

/// Whether a page's rows are of bundles below its own folder, and it compares none.
bool is_of_its_folder(const fs::path& data) {
  std::error_code failed;
  if (fs::exists(data / "pairs-0001.js", failed)) return false;
  std::ifstream in(data / "rows-0001.js", std::ios::binary);
  std::string line;
  while (std::getline(in, line)) {
    if (line.find("\"folder\":\"../") != std::string::npos) return false;
  }
  return true;
}

/// Its scripts alone, and the folder where nothing else is left in it.
void delete_rows(const fs::path& data) {
  std::error_code failed;
  if (!fs::is_directory(fs::symlink_status(data, failed))) return;
  std::vector<fs::path> rows;
  for (fs::directory_iterator entry(data, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("rows-") || name.starts_with("pairs-")) rows.push_back(entry->path());
  }
  for (const fs::path& row : rows) fs::remove(row, failed);
  fs::remove(data, failed);
}

std::string renew(const fs::path& page) {
  const fs::path folder = page.parent_path(), data = folder / (page.stem().string() + "-data");
  if (page.filename() == "index.html" && is_of_its_folder(data)) {
    try {
      ReportArguments arguments;
      arguments.directories = {folder.string()};
      arguments.quiet = true;
      report(arguments);
      return printable(page.string()) + " was made anew";
    } catch (const Refusal&) {  // no bundle is left
    }
  }
  std::error_code failed;
  delete_rows(data);
  fs::remove(page, failed);
  return printable(page.string()) + " was deleted, with its rows: gaze report makes it again";
}

}  // namespace

std::vector<std::string> renew_galleries(const fs::path& folder) {
  std::vector<fs::path> pages;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    if (is_gallery(entry->path())) pages.push_back(entry->path());
  }
  std::vector<std::string> done;
  for (const fs::path& page : pages) done.push_back(renew(page));
  return done;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// The bundles below some directories, and what a list says of each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gaze::cli {

struct FoundBundle {
  std::string folder;  ///< its path, absolute, without links
  size_t root = 0;     ///< which directory
};

struct FoundBundles {
  std::vector<FoundBundle> bundles;      ///< the newest first, by their names
  uint64_t left_out = 0;                 ///< older ones, beyond the limit
  std::vector<std::string> not_entered;  ///< directories that could not be read, and why; the first hundred
};

/// Bundles below `roots`, and folders that look as if they had been one. Links are not followed; a root may be one.
/// Memory grows with `limit`, not with what the directories hold.
/// @throws Refusal for a root that is no directory, and for one within another.
FoundBundles find_bundles(const std::vector<std::string>& roots, size_t limit);

/// A path as a relative address in a page that lies in `from`: bytes that an address has no room for are encoded.
std::string address_of(const std::filesystem::path& path, const std::filesystem::path& from);

/// Changes when the bundle does: times and sizes, not contents.
std::string stamp_of(const std::filesystem::path& folder);

/// What the gallery shows of a bundle: texts cut to a length, no more than a hundred words. A bundle that cannot be
/// read has `unreadable`, the reason. Without folder, root and stamp, which whoever lists it knows.
nlohmann::ordered_json row_of(const std::filesystem::path& folder);

}  // namespace gaze::cli

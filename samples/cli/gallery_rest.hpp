// SPDX-License-Identifier: MIT
// What pages of `gaze report` keep of bundles that are no more.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gaze::cli {

/// A page of one directory that lies in it is made anew, any other page of `gaze report` in `folder` is deleted, with
/// its rows: they hold ids and texts.
/// @return what was done, one sentence each
std::vector<std::string> renew_galleries(const std::filesystem::path& folder);

}  // namespace gaze::cli

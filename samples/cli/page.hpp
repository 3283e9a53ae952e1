// SPDX-License-Identifier: MIT
// Pages of the program: one file, which opens from the disk and asks the network for nothing.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gaze::cli {

/// JSON that may stand within a page's script: "<" is escaped, and what is not UTF-8 replaced.
std::string page_json(const nlohmann::ordered_json& value);

/// `source`, which has one <style>, one <script> and marks for its policy and its data, with the data put in. The
/// policy allows that style and that script by their digests, besides the `sources` of other kinds; nothing else runs.
std::string page(std::string_view source, std::string_view sources, const nlohmann::ordered_json& data);

std::string base64(std::string_view bytes);

/// Empty where it is none.
std::string from_base64(std::string_view text);

/// The digest of a style or a script, as a policy names it.
std::string policy_digest(std::string_view text);

/// Whole or not at all. @throws Refusal naming `option` where the file cannot be written.
void write_page(const std::filesystem::path& file, std::string_view text, const std::string& option);

}  // namespace gaze::cli

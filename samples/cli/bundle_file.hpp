// SPDX-License-Identifier: MIT
// A bundle on disk, read as another program would: nothing in it is believed before it is looked at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze::cli {

/// request.json of the bundle in `folder`.
/// @throws Refusal where there is none, it is no JSON, of another program or of a newer format.
nlohmann::json read_request(const std::filesystem::path& folder);

/// Whether a folder's name is one that a bundle is given.
bool is_bundle_name(std::string_view name);

/// A field's text, or empty; a field's finite number, or none; a field that is an object, or an empty one; likewise a
/// list. Whatever else stands there.
std::string text_at(const nlohmann::json& object, std::string_view field);
std::optional<double> number_at(const nlohmann::json& object, std::string_view field);
const nlohmann::json& object_at(const nlohmann::json& object, std::string_view field);
const nlohmann::json& list_at(const nlohmann::json& object, std::string_view field);
bool is_true_at(const nlohmann::json& object, std::string_view field);

/// A file of a bundle as request.json names it; none where that is no plain path within the bundle.
std::optional<std::string> inner_file(const std::string& name);

/// Bytes of a file. @throws Refusal where it is no plain file, cannot be read, or has more than `most_bytes`.
std::string read_bytes(const std::filesystem::path& file, uint64_t most_bytes);

/// What stands in a safetensors file under one name.
struct StoredMap {
  int64_t rows = 0, cols = 0;
  std::vector<float> values;
};

/// A bundle's own, of two axes. @throws Refusal where there is none of that name, or the file is damaged.
StoredMap read_map(const std::filesystem::path& folder, const std::string& name);

/// What one head of a site attended to, or all of them on average, from detail.safetensors: as map_tc.
/// @throws Refusal where there is none, naming the sites that there are
StoredMap read_heads(const std::filesystem::path& folder, const std::string& site, std::optional<int64_t> head);

/// Attention shares of a bundle with maps.safetensors.
struct BundleMaps {
  int64_t rows = 0, cols = 0;                ///< of the grid; a sound's is one row
  std::vector<float> whole_c;                ///< mean over all tokens, sum 1
  std::vector<std::vector<float>> words_wc;  ///< mean over the word's tokens, sum 1; empty where it has no tokens
};

/// @throws Refusal where there are none, or they do not fit `request`.
BundleMaps read_maps(const std::filesystem::path& folder, const nlohmann::json& request);

/// Sum over the cells of |a - b|, 0 to 2; none where their numbers of cells differ.
std::optional<double> map_difference(const std::vector<float>& a_c, const std::vector<float>& b_c);

/// The verdict on how well an answer, or a word, is grounded; without one the figures say what they can.
struct StoredVerdict {
  std::string verdict;  ///< "grounded", "weak", "not grounded", "cannot say"; empty: none was written
  std::string why;
  std::optional<double> score;
};
StoredVerdict grounding_of(const nlohmann::json& answer_or_word);

/// Share of the words that carry content whose map is diffuse, of all words where that is not told; none without words.
std::optional<double> diffuse_share(const nlohmann::json& request);

/// Where an answer stands in a list of the worst first, 0 to 6: docs/gallery.md.
double rank_of(const nlohmann::json& request);

}  // namespace gaze::cli

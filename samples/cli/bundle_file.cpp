// SPDX-License-Identifier: MIT
#include "bundle_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMostRequestBytes = 64 << 20;
constexpr uint64_t kMostMapBytes = uint64_t{1} << 30;
constexpr uint64_t kMostHeaderBytes = 1 << 20;

const json* field_of(const json& object, std::string_view field) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(field));
  return found == object.end() ? nullptr : &*found;
}

std::string shown_path(const fs::path& path) { return printable(path.string()); }

int64_t whole_of(const json& list, size_t i) {
  return list.is_array() && i < list.size() && list[i].is_number_integer() ? list[i].get<int64_t>() : -1;
}

StoredMap stored_map(const fs::path& path, const std::string& name) {
  const auto refuse = [&](const std::string& why) -> void {
    throw Refusal(shown_path(path) + ": expected " + name + ", float32 with two axes, " + why +
                  ". Was the file written whole?");
  };
  std::error_code failed;
  const uint64_t size = fs::is_regular_file(path, failed) ? fs::file_size(path, failed) : 0;
  std::ifstream file(path, std::ios::binary);
  uint64_t header_bytes = 0;
  if (failed || size < sizeof header_bytes || !file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes))
    refuse("found no such file, or an empty one");
  if (header_bytes > kMostHeaderBytes || header_bytes + sizeof header_bytes > size) refuse("got a damaged header");
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const json facts = json::parse(header, nullptr, false);
  const json& entry = object_at(facts, name);
  const json& shape = list_at(entry, "shape");
  const json& offsets = list_at(entry, "data_offsets");
  StoredMap map;
  map.rows = whole_of(shape, 0);
  map.cols = whole_of(shape, 1);
  const int64_t begin = whole_of(offsets, 0), end = whole_of(offsets, 1);
  if (text_at(entry, "dtype") != "F32" || shape.size() != 2 || map.rows < 0 || map.cols < 0) refuse("found none");
  const uint64_t data = size - sizeof header_bytes - header_bytes;
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data) refuse("got offsets beyond the file");
  const auto bytes = static_cast<uint64_t>(end - begin);
  const auto rows = static_cast<uint64_t>(map.rows), cols = static_cast<uint64_t>(map.cols);
  if (bytes > kMostMapBytes || (cols != 0 && rows > kMostMapBytes / cols) || rows * cols * sizeof(float) != bytes)
    refuse("got another number of bytes than its axes have");
  map.values.resize(rows * cols);
  file.seekg(begin, std::ios::cur);
  if (!file.read(reinterpret_cast<char*>(map.values.data()), static_cast<std::streamsize>(bytes)))
    refuse("found less than its header says");
  return map;
}

/// Mean of rows [first, first + count), brought to a sum of 1; empty where there is nothing to bring.
std::vector<float> mean_share(const StoredMap& map, int64_t first, int64_t count) {
  if (first < 0 || count <= 0 || first > map.rows || count > map.rows - first) return {};
  std::vector<double> sum(static_cast<size_t>(map.cols));
  for (int64_t row = first; row < first + count; ++row) {
    const float* values = map.values.data() + row * map.cols;
    for (int64_t col = 0; col < map.cols; ++col) sum[static_cast<size_t>(col)] += values[col];
  }
  const double all = std::accumulate(sum.begin(), sum.end(), 0.0);
  if (!(all > 0) || !std::isfinite(all)) return {};
  std::vector<float> share(sum.size());
  std::transform(sum.begin(), sum.end(), share.begin(),
                 [all](double value) { return static_cast<float>(value / all); });
  return share;
}

}  // namespace

StoredMap read_map(const fs::path& folder, const std::string& name) {
  return stored_map(folder / "maps.safetensors", name);
}

bool is_bundle_name(std::string_view name) {
  constexpr std::string_view kForm = "00000000T000000Z-";
  if (name.size() != kForm.size() + 32) return false;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < name.size(); ++i) {
    const bool fits = i >= kForm.size() ? digit(name[i]) || (name[i] >= 'a' && name[i] <= 'f')
                      : kForm[i] == '0' ? digit(name[i])
                                        : name[i] == kForm[i];
    if (!fits) return false;
  }
  return true;
}

std::string text_at(const json& object, std::string_view field) {
  const json* value = field_of(object, field);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

std::optional<double> number_at(const json& object, std::string_view field) {
  const json* value = field_of(object, field);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const auto number = value->get<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

const json& object_at(const json& object, std::string_view field) {
  static const json kNone = json::object();
  const json* value = field_of(object, field);
  return value != nullptr && value->is_object() ? *value : kNone;
}

const json& list_at(const json& object, std::string_view field) {
  static const json kNone = json::array();
  const json* value = field_of(object, field);
  return value != nullptr && value->is_array() ? *value : kNone;
}

bool is_true_at(const json& object, std::string_view field) {
  const json* value = field_of(object, field);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::optional<std::string> inner_file(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || name.find('\0') != std::string::npos) return std::nullopt;
  const bool leaves = std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
  return leaves ? std::nullopt : std::optional(name);
}

std::string read_bytes(const fs::path& path, uint64_t most_bytes) {
  std::error_code failed;
  // Asked first: opening a pipe would wait for someone who writes.
  if (!fs::is_regular_file(path, failed))
    throw Refusal(shown_path(path) + ": expected a file, found " +
                  (fs::exists(path, failed) ? "something else" : "none") + ".");
  const uint64_t size = fs::file_size(path, failed);
  if (failed || size > most_bytes)
    throw Refusal(shown_path(path) + ": expected at most " + std::to_string(most_bytes) + " bytes, got " +
                  std::to_string(size) + ".");
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (file.bad() || !file.is_open()) throw Refusal("cannot read " + shown_path(path) + ": no permission?");
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return bytes;
}

json read_request(const fs::path& folder) {
  const fs::path path = folder / "request.json";
  std::error_code failed;
  if (!fs::exists(path, failed))
    throw Refusal(shown_path(folder) + ": expected a bundle with request.json, found none. " +
                  (fs::is_directory(folder, failed) ? "Was it deleted in part?" : "Does the folder exist?"));
  json request = json::parse(read_bytes(path, kMostRequestBytes), nullptr, false);
  if (request.is_discarded() || !request.is_object())
    throw Refusal(shown_path(path) + ": expected a JSON object, got " +
                  (request.is_discarded() ? "something else, or half of one" : request.type_name()) + ".");
  const json* version = field_of(request, "gaze_request");
  if (version == nullptr)
    throw Refusal(shown_path(path) + ": expected gaze_request 1, found none: another program's file.");
  if (*version != 1)
    throw Refusal(shown_path(path) + ": expected gaze_request 1, got " +
                  printable(version->dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 40)) +
                  (text_at(request, "gaze_version").empty()
                       ? std::string()
                       : ", written by gaze " + printable(text_at(request, "gaze_version").substr(0, 40))) +
                  ". That version reads it.");
  return request;
}

BundleMaps read_maps(const fs::path& folder, const json& request) {
  const fs::path path = folder / "maps.safetensors";
  const json& geometry = object_at(request, "geometry");
  const json& tiles = object_at(geometry, "tiles");
  const auto count = [](const json& object, const char* field, double otherwise) {
    return static_cast<int64_t>(std::clamp(number_at(object, field).value_or(otherwise), 0.0, 1e9));
  };
  const StoredMap stored = stored_map(path, "map_tc");
  BundleMaps maps;
  maps.rows = count(geometry, "rows", 1) * count(tiles, "rows", 1);
  maps.cols = count(geometry, "cols", 0) * count(tiles, "cols", 1);
  // A sound's geometry is that of a window; its cells are those of the whole recording.
  const bool sound = object_at(request, "sound").size() > 0;
  if (sound) {
    maps.rows = 1;
    maps.cols = stored.cols;
  }
  if (maps.rows <= 0 || stored.cols != maps.rows * maps.cols)
    throw Refusal(shown_path(path) + ": expected " + std::to_string(maps.rows) + " x " + std::to_string(maps.cols) +
                  " cells as in request.json, got " + std::to_string(stored.cols) + ".");
  maps.whole_c = mean_share(stored, 0, stored.rows);
  for (const json& word : list_at(request, "words"))
    maps.words_wc.push_back(mean_share(stored, count(word, "first", 0), count(word, "count", 0)));
  return maps;
}

std::optional<double> map_difference(const std::vector<float>& a_c, const std::vector<float>& b_c) {
  if (a_c.empty() || a_c.size() != b_c.size()) return std::nullopt;
  return std::inner_product(a_c.begin(), a_c.end(), b_c.begin(), 0.0, std::plus<>(),
                            [](float a, float b) { return std::abs(static_cast<double>(a) - b); });
}

StoredVerdict grounding_of(const json& answer_or_word) {
  const json& grounding = object_at(answer_or_word, "grounding");
  return {text_at(grounding, "verdict"), text_at(grounding, "why"), number_at(grounding, "score")};
}

std::optional<double> diffuse_share(const json& request) {
  int64_t content = 0, diffuse_content = 0, diffuse = 0;
  const json& words = list_at(request, "words");
  for (const json& word : words) {
    const bool flat = is_true_at(word, "diffuse");
    diffuse += flat ? 1 : 0;
    if (!is_true_at(word, "content")) continue;
    ++content;
    diffuse_content += flat ? 1 : 0;
  }
  if (content > 0) return static_cast<double>(diffuse_content) / static_cast<double>(content);
  if (!words.empty()) return static_cast<double>(diffuse) / static_cast<double>(words.size());
  return std::nullopt;
}

double rank_of(const json& request) {
  constexpr double kDrawn = 4, kNotDrawn = 5;
  const json* error = field_of(request, "error");
  if (error != nullptr && !error->is_null()) return kNotDrawn;
  const json& summary = object_at(request, "summary");
  const StoredVerdict grounding = grounding_of(request);
  const double flat = diffuse_share(request).value_or(is_true_at(summary, "diffuse") ? 1.0 : 0.0);
  // Within one verdict: a low score first, without one a flat map.
  const double within =
      std::clamp(grounding.score.value_or(1 - number_at(summary, "entropy").value_or(0)), 0.0, 1.0) * 0.999;
  if (grounding.verdict == "not grounded") return within;
  if (grounding.verdict == "weak") return 1 + within;
  if (grounding.verdict == "cannot say") return 2 + within;
  if (grounding.verdict == "grounded") return 3 + within;
  if (summary.empty()) return kDrawn;
  return std::floor(3 * (1 - flat) + 1e-9) + within;
}

}  // namespace gaze::cli

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

struct StoredTensor {
  std::vector<int64_t> sizes;
  std::string bytes;
};

/// A safetensors file, opened. Nothing in it is believed.
class StoredTensors {
 public:
  /// @param what  is sought in it, for who is told that it cannot be read
  StoredTensors(const fs::path& path, const std::string& what) : path_(path), file_(path, std::ios::binary) {
    std::error_code failed;
    const uint64_t size = fs::is_regular_file(path, failed) ? fs::file_size(path, failed) : 0;
    uint64_t header_bytes = 0;
    if (failed || size < sizeof header_bytes ||
        !file_.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes))
      refuse(what, "found no such file, or an empty one");
    if (header_bytes > kMostHeaderBytes || header_bytes + sizeof header_bytes > size)
      refuse(what, "got a damaged header");
    std::string header(header_bytes, '\0');
    file_.read(header.data(), static_cast<std::streamsize>(header_bytes));
    facts_ = json::parse(header, nullptr, false);
    begin_ = sizeof header_bytes + header_bytes;
    data_bytes_ = size - begin_;
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    if (facts_.is_object()) {
      for (const auto& [name, entry] : facts_.items()) names.push_back(name);
    }
    return names;
  }

  StoredTensor read(const std::string& name, const char* dtype, uint64_t bytes_each, size_t axes) {
    const std::string what = name + ", " + dtype + " of " + std::to_string(axes) + " axes";
    const json& entry = object_at(facts_, name);
    const json& shape = list_at(entry, "shape");
    const json& offsets = list_at(entry, "data_offsets");
    if (text_at(entry, "dtype") != dtype || shape.size() != axes) refuse(what, "found none");
    StoredTensor tensor;
    uint64_t bytes = bytes_each;
    for (size_t i = 0; i < axes; ++i) {
      const int64_t extent = whole_of(shape, i);
      if (extent < 0) refuse(what, "found none");
      tensor.sizes.push_back(extent);
      if (extent > 0 && bytes > kMostMapBytes / static_cast<uint64_t>(extent))
        refuse(what, "got more than a bundle has");
      bytes *= static_cast<uint64_t>(extent);
    }
    const int64_t begin = whole_of(offsets, 0), end = whole_of(offsets, 1);
    if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data_bytes_)
      refuse(what, "got offsets beyond the file");
    if (static_cast<uint64_t>(end - begin) != bytes) refuse(what, "got another number of bytes than its axes have");
    tensor.bytes.resize(bytes);
    file_.seekg(static_cast<std::streamoff>(begin_) + begin);
    if (!file_.read(tensor.bytes.data(), static_cast<std::streamsize>(bytes)))
      refuse(what, "found less than its header says");
    return tensor;
  }

 private:
  [[noreturn]] void refuse(const std::string& what, const std::string& why) const {
    throw Refusal(shown_path(path_) + ": expected " + what + ", " + why + ". Was the file written whole?");
  }

  fs::path path_;
  std::ifstream file_;
  json facts_;
  uint64_t begin_ = 0, data_bytes_ = 0;
};

std::vector<float> floats_of(const StoredTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

StoredMap stored_map(const fs::path& path, const std::string& name) {
  const StoredTensor tensor = StoredTensors(path, name + ", float32 with two axes").read(name, "F32", sizeof(float), 2);
  return {tensor.sizes[0], tensor.sizes[1], floats_of(tensor)};
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

StoredMap read_heads(const fs::path& folder, const std::string& site, std::optional<int64_t> head) {
  const std::string most_of = site + "/most";
  StoredTensors stored(folder / "detail.safetensors", "every head's map");
  const std::vector<std::string> names = stored.names();
  if (std::find(names.begin(), names.end(), site) == names.end() || site.ends_with("/most") || site == "__metadata__") {
    std::string known;
    for (const std::string& name : names) {
      if (name != "__metadata__" && !name.ends_with("/most")) known += (known.empty() ? "" : ", ") + printable(name);
    }
    throw Refusal("--site: expected one of " + known + ", got " + printable(site) + ".");
  }
  const StoredTensor root = stored.read(site, "U8", 1, 3);
  const std::vector<float> most = floats_of(stored.read(most_of, "F32", sizeof(float), 2));
  const int64_t heads = root.sizes[0], tokens = root.sizes[1], cells = root.sizes[2];
  if (static_cast<int64_t>(most.size()) != heads * tokens || heads < 1)
    throw Refusal(shown_path(folder) + ": expected a greatest weight for each row of detail.safetensors, got others.");
  if (head && (*head < 0 || *head >= heads))
    throw Refusal("--head: expected 0 to " + std::to_string(heads - 1) + ", got " + std::to_string(*head) + ".");
  StoredMap map{tokens, cells, std::vector<float>(static_cast<size_t>(tokens * cells))};
  const int64_t first = head.value_or(0), end = head ? first + 1 : heads;
  for (int64_t row = first * tokens; row < end * tokens; ++row) {
    const auto* roots = reinterpret_cast<const unsigned char*>(root.bytes.data()) + row * cells;
    float* to = map.values.data() + row % tokens * cells;
    const float scale = most[static_cast<size_t>(row)] / static_cast<float>(255 * 255 * (end - first));
    for (int64_t c = 0; c < cells; ++c) to[c] += scale * static_cast<float>(roots[c] * roots[c]);
  }
  return map;
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

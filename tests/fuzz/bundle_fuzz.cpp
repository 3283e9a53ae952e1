// SPDX-License-Identifier: MIT
// Bundles whose files hold anything: what reads them refuses with a sentence, or gives what is in its range.
#include <unistd.h>
#include <cli/bundle_file.hpp>
#include <cli/console.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "fuzz.hpp"

namespace {

namespace fs = std::filesystem;

/// In memory where there is a file system for it; removed with the process.
const fs::path& folder() {
  static const struct Folder {
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
    const fs::path path = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
                          ("gaze-bundle-fuzz-" + std::to_string(getpid()));
  } made;
  return made.path;
}

void write(const char* name, const std::string& bytes) {
  std::ofstream(folder() / name, std::ios::binary | std::ios::trunc) << bytes;
}

bool is_share(const std::vector<float>& value_c, int64_t cells) {
  if (value_c.empty()) return true;
  const double sum = std::accumulate(value_c.begin(), value_c.end(), 0.0);
  return static_cast<int64_t>(value_c.size()) == cells && std::abs(sum - 1) < 1e-3;
}

void read_tensors(const nlohmann::json& request) {
  using namespace gaze::cli;
  try {
    const BundleMaps maps = read_maps(folder(), request);
    const int64_t cells = maps.rows * maps.cols;
    GAZE_HOLDS(maps.rows > 0 && maps.cols > 0);
    GAZE_HOLDS(is_share(maps.whole_c, cells));
    for (const auto& word_c : maps.words_wc) GAZE_HOLDS(is_share(word_c, cells));
    if (const auto difference = map_difference(maps.whole_c, maps.whole_c)) GAZE_HOLDS(*difference == 0);
  } catch (const Refusal&) {
  }
  for (const char* name : {"map_tk", "map_tyx", "lift_tk"}) {
    try {
      const StoredMap map = read_map(folder(), name);
      GAZE_HOLDS(map.rows >= 0 && map.cols >= 0);
      GAZE_HOLDS(static_cast<int64_t>(map.values.size()) == map.rows * map.cols);
    } catch (const Refusal&) {
    }
  }
  try {
    const StoredMap heads = read_heads(folder(), "a", std::nullopt);
    GAZE_HOLDS(static_cast<int64_t>(heads.values.size()) == heads.rows * heads.cols);
  } catch (const Refusal&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gaze::cli;
  gaze::fuzz::Bytes bytes(data, size);
  const std::string request_text = bytes.text(), tensors = bytes.rest();
  write("request.json", request_text);
  write("maps.safetensors", tensors);
  write("detail.safetensors", tensors);
  if (const auto inner = inner_file(request_text)) {
    GAZE_HOLDS(!inner->empty() && inner->front() != '/');
    GAZE_HOLDS(("/" + *inner + "/").find("/../") == std::string::npos);
  }
  nlohmann::json request;
  try {
    request = read_request(folder());
  } catch (const Refusal&) {
    request = {{"geometry", {{"rows", 2}, {"cols", 3}}}, {"words", nlohmann::json::array()}};
    read_tensors(request);
    return 0;
  }
  GAZE_HOLDS(rank_of(request) >= 0 && rank_of(request) <= 6);
  if (const auto share = diffuse_share(request)) GAZE_HOLDS(*share >= 0 && *share <= 1);
  static_cast<void>(grounding_of(request));
  for (const nlohmann::json& word : list_at(request, "words")) static_cast<void>(grounding_of(word));
  read_tensors(request);
  return 0;
}

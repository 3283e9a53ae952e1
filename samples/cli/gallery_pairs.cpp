// SPDX-License-Identifier: MIT
#include "gallery_pairs.hpp"

#include <algorithm>
#include <unordered_map>

#include "bundle_file.hpp"
#include "console.hpp"

namespace gaze::cli {

std::vector<std::pair<Pairable, Pairable>> pairs_of(const std::vector<Pairable>& bundles) {
  std::unordered_map<std::string, std::vector<const Pairable*>> others;
  // From the oldest, so that the newest is taken first.
  for (auto bundle = bundles.rbegin(); bundle != bundles.rend(); ++bundle) {
    if (bundle->root == 1) others[bundle->request_id].push_back(&*bundle);
  }
  std::vector<std::pair<Pairable, Pairable>> pairs;
  for (const Pairable& bundle : bundles) {
    const auto fellows = bundle.root == 0 ? others.find(bundle.request_id) : others.end();
    if (fellows == others.end() || fellows->second.empty()) continue;
    pairs.emplace_back(bundle, *fellows->second.back());
    fellows->second.pop_back();
  }
  return pairs;
}

nlohmann::ordered_json pair_row(const Pairable& a, const Pairable& b) {
  nlohmann::ordered_json row = {{"a", a.row}, {"b", b.row}, {"moved", nullptr}, {"why", ""}};
  try {
    const BundleMaps maps_a = read_maps(a.folder, read_request(a.folder));
    const BundleMaps maps_b = read_maps(b.folder, read_request(b.folder));
    if (maps_a.rows != maps_b.rows || maps_a.cols != maps_b.cols) {
      row["why"] = "grids of " + std::to_string(maps_a.rows) + " x " + std::to_string(maps_a.cols) + " and " +
                   std::to_string(maps_b.rows) + " x " + std::to_string(maps_b.cols) + " cells";
    } else if (const auto moved = map_difference(maps_a.whole_c, maps_b.whole_c)) {
      row["moved"] = *moved;
    } else {
      row["why"] = "a map without attention";
    }
  } catch (const std::exception& error) {
    row["why"] = std::string(error.what());
  }
  return row;
}

}  // namespace gaze::cli

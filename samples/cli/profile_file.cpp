// SPDX-License-Identifier: MIT
#include "profile_file.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "console.hpp"

namespace gaze::cli {
namespace {

void add_if(nlohmann::ordered_json& json, const char* field, int64_t value, int64_t otherwise = 0) {
  if (value != otherwise) json[field] = value;
}

void write(const std::string& path, const nlohmann::ordered_json& json) {
  std::ofstream file(path, std::ios::binary);
  file << json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  file.close();
  if (!file) throw Refusal("--out: expected a file that can be written, got " + path + ". Check the folder.");
}

}  // namespace

nlohmann::ordered_json to_json(const Geometry& geometry) {
  nlohmann::ordered_json json = {{"kind", geometry.time    ? "time"
                                          : geometry.video ? "video"
                                          : geometry.tiles ? "tiles"
                                                           : "grid"}};
  if (geometry.time) {
    add_if(json["time"], "keys", geometry.cols);
    json["time"]["seconds_per_key"] = geometry.time->seconds_per_key;
    json["time"]["first_seconds"] = geometry.time->first_seconds;
  } else {
    json["rows"] = geometry.rows;
    json["cols"] = geometry.cols;
  }
  add_if(json, "leading", geometry.leading);
  add_if(json, "trailing", geometry.trailing);
  add_if(json, "first_key", geometry.first_key);
  if (geometry.order == CellOrder::Columns) json["order"] = "columns";
  if (geometry.order == CellOrder::Windows) {
    json["order"] = "windows";
    json["window_rows"] = geometry.window_rows;
    json["window_cols"] = geometry.window_cols;
  }
  add_if(json, "row_end", geometry.row_end);
  if (!geometry.last_row_end) json["last_row_end"] = false;
  if (geometry.tiles) {
    json["tiles"] = {{"rows", geometry.tiles->rows}, {"cols", geometry.tiles->cols}};
    add_if(json["tiles"], "leading", geometry.tiles->leading);
    add_if(json["tiles"], "trailing", geometry.tiles->trailing);
    add_if(json["tiles"], "row_end", geometry.tiles->row_end);
  }
  if (geometry.video) {
    json["video"] = {{"frames", geometry.video->frames}};
    add_if(json["video"], "temporal_merge", geometry.video->temporal_merge, 1);
    add_if(json["video"], "leading", geometry.video->leading);
    add_if(json["video"], "trailing", geometry.video->trailing);
  }
  if (geometry.thumbnail) {
    const Thumbnail& thumbnail = *geometry.thumbnail;
    json["thumbnail"] = {
        {"rows", thumbnail.rows}, {"cols", thumbnail.cols}, {"at", thumbnail.first ? "first" : "last"}};
    add_if(json["thumbnail"], "leading", thumbnail.leading);
    add_if(json["thumbnail"], "trailing", thumbnail.trailing);
  }
  for (const KeySpan& span : geometry.spans)
    json["spans"].push_back({{"first_key", span.first_key}, {"keys", span.keys}});
  return json;
}

void write_profile(const std::string& path, const Profile& profile) {
  nlohmann::ordered_json json = {{"gaze_profile", 1}, {"name", profile.name}, {"sites", {{"match", profile.sites}}}};
  if (profile.through) json["through"] = {{"match", profile.through->sites}};
  if (profile.image) {
    json["image"] = {{"argument", profile.image->argument},
                     {"layout", "bchw"},
                     {"width", profile.image->width},
                     {"height", profile.image->height}};
  }
  if (profile.sound)
    json["sound"] = {{"argument", profile.sound->argument}, {"sample_rate_hz", profile.sound->sample_rate_hz}};
  if (profile.geometry) json["geometry"] = to_json(*profile.geometry);
  write(path, json);
}

void write_selected_heads(const std::string& path, const std::vector<SiteHeads>& selected, const std::string& out) {
  std::ifstream file(path, std::ios::binary);
  auto json = nlohmann::ordered_json::parse(file);  // it was read as a profile before
  json["heads"] = {{"reduce", "mean"}, {"select", nlohmann::ordered_json::array()}};
  for (const SiteHeads& of : selected) json["heads"]["select"].push_back({{"site", of.site}, {"heads", of.heads}});
  if (json.contains("tokens") && json["tokens"].contains("vocabulary")) {
    // It is relative to the profile, which may move.
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path vocabulary = fs::path(path).parent_path() / json["tokens"]["vocabulary"].get<std::string>();
    const fs::path folder = fs::absolute(out, error).parent_path();
    const fs::path relative = fs::relative(fs::absolute(vocabulary, error), folder, error);
    if (!error && !relative.empty()) json["tokens"]["vocabulary"] = relative.generic_string();
  }
  write(out, json);
}

}  // namespace gaze::cli

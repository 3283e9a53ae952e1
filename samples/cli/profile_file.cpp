// SPDX-License-Identifier: MIT
#include "profile_file.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "console.hpp"

namespace gaze::cli {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const Profile& profile) { return ordered_json::parse(profile_json(profile)); }

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text << '\n';
  file.close();
  if (!file) throw Refusal("--out: expected a file that can be written, got " + path + ". Check the folder.");
}

// The profile at `path` with other values of these fields, null: without, at `out`.
void write_with(const std::string& path, const ordered_json& fields, const std::string& out) {
  std::ifstream file(path, std::ios::binary);
  auto json = ordered_json::parse(file);  // it was read as a profile before
  for (const auto& [field, value] : fields.items()) {
    if (value.is_null())
      json.erase(field);
    else
      json[field] = value;
  }
  if (json.contains("tokens") && json["tokens"].contains("vocabulary")) {
    // It is relative to the profile, which may move.
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path vocabulary = fs::path(path).parent_path() / json["tokens"]["vocabulary"].get<std::string>();
    const fs::path folder = fs::absolute(out, error).parent_path();
    const fs::path relative = fs::relative(fs::absolute(vocabulary, error), folder, error);
    if (!error && !relative.empty()) json["tokens"]["vocabulary"] = relative.generic_string();
  }
  write(out, json.dump(1, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace

ordered_json to_json(const Geometry& geometry) {
  Profile profile;
  profile.geometry = geometry;
  return to_json(profile).at("geometry");
}

void write_profile(const std::string& path, const Profile& profile) { write(path, profile_json(profile)); }

void write_selected_heads(const std::string& path, const std::vector<SiteHeads>& selected, const std::string& out) {
  Profile profile;
  profile.heads = ops::HeadReduce::Mean;
  profile.selected_heads = selected;
  // Limits hold for the heads they were measured with.
  write_with(path, {{"heads", to_json(profile).at("heads")}, {"grounding", nullptr}}, out);
}

void write_grounding(const std::string& path, const GroundingLimits& limits, const std::string& out) {
  Profile profile;
  profile.grounding = limits;
  write_with(path, {{"grounding", to_json(profile).at("grounding")}}, out);
}

}  // namespace gaze::cli

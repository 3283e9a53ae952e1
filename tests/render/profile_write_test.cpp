// SPDX-License-Identifier: MIT
// What is written of a profile is read as the same profile, and nothing is written that need not be.
#include <gaze/render/presets.hpp>
#include <gaze/render/profile.hpp>

#include <nlohmann/json.hpp>
#include <set>

#include "random_profiles.hpp"
#include "records.hpp"
#include "same_profile.hpp"

namespace {

using nlohmann::json;

void check_round_trip(const gaze::Profile& profile, const std::string& directory = ".") {
  const std::string text = gaze::profile_json(profile);
  CATCH_INFO(text);
  const gaze::Profile again = gaze::parse_profile(text, directory);
  CATCH_CHECK(gaze::test::same(again, profile));
  CATCH_CHECK(gaze::profile_json(again) == text);
}

std::string sites_and(const std::string& part) {
  return R"({"gaze_profile": 1, "sites": {"match": ["a"]})" + (part.empty() ? "" : ", " + part) + "}";
}

/// The paths of what is stated, "geometry.tiles.rows"; lists and what a schema does not name are one.
void collect(const json& value, const json& rule, const std::string& path, std::set<std::string>& paths) {
  for (const json& one : rule.value("oneOf", json::array())) {
    if (one.value("type", "") == (value.is_object() ? "object" : "array")) collect(value, one, path, paths);
  }
  if (!value.is_object() || !rule.contains("properties")) {
    paths.insert(path);
    return;
  }
  for (const auto& [name, inner] : value.items()) {
    CATCH_REQUIRE(rule.at("properties").contains(name));
    collect(inner, rule.at("properties").at(name), path.empty() ? name : path + "." + name, paths);
  }
}

/// The paths of all that can be stated.
void collect(const json& rule, const std::string& path, std::set<std::string>& paths) {
  for (const json& one : rule.value("oneOf", json::array())) collect(one, path, paths);
  if (rule.value("type", "") != "object" || !rule.contains("properties")) {
    paths.insert(path);
    return;
  }
  for (const auto& [name, inner] : rule.at("properties").items())
    collect(inner, path.empty() ? name : path + "." + name, paths);
}

}  // namespace

CATCH_TEST_CASE("profile text: random profiles are read again as they were") {
  gaze::test::RandomProfiles profiles(20261129);
  const json schema = json::parse(gaze::profile_schema());
  std::set<std::string> written, known;
  gaze::Profile before;
  for (int i = 0; i < 3000; ++i) {
    const gaze::Profile profile = profiles.next();
    check_round_trip(profile);
    CATCH_REQUIRE_FALSE(gaze::test::same(profile, before));
    before = profile;
    collect(json::parse(gaze::profile_json(profile)), schema, "", written);
  }
  // Each field was tried: but for what names other fields, and a file.
  collect(schema, "", known);
  for (const char* other : {"geometry.preset", "tokens.vocabulary"}) CATCH_CHECK(known.erase(other) == 1);
  CATCH_CHECK(written == known);
}

CATCH_TEST_CASE("profile text: the shipped profiles and all presets are read again as they were") {
  for (const char* model : {"stickers", "speech", "early_fusion", "captioner"}) {
    const std::string folder = std::string(GAZE_SOURCE_DIR) + "/samples/models/" + model;
    const gaze::Profile profile = gaze::read_profile(folder + "/profile.json");
    CATCH_CHECK(profile.vocabulary.size() > 2);
    check_round_trip(profile, folder);
  }
  for (const std::string& name : gaze::preset_names()) {
    for (const char* more :
         {"", R"(, "rows": 4, "cols": 4)", R"(, "input_width": 336, "input_height": 336, "patch": 14)"}) {
      CATCH_INFO(name << more);
      std::optional<gaze::Profile> profile;
      try {
        profile = gaze::parse_profile(sites_and(R"("geometry": {"preset": ")" + name + "\"" + more + "}"));
      } catch (const gaze::Error&) {  // not of this family
        continue;
      }
      check_round_trip(*profile);
    }
  }
}

CATCH_TEST_CASE("profile text: what is at its default is left out, and the rest has the order of the tables") {
  CATCH_CHECK(gaze::profile_json(gaze::parse_profile(sites_and(""))) == R"({
 "gaze_profile": 1,
 "name": "unnamed",
 "sites": {
  "match": [
   "a"
  ]
 }
})");
  const auto written = [](const std::string& part) {
    return nlohmann::ordered_json::parse(gaze::profile_json(gaze::parse_profile(sites_and(part))));
  };
  CATCH_CHECK(written(R"("heads": {"k": 3, "reduce": "one", "head": 0}, "layers": {"range": [0, -1]}, "verify": false)")
                  .dump() ==
              R"({"gaze_profile":1,"name":"unnamed","sites":{"match":["a"]},"heads":{"reduce":"one","head":0}})");
  CATCH_CHECK(written(R"("image": {"std": [1, 0.27, 0.1], "mean": [0.45, 0, -1], "height": 96, "width": 160},
                         "geometry": {"input_width": 160, "cols": 3, "input_height": 90, "rows": 2, "fit": "letterbox",
                                      "spans": {"argument": {"forward": 1}, "placeholder": 5}})")
                  .at("image")
                  .dump() ==
              R"({"layout":"bchw","mean":[0.45,0.0,-1.0],"std":[1.0,0.27,0.1],"width":160,"height":96})");
  CATCH_CHECK(written(R"("image": {"height": 96, "width": 160},
                         "geometry": {"input_width": 160, "cols": 3, "input_height": 90, "rows": 2, "fit": "letterbox",
                                      "spans": {"argument": {"forward": 1}, "placeholder": 5}})")
                  .at("geometry")
                  .dump() == R"({"kind":"grid","rows":2,"cols":3,"fit":"letterbox","input_height":90,)"
                             R"("spans":{"placeholder":5,"argument":{"forward":1}}})");
  // What a sound has in the place of rows and cols stands there.
  CATCH_CHECK(
      written(R"("geometry": {"leading": 1, "time": {"seconds_per_key": 0.02, "keys": 5}})").at("geometry").dump() ==
      R"({"kind":"time","time":{"keys":5,"seconds_per_key":0.02,"first_seconds":0.0},"leading":1})");
  CATCH_CHECK(written(R"("geometry": {"preset": "internvl"})").at("geometry").dump() ==
              R"({"kind":"tiles","rows":16,"cols":16,"tiles":{},"thumbnail":{"rows":16,"cols":16,"at":"last"}})");
}

CATCH_TEST_CASE("profile text: a vocabulary is written as the name of its file") {
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "v.json", R"(["a", "b"])");
  const std::string text = sites_and(R"("tokens": {"vocabulary": "v.json", "eos": 1})");
  gaze::Profile profile = gaze::parse_profile(text, dir.path());
  check_round_trip(profile, dir.path());
  profile.vocabulary_file.clear();
  const auto refused = gaze::test::refusal([&] { gaze::profile_json(profile); });
  CATCH_REQUIRE(refused);
  CATCH_CHECK(refused->text ==
              "profile: vocabulary: expected vocabulary_file, the JSON file of its 2 texts, got none. Write them to a "
              "file and name it.");
}

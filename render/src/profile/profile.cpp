// SPDX-License-Identifier: MIT
#include <gaze/render/profile.hpp>

#include <algorithm>
#include <utility>

#include "base/files.hpp"
#include "profile/profile_document.hpp"
#include "profile/profile_fields.hpp"
#include "profile/profile_rules.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxProfileBytes = size_t{4} << 20;

Profile profile_of(const std::string& text, const std::string& source, const std::string& directory) {
  const nlohmann::json document = parse_document(text, source);
  const Field root(document, source, "");
  fields::StatedProfile profile;
  profile.directory = directory;
  const fields::Rows rows = fields::profile_fields(profile);
  fields::expect_known(root, rows);
  if (!root.has("gaze_profile")) root.refuse("the field gaze_profile: 1", "none");
  fields::read_fields(root, rows);
  fields::check_sound(root, profile);
  return std::move(static_cast<Profile&>(profile));
}

}  // namespace

Profile read_profile(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  return profile_of(files::read(path, "profile", kMaxProfileBytes), "profile '" + path + "'", directory);
}

Profile parse_profile(const std::string& text, const std::string& directory) {
  return profile_of(text, "profile", directory);
}

std::string profile_json(const Profile& profile) {
  if (!profile.vocabulary.empty() && profile.vocabulary_file.empty()) {
    throw Error("profile: vocabulary: expected vocabulary_file, the JSON file of its " +
                std::to_string(profile.vocabulary.size()) + " texts, got none. Write them to a file and name it.");
  }
  fields::StatedProfile stated(profile);
  fields::StatedProfile fresh;
  const fields::OrderedJson json = fields::write_fields(fields::profile_fields(stated), fields::profile_fields(fresh));
  return json.dump(1, ' ', false, fields::OrderedJson::error_handler_t::replace);
}

std::string profile_schema() {
  fields::StatedProfile fresh;
  fields::OrderedJson schema = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "Gaze profile"},
      {"description",
       "Which attention sites of a model are wanted, which keys stand for the picture and how the "
       "picture became the model's input (docs/profiles.md)."}};
  schema.update(fields::schema_of(fields::profile_fields(fresh)));
  return schema.dump(2);
}

}  // namespace gaze

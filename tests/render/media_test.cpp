// SPDX-License-Identifier: MIT
// Records of several media, the artifacts they are made into, and what may go wrong between a medium and its renderer.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>
#include <gaze/render/sound.hpp>

#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "sounds.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::DropReason;
using gaze::test::planted;
using gaze::test::planted_sound;
using gaze::test::TempDir;
using nlohmann::json;

/// Keeps files in memory; throws instead of taking the one of this number.
class Kept : public gaze::Artifacts {
 public:
  explicit Kept(size_t throws_at = SIZE_MAX) : throws_at_(throws_at) {}
  std::map<std::string, std::string> files;

 private:
  void take(const std::string& name, std::string_view bytes) override {
    if (files.size() == throws_at_) throw std::runtime_error("the host's store is full");
    files.emplace(name, bytes);
  }
  size_t throws_at_;
};

/// Two words, which looked at a picture and listened to a sound.
AttentionRecord both() {
  AttentionRecord record = planted(6, 10, {17, 42});
  record.labels = {"red", "five"};
  record.maps.push_back(planted_sound(1.5, {0.3, 1.1}).maps[0]);
  record.keys = 60 + 75;
  record.maps[1].geometry().first_key = 60;
  return record;
}

AttentionRecord alone(const AttentionRecord& record, size_t map) {
  AttentionRecord one = record;
  one.maps = {record.maps[map]};
  return one;
}

gaze::RenderOptions everything() {
  gaze::RenderOptions options = gaze::test::all_pictures_in("");
  options.word_files = {gaze::WordFile::Srt};
  return options;
}

std::map<std::string, std::string> rendered(const AttentionRecord& record) {
  Kept kept;
  gaze::render(record, everything(), kept);
  return kept.files;
}

json request_json(std::map<std::string, std::string>& files) { return json::parse(files.at("request.json")); }

}  // namespace

CATCH_TEST_CASE("media: each map of a record is drawn as if it were alone") {
  const AttentionRecord record = both();
  auto files = rendered(record);
  auto picture = rendered(alone(record, 0)), sound = rendered(alone(record, 1));
  const json root = request_json(files);
  size_t seen = 2;
  for (const auto& [name, bytes] : picture) {
    if (name == "request.json" || name == "report.html") continue;
    CATCH_CAPTURE(name);
    CATCH_CHECK(files.at(name) == bytes);
    ++seen;
  }
  for (const auto& [name, bytes] : sound) {
    if (name == "request.json" || name == "report.html") continue;
    CATCH_CAPTURE(name);
    CATCH_CHECK(files.at("sound-2/" + name) == bytes);
    ++seen;
  }
  CATCH_CHECK(seen == files.size());
  CATCH_CHECK(files.count("sound-2/words.srt") == 1);
  CATCH_CHECK(root.at("files").size() == files.size());

  // The first map's facts stand where they do when it is alone, the others' beside them.
  const json one = request_json(picture), other = request_json(sound);
  for (const char* field : {"picture", "sound", "geometry", "mass", "summary", "words", "range_max_lift", "tokens"}) {
    CATCH_CAPTURE(field);
    CATCH_CHECK(root.at(field) == one.at(field));
  }
  CATCH_CHECK_FALSE(one.contains("more_maps"));
  CATCH_REQUIRE(root.at("more_maps").size() == 1);
  json more = root.at("more_maps").at(0);
  CATCH_CHECK(more.at("medium") == "sound");
  CATCH_CHECK(more.at("summary").at("file") == "sound-2/overlay.png");
  CATCH_CHECK(more.at("words").at(1).at("file") == "sound-2/words/02-five.png");
  for (const char* field : {"sound", "geometry", "mass", "range_max_lift"})
    CATCH_CHECK(more.at(field) == other.at(field));
  CATCH_CHECK(more.at("words").at(0).at("start") == other.at("words").at(0).at("start"));
  CATCH_CHECK(root.at("note") == "Attention shows where the model looked and listened, which is evidence, not proof.");
}

CATCH_TEST_CASE("media: compose and time_words take the first map of their medium, wherever it stands") {
  AttentionRecord record = both();
  const at::Tensor looked = gaze::compose(record).lift_wc;
  const gaze::WordTiming heard = gaze::time_words(record);
  std::swap(record.maps[0], record.maps[1]);
  CATCH_CHECK(at::equal(gaze::compose(record).lift_wc, looked));
  CATCH_CHECK(gaze::time_words(record).words.at(1).start_seconds == heard.words.at(1).start_seconds);
  GAZE_REQUIRE_REFUSED(gaze::compose(alone(record, 0)), DropReason::GridMismatch, "expected the cells of a picture");
  GAZE_REQUIRE_REFUSED(gaze::time_words(alone(record, 1)), DropReason::GridMismatch, "Call compose()");
}

CATCH_TEST_CASE("media: a bundle holds what a host's own artifacts get, byte for byte") {
  const TempDir dir;
  const AttentionRecord record = both();
  gaze::BundleOptions options;
  static_cast<gaze::RenderOptions&>(options) = everything();
  options.out_dir = dir / "out";
  gaze::BundleSink sink(options);
  std::string bundle;
  sink.on_published([&](const std::string&, const std::string& path) { bundle = path; });
  sink.consume(record);
  const auto files = rendered(record);
  size_t seen = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle)) {
    if (entry.is_directory() || entry.path().filename() == "manifest.json") continue;
    const std::string name = std::filesystem::relative(entry.path(), bundle).string();
    CATCH_CAPTURE(name);
    if (name != "request.json" && name != "report.html")  // these say when
      CATCH_CHECK(gaze::test::read_bytes(entry.path()) == files.at(name));
    ++seen;
  }
  CATCH_CHECK(seen == files.size());
}

CATCH_TEST_CASE("media: a renderer that throws midway leaves one bundle that says so, and no picture") {
  const TempDir dir;
  AttentionRecord record = both();
  std::get<gaze::SoundMedium>(record.maps[1].medium).sound.samples[0][100] = std::nan("");
  gaze::BundleOptions options;
  options.out_dir = dir / "out";
  gaze::BundleSink sink(options);
  std::string bundle;
  sink.on_published([&](const std::string&, const std::string& path) { bundle = path; });
  GAZE_REQUIRE_REFUSED(sink.consume(record), DropReason::DecodeFailed, "expected finite samples");
  CATCH_CHECK(gaze::test::list(bundle) == std::vector<std::string>{"request.json"});
  const json root = json::parse(gaze::test::read_bytes(bundle + "/request.json"));
  CATCH_CHECK(root.at("error").at("reason") == "decode_failed");
  CATCH_CHECK(root.at("tokens").size() == 2);
  CATCH_CHECK(root.at("more_maps").at(0).at("words").empty());
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 1);
}

CATCH_TEST_CASE("media: whichever file a host's artifacts refuse, the error is its own and nothing more is given") {
  const AttentionRecord record = both();
  const size_t count = rendered(record).size();
  for (size_t at = 0; at < count; ++at) {
    CATCH_CAPTURE(at);
    Kept kept(at);
    GAZE_REQUIRE_REFUSED(gaze::render(record, everything(), kept), DropReason::RenderError, "the host's store is full");
    CATCH_CHECK(kept.files.size() == at);
    CATCH_CHECK(kept.names().size() == at);
  }
}

CATCH_TEST_CASE("media: an artifact whose name is hostile is refused before anybody keeps it") {
  Kept kept;
  const std::string longest(200, 'n');
  for (const std::string& name : {std::string("a"), std::string("words/01-red.png"), longest, std::string("a/b/c.d")}) {
    kept.add(name, "bytes");
  }
  for (const std::string& name :
       {std::string(), std::string("/etc/passwd"), std::string("../up"), std::string("a/../b"), std::string("a/./b"),
        std::string("a//b"), std::string("a/"), std::string(".hidden"), std::string("a/.hidden"), std::string("a b"),
        std::string("a\nb"), std::string("a\0b", 3), std::string("a\\b"), std::string("C:x"), std::string("\xC3\xA4"),
        std::string("<b>"), longest + "n", std::string(1 << 20, 'x')}) {
    GAZE_REQUIRE_REFUSED(kept.add(name, "bytes"), DropReason::Internal, "artifact: expected a relative name");
    CATCH_CHECK(gaze::test::refusal([&] { kept.add(name, ""); })->text.size() < 600);
  }
  GAZE_REQUIRE_REFUSED(kept.add("a", "again"), DropReason::Internal, "each name once");
  CATCH_CHECK(kept.files.size() == 4);
  CATCH_CHECK(kept.files.at("a") == "bytes");
}

CATCH_TEST_CASE("media: maps that do not belong together are refused") {
  AttentionRecord record = both();
  record.maps[1].map_tk = record.maps[1].map_tk.narrow(0, 0, 1);
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::ShapeMismatch, "the 2 tokens of the record's first map, got 1");
  record = both();
  record.maps[1].flags_t = at::Tensor();
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::ShapeMismatch, "record.flags_t");
  record = both();
  record.maps[1].map_tk[1][3] = std::nan("");
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::NonFinite, "NaN");
  record = both();
  record.maps[1].geometry().time.reset();
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::GridMismatch, "got a sound without");
  record = both();
  record.maps[0].geometry().time = gaze::Timeline{.seconds_per_key = 1};
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::GridMismatch, "geometry.time");
  record = both();
  record.maps.clear();
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::NoAttention, "expected at least 1 captured token");
  record.maps.resize(2);
  GAZE_REQUIRE_REFUSED(rendered(record), DropReason::NoAttention, "expected at least 1 captured token");
}

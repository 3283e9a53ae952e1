// SPDX-License-Identifier: MIT
#include <gaze/render/profile.hpp>
#include <gaze/render/text.hpp>

#include "records.hpp"

namespace {

using gaze::Profile;
using gaze::ops::HeadReduce;
using gaze::ops::LayerReduce;

// A profile with one more part.
std::string with(const std::string& part) {
  return R"({"gaze_profile": 1, "sites": {"match": ["a.*"]})" + (part.empty() ? "" : ", " + part) + "}";
}

std::string refused(const std::string& text) {
  const auto found = gaze::test::refusal([&] { gaze::parse_profile(text); });
  return found ? found->text : "accepted";
}

}  // namespace

CATCH_TEST_CASE("profile: every field is read") {
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "vocab.json", R"(["<pad>", "<bos>", "<eos>", "red"])");
  gaze::test::write_bytes(dir / "p.json", R"({
    "gaze_profile": 1, "name": "stickers",
    "sites": {"match": ["decoder.layers.*.cross_attn", "x"]},
    "layers": {"reduce": "max", "range": [1, 2]},
    "heads": {"reduce": "topk", "head": 2, "k": 4,
              "select": [{"site": "x", "heads": [3, 1]}, {"site": "decoder.layers.1.cross_attn", "heads": [0]}]},
    "image": {"argument": {"forward": 0, "encode": 1}, "layout": "bchw", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6],
              "width": 160, "height": 96},
    "geometry": {"kind": "grid", "rows": 6, "cols": 10, "leading": 1, "trailing": 2, "first_key": 3, "fit": "centre_crop",
                 "resize_shorter": 110},
    "tokens": {"vocabulary": "vocab.json", "eos": 2}})");
  const Profile profile = gaze::read_profile(dir / "p.json");
  CATCH_CHECK(profile.name == "stickers");
  CATCH_CHECK(profile.sites == std::vector<std::string>{"decoder.layers.*.cross_attn", "x"});
  CATCH_CHECK(profile.layers == LayerReduce::Max);
  CATCH_CHECK(profile.first_layer == 1);
  CATCH_CHECK(profile.last_layer == 2);
  CATCH_CHECK(profile.heads == HeadReduce::TopK);
  CATCH_CHECK(profile.head == 2);
  CATCH_CHECK(profile.top_k == 4);
  CATCH_REQUIRE(profile.selected_heads.size() == 2);
  CATCH_CHECK(profile.selected_heads[0].site == "x");
  CATCH_CHECK(profile.selected_heads[0].heads == std::vector<int64_t>{3, 1});
  CATCH_CHECK(profile.selected_heads[1].site == "decoder.layers.1.cross_attn");
  CATCH_REQUIRE(profile.image);
  CATCH_CHECK(profile.image->argument == std::map<std::string, int64_t>{{"forward", 0}, {"encode", 1}});
  CATCH_CHECK(profile.image->mean == std::vector<float>{0.1F, 0.2F, 0.3F});
  CATCH_CHECK(profile.image->std == std::vector<float>{0.4F, 0.5F, 0.6F});
  CATCH_REQUIRE(profile.geometry);
  CATCH_CHECK(profile.geometry->rows == 6);
  CATCH_CHECK(profile.geometry->cols == 10);
  CATCH_CHECK(profile.geometry->leading == 1);
  CATCH_CHECK(profile.geometry->trailing == 2);
  CATCH_CHECK(profile.geometry->first_key == 3);
  CATCH_CHECK(profile.geometry->fit == gaze::Fit::CentreCrop);
  CATCH_CHECK(profile.geometry->input_width == 160);
  CATCH_CHECK(profile.geometry->input_height == 96);
  CATCH_CHECK(profile.geometry->resize_shorter == 110);
  CATCH_CHECK(profile.vocabulary.size() == 4);
  CATCH_CHECK(profile.eos == 2);
}

CATCH_TEST_CASE("profile: all but the version and the sites may be left out") {
  const Profile profile = gaze::parse_profile(with(""));
  CATCH_CHECK(profile.name == "unnamed");
  CATCH_CHECK_FALSE(profile.heads);
  CATCH_CHECK_FALSE(profile.layers);
  CATCH_CHECK(profile.last_layer == -1);
  CATCH_CHECK_FALSE(profile.image);
  CATCH_CHECK_FALSE(profile.geometry);
  CATCH_CHECK(profile.vocabulary.empty());
  CATCH_CHECK(profile.eos == -1);
}

CATCH_TEST_CASE("profile: every error names the place, what is allowed and what was found") {
  const std::pair<std::string, std::string> cases[] = {
      {"[]",
       "profile: the profile: expected an object with gaze_profile, name, sites, through, encoder, layers, heads, "
       "rows, image, "
       "sound, text, "
       "geometry, grounding, verify, tokens, got []."},
      {"{}", "profile: the profile: expected the field gaze_profile: 1, got none."},
      {R"({"gaze_profile": 2, "sites": {}})", "profile: gaze_profile: expected 1, got 2."},
      {R"({"gaze_profile": 1})", "profile: the profile: expected the field sites, got none."},
      {with(R"("grounding": {"word_weak": 0.1, "word_grounded": 0.2, "answer_weak": 0.3})"),
       "profile: grounding: expected the field answer_grounded, got none."},
      {with(R"("grounding": {"word_weak": 1.5, "word_grounded": 0.2, "answer_weak": 0.3, "answer_grounded": 0.4})"),
       "profile: grounding.word_weak: expected a number in 0..1, got 1.5."},
      {with(R"("grounding": {"word_weak": "low", "word_grounded": 0.2, "answer_weak": 0.3, "answer_grounded": 0.4})"),
       "profile: grounding.word_weak: expected a number, got \"low\"."},
      {with(R"("grounding": {"word_weak": 0.5, "word_grounded": 0.2, "answer_weak": 0.3, "answer_grounded": 0.4})"),
       "profile: grounding.word_grounded: expected at least word_weak (0.5), got 0.2."},
      {with(R"("grounding": {"word_weak": 0.1, "word_grounded": 0.2, "answer_weak": 0.5, "answer_grounded": 0.4})"),
       "profile: grounding.answer_grounded: expected at least answer_weak (0.5), got 0.4."},
      {R"({"gaze_profile": 1, "sites": ["a"]})", R"(profile: sites: expected an object with match, got ["a"].)"},
      {R"({"gaze_profile": 1, "sites": {"match": []}})",
       "profile: sites.match: expected a list of at least one glob pattern of site names, got []."},
      {R"({"gaze_profile": 1, "sites": {"match": ["a", 5]}})", "profile: sites.match[1]: expected a string, got 5."},
      {with(R"("sites ": 1)"),
       "profile: sites : expected one of the fields gaze_profile, name, sites, through, encoder, layers, heads, rows, "
       "image, "
       "sound, text, "
       "geometry, grounding, verify, tokens, "
       "got an unknown field."},
      {with(R"("heads": {"reduce": "avg"})"),
       R"(profile: heads.reduce: expected one of mean, max, min, weighted, one, topk, got "avg".)"},
      {with(R"("heads": {"reduce": 3})"),
       "profile: heads.reduce: expected one of mean, max, min, weighted, one, topk, got 3."},
      {with(R"("heads": {"reduce": "one"})"), "profile: heads: expected the field head where reduce is one, got none."},
      {with(R"("heads": {"k": 0})"), "profile: heads.k: expected a whole number in 1..16777216, got 0."},
      {with(R"("heads": {"k": 2.5})"), "profile: heads.k: expected a whole number in 1..16777216, got 2.5."},
      {with(R"("heads": {"k": 18446744073709551615})"),
       "profile: heads.k: expected a whole number in 1..16777216, got 18446744073709551615."},
      {with(R"("heads": {"heads": 1})"),
       "profile: heads.heads: expected one of the fields reduce, head, k, select, got an unknown field."},
      {with(R"("heads": {"select": []})"),
       "profile: heads.select: expected a list of at least one object with site and heads, got []."},
      {with(R"("heads": {"select": [{"site": "a"}]})"),
       "profile: heads.select[0]: expected the field heads, got none."},
      {with(R"("heads": {"select": [{"heads": [1]}]})"),
       "profile: heads.select[0]: expected the field site, got none."},
      {with(R"("heads": {"select": [{"site": "", "heads": [1]}]})"),
       R"(profile: heads.select[0].site: expected the name of a site, got "".)"},
      {with(R"("heads": {"select": [{"site": "a", "heads": [1]}, {"site": "a", "heads": [2]}]})"),
       R"(profile: heads.select[1].site: expected each site once, got "a".)"},
      {with(R"("heads": {"select": [{"site": "a", "heads": []}]})"),
       "profile: heads.select[0].heads: expected a list of 1 to 64 heads, got []."},
      {with(R"("heads": {"select": [{"site": "a", "heads": [256]}]})"),
       "profile: heads.select[0].heads[0]: expected a whole number in 0..255, got 256."},
      {with(R"("heads": {"select": [{"site": "a", "heads": [2, 2]}]})"),
       "profile: heads.select[0].heads[1]: expected each head once, got 2."},
      {with(R"("heads": {"reduce": "one", "head": 1, "select": [{"site": "a", "heads": [2]}]})"),
       R"(profile: heads.reduce: expected mean, max, min, weighted or topk beside select, got "one".)"},
      {with(R"("through": {"reduce": "mean"})"),
       "profile: through: expected the field match, got {\"reduce\":\"mean\"}."},
      {with(R"("through": {"match": ["a"], "reduce": "max"})"),
       R"(profile: through.reduce: expected one of mean, rollout, got "max".)"},
      {with(R"("layers": {"reduce": "average"})"),
       R"(profile: layers.reduce: expected one of mean, max, last, weighted, rollout, got "average".)"},
      {with(R"("layers": {"range": [2]})"),
       "profile: layers.range: expected [first, last], last = -1 for the end, got [2]."},
      {with(R"("layers": {"range": [2, 1]})"),
       "profile: layers.range: expected [first, last] with first <= last, or last = -1 for the end, got [2,1]."},
      {with(R"("layers": {"range": [-1, 1]})"),
       "profile: layers.range[0]: expected a whole number in 0..16777216, got -1."},
      {with(R"("image": {"argument": 0})"),
       R"(profile: image.argument: expected an object of method names and argument indices, such as {"forward": 0}, got 0.)"},
      {with(R"("image": {"argument": {"forward": -1}})"),
       "profile: image.argument.forward: expected a whole number in 0..255, got -1."},
      {with(R"("image": {"layout": "bhwc"})"), R"(profile: image.layout: expected bchw, got "bhwc".)"},
      {with(R"("image": {"mean": [0.5]})"), "profile: image: expected mean and std together, got mean alone."},
      {with(R"("image": {"mean": [0.5, 0.5], "std": [1]})"),
       "profile: image.mean: expected a list of 1 or 3 numbers, got [0.5,0.5]."},
      {with(R"("image": {"mean": [0.5], "std": [0]})"), "profile: image.std[0]: expected a number above 0, got 0."},
      {with(R"("image": {"mean": [0.5], "std": ["x"]})"), R"(profile: image.std[0]: expected a number, got "x".)"},
      {with(R"("image": {"mean": [0.5], "std": [1, 1, 1]})"),
       "profile: image.std: expected as many values as mean (1), got 3."},
      {with(R"("image": {"width": 160})"), "profile: image: expected width and height together, got width alone."},
      {with(R"("image": {"width": 0, "height": 5})"),
       "profile: image.width: expected a whole number in 1..16777216, got 0."},
      {with(R"("geometry": {"rows": 6})"), "profile: geometry: expected the field cols (or patch), got none."},
      {with(R"("geometry": {"kind": "spiral", "rows": 6, "cols": 10})"),
       R"(profile: geometry.kind: expected one of grid, tiles, video, time, got "spiral".)"},
      {with(R"("geometry": {"rows": 0, "cols": 10})"),
       "profile: geometry.rows: expected a whole number in 1..16777216, got 0."},
      {with(R"("geometry": {"rows": "6", "cols": 10})"),
       R"(profile: geometry.rows: expected a whole number in 1..16777216, got "6".)"},
      {with(R"("geometry": {"rows": 6, "cols": 10, "fit": "crop"})"),
       R"(profile: geometry.fit: expected one of resize, centre_crop, letterbox, got "crop".)"},
      {with(R"("geometry": {"rows": 6, "cols": 10, "fit": "letterbox"})"),
       "profile: geometry: expected input_width and input_height (or image.width and image.height) where fit is "
       "letterbox, got none."},
      {with(R"("geometry": {"rows": 6, "cols": 10, "resize_shorter": 9})"),
       "profile: geometry.resize_shorter: expected 0 unless fit is centre_crop, got 9."},
      {with(R"("tokens": {"vocabulary": ""})"), R"(profile: tokens.vocabulary: expected the name of a file, got "".)"},
      {with(R"("tokens": {"eos": "2"})"), R"(profile: tokens.eos: expected a whole number in -1..16777216, got "2".)"},
      {R"({"gaze_profile": 1, "sites": {"match": ["a"]}, "sites": {"match": ["b"]}})",
       "profile: sites: expected each field once, got it twice."},
  };
  for (const auto& [text, wanted] : cases) CATCH_CHECK(refused(text) == wanted);
  CATCH_CHECK_THAT(refused("{\"gaze_profile\": 1,"), Catch::Matchers::StartsWith("profile: expected JSON, got: "));
  CATCH_CHECK_THAT(refused(""), Catch::Matchers::StartsWith("profile: expected JSON, got: "));
}

CATCH_TEST_CASE("profile: a file's errors begin with its path") {
  const gaze::test::TempDir dir;
  const auto why = [](const std::string& path) {
    const auto found = gaze::test::refusal([&] { gaze::read_profile(path); });
    return found ? found->text : std::string("accepted");
  };
  CATCH_CHECK_THAT(why(dir / "none.json"),
                   Catch::Matchers::Contains("none.json': expected a readable file, got: No such file"));
  gaze::test::write_bytes(dir / "p.json", "{}");
  CATCH_CHECK_THAT(why(dir / "p.json"),
                   Catch::Matchers::StartsWith("profile '" + (dir / "p.json") + "': the profile: expected"));
}

CATCH_TEST_CASE("profile: vocabularies are a list, or an object that holds one") {
  const gaze::test::TempDir dir;
  const auto read = [&](const std::string& vocabulary, const std::string& eos = "1") {
    gaze::test::write_bytes(dir / "v.json", vocabulary);
    return gaze::parse_profile(with(R"("tokens": {"vocabulary": "v.json", "eos": )" + eos + "}"), dir.path())
        .vocabulary;
  };
  const std::vector<std::string> wanted = {"a", "b"};
  CATCH_CHECK(read(R"(["a", "b"])") == wanted);
  CATCH_CHECK(read(R"({"tokens": ["a", "b"]})") == wanted);
  CATCH_CHECK(read(R"({"words": ["a", "b"], "pad": 0})") == wanted);
  const auto why = [&](const std::string& vocabulary, const std::string& eos = "1") {
    const auto found = gaze::test::refusal([&] { read(vocabulary, eos); });
    return found ? found->text : std::string("accepted");
  };
  CATCH_CHECK_THAT(why(R"(["a", 5])"), Catch::Matchers::EndsWith("v.json': the file[1]: expected a string, got 5."));
  CATCH_CHECK_THAT(why(R"({"tokens": ["a", 5]})"),
                   Catch::Matchers::EndsWith("v.json': tokens[1]: expected a string, got 5."));
  CATCH_CHECK_THAT(why("{}"), Catch::Matchers::Contains(
                                  "expected a list of strings, or an object whose field tokens or words is one"));
  CATCH_CHECK(why(R"(["a", "b"])", "2") == "profile: tokens.eos: expected a whole number in -1..1, got 2.");
}

CATCH_TEST_CASE("profile: globs match whole names, across dots") {
  CATCH_CHECK(gaze::glob_match("decoder.layers.*.cross_attn", "decoder.layers.0.cross_attn"));
  CATCH_CHECK(gaze::glob_match("decoder.*.cross_attn", "decoder.layers.0.cross_attn"));
  CATCH_CHECK(gaze::glob_match("*", ""));
  CATCH_CHECK(gaze::glob_match("a*b*c", "a-b-b-c"));
  CATCH_CHECK_FALSE(gaze::glob_match("decoder.layers.*.cross_attn", "decoder.layers.0.cross_attn.x"));
  CATCH_CHECK_FALSE(gaze::glob_match("layers.*", "decoder.layers.0"));
  CATCH_CHECK_FALSE(gaze::glob_match("", "a"));
  CATCH_CHECK_FALSE(gaze::glob_match("a", "A"));
  // Would take forever if every star tried every length.
  CATCH_CHECK_FALSE(gaze::glob_match("*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

CATCH_TEST_CASE("profile: head, layer and colour choices as people type them") {
  CATCH_CHECK(gaze::parse_heads("max")->kind == HeadReduce::Max);
  CATCH_CHECK(gaze::parse_heads("one:3")->kind == HeadReduce::One);
  CATCH_CHECK(gaze::parse_heads("one:3")->head == 3);
  CATCH_CHECK(gaze::parse_heads("topk")->k == 3);
  CATCH_CHECK(gaze::parse_heads("topk:5")->k == 5);
  for (const char* text :
       {"", "avg", "one", "one:", "one:-1", "one:x", "topk:0", "mean:3", "Mean", " mean", "one:3 "}) {
    CATCH_INFO(text);
    CATCH_CHECK_FALSE(gaze::parse_heads(text));
  }
  CATCH_CHECK(gaze::parse_layers("max")->kind == LayerReduce::Max);
  CATCH_CHECK(gaze::parse_layers("max")->last == -1);
  CATCH_CHECK_FALSE(gaze::parse_layers("2-5")->kind);
  CATCH_CHECK(gaze::parse_layers("2-5")->first == 2);
  CATCH_CHECK(gaze::parse_layers("2-5")->last == 5);
  CATCH_CHECK(gaze::parse_layers("3")->first == 3);
  CATCH_CHECK(gaze::parse_layers("3")->last == 3);
  CATCH_CHECK(gaze::parse_layers("max:2-5")->kind == LayerReduce::Max);
  CATCH_CHECK(gaze::parse_layers("max:2-5")->last == 5);
  for (const char* text : {"", "x", "5-2", "-1", "2-", "-", "max:", "x:2-5", "2-5-7", "99999999999999999999"}) {
    CATCH_INFO(text);
    CATCH_CHECK_FALSE(gaze::parse_layers(text));
  }
  CATCH_CHECK(gaze::parse_colormap("viridis") == gaze::ops::Colormap::Viridis);
  CATCH_CHECK_FALSE(gaze::parse_colormap("jet"));
  CATCH_CHECK(gaze::name(HeadReduce::TopK) == std::string("topk"));
  CATCH_CHECK(gaze::name(LayerReduce::Rollout) == std::string("rollout"));
  CATCH_CHECK(gaze::name(gaze::ops::Colormap::Diverging) == std::string("diverging"));
}

CATCH_TEST_CASE("profile: spans may be found by the prompt's placeholder, of the profile and not of the geometry") {
  const Profile profile = gaze::parse_profile(with(R"("geometry": {"rows": 2, "cols": 3, "picture": 1, "pictures": 2,
                           "spans": {"placeholder": -200, "argument": {"forward": 0, "prefill": 1}}})"));
  CATCH_REQUIRE(profile.spans);
  CATCH_CHECK(profile.spans->placeholder == -200);
  CATCH_CHECK(profile.spans->argument == std::map<std::string, int64_t>{{"forward", 0}, {"prefill", 1}});
  CATCH_REQUIRE(profile.geometry);
  CATCH_CHECK(profile.geometry->spans.empty());
  CATCH_CHECK(profile.geometry->picture == 1);
  CATCH_CHECK(refused(with(R"("geometry": {"rows": 2, "cols": 3, "spans": {"argument": {"forward": 0}}})")) ==
              "profile: geometry.spans: expected the field placeholder, got none.");
  CATCH_CHECK(refused(with(R"("geometry": {"rows": 2, "cols": 3, "first_key": 4,
                                           "spans": {"placeholder": 5, "argument": {"forward": 0}}})")) ==
              "profile: geometry.first_key: expected no first_key beside spans, got 4.");
}

CATCH_TEST_CASE("profile: a sound's keys may lie beside a picture's") {
  const auto with = [](const std::string& beside, const std::string& geometry) {
    return R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "sound": {"argument": {"forward": 1}, "sample_rate_hz": 16000,
              "beside": )" +
           beside + "}" + geometry + "}";
  };
  const std::string picture = R"(, "geometry": {"rows": 3, "cols": 4})";
  const gaze::Profile profile =
      gaze::parse_profile(with(R"({"first_key": 12, "keys": 20, "seconds_per_key": 0.05})", picture));
  CATCH_REQUIRE(profile.sound->beside);
  CATCH_CHECK(profile.sound->beside->first_key == 12);
  CATCH_CHECK(profile.sound->beside->span() == 20);
  CATCH_CHECK(profile.sound->beside->time->seconds_per_key == 0.05);
  const auto refused = [&](const std::string& beside, const std::string& geometry, const std::string& text) {
    CATCH_CAPTURE(beside, geometry);
    const auto refusal = gaze::test::refusal([&] { gaze::parse_profile(with(beside, geometry)); });
    CATCH_REQUIRE(refusal);
    CATCH_CHECK_THAT(refusal->text, Catch::Matchers::Contains(text));
  };
  const std::string whole = R"({"first_key": 12, "keys": 20, "seconds_per_key": 0.05})";
  refused(whole, "", "sound.beside: expected a picture's geometry that it stands beside, got no geometry");
  refused(whole, R"(, "geometry": {"time": {"seconds_per_key": 0.05}})", "that it stands beside, got geometry.time");
  refused(R"({"first_key": 12, "keys": 20})", picture, "the field seconds_per_key");
  refused(R"({"first_key": 12, "keys": 0, "seconds_per_key": 0.05})", picture, "sound.beside.keys");
  refused(R"({"first_key": 12, "keys": 20, "seconds_per_key": 0})", picture, "seconds_per_key: expected");
  refused(R"({"first_key": -1, "keys": 20, "seconds_per_key": 1})", picture, "sound.beside.first_key");
  refused(R"({"first_key": 1, "keys": 2, "seconds_per_key": 1, "rows": 2})", picture, "sound.beside.rows");
}

CATCH_TEST_CASE("profile: a sound's keys and the wish to verify are read") {
  const gaze::Profile profile = gaze::parse_profile(
      R"({"gaze_profile": 1, "sites": {"match": ["a"]}, "verify": true,
          "geometry": {"kind": "time", "leading": 1, "time": {"keys": 30, "seconds_per_key": 0.02, "first_seconds": 0.1}}})");
  CATCH_CHECK(profile.verify);
  CATCH_REQUIRE(profile.geometry);
  CATCH_REQUIRE(profile.geometry->time);
  CATCH_CHECK(profile.geometry->keys() == 31);
  CATCH_CHECK(profile.geometry->time->seconds_per_key == 0.02);
  CATCH_CHECK(profile.geometry->time->first_seconds == 0.1);
  using Catch::Matchers::Contains;
  const auto with = [](const std::string& geometry) {
    return gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["a"]}, "geometry": )" + geometry + "}");
  };
  CATCH_CHECK_THROWS_WITH(with(R"({"kind": "time", "rows": 1, "cols": 3})"),
                          Contains("the field time where kind is time"));
  CATCH_CHECK_THROWS_WITH(with(R"({"rows": 1, "time": {"keys": 3, "seconds_per_key": 1}})"),
                          Contains("geometry.rows: expected no rows beside time"));
  CATCH_CHECK_FALSE(with(R"({"rows": 1, "cols": 3})").verify);
  gaze::Geometry open = *with(R"({"leading": 2, "time": {"seconds_per_key": 0.02}})").geometry;
  CATCH_CHECK(open.cols == 0);
  gaze::take_row(open, 52);
  CATCH_CHECK(open.cols == 50);
  CATCH_CHECK(open.time->whole);
  gaze::check_keys(open, 52, true);
  gaze::take_row(open, 60);  // stated by now
  CATCH_CHECK(open.cols == 50);
}

CATCH_TEST_CASE("profile: brackets in brackets are refused before they cost anything, wherever they stand") {
  constexpr size_t kMany = 1'000'000;
  const auto repeated = [](const char* part) {
    std::string text;
    for (size_t i = 0; i < kMany; ++i) text += part;
    return text;
  };
  const std::string lists = repeated("["), list_ends = repeated("]");
  const std::string objects = repeated("{\"a\":"), object_ends = repeated("}");
  const std::string deep[] = {lists + list_ends, objects + "1" + object_ends, lists, repeated("[{\"a\":"),
                              "{\"gaze_profile\": " + lists + list_ends + "}"};
  const gaze::test::TempDir dir;
  const std::string wanted = "expected lists and objects at most 32 deep, got deeper ones.";
  for (const std::string& text : deep) {
    CATCH_CHECK_THAT(refused(text), Catch::Matchers::StartsWith("profile: " + wanted));
    CATCH_CHECK_THAT(refused(with("\"name\": " + text)), Catch::Matchers::Contains(wanted));
    gaze::test::write_bytes(dir / "v.json", text);
    GAZE_REQUIRE_REFUSED(gaze::parse_profile(with(R"("tokens": {"vocabulary": "v.json"})"), dir.path()),
                         gaze::DropReason::Internal, "/v.json': " + wanted);
  }
  // 32 are still read, and told from what they stand for.
  CATCH_CHECK(refused(std::string(32, '[') + std::string(32, ']')) ==
              "profile: the profile: expected an object with gaze_profile, name, sites, through, encoder, layers, "
              "heads, rows, image, "
              "sound, text, geometry, grounding, verify, tokens, got " +
                  std::string(32, '[') + std::string(25, ']') + "....");
}

CATCH_TEST_CASE("profile: of a value that is refused its beginning is shown, however long it is") {
  const auto shown = [](const std::string& value) {
    const std::string text = refused(with("\"name\": " + value));
    const std::string before = "profile: name: expected a string, got ";
    CATCH_CHECK_THAT(text, Catch::Matchers::StartsWith(before));
    return text.substr(before.size());
  };
  CATCH_CHECK(shown("7") == "7.");
  CATCH_CHECK(shown(R"([1, "b", {"c": null, "d": [true]}])") == R"([1,"b",{"c":null,"d":[true]}].)");
  std::string long_list = "[0", keys = "{\"k\": 0", text(2'000'000, 'x');
  for (int i = 1; i < 300'000; ++i) {
    long_list += ",0";
    keys += ",\"k" + std::to_string(i) + "\":0";
  }
  std::string zeros = "[";
  for (int i = 0; i < 28; ++i) zeros += "0,";
  CATCH_CHECK(shown(long_list + "]") == zeros + "....");
  CATCH_CHECK_THAT(shown(keys + "}"), Catch::Matchers::StartsWith("{\"k\":0,\"k1\":0,"));
  CATCH_CHECK(shown(keys + "}").size() == 61);
  CATCH_CHECK(shown("[\"" + text + "\"]") == "[\"" + std::string(55, 'x') + "....");
  CATCH_CHECK(shown("{\"" + text + "\": 1}") == "{\"" + std::string(55, 'x') + "....");
}

CATCH_TEST_CASE("profile: whatever was typed, and however much of it, the refusal is one short line") {
  const std::string fillers[] = {std::string(3'000'000, 'x'), std::string(300'000, '\x01'),
                                 std::string(300'000, '\xFF')};
  for (const std::string& filler : fillers) {
    // As it stands, escaped where JSON wants that, and where a number or a word should be.
    std::string escaped;
    for (int i = 0; i < 50'000; ++i) escaped += filler[0] == 'x' ? "x" : "\\u0001\\n\\\"";
    const std::string texts[] = {
        filler,
        "\"" + filler,
        with("\"" + filler + "\": 1"),
        with("\"" + escaped + "\": 1"),
        with("\"geometry\": {\"" + escaped + "\": 1}"),
        with("\"image\": {\"argument\": {\"" + escaped + "\": -1}}"),
        with("\"name\": {\"" + escaped + "\": 1}"),
        with("\"" + escaped + "\": 1, \"" + escaped + "\": 1"),
        with("\"name\": \"" + escaped + "\", \"layers\": " + filler),
        with("\"layers\": " + std::string(500'000, '1')),
        with("\"tokens\": {\"vocabulary\": \"" + escaped + "\"}"),
        with("\"heads\": {\"reduce\": \"" + escaped + "\"}"),
    };
    for (const std::string& text : texts) {
      const std::string told = refused(text);
      CATCH_CHECK(told.size() < 4096);
      CATCH_CHECK_THAT(told, Catch::Matchers::StartsWith("profile: ") || Catch::Matchers::StartsWith("vocabulary '"));
      CATCH_CHECK(told == gaze::one_line(told));
    }
  }
}

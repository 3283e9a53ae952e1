// SPDX-License-Identifier: MIT
// The presets give the numbers of keys that their families' models have, and are checked like any geometry.
#include <gaze/render/overlay.hpp>
#include <gaze/render/presets.hpp>
#include <gaze/render/profile.hpp>

#include "layouts.hpp"
#include "records.hpp"

namespace {

using gaze::Geometry;
using gaze::PictureSizes;

Geometry parsed(const std::string& geometry) {
  const gaze::Profile profile =
      gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["a"]}, "geometry": )" + geometry + "}");
  CATCH_REQUIRE(profile.geometry);
  return *profile.geometry;
}

std::string refused(const std::string& geometry) {
  const auto found = gaze::test::refusal([&] { parsed(geometry); });
  return found ? found->text : "accepted";
}

}  // namespace

CATCH_TEST_CASE("presets: each has the keys its family is documented with") {
  struct Case {
    std::string geometry;
    PictureSizes sizes;
    int64_t rows, cols, keys;
  };
  const Case cases[] = {
      {R"({"preset": "blip"})", {}, 24, 24, 577},
      {R"({"preset": "blip-2"})", {}, 16, 16, 257},
      {R"({"preset": "clip", "patch": 32, "input_width": 224, "input_height": 224})", {}, 7, 7, 50},
      {R"({"preset": "gemma3"})", {}, 16, 16, 256},
      {R"({"preset": "internvl", "tiles": {"rows": 2, "cols": 3}})", {}, 32, 48, 7 * 256},
      {R"({"preset": "llava-1.5"})", {}, 24, 24, 576},
      {R"({"preset": "llava-1.5-hf"})", {}, 24, 24, 576},
      {R"({"preset": "llava-next"})", {672, 672, 500, 500}, 48, 48, 576 + 48 * 49},
      {R"({"preset": "llava-next"})", {672, 672, 640, 480}, 36, 48, 576 + 36 * 49},
      {R"({"preset": "llava-next"})", {336, 672, 480, 1280}, 48, 18, 576 + 48 * 19},
      {R"({"preset": "llava-onevision-video", "video": {"frames": 32}})", {}, 14, 14, 32 * 196 + 1},
      {R"({"preset": "owlvit", "patch": 32})", {768, 768, 0, 0}, 24, 24, 577},
      {R"({"preset": "paligemma"})", {448, 448, 0, 0}, 32, 32, 1024},
      {R"({"preset": "qwen2-vl"})", {448, 308, 0, 0}, 11, 16, 176},
      {R"({"preset": "qwen2-vl-video", "video": {"frames": 8}})", {112, 84, 0, 0}, 3, 4, 48},
      {R"({"preset": "whisper"})", {}, 1, 1500, 1500},
  };
  std::vector<std::string> tried;
  for (const Case& c : cases) {
    CATCH_INFO(c.geometry);
    const Geometry geometry = gaze::resolve(parsed(c.geometry), c.sizes);
    CATCH_CHECK(geometry.grid_rows() == c.rows);
    CATCH_CHECK(geometry.grid_cols() == c.cols);
    CATCH_CHECK(geometry.keys() == c.keys);
    for (const std::string& name : gaze::preset_names()) {
      if (c.geometry.find('"' + name + '"') != std::string::npos) tried.push_back(name);
    }
  }
  tried.erase(std::unique(tried.begin(), tried.end()), tried.end());
  CATCH_CHECK(tried == gaze::preset_names());
  CATCH_CHECK(gaze::preset("llava-1.5")->fit == gaze::Fit::Letterbox);
  CATCH_CHECK(gaze::preset("llava-1.5-hf")->fit == gaze::Fit::CentreCrop);
  CATCH_CHECK(gaze::preset("whisper")->time->seconds_per_key == 0.02);
  CATCH_CHECK_FALSE(gaze::preset("whispers"));
}

CATCH_TEST_CASE("presets: a key of an InternVL layout is hottest at its own pixels") {
  const Geometry geometry = parsed(R"({"preset": "internvl", "tiles": {"rows": 2, "cols": 3}})");
  // Cell (17, 33) is in tile (1, 2), the sixth, at (1, 1); thumbnail key 16 + 2 covers rows 2 .. 4, columns 6 .. 9.
  gaze::AttentionRecord record = gaze::test::planted(1, geometry.span(), {5 * 256 + 17, 6 * 256 + 18}, 64, 96);
  record.maps[0].geometry() = geometry;
  record.keys = geometry.keys();
  const gaze::Composition composition = gaze::compose(record);
  const gaze::test::Layout drawn{"", geometry, 32, 48, {}};
  CATCH_CHECK(gaze::test::in_cell(drawn, 17 * 48 + 33, composition.words[0].hot_x, composition.words[0].hot_y, 96, 64));
  const gaze::test::Layout coarse{"", geometry, 16, 16, {}};
  CATCH_CHECK(gaze::test::in_cell(coarse, 18, composition.words[1].hot_x, composition.words[1].hot_y, 96, 64));
}

CATCH_TEST_CASE("presets: what a family leaves open is asked for, and what it fixes is checked") {
  CATCH_CHECK(refused(R"({"preset": "clip"})") ==
              "profile: geometry: expected input_width and input_height (or image.width and image.height) where fit is "
              "centre_crop, got none.");
  CATCH_CHECK(refused(R"({"preset": "clip", "input_width": 224, "input_height": 224})") ==
              "profile: geometry: expected the field rows (or patch), got none.");
  CATCH_CHECK(refused(R"({"preset": "blip", "rows": 12, "cols": 12})") ==
              "profile: geometry.patch: expected an input of 192 x 192 pixels for these rows and cols, got 384 x 384. "
              "Leave rows and cols out, or correct patch and merge.");
  CATCH_CHECK(refused(R"({"preset": "blip", "input_width": 380, "input_height": 384})") ==
              "profile: geometry.input_width: expected a multiple of 16 (patch 16), got 380. Give the size of the "
              "model's input, which the picture was resized to.");
  CATCH_CHECK(
      refused(R"({"preset": "whispers"})") ==
      "profile: geometry.preset: expected one of blip, blip-2, clip, gemma3, internvl, llava-1.5, llava-1.5-hf, "
      "llava-next, llava-onevision-video, owlvit, paligemma, qwen2-vl, qwen2-vl-video, whisper, got "
      "\"whispers\".");
  const auto unresolved = [](const std::string& name) {
    const auto found = gaze::test::refusal([&] { gaze::resolve(*gaze::preset(name), {}); });
    return found ? found->text : std::string("accepted");
  };
  CATCH_CHECK_THAT(unresolved("internvl"), Catch::Matchers::StartsWith("geometry.tiles.rows: expected 1.."));
  CATCH_CHECK_THAT(unresolved("qwen2-vl"), Catch::Matchers::StartsWith("geometry.input_width: expected the size"));
  const auto found = gaze::test::refusal(
      [] { gaze::resolve(*gaze::preset("qwen2-vl-video"), {.input_width = 28, .input_height = 28}); });
  CATCH_REQUIRE(found);
  CATCH_CHECK_THAT(found->text, Catch::Matchers::StartsWith("geometry.video.frames: expected 1.."));
}

CATCH_TEST_CASE("presets: impossible combinations of a profile's geometry are refused with their place") {
  CATCH_CHECK(refused(R"({"kind": "tiles", "rows": 2, "cols": 3})") ==
              "profile: geometry: expected the field tiles where kind is tiles, got none.");
  CATCH_CHECK(refused(R"({"kind": "grid", "rows": 2, "cols": 3, "video": {"frames": 2}})") ==
              "profile: geometry: expected the field video only where kind is video, got kind grid.");
  CATCH_CHECK(refused(R"({"rows": 2, "cols": 3, "tiles": {}, "video": {}})") ==
              "profile: geometry: expected the field tiles only where kind is tiles, got kind video.");
  CATCH_CHECK(refused(R"({"rows": 2, "cols": 3, "tiles": {"rows": 2}})") ==
              "profile: geometry.tiles: expected rows and cols together, got rows alone.");
  CATCH_CHECK(refused(R"({"rows": 2, "cols": 3, "thumbnail": {"rows": 1, "cols": 1}})") ==
              "profile: geometry.thumbnail: expected the field at, got none.");
  CATCH_CHECK(refused(R"({"rows": 2, "cols": 3, "order": "columns", "row_end": 1})") ==
              "profile: geometry.row_end: expected 0 unless order is rows, got 1. Only rows of keys have an end.");
  CATCH_CHECK_THAT(refused(R"({"rows": 2, "cols": 3, "order": "windows", "window_rows": 2})"),
                   Catch::Matchers::StartsWith("profile: geometry.window_cols: expected 1.."));
  CATCH_CHECK_THAT(refused(R"({"rows": 2, "cols": 3, "video": {"frames": 3, "temporal_merge": 2}})"),
                   Catch::Matchers::StartsWith("profile: geometry.video.frames: expected a multiple of temporal_merge "
                                               "(2), got 3."));
  CATCH_CHECK_THAT(
      refused(R"({"rows": 2, "cols": 3, "spans": [{"first_key": 5, "keys": 6}, {"first_key": 8, "keys": 6}]})"),
      Catch::Matchers::StartsWith("profile: geometry.spans[1]: expected at least 1 key from key 11 on"));
  CATCH_CHECK_THAT(refused(R"({"rows": 2, "cols": 3, "pictures": 2})"),
                   Catch::Matchers::StartsWith("profile: geometry.spans: expected one for each of the prompt's 2"));
  CATCH_CHECK(refused(R"({"rows": 2, "cols": 3, "last_row_end": 0})") ==
              "profile: geometry.last_row_end: expected true or false, got 0.");
}

CATCH_TEST_CASE("presets: every field of a profile's geometry is read") {
  const Geometry tiles = parsed(R"({"kind": "tiles", "rows": 4, "cols": 5, "row_end": 1, "last_row_end": false,
    "tiles": {"rows": 2, "cols": 3, "leading": 1, "trailing": 2, "row_end": 3},
    "thumbnail": {"rows": 6, "cols": 7, "at": "first", "leading": 4, "trailing": 5},
    "spans": [{"first_key": 9, "keys": 10}, {"first_key": 30, "keys": 40}], "picture": 1, "pictures": 2})");
  CATCH_CHECK(tiles.row_end == 1);
  CATCH_CHECK_FALSE(tiles.last_row_end);
  CATCH_REQUIRE(tiles.tiles);
  CATCH_CHECK(tiles.tiles->rows == 2);
  CATCH_CHECK(tiles.tiles->cols == 3);
  CATCH_CHECK(tiles.tiles->leading == 1);
  CATCH_CHECK(tiles.tiles->trailing == 2);
  CATCH_CHECK(tiles.tiles->row_end == 3);
  CATCH_REQUIRE(tiles.thumbnail);
  CATCH_CHECK(tiles.thumbnail->rows == 6);
  CATCH_CHECK(tiles.thumbnail->cols == 7);
  CATCH_CHECK(tiles.thumbnail->first);
  CATCH_CHECK(tiles.thumbnail->leading == 4);
  CATCH_CHECK(tiles.thumbnail->trailing == 5);
  CATCH_REQUIRE(tiles.spans.size() == 2);
  CATCH_CHECK(tiles.spans[1].first_key == 30);
  CATCH_CHECK(tiles.spans[1].keys == 40);
  CATCH_CHECK(tiles.picture == 1);
  CATCH_CHECK(tiles.pictures == 2);
  const Geometry video = parsed(R"({"kind": "video", "patch": 14, "merge": 2, "order": "windows", "window_rows": 3,
    "window_cols": 2, "video": {"frames": 8, "temporal_merge": 2, "frame": 5, "leading": 1, "trailing": 2}})");
  CATCH_CHECK(video.patch == 14);
  CATCH_CHECK(video.merge == 2);
  CATCH_CHECK(video.order == gaze::CellOrder::Windows);
  CATCH_CHECK(video.window_rows == 3);
  CATCH_CHECK(video.window_cols == 2);
  CATCH_REQUIRE(video.video);
  CATCH_CHECK(video.video->frames == 8);
  CATCH_CHECK(video.video->temporal_merge == 2);
  CATCH_CHECK(video.video->frame == 5);
  CATCH_CHECK(video.video->leading == 1);
  CATCH_CHECK(video.video->trailing == 2);
  CATCH_CHECK(parsed(R"({"rows": 3, "cols": 4, "order": "columns"})").order == gaze::CellOrder::Columns);
  CATCH_CHECK(
      parsed(R"({"rows": 3, "cols": 4, "fit": "letterbox", "input_width": 40, "input_height": 30, "unpad": true})")
          .unpad);
}

// SPDX-License-Identifier: MIT
// Attention planted on one key of a layout is drawn where that key's cell lies, and nowhere for keys that are no cell.
#include <gaze/render/bundle.hpp>
#include <gaze/render/cell_keys.hpp>
#include <gaze/render/overlay.hpp>

#include <cmath>
#include <nlohmann/json.hpp>

#include "layouts.hpp"
#include "records.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::Composition;
using gaze::DropReason;
using gaze::Fit;
using gaze::Geometry;
using gaze::test::grid_of;
using gaze::test::kSpecial;
using gaze::test::Layout;
using gaze::test::layouts;
using nlohmann::json;

constexpr int64_t kWidth = 37, kHeight = 23;

// One token per key that is given: 0.9 there, the rest spread over all keys of the span.
AttentionRecord planted_keys(const Geometry& geometry, const std::vector<int64_t>& hot, int64_t width = kWidth,
                             int64_t height = kHeight) {
  AttentionRecord record = gaze::test::planted(1, geometry.span(), hot, height, width);
  record.maps[0].geometry() = geometry;
  record.keys = geometry.first_key + geometry.keys();
  record.reduce.heads = gaze::ops::HeadReduce::Mean;
  return record;
}

std::vector<int64_t> all_keys(const Layout& layout) {
  std::vector<int64_t> keys;
  for (size_t k = 0; k < layout.keys.size(); ++k) keys.push_back(static_cast<int64_t>(k));
  return keys;
}

json request_json(const AttentionRecord& record) {
  const gaze::test::TempDir dir;
  gaze::BundleOptions options;
  options.out_dir = dir.path();
  options.delivery = gaze::Delivery::Map;
  gaze::BundleSink sink(options);
  std::string bundle;
  sink.on_published([&](const std::string&, const std::string& path) { bundle = path; });
  sink.consume(record);
  return json::parse(gaze::test::read_bytes(bundle + "/request.json"));
}

std::string resolve_refusal(const Geometry& geometry, const gaze::PictureSizes& sizes = {}) {
  const auto refused = gaze::test::refusal([&] { gaze::resolve(geometry, sizes); });
  return refused ? refused->text : "accepted";
}

std::string keys_refusal(const Geometry& geometry, int64_t keys, bool alone = true) {
  const auto refused = gaze::test::refusal([&] { gaze::check_keys(geometry, keys, alone); });
  return refused ? refused->text : "accepted";
}

}  // namespace

CATCH_TEST_CASE("layout: every key is hottest at its own cell's pixels, and special keys at none") {
  for (const Layout& layout : layouts()) {
    CATCH_INFO(layout.name);
    const auto keys = static_cast<int64_t>(layout.keys.size());
    CATCH_REQUIRE(layout.geometry.span() == keys);
    CATCH_CHECK(layout.geometry.cells() == layout.rows * layout.cols);
    const Composition composition = gaze::compose(planted_keys(layout.geometry, all_keys(layout)));
    for (int64_t k = 0; k < keys; ++k) {
      CATCH_INFO("key " << k);
      const gaze::Overlay& overlay = composition.words[static_cast<size_t>(k)];
      const int64_t cell = layout.keys[static_cast<size_t>(k)];
      if (cell == kSpecial) {
        CATCH_CHECK(overlay.max_lift < 1);
        CATCH_CHECK(overlay.diffuse);
        CATCH_CHECK(at::equal(overlay.rgb_hwc, composition.ground_hwc));
        continue;
      }
      CATCH_CHECK(gaze::test::in_cell(layout, cell, overlay.hot_x, overlay.hot_y, kWidth, kHeight));
      CATCH_CHECK(overlay.max_lift == Approx(0.9 * static_cast<double>(keys)));
    }
  }
}

CATCH_TEST_CASE("layout: keys that are no cell are not counted as attention on the picture") {
  for (const Layout& layout : layouts()) {
    CATCH_INFO(layout.name);
    AttentionRecord record = planted_keys(layout.geometry, all_keys(layout));
    // Half of the attention lies elsewhere.
    record.maps[0].map_tk = record.maps[0].map_tk * 0.5;
    record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
    const Composition composition = gaze::compose(record);
    for (size_t k = 0; k < layout.keys.size(); ++k) {
      double on_cells = 0;
      for (size_t other = 0; other < layout.keys.size(); ++other) {
        if (layout.keys[other] == kSpecial) continue;
        on_cells += record.maps[0].map_tk[static_cast<int64_t>(k)][static_cast<int64_t>(other)].item<double>();
      }
      CATCH_CHECK(composition.words[k].mass == Approx(on_cells).margin(1e-6));
    }
  }
}

CATCH_TEST_CASE("layout: where special keys make the mass an estimate, request.json says so") {
  Geometry geometry = grid_of(5, 3);
  AttentionRecord record = planted_keys(geometry, {4});
  record.reduce.heads = gaze::ops::HeadReduce::Weighted;
  CATCH_CHECK(request_json(record).at("mass") == json({{"of", "cells"}, {"exact", true}}));
  geometry.row_end = 1;
  record = planted_keys(geometry, {4});
  CATCH_CHECK(request_json(record).at("mass") == json({{"of", "cells"}, {"exact", true}}));
  record.reduce.heads = gaze::ops::HeadReduce::Weighted;
  // Heads were weighed: the map sums to less than the mass, and its parts are scaled to it.
  record.maps[0].map_tk = record.maps[0].map_tk * 0.5;
  const json root = request_json(record);
  CATCH_CHECK(root.at("mass") == json({{"of", "cells"}, {"exact", false}}));
  CATCH_CHECK(root.at("words").at(0).at("mass").get<double>() == Approx(0.9475 - 5 * 0.05 / 20));
  record.reduce.heads = gaze::ops::HeadReduce::Mean;
  record.reduce.layers = gaze::ops::LayerReduce::Max;
  CATCH_CHECK(request_json(record).at("mass").at("exact") == false);
}

CATCH_TEST_CASE("layout: a thumbnail's key is spread over the cells it covers, and no weight is lost") {
  for (const bool first : {false, true}) {
    CATCH_INFO("first " << first);
    // A grid of 4 x 3 cells and a thumbnail of 3 x 2, whose borders fall between.
    Geometry geometry = grid_of(2, 3);
    geometry.tiles = {.rows = 2, .cols = 1, .leading = 1};
    geometry.thumbnail = {.rows = 3, .cols = 2, .first = first, .leading = 2, .trailing = 1};
    CATCH_REQUIRE(geometry.span() == 2 * 7 + 9);
    const int64_t thumbnail_key = first ? 2 : 14 + 2;
    const int64_t cell_key = (first ? 9 : 0) + 7 + 1 + 5;  // the last cell of the second tile
    AttentionRecord record = planted_keys(geometry, {thumbnail_key, cell_key, thumbnail_key + 5});
    record.maps[0].map_tk.zero_();
    record.maps[0].map_tk[0][thumbnail_key] = 0.8;
    record.maps[0].map_tk[1][cell_key] = 0.8;
    record.maps[0].map_tk[2][thumbnail_key + 5] = 0.8;
    record.maps[0].mass_t = at::full({3}, 0.8, at::kFloat);
    record.maps[0].visible_t = at::full({3}, 100, at::kFloat);
    const Composition composition = gaze::compose(record);
    // Thumbnail row 0 is rows 0 .. 4/3 of the grid, its column 0 columns 0 .. 1.5.
    const double lift = 0.8 * 100 * 12 / 18;  // 12 cells show 18 keys
    const double top_left[4][3] = {
        {3. / 4 * 2 / 3, 3. / 4 * 1 / 3, 0}, {1. / 4 * 2 / 3, 1. / 4 * 1 / 3, 0}, {0, 0, 0}, {0, 0, 0}};
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t cell = r * 3 + c;
        CATCH_CHECK(composition.lift_wc[0][cell].item<double>() == Approx(lift * top_left[r][c]).margin(1e-4));
        CATCH_CHECK(composition.lift_wc[1][cell].item<double>() == Approx(cell == 11 ? lift : 0).margin(1e-4));
        CATCH_CHECK(composition.lift_wc[2][cell].item<double>() == Approx(lift * top_left[3 - r][2 - c]).margin(1e-4));
      }
    }
    for (const gaze::Overlay& word : composition.words) CATCH_CHECK(word.mass == Approx(0.8));
    const Layout drawn{"", geometry, 4, 3, {}};
    const auto hot = [&](size_t word, int64_t cell) {
      const gaze::Overlay& overlay = composition.words[word];
      return gaze::test::in_cell(drawn, cell, overlay.hot_x, overlay.hot_y, kWidth, kHeight);
    };
    CATCH_CHECK(hot(0, 0));
    CATCH_CHECK(hot(1, 11));
    CATCH_CHECK(hot(2, 11));
  }
}

CATCH_TEST_CASE("layout: uniform attention is 1.0 everywhere, however many keys a cell shows") {
  Geometry geometry = grid_of(3, 4);
  geometry.row_end = 1;
  geometry.thumbnail = {.rows = 2, .cols = 3};
  AttentionRecord record = planted_keys(geometry, {0});
  record.maps[0].map_tk.fill_(1.0 / 200);
  record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
  record.maps[0].visible_t = at::full({1}, 200, at::kFloat);
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(at::allclose(composition.lift_wc, at::ones({1, 12})));
  CATCH_CHECK(composition.words[0].mass == Approx((12 + 6) / 200.0));
}

CATCH_TEST_CASE("layout: a thumbnail beside a letterbox covers the picture, not the padding") {
  // 40 x 20 pixels in a letterbox of 80 x 80: the picture lies on rows 2 .. 6 of 8. The thumbnail is the picture alone.
  Geometry geometry = grid_of(8, 8);
  geometry.fit = Fit::Letterbox;
  geometry.input_width = geometry.input_height = 80;
  geometry.thumbnail = {.rows = 2, .cols = 2};
  geometry = gaze::resolve(geometry, {.picture_width = 40, .picture_height = 20});
  AttentionRecord record = planted_keys(geometry, {64}, 40, 20);
  record.maps[0].map_tk.zero_();
  record.maps[0].map_tk[0][64] = 0.8;
  const Composition composition = gaze::compose(record);
  const at::Tensor lift_yx = composition.lift_wc[0].view({8, 8});
  CATCH_CHECK(lift_yx.slice(0, 2, 4).slice(1, 0, 4).min().item<float>() > 0);
  CATCH_CHECK(lift_yx.slice(0, 2, 4).slice(1, 0, 4).sum().item<float>() == Approx(lift_yx.sum().item<float>()));
  picture_of(record) = gaze::Picture(gaze::test::noise_picture(20, 41));
  GAZE_REQUIRE_REFUSED(gaze::compose(record), DropReason::GridMismatch,
                       "geometry: expected the picture of 40 x 20 pixels its keys were counted for, got 41 x 20.");
  geometry.picture_width = geometry.picture_height = 0;
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry: expected the size of the original picture, on which the keys "
                                               "of a letterbox with a thumbnail depend, got none."));
}

CATCH_TEST_CASE("layout: keys that do not fit are refused with what was expected and found") {
  Geometry geometry = grid_of(2, 3);
  geometry.row_end = 1;
  geometry.last_row_end = false;
  geometry.tiles = {.rows = 2, .cols = 2, .leading = 1, .row_end = 1};
  geometry.thumbnail = {.rows = 1, .cols = 2, .leading = 2, .trailing = 1};
  geometry.leading = 1;
  const std::string parts =
      "1 leading + 2 x 2 tiles of (1 leading + 2 x 3 cells + 1 row ends) + 2 ends of rows of tiles + a thumbnail of (2 "
      "leading + 1 x 2 cells + 1 trailing)";
  CATCH_CHECK(keys_refusal(geometry, 40) == "accepted");
  CATCH_CHECK(keys_refusal(geometry, 37) ==
              "geometry: expected 40 keys (" + parts + "), got 37. Correct rows and cols, or select another site.");
  CATCH_CHECK(keys_refusal(geometry, 39, false) ==
              "geometry: expected at least 40 keys (" + parts +
                  "), got 39. These would be the cells alone: set leading and trailing to 0, or select another site.");
  AttentionRecord record = planted_keys(geometry, {0});
  record.maps[0].map_tk = record.maps[0].map_tk.narrow(1, 0, 38);
  GAZE_REQUIRE_REFUSED(
      gaze::compose(record), DropReason::GridMismatch,
      "geometry: expected a map of 4 x 6 cells, with what stands between 39 keys, got 38. Correct rows and cols.");
}

CATCH_TEST_CASE("layout: the impossible is refused by field") {
  const auto refused = [](const Geometry& geometry) {
    const auto found = gaze::test::refusal([&] { gaze::check(geometry); });
    return found ? found->text : std::string("accepted");
  };
  using Catch::Matchers::StartsWith;
  Geometry geometry = grid_of(3, 3);
  geometry.row_end = 1;
  geometry.order = gaze::CellOrder::Columns;
  CATCH_CHECK(refused(geometry) ==
              "geometry.row_end: expected 0 unless order is rows, got 1. Only rows of keys have an end.");
  geometry = grid_of(3, 3);
  geometry.order = gaze::CellOrder::Windows;
  geometry.window_rows = 2;
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry.window_cols: expected 1.."));
  geometry.order = gaze::CellOrder::Rows;
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry.window_rows: expected 0 unless order is windows, got 2."));
  geometry = grid_of(3, 3);
  geometry.tiles = {.rows = 0};
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry.tiles.rows: expected 1.."));
  geometry = grid_of(3, 3);
  geometry.thumbnail = {.rows = 2};
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry.thumbnail.cols: expected 1.."));
  geometry = grid_of(1 << 20, 1 << 20);
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry: expected at most 16777216 keys in all, got more."));
  geometry = grid_of(3, 3);
  geometry.unpad = true;
  CATCH_CHECK_THAT(refused(geometry), StartsWith("geometry.unpad: expected one grid in a letterbox, got it beside "
                                                 "another fit."));
}

CATCH_TEST_CASE("dynamic grid: rows and cols are the input's size divided by patch and merge, at any aspect ratio") {
  Geometry geometry;
  geometry.patch = 14;
  geometry.merge = 2;
  const Geometry wide = gaze::resolve(geometry, {.input_width = 140, .input_height = 84});
  CATCH_CHECK(wide.rows == 3);
  CATCH_CHECK(wide.cols == 5);
  const Geometry tall = gaze::resolve(geometry, {.input_width = 28, .input_height = 196});
  CATCH_CHECK(tall.rows == 7);
  CATCH_CHECK(tall.cols == 1);
  // What is resolved stays as it is, whatever else is known.
  CATCH_CHECK(gaze::resolve(wide, {.input_width = 28, .input_height = 28}).cols == 5);
  const Composition composition = gaze::compose(planted_keys(wide, {0, 4, 7, 14}));
  const Layout drawn{"", wide, 3, 5, {}};
  const int64_t cells[] = {0, 4, 7, 14};
  for (size_t w = 0; w < 4; ++w) {
    const gaze::Overlay& overlay = composition.words[w];
    CATCH_CHECK(gaze::test::in_cell(drawn, cells[w], overlay.hot_x, overlay.hot_y, kWidth, kHeight));
  }
  geometry.tiles = {.rows = 3, .cols = 1};
  CATCH_CHECK(gaze::resolve(geometry, {.input_width = 140, .input_height = 84}).rows == 1);
}

CATCH_TEST_CASE("dynamic grid: an input that does not divide, or is not known, is refused") {
  Geometry geometry;
  geometry.patch = 14;
  geometry.merge = 2;
  CATCH_CHECK(resolve_refusal(geometry, {.input_width = 150, .input_height = 84}) ==
              "geometry.input_width: expected a multiple of 28 (patch 14 x merge 2), got 150. Give the size of the "
              "model's input, which the picture was resized to.");
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry.input_width: expected the size of the model's input, from "
                                               "which patch 14 makes rows and cols, got none."));
  geometry.tiles = {.rows = 2, .cols = 1};
  CATCH_CHECK_THAT(resolve_refusal(geometry, {.input_width = 140, .input_height = 84}),
                   Catch::Matchers::StartsWith("geometry.input_height: expected a multiple of 56 (patch 14 x merge 2 x "
                                               "2 tiles), got 84."));
  geometry = grid_of(3, 6);
  geometry.patch = 14;
  geometry.merge = 2;
  CATCH_CHECK(resolve_refusal(geometry, {.input_width = 140, .input_height = 84}) ==
              "geometry.patch: expected an input of 168 x 84 pixels for these rows and cols, got 140 x 84. Leave rows "
              "and cols out, or correct patch and merge.");
  geometry.rows = geometry.cols = 0;
  GAZE_REQUIRE_REFUSED(gaze::check(geometry), DropReason::GridMismatch, "Call gaze::resolve first.");
}

CATCH_TEST_CASE("unpad: rows on a letterbox's padding have no keys, and the others lie where they lay") {
  // LLaVA-NeXT: 37 x 23 into 672 x 672 with patches of 14: 48 x 48 cells, int(23 * 48 / 37) = 29 rows, 9 cut at each
  // side. The picture is 418 pixels high, from pixel 127 on.
  Geometry geometry;
  geometry.patch = 14;
  geometry.fit = Fit::Letterbox;
  geometry.input_width = geometry.input_height = 672;
  geometry.unpad = true;
  geometry.row_end = 1;
  geometry.thumbnail = {.rows = 24, .cols = 24, .first = true};
  geometry = gaze::resolve(geometry, {.picture_width = kWidth, .picture_height = kHeight});
  CATCH_REQUIRE(geometry.rows == 30);
  CATCH_REQUIRE(geometry.cols == 48);
  CATCH_CHECK(geometry.cut_rows == 9);
  CATCH_CHECK(geometry.span() == 576 + 30 * 49);
  CATCH_CHECK(gaze::resolve(geometry, {}).rows == 30);
  const std::vector<std::pair<int64_t, int64_t>> cells = {{0, 0}, {3, 40}, {15, 20}, {29, 47}};
  std::vector<int64_t> hot;
  for (const auto& [row, col] : cells) hot.push_back(576 + row * 49 + col);
  hot.push_back(576 + 48);     // a row's end
  hot.push_back(24 * 5 + 17);  // thumbnail: row 5, column 17
  const Composition composition = gaze::compose(planted_keys(geometry, hot));
  for (size_t i = 0; i < cells.size(); ++i) {
    CATCH_INFO("cell " << cells[i].first << ", " << cells[i].second);
    const gaze::Overlay& overlay = composition.words[i];
    // The centre of the cell, in pixels of the picture.
    const double x = (static_cast<double>(cells[i].second) + 0.5) * 14 * kWidth / 672 - 0.5;
    const double y = ((static_cast<double>(cells[i].first) + 9.5) * 14 - 127) * kHeight / 418 - 0.5;
    CATCH_CHECK(std::abs(overlay.hot_x - x) <= 0.6);
    CATCH_CHECK(std::abs(overlay.hot_y - std::clamp(y, 0.0, kHeight - 1.0)) <= 0.6);
  }
  CATCH_CHECK(composition.words[4].max_lift < 1);
  const gaze::Overlay& coarse = composition.words[5];
  CATCH_CHECK(coarse.hot_x >= 17 * kWidth / 24.0 - 1);
  CATCH_CHECK(coarse.hot_x <= 18 * kWidth / 24.0);
  CATCH_CHECK(coarse.hot_y >= 5 * kHeight / 24.0 - 1);
  CATCH_CHECK(coarse.hot_y <= 6 * kHeight / 24.0);
  CATCH_CHECK(composition.words[0].mass ==
              Approx(0.95 - 31 * 0.05 / static_cast<double>(geometry.span())).margin(1e-4));
}

CATCH_TEST_CASE("unpad: columns of a tall picture are cut, none of a square one") {
  Geometry geometry = grid_of(48, 48);
  geometry.fit = Fit::Letterbox;
  geometry.input_width = geometry.input_height = 672;
  geometry.unpad = true;
  const Geometry tall = gaze::resolve(geometry, {.picture_width = 23, .picture_height = 37});
  CATCH_CHECK(tall.rows == 48);
  CATCH_CHECK(tall.cols == 30);
  CATCH_CHECK(tall.cut_cols == 9);
  CATCH_CHECK(gaze::resolve(geometry, {.picture_width = 50, .picture_height = 50}).cells() == 48 * 48);
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry: expected the size of the original picture"));
  CATCH_CHECK(gaze::cell_at(tall, 23, 37, 0, 0) == 0);
  CATCH_CHECK(gaze::cell_at(tall, 23, 37, 22, 36) == 47 * 30 + 29);
}

CATCH_TEST_CASE("video: one frame's keys, or their sum over time, are drawn on the frame") {
  // 6 frames, two to a key frame, 2 x 3 cells each, one special key before each key frame.
  Geometry geometry = grid_of(2, 3);
  geometry.video = {.frames = 6, .temporal_merge = 2, .frame = 3, .leading = 1};
  CATCH_REQUIRE(geometry.span() == 3 * 7);
  const auto key = [](int64_t key_frame, int64_t cell) { return key_frame * 7 + 1 + cell; };
  const Layout drawn{"", geometry, 2, 3, {}};
  const auto hot = [&](const gaze::Overlay& overlay, int64_t cell) {
    return gaze::test::in_cell(drawn, cell, overlay.hot_x, overlay.hot_y, kWidth, kHeight);
  };
  AttentionRecord record = planted_keys(geometry, {key(1, 5), key(0, 2), 7});
  const Composition one = gaze::compose(record);
  CATCH_CHECK(hot(one.words[0], 5));
  CATCH_CHECK(one.words[0].max_lift == Approx(0.9 * 21));
  for (const size_t elsewhere : {1, 2}) CATCH_CHECK(one.words[elsewhere].diffuse);
  const double rest = 0.05 / 21;
  CATCH_CHECK(one.words[0].mass == Approx(0.9 + 5 * rest));
  CATCH_CHECK(one.words[1].mass == Approx(6 * rest));
  // Frames 2 and 3 share the second key frame.
  CATCH_REQUIRE(one.words[0].frame_mass.size() == 6);
  for (const size_t frame : {0, 1, 4, 5}) CATCH_CHECK(one.words[0].frame_mass[frame] == Approx(3 * rest));
  for (const size_t frame : {2, 3}) CATCH_CHECK(one.words[0].frame_mass[frame] == Approx((0.9 + 5 * rest) / 2));

  geometry.video->frame = -1;
  record.maps[0].geometry() = geometry;
  const Composition sum = gaze::compose(record);
  CATCH_CHECK(hot(sum.words[0], 5));
  CATCH_CHECK(hot(sum.words[1], 2));
  CATCH_CHECK(sum.words[2].diffuse);
  CATCH_CHECK(sum.words[0].mass == Approx(0.9 + 17 * rest));
  CATCH_CHECK(sum.words[1].frame_mass[0] == Approx((0.9 + 5 * rest) / 2));
  const json root = request_json(record);
  CATCH_CHECK(root.at("geometry").at("video").at("frames") == 6);
  CATCH_CHECK(root.at("words").at(1).at("frame_mass").size() == 6);
  CATCH_CHECK(root.at("words").at(1).at("frame_mass").at(1).get<double>() == Approx((0.9 + 5 * rest) / 2));
  double frames = 0;
  for (const json& mass : root.at("summary").at("frame_mass")) frames += mass.get<double>();
  CATCH_CHECK(frames == Approx(root.at("summary").at("mass").get<double>()));
  CATCH_CHECK(request_json(planted_keys(grid_of(2, 3), {0})).at("words").at(0).at("frame_mass").is_null());
}

CATCH_TEST_CASE("video: uniform attention is 1.0 on one frame and on the sum") {
  Geometry geometry = grid_of(2, 3);
  geometry.video = {.frames = 4, .temporal_merge = 2};
  for (const int64_t frame : {-1, 0, 3}) {
    geometry.video->frame = frame;
    AttentionRecord record = planted_keys(geometry, {0});
    record.maps[0].map_tk.fill_(1.0 / 60);
    record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
    record.maps[0].visible_t = at::full({1}, 60, at::kFloat);
    CATCH_CHECK(at::allclose(gaze::compose(record).lift_wc, at::ones({1, 6})));
  }
}

CATCH_TEST_CASE("video: frames that do not fit are refused") {
  const auto refused = [](const Geometry& geometry) {
    const auto found = gaze::test::refusal([&] { gaze::check(geometry); });
    return found ? found->text : std::string("accepted");
  };
  Geometry geometry = grid_of(2, 3);
  geometry.video = {.frames = 5, .temporal_merge = 2};
  CATCH_CHECK(
      refused(geometry) ==
      "geometry.video.frames: expected a multiple of temporal_merge (2), got 5. Count the frames the model got, "
      "those it was padded with included.");
  geometry.video = {.frames = 6, .temporal_merge = 2, .frame = 6};
  CATCH_CHECK(refused(geometry) ==
              "geometry.video.frame: expected -1 (the sum) or 0..5, got 6. Name a frame of the video.");
  geometry.video->frame = 0;
  CATCH_CHECK(keys_refusal(geometry, 17) ==
              "geometry: expected 18 keys (3 key frames of (2 x 3 cells)), got 17. Correct rows and cols, or select "
              "another site.");
  geometry.tiles = gaze::Tiles();
  CATCH_CHECK(refused(geometry) ==
              "geometry.video: expected a grid of its own, got it beside tiles. Give one of them.");
}

CATCH_TEST_CASE("several pictures: the span of the one that is asked for is drawn") {
  Geometry geometry = grid_of(2, 3);
  geometry.leading = 1;
  geometry.spans = {{3, 7}, {12, 7}};
  geometry.pictures = 2;
  geometry.picture = 1;
  const Geometry second = gaze::resolve(geometry, {});
  CATCH_CHECK(second.first_key == 12);
  CATCH_CHECK(second.first_cell() == 13);
  CATCH_CHECK(keys_refusal(second, 19, false) == "accepted");
  CATCH_CHECK(keys_refusal(second, 18, false) ==
              "geometry.spans[1]: expected keys within a row of 18, got 12..18. Count the prompt's keys again, or "
              "select another site.");
  geometry.picture = 0;
  CATCH_CHECK(gaze::resolve(geometry, {}).first_key == 3);
  // The other picture's span must lie in the row as well: the prompt is not the one that was described.
  CATCH_CHECK_THAT(keys_refusal(gaze::resolve(geometry, {}), 18, false),
                   Catch::Matchers::StartsWith("geometry.spans[1]: expected keys within a row of 18"));
  geometry.spans[0].keys = 8;
  CATCH_CHECK(keys_refusal(gaze::resolve(geometry, {}), 19, false) ==
              "geometry.spans[0]: expected 7 keys (1 leading + 2 x 3 cells), got 8. Correct the span, or the rows and "
              "cols of its picture.");
}

CATCH_TEST_CASE("several pictures: each run of the placeholder is one span") {
  const auto spans = gaze::spans_of({7, 7, 1, 7, 2, 2, 7, 7, 7}, 7);
  CATCH_REQUIRE(spans.size() == 3);
  const int64_t want[3][2] = {{0, 2}, {3, 1}, {6, 3}};
  for (size_t i = 0; i < 3; ++i) {
    CATCH_CHECK(spans[i].first_key == want[i][0]);
    CATCH_CHECK(spans[i].keys == want[i][1]);
  }
  CATCH_CHECK(gaze::spans_of({1, 2}, 7).empty());
  CATCH_CHECK(gaze::spans_of({}, 7).empty());
}

CATCH_TEST_CASE("several pictures: a wrong count, a missing choice and overlapping spans are refused") {
  Geometry geometry = grid_of(2, 3);
  geometry.spans = {{3, 6}, {12, 6}};
  CATCH_CHECK(resolve_refusal(geometry) ==
              "geometry.picture: expected which of 2 pictures the overlay is for, 0..1, got -1. Name one of them, and "
              "give the request that picture.");
  geometry.picture = 2;
  CATCH_CHECK_THAT(
      resolve_refusal(geometry),
      Catch::Matchers::StartsWith("geometry.picture: expected which of 2 pictures the overlay is for, 0..1, "
                                  "got 2."));
  geometry.picture = 0;
  geometry.pictures = 3;
  CATCH_CHECK(resolve_refusal(geometry) ==
              "geometry.spans: expected one for each of the prompt's 3 pictures, got 2. Say where the keys of every "
              "picture begin.");
  geometry.pictures = 0;
  geometry.spans[1].first_key = 8;
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry.spans[1]: expected at least 1 key from key 9 on, got 6 from "
                                               "8."));
  geometry.spans.clear();
  geometry.picture = 1;
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry.picture: expected 0 without spans, got 1."));
  geometry.picture = 0;
  geometry.pictures = 2;
  CATCH_CHECK_THAT(resolve_refusal(geometry),
                   Catch::Matchers::StartsWith("geometry.spans: expected one for each of the prompt's 2 pictures, got "
                                               "0."));
}

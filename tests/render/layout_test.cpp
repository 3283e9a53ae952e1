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
  record.geometry = geometry;
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
        CATCH_CHECK(at::equal(overlay.rgb_hwc, composition.base_hwc));
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
    record.map_tc = record.map_tc * 0.5;
    record.mass_t = record.map_tc.sum(1);
    const Composition composition = gaze::compose(record);
    for (size_t k = 0; k < layout.keys.size(); ++k) {
      double on_cells = 0;
      for (size_t other = 0; other < layout.keys.size(); ++other) {
        if (layout.keys[other] == kSpecial) continue;
        on_cells += record.map_tc[static_cast<int64_t>(k)][static_cast<int64_t>(other)].item<double>();
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
  record.map_tc = record.map_tc * 0.5;
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
    record.map_tc.zero_();
    record.map_tc[0][thumbnail_key] = 0.8;
    record.map_tc[1][cell_key] = 0.8;
    record.map_tc[2][thumbnail_key + 5] = 0.8;
    record.mass_t = at::full({3}, 0.8, at::kFloat);
    record.visible_t = at::full({3}, 100, at::kFloat);
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
  record.map_tc.fill_(1.0 / 200);
  record.mass_t = record.map_tc.sum(1);
  record.visible_t = at::full({1}, 200, at::kFloat);
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
  record.map_tc.zero_();
  record.map_tc[0][64] = 0.8;
  const Composition composition = gaze::compose(record);
  const at::Tensor lift_yx = composition.lift_wc[0].view({8, 8});
  CATCH_CHECK(lift_yx.slice(0, 2, 4).slice(1, 0, 4).min().item<float>() > 0);
  CATCH_CHECK(lift_yx.slice(0, 2, 4).slice(1, 0, 4).sum().item<float>() == Approx(lift_yx.sum().item<float>()));
  record.picture = gaze::Picture(gaze::test::noise_picture(20, 41));
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
  record.map_tc = record.map_tc.narrow(1, 0, 38);
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

// SPDX-License-Identifier: MIT
#include <gaze/render/geometry.hpp>

#include <cmath>

#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::Fit;
using gaze::Geometry;

Geometry grid(int64_t rows, int64_t cols) {
  Geometry geometry;
  geometry.rows = rows;
  geometry.cols = cols;
  return geometry;
}

std::string why(const Geometry& geometry, int64_t keys, bool alone) {
  const auto refused = gaze::test::refusal([&] { gaze::check_keys(geometry, keys, alone); });
  if (!refused) return "accepted";
  CATCH_CHECK(refused->reason == DropReason::GridMismatch);
  return refused->text;
}

}  // namespace

CATCH_TEST_CASE("geometry: a resized picture puts each corner into its own cell, width and height not swapped") {
  const Geometry geometry = grid(2, 5);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 0, 0) == 0);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 499, 0) == 4);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 0, 99) == 5);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 499, 99) == 9);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 99, 49) == 0);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 100, 50) == 6);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 500, 0) == -1);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, 0, 100) == -1);
  CATCH_CHECK(gaze::cell_at(geometry, 500, 100, -1, 0) == -1);
}

CATCH_TEST_CASE("geometry: the examples of docs/geometry.md") {
  CATCH_CHECK(gaze::cell_at(grid(6, 10), 960, 576, 500, 300) == 35);
  Geometry crop = grid(7, 7);
  crop.leading = 1;
  crop.fit = Fit::CentreCrop;
  crop.input_width = crop.input_height = 224;
  crop.resize_shorter = 256;
  CATCH_CHECK(crop.first_cell() + gaze::cell_at(crop, 640, 480, 320, 240) == 25);
  CATCH_CHECK(gaze::cell_at(crop, 640, 480, 108, 240) == -1);
  CATCH_CHECK(gaze::cell_at(crop, 640, 480, 109, 240) == 3 * 7);
  Geometry box = grid(8, 8);
  box.fit = Fit::Letterbox;
  box.input_width = box.input_height = 640;
  CATCH_CHECK(gaze::cell_at(box, 1280, 720, 0, 0) == 8);
}

CATCH_TEST_CASE("geometry: centre crop as torchvision makes it from a 640 x 480 picture") {
  // Resize(256) -> 341 x 256 (the longer side truncated); CenterCrop(224) -> left round(58.5) = 58, top 16.
  Geometry geometry = grid(7, 7);
  geometry.fit = Fit::CentreCrop;
  geometry.input_width = geometry.input_height = 224;
  geometry.resize_shorter = 256;
  const gaze::ops::CellAffine affine = gaze::place(geometry, 640, 480);
  CATCH_CHECK(affine.scale_x == Approx(341.0 / 640 / 32));
  CATCH_CHECK(affine.offset_x == Approx(-58.0 / 32));
  CATCH_CHECK(affine.scale_y == Approx(256.0 / 480 / 32));
  CATCH_CHECK(affine.offset_y == Approx(-16.0 / 32));
  CATCH_CHECK(gaze::cell_at(geometry, 640, 480, 0, 240) == -1);
  CATCH_CHECK(gaze::cell_at(geometry, 640, 480, 639, 240) == -1);
  CATCH_CHECK(gaze::cell_at(geometry, 640, 480, 320, 240) == 3 * 7 + 3);
}

CATCH_TEST_CASE("geometry: centre crop without resize_shorter covers an input that is not square") {
  Geometry geometry = grid(4, 8);
  geometry.fit = Fit::CentreCrop;
  geometry.input_width = 200;
  geometry.input_height = 100;
  // 300 x 300 -> 200 x 200, then 50 rows cut above and below.
  const gaze::ops::CellAffine affine = gaze::place(geometry, 300, 300);
  CATCH_CHECK(affine.offset_x == Approx(0));
  CATCH_CHECK(affine.scale_x * 300 == Approx(8));
  CATCH_CHECK(affine.offset_y == Approx(-2));
  CATCH_CHECK(affine.scale_y * 300 == Approx(8));
  CATCH_CHECK(gaze::cell_at(geometry, 300, 300, 150, 74) == -1);
  CATCH_CHECK(gaze::cell_at(geometry, 300, 300, 0, 75) == 0);
  CATCH_CHECK(gaze::cell_at(geometry, 300, 300, 299, 224) == 31);
  CATCH_CHECK(gaze::cell_at(geometry, 300, 300, 150, 225) == -1);
}

CATCH_TEST_CASE("geometry: letterbox pads the shorter side evenly and sees the whole picture") {
  Geometry geometry = grid(8, 8);
  geometry.fit = Fit::Letterbox;
  geometry.input_width = geometry.input_height = 640;
  // 1280 x 720 -> 640 x 360, 140 rows of padding above and below.
  const gaze::ops::CellAffine affine = gaze::place(geometry, 1280, 720);
  CATCH_CHECK(affine.offset_x == Approx(0));
  CATCH_CHECK(affine.scale_x * 1280 == Approx(8));
  CATCH_CHECK(affine.offset_y == Approx(140.0 / 80));
  CATCH_CHECK(affine.scale_y * 720 == Approx(360.0 / 80));
  CATCH_CHECK(gaze::cell_at(geometry, 1280, 720, 0, 0) == 8);
  CATCH_CHECK(gaze::cell_at(geometry, 1280, 720, 1279, 719) == 6 * 8 + 7);
}

CATCH_TEST_CASE("geometry: a row of keys must hold exactly the cells and the specials, and never a guessed square") {
  Geometry geometry = grid(6, 10);
  geometry.leading = 1;
  CATCH_CHECK(why(geometry, 61, true) == "accepted");
  CATCH_CHECK(
      why(geometry, 60, true) ==
      "geometry: expected 61 keys (1 leading + 6 x 10 cells), got 60. These would be the cells alone: set leading "
      "and trailing to 0, or select another site.");
  CATCH_CHECK(
      why(geometry, 64, true) ==
      "geometry: expected 61 keys (1 leading + 6 x 10 cells), got 64. With these rows and cols the specials would "
      "be 4: correct leading and trailing, or select another site.");
  CATCH_CHECK(
      why(geometry, 49, true) ==
      "geometry: expected 61 keys (1 leading + 6 x 10 cells), got 49. Correct rows and cols, or select another site.");
}

CATCH_TEST_CASE("geometry: a picture inside a longer row needs its first key, specials and cells") {
  Geometry geometry = grid(24, 24);
  geometry.first_key = 35;
  geometry.leading = 1;
  geometry.trailing = 2;
  CATCH_CHECK(geometry.first_cell() == 36);
  CATCH_CHECK(why(geometry, 614, false) == "accepted");
  CATCH_CHECK(why(geometry, 700, false) == "accepted");
  CATCH_CHECK(
      why(geometry, 613, false) ==
      "geometry: expected at least 614 keys (first_key 35 + 1 leading + 24 x 24 cells + 2 trailing), got 613. Correct "
      "rows and cols, or select another site.");
}

CATCH_TEST_CASE("geometry: the impossible is refused by field") {
  const auto refused = [](Geometry geometry) {
    const auto found = gaze::test::refusal([&] { gaze::check(geometry); });
    return found ? found->text : std::string("accepted");
  };
  CATCH_CHECK_THAT(refused(grid(0, 3)), Catch::Matchers::StartsWith("geometry.rows: expected 1..16777216, got 0."));
  CATCH_CHECK_THAT(refused(grid(3, -1)), Catch::Matchers::StartsWith("geometry.cols: expected 1..16777216, got -1."));
  CATCH_CHECK_THAT(refused(grid(int64_t{1} << 40, 3)),
                   Catch::Matchers::StartsWith("geometry.rows: expected 1..16777216, got 1099511627776."));
  Geometry geometry = grid(3, 3);
  geometry.leading = -1;
  CATCH_CHECK_THAT(refused(geometry), Catch::Matchers::StartsWith("geometry.leading: expected 0.."));
  geometry = grid(3, 3);
  geometry.fit = Fit::CentreCrop;
  geometry.input_height = 224;
  CATCH_CHECK_THAT(refused(geometry), Catch::Matchers::StartsWith("geometry.input_width: expected 1.."));
  geometry.fit = Fit::Letterbox;
  geometry.input_width = 224;
  geometry.resize_shorter = 256;
  CATCH_CHECK(
      refused(geometry) ==
      "geometry.resize_shorter: expected 0 unless fit is centre_crop, got 256. Remove it or set fit to centre_crop.");
  GAZE_REQUIRE_REFUSED(gaze::place(grid(3, 3), 0, 5), DropReason::GridMismatch,
                       "geometry: expected a picture of at least 1 x 1 pixels, got 0 x 5");
}

CATCH_TEST_CASE("geometry: the keys of a sound are counted, and lie on no picture") {
  Geometry geometry = grid(1, 12);
  geometry.time = gaze::Timeline{0.02, 0.5};
  geometry.leading = 1;
  CATCH_CHECK(geometry.keys() == 13);
  CATCH_CHECK(why(geometry, 13, true) == "accepted");
  CATCH_CHECK_THAT(why(geometry, 12, true),
                   Catch::Matchers::Contains("13 keys (1 leading + 12 cells in time), got 12"));
  const auto placed = gaze::test::refusal([&] { gaze::place(geometry, 64, 48); });
  CATCH_REQUIRE(placed);
  CATCH_CHECK_THAT(placed->text, Catch::Matchers::Contains("got those of a sound"));
  for (const double seconds : {0.0, -1.0, std::nan("")}) {
    geometry.time->seconds_per_key = seconds;
    CATCH_CHECK_THAT(why(geometry, 13, true), Catch::Matchers::Contains("time.seconds_per_key: expected more than 0"));
  }
  geometry.time = gaze::Timeline{0.02, INFINITY};
  CATCH_CHECK_THAT(why(geometry, 13, true), Catch::Matchers::Contains("time.first_seconds"));
  geometry.time = gaze::Timeline{0.02, 0};
  geometry.rows = 2;
  CATCH_CHECK_THAT(why(geometry, 25, true), Catch::Matchers::Contains(".time: expected one row of cells"));
}

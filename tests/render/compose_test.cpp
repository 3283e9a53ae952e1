// SPDX-License-Identifier: MIT
#include <gaze/render/overlay.hpp>

#include <cmath>
#include <limits>

#include "records.hpp"
#include "support/resampled.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::Composition;
using gaze::DropReason;
using gaze::Fit;
using gaze::test::planted;

at::Tensor differing(const at::Tensor& a, const at::Tensor& b) { return a.ne(b).any(2); }

int64_t count(const at::Tensor& mask) { return mask.sum().item<int64_t>(); }

}  // namespace

CATCH_TEST_CASE("compose: each word is coloured at its own cell of a grid that is not square") {
  // Cell 3 x 7 of a 4 x 9 grid over 90 x 60 pixels: 10 x 15 pixels each.
  AttentionRecord record = planted(4, 9, {0, 8, 34, 13}, 60, 90);
  record.labels = {"a", "b", "c", "d"};
  const Composition composition = gaze::compose(record);
  CATCH_REQUIRE(composition.words.size() == 4);
  const int64_t cells[] = {0, 8, 34, 13};
  for (size_t w = 0; w < 4; ++w) {
    CATCH_INFO("word " << w);
    const gaze::Overlay& overlay = composition.words[w];
    CATCH_CHECK(overlay.word.text == record.labels[w]);
    CATCH_CHECK(gaze::cell_at(record.maps[0].geometry(), 90, 60, overlay.hot_x, overlay.hot_y) == cells[w]);
    const int64_t x = cells[w] % 9 * 10;
    const int64_t y = cells[w] / 9 * 15;
    const at::Tensor changed = differing(overlay.rgb_hwc, composition.ground_hwc);
    CATCH_CHECK(changed[y + 7][x + 5].item<bool>());
    CATCH_CHECK(count(changed) > 0);
    CATCH_CHECK(overlay.rgb_hwc.sizes() == composition.base_hwc.sizes());
  }
}

CATCH_TEST_CASE("compose: where the value is 0 the picture stays as it is, byte for byte") {
  AttentionRecord record = planted(6, 10, {33}, 96, 160);
  record.maps[0].map_tk.zero_();
  record.maps[0].map_tk[0][33] = 0.9;
  record.style.contour = false;
  const Composition composition = gaze::compose(record);
  at::Tensor changed = differing(composition.words[0].rgb_hwc, composition.ground_hwc);
  CATCH_CHECK(count(changed) > 100);
  // Bilinear reaches at most one cell (16 pixels) beyond the hot cell's own 16 pixels.
  changed.slice(0, 32, 80).slice(1, 32, 80).fill_(false);
  CATCH_CHECK(count(changed) == 0);
  CATCH_CHECK(at::equal(composition.base_hwc, picture_of(record).tensor));
}

CATCH_TEST_CASE("compose: the hottest pixel is that of the resampled map, by brute force") {
  struct Case {
    int64_t rows, cols, height, width;
    Fit fit;
    int64_t input_width, input_height;
  };
  const Case cases[] = {{4, 9, 61, 97, Fit::Resize, 0, 0},         {24, 24, 10, 7, Fit::Resize, 0, 0},
                        {7, 7, 48, 120, Fit::CentreCrop, 56, 56},  {7, 7, 120, 48, Fit::CentreCrop, 56, 56},
                        {6, 10, 50, 130, Fit::Letterbox, 100, 60}, {1, 1, 4, 5, Fit::Resize, 0, 0},
                        {5, 3, 90, 30, Fit::Letterbox, 60, 100}};
  for (const Case& c : cases) {
    for (const auto interpolation : {gaze::ops::Interpolation::Bilinear, gaze::ops::Interpolation::Exact}) {
      CATCH_INFO(c.rows << " x " << c.cols << " on " << c.width << " x " << c.height << ", exact "
                        << (interpolation == gaze::ops::Interpolation::Exact));
      constexpr int64_t kMaps = 12;
      AttentionRecord record = planted(c.rows, c.cols, std::vector<int64_t>(kMaps, 0), c.height, c.width);
      at::manual_seed(c.rows * 100 + c.width);
      record.maps[0].map_tk = at::rand({kMaps, c.rows * c.cols}) / static_cast<double>(c.rows * c.cols);
      record.maps[0].geometry().fit = c.fit;
      record.maps[0].geometry().input_width = c.input_width;
      record.maps[0].geometry().input_height = c.input_height;
      record.style.interpolation = interpolation;
      const Composition composition = gaze::compose(record);
      for (int64_t t = 0; t < kMaps; ++t) {
        const at::Tensor value_yx = gaze::test::resampled(composition.shown_wc[t].view({c.rows, c.cols}),
                                                          gaze::place(record.maps[0].geometry(), c.width, c.height),
                                                          c.height, c.width, interpolation);
        const gaze::Overlay& overlay = composition.words[static_cast<size_t>(t)];
        const auto found =
            value_yx[static_cast<int64_t>(overlay.hot_y)][static_cast<int64_t>(overlay.hot_x)].item<double>();
        CATCH_CHECK(found == Approx(value_yx.max().item<double>()).epsilon(1e-5));
        CATCH_CHECK(found > 0);
      }
    }
  }
}

CATCH_TEST_CASE("compose: what a crop cut away is not tinted, and its border is drawn") {
  AttentionRecord record = planted(7, 7, {0}, 56, 156);
  record.maps[0].map_tk.fill_(0.9 / 49);
  record.maps[0].map_tk[0][0] = 0.5;
  record.maps[0].geometry().fit = Fit::CentreCrop;
  record.maps[0].geometry().input_width = record.maps[0].geometry().input_height = 56;
  const Composition composition = gaze::compose(record);
  const at::Tensor changed = differing(composition.words[0].rgb_hwc, composition.ground_hwc);
  CATCH_CHECK(count(changed.slice(1, 0, 50)) == 0);
  CATCH_CHECK(count(changed.slice(1, 106, 156)) == 0);
  CATCH_CHECK(count(changed.select(1, 50)) == 56);
  CATCH_CHECK(count(changed.select(1, 105)) == 56);
  CATCH_CHECK(count(changed.slice(1, 50, 58).slice(0, 0, 8)) > 40);
}

CATCH_TEST_CASE("compose: two equal words stay two words with their own maps") {
  AttentionRecord record = planted(6, 10, {3, 56});
  record.labels = {"red", "red"};
  const Composition composition = gaze::compose(record);
  CATCH_REQUIRE(composition.words.size() == 2);
  CATCH_CHECK(
      gaze::cell_at(record.maps[0].geometry(), 100, 60, composition.words[0].hot_x, composition.words[0].hot_y) == 3);
  CATCH_CHECK(
      gaze::cell_at(record.maps[0].geometry(), 100, 60, composition.words[1].hot_x, composition.words[1].hot_y) == 56);
}

CATCH_TEST_CASE("compose: row t is word t, sub-words are averaged, special tokens are left out") {
  AttentionRecord record = planted(6, 10, {59, 10, 20, 30});
  record.labels = {"<bos>", " gold", "en", " dog"};
  const Composition composition = gaze::compose(record);
  CATCH_REQUIRE(composition.words.size() == 2);
  CATCH_CHECK(composition.words[0].word.text == "golden");
  const at::Tensor lift_tc = record.maps[0].map_tk * 60;
  CATCH_CHECK(at::allclose(composition.lift_wc[0], (lift_tc[1] + lift_tc[2]) / 2));
  CATCH_CHECK(at::allclose(composition.lift_wc[1], lift_tc[3]));
  CATCH_CHECK(composition.words[0].max_lift == Approx((54 + 0.05) / 2));
}

CATCH_TEST_CASE("compose: tokens beyond the labels do not count, without labels every token is a word") {
  AttentionRecord record = planted(6, 10, {1, 2, 3});
  record.labels = {"a", "b"};
  record.maps[0].map_tk[2].fill_(0.9);  // would raise the range
  CATCH_CHECK(gaze::compose(record).words.size() == 2);
  CATCH_CHECK(gaze::compose(record).range_max_lift < 54);
  record.labels.clear();
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words.size() == 3);
  CATCH_CHECK(composition.words[2].word.text.empty());
}

CATCH_TEST_CASE("compose: an answer of special tokens alone still has a summary") {
  AttentionRecord record = planted(6, 10, {17});
  record.labels = {"<eos>"};
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words.empty());
  CATCH_CHECK(composition.lift_wc.sizes() == at::IntArrayRef({0, 60}));
  CATCH_CHECK(gaze::cell_at(record.maps[0].geometry(), 100, 60, composition.summary.hot_x, composition.summary.hot_y) ==
              17);
  CATCH_CHECK(composition.summary.mass == Approx(0.9 + 0.05 * 59 / 60));
}

CATCH_TEST_CASE("compose: a flat map gets no colour, a stamp and no contour") {
  AttentionRecord record = planted(6, 10, {-1, 5}, 200, 400);
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].diffuse);
  CATCH_CHECK(composition.words[0].entropy == Approx(1).epsilon(1e-3));
  CATCH_CHECK_FALSE(composition.words[1].diffuse);
  CATCH_CHECK_FALSE(composition.summary.diffuse);
  at::Tensor changed = differing(composition.words[0].rgb_hwc, composition.ground_hwc);
  CATCH_CHECK(count(changed.slice(0, 180, 200).slice(1, 0, 60)) > 300);
  changed.slice(0, 180, 200).slice(1, 0, 60).fill_(false);
  CATCH_CHECK(count(changed) == 0);

  const Composition all_flat = gaze::compose(planted(6, 10, {-1, -1}, 200, 400));
  CATCH_CHECK(all_flat.summary.diffuse);
  // Too small for the stamp: the picture stays whole rather than covered.
  const Composition tiny = gaze::compose(planted(2, 2, {-1}, 8, 8));
  CATCH_CHECK(at::equal(tiny.words[0].rgb_hwc, tiny.ground_hwc));
}

CATCH_TEST_CASE("compose: a constant map is not stretched into noise by per-map min-max") {
  AttentionRecord record = planted(6, 10, {5, 7});
  record.style.normalise.per_map_min_max = true;
  record.maps[0].map_tk[0].fill_(0.9 / 60);
  record.maps[0].visible_t[0] = 600;  // lift 9: constant, yet not below 2
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].diffuse);
  CATCH_CHECK(at::isfinite(composition.shown_wc).all().item<bool>());
  CATCH_CHECK(composition.words[1].range_max_lift == Approx(0.9 * 60));
}

CATCH_TEST_CASE("compose: sinks shared by all words are removed, the raw lift stays") {
  AttentionRecord record = planted(6, 10, {10, 20, 30, 40});
  record.maps[0].map_tk = record.maps[0].map_tk * 0.5;
  record.maps[0].map_tk.select(1, 0).fill_(0.5);
  record.style.normalise.subtract_sinks = true;
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.sinks_subtracted);
  CATCH_CHECK(composition.lift_wc[0][0].item<float>() == Approx(30));
  CATCH_CHECK(composition.shown_wc[0][0].item<float>() == 0);
  CATCH_CHECK(composition.words[0].max_lift == Approx(30));
  CATCH_CHECK(
      gaze::cell_at(record.maps[0].geometry(), 100, 60, composition.words[2].hot_x, composition.words[2].hot_y) == 30);
  record.style.normalise.subtract_sinks = false;
  const Composition raw = gaze::compose(record);
  CATCH_CHECK_FALSE(raw.sinks_subtracted);
  CATCH_CHECK(gaze::cell_at(record.maps[0].geometry(), 100, 60, raw.words[2].hot_x, raw.words[2].hot_y) == 0);
}

CATCH_TEST_CASE("compose: words that all look at one place have no hottest pixel once it is subtracted") {
  AttentionRecord record = planted(6, 10, {10, 10, 10, 10});
  record.style.normalise.subtract_sinks = true;
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(std::isnan(composition.words[0].hot_x));
  CATCH_CHECK(composition.words[0].max_lift == Approx(0.9 * 60));
  CATCH_CHECK(composition.range_max_lift == 1);
}

CATCH_TEST_CASE("compose: all words share one range, the summary has its own") {
  AttentionRecord record = planted(6, 10, {10, 20, 30, 40});
  record.maps[0].map_tk[3] = record.maps[0].map_tk[3] * 0.3;
  const Composition composition = gaze::compose(record);
  for (const gaze::Overlay& overlay : composition.words)
    CATCH_CHECK(overlay.range_max_lift == composition.range_max_lift);
  CATCH_CHECK(composition.summary.range_max_lift < composition.range_max_lift);
  CATCH_CHECK(composition.summary.range_max_lift ==
              Approx(60 * 0.25 * (0.9 + 2 * 0.05 / 60 + 0.3 * 0.05 / 60)).epsilon(0.01));
}

CATCH_TEST_CASE("compose: a weaker word is drawn weaker, in the colours of the shared range") {
  AttentionRecord record = planted(6, 10, {33, 33}, 96, 160);
  record.maps[0].map_tk[1] = record.maps[0].map_tk[1] * 0.4;
  picture_of(record) = gaze::Picture(at::full({96, 160, 3}, 128, at::kByte));
  record.style.contour = false;
  record.style.normalise.percentile = 1;  // two hot cells of 120 are within the upper 2 %
  record.style.interpolation = gaze::ops::Interpolation::Exact;
  record.style.ground = gaze::Ground::Colour;
  record.style.blend = {0.6, 0.05, 1};  // with which the table of levels and the separate ops round alike here
  const Composition composition = gaze::compose(record);
  const double value[] = {1, composition.shown_wc[1][33].item<double>() / composition.range_max_lift};
  CATCH_CHECK(value[1] > 0.3);
  CATCH_CHECK(value[1] < 0.5);
  for (size_t w = 0; w < 2; ++w) {
    const at::Tensor value_yx = at::full({1, 1}, value[w], at::kFloat);
    const at::Tensor wanted =
        gaze::ops::blend(composition.ground_hwc.narrow(0, 56, 1).narrow(1, 56, 1).contiguous(),
                         gaze::ops::colour(value_yx, record.style.colormap), value_yx, record.style.blend);
    // Row 3, column 3 of 16 x 16 pixels.
    CATCH_CHECK(at::equal(composition.words[w].rgb_hwc[56][56], wanted[0][0]));
  }
}

CATCH_TEST_CASE("compose: the mass on the picture is the mean over a word's tokens") {
  AttentionRecord record = planted(6, 10, {10, 20, 30});
  record.labels = {" go", "ld", " dog"};
  record.maps[0].mass_t = at::tensor({0.2F, 0.4F, 0.9F});
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].mass == Approx(0.3));
  CATCH_CHECK(composition.words[1].mass == Approx(0.9));
  CATCH_CHECK(composition.summary.mass == Approx(0.6));
}

CATCH_TEST_CASE("compose: what must not be drawn is refused with its reason") {
  const auto refused = [](AttentionRecord record, DropReason reason, const std::string& text) {
    CATCH_INFO(text);
    GAZE_REQUIRE_REFUSED(gaze::compose(record), reason, text);
  };
  AttentionRecord record = planted(6, 10, {1, 2});
  record.error = "hooks: batch changed from 1 to 2.";
  record.error_reason = DropReason::ShapeMismatch;
  refused(record, DropReason::ShapeMismatch, "hooks: batch changed from 1 to 2.");

  refused(AttentionRecord(), DropReason::NoAttention, "expected at least 1 captured token, got 0");
  record = planted(6, 10, {1, 2});
  record.maps[0].map_tk = record.maps[0].map_tk.narrow(0, 0, 0);
  refused(record, DropReason::NoAttention, "expected at least 1 captured token, got 0");

  record = planted(6, 10, {1, 2});
  record.maps[0].flags_t[1] = static_cast<int>(gaze::ops::kRowNonFinite | gaze::ops::kRowSum);
  refused(record, DropReason::NonFinite, "in the row of token 1");
  record.maps[0].flags_t[1] = static_cast<int>(gaze::ops::kRowSum);
  refused(record, DropReason::RowSum, "expected rows that sum to 1, got another sum in the row of token 1");
  record.maps[0].flags_t[1] = static_cast<int>(gaze::ops::kRowBeyond);
  refused(record, DropReason::GridMismatch,
          "geometry: expected a row of the cells' keys alone, whatever else it holds masked, got visible keys");

  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    record = planted(6, 10, {1, 2});
    record.maps[0].map_tk[1][59] = value;
    refused(record, DropReason::NonFinite, "attention: expected a finite map");
  }

  record = planted(6, 10, {1, 2});
  record.labels = {"a", "b", "c"};
  refused(record, DropReason::Labels, "labels: expected at most 2 (one per captured token), got 3.");

  record = planted(6, 10, {1, 2});
  record.maps[0].geometry().cols = 9;
  refused(record, DropReason::GridMismatch, "geometry: expected a map of 6 x 9 = 54 cells, got 60.");
  record = planted(6, 10, {1, 2});
  record.maps[0].geometry().leading = 1;
  refused(record, DropReason::GridMismatch, "geometry: expected at least 61 keys (1 leading + 6 x 10 cells), got 60.");

  record = planted(6, 10, {1, 2});
  record.maps[0].mass_t = record.maps[0].mass_t.narrow(0, 0, 1);
  refused(record, DropReason::ShapeMismatch, "record.mass_t: expected 2 values, one per token, got 1.");

  record = planted(6, 10, {1, 2});
  picture_of(record) = gaze::Picture();
  refused(record, DropReason::DecodeFailed,
          "picture: expected a tensor, a path or the bytes of an image file, got nothing.");
}

CATCH_TEST_CASE("compose: requests do not touch each other") {
  const AttentionRecord one = planted(6, 10, {3, 4});
  const AttentionRecord two = planted(6, 10, {50, 51});
  const Composition before = gaze::compose(one);
  gaze::compose(two);
  const Composition after = gaze::compose(one);
  CATCH_CHECK(at::equal(before.summary.rgb_hwc, after.summary.rgb_hwc));
  CATCH_CHECK(at::equal(before.shown_wc, after.shown_wc));
  CATCH_CHECK(at::equal(picture_of(one).tensor, gaze::test::noise_picture(60, 100)));
}

CATCH_TEST_CASE("compose: a record knows the bytes it holds") {
  AttentionRecord record = planted(6, 10, {1, 2}, 60, 100);
  const int64_t before = record.bytes();
  CATCH_CHECK(before >= 2 * 60 * 4 + 3 * 2 * 4 + 60 * 100 * 3);
  picture_of(record).encoded = std::string(1000, 'x');
  CATCH_CHECK(record.bytes() == before + 1000);
}

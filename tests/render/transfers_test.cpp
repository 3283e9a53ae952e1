// SPDX-License-Identifier: MIT
// The bytes of a bundle that cross between host and device, to the byte.
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>

#include <nlohmann/json.hpp>

#include "device/frame_ring.hpp"
#include "records.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::BundleOptions;
using gaze::BundleSink;
using gaze::FrameRing;
using gaze::ops::Cargo;
using gaze::ops::Ledger;
using gaze::test::planted;
using gaze::test::TempDir;
using nlohmann::json;

constexpr int64_t kFigure = 8;  // float64

struct Published {
  std::string bundle;
  Ledger before, after;

  [[nodiscard]] int64_t back(Cargo cargo) const { return after.back(cargo).bytes - before.back(cargo).bytes; }
  [[nodiscard]] int64_t up(Cargo cargo) const { return after.up(cargo).bytes - before.up(cargo).bytes; }
  [[nodiscard]] int64_t calls(Cargo cargo) const { return after.back(cargo).calls - before.back(cargo).calls; }
  [[nodiscard]] int64_t all_back() const {
    int64_t bytes = 0;
    for (int i = 0; i < static_cast<int>(Cargo::kCount); ++i) bytes += back(static_cast<Cargo>(i));
    return bytes;
  }
};

/// Through a ring that takes the record's memory for a device's when `crosses`.
Published publish(const BundleOptions& options, const AttentionRecord& record, bool crosses) {
  BundleSink sink(options, std::make_shared<FrameRing>(gaze::ops::Route{at::kCPU, crosses}));
  Published published;
  sink.on_published([&](const std::string&, const std::string& path) { published.bundle = path; });
  published.before = gaze::ops::ledger();
  try {
    sink.consume(record);
  } catch (const gaze::Error&) {
    CATCH_REQUIRE_FALSE(published.bundle.empty());
  }
  published.after = gaze::ops::ledger();
  return published;
}

/// All files of two bundles are equal, but for times and what tells the bundle's own name.
void check_equal(const std::string& one, const std::string& two) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(one)) {
    if (!entry.is_regular_file() || entry.path().filename() == "manifest.json") continue;
    const std::string file = std::filesystem::relative(entry.path(), one);
    CATCH_INFO(file);
    const std::string a = gaze::test::read_bytes(one + "/" + file);
    const std::string b = gaze::test::read_bytes(two + "/" + file);
    if (file == "report.html") {  // what it says of the request is request.json's, what it draws from comes behind
      CATCH_CHECK(a.substr(a.find(",\"maps\":")) == b.substr(b.find(",\"maps\":")));
      continue;
    }
    if (file != "request.json") {
      CATCH_CHECK(a == b);
      continue;
    }
    json left = json::parse(a);
    json right = json::parse(b);
    left.erase("timings_ms");
    right.erase("timings_ms");
    CATCH_CHECK(left == right);
  }
}

AttentionRecord answer(int64_t height, int64_t width) {
  AttentionRecord record = planted(6, 10, {3, 17, 42, -1, 11}, height, width);
  record.labels = {" go", "ld", " dog", " flat"};  // 3 words of 4 tokens; the fifth has no label
  return record;
}

BundleOptions into(const TempDir& dir) { return gaze::test::all_pictures_in(dir / "out"); }

}  // namespace

CATCH_TEST_CASE("transfers: frames, figures and one picture, to the byte") {
  const TempDir dir;
  // 720 x 480: a panel of the sheet is 360 wide and 240 high.
  const AttentionRecord record = answer(480, 720);
  const Published apart = publish(into(dir), record, true);
  constexpr int64_t kWords = 3, kTokens = 5, kLabelled = 4;
  constexpr int64_t kFrame = 480 * 720 * 3, kTile = 240 * 360 * 3;
  CATCH_CHECK(apart.back(Cargo::Frame) == (1 + kWords) * kFrame + (1 + kWords) * kTile);
  CATCH_CHECK(apart.calls(Cargo::Frame) == 2 * (1 + kWords));
  // And the map with its three figures a token, for the page and maps.safetensors.
  CATCH_CHECK(apart.back(Cargo::Figures) ==
              kFigure * (3 * kTokens + 3 * kLabelled + 2 + 5 * (1 + kWords)) + kFigure * 3 * kTokens);
  CATCH_CHECK(apart.calls(Cargo::Figures) == 2);
  CATCH_CHECK(apart.back(Cargo::Map) == static_cast<int64_t>(record.maps[0].map_tk.nbytes()));
  CATCH_CHECK(apart.all_back() == apart.back(Cargo::Frame) + apart.back(Cargo::Figures) + apart.back(Cargo::Map));
  CATCH_CHECK(apart.up(Cargo::Picture) == kFrame + kTile);
  // Where the samples lie: 4 values for each side's 2 pixels per cell, beside its centre.
  CATCH_CHECK(apart.up(Cargo::Table) <= kFigure * 4 * (2 * (6 + 10) + 4));

  const Published here = publish(into(dir), record, false);
  CATCH_CHECK(here.all_back() == 0);
  CATCH_CHECK(here.up(Cargo::Picture) == 0);
  CATCH_CHECK(here.up(Cargo::Table) == 0);
  check_equal(here.bundle, apart.bundle);
}

CATCH_TEST_CASE("transfers: maps alone are the map and three figures a token, and no pixel") {
  const TempDir dir;
  BundleOptions options = into(dir);
  options.delivery = gaze::Delivery::Map;
  const AttentionRecord record = answer(480, 720);
  const Published apart = publish(options, record, true);
  CATCH_CHECK(apart.back(Cargo::Map) == static_cast<int64_t>(record.maps[0].map_tk.nbytes()));
  CATCH_CHECK(apart.calls(Cargo::Map) == 1);
  CATCH_CHECK(apart.back(Cargo::Figures) == kFigure * 3 * 5);
  CATCH_CHECK(apart.all_back() == apart.back(Cargo::Map) + apart.back(Cargo::Figures));
  CATCH_CHECK(apart.up(Cargo::Picture) + apart.up(Cargo::Table) == 0);
  check_equal(publish(options, record, false).bundle, apart.bundle);
}

CATCH_TEST_CASE("transfers: a picture crosses in the size it is drawn") {
  const TempDir dir;
  BundleOptions options = into(dir);
  options.longest_side_pixels = 100;
  options.pictures = {true, true, true, false};
  const Published apart = publish(options, answer(240, 400), true);
  constexpr int64_t kWords = 3;
  CATCH_CHECK(apart.up(Cargo::Picture) == 60 * 100 * 3);
  CATCH_CHECK(apart.back(Cargo::Frame) == (1 + kWords) * 60 * 100 * 3);
}

CATCH_TEST_CASE("transfers: a model's input brings three figures of its range along") {
  const TempDir dir;
  AttentionRecord record = answer(60, 100);
  picture_of(record) = gaze::Picture(at::rand({3, 60, 100}));
  const Published apart = publish(into(dir), record, true);
  CATCH_CHECK(apart.back(Cargo::Figures) == kFigure * (3 * 5 + 3 * 4 + 2 + 5 * 4 + 3) + kFigure * 3 * 5);
  CATCH_CHECK(apart.calls(Cargo::Figures) == 2);
  check_equal(publish(into(dir), record, false).bundle, apart.bundle);

  picture_of(record) = gaze::Picture(at::rand({3, 60, 100}) + 1);
  const Published refused = publish(into(dir), record, true);
  const json root = json::parse(gaze::test::read_bytes(refused.bundle + "/request.json"));
  CATCH_CHECK(root.at("error").at("reason") == "decode_failed");
  CATCH_CHECK_THAT(root.at("error").at("message").get<std::string>(),
                   Catch::Matchers::Contains("expected floating values in 0..1, got 1"));
  CATCH_CHECK(refused.back(Cargo::Frame) == 0);
}

CATCH_TEST_CASE("transfers: what is refused brings back figures alone, and they are in its request.json") {
  const TempDir dir;
  AttentionRecord record = answer(60, 100);
  record.maps[0].flags_t[2] = static_cast<int>(gaze::ops::kRowSum);
  const Published apart = publish(into(dir), record, true);
  CATCH_CHECK(apart.all_back() == apart.back(Cargo::Figures));
  CATCH_CHECK(apart.back(Cargo::Figures) == kFigure * (3 * 5 + 3 * 4 + 2 + 5 * 4) + kFigure * 3 * 5);
  const json root = json::parse(gaze::test::read_bytes(apart.bundle + "/request.json"));
  CATCH_CHECK(root.at("error").at("reason") == "row_sum");
  CATCH_CHECK(root.at("tokens").at(2).at("flags") == json({"row_sum"}));
  CATCH_CHECK(root.at("tokens").at(4).at("visible_keys") == 60);
}

CATCH_TEST_CASE("transfers: a ring that others hold drops the request and says so") {
  const TempDir dir;
  FrameRing::Limits one;
  one.slots = 1;
  const auto ring = std::make_shared<FrameRing>(gaze::ops::Route{at::kCPU, true}, one);
  BundleSink sink(into(dir), ring);
  const AttentionRecord record = answer(60, 100);
  {
    const auto held = ring->take(1, 1);
    GAZE_REQUIRE_REFUSED(sink.consume(record), gaze::DropReason::RingFull, "other requests hold them");
  }
  sink.consume(record);
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 2);
}

CATCH_TEST_CASE("transfers: a layout of tiles brings back the same bytes, and takes up one number a cell") {
  const TempDir dir;
  const AttentionRecord grid = answer(60, 100);
  AttentionRecord tiles = grid;
  tiles.maps[0].geometry().rows = 3;
  tiles.maps[0].geometry().cols = 5;
  tiles.maps[0].geometry().tiles = {.rows = 2, .cols = 2};
  const Published plain = publish(into(dir), grid, true);
  const Published apart = publish(into(dir), tiles, true);
  CATCH_CHECK(apart.all_back() == plain.all_back());
  CATCH_CHECK(apart.up(Cargo::Picture) == plain.up(Cargo::Picture));
  CATCH_CHECK(apart.up(Cargo::Table) - plain.up(Cargo::Table) == 8 * 60);
  check_equal(publish(into(dir), tiles, false).bundle, apart.bundle);
}

// SPDX-License-Identifier: MIT
// Bundles of records that live on the device under test, through the ring that its models share.
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>

#include "records.hpp"
#include "support/devices.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::ops::Cargo;
using gaze::test::TempDir;

/// As capture leaves a record: filled on the model's stream, with an event recorded there.
AttentionRecord on(const AttentionRecord& record, at::Device device) {
  AttentionRecord there = record;
  for (at::Tensor* tensor :
       {&there.maps[0].map_tk, &there.maps[0].mass_t, &there.maps[0].visible_t, &there.maps[0].flags_t})
    *tensor = tensor->to(device);
  if (device.is_cpu()) return there;
  there.ready = std::make_shared<c10::Event>(device.type());
  there.ready->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  return there;
}

std::string publish(const std::string& out, const AttentionRecord& record) {
  gaze::BundleSink sink(gaze::test::all_pictures_in(out));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  sink.consume(record);
  return published;
}

int64_t furthest(const std::string& one, const std::string& two) {
  const at::Tensor difference = gaze::decode(one).to(at::kInt) - gaze::decode(two).to(at::kInt);
  return difference.abs().max().item<int64_t>();
}

}  // namespace

CATCH_TEST_CASE("device: its bundle is the CPU's, and brings back finished frames and figures alone") {
  for (const at::Device device : gaze::test::devices()) {
    for (const bool own_input : {false, true}) {
      CATCH_INFO("picture " << (own_input ? "on the device" : "on the host"));
      const TempDir dir;
      AttentionRecord record = gaze::test::planted(6, 10, {3, 17, 42, -1, 11}, 480, 720);
      record.labels = {" go", "ld", " dog", " flat"};
      AttentionRecord there = on(record, device);
      if (own_input) {
        picture_of(record) = gaze::Picture(at::rand({3, 480, 720}));
        picture_of(there) = gaze::Picture(picture_of(record).tensor.to(device));
        there = on(there, device);
      }
      const std::string wanted = publish(dir / "cpu", record);
      const gaze::ops::Transferred before = gaze::ops::transferred();
      const std::string found = publish(dir / "device", there);
      const gaze::ops::Transferred after = gaze::ops::transferred();
      for (const char* file : {"overlay.png", "words/01-gold.png", "words/02-dog.png", "words/03-flat.png"}) {
        CATCH_INFO(file);
        CATCH_CHECK(furthest(wanted + "/" + file, found + "/" + file) <= 2);
      }
      const auto back = [&](Cargo cargo) { return after.back(cargo).bytes - before.back(cargo).bytes; };
      const bool crosses = !device.is_cpu();
      const int64_t tiles = own_input && crosses ? 5 : 4;  // the picture's own, where the host has none
      CATCH_CHECK(back(Cargo::Frame) == (crosses ? 4 * 480 * 720 * 3 + tiles * 240 * 360 * 3 : 0));
      CATCH_CHECK(back(Cargo::Figures) == (crosses ? 8 * (3 * 5 + 3 * 4 + 2 + 5 * 4 + (own_input ? 3 : 0)) : 0));
      CATCH_CHECK(back(Cargo::Map) + back(Cargo::Picture) + back(Cargo::Table) == 0);
      const int64_t up = after.up(Cargo::Picture).bytes - before.up(Cargo::Picture).bytes;
      CATCH_CHECK(up == (crosses && !own_input ? (480 * 720 + 240 * 360) * 3 : 0));
    }
  }
}

CATCH_TEST_CASE("device: keys become cells there as on the CPU, and nothing more comes back") {
  for (const at::Device device : gaze::test::devices()) {
    for (const bool video : {false, true}) {
      CATCH_INFO((video ? "video" : "tiles and a thumbnail"));
      gaze::Geometry geometry;
      geometry.rows = 3;
      geometry.cols = 5;
      if (video) {
        geometry.video = {.frames = 4, .temporal_merge = 2};
      } else {
        geometry.tiles = {.rows = 2, .cols = 1, .leading = 1};
        geometry.thumbnail = {.rows = 2, .cols = 4, .leading = 1};
      }
      AttentionRecord record = gaze::test::planted(1, geometry.span(), {3, 17, 11}, 60, 100);
      record.maps[0].geometry() = geometry;
      record.keys = geometry.keys();
      const gaze::Composition wanted = gaze::compose(record);
      const gaze::ops::Transferred before = gaze::ops::transferred();
      const gaze::Composition found = gaze::compose(on(record, device));
      const gaze::ops::Transferred after = gaze::ops::transferred();
      CATCH_CHECK(at::allclose(wanted.lift_wc, found.lift_wc.cpu(), 1e-5, 1e-5));
      for (size_t w = 0; w < 3; ++w) {
        CATCH_CHECK(found.words[w].mass == Approx(wanted.words[w].mass));
        CATCH_CHECK(found.words[w].hot_x == wanted.words[w].hot_x);
        CATCH_CHECK(found.words[w].hot_y == wanted.words[w].hot_y);
        CATCH_CHECK(found.words[w].frame_mass.size() == wanted.words[w].frame_mass.size());
      }
      const int64_t figures = 6 * 3 + 2 + 5 * 4 + (video ? 4 * 2 : 0);
      CATCH_CHECK(after.back(Cargo::Figures).bytes - before.back(Cargo::Figures).bytes ==
                  (device.is_cpu() ? 0 : 8 * figures));
    }
  }
}

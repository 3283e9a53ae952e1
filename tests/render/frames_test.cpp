// SPDX-License-Identifier: MIT
// Frames on their way to the host: bounded, in order, read only once they have arrived.
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "fake_device.hpp"
#include "maps/side_stream.hpp"
#include "records.hpp"

namespace {

using gaze::FramePipeline;
using gaze::FrameRing;
using gaze::ops::Cargo;
using gaze::ops::Route;
namespace fake = gaze::test::fake;

const Route kHere{at::kCPU, false};
const Route kApart{at::kCPU, true};

FrameRing::Limits limits(int64_t slots, int64_t bytes, int64_t in_flight) {
  FrameRing::Limits limits;
  limits.slots = slots;
  limits.bytes = bytes;
  limits.in_flight = in_flight;
  return limits;
}

/// What a frame of its own number looks like.
at::Tensor picture(int64_t number, int64_t height, int64_t width) {
  return (at::arange(height * width * 3) + number).remainder(251).to(at::kByte).view({height, width, 3});
}

}  // namespace

CATCH_TEST_CASE("frame ring: where nothing crosses a frame arrives where it was drawn") {
  FrameRing ring(kHere);
  auto slot = ring.take(4, 5);
  CATCH_REQUIRE(slot);
  slot->frame().copy_(picture(1, 4, 5));
  slot->submit();
  CATCH_CHECK(slot->arrived());
  CATCH_CHECK(slot->wait().is_same(slot->frame()));
  CATCH_CHECK_FALSE(ring.stream());
}

CATCH_TEST_CASE("frame ring: a device's frames come back into other memory, and every byte is counted") {
  FrameRing ring(kApart);
  const auto before = gaze::ops::transferred().back(Cargo::Frame);
  auto slot = ring.take(4, 5);
  slot->frame().copy_(picture(2, 4, 5));
  slot->submit();
  CATCH_CHECK_FALSE(slot->wait().is_alias_of(slot->frame()));
  CATCH_CHECK(at::equal(slot->wait(), picture(2, 4, 5)));
  CATCH_CHECK(gaze::ops::transferred().back(Cargo::Frame).bytes - before.bytes == 4 * 5 * 3);
  CATCH_CHECK(gaze::ops::transferred().back(Cargo::Frame).calls - before.calls == 1);
}

CATCH_TEST_CASE("frame ring: slots are bounded and come back") {
  FrameRing ring(kApart, limits(2, 1 << 20, 2));
  {
    auto first = ring.take(4, 5);
    auto second = ring.take(4, 5);
    CATCH_CHECK(second);
    CATCH_CHECK_FALSE(ring.take(4, 5));
  }
  CATCH_CHECK(ring.take(4, 5));
}

CATCH_TEST_CASE("frame ring: bytes are bounded, memory is used again, and one large frame may always pass") {
  FrameRing ring(kApart, limits(8, 1000, 8));
  const void* memory = nullptr;
  {
    auto slot = ring.take(10, 20);  // 600 bytes
    memory = slot->frame().const_data_ptr();
    CATCH_CHECK(ring.held_bytes() == 600);
    CATCH_CHECK_FALSE(ring.take(10, 20));
    CATCH_CHECK(ring.take(10, 10));  // 300
  }
  CATCH_CHECK(ring.held_bytes() == 900);
  {
    auto smaller = ring.take(9, 20);
    CATCH_CHECK(smaller->frame().const_data_ptr() == memory);
    CATCH_CHECK(smaller->frame().sizes() == at::IntArrayRef({9, 20, 3}));
    CATCH_CHECK(ring.held_bytes() == 900);
  }
  {
    auto large = ring.take(100, 100);
    CATCH_CHECK(large);
    CATCH_CHECK(ring.held_bytes() == 30000);
    CATCH_CHECK_FALSE(ring.take(1, 1));
  }
  CATCH_CHECK(ring.held_bytes() == 0);
}

CATCH_TEST_CASE("frame ring: memory made beforehand serves the first frames, once, and none where nothing crosses") {
  FrameRing ring(kApart, limits(8, 1000, 3));
  ring.prepare(10, 10);
  CATCH_CHECK(ring.held_bytes() == 900);
  ring.prepare(10, 10);
  CATCH_CHECK(ring.held_bytes() == 900);
  CATCH_CHECK(ring.take(9, 11));
  CATCH_CHECK(ring.held_bytes() == 900);
  FrameRing large(kApart, limits(8, 1000, 3));
  large.prepare(100, 100);  // larger than all that is kept
  CATCH_CHECK(large.held_bytes() == 0);
  FrameRing here(kHere);
  here.prepare(10, 10);
  CATCH_CHECK(here.held_bytes() == 0);
}

CATCH_TEST_CASE("frames: handed out in order, so many in flight and no more") {
  for (const Route& route : {kHere, kApart}) {
    CATCH_INFO("crosses " << route.crosses);
    FrameRing ring(route, limits(8, 1 << 20, 3));
    FramePipeline frames(ring);
    int64_t drawn = 0;
    int64_t received = 0;
    for (int64_t number = 0; number < 7; ++number) {
      const int64_t height = 3 + number;
      frames.add(
          height, 4,
          [&](at::Tensor& rgb_hwc) {
            rgb_hwc.copy_(picture(number, height, 4));
            ++drawn;
          },
          [&, number, height](const at::Tensor& rgb_hwc) {
            CATCH_CHECK(at::equal(rgb_hwc, picture(number, height, 4)));
            CATCH_CHECK(received++ == number);
            CATCH_CHECK(drawn - number == std::min<int64_t>(route.crosses ? 3 : 1, 7 - number));
          });
    }
    frames.finish();
    CATCH_CHECK(received == 7);
  }
}

CATCH_TEST_CASE("frames: a full ring is waited for while frames of one's own are in it, else refused") {
  FrameRing ring(kApart, limits(2, 1 << 20, 2));
  const auto draw = [](at::Tensor& rgb_hwc) { rgb_hwc.zero_(); };
  FramePipeline one(ring);
  int received = 0;
  one.add(2, 2, draw, [&](const at::Tensor&) { ++received; });
  auto other = ring.take(2, 2);
  one.add(2, 2, draw, [&](const at::Tensor&) { ++received; });
  CATCH_CHECK(received == 1);
  FramePipeline two(ring);
  GAZE_REQUIRE_REFUSED(two.add(2, 2, draw, [](const at::Tensor&) {}), gaze::DropReason::RingFull,
                       "got none of the 2 slots");
  one.finish();
  CATCH_CHECK(received == 2);
  two.add(2, 2, draw, [&](const at::Tensor&) { ++received; });
  two.finish();
  CATCH_CHECK(received == 3);
}

CATCH_TEST_CASE("frames: a frame that cannot be written gives its memory back") {
  FrameRing ring(kApart, limits(2, 1 << 20, 2));
  for (int i = 0; i < 5; ++i) {
    FramePipeline frames(ring);
    const auto fail = [](const at::Tensor&) { throw gaze::Error("full", gaze::DropReason::DiskFull); };
    frames.add(
        2, 2, [](at::Tensor& rgb_hwc) { rgb_hwc.zero_(); }, fail);
    frames.add(
        2, 2, [](at::Tensor& rgb_hwc) { rgb_hwc.zero_(); }, fail);
    GAZE_REQUIRE_REFUSED(frames.finish(), gaze::DropReason::DiskFull, "full");
  }
}

CATCH_TEST_CASE("asynchronous device: frames are read when their event says so, on a stream of their own") {
  const at::Device device = fake::device();
  FrameRing ring(gaze::ops::route_to(device), limits(4, 1 << 20, 3));
  CATCH_REQUIRE(ring.stream());
  fake::log() = {};
  const gaze::SideStream side(ring.stream(), gaze::AttentionRecord());
  FramePipeline frames(ring);
  int64_t received = 0;
  for (int64_t number = 0; number < 9; ++number) {
    const int64_t height = 3 + number % 4;
    frames.add(
        height, 4, [&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(picture(number, height, 4), /*non_blocking=*/true); },
        [&, number, height](const at::Tensor& rgb_hwc) {
          CATCH_CHECK(rgb_hwc.is_pinned());
          CATCH_CHECK(at::equal(rgb_hwc, picture(number, height, 4)));
          ++received;
        });
  }
  frames.finish();
  CATCH_CHECK(received == 9);
  CATCH_CHECK(fake::log().queries > 9);
  CATCH_CHECK(fake::log().synchronous == 0);
  CATCH_CHECK(fake::log().default_jobs == 0);
}

CATCH_TEST_CASE("asynchronous device: a large frame comes back in pieces, between which a model's copies find room") {
  FrameRing ring(gaze::ops::route_to(fake::device()), limits(2, 16 << 20, 2));
  fake::log() = {};
  const gaze::SideStream side(ring.stream(), gaze::AttentionRecord());
  for (const int64_t height : {1, 1024, 1025, 3100}) {
    const at::Tensor want = at::randint(0, 256, {height, 1024 / 3 + 1, 3}, at::kByte);
    auto slot = ring.take(height, 1024 / 3 + 1);
    slot->frame().copy_(want, /*non_blocking=*/true);
    slot->submit();
    CATCH_CHECK(at::equal(slot->wait(), want));
  }
  CATCH_CHECK(fake::log().largest_back == 1 << 20);
}

CATCH_TEST_CASE("asynchronous device: memory that returns with a copy under way carries the next frame whole") {
  const at::Device device = fake::device();
  FrameRing ring(gaze::ops::route_to(device), limits(1, 1 << 20, 1));
  const gaze::SideStream side(ring.stream(), gaze::AttentionRecord());
  for (int64_t number = 0; number < 4; ++number) {
    auto slot = ring.take(4, 4);
    slot->frame().copy_(picture(number, 4, 4), /*non_blocking=*/true);
    slot->submit();
    CATCH_CHECK_FALSE(slot->arrived());
    if (number % 2 == 0) continue;  // a request that failed
    CATCH_CHECK(at::equal(slot->wait(), picture(number, 4, 4)));
  }
}

CATCH_TEST_CASE("asynchronous device: a record is read after its model's stream has filled it") {
  const at::Device device = fake::device();
  fake::run_all();
  gaze::AttentionRecord record;
  record.maps.emplace_back();
  const at::Tensor map_tc = at::arange(12, at::kFloat).view({3, 4});
  record.maps[0].map_tk = fake::upload(map_tc);  // on the default stream, not done yet
  record.maps[0].mass_t = fake::upload(at::ones({3}));
  record.ready = std::make_shared<c10::Event>(device.type());
  record.ready->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  fake::log() = {};
  FrameRing ring(gaze::ops::route_to(device));
  {
    const gaze::SideStream side(ring.stream(), record);
    CATCH_CHECK(at::equal(gaze::fetch(record.maps[0].map_tk, ring.route(), Cargo::Map), map_tc));
  }
  CATCH_CHECK(fake::log().synchronous == 0);
  CATCH_CHECK(c10::impl::VirtualGuardImpl(device.type()).getStream(device).id() == 0);
}

CATCH_TEST_CASE("asynchronous device: no tensor of a record is given back while another stream may read it") {
  const at::Device device = fake::device();
  const FrameRing ring(gaze::ops::route_to(device));
  const auto kept = [&](const gaze::AttentionRecord& record) {
    fake::run_all();
    fake::log() = {};
    const gaze::SideStream side(ring.stream(), record);
    return fake::log().record_streams;
  };
  using gaze::MediumMap;
  at::Tensor MediumMap::*const own[] = {&MediumMap::map_tk, &MediumMap::mass_t, &MediumMap::visible_t,
                                        &MediumMap::flags_t};
  gaze::AttentionRecord all;
  all.maps = {{gaze::PictureMedium(), {}, {}, {}, {}}, {gaze::SoundMedium(), {}, {}, {}, {}}};
  const auto give = [&](at::Tensor& tensor) { tensor = fake::upload(at::ones({3})); };
  for (MediumMap& map : all.maps) {
    for (const auto member : own) {
      gaze::AttentionRecord record;
      give(record.maps.emplace_back().*member);
      give(map.*member);
      CATCH_CHECK(kept(record) == 1);
    }
  }
  gaze::AttentionRecord picture, sound;
  picture.maps.emplace_back().medium = gaze::PictureMedium();
  sound.maps.emplace_back().medium = gaze::SoundMedium();
  for (at::Tensor* tensor : {&picture_of(picture).tensor, &picture_of(all).tensor, &sound_of(sound).samples,
                             &std::get<gaze::SoundMedium>(all.maps[1].medium).sound.samples}) {
    give(*tensor);
  }
  CATCH_CHECK(kept(picture) == 1);
  CATCH_CHECK(kept(sound) == 1);
  CATCH_CHECK(kept(all) == static_cast<int64_t>(all.tensors().size()));
  CATCH_CHECK(all.bytes() == 10 * 3 * 4);
  CATCH_CHECK(kept(gaze::AttentionRecord()) == 0);
}

CATCH_TEST_CASE("frame ring: models on one device share one ring, on the CPU each request has its own") {
  const at::Device device = fake::device();
  CATCH_CHECK(FrameRing::of(device) == FrameRing::of(device));
  CATCH_CHECK(FrameRing::of(device)->stream()->device() == device);
  CATCH_CHECK(FrameRing::of(at::kCPU) != FrameRing::of(at::kCPU));
  CATCH_CHECK_FALSE(FrameRing::of(at::kCPU)->route().crosses);
}

// SPDX-License-Identifier: MIT
// Frames drawn on the device under test come back through the ring: the processor's pixels, and not a byte more.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <c10/core/StreamGuard.h>
#include <gaze/ops/overlay.hpp>
#include <gaze/ops/transfer.hpp>

#include "device/frame_pipeline.hpp"
#include "support/devices.hpp"

using gaze::ops::Cargo;

CATCH_TEST_CASE("frames: those of a device are the processor's, and what comes back is frames x H x W x 3") {
  for (const at::Device device : gaze::test::devices()) {
    const auto ring = gaze::FrameRing::of(device);
    for (const auto& [height, width] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {37, 53}, {270, 480}, {1080, 1920}}) {
      CATCH_CAPTURE(device.str(), height, width);
      const at::Tensor base_hwc = at::randint(0, 256, {height, width, 3}, at::kByte);
      const at::Tensor maps_wyx = at::rand({9, 6, 10});
      const gaze::ops::CellAffine place{10.0 / static_cast<double>(width), -0.25, 6.0 / static_cast<double>(height), 0};
      const auto frame_on = [&](const at::Tensor& base, const at::Tensor& value_yx, at::Tensor& out) {
        gaze::ops::overlay_out(base, value_yx, value_yx > 0.7, place, {.border_pixels = 1}, out);
      };
      const gaze::ops::Transferred before = gaze::ops::transferred();
      {
        const c10::OptionalStreamGuard guard(ring->stream());
        const at::Tensor there_hwc = gaze::ops::to_device(base_hwc, ring->route(), Cargo::Picture);
        const at::Tensor maps_there = gaze::ops::to_device(maps_wyx, ring->route(), Cargo::Table);
        gaze::FramePipeline frames(*ring);
        for (int64_t w = 0; w < maps_wyx.size(0); ++w) {
          at::Tensor want = at::empty_like(base_hwc);
          frame_on(base_hwc, maps_wyx[w], want);
          frames.add(
              height, width, [&, w](at::Tensor& out) { frame_on(there_hwc, maps_there[w], out); },
              [want](const at::Tensor& got) { CATCH_CHECK(at::equal(got, want)); });
        }
        frames.finish();
      }
      const gaze::ops::Transferred after = gaze::ops::transferred();
      const int64_t crosses = device.is_cpu() ? 0 : 1;
      int64_t back = 0;
      for (size_t cargo = 0; cargo < after.to_host.size(); ++cargo) {
        back += after.to_host[cargo].bytes - before.to_host[cargo].bytes;
      }
      CATCH_CHECK(back == crosses * 9 * height * width * 3);
      CATCH_CHECK(after.back(Cargo::Frame).calls - before.back(Cargo::Frame).calls == crosses * 9);
      CATCH_CHECK(after.up(Cargo::Picture).bytes - before.up(Cargo::Picture).bytes == crosses * height * width * 3);
    }
  }
}

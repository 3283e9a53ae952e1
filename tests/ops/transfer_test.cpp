// SPDX-License-Identifier: MIT
// What crosses between host and device is copied and counted, to the byte; what does not cross is neither.
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/transfer.hpp>

#include <thread>
#include <vector>

#include "tensors.hpp"

namespace {

using gaze::ops::Cargo;
using gaze::ops::Route;
using gaze::ops::Traffic;
using gaze::ops::Transferred;

const Route kHere{at::kCPU, false};
const Route kApart{at::kCPU, true};

/// Waits for what was enqueued: tests may, where the library polls.
void settle(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

bool equal(const Traffic& a, const Traffic& b) { return a.calls == b.calls && a.bytes == b.bytes; }

bool unchanged(const Transferred& before, const Transferred& after, Cargo but, bool up) {
  for (size_t i = 0; i < before.to_host.size(); ++i) {
    const bool meant = i == static_cast<size_t>(but);
    if (!(meant && !up) && !equal(before.to_host[i], after.to_host[i])) return false;
    if (!(meant && up) && !equal(before.to_device[i], after.to_device[i])) return false;
  }
  return true;
}

}  // namespace

CATCH_TEST_CASE("transfer: where nothing crosses, tensors are handed through and nothing is counted") {
  const Transferred before = gaze::ops::transferred();
  const at::Tensor host = at::rand({3, 5});
  CATCH_CHECK(gaze::ops::to_device(host, kHere, Cargo::Picture).is_same(host));
  gaze::ops::to_host(host, host, kHere, Cargo::Frame);
  CATCH_CHECK(unchanged(before, gaze::ops::transferred(), Cargo::kCount, true));
  CATCH_CHECK_FALSE(gaze::ops::route_to(at::kCPU).crosses);
  CATCH_CHECK(gaze::ops::route_to(at::Device(at::kCUDA, 1)).crosses);
}

CATCH_TEST_CASE("transfer: each way and each cargo is counted by itself, and the bytes arrive") {
  const at::Tensor source = at::randint(0, 256, {7, 9, 3}, at::kByte);
  for (const at::Device device : gaze::test::devices()) {
    const Route route{device, true};
    for (int i = 0; i < static_cast<int>(Cargo::kCount); ++i) {
      const auto cargo = static_cast<Cargo>(i);
      const Transferred before = gaze::ops::transferred();
      const at::Tensor there = gaze::ops::to_device(source, route, cargo);
      const Transferred between = gaze::ops::transferred();
      CATCH_CHECK_FALSE(there.is_alias_of(source));
      CATCH_CHECK(there.device() == device);
      CATCH_CHECK(between.up(cargo).bytes - before.up(cargo).bytes == 7 * 9 * 3);
      CATCH_CHECK(between.up(cargo).calls - before.up(cargo).calls == 1);
      CATCH_CHECK(unchanged(before, between, cargo, true));
      const at::Tensor back = gaze::ops::host_buffer(there.sizes(), at::kByte, route);
      gaze::ops::to_host(there, back, route, cargo);
      const Transferred after = gaze::ops::transferred();
      settle(device);
      CATCH_CHECK(at::equal(back, source));
      CATCH_CHECK(back.is_pinned() == !device.is_cpu());
      CATCH_CHECK(after.back(cargo).bytes - between.back(cargo).bytes == 7 * 9 * 3);
      CATCH_CHECK(after.back(cargo).calls - between.back(cargo).calls == 1);
      CATCH_CHECK(unchanged(between, after, cargo, false));
    }
  }
}

CATCH_TEST_CASE("transfer: strided tensors cross as the bytes of their values") {
  const at::Tensor source = at::rand({6, 4}).t();
  for (const at::Device device : gaze::test::devices()) {
    const Route route{device, true};
    const Transferred before = gaze::ops::transferred();
    const at::Tensor there = gaze::ops::to_device(source, route, Cargo::Table);
    const at::Tensor part = there.slice(0, 0, 4, 2);
    const at::Tensor back = gaze::ops::host_buffer(part.sizes(), at::kFloat, route);
    gaze::ops::to_host(part, back, route, Cargo::Figures);
    settle(device);
    CATCH_CHECK(at::equal(back, source.slice(0, 0, 4, 2)));
    CATCH_CHECK(gaze::ops::transferred().up(Cargo::Table).bytes - before.up(Cargo::Table).bytes == 6 * 4 * 4);
    CATCH_CHECK(gaze::ops::transferred().back(Cargo::Figures).bytes - before.back(Cargo::Figures).bytes == 2 * 6 * 4);
  }
}

CATCH_TEST_CASE("transfer: a destination that does not fit is refused and not counted") {
  const at::Tensor source = at::rand({2, 3});
  const Transferred before = gaze::ops::transferred();
  const auto refused = [&](const at::Tensor& destination, const Route& route, const char* text) {
    CATCH_REQUIRE_THROWS_WITH(gaze::ops::to_host(source, destination, route, Cargo::Map),
                              Catch::Matchers::Contains("gaze::to_host: ") && Catch::Matchers::Contains(text));
  };
  refused(at::empty({3, 2}), kApart, "expected shape [2, 3], got [3, 2]");
  refused(at::empty({2, 3}, at::kDouble), kApart, "expected Float, got Double");
  refused(at::Tensor(), kApart, "got an undefined one");
  refused(at::empty({3, 2}).t(), kApart, "expected a contiguous tensor, got strides [1, 2]");
  refused(at::empty({2, 3}), kHere, "the source itself where nothing crosses");
  CATCH_CHECK(unchanged(before, gaze::ops::transferred(), Cargo::kCount, true));
}

CATCH_TEST_CASE("transfer: threads that transfer at once lose no count") {
  constexpr int kThreads = 4, kCopies = 500;
  const at::Tensor source = at::rand({8});
  const Transferred before = gaze::ops::transferred();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&source] {
      for (int copy = 0; copy < kCopies; ++copy) gaze::ops::to_device(source, kApart, Cargo::Table);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Transferred after = gaze::ops::transferred();
  CATCH_CHECK(after.up(Cargo::Table).calls - before.up(Cargo::Table).calls == kThreads * kCopies);
  CATCH_CHECK(after.up(Cargo::Table).bytes - before.up(Cargo::Table).bytes == kThreads * kCopies * 32);
}

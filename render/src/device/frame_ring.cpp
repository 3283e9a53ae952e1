// SPDX-License-Identifier: MIT
#include "device/frame_ring.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <gaze/ops/device.hpp>

#include <algorithm>
#include <map>
#include <utility>

#include "device/device_event.hpp"

namespace gaze {

/// Flat bytes, so that a frame of any shape fits that is not larger.
struct FrameRing::Buffer {
  at::Tensor device, host;  // one tensor where nothing crosses
  DeviceEvent arrival;

  [[nodiscard]] int64_t bytes() const { return device.numel(); }
};

FrameRing::Slot::Slot(FrameRing& ring, std::unique_ptr<Buffer> buffer) noexcept
    : ring_(ring), buffer_(std::move(buffer)) {}

void FrameRing::Slot::shape(int64_t height, int64_t width) {
  const auto shaped = [&](const at::Tensor& bytes) {
    return bytes.narrow(0, 0, height * width * 3).view({height, width, 3});
  };
  frame_hwc_ = shaped(buffer_->device);
  host_hwc_ = ring_.route().crosses ? shaped(buffer_->host) : frame_hwc_;
}

FrameRing::Slot::Slot(Slot&& other) noexcept = default;

FrameRing::Slot::~Slot() {
  if (buffer_) ring_.give_back(std::move(buffer_));
}

void FrameRing::Slot::submit() {
  ops::to_host(frame_hwc_, host_hwc_, ring_.route(), ops::Cargo::Frame);
  buffer_->arrival.expect(ring_.route().device);
}

bool FrameRing::Slot::arrived() const { return buffer_->arrival.done(); }

const at::Tensor& FrameRing::Slot::wait() const {
  buffer_->arrival.wait();
  return host_hwc_;
}

FrameRing::FrameRing(const ops::Route& route, Limits limits) : route_(route), limits_(limits) {
  if (route_.device.is_cpu()) return;
  stream_ = ops::own_stream(route_.device);
}

FrameRing::~FrameRing() = default;

std::shared_ptr<FrameRing> FrameRing::of(at::Device device) {
  if (device.is_cpu()) return std::make_shared<FrameRing>(ops::route_to(device));
  // Leaked: workers may outlive static objects, and a device's runtime may end before them.
  static auto* mutex = new std::mutex;
  static auto* rings = new std::map<std::pair<at::DeviceType, at::DeviceIndex>, std::shared_ptr<FrameRing>>;
  const std::lock_guard<std::mutex> lock(*mutex);
  std::shared_ptr<FrameRing>& ring = (*rings)[{device.type(), device.index()}];
  if (!ring) ring = std::make_shared<FrameRing>(ops::route_to(device));
  return ring;
}

std::optional<FrameRing::Slot> FrameRing::take(int64_t height, int64_t width) {
  std::unique_ptr<Buffer> buffer = reserve(height * width * 3);
  if (!buffer) return std::nullopt;
  Slot slot(*this, std::move(buffer));
  slot.shape(height, width);
  return slot;
}

void FrameRing::prepare(int64_t height, int64_t width) {
  if (!route_.crosses || held_bytes() > 0) return;
  std::vector<Slot> slots;
  for (int64_t i = 0; i < limits_.in_flight; ++i) {
    if (std::optional<Slot> slot = take(height, width)) slots.push_back(std::move(*slot));
  }
}

std::unique_ptr<FrameRing::Buffer> FrameRing::reserve(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.reserve(idle_.size() + static_cast<size_t>(in_use_) + 1);  // giving back must not fail
  if (route_.crosses && in_use_ == limits_.slots) return nullptr;
  std::unique_ptr<Buffer> buffer = reuse(bytes);
  if (!buffer) {
    drop_idle(limits_.bytes - bytes);
    if (route_.crosses && in_use_ > 0 && held_bytes_ + bytes > limits_.bytes) return nullptr;
    // Kept between requests: an inference tensor could not be written outside inference mode.
    const c10::InferenceMode normal(false);
    buffer = std::make_unique<Buffer>();
    buffer->device = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(route_.device));
    buffer->host = route_.crosses ? ops::host_buffer({bytes}, at::kByte, route_) : buffer->device;
    held_bytes_ += bytes;
  }
  ++in_use_;
  return buffer;
}

int64_t FrameRing::held_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return held_bytes_;
}

// The smallest one that is large enough.
std::unique_ptr<FrameRing::Buffer> FrameRing::reuse(int64_t bytes) {
  auto best = idle_.end();
  for (auto each = idle_.begin(); each != idle_.end(); ++each) {
    if ((*each)->bytes() >= bytes && (best == idle_.end() || (*each)->bytes() < (*best)->bytes())) best = each;
  }
  if (best == idle_.end()) return nullptr;
  std::unique_ptr<Buffer> buffer = std::move(*best);
  idle_.erase(best);
  return buffer;
}

void FrameRing::drop_idle(int64_t until) {
  while (held_bytes_ > until && !idle_.empty()) {
    held_bytes_ -= idle_.back()->bytes();
    idle_.pop_back();
  }
}

void FrameRing::give_back(std::unique_ptr<Buffer> buffer) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  --in_use_;
  idle_.push_back(std::move(buffer));
  drop_idle(limits_.bytes);
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "device/device_event.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace gaze {

void DeviceEvent::expect(at::Device device) {
  if (device.is_cpu()) return;
  if (!event_) event_.emplace(device.type());
  event_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void DeviceEvent::wait() const {
  // Small copies take microseconds, large frames a millisecond.
  std::chrono::microseconds pause(20);
  while (!done()) {
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::microseconds(1000));
  }
}

at::Tensor fetch(const at::Tensor& source, const ops::Route& route, ops::Cargo cargo) {
  if (!route.crosses) return source;
  at::Tensor host = ops::host_buffer(source.sizes(), source.scalar_type(), route);
  ops::to_host(source, host, route, cargo);
  DeviceEvent arrival;
  arrival.expect(route.device);
  arrival.wait();
  return host;
}

}  // namespace gaze

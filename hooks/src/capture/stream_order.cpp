// SPDX-License-Identifier: MIT
#include "capture/stream_order.hpp"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/device.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <mutex>

namespace gaze {

void StreamOrder::follow(at::Device device, Held held) {
  if (device.is_cpu()) return;
  const c10::Stream now = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  const auto last =
      std::find_if(last_.begin(), last_.end(), [&](const c10::Stream& each) { return each.device() == device; });
  if (last == last_.end()) {
    last_.push_back(now);
    return;
  }
  if (*last == now) return;
  {
    const c10::StreamGuard there(*last);
    // An event of its would belong to the graph, and whoever waits for it as well.
    if (ops::capturing(device)) {
      throw Error(
          "capture: expected the stream of the request's earlier calls to run its work, got one that records a CUDA "
          "graph. Finish the request before that stream records.",
          DropReason::StreamCapturing);
    }
  }
  c10::Event before(device.type());
  before.record(*last);
  before.block(now);
  *last = now;
  held([&](const at::Tensor& tensor) {
    if (tensor.defined() && tensor.device() == device) tensor.record_stream(now);
  });
}

void refuse_while_capturing(at::Device device) {
  if (!ops::capturing(device)) return;
  throw Error(
      "capture: expected a stream that runs its work, got one that records a CUDA graph: the recording stays as the "
      "host made it, without taps. Run one request outside of the graph to see its attention.",
      DropReason::StreamCapturing);
}

c10::Stream worker_stream(at::Device device) {
  // Leaked: workers may outlive static objects.
  static auto* const mutex = new std::mutex;
  static auto* const streams = new std::vector<c10::Stream>;
  const std::lock_guard<std::mutex> lock(*mutex);
  const auto known =
      std::find_if(streams->begin(), streams->end(), [&](const c10::Stream& each) { return each.device() == device; });
  return known != streams->end() ? *known : streams->emplace_back(ops::own_stream(device));
}

void prepare_to_read(const AttentionRecord& record) {
  for (const at::Tensor& tensor : record.tensors()) ops::allow_calls_while_capturing(tensor.device());
}

}  // namespace gaze

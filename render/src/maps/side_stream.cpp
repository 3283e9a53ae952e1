// SPDX-License-Identifier: MIT
#include "maps/side_stream.hpp"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace gaze {

SideStream::SideStream(const std::optional<c10::Stream>& stream, const AttentionRecord& record) {
  if (!stream) return;
  guard_.reset_stream(*stream);
  if (record.ready) record.ready->block(*stream);
  for (const at::Tensor& tensor : record.tensors()) {
    // They were allocated on the model's stream, whose next tensors would else take their place at once.
    if (tensor.device() == stream->device()) tensor.record_stream(*stream);
  }
}

void wait_on_stream(const AttentionRecord& record) {
  const at::Device device = record.device();
  if (!record.ready || device.is_cpu()) return;
  record.ready->block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

}  // namespace gaze

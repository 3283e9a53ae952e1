// SPDX-License-Identifier: MIT
// Work of one request on several streams of a device, and of a worker beside streams that record. Knows no TorchScript.
#pragma once

#include <c10/core/Stream.h>
#include <c10/util/FunctionRef.h>
#include <gaze/render/record.hpp>

#include <vector>

namespace gaze {

/// The streams a request's memory was last worked on, one per device. The host may call the model on one stream and
/// finish on another, which its device runs in any order, and torch's allocator takes memory back in the order of the
/// stream it was allocated on alone.
class StreamOrder {
 public:
  using Tensor = c10::function_ref<void(const at::Tensor&)>;
  /// Calls back with each tensor that the request holds, on whichever device; undefined ones too.
  using Held = c10::function_ref<void(Tensor)>;

  /// Before this thread's current stream of `device` works on what is held there. Where another one did so last, the
  /// current one waits for it, and the memory is not used again before the current one is done with it. The host waits
  /// for nothing.
  /// Cost: a look at the current stream; on a change an event, and a call of the allocator for each tensor.
  /// @throws gaze::Error StreamCapturing when the other stream records a CUDA graph by now.
  void follow(at::Device device, Held held);
  /// One that was followed on each device.
  [[nodiscard]] const std::vector<c10::Stream>& streams() const { return last_; }

 private:
  std::vector<c10::Stream> last_;
};

/// @throws gaze::Error (StreamCapturing) when the current stream of `device` records a CUDA graph: what is launched
/// then would run at every replay, and nothing may be allocated.
void refuse_while_capturing(at::Device device);

/// Where workers complete records: a stream that nobody else has, the same one at every call.
[[nodiscard]] c10::Stream worker_stream(at::Device device);

/// Before this thread, which records no CUDA graph, reads the record: what it calls then breaks no recording of others.
void prepare_to_read(const AttentionRecord& record);

}  // namespace gaze

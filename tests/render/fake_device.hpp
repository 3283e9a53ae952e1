// SPDX-License-Identifier: MIT
// A device apart that really is asynchronous, in host memory: work on its streams runs only when somebody asks an event
// whether it is done, one step at a time. Shows what reads too early, or memory that is used again too early, which a
// CPU never does. It has every operator that the processor has, but for those that resize a result.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace gaze::test::fake {

/// One of two devices; made known to torch by the first call, as a backend of its own, or as CUDA where
/// GAZE_FAKE_CUDA is defined.
at::Device device(c10::DeviceIndex index = 0);

struct Log {
  int64_t synchronous = 0;     ///< times the host waited
  int64_t queries = 0;         ///< times an event was asked
  int64_t record_streams = 0;  ///< tensors whose memory was kept for another stream
  int64_t allocations = 0;     ///< of device memory
  int64_t live_bytes = 0;      ///< allocated and not given back
  int64_t default_jobs = 0;    ///< work that ran on the default stream, which is the model's
  int64_t largest_back = 0;    ///< bytes of the largest copy to the host
};
Log& log();

c10::Stream new_stream();
/// The stream that goes on only where no other can; the default stream unless it is told.
void make_slowest(c10::StreamId stream);

/// Enqueues a kernel on the current stream.
void launch(const std::function<void()>& kernel);
/// Copies on the current stream.
at::Tensor upload(const at::Tensor& host);
/// A CUDA graph: from begin to end, what is enqueued on the stream that was current at its begin is kept, not done.
class Graph {
 public:
  void begin();
  void end();
  /// Enqueues it all on the current stream.
  void replay() const;

 private:
  std::vector<std::function<bool()>> jobs_;
};

/// Does all work that can be done.
void run_all();

}  // namespace gaze::test::fake

// SPDX-License-Identifier: MIT
// A device apart that really is asynchronous, in host memory: work on its streams runs only when somebody asks an event
// whether it is done, one step at a time. Shows what reads too early, which a CPU never does.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>

namespace gaze::test::fake {

/// The device; made known to torch by the first call. One process holds one.
at::Device device();

struct Log {
  int64_t synchronous = 0;     ///< times the host waited
  int64_t queries = 0;         ///< times an event was asked
  int64_t record_streams = 0;  ///< tensors whose memory was kept for another stream
  int64_t default_jobs = 0;    ///< work that ran on the default stream, which is the model's
};
Log& log();

/// Copies on the current stream.
at::Tensor upload(const at::Tensor& host);
/// Does all work that can be done.
void run_all();

}  // namespace gaze::test::fake

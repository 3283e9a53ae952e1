// SPDX-License-Identifier: MIT
// Device memory that the launches of one call share.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstddef>

namespace gaze::ops {

/// Memory of one call on one stream, which no other call has before this object is gone: threads that share a stream
/// enqueue their launches in any order. Keep it until the last launch that uses it is enqueued; whatever comes later on
/// the stream may then have the memory. Takes no lock while it lives.
/// Cost: two short locks; memory of a size that was needed before is there, as far as kKeptBytes go.
class Scratch {
 public:
  /// What is kept for the next calls, of all streams together. More than one row needs, less than a deferred pass over
  /// long prompts, which is rare enough to ask torch's allocator.
  static constexpr std::size_t kKeptBytes = std::size_t{32} << 20;

  enum class Use {
    Call,  ///< until what is enqueued meanwhile has run
    Graph  ///< at every replay of what is recorded meanwhile: never what is kept for calls, and never kept for them
  };
  /// Precondition: `stream` is the current one of its device. @throws c10::OutOfMemoryError
  Scratch(c10::Stream stream, std::size_t bytes, Use use = Use::Call);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] void* data() const { return memory_.defined() ? memory_.mutable_data_ptr() : nullptr; }

 private:
  const c10::Stream stream_;
  const Use use_;
  at::Tensor memory_;
};

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
// Work on a record beside the model's own, in the right order.
#pragma once

#include <c10/core/StreamGuard.h>
#include <gaze/render/record.hpp>

#include <optional>

namespace gaze {

/// While it lives, this thread's work for a device runs on `stream`, after everything that filled the record, and the
/// record's memory is not used again before that work is done. Does nothing without a stream.
class SideStream {
 public:
  SideStream(const std::optional<c10::Stream>& stream, const AttentionRecord& record);

 private:
  c10::OptionalStreamGuard guard_;
};

/// Lets this thread's current stream of the record's device wait until the record is filled.
void wait_on_stream(const AttentionRecord& record);

}  // namespace gaze

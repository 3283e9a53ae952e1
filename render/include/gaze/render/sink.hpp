// SPDX-License-Identifier: MIT
// What consumes records, on the worker thread.
#pragma once

#include <gaze/render/record.hpp>

namespace gaze {

class GAZE_API Sink {
 public:
  virtual ~Sink() = default;
  /// Called on the worker thread, one record at a time. May throw: gaze::Error's reason is counted, anything else
  /// counts as RenderError; the host is never affected. Throwing DropReason-carrying errors after an error bundle was
  /// written is right: the request counts as dropped. One that takes long looks at `gaze::stopping()` now and then, and
  /// returns or throws once it is true: shutdown and the end of the process do not wait for ever.
  virtual void consume(const AttentionRecord& record) = 0;
  /// Called on the worker thread for a record that waits behind others, before its own consume(): gives up memory that
  /// this sink will not need, so that the queue's budget holds more answers. Without it a record waits as it is. What
  /// it throws is ignored; the record must then be as it was.
  virtual void compact(AttentionRecord& record) { (void)record; }
  /// Called at attach, on the host's thread, for a device other than the CPU that the model's parameters lie on: makes
  /// what the first record would wait for. What it throws is ignored.
  virtual void prepare(at::Device device) { (void)device; }
  /// Called on the worker thread about once a minute, whether records come or not: looks after what the sink keeps.
  /// What it throws is ignored.
  virtual void tidy() {}
};

}  // namespace gaze

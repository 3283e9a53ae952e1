// SPDX-License-Identifier: MIT
// Gaze: attention overlays from the model that is answering. The one header a host includes.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/hooks/control.hpp>
#include <gaze/hooks/options.hpp>
#include <gaze/hooks/request.hpp>
#include <gaze/hooks/sites.hpp>
#include <gaze/hooks/stats.hpp>

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace c10 {
struct IValue;
}

namespace torch::inductor {
class AOTIModelPackageLoader;
}

namespace gaze {

class FrontEnd;
class Recorder;
struct BoundRequest;
struct ModelDescription;
struct RequestState;
struct StepSite;

/// An open request. Belongs to the thread that opened it; follows prim::fork. Movable, not copyable.
/// Every member is noexcept: what cannot be done is dropped and counted.
class GAZE_API Request {
 public:
  Request() noexcept;
  Request(Request&&) noexcept;
  Request& operator=(Request&&) noexcept;
  ~Request();  ///< without finish(): discarded and counted

  /// Text of the captured tokens, in order; may be fewer than were captured, not more.
  void label(std::vector<std::string> tokens, size_t row = 0) noexcept;
  /// Ids of the captured tokens, without the prompt's: as many as were captured, or fewer. Their text comes from the
  /// profile's vocabulary, ending at its end token.
  void tokens(const std::vector<int64_t>& ids, size_t row = 0) noexcept;
  /// The batch's rows were gathered anew, as a beam search does after a step: row i goes on from what row rows[i] was,
  /// its spec, labels and captured tokens included. Rows may be named twice or left out, and the batch may grow or
  /// shrink: {0, 0, 0} after a prefill of one row, {best} before finish() to keep one answer. Rows the batch shrinks by
  /// are counted as superseded. Call it before the gathered cache is written over the old one. A row out of range ends
  /// the capture and says so. Cost: one copy of its tokens' maps for each row named again, on the models' current
  /// streams; waits for nothing.
  void reorder(const std::vector<int64_t>& rows) noexcept;
  /// A search has ended whose batch was not followed step by step: answer i is left, whose token t was made in row
  /// rows[i][t] of the batch at that step. For searches that keep finished answers apart while others go on. While the
  /// search lasts, call `reorder` with every row in its own place before a gathered cache is written over the old one.
  /// Its spec and labels are those of its last token's row. Refused of a rollout; detail of heads is left out.
  void reorder_tokens(const std::vector<std::vector<int64_t>>& rows) noexcept;
  /// The recording, where it is only known by now: sound that was fed while the model decoded. Kept as it is until the
  /// request is rendered: a tensor's memory must not be written over.
  void sound(Sound recording, size_t row = 0) noexcept;
  /// From the next token on the model hears another part of the sound: time 0 of the keys lies `start_seconds` after
  /// the sound's beginning. For sounds longer than the model's window, part by part, and for streams. Starts ascend.
  /// @param seconds  of the sound that the model is given, where what follows is padding: keys behind it are not drawn
  void window(double start_seconds, double seconds = std::numeric_limits<double>::infinity()) noexcept;
  /// Nothing of this row is kept: what was copied of it is let go of, and it leaves no bundle. Before finish().
  void opt_out(size_t row = 0) noexcept;
  /// Closes the request and hands it to the worker. Does not wait, does no I/O.
  void finish() noexcept;
  /// True while the request is being captured.
  [[nodiscard]] explicit operator bool() const noexcept;
  /// True while this row of the batch is: others may have been left alone.
  [[nodiscard]] bool captures(size_t row) const noexcept;

 private:
  friend class Gaze;
  explicit Request(std::shared_ptr<BoundRequest> bound) noexcept;
  [[nodiscard]] RequestState* captured() const noexcept;
  void close() noexcept;
  std::shared_ptr<BoundRequest> bound_;
};

/// Capture of one attached module. Inert when capture is off. Thread-safe; movable, not copyable.
class GAZE_API Gaze {
 public:
  Gaze() noexcept;
  Gaze(Gaze&&) noexcept;
  Gaze& operator=(Gaze&&) noexcept;
  ~Gaze();  ///< shutdown(5 s)

  /// True when taps are in place and requests are captured.
  [[nodiscard]] bool enabled() const noexcept;
  /// Opens a request on this thread. Cost: one small allocation, and a copy of the picture when it is a tensor.
  [[nodiscard]] Request begin(RequestSpec spec = {}) noexcept;
  /// One request per batch row, in the batch's order.
  [[nodiscard]] Request begin(std::vector<RequestSpec> batch) noexcept;
  /// A step of the model begins on this thread, of a capture by attach_dispatcher: attention calls are counted from the
  /// first one of a step again. Does nothing for others.
  void step() noexcept;
  /// Runs `call` and returns the weights of every attention call it made on this thread, of all sites, profile or not.
  /// Costs what materialised attention costs: for inspection, not for serving. Exceptions of `call` pass through.
  [[nodiscard]] std::vector<ExactWeights> capture_weights(const std::function<void()>& call);
  /// From now on this decides which requests are captured and which answers are kept, where no control file says
  /// otherwise. `next` is counted anew where it differs from what was set before. Open requests go on. Any thread.
  /// @throws gaze::Error for values out of their range, and for the 4097th pair of patterns
  void control(const Control& control);
  /// What decides now, the control files' say included, with what is left of `next`.
  [[nodiscard]] Control control() const;
  [[nodiscard]] Stats stats() const noexcept;
  /// Waits until everything finished so far is written, at most `timeout`; true when it is.
  bool flush(std::chrono::milliseconds timeout = std::chrono::seconds(60)) noexcept;
  /// Stops the worker within `timeout`; what is still queued is dropped and counted. Idempotent.
  void shutdown(std::chrono::milliseconds timeout = std::chrono::seconds(5)) noexcept;

 private:
  friend class FrontEnd;
  friend GAZE_API Gaze attach(torch::jit::Module& module, Options options,
                              const std::vector<c10::IValue>* example_inputs);
  friend GAZE_API Gaze attach(const ModelDescription&, Options);
  friend GAZE_API Gaze attach_dispatcher(Options, std::vector<StepSite>);
  friend GAZE_API Gaze attach(torch::inductor::AOTIModelPackageLoader&, Options);
  explicit Gaze(std::shared_ptr<Recorder> recorder) noexcept;
  std::shared_ptr<Recorder> recorder_;
};

/// Places taps in every method of `module`, for all autocast states, and starts one worker thread.
/// Does nothing, and returns an inert handle, unless capture is on (GAZE_CAPTURE=1 or options.capture).
/// Call it at set-up, while no other thread runs the module. `graph()`, `code` and `save()` stay as they were.
///
/// @param example_inputs  arguments of `forward`, or of the one method that takes them of those that the profile's
///                        image or sound names; when given, the module runs off, on and off, and capture stays off,
///                        with a log line and SelfCheck counted, unless the three results are byte-identical. A profile
///                        that says `verify` needs them, and `gaze::verify` runs on them first.
/// @throws gaze::Error when capture is on and the module has no attention, the profile does not fit it, cannot be read
///         or is not verified; the module is then untouched.
GAZE_API Gaze attach(torch::jit::Module& module, Options options = {},
                     const std::vector<c10::IValue>* example_inputs = nullptr);

/// What all captures of this process count, in Prometheus' text format 0.0.4 (docs/metrics.md). Any thread; never on
/// the way of a request.
GAZE_API std::string metrics_text();

}  // namespace gaze

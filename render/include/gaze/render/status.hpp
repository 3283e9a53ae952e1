// SPDX-License-Identifier: MIT
// The closed list of reasons for which something is dropped, and the one exception type of set-up and rendering.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace gaze {

/// Why a request, a token or a picture was dropped. Closed list: every drop is counted under one of these.
enum class DropReason {
  NotFinished,        ///< request destroyed without finish()
  NotSampled,         ///< sampling decided against it
  QueueBytes,         ///< the queue's byte budget was used up
  TokenLimit,         ///< more token rows than the accumulator holds (tokens, not requests)
  HostBudget,         ///< memory for the request could not be had
  HookException,      ///< a tap failed internally
  NoAttention,        ///< no selected site ran while the request was open
  GridMismatch,       ///< geometry does not fit the number of keys
  ShapeMismatch,      ///< batch, heads or keys changed within a request
  NonFinite,          ///< NaN or infinity in the weights
  RowSum,             ///< rows do not sum to 1
  Labels,             ///< another number of labels than of tokens' rows, or no row that is a token
  DecodeFailed,       ///< the base picture could not be decoded or has another size than stated
  RenderError,        ///< composing failed
  OutDir,             ///< the output directory cannot be made or written
  DiskFull,           ///< no space left
  IoError,            ///< any other failure to write
  Shutdown,           ///< still queued when the shutdown deadline passed
  SelfCheck,          ///< attach's off/on/off check found a difference: capture stays off
  RingFull,           ///< every slot that brings frames back from the device was taken by other requests
  CudaOom,            ///< the device had no memory left for the capture
  CudaError,          ///< the CUDA runtime reported another failure
  StreamCapturing,    ///< what a CUDA graph records or replays cannot be captured
  NoRequest,          ///< a decode step for which the host opened no request: of which answer it is cannot be told
  UnsupportedTensor,  ///< attention over tensors that a tap cannot read: nested, sparse, quantized, wrapped
  SiteOrder,          ///< of which site a call without a name is cannot be told
  Superseded,         ///< a batch row that Request::reorder left out: a beam the host gave up
  OptedOut,           ///< the host said that this request is not to be captured
  Withdrawn,          ///< the same, said after it had begun
  RateLimited,        ///< more requests in a second than may be captured
  Breaker,            ///< what was captured before could not be kept, time after time: tried again a little later
  NotKept,            ///< captured, and an answer that nobody asked to keep
  RedactionFailed,    ///< what was to be blacked out could not be
  Quota,              ///< the free space that bundles must leave cannot be had, whatever is deleted
  Internal,           ///< a bug in Gaze
  kCount
};

/// snake_case name of a reason, as in request.json and the statistics.
GAZE_API const char* name(DropReason reason) noexcept;

/// Thrown by set-up and rendering; never on the host's hot path.
/// The text names the argument, what was expected, what was found and how to fix it.
class GAZE_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text, DropReason reason = DropReason::Internal)
      : std::runtime_error(text), reason_(reason) {}
  [[nodiscard]] DropReason reason() const noexcept { return reason_; }

 private:
  DropReason reason_;
};

/// Why something is dropped whose work threw, by the type of the exception that is being handled: gaze::Error's own
/// reason, CudaOom, CudaError, HostBudget; `otherwise` for all else, and where nothing is being handled. For use in a
/// catch block; allocates nothing.
GAZE_API DropReason reason_of_current_exception(DropReason otherwise) noexcept;

/// What the exception that is being handled says, without a backtrace.
/// @param text  `size` > 0 bytes: filled as far as whole UTF-8 characters fit, and ended with a NUL
/// For use in a catch block; allocates nothing.
GAZE_API void text_of_current_exception(char* text, size_t size) noexcept;

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Pictures, recordings and prompt ids on their way into a request: from the host, or from the model's own inputs. Knows
// no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "capture/prompt_spans.hpp"
#include "request/recorder.hpp"
#include "request/request_row.hpp"

namespace gaze {

/// Recorded on the current stream of `device`; null for the processor.
std::shared_ptr<c10::Event> event_on(at::Device device);

/// "call-1", ...: of this process.
std::string generated_id();

class MediaIntake {
 public:
  /// @param automatic  nobody opened the request: it has as many rows as the first call's batch
  MediaIntake(const Recorder& recorder, bool automatic) : recorder_(recorder), automatic_(automatic) {}

  /// A row whose media are copied: the host may reuse its buffers as soon as begin() returns.
  /// @throws gaze::Error (StreamCapturing); the row is there all the same
  /// @param captured  false: nothing of it is kept
  void open(RequestSpec spec, bool captured, std::vector<RequestRow>& rows);
  /// An argument of a running method. @param placed  the first attention was seen: no row is added any more
  void take(int64_t method, int64_t argument, const at::Tensor& input, bool placed, std::vector<RequestRow>& rows);
  /// Adds rows up to the batch where nobody said how many there are.
  void fit(int64_t batch, std::vector<RequestRow>& rows) const;
  void sound(Sound recording, RequestRow& row) const;

  [[nodiscard]] const PromptSpans& prompt_spans() const noexcept { return prompt_spans_; }

 private:
  /// Rows of a batch that is the request's, or becomes it; 0 of another one.
  int64_t rows_of(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const;
  void take_pictures(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const;
  void take_sounds(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const;
  void take_ids(const at::Tensor& input, std::vector<RequestRow>& rows);
  void take_text(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const;

  const Recorder& recorder_;
  const bool automatic_;
  PromptSpans prompt_spans_;
};

}  // namespace gaze

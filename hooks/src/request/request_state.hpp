// SPDX-License-Identifier: MIT
// One open request: what the host and the model's calls tell of it, under one lock. Knows no TorchScript.
#pragma once

#include <gaze/hooks/request.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "capture/attention_call.hpp"
#include "capture/packed_attention.hpp"
#include "capture/recorded_step.hpp"
#include "capture/token_capture.hpp"
#include "request/media_intake.hpp"
#include "request/record_builder.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"
#include "request/request_row.hpp"

namespace gaze {

struct RequestState : BoundRequest {
  /// A request that the host opened: records of the rows that are captured go to the worker.
  RequestState(std::shared_ptr<Recorder> recorder, std::vector<RequestSpec> specs, const Choices& choices);
  /// One that nobody opened.
  explicit RequestState(std::shared_ptr<Recorder> recorder);
  /// Calls of which only what `capture` keeps is wanted: counted nowhere.
  RequestState(std::shared_ptr<Recorder> recorder, std::unique_ptr<Capture> capture);
  ~RequestState();

  /// The method that is running now.
  void run(int64_t method) noexcept { method_.store(method, std::memory_order_relaxed); }
  /// -1: none ran yet.
  [[nodiscard]] int64_t method() const noexcept { return method_.load(std::memory_order_relaxed); }

  /// Attention weights, or what they are recomputed from, of one call. Any failure ends the capture of this request
  /// only.
  void push(int64_t site, const at::Tensor& weights, const WeightsLayout& layout) noexcept;
  void push(int64_t site, const ops::Scores& scores) noexcept;
  void push(int64_t site, const PackedAttention& packed) noexcept;
  /// An argument of the running method: kept when it is the picture and the host gave none, read when it is the
  /// prompt's ids.
  void offer(int64_t argument, const at::Tensor& input) noexcept;

  /// A method of the model begins, and returns or throws.
  void enter_method() noexcept;
  void leave_method(bool threw) noexcept;

  /// Of calls without names: the host says that a step begins.
  void step() noexcept;
  void finish() noexcept;
  /// As finish, on a thread that never records a CUDA graph: what it calls breaks no recording of others.
  void finish_beside_recordings() noexcept;
  /// Ends its capture, with what is wrong.
  void refuse(DropReason reason, const std::string& text) noexcept;
  void refuse_with_current_exception() noexcept { fail_with_current_exception(); }
  void discard(DropReason reason = DropReason::NotFinished) noexcept;

  void label(std::vector<std::string> tokens, size_t row) noexcept;
  void tokens(const std::vector<int64_t>& ids, size_t row) noexcept;
  void reorder(const std::vector<int64_t>& from) noexcept;
  void reorder_tokens(const std::vector<std::vector<int64_t>>& from) noexcept;
  void sound(Sound recording, size_t row) noexcept;
  void window(double start_seconds, double seconds) noexcept;
  void opt_out(size_t row) noexcept;
  [[nodiscard]] bool captures(size_t row) const noexcept;

  /// What it was made with. To be read when no call runs any more.
  [[nodiscard]] Capture& capture() noexcept { return *capture_; }
  /// Why the capture ended early; empty: it did not.
  [[nodiscard]] std::string error() const;

 private:
  RequestState(std::shared_ptr<Recorder> recorder, std::vector<RequestSpec> specs, const Choices& choices,
               bool automatic);
  /// @param named  every row that is asked for
  /// @param from   of each row that is left, the one whose spec and labels it has
  void regroup(const std::vector<int64_t>& named, const std::vector<int64_t>& from,
               c10::function_ref<void(TokenCapture&)> act) noexcept;
  [[nodiscard]] bool wants(int64_t site) const noexcept {
    return !failed() && (capture_->wants(site) || wants_text(site));
  }
  [[nodiscard]] bool wants_text(int64_t site) const noexcept {
    return text_ && text_open_.load(std::memory_order_acquire) && text_->wants(site);
  }
  /// @throws gaze::Error (UnsupportedTensor) unless a tap may look into it
  void accept(int64_t site, const char* what, const at::Tensor& tensor) const;
  /// Under the lock, while the request is open.
  void take(int64_t site, const AttentionCall& call);
  void place(TokenCapture& tokens, const AttentionCall& call);
  /// The same where the call's stream records a CUDA graph: what is launched now runs at every replay.
  void record(int64_t site, const AttentionCall& call);
  [[nodiscard]] std::shared_ptr<ReplayedRows> rows_for_graph(TokenCapture& tokens, const AttentionCall& call);
  /// What replays added; null: there are none. Places the rows where no call did.
  [[nodiscard]] std::shared_ptr<const ReplayedCopies> replayed(TokenCapture& tokens, const ReplayClaim& claim);
  [[nodiscard]] bool claims_replays() const noexcept { return replays && !replays->rows.empty(); }
  /// Of a text beside another medium, whose map is as good without: what fails ends the text alone.
  void with_text(c10::function_ref<void(TokenCapture&)> act) noexcept;
  void keep_encoder(int64_t site, const PackedAttention& packed);
  /// Adds what waits; nothing where there is none. @return tokens captured so far
  int64_t add_waiting();
  void fail(DropReason reason, std::string text) noexcept;
  /// For what is said where no memory may be left; keeps the pointer.
  void fail_plainly(DropReason reason, const char* literal) noexcept;
  /// Ends the capture with what the exception that is being handled says.
  void fail_with_current_exception() noexcept;
  /// With the current exception, unless a request can do without the site.
  void fail_at(int64_t site) noexcept;
  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  /// Rows that are captured.
  [[nodiscard]] int64_t captured_rows() const;
  void send(TokenCapture& capture, std::shared_ptr<const ReplayedCopies> replayed) noexcept;
  void release() noexcept;

  const bool automatic_;
  const bool counted_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::atomic<int64_t> method_{-1};
  std::atomic<int64_t> tap_nanoseconds_{0};

  mutable std::mutex error_mutex_;  // of the next three; taken last
  std::string error_;
  const char* error_literal_ = nullptr;
  DropReason error_reason_ = DropReason::Internal;
  std::atomic<bool> failed_{false};  // set when they are whole

  mutable std::mutex mutex_;  // of all that follows: forks of one request may reach two sites at once
  std::vector<RequestRow> rows_;
  MediaIntake intake_;
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<RecordedStep> recorded_;  // of the running method
  std::unique_ptr<TokenCapture> text_;      // beside it; null: none, or the text is the only medium
  std::atomic<bool> text_open_{true};
  std::string text_left_out_;  // why
  std::vector<SoundWindow> windows_;
  bool windows_moved_ = false;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// One open request: which rows of which calls are added to which accumulator. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/hooks/request.hpp>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/reduce.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capture/accumulator_rows.hpp"
#include "capture/deferred_queries.hpp"
#include "capture/latent_maps.hpp"
#include "capture/packed_attention.hpp"
#include "capture/prompt_spans.hpp"
#include "capture/rollout_rows.hpp"
#include "capture/stream_order.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"

namespace gaze {

/// What the axes of tapped weights are. Axes count from the end.
struct WeightsLayout {
  int64_t query_axis = -2;  ///< 0: none, there is one query
  int64_t key_axis = -1;
  int64_t heads = 0;     ///< of an axis that merges batch and heads; 0: not known
  bool partial = false;  ///< rows may sum to less than 1
};

/// Rows of one call of a selected site, of every head by itself.
struct HeadRows {
  int64_t site = 0;
  int64_t batch = 0;   ///< batch row
  at::Tensor map_hts;  ///< float32 [heads, tokens, span] on the CPU: weights of the picture's keys
};

struct RequestState : BoundRequest {
  /// Reduce: a request. Exact: every call's weights. Heads: the answer's rows of every head.
  enum class Mode { Reduce, Exact, Heads };

  RequestState(std::shared_ptr<Recorder> recorder, std::vector<RequestSpec> specs, bool automatic,
               Mode mode = Mode::Reduce);
  ~RequestState();

  /// The method that is running now.
  void run(int64_t method) noexcept { method_.store(method, std::memory_order_relaxed); }

  /// Attention weights, or what they are recomputed from, of one call. Any failure ends the capture of this request
  /// only.
  void push(int64_t site, const at::Tensor& weights, const WeightsLayout& layout) noexcept;
  void push(int64_t site, const ops::Scores& scores) noexcept;
  void push(int64_t site, const PackedAttention& packed) noexcept;
  /// An argument of the running method: kept when it is the picture and the host gave none, read when it is the
  /// prompt's ids.
  void offer(int64_t argument, const at::Tensor& input) noexcept;

  void finish() noexcept;
  /// As finish, on a thread that never records a CUDA graph: what it calls breaks no recording of others.
  void finish_beside_recordings() noexcept;
  void discard(DropReason reason = DropReason::NotFinished) noexcept;

  void label(std::vector<std::string> tokens, size_t row) noexcept;
  void tokens(const std::vector<int64_t>& ids, size_t row) noexcept;
  void reorder(const std::vector<int64_t>& from) noexcept;
  void sound(Sound recording, size_t row) noexcept;
  void window(double start_seconds, double seconds) noexcept;

  /// Resolved, once the first call was seen, of every batch row.
  [[nodiscard]] std::vector<std::optional<Geometry>> geometries() const;

  /// Why the capture ended early; empty: it did not.
  [[nodiscard]] std::string error() const;

  std::vector<ExactWeights> exact;  ///< Mode::Exact
  std::vector<HeadRows> head_rows;  ///< Mode::Heads

 private:
  struct Progress {
    int64_t calls = 0;
    int64_t tokens = 0;
    int64_t heads = 0;
    int64_t keys = 0;   // of the latest call
    bool grew = false;  // by one for each of its queries, as a cache does
    int64_t tokens_dropped = 0;
    DeferredQueries kept;
  };
  struct Row {
    RequestSpec spec;
    PictureSize input;                          // of the model's own input, where the profile names it
    std::optional<Geometry> geometry;           // resolved
    std::optional<LatentLayout> latents;        // with a profile's `through`
    int64_t encoded = 0;                        // the row of the first token's batch that its latents come from
    at::Tensor beyond;                          // bool []: the picture's row has other visible keys
    std::shared_ptr<c10::Event> picture_ready;  // of a copy on a device: streams may differ between begin and finish
    RowAccumulators accumulators;
    RolloutRows rollout;  // with layers.reduce rollout
    std::vector<std::string> labels;
    std::vector<int64_t> ids;
  };
  void take_picture(const at::Tensor& input);
  void take_sound(const at::Tensor& input);
  /// An automatic request has as many rows as the call's batch.
  void fit_batch(int64_t batch);
  /// Whether the call's last query of batch row `row` sees any key from `key` on: bool [] on the call's device;
  /// undefined: it sees them all.
  using SeesBeyond = c10::function_ref<at::Tensor(int64_t row, int64_t key)>;
  /// The rows of a call that are wanted, and the accumulator row of the first; nothing when none is or the call cannot
  /// be used.
  std::optional<ops::Window> wanted_rows(int64_t site, const at::Tensor& like, int64_t batch, int64_t heads,
                                         int64_t queries, int64_t keys, SeesBeyond beyond);
  /// Adds all queries of a batch row, over all keys, to an accumulator [queries, keys].
  using AddWhole = c10::function_ref<void(int64_t row, const ops::ReduceOptions& by, ops::Accumulator& to)>;
  /// A call of a site that stands between the picture and the selected ones.
  void add_between(int64_t site, const LatentMaps::Call& call, AddWhole add);
  [[nodiscard]] bool rolls_out() const {
    return mode_ == Mode::Reduce && recorder->reduce.layers == ops::LayerReduce::Rollout;
  }
  /// A call of a layer that is rolled out.
  void roll_on(int64_t site, const ops::Window& window, int64_t queries, int64_t keys, at::Device device, AddWhole add);
  /// After the call's rows were added or kept.
  void count_call(int64_t site, int64_t heads, int64_t tokens);
  ops::Accumulator& accumulator(Row& row, at::Device device);
  /// Adds the rows now, or lets them wait for the next pass over the keys.
  void add_or_keep(int64_t site, const ops::Scores& scores, const ops::Window& window);
  void fail_written_over(int64_t site);
  /// Adds what waits at all sites. From then on this thread's current streams may work on all that the request holds.
  void flush_kept();
  /// Before this thread's current streams, that of `device` among them, work on what the request holds.
  void follow_streams(at::Device device);
  /// Ends the capture when the current stream of `device` records a CUDA graph: what is launched then would run at
  /// every replay, and nothing may be allocated.
  bool refuse_while_capturing(at::Device device) noexcept;
  /// Ends the capture with what the exception that is being handled says.
  void fail_with_current_exception() noexcept;
  void keep_exact(int64_t site, at::Tensor attn_bhqk);
  /// attn_htk: the wanted rows of batch row `batch`.
  void keep_heads(int64_t site, int64_t batch, const at::Tensor& attn_htk);
  /// Tapped weights as [batch, heads, queries, keys].
  [[nodiscard]] at::Tensor arrange(const at::Tensor& weights, const WeightsLayout& layout) const;
  bool prepare(int64_t batch, int64_t keys, SeesBeyond beyond);
  /// A sound that goes on while the model decodes: the span is all keys of the latest row.
  void grow(int64_t keys);
  /// The request's geometry, else the profile's.
  [[nodiscard]] const std::optional<Geometry>& given(const Row& row) const;
  /// Nothing but the prompt's ids says where the row's picture is.
  [[nodiscard]] bool placed_by_ids(const Row& row) const;
  /// What request or profile say, with the spans that the prompt's ids tell.
  std::optional<Geometry> stated(size_t row) const;
  static PictureSizes sizes_of(const Row& row);
  /// @throws gaze::Error when the sites between did not run, or as `place_latents`.
  LatentLayout placed(size_t row, int64_t keys) const;
  /// The geometry of one row, computed from what is known of its sizes; nothing where neither request nor profile has
  /// one.
  std::optional<Geometry> resolved(size_t row, int64_t keys) const;
  /// A picture that has the row to itself may have keys beyond its own, of a cache of fixed size, while they are
  /// masked. Read at once on the processor; on a device the row is flagged.
  /// @throws gaze::Error (GridMismatch) when they are visible.
  void check_alone(size_t row, int64_t keys, SeesBeyond beyond);
  void fail(DropReason reason, std::string text) noexcept;
  /// For what is said where no memory may be left; keeps the pointer.
  void fail_plainly(DropReason reason, const char* literal) noexcept;
  /// True when the capture of this call can go on: it is what a tap may look into. Else the capture ends here.
  bool accept(int64_t site, const char* what, const at::Tensor& tensor);
  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  [[nodiscard]] int64_t tokens_dropped() const noexcept;
  /// What the keys stand for, for people.
  [[nodiscard]] const char* noun() const noexcept;
  /// From a map over latents to one over the picture's keys.
  void compose(const Row& row, AttentionRecord& record) const;
  AttentionRecord make_record(Row& row);

  const bool automatic_;
  const Mode mode_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::atomic<int64_t> method_{-1};

  mutable std::mutex error_mutex_;  // of the next three; taken last
  std::string error_;
  const char* error_literal_ = nullptr;
  DropReason error_reason_ = DropReason::Internal;
  std::atomic<bool> failed_{false};  // set when they are whole

  std::mutex
      mutex_;  // of all that follows, and of exact and head_rows: forks of one request may reach two sites at once
  std::vector<Row> rows_;
  std::vector<Progress> progress_;
  std::vector<SoundWindow> windows_;
  PromptSpans prompt_spans_;
  LatentMaps through_;
  int64_t rollout_bytes_ = 0;
  int64_t encoded_rows_ = 0;  // rows at the first token
  StreamOrder streams_;
  std::vector<int64_t> kept_order_;  // sites with waiting calls, as they first ran
  bool prepared_ = false;
  bool batched_ = false;  // some call had several batch rows
  int64_t keys_ = 0;
  int64_t span_ = 0;  // keys from first_cell_ on that are accumulated
  int64_t first_cell_ = 0;
  int64_t taps_ = 0;
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// The rows of an answer's tokens: which rows of which calls are added to which accumulator. Knows no TorchScript.
#pragma once

#include <gaze/render/geometry.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "capture/accumulator_rows.hpp"
#include "capture/capture.hpp"
#include "capture/deferred_queries.hpp"
#include "capture/encoder_layers.hpp"
#include "capture/head_detail.hpp"
#include "capture/latent_maps.hpp"
#include "capture/medium_place.hpp"
#include "capture/rollout_rows.hpp"
#include "capture/row_answer.hpp"
#include "capture/site_rows.hpp"
#include "capture/step_calls.hpp"
#include "capture/stream_order.hpp"

namespace gaze {

/// What one site did.
struct SiteProgress {
  int64_t calls = 0, tokens = 0, heads = 0;
  int64_t tokens_dropped = 0;
  int64_t taken_back = 0;    ///< how often earlier tokens turned out to be none
  int64_t dropped_keys = 0;  ///< of a text: that the latest call's cache had dropped
  int64_t text_keys = 0;     ///< of a text: all that there were by then
  SiteRows rows;
  DeferredQueries waiting;
};

/// Which of the rules' choices a capture goes by.
enum class Looks {
  AtMedium,  ///< the selected sites', over the keys of a picture or a sound
  AtText,    ///< those of a text that is the only medium: over all keys of a row, however many there come to be
  AtTextToo  ///< of one beside another medium: as above, all heads and layers alike
};

class TokenCapture : public Capture {
 public:
  explicit TokenCapture(const CaptureRules& rules, Looks looks = Looks::AtMedium)
      : TokenCapture(rules, looks, looks == Looks::AtMedium && rules.reduce.layers == ops::LayerReduce::Rollout) {}

  [[nodiscard]] TokenCapture* as_tokens() noexcept override { return this; }
  [[nodiscard]] bool wants(int64_t site) const noexcept override {
    return counts(site) || (!of_text() && (rules_.is_between(site) || rules_.is_encoder(site)));
  }
  [[nodiscard]] bool of_text() const noexcept { return looks_ != Looks::AtMedium; }
  [[nodiscard]] const ops::ReduceOptions& reduce() const noexcept;
  /// That count of a site, ascending; empty: all.
  [[nodiscard]] c10::ArrayRef<int64_t> heads(int64_t site) const noexcept;
  /// Where a text's tokens begin among the keys.
  struct TextStarts {
    int64_t prompt = 0;   ///< keys before it were there before the first call
    int64_t answer = -1;  ///< -1: its tokens are no keys
  };
  /// @param prompt_tokens  as the host says; 0: it does not
  [[nodiscard]] TextStarts text_starts(int64_t prompt_tokens) const noexcept;
  /// Precondition: placed, unless the site stands between. Keeps no reference to a tensor of the call, but for the keys
  /// of deferred tokens; after the first token it allocates nothing, unless keys grow that all count.
  void on_call(int64_t site, const AttentionCall& call) override;

  /// Whether rows must be placed before this call.
  [[nodiscard]] bool needs_place(int64_t site, const AttentionCall& call) const noexcept {
    return !placed_ && counts(site) && call.batch() > 0 && call.queries() > 0;
  }
  /// Once, with one place for each row of the batch.
  /// @throws gaze::Error (ShapeMismatch) where a medium's keys are not at one place in all rows
  void place(std::vector<RowPlace> rows, int64_t keys);
  [[nodiscard]] bool placed() const noexcept { return placed_; }
  /// The keys of each medium that are accumulated, the same in all rows.
  [[nodiscard]] const std::vector<KeySpan>& spans() const noexcept { return spans_; }

  /// Also keeps every head's map from now on. Before the first call.
  void keep_detail() { detail_.emplace(rules_); }
  /// Unset: nobody asked for it. Until release.
  [[nodiscard]] const std::optional<HeadDetail>& detail() const noexcept { return detail_; }

  /// A method of the model begins, and returns. In between, on a device, the layers of a decode step wait for each
  /// other, as far as what they are recomputed from stays: one pass serves them all.
  void enter_method() noexcept { in_method_ = true; }
  [[nodiscard]] bool in_method() const noexcept { return in_method_; }
  /// @param threw  its step is not whole: what waits is no token
  void leave_method(bool threw);

  /// No call comes any more: adds what waits.
  /// @throws gaze::Error (GridMismatch) where the sites that looked at a text have other tokens for keys
  void conclude();
  /// Adds what waits at all sites. From then on this thread's current streams may work on all that is held.
  void add_waiting();
  /// Row i goes on from what row from[i] was. What waits is added first. Precondition: every from[i] is a row.
  void reorder(const std::vector<int64_t>& from);
  /// Row i becomes tokens of several rows: its token t is that of row from[i][t], as far as there are captured ones.
  /// What waits is added first. Precondition: every from[i] names a row or more. @throws gaze::Error of a rollout
  void reorder_tokens(const std::vector<std::vector<int64_t>>& from);
  /// A row's sums, of each medium, in memory of their own: undivided where that takes no more than them. Reads them for
  /// the last time. Precondition: some token was captured, nothing waits.
  [[nodiscard]] std::vector<RowAnswer> answers(size_t row);
  /// Frees everything but what says what was done.
  void release() noexcept;

  [[nodiscard]] const RowPlace& place_of(size_t row) const { return rows_[row].place; }
  [[nodiscard]] size_t rows() const noexcept { return rows_.size(); }
  [[nodiscard]] const std::vector<SiteProgress>& sites() const noexcept { return sites_; }
  [[nodiscard]] const LatentMaps& latent_maps() const noexcept { return latent_maps_; }
  /// Shared with who carries a map on after the capture is gone. Until release.
  [[nodiscard]] const std::shared_ptr<EncoderLayers>& encoder() const noexcept { return encoder_; }
  /// The row of the encoder's batch that a row is of.
  [[nodiscard]] int64_t encoded_row(size_t row) const { return rows_[row].encoded; }
  /// Whether the encoder's positions are the call's keys, batch row by batch row.
  [[nodiscard]] bool encoder_leads_to(const AttentionCall& call) const noexcept {
    return encoder_->lead_to(call.batch(), call.keys(), rules_.encoder_sites);
  }
  /// An encoder's layer that cannot be kept ran.
  void leave_encoder() noexcept { encoder_->leave(); }
  /// Of each of so many rows at the first token: the row of the encoder's batch that it comes from. They are as many,
  /// unless a reorder before the first token made more of them and the encoder had run by then.
  [[nodiscard]] std::vector<int64_t> encoded_rows_of(size_t rows) const;
  [[nodiscard]] int64_t encoded_rows(size_t rows) const;  ///< how many these are
  [[nodiscard]] LatentUnits latent_units() const { return latent_maps_.units(encoded_rows_); }
  [[nodiscard]] const std::vector<c10::Stream>& streams() const { return streams_.streams(); }
  [[nodiscard]] int64_t calls() const noexcept { return calls_; }
  [[nodiscard]] int64_t tokens() const noexcept { return most(&SiteProgress::tokens); }
  [[nodiscard]] int64_t tokens_dropped() const noexcept { return most(&SiteProgress::tokens_dropped); }
  [[nodiscard]] RowUse row_use() const;  ///< likewise
  [[nodiscard]] int64_t keys() const noexcept { return keys_; }
  [[nodiscard]] bool batched() const noexcept { return batched_; }

 protected:
  TokenCapture(const CaptureRules& rules, Looks looks, bool rolls_out);
  /// The wanted rows of a selected site's call, at least one.
  virtual void add(int64_t site, const AttentionCall& call, const ops::RowRange& rows);
  /// What `add` was given of a site's tokens from this one on counts no more.
  virtual void forget(int64_t site, int64_t first_token) { (void)site, (void)first_token; }

 private:
  /// Of the site that has most.
  [[nodiscard]] int64_t most(int64_t SiteProgress::*of) const noexcept;
  struct Sums {
    RowAccumulators accumulators;
    RolloutRows rollout;
  };
  struct Row {
    RowPlace place;
    int64_t tokens = std::numeric_limits<int64_t>::max();  // that are its own, by reorder_tokens
    int64_t encoded = 0;                                   // the row of the encoder's batch that its latents come from
    std::vector<Sums> sums;                                // of each medium
  };
  void add_between(int64_t site, const AttentionCall& call);
  void keep_encoder(int64_t site, const AttentionCall& call);
  void roll_on(int64_t site, const AttentionCall& call, const ops::RowRange& rows);
  /// Whether its rows make the map.
  [[nodiscard]] bool counts(int64_t site) const noexcept {
    return of_text() ? rules_.is_text(site) : rules_.is_selected(site);
  }
  /// Of a text: whether the answer's own tokens are among the keys, as far as is known by now.
  [[nodiscard]] bool over_answer(int64_t site) const noexcept;
  /// Of a text: columns for the call's keys. @throws gaze::Error where they cannot be told, or there is no memory
  void make_room(int64_t site, const AttentionCall& call);
  using Accumulators = c10::ArrayRef<ops::Accumulator*>;
  /// With what a call over `keys` keys, of which the first is number `first_key` of the row, is added to: one for each
  /// batch row.
  void with_accumulators(size_t medium, int64_t first_key, int64_t keys, at::Device device,
                         c10::function_ref<void(Accumulators)> act);
  ops::Accumulator columns(Row& row, size_t medium, int64_t first_key, int64_t keys, at::Device device);
  /// Which rows are tokens, and the accumulator row of the first.
  ops::RowRange wanted_rows(int64_t site, const AttentionCall& call);
  void check_shape(int64_t site, const AttentionCall& call) const;
  [[nodiscard]] RowFacts row_facts(int64_t site) const;
  /// Once for the sites that call for it one after another.
  void take_back(int64_t site, int64_t first_token);
  /// True when the call waits for the next pass over the keys.
  bool defer(int64_t site, const ops::Scores& scores, const ops::RowRange& rows);
  /// True when the call waits for the end of its step.
  bool wait_for_step(int64_t site, const AttentionCall& call, const ops::RowRange& rows);
  void add_step();
  /// A sound that goes on while the model decodes: its span is all keys of the latest row.
  void grow(size_t medium, int64_t keys);
  /// Keys that a row must have at least.
  [[nodiscard]] int64_t end_of_media() const noexcept;
  ops::Accumulator& accumulator(Row& row, size_t medium, at::Device device);
  RowAnswer answer(Row& row, size_t medium);
  /// Before this thread's current streams, that of `device` among them, work on what is held.
  void follow_streams(at::Device device);

  const CaptureRules& rules_;
  const Looks looks_;
  const bool rolls_out_;
  /// Before the first token: what an encoder's batch was made into.
  void reorder_sources(const std::vector<int64_t>& from);

  std::vector<Row> rows_;
  std::vector<SiteProgress> sites_;
  std::vector<int64_t> waiting_order_;  // sites at which queries wait, as they first ran
  StepCalls step_;
  LatentMaps latent_maps_;
  std::shared_ptr<EncoderLayers> encoder_ = std::make_shared<EncoderLayers>();
  std::optional<HeadDetail> detail_;
  std::vector<KeySpan> detail_spans_;  // the media's own keys, where a carried map has all
  StreamOrder streams_;
  int64_t rollout_bytes_ = 0;
  int64_t encoded_rows_ = 0;      // rows of the encoder's batch
  std::vector<int64_t> sources_;  // by reorder before the first token: the row of it that each row comes from
  int64_t taken_back_ = 0;        // of all sites, which take back the same tokens one after another
  int64_t keys_ = 0;              // of the first call, or as they grew
  std::vector<KeySpan> spans_;    // of a text: the columns that there is room for
  int64_t text_keys_ = 0;         // of a text, so far
  int64_t calls_ = 0;
  bool placed_ = false;
  bool in_method_ = false;
  bool batched_ = false;    // some call had several batch rows
  bool regrouped_ = false;  // by reorder
};

}  // namespace gaze

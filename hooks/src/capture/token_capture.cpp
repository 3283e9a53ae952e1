// SPDX-License-Identifier: MIT
#include "capture/token_capture.hpp"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/SmallVector.h>
#include <gaze/ops/device.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace gaze {
namespace {

[[noreturn]] void refuse_shape(const std::string& text) { throw Error(text, DropReason::ShapeMismatch); }

/// Columns that are made at once where a text's keys grow with every token.
constexpr int64_t kMoreColumns = 64;
constexpr ops::ReduceOptions kAlike{.heads = ops::HeadReduce::Mean};

}  // namespace

TokenCapture::TokenCapture(const CaptureRules& rules, Looks looks, bool rolls_out)
    : rules_(rules),
      looks_(looks),
      rolls_out_(rolls_out),
      sites_(static_cast<size_t>(rules.sites.size())),
      latent_maps_(rules.through_rollout, rules.budget_bytes) {}

const ops::ReduceOptions& TokenCapture::reduce() const noexcept {
  return looks_ == Looks::AtMedium ? rules_.reduce : looks_ == Looks::AtText ? rules_.text_reduce : kAlike;
}

c10::ArrayRef<int64_t> TokenCapture::heads(int64_t site) const noexcept {
  return looks_ == Looks::AtTextToo ? c10::ArrayRef<int64_t>() : c10::ArrayRef<int64_t>(rules_.heads(site));
}

void TokenCapture::place(std::vector<RowPlace> places, int64_t keys) {
  rows_.clear();
  spans_ = common_spans(places, keys);
  detail_spans_.clear();
  for (size_t m = 0; m < spans_.size(); ++m) {
    const MediumPlace& place = places.front().media[m];
    const bool inner = place.carried && place.geometry;
    detail_spans_.push_back(inner ? KeySpan{place.geometry->first_cell(), place.geometry->span()} : spans_[m]);
    if (detail_ && place.latents) detail_->leave("heads see latents, not the medium's keys");
    if (detail_ && of_text()) detail_->leave("heads of texts are not kept");
  }
  const std::vector<int64_t> encoded = encoded_rows_of(places.size());
  for (RowPlace& place : places) {
    Row row;
    row.place = std::move(place);
    row.encoded = encoded[rows_.size()];
    row.sums.resize(row.place.media.size());
    rows_.push_back(std::move(row));
  }
  encoded_rows_ = encoded_rows(rows_.size());
  keys_ = keys;
  placed_ = true;
}

void TokenCapture::on_call(int64_t site, const AttentionCall& call) {
  if (call.queries() == 0 || call.batch() == 0) return;
  if (!of_text() && rules_.is_between(site)) return add_between(site, call);
  if (!of_text() && rules_.is_encoder(site)) return keep_encoder(site, call);
  follow_streams(call.device());
  // A site that was found since the request began.
  if (static_cast<size_t>(site) >= sites_.size()) sites_.resize(static_cast<size_t>(rules_.sites.size()));
  const ops::RowRange rows = wanted_rows(site, call);
  if (of_text() && rows.queries > 0) make_room(site, call);
  if (detail_ && rows.queries > 0) detail_->add(site, call, rows, detail_spans_);
  if (rolls_out_) {
    roll_on(site, call, rows);
  } else if (rows.queries > 0) {
    add(site, call, rows);
  }
  SiteProgress& progress = sites_[static_cast<size_t>(site)];
  progress.heads = call.heads();
  ++progress.calls;
  ++calls_;
}

int64_t TokenCapture::end_of_media() const noexcept {
  if (of_text()) return 0;
  int64_t end = 0;
  for (const KeySpan& span : spans_) end = std::max(end, span.first_key + span.keys);
  return end;
}

void TokenCapture::check_shape(int64_t site, const AttentionCall& call) const {
  if (call.batch() != static_cast<int64_t>(rows_.size()) || call.keys() < end_of_media()) {
    refuse_shape(rules_.name(site) + ": expected batch " + std::to_string(rows_.size()) + " and at least " +
                 std::to_string(end_of_media()) + " keys as in the request's first call, got batch " +
                 std::to_string(call.batch()) + " and " + std::to_string(call.keys()) +
                 " keys. Use one request per batch.");
  }
  const c10::ArrayRef<int64_t> chosen = heads(site);
  if (!chosen.empty() && chosen.back() >= call.heads()) {
    refuse_shape("profile: heads.select: " + rules_.name(site) + ": expected heads of 0.." +
                 std::to_string(call.heads() - 1) + ", got " + std::to_string(chosen.back()) + ". Correct the list.");
  }
}

ops::RowRange TokenCapture::wanted_rows(int64_t site, const AttentionCall& call) {
  const int64_t keys = call.keys(), queries = call.queries();
  for (size_t m = 0; m < spans_.size(); ++m) {
    const auto& geometry = rows_.front().place.media[m].geometry;
    if (!geometry || !geometry->time || !geometry->time->whole) continue;
    if (keys > spans_[m].first_key + spans_[m].keys + geometry->trailing) grow(m, keys);
  }
  check_shape(site, call);
  batched_ = batched_ || call.batch() > 1;
  SiteProgress& progress = sites_[static_cast<size_t>(site)];
  const CallRows tokens = progress.rows.next(rules_.name(site), queries, keys, row_facts(site));
  if (of_text() ? progress.rows.grew_again() : progress.rows.stopped_growing()) {
    refuse_shape(rules_.name(site) + ": expected keys that stay where they are, got a row that grew to " +
                 std::to_string(keys) + " keys and no further: a cache that drops its oldest keys moves the " +
                 rows_.front().place.media.front().noun() +
                 "'s. Finish the request before the cache is full; where several passes or calls make one token, say "
                 "so in the profile's rows.");
  }
  if (tokens.takes_back) take_back(site, tokens.first_token);
  ops::RowRange rows;
  rows.first_query = tokens.first_query;
  rows.first_token = tokens.first_token;
  rows.queries = std::clamp<int64_t>(rules_.max_tokens - tokens.first_token, 0, tokens.queries);
  rows.heads = heads(site);
  progress.tokens = std::min(rules_.max_tokens, progress.rows.rows());
  progress.tokens_dropped = progress.rows.rows() - progress.tokens;
  return rows;
}

RowFacts TokenCapture::row_facts(int64_t site) const {
  const RowPlace& place = rows_.front().place;
  RowFacts facts{rules_.rows, place.prompt_tokens, rules_.sites[site].site.relation == SiteRelation::Self};
  const MediumPlace& only = place.media.front();
  if (!of_text() && place.media.size() == 1 && !only.latents && only.geometry &&
      !(only.geometry->time && only.geometry->time->whole))
    facts.picture = &*only.geometry;
  return facts;
}

void TokenCapture::take_back(int64_t site, int64_t first_token) {
  forget(site, first_token);
  SiteProgress& progress = sites_[static_cast<size_t>(site)];
  if (++progress.taken_back <= taken_back_) return;  // another site did
  taken_back_ = progress.taken_back;
  add_waiting();
  for (Row& row : rows_) {
    for (Sums& sums : row.sums) forget_tokens(sums.accumulators, first_token);
  }
}

void TokenCapture::add(int64_t site, const AttentionCall& call, const ops::RowRange& rows) {
  if (const ops::Scores* scores = call.scores(); scores != nullptr && defer(site, *scores, rows)) return;
  if (wait_for_step(site, call, rows)) return;
  ops::RowRange wanted = rows;
  for (size_t m = 0; m < spans_.size(); ++m) {
    wanted.first_key = spans_[m].first_key;
    const int64_t dropped = sites_[static_cast<size_t>(site)].dropped_keys;
    with_accumulators(m, dropped, call.keys(), call.device(),
                      [&](Accumulators to_b) { call.add(wanted, reduce(), to_b); });
  }
}

void TokenCapture::with_accumulators(size_t medium, int64_t first_key, int64_t keys, at::Device device,
                                     c10::function_ref<void(Accumulators)> act) {
  c10::SmallVector<ops::Accumulator*, 8> to_b;
  c10::SmallVector<ops::Accumulator, 1> columns_b;
  if (of_text()) {
    columns_b.reserve(rows_.size());
    for (Row& row : rows_) {
      columns_b.push_back(columns(row, medium, first_key, keys, device));
      to_b.push_back(&columns_b.back());
    }
  } else {
    for (Row& row : rows_) to_b.push_back(&accumulator(row, medium, device));
  }
  act(to_b);
}

bool TokenCapture::defer(int64_t site, const ops::Scores& scores, const ops::RowRange& rows) {
  const int64_t room = rules_.deferred_tokens;
  if (room <= 1 || rules_.rows.calls_per_token > 1 || rules_.rows.passes > 1) return false;
  DeferredQueries& waiting = sites_[static_cast<size_t>(site)].waiting;
  if (sites_[static_cast<size_t>(site)].dropped_keys > 0) return false;
  if (waiting.written_over(scores)) refuse_written_over(rules_.name(site));
  // A full site is the first to come round again: the others are full as well, and share its pass.
  if (!waiting.empty() && !waiting.takes(scores, room)) add_waiting();
  if (!waiting.takes(scores, room)) return false;
  if (waiting.empty()) waiting_order_.push_back(site);
  waiting.keep(scores, rows.first_token);
  return true;
}

bool TokenCapture::wait_for_step(int64_t site, const AttentionCall& call, const ops::RowRange& rows) {
  const ops::Scores* const scores = call.scores();
  // A prompt's keys may be memory that the model needs again.
  const bool waits =
      in_method_ && scores != nullptr && !call.device().is_cpu() && call.queries() == 1 && rules_.inputs_stay(site);
  const int64_t held = waits && !rules_.keys_live_on(site) ? static_cast<int64_t>(scores->k_bhkd.nbytes()) : 0;
  if (held > 0 && step_.held_bytes() + held > StepCalls::kMostHeldBytes) add_step();
  // Of the last layer alone the order matters.
  if (step_.has(site) || (!waits && reduce().layers == ops::LayerReduce::Last)) add_step();
  if (waits) step_.keep(site, *scores, rows, sites_[static_cast<size_t>(site)].dropped_keys, held);
  return waits;
}

void TokenCapture::leave_method(bool threw) {
  in_method_ = false;
  if (threw) step_.clear();
  add_step();
}

void TokenCapture::add_step() {
  if (step_.written_over()) step_.clear();
  for (StepCalls::Run& run : step_.runs(/*same_keys=*/of_text())) {
    refuse_while_capturing(run.device);
    follow_streams(run.device);
    for (size_t m = 0; m < spans_.size(); ++m) {
      for (ops::AttendCall& each : run.calls) each.range.first_key = spans_[m].first_key;
      with_accumulators(m, run.dropped_keys, run.keys, run.device,
                        [&](Accumulators to_b) { ops::attend_reduce(run.calls, reduce(), to_b); });
    }
  }
  step_.clear();
}

void TokenCapture::conclude() {
  if (in_method_) step_.clear();
  add_waiting();
  if (!of_text()) return;
  const SiteProgress* first = nullptr;
  int64_t first_site = 0;
  for (size_t i = 0; i < sites_.size(); ++i) {
    const auto site = static_cast<int64_t>(i);
    const SiteProgress& progress = sites_[i];
    if (progress.tokens == 0) continue;
    if (first == nullptr) {
      first = &progress;
      first_site = site;
      continue;
    }
    const bool over = over_answer(site);
    if (over == over_answer(first_site) &&
        (over ? progress.rows.prompt_fed() == first->rows.prompt_fed() : progress.text_keys == first->text_keys))
      continue;
    throw Error("text: expected sites whose keys are the same tokens, got " + rules_.name(first_site) + " and " +
                    rules_.name(site) +
                    ". Name in sites.match or text.sites those that look at the prompt: the decoder's self-attention, "
                    "or its cross-attention.",
                DropReason::GridMismatch);
  }
}

void TokenCapture::add_waiting() {
  add_step();
  for (size_t i = 0; i < streams_.streams().size(); ++i) {
    const at::Device device = streams_.streams()[i].device();
    refuse_while_capturing(device);
    follow_streams(device);
  }
  const auto waiting = [&](int64_t site) -> DeferredQueries& { return sites_[static_cast<size_t>(site)].waiting; };
  for (const int64_t site : waiting_order_) {
    if (waiting(site).written_over()) refuse_written_over(rules_.name(site));
  }
  // Layers on one device share the pass; those of a text as far as they have the same keys.
  while (!waiting_order_.empty()) {
    const at::Device device = waiting(waiting_order_.front()).device();
    const int64_t keys = waiting(waiting_order_.front()).keys();
    const auto here = std::stable_partition(waiting_order_.begin(), waiting_order_.end(), [&](int64_t site) {
      return waiting(site).device() == device && (!of_text() || waiting(site).keys() == keys);
    });
    for (size_t m = 0; m < spans_.size(); ++m) {
      c10::SmallVector<ops::AttendCall, 1> calls;
      for (auto site = waiting_order_.begin(); site != here; ++site) {
        calls.push_back(waiting(*site).call(spans_[m].first_key, heads(*site)));
      }
      with_accumulators(m, 0, keys, device, [&](Accumulators to_b) { ops::attend_reduce(calls, reduce(), to_b); });
    }
    for (auto site = waiting_order_.begin(); site != here; ++site) waiting(*site).clear();
    waiting_order_.erase(waiting_order_.begin(), here);
  }
}

void TokenCapture::add_between(int64_t site, const AttentionCall& call) {
  // Later runs are of other pictures, or of the same one again: the overlay's was chosen at the first token.
  if (placed_) return;
  follow_streams(call.device());
  latent_maps_.add(site, rules_.name(site), {call.batch(), call.heads(), call.queries(), call.keys(), call.device()},
                   [&](int64_t row, ops::Accumulator& to) { call.add_whole(row, LatentMaps::kReduce, to); });
}

void TokenCapture::keep_encoder(int64_t site, const AttentionCall& call) {
  // Later runs are of other pictures, as in add_between.
  if (placed_) return;
  follow_streams(call.device());
  encoder_->keep(site, call, rules_.budget_bytes);
}

void TokenCapture::roll_on(int64_t site, const AttentionCall& call, const ops::RowRange& rows) {
  ops::ReduceOptions heads = rules_.reduce;
  heads.layers = ops::LayerReduce::Mean;
  for (size_t i = 0; i < rows_.size() * spans_.size(); ++i) {
    const size_t b = i / spans_.size(), m = i % spans_.size();
    const RolloutRows::Layer layer{.site = site,
                                   .queries = call.queries(),
                                   .keys = call.keys(),
                                   .first_key = spans_[m].first_key,
                                   .medium = spans_[m].keys,
                                   .room = rules_.max_tokens,
                                   .first_query = rows.first_query,
                                   .first_token = rows.first_token,
                                   .tokens = rows.queries,
                                   .device = call.device()};
    // One accumulator, whichever device a layer lies on: a later layer's rows take the place of an earlier one's.
    RowAccumulators& to = rows_[b].sums[m].accumulators;
    ops::Accumulator& sums = to.empty() ? accumulator(rows_[b], m, call.device()) : to.front();
    rollout_bytes_ += rows_[b].sums[m].rollout.add(
        rules_.name(site), layer, rules_.budget_bytes - rollout_bytes_,
        [&](ops::Accumulator& all) { call.add_whole(static_cast<int64_t>(b), heads, all); }, sums);
  }
}

void TokenCapture::grow(size_t medium, int64_t keys) {
  add_waiting();
  if (detail_) detail_->leave("the sound grew while the model answered");
  KeySpan& span = spans_[medium];
  for (Row& row : rows_) {
    Geometry& geometry = *row.place.media[medium].geometry;
    geometry.cols += keys - (span.first_key + span.keys) - geometry.trailing;
    widen(row.sums[medium].accumulators, geometry.span());
  }
  span.keys = rows_.front().place.media[medium].geometry->span();
  keys_ = keys;
}

// A graph that does not tell takes keys of a cache, which are an input, for another's.
bool TokenCapture::over_answer(int64_t site) const noexcept {
  return rules_.sites[site].site.relation == SiteRelation::Self || sites_[static_cast<size_t>(site)].rows.ever_grew();
}

void TokenCapture::make_room(int64_t site, const AttentionCall& call) {
  SiteProgress& progress = sites_[static_cast<size_t>(site)];
  const bool grows = over_answer(site);
  progress.dropped_keys = grows ? progress.rows.dropped_keys() : 0;
  const int64_t keys = progress.dropped_keys + call.keys();
  progress.text_keys = keys;
  text_keys_ = std::max(text_keys_, keys);
  KeySpan& span = spans_.front();
  const bool holds_none = rows_.front().sums.front().accumulators.empty();
  if (keys <= span.keys && !(holds_none && grows)) return;
  span.keys = std::max(span.keys, keys + (grows ? kMoreColumns : 0));
  const double bytes =
      4.0 * static_cast<double>(span.keys) * static_cast<double>(rules_.max_tokens) * static_cast<double>(rows_.size());
  if (bytes > static_cast<double>(rules_.budget_bytes)) {
    throw Error("text: expected rows of " + std::to_string(keys) + " keys and " + std::to_string(rules_.max_tokens) +
                    " tokens to fit into " + std::to_string(rules_.budget_bytes >> 20) + " MiB, got " +
                    std::to_string(static_cast<int64_t>(bytes) >> 20) +
                    " MiB. Raise GAZE_QUEUE_BYTES, or lower Options::max_tokens.",
                DropReason::HostBudget);
  }
  if (holds_none) return;
  add_waiting();
  for (Row& row : rows_) widen(row.sums.front().accumulators, span.keys);
}

ops::Accumulator TokenCapture::columns(Row& row, size_t medium, int64_t first_key, int64_t keys, at::Device device) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  ops::Accumulator part = accumulator(row, medium, device);
  part.map_tc = part.map_tc.narrow(1, first_key, keys);
  return part;
}

TokenCapture::TextStarts TokenCapture::text_starts(int64_t prompt_tokens) const noexcept {
  for (size_t i = 0; i < sites_.size(); ++i) {
    if (sites_[i].tokens == 0) continue;
    const SiteRows& rows = sites_[i].rows;
    if (!over_answer(static_cast<int64_t>(i)) || rows.prompt_fed() < 0) return {};
    const bool fixed_size = !rows.ever_grew() && rows.prompt_fed() == prompt_tokens;
    const int64_t past = fixed_size ? 0 : rows.past_keys();
    return {past, past + rows.prompt_fed()};
  }
  return {};
}

ops::Accumulator& TokenCapture::accumulator(Row& row, size_t medium, at::Device device) {
  return accumulator_on(row.sums[medium].accumulators, rules_.max_tokens, spans_[medium].keys, device);
}

void TokenCapture::follow_streams(at::Device device) {
  const auto held = [&](StreamOrder::Tensor see) {
    for (const Row& row : rows_) {
      for (const Sums& sums : row.sums) {
        each_tensor(sums.accumulators, see);
        sums.rollout.each_tensor(see);
      }
      for (const MediumPlace& place : row.place.media) see(place.beyond);
    }
    for (const SiteProgress& progress : sites_) progress.waiting.each_tensor(see);
    step_.each_tensor(see);
    latent_maps_.each_tensor(see);
    if (encoder_) encoder_->each_tensor(see);
    if (detail_) detail_->each_tensor(see);
  };
  streams_.follow(device, held);
  // Rows of layers on several devices meet on one of them.
  for (size_t i = 0; i < streams_.streams().size(); ++i) streams_.follow(streams_.streams()[i].device(), held);
}

std::vector<RowAnswer> TokenCapture::answers(size_t row) {
  std::vector<RowAnswer> answers;
  for (size_t m = 0; m < spans_.size(); ++m) answers.push_back(answer(rows_[row], m));
  return answers;
}

RowAnswer TokenCapture::answer(Row& row, size_t medium) {
  RowAccumulators& accumulators = row.sums[medium].accumulators;
  const MediumPlace& place = row.place.media[medium];
  ops::Accumulator& all = accumulators.front();
  for (size_t i = 1; i < accumulators.size(); ++i) ops::merge(all, accumulators[i], reduce());
  const ops::Accumulator sums = ops::first_tokens(all, std::min(tokens(), row.tokens));
  RowAnswer answer{.map_tk = sums.map_tc,
                   .mass_t = sums.mass_t,
                   .visible_t = sums.visible_t,
                   .flags_t = sums.flags_t,
                   .weight_t = sums.weight_t,
                   .rows_t = sums.rows_t,
                   .keys = of_text() ? text_keys_ : spans_[medium].keys,
                   .beyond = place.beyond,
                   .by = reduce()};
  if (rolls_out_) answer.by.layers = ops::LayerReduce::Last;
  if (place.latents) {
    answer.divide();
    const LatentMaps::Composed composed =
        latent_maps_.compose(answer.map_tk, answer.mass_t, *place.latents, row.encoded, encoded_rows_);
    answer.map_tk = composed.map_tk;
    answer.mass_t = composed.mass_t;
    answer.flags_t = answer.flags_t.bitwise_or(composed.flags);
  }
  return answer;
}

void TokenCapture::release() noexcept {
  step_.clear();
  rows_.clear();
  latent_maps_.release();
  encoder_.reset();
  detail_.reset();
}

int64_t TokenCapture::most(int64_t SiteProgress::*of) const noexcept {
  int64_t most = 0;
  for (const SiteProgress& progress : sites_) most = std::max(most, progress.*of);
  return most;
}

RowUse TokenCapture::row_use() const {
  const auto less = [](const SiteProgress& a, const SiteProgress& b) { return a.rows.rows() < b.rows.rows(); };
  const auto most = std::max_element(sites_.begin(), sites_.end(), less);
  RowUse use = most == sites_.end() ? RowUse{.rules = rules_.rows} : most->rows.use(rules_.rows);
  use.regrouped = regrouped_;
  return use;
}

}  // namespace gaze

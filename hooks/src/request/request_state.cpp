// SPDX-License-Identifier: MIT
#include "request/request_state.hpp"

#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/device.hpp>

#include <algorithm>

#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"
#include "request/instrumented.hpp"

namespace gaze {
namespace {

/// Recorded on the current stream of `device`; null for the processor.
std::shared_ptr<c10::Event> event_on(at::Device device) {
  if (device.is_cpu()) return nullptr;
  auto event = std::make_shared<c10::Event>(device.type());
  event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  return event;
}

std::string generated_id() {
  static std::atomic<uint64_t> count{0};
  return "call-" + std::to_string(count.fetch_add(1) + 1);
}

}  // namespace

RequestState::RequestState(std::shared_ptr<Recorder> given_recorder, std::vector<RequestSpec> specs, bool automatic,
                           Mode mode)
    : BoundRequest(std::move(given_recorder), this),
      automatic_(automatic),
      mode_(mode),
      progress_(recorder->instrumented.sites.size()),
      through_(recorder->profile.through && recorder->profile.through->rollout, recorder->options.queue_bytes) {
  for (auto& spec : specs) {
    Row row;
    row.spec = std::move(spec);
    if (row.spec.id.empty()) row.spec.id = generated_id();
    if (row.spec.image.tensor.defined() && !refuse_while_capturing(row.spec.image.tensor.device())) {
      // The host may reuse its buffer as soon as begin() returns.
      const c10::InferenceMode normal(false);
      const at::NoGradGuard no_grad;
      row.spec.image.tensor = row.spec.image.tensor.detach().clone();
      row.picture_ready = event_on(row.spec.image.tensor.device());
    }
    if (at::Tensor& samples = row.spec.sound.samples; samples.defined() && !refuse_while_capturing(samples.device())) {
      const c10::InferenceMode normal(false);
      const at::NoGradGuard no_grad;
      samples = samples.detach().clone();
      row.picture_ready = event_on(samples.device());
    }
    rows_.push_back(std::move(row));
  }
}

RequestState::~RequestState() = default;

void RequestState::offer(int64_t argument, const at::Tensor& input) noexcept {
  try {
    const InsideTap inside;
    const int64_t method = method_.load(std::memory_order_relaxed);
    if (mode_ == Mode::Exact || method < 0 || !recorder->reads(method, argument)) return;
    const bool picture = recorder->image_argument(method) == argument;
    const bool sound = recorder->sound_argument(method) == argument;
    const bool ids = recorder->ids_argument(method) == argument;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (failed()) return;
    if (picture) take_picture(input);
    if (sound) take_sound(input);
    if (ids && !prepared_) {
      if (input.dim() == 2) fit_batch(input.size(0));
      const bool wanted = std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) { return placed_by_ids(row); });
      if (!wanted || refuse_while_capturing(input.device())) return;
      prompt_spans_.read(input, recorder->profile.spans->placeholder);
    }
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::take_picture(const at::Tensor& input) {
  if (input.dim() != 4 || refuse_while_capturing(input.device())) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const int64_t batch = input.size(0);
  if (!prepared_) fit_batch(batch);
  if (batch != static_cast<int64_t>(rows_.size())) return;
  for (int64_t b = 0; b < batch; ++b) {
    Row& row = rows_[static_cast<size_t>(b)];
    row.input = {input.size(3), input.size(2)};
    Picture& picture = row.spec.image;
    if (!picture.empty()) continue;
    picture.tensor = input[b].detach().clone();
    row.picture_ready = event_on(input.device());
    picture.mean = recorder->profile.image->mean;
    picture.std = recorder->profile.image->std;
  }
}

void RequestState::take_sound(const at::Tensor& input) {
  if (input.dim() < 2 || input.dim() > 3 || !input.is_floating_point() || refuse_while_capturing(input.device()))
    return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const int64_t batch = input.size(0);
  if (!prepared_) fit_batch(batch);
  if (batch != static_cast<int64_t>(rows_.size())) return;
  for (int64_t b = 0; b < batch; ++b) {
    Row& row = rows_[static_cast<size_t>(b)];
    if (!row.spec.sound.empty()) continue;
    row.spec.sound.samples = input[b].detach().clone();
    row.spec.sound.sample_rate_hz = recorder->profile.sound->sample_rate_hz;
    row.spec.sound.padded = true;
    row.picture_ready = event_on(input.device());
  }
}

void RequestState::fit_batch(int64_t batch) {
  const int64_t more = batch - static_cast<int64_t>(rows_.size());
  if (!automatic_ || more <= 0) return;
  std::vector<Row> rows(static_cast<size_t>(more));
  for (Row& row : rows) row.spec.id = generated_id();
  rows_.insert(rows_.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
  // Counted when they are there: each is to end under a count of its own.
  recorder->counters->sampled(more);
}

bool RequestState::refuse_while_capturing(at::Device device) noexcept {
  if (!ops::capturing(device)) return false;
  fail_plainly(
      DropReason::StreamCapturing,
      "capture: expected a stream that runs its work, got one that records a CUDA graph: the recording stays as the "
      "host "
      "made it, without taps. Run one request outside of the graph to see its attention.");
  return true;
}

void RequestState::fail_with_current_exception() noexcept {
  const DropReason reason = reason_of_current_exception(DropReason::HookException);
  char text[1024];
  text_of_current_exception(text, sizeof text);
  try {
    fail(reason, std::string(text));
  } catch (const std::bad_alloc&) {
    fail_plainly(reason, "capture: not enough memory");
  }
}

const std::optional<Geometry>& RequestState::given(const Row& row) const {
  return row.spec.geometry ? row.spec.geometry : recorder->profile.geometry;
}

bool RequestState::placed_by_ids(const Row& row) const {
  const std::optional<Geometry>& geometry = given(row);
  return geometry && recorder->profile.spans && geometry->spans.empty() && geometry->first_key == 0;
}

std::optional<Geometry> RequestState::stated(size_t index) const {
  const Row& row = rows_[index];
  std::optional<Geometry> geometry = given(row);
  if (placed_by_ids(row)) {
    // A picture whose tiles are resampled one by one may have a run for each.
    const int64_t runs = recorder->profile.through ? 0 : geometry->pictures;
    geometry->spans = prompt_spans_.of(static_cast<int64_t>(index), runs);
  }
  return geometry;
}

PictureSizes RequestState::sizes_of(const Row& row) {
  const PictureSize picture = known_size(row.spec.image);
  return {row.input.width, row.input.height, picture.width, picture.height};
}

std::optional<Geometry> RequestState::resolved(size_t index, int64_t keys) const {
  std::optional<Geometry> geometry = stated(index);
  if (!geometry) return std::nullopt;
  take_row(*geometry, keys);
  geometry = resolve(*geometry, sizes_of(rows_[index]));
  const bool alone = geometry->first_key == 0 && geometry->spans.empty();
  check_keys(*geometry, keys, alone && keys < geometry->keys());
  return geometry;
}

LatentLayout RequestState::placed(size_t index, int64_t keys) const {
  if (through_.empty()) {
    throw Error(
        "through: expected a call of the sites between before the first attention over latents, got none while the "
        "request was open. Open the request before the picture is encoded: what latents that are kept from earlier "
        "were made of is not known.",
        DropReason::NoAttention);
  }
  const std::optional<Geometry> geometry = stated(index);
  if (!geometry) {
    throw Error(
        "geometry: expected the picture's keys in the rows of the sites between, got no geometry. Put one into the "
        "profile or the request.",
        DropReason::GridMismatch);
  }
  return place_latents(*geometry, sizes_of(rows_[index]), through_.units(static_cast<int64_t>(rows_.size())), keys);
}

void RequestState::check_alone(size_t index, int64_t keys, SeesBeyond beyond) {
  Row& row = rows_[index];
  if (!row.geometry || row.geometry->first_key > 0 || !row.geometry->spans.empty() || row.geometry->keys() == keys)
    return;
  const at::Tensor seen = beyond(static_cast<int64_t>(index), row.geometry->keys());
  if (!seen.defined() || (seen.device().is_cpu() && seen.item<bool>())) check_keys(*row.geometry, keys, true);
  if (!seen.device().is_cpu()) row.beyond = seen;
}

bool RequestState::prepare(int64_t batch, int64_t keys, SeesBeyond beyond) {
  fit_batch(batch);
  if (batch != static_cast<int64_t>(rows_.size())) {
    fail(DropReason::ShapeMismatch, "batch: expected " + std::to_string(rows_.size()) +
                                        " rows, one per request spec, got a batch of " + std::to_string(batch) +
                                        ". Open the request with one spec per batch row.");
    return false;
  }
  try {
    for (size_t row = 0; row < rows_.size(); ++row) {
      if (recorder->profile.through) {
        rows_[row].latents = placed(row, keys);
        rows_[row].geometry = rows_[row].latents->geometry;
        rows_[row].encoded = static_cast<int64_t>(row);
        continue;
      }
      rows_[row].geometry = resolved(row, keys);
      check_alone(row, keys, beyond);
    }
    encoded_rows_ = static_cast<int64_t>(rows_.size());
  } catch (const Error& error) {
    fail(error.reason(), error.what());
    return false;
  }
  const auto first_cell = [](const Row& row) {
    if (row.latents) return row.latents->first_key();
    return row.geometry ? row.geometry->first_cell() : 0;
  };
  const auto span = [keys](const Row& row) {
    if (row.latents) return row.latents->span();
    return row.geometry ? row.geometry->span() : keys;
  };
  first_cell_ = first_cell(rows_.front());
  span_ = span(rows_.front());
  for (const Row& row : rows_) {
    if (first_cell(row) == first_cell_ && span(row) == span_) continue;
    fail(DropReason::ShapeMismatch, "batch: expected the " + std::string(noun()) +
                                        "'s keys at one place in all rows, got " + std::to_string(span_) + " from " +
                                        std::to_string(first_cell_) + " and " + std::to_string(span(row)) + " from " +
                                        std::to_string(first_cell(row)) + ". Put " + std::string(noun()) +
                                        "s of different sizes into batches of their own.");
    return false;
  }
  keys_ = keys;
  prepared_ = true;
  return true;
}

void RequestState::grow(int64_t keys) {
  flush_kept();
  if (failed()) return;
  for (Row& row : rows_) {
    row.geometry->cols += keys - (first_cell_ + span_) - row.geometry->trailing;
    widen(row.accumulators, row.geometry->span());
  }
  span_ = rows_.front().geometry->span();
  keys_ = keys;
}

ops::Accumulator& RequestState::accumulator(Row& row, at::Device device) {
  return accumulator_on(row.accumulators, recorder->options.max_tokens, span_, device);
}

std::optional<ops::Window> RequestState::wanted_rows(int64_t site, const at::Tensor& like, int64_t batch, int64_t heads,
                                                     int64_t queries, int64_t keys, SeesBeyond beyond) {
  if (queries == 0 || batch == 0 || refuse_while_capturing(like.device())) return std::nullopt;
  follow_streams(like.device());
  if (!prepared_ && !prepare(batch, keys, beyond)) return std::nullopt;
  if (const auto& geometry = rows_.front().geometry;
      geometry && geometry->time && geometry->time->whole && keys > first_cell_ + span_ + geometry->trailing) {
    grow(keys);
    if (failed()) return std::nullopt;
  }
  if (batch != static_cast<int64_t>(rows_.size()) || keys < first_cell_ + span_) {
    fail(DropReason::ShapeMismatch, recorder->instrumented.sites[static_cast<size_t>(site)].name + ": expected batch " +
                                        std::to_string(rows_.size()) + " and at least " +
                                        std::to_string(first_cell_ + span_) +
                                        " keys as in the request's first call, got batch " + std::to_string(batch) +
                                        " and " + std::to_string(keys) + " keys. Use one request per batch.");
    return std::nullopt;
  }
  const std::vector<int64_t>& chosen = recorder->heads(site);
  if (!chosen.empty() && chosen.back() >= heads) {
    fail(DropReason::ShapeMismatch,
         "profile: heads.select: " + recorder->instrumented.sites[static_cast<size_t>(site)].name +
             ": expected heads of 0.." + std::to_string(heads - 1) + ", got " + std::to_string(chosen.back()) +
             ". Correct the list.");
    return std::nullopt;
  }
  batched_ = batched_ || batch > 1;
  Progress& progress = progress_[static_cast<size_t>(site)];
  if (queries == 1 && progress.grew && keys == progress.keys) {
    fail(DropReason::ShapeMismatch, recorder->instrumented.sites[static_cast<size_t>(site)].name +
                                        ": expected keys that stay where they are, got a row that grew to " +
                                        std::to_string(keys) +
                                        " keys and no further: a cache that drops its oldest keys moves the " + noun() +
                                        "'s. Finish the request before the cache is full.");
    return std::nullopt;
  }
  progress.grew = progress.calls > 0 && keys == progress.keys + queries;
  progress.keys = keys;
  ops::Window window;
  const int64_t prompt = rows_.front().spec.prompt_tokens;
  window.first_query = queries - 1;
  if (queries > 1 && prompt > 0 && progress.calls == 0) window.first_query = std::min(prompt, queries) - 1;
  window.queries = queries - window.first_query;
  window.first_key = first_cell_;
  window.first_token = progress.tokens;
  const int64_t room = std::max<int64_t>(0, recorder->options.max_tokens - progress.tokens);
  progress.tokens_dropped += std::max<int64_t>(0, window.queries - room);
  window.queries = std::min(window.queries, room);
  window.heads = chosen;
  return window;
}

void RequestState::count_call(int64_t site, int64_t heads, int64_t tokens) {
  Progress& progress = progress_[static_cast<size_t>(site)];
  progress.tokens += tokens;
  progress.heads = heads;
  ++progress.calls;
  ++taps_;
}

void RequestState::fail_written_over(int64_t site) {
  fail(DropReason::ShapeMismatch, recorder->instrumented.sites[static_cast<size_t>(site)].name +
                                      ": expected keys that stay as they are while tokens wait for them, got memory "
                                      "that was written over. Set deferred_tokens to 0 for a cache that rolls or is "
                                      "cleared before finish(), and call Request::reorder before it is gathered in "
                                      "place.");
}

void RequestState::follow_streams(at::Device device) {
  const auto held = [&](StreamOrder::Tensor see) {
    for (const Row& row : rows_) {
      each_tensor(row.accumulators, see);
      row.rollout.each_tensor(see);
      see(row.beyond);
    }
    for (const Progress& progress : progress_) progress.kept.each_tensor(see);
    through_.each_tensor(see);
  };
  streams_.follow(device, held);
  // Rows of layers on several devices meet on one of them.
  for (size_t i = 0; i < streams_.streams().size(); ++i) streams_.follow(streams_.streams()[i].device(), held);
}

void RequestState::flush_kept() {
  for (size_t i = 0; i < streams_.streams().size(); ++i) {
    const at::Device device = streams_.streams()[i].device();
    if (refuse_while_capturing(device)) return;
    follow_streams(device);
  }
  for (const int64_t site : kept_order_) {
    if (progress_[static_cast<size_t>(site)].kept.written_over()) return fail_written_over(site);
  }
  const auto batch = static_cast<int64_t>(rows_.size());
  // Layers on one device share the pass.
  while (!kept_order_.empty()) {
    const at::Device device = progress_[static_cast<size_t>(kept_order_.front())].kept.device();
    const auto here = std::stable_partition(kept_order_.begin(), kept_order_.end(), [&](int64_t site) {
      return progress_[static_cast<size_t>(site)].kept.device() == device;
    });
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<ops::AttendCall> calls;
      for (auto site = kept_order_.begin(); site != here; ++site) {
        calls.push_back(progress_[static_cast<size_t>(*site)].kept.call(b, first_cell_, recorder->heads(*site)));
      }
      ops::attend_reduce(calls, recorder->reduce, accumulator(rows_[static_cast<size_t>(b)], device));
    }
    for (auto site = kept_order_.begin(); site != here; ++site) progress_[static_cast<size_t>(*site)].kept.clear();
    kept_order_.erase(kept_order_.begin(), here);
  }
}

void RequestState::keep_exact(int64_t site, at::Tensor attn_bhqk) {
  ExactWeights weights;
  weights.site = recorder->instrumented.sites[static_cast<size_t>(site)].name;
  weights.call = progress_[static_cast<size_t>(site)].calls++;
  weights.attn_bhqk = attn_bhqk.to(at::kCPU, at::kFloat).contiguous();
  exact.push_back(std::move(weights));
}

void RequestState::keep_heads(int64_t site, int64_t batch, const at::Tensor& attn_htk) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor span = attn_htk.detach().narrow(2, first_cell_, span_);
  head_rows.push_back({site, batch, span.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous()});
}

std::vector<std::optional<Geometry>> RequestState::geometries() const {
  std::vector<std::optional<Geometry>> all;
  for (const Row& row : rows_) all.push_back(row.geometry);
  return all;
}

at::Tensor RequestState::arrange(const at::Tensor& weights, const WeightsLayout& layout) const {
  at::Tensor attn = weights;
  if (layout.query_axis == 0) {
    attn = attn.movedim(layout.key_axis, -1).unsqueeze(-2);
  } else if (layout.key_axis != -1 || layout.query_axis != -2) {
    attn = attn.movedim({layout.query_axis, layout.key_axis}, {-2, -1});
  }
  if (attn.dim() == 2) return attn.unsqueeze(0).unsqueeze(0);
  if (attn.dim() == 3) {  // batch and heads merged, or no heads
    const auto rows = static_cast<int64_t>(mode_ == Mode::Exact ? 0 : rows_.size());
    const int64_t outer = attn.size(0);
    if (layout.heads > 0 && outer % layout.heads == 0) return attn.unflatten(0, {-1, layout.heads});
    if (rows > 0 && outer % rows == 0) return attn.unflatten(0, {rows, -1});
    return attn.unsqueeze(0);
  }
  return attn.dim() > 4 ? attn.flatten(1, -3) : attn;
}

void RequestState::push(int64_t site, const at::Tensor& tapped, const WeightsLayout& layout) noexcept {
  try {
    const InsideTap inside;
    if (failed() || (mode_ != Mode::Exact && !recorder->wanted(site))) return;
    if (!accept(site, "weights", tapped)) return;
    const at::Tensor weights = materialised(tapped);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load()) return;
    if (weights.dim() < (layout.query_axis == 0 ? 1 : 2)) {
      fail(DropReason::ShapeMismatch, recorder->instrumented.sites[static_cast<size_t>(site)].name +
                                          ": expected weights with an axis of queries and one of keys, got " +
                                          std::to_string(weights.dim()) + " dimensions of size " +
                                          c10::str(weights.sizes()) + ". Leave the site out of the profile.");
      return;
    }
    const at::Tensor attn_bhqk = arrange(weights, layout);
    if (mode_ == Mode::Exact) {
      const c10::InferenceMode normal(false);
      const at::NoGradGuard no_grad;
      keep_exact(site, attn_bhqk.detach().clone());
      return;
    }
    const auto add_whole = [&](int64_t row, const ops::ReduceOptions& by, ops::Accumulator& to) {
      ops::reduce(attn_bhqk, {.batch = row, .queries = attn_bhqk.size(2), .partial = layout.partial}, by, to);
    };
    if (recorder->between(site)) {
      add_between(site,
                  {attn_bhqk.size(0), attn_bhqk.size(1), attn_bhqk.size(2), attn_bhqk.size(3), attn_bhqk.device()},
                  add_whole);
      return;
    }
    const auto beyond = [&](int64_t row, int64_t key) {
      return attn_bhqk[row].select(1, -1).slice(1, key).ne(0).any();
    };
    const auto window = wanted_rows(site, attn_bhqk, attn_bhqk.size(0), attn_bhqk.size(1), attn_bhqk.size(2),
                                    attn_bhqk.size(3), beyond);
    if (!window) return;
    if (rolls_out()) {
      roll_on(site, *window, attn_bhqk.size(2), attn_bhqk.size(3), attn_bhqk.device(), add_whole);
      count_call(site, attn_bhqk.size(1), window->queries);
      return;
    }
    for (int64_t b = 0; b < attn_bhqk.size(0) && window->queries > 0; ++b) {
      if (mode_ == Mode::Heads) {
        keep_heads(site, b, attn_bhqk[b].narrow(1, window->first_query, window->queries));
        continue;
      }
      ops::Window row = *window;
      row.batch = b;
      row.partial = layout.partial;
      ops::reduce(attn_bhqk, row, recorder->reduce, accumulator(rows_[static_cast<size_t>(b)], attn_bhqk.device()));
    }
    count_call(site, attn_bhqk.size(1), window->queries);
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::push(int64_t site, const ops::Scores& scores) noexcept {
  try {
    const InsideTap inside;
    if (failed() || (mode_ != Mode::Exact && !recorder->wanted(site))) return;
    if (!accept(site, "queries", scores.q_bhqd) || !accept(site, "keys", scores.k_bhkd)) return;
    if (scores.mask && scores.mask->defined() && !accept(site, "a mask", *scores.mask)) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load()) return;
    at::Tensor q_bhqd = materialised(scores.q_bhqd);
    at::Tensor k_bhkd = materialised(scores.k_bhkd);
    while (q_bhqd.dim() < 4) q_bhqd = q_bhqd.unsqueeze(0);
    while (k_bhkd.dim() < 4) k_bhkd = k_bhkd.unsqueeze(0);
    std::optional<at::Tensor> mask = scores.mask;
    if (mask && mask->defined()) mask = materialised(*mask);
    if (q_bhqd.dim() > 4) {  // all that stands before the heads is batch
      std::vector<int64_t> outer(q_bhqd.sizes().begin(), q_bhqd.sizes().end() - 2);
      if (mask && mask->defined() && mask->dim() > 4) {
        outer.push_back(mask->size(-2));
        outer.push_back(mask->size(-1));
        mask = mask->expand(outer).flatten(0, -4);
      }
      q_bhqd = q_bhqd.flatten(0, -4);
      k_bhkd = k_bhkd.flatten(0, -4);
    }
    const ops::Scores whole{q_bhqd, k_bhkd, mask, scores.causal, scores.scale};
    if (mode_ == Mode::Exact) {
      const c10::InferenceMode normal(false);
      const at::NoGradGuard no_grad;
      std::vector<at::Tensor> rows;
      for (int64_t b = 0; b < q_bhqd.size(0); ++b) rows.push_back(ops::attend(whole, {b, 0, q_bhqd.size(2), 0, 0}));
      keep_exact(site, at::stack(rows));
      return;
    }
    const auto add_whole = [&](int64_t row, const ops::ReduceOptions& by, ops::Accumulator& to) {
      ops::attend_reduce(whole, {.batch = row, .queries = q_bhqd.size(2)}, by, to);
    };
    if (recorder->between(site)) {
      add_between(site, {q_bhqd.size(0), q_bhqd.size(1), q_bhqd.size(2), k_bhkd.size(2), q_bhqd.device()}, add_whole);
      return;
    }
    const auto beyond = [&](int64_t row, int64_t key) {
      if (!mask || !mask->defined()) return at::Tensor();
      const at::Tensor mask_hk =
          mask->expand({q_bhqd.size(0), q_bhqd.size(1), q_bhqd.size(2), k_bhkd.size(2)})[row].select(1, -1);
      const at::Tensor rest = mask_hk.slice(1, key);
      return rest.scalar_type() == at::kBool ? rest.any() : rest.gt(ops::kAsGoodAsMasked).any();
    };
    const auto window =
        wanted_rows(site, q_bhqd, q_bhqd.size(0), q_bhqd.size(1), q_bhqd.size(2), k_bhkd.size(2), beyond);
    if (!window) return;
    if (rolls_out()) {
      roll_on(site, *window, q_bhqd.size(2), k_bhkd.size(2), q_bhqd.device(), add_whole);
    } else if (window->queries > 0) {
      add_or_keep(site, whole, *window);
    }
    count_call(site, q_bhqd.size(1), window->queries);
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::push(int64_t site, const PackedAttention& packed) noexcept {
  try {
    const InsideTap inside;
    if (failed() || (mode_ != Mode::Exact && !recorder->wanted(site))) return;
    for (const at::Tensor* input : {&packed.q_input, &packed.k_input}) {
      if (!is_plain_batch(*input) && !accept(site, "an input", *input)) return;
    }
    if (!accept(site, "a projection's weights", packed.weight)) return;
    for (const auto* optional : {&packed.bias, &packed.mask, &packed.norm_weight, &packed.norm_bias}) {
      if (*optional && (*optional)->defined() && !accept(site, "a bias, mask or norm", **optional)) return;
    }
    const at::NoGradGuard no_grad;
    const ProjectedScores scores = scores_of(packed);
    push(site, ops::Scores{scores.q_bhqd, scores.k_bhkd, scores.mask});
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::add_between(int64_t site, const LatentMaps::Call& call, AddWhole add) {
  // Later runs are of other pictures, or of the same one again: the overlay's was chosen at the first token.
  if (prepared_ || call.batch == 0 || call.queries == 0 || refuse_while_capturing(call.device)) return;
  follow_streams(call.device);
  through_.add(site, recorder->instrumented.sites[static_cast<size_t>(site)].name, call,
               [&](int64_t row, ops::Accumulator& to) { add(row, LatentMaps::kReduce, to); });
}

void RequestState::roll_on(int64_t site, const ops::Window& window, int64_t queries, int64_t keys, at::Device device,
                           AddWhole add) {
  const std::string& name = recorder->instrumented.sites[static_cast<size_t>(site)].name;
  ops::ReduceOptions heads = recorder->reduce;
  heads.layers = ops::LayerReduce::Mean;
  for (size_t b = 0; b < rows_.size(); ++b) {
    const RolloutRows::Layer layer{site,
                                   queries,
                                   keys,
                                   window.first_key,
                                   span_,
                                   recorder->options.max_tokens,
                                   window.first_query,
                                   window.first_token,
                                   window.queries,
                                   device};
    // One accumulator, whichever device a layer lies on: a later layer's rows take the place of an earlier one's.
    RowAccumulators& to = rows_[b].accumulators;
    ops::Accumulator& sums = to.empty() ? accumulator(rows_[b], device) : to.front();
    rollout_bytes_ += rows_[b].rollout.add(
        name, layer, recorder->options.queue_bytes - rollout_bytes_,
        [&](ops::Accumulator& all) { add(static_cast<int64_t>(b), heads, all); }, sums);
  }
}

void RequestState::add_or_keep(int64_t site, const ops::Scores& scores, const ops::Window& window) {
  if (mode_ == Mode::Heads) {
    for (int64_t b = 0; b < scores.q_bhqd.size(0); ++b) {
      keep_heads(site, b, ops::attend(scores, {b, window.first_query, window.queries}));
    }
    return;
  }
  const int64_t room = recorder->options.deferred_tokens;
  DeferredQueries& kept = progress_[static_cast<size_t>(site)].kept;
  if (room > 1) {
    if (kept.written_over(scores)) return fail_written_over(site);
    // A full site is the first to come round again: the others are full as well, and share its pass.
    if (!kept.empty() && !kept.takes(scores)) {
      flush_kept();
      if (failed()) return;
    }
    if (kept.takes(scores)) {
      if (kept.empty()) kept_order_.push_back(site);
      kept.keep(scores, window.first_token, room);
      return;
    }
  }
  for (int64_t b = 0; b < scores.q_bhqd.size(0); ++b) {
    ops::Window row = window;
    row.batch = b;
    ops::attend_reduce(scores, row, recorder->reduce,
                       accumulator(rows_[static_cast<size_t>(b)], scores.q_bhqd.device()));
  }
}

void RequestState::fail(DropReason reason, std::string text) noexcept {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  if (failed()) return;
  error_reason_ = reason;
  error_ = std::move(text);
  failed_.store(true, std::memory_order_release);
}

void RequestState::fail_plainly(DropReason reason, const char* literal) noexcept {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  if (failed()) return;
  error_reason_ = reason;
  error_literal_ = literal;
  failed_.store(true, std::memory_order_release);
}

std::string RequestState::error() const {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  return error_literal_ != nullptr ? error_literal_ : error_;
}

bool RequestState::accept(int64_t site, const char* what, const at::Tensor& tensor) {
  if (is_plain(tensor)) return true;
  fail(DropReason::UnsupportedTensor, recorder->instrumented.sites[static_cast<size_t>(site)].name + ": expected " +
                                          what + " in dense memory, got a tensor of " + describe_kind(tensor) +
                                          ". Leave the site out of the profile, or give the model dense tensors.");
  return false;
}

int64_t RequestState::tokens_dropped() const noexcept {
  int64_t most = 0;
  for (const Progress& progress : progress_) most = std::max(most, progress.tokens_dropped);
  return most;
}

const char* RequestState::noun() const noexcept {
  const std::optional<Geometry>& geometry = rows_.empty() ? recorder->profile.geometry : given(rows_.front());
  return geometry && geometry->time ? "sound" : "picture";
}

void RequestState::label(std::vector<std::string> tokens, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row < rows_.size()) rows_[row].labels = std::move(tokens);
  } catch (...) {
    fail_plainly(DropReason::HostBudget, "label: not enough memory");
  }
}

void RequestState::tokens(const std::vector<int64_t>& ids, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row >= rows_.size()) return;
    const auto& vocabulary = recorder->profile.vocabulary;
    std::vector<std::string> labels;
    std::vector<int64_t> kept;
    for (const int64_t id : ids) {
      if (id == recorder->profile.eos) break;
      kept.push_back(id);
      const bool known = id >= 0 && id < static_cast<int64_t>(vocabulary.size());
      labels.push_back(known ? vocabulary[static_cast<size_t>(id)] : "#" + std::to_string(id));
    }
    rows_[row].ids = std::move(kept);
    rows_[row].labels = std::move(labels);
  } catch (...) {
    fail_plainly(DropReason::HostBudget, "tokens: not enough memory");
  }
}

void RequestState::reorder(const std::vector<int64_t>& from) noexcept {
  try {
    const InsideTap inside;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load() || failed()) return;
    const auto count = static_cast<int64_t>(rows_.size());
    const auto wrong = std::find_if(from.begin(), from.end(), [&](int64_t row) { return row < 0 || row >= count; });
    if (from.empty() || wrong != from.end()) {
      fail(DropReason::ShapeMismatch, "reorder: expected rows of the batch, 0.." + std::to_string(count - 1) +
                                          ", at least one, got " + (from.empty() ? "none" : std::to_string(*wrong)) +
                                          ". Name for each row the one it goes on from.");
      return;
    }
    flush_kept();
    if (failed()) return;
    int64_t tokens = 0;
    for (const Progress& progress : progress_) tokens = std::max(tokens, progress.tokens);
    std::vector<RowAccumulators> accumulators;
    for (Row& row : rows_) accumulators.push_back(std::move(row.accumulators));
    accumulators = gather_rows(std::move(accumulators), from, tokens);
    std::vector<Row> rows;
    rollout_bytes_ = 0;
    for (size_t i = 0; i < from.size(); ++i) {
      rows.push_back(rows_[static_cast<size_t>(from[i])]);
      rows.back().accumulators = std::move(accumulators[i]);
      const bool again = std::find(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(i), from[i]) !=
                         from.begin() + static_cast<std::ptrdiff_t>(i);
      if (again) rows.back().rollout = rows.back().rollout.clone();
      rollout_bytes_ += rows.back().rollout.bytes();
    }
    rows_ = std::move(rows);
    const int64_t more = static_cast<int64_t>(from.size()) - count;
    if (more > 0) {
      recorder->counters->sampled(more);
    } else if (more < 0) {
      recorder->counters->dropped(DropReason::Superseded, -more);
    }
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::sound(Sound recording, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load() || row >= rows_.size()) return;
    if (recording.samples.defined() && refuse_while_capturing(recording.samples.device())) return;
    if (recording.samples.defined()) rows_[row].picture_ready = event_on(recording.samples.device());
    rows_[row].spec.sound = std::move(recording);
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::window(double start_seconds, double seconds) noexcept {
  try {
    const InsideTap inside;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load() || failed()) return;
    // Their keys are those of the part before.
    flush_kept();
    int64_t tokens = 0;
    for (const Progress& progress : progress_) tokens = std::max(tokens, progress.tokens);
    if (tokens > 0 && windows_.empty()) windows_.push_back({});
    if (!windows_.empty() && windows_.back().first_token == tokens) windows_.pop_back();
    windows_.push_back({tokens, start_seconds, seconds});
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::compose(const Row& row, AttentionRecord& record) const {
  const LatentMaps::Composed composed =
      through_.compose(record.map_tc, record.mass_t, *row.latents, row.encoded, encoded_rows_);
  record.map_tc = composed.map_tk;
  record.mass_t = composed.mass_t;
  record.flags_t = record.flags_t.bitwise_or(composed.flags);
  const LatentUnits units = through_.units(encoded_rows_);
  ThroughUse use;
  use.rollout = recorder->profile.through->rollout;
  use.latents = row.latents->units * units.latents;
  use.keys = units.keys;
  use.gaps = row.latents->pieces.size() > 1;
  for (const auto& [index, uses] : through_.sites()) {
    const Site& site = recorder->instrumented.sites[static_cast<size_t>(index)];
    use.sites.push_back({site.name, site.kind, uses.heads, uses.calls});
  }
  record.through = std::move(use);
}

AttentionRecord RequestState::make_record(Row& row) {
  AttentionRecord record = recorder->blank_record();
  record.request_id = std::move(row.spec.id);
  record.prompt = std::move(row.spec.prompt);
  record.labels = std::move(row.labels);
  record.token_ids = std::move(row.ids);
  if (row.spec.geometry) record.geometry = *row.spec.geometry;
  if (row.geometry) record.geometry = std::move(*row.geometry);
  record.picture = std::move(row.spec.image);
  record.sound = std::move(row.spec.sound);
  record.windows = windows_;
  record.keys = keys_;
  const int64_t method = method_.load(std::memory_order_relaxed);
  record.method = method >= 0 ? recorder->instrumented.methods[static_cast<size_t>(method)] : "";
  int64_t tokens = 0;
  bool gathered = false;
  for (size_t i = 0; i < progress_.size(); ++i) {
    if (progress_[i].calls == 0) continue;
    tokens = std::max(tokens, progress_[i].tokens);
    const Site& site = recorder->instrumented.sites[i];
    record.sites.push_back({site.name, site.kind, progress_[i].heads, progress_[i].calls,
                            recorder->heads(static_cast<int64_t>(i)), site.gate.has_value(),
                            site.gate ? site.gate->value : std::nullopt});
    gathered = gathered || site.gathers_rows;
  }
  record.tokens_dropped = tokens_dropped();
  record.timings_ms["begin_to_finish"] =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun_).count();
  if (failed()) {
    record.error = error();
    record.error_reason = error_reason_;
  } else if (tokens == 0) {
    record.error =
        "capture: expected at least one call of the selected sites while the request was open, got none. Run the model "
        "on the thread that "
        "opened the request, before finish().";
    record.error_reason = DropReason::NoAttention;
  } else {
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    ops::Accumulator& sums = row.accumulators.front();
    for (size_t i = 1; i < row.accumulators.size(); ++i) ops::merge(sums, row.accumulators[i], recorder->reduce);
    ops::ReduceOptions reduce = recorder->reduce;
    if (rolls_out()) reduce.layers = ops::LayerReduce::Last;
    const ops::Reduced reduced = ops::finish(sums, tokens, reduce);
    record.map_tc = reduced.map_tc;
    record.mass_t = reduced.mass_t;
    record.visible_t = reduced.visible_t;
    record.flags_t = sums.flags_t.slice(0, 0, tokens);
    if (row.latents) compose(row, record);
    if (row.beyond.defined()) {
      record.flags_t = record.flags_t.bitwise_or(
          row.beyond.to(record.flags_t.device(), at::kInt).mul(static_cast<int64_t>(ops::kRowBeyond)));
    }
    if (gathered && batched_) {
      record.flags_t = record.flags_t.bitwise_or(static_cast<int64_t>(ops::kRowGathered));
    }
    if (const at::Device device = record.map_tc.device(); !device.is_cpu()) {
      if (row.picture_ready) {
        row.picture_ready->block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
      }
      record.ready = event_on(device);
    }
  }
  return record;
}

void RequestState::finish() noexcept {
  if (!open.exchange(false)) return;
  unbind(*this);
  const InsideTap inside;
  const std::lock_guard<std::mutex> lock(mutex_);
  try {
    if (!failed()) flush_kept();
  } catch (...) {
    fail_with_current_exception();
  }
  recorder->counters->taps(taps_, tokens_dropped());
  if (automatic_ && taps_ == 0 && !failed()) {
    // A method without attention, an encoder say: nobody asked for a bundle of it.
    recorder->counters->dropped(DropReason::NoAttention, static_cast<int64_t>(rows_.size()));
    rows_.clear();
  }
  for (auto& row : rows_) {
    try {
      recorder->worker->push(make_record(row));
    } catch (...) {
      recorder->counters->dropped(reason_of_current_exception(DropReason::HookException));
    }
  }
  rows_.clear();
  through_.release();
}

void RequestState::finish_beside_recordings() noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const c10::Stream& stream : streams_.streams()) ops::allow_calls_while_capturing(stream.device());
  } catch (...) {  // without the part for that device nothing was captured on it
  }
  finish();
}

void RequestState::discard(DropReason reason) noexcept {
  if (!open.exchange(false)) return;
  unbind(*this);
  if (mode_ != Mode::Reduce) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  recorder->counters->dropped(reason, static_cast<int64_t>(rows_.size()));
  rows_.clear();
  through_.release();
}

}  // namespace gaze

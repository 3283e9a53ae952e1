// SPDX-License-Identifier: MIT
#include "request/record_builder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <gaze/ops/device.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

#include "capture/stream_order.hpp"
#include "request/attached_model.hpp"
#include "request/media_intake.hpp"

namespace gaze {
namespace {

ThroughUse through_use(const LatentLayout& latents, const TokenCapture& capture, const Recorder& recorder) {
  const LatentUnits units = capture.latent_units();
  ThroughUse use;
  use.rollout = recorder.profile.through->rollout;
  use.latents = latents.units * units.latents;
  use.keys = units.keys;
  use.gaps = latents.pieces.size() > 1;
  for (const auto& [index, uses] : capture.latent_maps().sites()) {
    const Site& site = recorder.sites[index];
    use.sites.push_back({site.name, site.kind, uses.heads, uses.calls});
  }
  return use;
}

/// As through_use, of an encoder whose positions are the keys.
ThroughUse encoder_use(const MediumPlace& place, const TokenCapture& capture, const Recorder& recorder) {
  ThroughUse use;
  use.rollout = true;
  use.latents = place.geometry->span();
  use.keys = capture.keys();
  for (const EncoderLayers::Layer& layer : capture.encoder()->layers()) {
    const Site& site = recorder.sites[layer.site];
    use.sites.push_back({site.name, site.kind, layer.call->heads(), 1});
  }
  return use;
}

/// Carries the first map on through the encoder, and cuts it to the picture's keys.
class CarryOn {
 public:
  CarryOn(std::shared_ptr<const EncoderLayers> encoder, int64_t row, int64_t keys)
      : encoder_(std::move(encoder)), row_(row), keys_(keys) {}

  [[nodiscard]] int64_t bytes() const { return encoder_->bytes(); }

  void complete(AttentionRecord& record) const {
    if (encoder_->written_over()) return leave(record);
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    MediumMap& map = record.maps.front();
    const EncoderLayers::Carried carried = encoder_->carry(map.map_tk, row_);
    map.map_tk = carried.map_tk;
    map.flags_t = map.flags_t.bitwise_or(carried.flags);
    record.layers += ", carried through the encoder along the strongest half of each position's row";
    cut(map);
  }

  void leave(AttentionRecord& record) const {
    record.maps.front().through.reset();
    cut(record.maps.front());
  }

 private:
  /// What other keys hold, a class token's say, is no part of the picture: the mass is that of its own keys.
  void cut(MediumMap& map) const {
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    const Geometry& geometry = map.geometry();
    if (geometry.span() == keys_) return;
    const at::Tensor whole_t = map.map_tk.sum(1);
    map.map_tk = map.map_tk.narrow(1, geometry.first_cell(), geometry.span()).contiguous();
    const at::Tensor share_t = at::where(whole_t.gt(0), map.map_tk.sum(1).div(whole_t), at::zeros_like(whole_t));
    map.mass_t = map.mass_t.mul(share_t);
  }

  std::shared_ptr<const EncoderLayers> encoder_;
  int64_t row_, keys_;
};

/// While it lives, this thread works on the record's memory on a stream of Gaze's own, after what filled it.
class Beside {
 public:
  Beside(AttentionRecord& record, const std::vector<RowAnswer>& more, const std::optional<ReplayedAnswer>& replayed)
      : record_(record) {
    const at::Device device = record.device();
    if (device.is_cpu()) return;
    ops::allow_calls_while_capturing(device);
    const c10::Stream stream = worker_stream(device);
    guard_.reset_stream(stream);
    if (record.ready) record.ready->block(stream);
    for (const at::Tensor& tensor : record.tensors()) keep(tensor, stream);
    for (const RowAnswer& answer : more) {
      for (const at::Tensor* tensor : {&answer.weight_t, &answer.rows_t, &answer.beyond}) keep(*tensor, stream);
    }
    if (replayed) replayed->each_tensor([&](const at::Tensor& tensor) { keep(tensor, stream); });
  }
  /// What was enqueued meanwhile fills the record.
  void end() {
    if (guard_.current_stream()) record_.ready = event_on(record_.device());
  }

 private:
  /// Most are parts of one piece of memory.
  void keep(const at::Tensor& tensor, c10::Stream stream) {
    if (!tensor.defined() || tensor.device() != stream.device() || (kept_.defined() && kept_.is_alias_of(tensor)))
      return;
    tensor.record_stream(stream);
    kept_ = tensor;
  }

  AttentionRecord& record_;
  at::Tensor kept_;
  c10::OptionalStreamGuard guard_;
};

/// Over the tokens of the others: rows that they do not have are left out, and one that is missing is empty.
at::Tensor as_many(const at::Tensor& of_t, int64_t tokens, int64_t filler) {
  if (of_t.size(0) >= tokens) return of_t.narrow(0, 0, tokens);
  std::vector<int64_t> sizes = of_t.sizes().vec();
  sizes[0] = tokens - of_t.size(0);
  return at::cat({of_t, at::full(sizes, filler, of_t.options())});
}

/// Divides the sums, which the host's thread only copied; then what the maps go through, if anything.
class Unfinished final : public RecordRest {
 public:
  void add(MediumMap& map, RowAnswer answer) {
    map.map_tk = answer.map_tk;
    map.mass_t = answer.mass_t;
    map.visible_t = answer.visible_t;
    map.flags_t = answer.flags_t;
    answers_.push_back(std::move(answer));
  }
  /// Marks all maps that were added.
  void mark_gathered() { gathering_ = answers_.size(); }
  void carry_on(CarryOn carry) { carry_.emplace(std::move(carry)); }
  void add_replayed(ReplayedAnswer replayed) { replayed_.emplace(std::move(replayed)); }

  [[nodiscard]] int64_t bytes() const override {
    int64_t total = (carry_ ? carry_->bytes() : 0) + (replayed_ ? replayed_->bytes() : 0);
    for (const RowAnswer& answer : answers_) {
      for (const at::Tensor* tensor : {&answer.weight_t, &answer.rows_t})
        total += tensor->defined() ? static_cast<int64_t>(tensor->nbytes()) : 0;
    }
    return total;
  }

  void complete(AttentionRecord& record) override {
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    Beside beside(record, answers_, replayed_);
    if (replayed_) replayed_->join(record, answers_);
    replayed_.reset();
    divide(record);
    if (carry_) carry_->complete(record);
    beside.end();
  }

  /// Where the record is, on this thread's current streams.
  void complete_here(AttentionRecord& record) {
    divide(record);
    if (carry_) carry_->complete(record);
  }

  void lighten(AttentionRecord& record) override {
    if (carry_) carry_->leave(record);
    carry_.reset();
  }

 private:
  void divide(AttentionRecord& record) {
    const at::Device device = record.device();
    for (size_t m = 0; m < answers_.size(); ++m) {
      RowAnswer& answer = answers_[m];
      MediumMap& map = record.maps[m];
      const int64_t tokens = record.maps.front().tokens();
      // What was cut off since counts no more.
      answer.map_tk = map.map_tk;
      answer.mass_t = map.mass_t;
      answer.keys = std::min(answer.keys, map.map_tk.size(1));
      answer.divide();
      if (m < gathering_) answer.flags_t = answer.flags_t.bitwise_or(int64_t{ops::kRowGathered});
      // A text may have been looked at for other tokens than what it stands beside.
      map.map_tk = as_many(answer.map_tk, tokens, 0).to(device);
      map.mass_t = as_many(answer.mass_t, tokens, 0).to(device);
      map.visible_t = as_many(answer.visible_t, tokens, 0).to(device);
      map.flags_t = as_many(answer.flags_t, tokens, ops::kRowFullyMasked).to(device);
    }
    answers_.clear();
  }

  std::vector<RowAnswer> answers_;  // of the record's maps, in order
  size_t gathering_ = 0;            // so many of them, from the first on
  std::optional<CarryOn> carry_;
  std::optional<ReplayedAnswer> replayed_;
};

/// The sites that contributed.
std::vector<SiteUse> sites_of(const TokenCapture& capture, const Recorder& recorder) {
  std::vector<SiteUse> sites;
  for (size_t i = 0; i < capture.sites().size(); ++i) {
    const SiteProgress& progress = capture.sites()[i];
    if (progress.calls == 0) continue;
    sites.push_back(site_use(recorder, capture, static_cast<int64_t>(i), progress.heads, progress.calls));
  }
  return sites;
}

/// Whether a site that contributed gathers the rows of its batch anew.
bool gathers(const TokenCapture& capture, const Recorder& recorder) {
  for (size_t i = 0; i < capture.sites().size(); ++i) {
    if (capture.sites()[i].calls > 0 && recorder.sites[static_cast<int64_t>(i)].gathers_rows) return true;
  }
  return false;
}

/// Where each medium lies; before the first call, what was said of it.
std::vector<MediumPlace> places_of(const RequestRow& row, size_t index, const TokenCapture& capture,
                                   const Profile& profile) {
  if (index < capture.rows()) return capture.place_of(index).media;
  if (capture.of_text()) return {{Geometry{.rows = 1, .text = true}, {}, false, {}}};
  return {{row.spec.geometry ? row.spec.geometry : profile.geometry, {}, false, {}}};
}

void fill(PictureMedium& medium, RequestRow& row, const SharedFacts&, const Recorder&) {
  medium.picture = std::move(row.spec.image);
}
void fill(SoundMedium& medium, RequestRow& row, const SharedFacts& facts, const Recorder&) {
  medium.sound = std::move(row.spec.sound);
  medium.windows = facts.windows;
}
void fill(TextMedium& medium, RequestRow& row, const SharedFacts&, const Recorder& recorder) {
  medium.text = std::move(row.spec.text);
  medium.vocabulary = recorder.vocabulary;
  medium.spelling = recorder.profile.spelling;
  if (recorder.profile.text) medium.markers = recorder.profile.text->markers;
}

/// The pieces that are the prompt: as many as have its length together, else the first, whatever its length is.
at::Tensor prompt_ids(const std::vector<at::Tensor>& pieces, int64_t length) {
  if (pieces.empty()) return {};
  int64_t total = 0;
  for (size_t n = 0; n < pieces.size() && total < length; ++n) {
    total += pieces[n].size(0);
    if (n > 0 && total == length) return at::cat(c10::ArrayRef<at::Tensor>(pieces.data(), n + 1));
  }
  return pieces.front();
}

/// What only a capture that is over tells.
void complete_text(TextMedium& medium, const RequestRow& row, const TokenCapture& capture, int64_t keys) {
  medium.geometry = Geometry{.rows = 1, .cols = keys, .text = true};
  const size_t stated = std::max(medium.text.ids.size(), medium.text.tokens.size());
  const int64_t given = row.text_ids.empty() ? 0 : row.text_ids.front().size(0);
  const TokenCapture::TextStarts starts = capture.text_starts(stated > 0 ? static_cast<int64_t>(stated) : given);
  medium.prompt_key = starts.prompt;
  medium.answer_key = starts.answer;
  medium.ids_k = prompt_ids(row.text_ids, starts.answer >= 0 ? starts.answer - starts.prompt : keys);
}

/// The keys of another medium, special ones included.
std::vector<KeysBetween> keys_of(const MediumPlace& place) {
  std::vector<KeysBetween> keys;
  if (!place.geometry || place.geometry->text) return keys;
  const Geometry& geometry = *place.geometry;
  const std::string noun = gaze::noun(medium_of(geometry));
  if (place.latents) {
    keys.push_back({noun, {place.latents->first_key(), place.latents->span()}});
  } else if (!geometry.spans.empty()) {
    for (const KeySpan& span : geometry.spans) keys.push_back({noun, span});
  } else {
    keys.push_back({noun, {geometry.first_key, geometry.keys()}});
  }
  return keys;
}

/// A text beside the media of the record's first maps.
void add_text(RequestRow& row, size_t index, const SharedFacts& facts, const std::vector<MediumPlace>& places,
              const Recorder& recorder, AttentionRecord& record, Unfinished& rest) {
  TokenCapture& capture = *facts.text;
  RowAnswer answer = std::move(capture.answers(index).front());
  TextMedium medium;
  fill(medium, row, facts, recorder);
  complete_text(medium, row, capture, answer.keys);
  medium.sites = sites_of(capture, recorder);
  const bool own_sites = recorder.profile.text && !recorder.profile.text->sites.empty();
  for (size_t m = 0; m < places.size() && !own_sites; ++m) {
    for (KeysBetween& keys : keys_of(places[m])) medium.between.push_back(std::move(keys));
  }
  std::sort(medium.between.begin(), medium.between.end(),
            [](const KeysBetween& a, const KeysBetween& b) { return a.span.first_key < b.span.first_key; });
  MediumMap& map = record.maps.emplace_back();
  map.medium = std::move(medium);
  rest.add(map, std::move(answer));
}

/// Milliseconds since 1970, UTC.
int64_t date_of(const Recorder& recorder) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return recorder.dated_ms > 0 ? recorder.dated_ms : std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

void add_text_or_say(RequestRow& row, size_t index, const SharedFacts& facts, const std::vector<MediumPlace>& places,
                     const Recorder& recorder, AttentionRecord& record, Unfinished& rest) {
  if (!facts.text_left_out.empty()) {
    record.notes.push_back("The text is left out. " + facts.text_left_out);
  } else if (facts.text != nullptr && facts.text->tokens() == 0) {
    record.notes.push_back(
        "The text is left out: none of its sites ran while the request was open. Name others in text.sites.");
  } else if (facts.text != nullptr) {
    add_text(row, index, facts, places, recorder, record, rest);
  }
}

std::string no_calls(const Recorder& recorder) {
  std::string text =
      "capture: expected at least one call of the selected sites while the request was open, got none. Run the model "
      "on the thread that opened the request, before finish().";
  if (!recorder.devices.empty()) {
    text +=
        " A CUDA graph that was recorded while capture was off has no taps to replay: record it after attach, or run "
        "one "
        "request outside of it.";
  }
  return text;
}

}  // namespace

namespace {

/// What needs the number of tokens at some moment, or moves rows.
std::string untold_by_replays(const SharedFacts& facts, const RowUse& rows) {
  if (rows.regrouped) {
    return "capture: expected rows that stay where they are while CUDA graphs are replayed, got Request::reorder: "
           "which beam a replayed row was of cannot be told. Call the model without graphs to see a beam search.";
  }
  if (facts.windows_moved) {
    return "capture: expected one window while CUDA graphs are replayed, got several: which token is of which cannot "
           "be told. Open a request for each window.";
  }
  return {};
}

/// Everything but maps.
void describe(RequestRow& row, const std::vector<MediumPlace>& places, const TokenCapture& capture,
              const SharedFacts& facts, const Recorder& recorder, AttentionRecord& record) {
  record.request_id = std::move(row.spec.id);
  record.prompt = std::move(row.spec.prompt);
  record.attributes = std::move(row.spec.attributes);
  record.created_ms = date_of(recorder);
  record.labels = std::move(row.labels);
  record.token_ids = std::move(row.ids);
  record.spelling = std::move(row.spelling);
  for (const MediumPlace& place : places) {
    MediumMap& map = record.maps.emplace_back();
    map.medium = medium_of(place.geometry.value_or(Geometry()));
    std::visit([&](auto& medium) { fill(medium, row, facts, recorder); }, map.medium);
  }
  // Other heads or layers have another focus.
  if (!recorder.options.heads && !recorder.options.layers && !capture.of_text())
    record.maps.front().grounding = recorder.profile.grounding;
  record.reduce = capture.reduce();
  record.keys = capture.keys();
  if (facts.method >= 0) record.method = recorder.model.methods[static_cast<size_t>(facts.method)];
  record.sites = sites_of(capture, recorder);
  record.tokens_dropped = capture.tokens_dropped();
  record.rows = capture.row_use();
  record.rows->named = row.named;
  record.rows->named_by_batch = facts.named_by_batch;
  record.timings_ms["begin_to_finish"] = facts.open_ms;
}

/// Undivided, of each medium: what taps captured; where they captured nothing, what replays may have added.
std::vector<RowAnswer> answers_of(size_t index, TokenCapture& capture, const SharedFacts& facts,
                                  const Recorder& recorder, const AttentionRecord& record, Unfinished& rest) {
  std::vector<RowAnswer> answers;
  if (capture.tokens() > 0) answers = capture.answers(index);
  if (facts.replayed) {
    ReplayedAnswer replayed(facts.replayed, index,
                            {.tokens = capture.tokens(),
                             .spans = capture.spans(),
                             .max_tokens = recorder.rules.max_tokens,
                             .untold = untold_by_replays(facts, *record.rows),
                             .nothing = no_calls(recorder)});
    for (size_t m = answers.size(); m < capture.spans().size(); ++m)
      answers.push_back(replayed.answer(m, capture.reduce()));
    rest.add_replayed(std::move(replayed));
  }
  return answers;
}

}  // namespace

SiteUse site_use(const Recorder& recorder, const TokenCapture& capture, int64_t site, int64_t heads, int64_t calls) {
  const Site& of = recorder.sites[site];
  return {of.name,
          of.kind,
          heads,
          calls,
          capture.heads(site).vec(),
          of.gate.has_value(),
          of.gate ? of.gate->value : std::nullopt};
}

BuiltRecord build_record(RequestRow& row, size_t index, TokenCapture& capture, const SharedFacts& facts,
                         const Recorder& recorder) {
  BuiltRecord built{recorder.blank_record(), nullptr};
  AttentionRecord& record = built.record;
  const std::vector<MediumPlace> places = places_of(row, index, capture, recorder.profile);
  describe(row, places, capture, facts, recorder, record);
  const bool gathered = gathers(capture, recorder);
  if (facts.error) {
    record.error = facts.error->text;
    record.error_reason = facts.error->reason;
    return built;
  }
  if (capture.tokens() == 0 && !facts.replayed) {
    record.error = no_calls(recorder);
    record.error_reason = DropReason::NoAttention;
    return built;
  }
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  auto rest = std::make_unique<Unfinished>();
  std::vector<RowAnswer> answers = answers_of(index, capture, facts, recorder, record, *rest);
  for (size_t m = 0; m < answers.size(); ++m) {
    MediumMap& map = record.maps[m];
    const int64_t keys = answers[m].keys;
    rest->add(map, std::move(answers[m]));
    if (row.detail != RowDetail::No && capture.detail()) {
      map.detail = Detail();  // of replays there is none
      if (capture.tokens() > 0)
        map.detail = capture.detail()->of(static_cast<int64_t>(index), m, map.tokens(), record.device());
      map.detail->if_flagged = row.detail == RowDetail::IfFlagged;
    }
    if (places[m].latents) map.through = through_use(*places[m].latents, capture, recorder);
    if (capture.of_text()) complete_text(std::get<TextMedium>(map.medium), row, capture, keys);
  }
  if (gathered && capture.batched()) rest->mark_gathered();
  if (!capture.of_text()) add_text_or_say(row, index, facts, places, recorder, record, *rest);
  const at::Device device = record.device();
  if (places.front().carried) {
    record.maps.front().through = encoder_use(places.front(), capture, recorder);
    rest->carry_on(CarryOn(capture.encoder(), capture.encoded_row(index), capture.keys()));
  }
  // What an encoder's layers refer to is the host's: on a device it is read in the order of the model's own work. Maps
  // through latents are divided by now.
  const bool latents =
      std::any_of(places.begin(), places.end(), [](const MediumPlace& at) { return at.latents.has_value(); });
  if (latents || (places.front().carried && !device.is_cpu())) std::exchange(rest, nullptr)->complete_here(record);
  if (!device.is_cpu()) {
    for (const auto& ready : row.media_ready)
      ready->block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    record.ready = event_on(device);
  }
  built.rest = std::move(rest);
  return built;
}

}  // namespace gaze

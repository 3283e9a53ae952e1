// SPDX-License-Identifier: MIT
#include "request/row_layout.hpp"

#include <ATen/TensorOperators.h>
#include <gaze/render/medium.hpp>

#include <optional>
#include <string>

namespace gaze {
namespace {

/// The request's geometry, else the profile's.
const std::optional<Geometry>& given(const RequestRow& row, const Profile& profile) {
  return row.spec.geometry ? row.spec.geometry : profile.geometry;
}

class Layout {
 public:
  Layout(const std::vector<RequestRow>& rows, const Profile& profile, const PromptSpans& prompt_spans,
         const TokenCapture& capture, bool encoder_leads_here)
      : rows_(rows),
        profile_(profile),
        prompt_spans_(prompt_spans),
        latent_maps_(capture.latent_maps()),
        encoded_rows_(capture.encoded_rows(rows.size())),
        encoder_leads_here_(encoder_leads_here) {}

  [[nodiscard]] RowPlace of(size_t index, const AttentionCall& call) const {
    RowPlace place;
    place.prompt_tokens = rows_[index].spec.prompt_tokens;
    MediumPlace& first = place.media.emplace_back();
    if (profile_.through) {
      first.latents = latents(index, call.keys());
      first.geometry = first.latents->geometry;
    } else {
      first.geometry = resolved(stated(index), index, call);
      first.carried = encoder_leads_here_ && first.geometry && !first.geometry->time && first.geometry->spans.empty();
    }
    if (has_sound_beside()) {
      place.media.push_back({resolved(profile_.sound->beside, index, call), {}, false, {}});
    } else if (!profile_.through) {
      look_beyond(index, call, first);
    }
    return place;
  }

 private:
  /// What request or profile say, with the spans that the prompt's ids tell.
  [[nodiscard]] std::optional<Geometry> stated(size_t index) const {
    std::optional<Geometry> geometry = given(rows_[index], profile_);
    if (placed_by_ids(rows_[index], profile_)) {
      // A picture whose tiles are resampled one by one may have a run for each.
      const int64_t runs = profile_.through ? 0 : geometry->pictures;
      geometry->spans = prompt_spans_.of(static_cast<int64_t>(index), runs);
    }
    return geometry;
  }

  [[nodiscard]] PictureSizes sizes_of(size_t index) const {
    const RequestRow& row = rows_[index];
    const PictureSize picture = known_size(row.spec.image);
    return {row.input.width, row.input.height, picture.width, picture.height};
  }

  [[nodiscard]] bool has_sound_beside() const { return profile_.sound && profile_.sound->beside; }

  [[nodiscard]] std::optional<Geometry> resolved(std::optional<Geometry> geometry, size_t index,
                                                 const AttentionCall& call) const {
    if (!geometry) return std::nullopt;
    const int64_t keys = call.keys();
    take_row(*geometry, keys);
    geometry = resolve(*geometry, sizes_of(index));
    refuse_query_side(*geometry, call);
    const bool alone = geometry->first_key == 0 && geometry->spans.empty();
    check_keys(*geometry, keys, alone && keys < geometry->keys());
    return geometry;
  }

  /// Text-to-image models ask the other way round: each cell attends to the prompt's words.
  static void refuse_query_side(const Geometry& geometry, const AttentionCall& call) {
    const int64_t queries = call.queries();
    if (call.keys() >= geometry.keys() || (queries != geometry.keys() && queries != geometry.cells())) return;
    const std::string medium = noun(medium_of(geometry));
    throw Error(
        "geometry: expected " + std::to_string(geometry.keys()) + " keys, the " + medium + "'s, got " +
            std::to_string(call.keys()) + " keys and " + std::to_string(queries) + " queries: the " + medium +
            " is on the query side of this attention, which is not supported. Select sites whose keys are the " +
            medium + "'s.",
        DropReason::GridMismatch);
  }

  [[nodiscard]] LatentLayout latents(size_t index, int64_t keys) const {
    if (latent_maps_.empty()) {
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
    return place_latents(*geometry, sizes_of(index), latent_maps_.units(encoded_rows_), keys);
  }

  static void look_beyond(size_t index, const AttentionCall& call, MediumPlace& place) {
    const std::optional<Geometry>& geometry = place.geometry;
    if (!geometry || geometry->first_key > 0 || !geometry->spans.empty() || geometry->keys() == call.keys()) return;
    const at::Tensor seen = call.sees_beyond(static_cast<int64_t>(index), geometry->keys());
    if (!seen.defined() || (seen.device().is_cpu() && seen.item<bool>())) check_keys(*geometry, call.keys(), true);
    if (seen.defined() && !seen.device().is_cpu()) place.beyond = seen;
  }

  const std::vector<RequestRow>& rows_;
  const Profile& profile_;
  const PromptSpans& prompt_spans_;
  const LatentMaps& latent_maps_;
  const int64_t encoded_rows_;
  const bool encoder_leads_here_;
};

}  // namespace

bool placed_by_ids(const RequestRow& row, const Profile& profile) {
  const std::optional<Geometry>& geometry = given(row, profile);
  return geometry && profile.spans && geometry->spans.empty() && geometry->first_key == 0;
}

namespace {

void check_batch(const std::vector<RequestRow>& rows, const AttentionCall& call) {
  if (call.batch() == static_cast<int64_t>(rows.size())) return;
  throw Error("batch: expected " + std::to_string(rows.size()) + " rows, one per request spec, got a batch of " +
                  std::to_string(call.batch()) + ". Open the request with one spec per batch row.",
              DropReason::ShapeMismatch);
}

}  // namespace

std::vector<RowPlace> place_text(const std::vector<RequestRow>& rows, const AttentionCall& call) {
  check_batch(rows, call);
  std::vector<RowPlace> places;
  for (const RequestRow& row : rows) {
    RowPlace& place = places.emplace_back();
    place.prompt_tokens = row.spec.prompt_tokens;
    place.media.emplace_back().geometry = Geometry{.rows = 1, .cols = call.keys(), .text = true};
  }
  return places;
}

std::vector<RowPlace> place_rows(const std::vector<RequestRow>& rows, const Profile& profile,
                                 const PromptSpans& prompt_spans, const TokenCapture& capture,
                                 const AttentionCall& call) {
  check_batch(rows, call);
  const Layout layout(rows, profile, prompt_spans, capture, capture.encoder_leads_to(call));
  std::vector<RowPlace> places;
  for (size_t row = 0; row < rows.size(); ++row) places.push_back(layout.of(row, call));
  return places;
}

void stay_at_keys(std::vector<RowPlace>& places) {
  for (RowPlace& row : places) {
    for (MediumPlace& place : row.media) place.carried = false;
  }
}

}  // namespace gaze

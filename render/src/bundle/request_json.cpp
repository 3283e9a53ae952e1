// SPDX-License-Identifier: MIT
#include "bundle/request_json.hpp"

#include <gaze/render/profile.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json_text.hpp"
#include "maps/captions.hpp"

namespace gaze {
namespace {

const char* fit_name(Fit fit) {
  return fit == Fit::CentreCrop ? "centre_crop" : fit == Fit::Letterbox ? "letterbox" : "resize";
}

const char* interpolation_name(ops::Interpolation interpolation) {
  return interpolation == ops::Interpolation::Exact ? "exact" : "bilinear";
}

JsonText flag_names(int32_t flags) {
  JsonText names = JsonText::array();
  if ((flags & ops::kRowNonFinite) != 0) names.push_back("non_finite");
  if ((flags & ops::kRowSum) != 0) names.push_back("row_sum");
  if ((flags & ops::kRowBeyond) != 0) names.push_back("beyond");
  if ((flags & ops::kRowFullyMasked) != 0) names.push_back("fully_masked");
  if ((flags & ops::kRowGathered) != 0) names.push_back("gathered");
  return names;
}

JsonText token_list(const AttentionRecord& record, const TokenFacts& facts) {
  const int64_t captured = record.map_tc.defined() && record.map_tc.dim() > 0 ? record.map_tc.size(0) : 0;
  const int64_t tokens = std::max(captured, static_cast<int64_t>(record.labels.size()));
  const auto value = [](const std::vector<double>& values, size_t t) {
    return t < values.size() ? JsonText(values[t]) : JsonText(nullptr);
  };
  JsonText list = JsonText::array();
  for (size_t t = 0; t < static_cast<size_t>(tokens); ++t) {
    list.push_back({{"index", t},
                    {"text", t < record.labels.size() ? JsonText(record.labels[t]) : JsonText(nullptr)},
                    {"id", t < record.token_ids.size() ? JsonText(record.token_ids[t]) : JsonText(nullptr)},
                    {"mass", value(facts.mass, t)},
                    {"visible_keys", value(facts.visible, t)},
                    {"flags", flag_names(t < facts.flags.size() ? facts.flags[t] : 0)}});
  }
  return list;
}

JsonText frame_mass_list(const WordFacts& word) {
  if (word.frame_mass.empty()) return nullptr;
  JsonText list = JsonText::array();
  for (const double mass : word.frame_mass) list.push_back(JsonText(mass));
  return list;
}

void add_times(const WordTimes& word, JsonText& facts) {
  facts["start"] = JsonText(word.start_seconds);
  facts["end"] = JsonText(word.end_seconds);
  facts["confidence"] = std::isfinite(word.start_seconds) ? JsonText(word.confidence) : JsonText(nullptr);
  facts["hot_seconds"] = JsonText(word.hot_seconds);
  facts["silence"] = word.silence;
  facts["mass_on_padding"] = JsonText(word.mass_on_padding);
}

JsonText map_facts(const Written& written, bool sized) {
  const WordFacts& word = written.facts;
  const bool hot = sized && std::isfinite(word.hot_x) && std::isfinite(word.hot_y);
  JsonText facts = {{"file", written.file.empty() ? JsonText(nullptr) : JsonText(written.file)},
                    {"mass", JsonText(word.mass)},
                    {"frame_mass", frame_mass_list(word)},
                    {"max_lift", JsonText(word.max_lift)},
                    {"entropy", JsonText(word.entropy)},
                    {"diffuse", word.diffuse},
                    {"range_max_lift", JsonText(word.range_max_lift)},
                    {"hot_point", hot ? JsonText::array_of(std::array{word.hot_x, word.hot_y}) : JsonText(nullptr)},
                    {"flags", flag_names(word.flags)}};
  if (written.times) add_times(*written.times, facts);
  return facts;
}

JsonText sound_facts(const RequestFacts& sidecar) {
  if (!sidecar.sound) return nullptr;
  const SoundFacts& sound = *sidecar.sound;
  const auto known = [](int64_t value) { return value > 0 ? JsonText(value) : JsonText(nullptr); };
  const bool moved = sidecar.record.style.align_to_energy;
  return {{"seconds", JsonText(sound.seconds)},
          {"start_seconds", JsonText(sound.start_seconds)},
          {"sample_rate_hz", known(sound.sample_rate_hz)},
          {"channels", known(sound.channels)},
          {"seconds_per_key", JsonText(sound.seconds_per_key)},
          {"padding", JsonText(sound.padding)},
          {"windows", std::max<size_t>(1, sidecar.record.windows.size())},
          {"aligned", moved ? "attention, moved to the sound's energy" : "attention"}};
}

JsonText word_list(const RequestFacts& sidecar) {
  JsonText list = JsonText::array();
  for (const Written& written : sidecar.words) {
    const Word& word = written.facts.word;
    JsonText entry = {{"text", word.text}, {"first", word.first}, {"count", word.count}};
    entry.append(map_facts(written, sidecar.width > 0));
    list.push_back(std::move(entry));
  }
  return list;
}

JsonText gate_of(const SiteUse& site) {
  if (!site.gated) return nullptr;
  return site.gate ? JsonText(*site.gate) : JsonText("not constant");
}

JsonText site_list(const std::vector<SiteUse>& sites) {
  JsonText list = JsonText::array();
  for (const SiteUse& site : sites) {
    list.push_back(
        {{"name", site.name},
         {"kind", site.kind},
         {"heads", site.heads},
         {"calls", site.calls},
         {"chosen_heads", site.chosen_heads.empty() ? JsonText(nullptr) : JsonText::array_of(site.chosen_heads)},
         {"gate", gate_of(site)}});
  }
  return list;
}

JsonText through_facts(const AttentionRecord& record) {
  if (!record.through) return nullptr;
  return {{"sites", site_list(record.through->sites)},
          {"reduce", record.through->rollout ? "rollout" : "mean"},
          {"latents", record.through->latents},
          {"keys", record.through->keys}};
}

const char* kind_name(const Geometry& geometry) {
  if (geometry.time) return "time";
  return geometry.video ? "video" : geometry.tiles ? "tiles" : "grid";
}

const char* order_name(CellOrder order) {
  return order == CellOrder::Columns ? "columns" : order == CellOrder::Windows ? "windows" : "rows";
}

// What the geometry does not have is left out of its facts.
void add_parts(const Geometry& geometry, JsonText& facts) {
  if (geometry.tiles) {
    const Tiles& tiles = *geometry.tiles;
    facts["tiles"] = {{"rows", tiles.rows},
                      {"cols", tiles.cols},
                      {"leading", tiles.leading},
                      {"trailing", tiles.trailing},
                      {"row_end", tiles.row_end}};
  }
  if (geometry.thumbnail) {
    const Thumbnail& thumbnail = *geometry.thumbnail;
    facts["thumbnail"] = {{"rows", thumbnail.rows},
                          {"cols", thumbnail.cols},
                          {"at", thumbnail.first ? "first" : "last"},
                          {"leading", thumbnail.leading},
                          {"trailing", thumbnail.trailing}};
  }
  if (geometry.time)
    facts["time"] = {{"seconds_per_key", geometry.time->seconds_per_key},
                     {"first_seconds", geometry.time->first_seconds}};
  if (geometry.video) {
    const Video& video = *geometry.video;
    facts["video"] = {{"frames", video.frames},
                      {"temporal_merge", video.temporal_merge},
                      {"frame", video.frame},
                      {"leading", video.leading},
                      {"trailing", video.trailing}};
  }
  if (geometry.spans.empty()) return;
  facts["spans"] = JsonText::array();
  for (const KeySpan& span : geometry.spans) {
    facts["spans"].push_back({{"first_key", span.first_key}, {"keys", span.keys}});
  }
  facts["picture"] = std::max<int64_t>(geometry.picture, 0);
}

JsonText geometry_facts(const Geometry& geometry) {
  JsonText facts = {{"kind", kind_name(geometry)},
                    {"rows", geometry.rows},
                    {"cols", geometry.cols},
                    {"leading", geometry.leading},
                    {"trailing", geometry.trailing},
                    {"first_key", geometry.first_key},
                    {"fit", fit_name(geometry.fit)},
                    {"input_width", geometry.input_width},
                    {"input_height", geometry.input_height},
                    {"resize_shorter", geometry.resize_shorter},
                    {"patch", geometry.patch},
                    {"merge", geometry.merge},
                    {"order", order_name(geometry.order)},
                    {"window_rows", geometry.window_rows},
                    {"window_cols", geometry.window_cols},
                    {"row_end", geometry.row_end},
                    {"last_row_end", geometry.last_row_end},
                    {"unpad", geometry.unpad},
                    {"cut_rows", geometry.cut_rows},
                    {"cut_cols", geometry.cut_cols}};
  add_parts(geometry, facts);
  return facts;
}

JsonText style_facts(const Style& style) {
  return {
      {"interpolation", interpolation_name(style.interpolation)}, {"alpha_max", JsonText(style.blend.alpha_max)},
      {"alpha_start", JsonText(style.blend.alpha_start)},         {"percentile", JsonText(style.normalise.percentile)},
      {"per_map_min_max", style.normalise.per_map_min_max},       {"contour", style.contour},
      {"contour_share", JsonText(style.contour_share)},           {"align_to_energy", style.align_to_energy}};
}

}  // namespace

std::string write_json(const RequestFacts& sidecar) {
  const AttentionRecord& record = sidecar.record;
  JsonText root;
  root["gaze_request"] = 1;
  root["gaze_version"] = GAZE_VERSION;
  root["request_id"] = record.request_id;
  root["prompt"] = record.prompt;
  root["answer"] = answer_text(record);
  root["error"] = nullptr;
  if (!sidecar.error_message.empty()) {
    root["error"] = {{"reason", sidecar.error_reason}, {"message", sidecar.error_message}};
  }
  root["model"] = {{"path", record.model_path}, {"sha256", record.model_sha256}};
  root["method"] = record.method;
  root["profile"] = record.profile;
  root["torch_version"] = record.torch_version;
  root["picture"] = nullptr;
  if (sidecar.width > 0) root["picture"] = {{"width", sidecar.width}, {"height", sidecar.height}};
  root["sound"] = sound_facts(sidecar);
  root["geometry"] = geometry_facts(record.geometry);
  root["keys"] = record.keys;
  root["mass"] = {{"of", sidecar.measured ? "cells" : "span"}, {"exact", sidecar.mass_is_exact}};
  root["sites"] = site_list(record.sites);
  root["through"] = through_facts(record);
  root["layers"] = {{"chosen", record.layers}, {"reduce", name(record.reduce.layers)}};
  root["heads"] = {{"reduce", name(record.reduce.heads)}, {"head", record.reduce.head}, {"k", record.reduce.k}};
  root["sinks"] = {{"requested", record.style.normalise.subtract_sinks}, {"subtracted", sidecar.sinks_subtracted}};
  root["range_max_lift"] = sidecar.measured ? JsonText(sidecar.range_max_lift) : JsonText(nullptr);
  root["colormap"] = name(record.style.colormap);
  root["style"] = style_facts(record.style);
  root["summary"] = sidecar.measured ? map_facts(sidecar.summary, sidecar.width > 0) : JsonText(nullptr);
  root["words"] = word_list(sidecar);
  root["tokens"] = token_list(record, sidecar.tokens);
  root["tokens_dropped"] = record.tokens_dropped;
  root["drops"] = JsonText::object();
  for (const auto& [reason, count] : record.drops) root["drops"][reason] = count;
  root["timings_ms"] = JsonText::object();
  for (const auto& [step, milliseconds] : record.timings_ms) root["timings_ms"][step] = JsonText(milliseconds);
  root["timings_ms"]["render"] = JsonText(sidecar.render_ms);
  root["files"] = JsonText::array_of(sidecar.files);
  root["note"] = evidence_note(record);
  return root.dump(2) + "\n";
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "bundle/request_json.hpp"

#include <gaze/render/profile.hpp>
#include <gaze/render/redaction.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json_text.hpp"
#include "maps/captions.hpp"
#include "maps/row_notes.hpp"
#include "profile/names.hpp"

namespace gaze {
namespace {

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
  const int64_t captured = record.maps.empty() ? 0 : record.maps.front().tokens();
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
  facts["share_within"] = std::isfinite(word.start_seconds) ? JsonText(word.share_within) : JsonText(nullptr);
  facts["hot_seconds"] = JsonText(word.hot_seconds);
  facts["silence"] = word.silence;
  facts["mass_on_padding"] = JsonText(word.mass_on_padding);
}

JsonText grounding_facts(const WordFacts& word, JsonText figures) {
  const Grounding& grounding = word.grounding;
  return {{"verdict", name(grounding.verdict)},
          {"score", JsonText(grounding.score)},
          {"figures", std::move(figures)},
          {"why", grounding.why}};
}

JsonText word_grounding(const WordFacts& word) {
  const SharpestToken& sharpest = word.sharpest;
  if (sharpest.token < 0) return grounding_facts(word, nullptr);
  return grounding_facts(word, {{"token", sharpest.token},
                                {"sharpest_lift", JsonText(sharpest.max_lift)},
                                {"entropy", JsonText(sharpest.entropy)},
                                {"mass", JsonText(sharpest.mass)}});
}

// Of the whole answer: the means of its words with content, and how many of each verdict there are.
JsonText answer_grounding(const MapFacts& facts) {
  const SharpestToken& mean = facts.summary.facts.sharpest;
  JsonText figures = {
      {"sharpest_lift", JsonText(mean.max_lift)}, {"entropy", JsonText(mean.entropy)}, {"mass", JsonText(mean.mass)}};
  for (const Verdict verdict : {Verdict::Grounded, Verdict::Weak, Verdict::NotGrounded, Verdict::CannotSay}) {
    figures["words"][name(verdict)] = std::count_if(facts.words.begin(), facts.words.end(), [&](const DrawnMap& word) {
      return word.facts.grounding.verdict == verdict;
    });
  }
  return grounding_facts(facts.summary.facts, std::move(figures));
}

JsonText limits_facts(const std::optional<GroundingLimits>& limits) {
  if (!limits) return nullptr;
  return {{"word_weak", JsonText(limits->word_weak)},
          {"word_grounded", JsonText(limits->word_grounded)},
          {"answer_weak", JsonText(limits->answer_weak)},
          {"answer_grounded", JsonText(limits->answer_grounded)}};
}

JsonText drawn_facts(const DrawnMap& drawn, bool sized) {
  const WordFacts& word = drawn.facts;
  const bool hot = sized && std::isfinite(word.hot_x) && std::isfinite(word.hot_y);
  JsonText facts = {{"file", drawn.file.empty() ? JsonText(nullptr) : JsonText(drawn.file)},
                    {"mass", JsonText(word.mass)},
                    {"frame_mass", frame_mass_list(word)},
                    {"max_lift", JsonText(word.max_lift)},
                    {"entropy", JsonText(word.entropy)},
                    {"diffuse", word.diffuse},
                    {"range_max_lift", JsonText(word.range_max_lift)},
                    {"hot_point", hot ? JsonText::array_of(std::array{word.hot_x, word.hot_y}) : JsonText(nullptr)},
                    {"flags", flag_names(word.flags)}};
  if (drawn.times) add_times(*drawn.times, facts);
  return facts;
}

JsonText picture_facts(const MapFacts& facts) {
  if (!facts.picture) return nullptr;
  JsonText json = {{"width", facts.picture->width}, {"height", facts.picture->height}};
  if (facts.picture->drawn_width > 0)
    json["drawn"] = JsonText::array_of(std::array{facts.picture->drawn_width, facts.picture->drawn_height});
  if (!facts.picture->note.empty()) json["note"] = facts.picture->note;
  return json;
}

JsonText sound_facts(const MapFacts& facts, const MediumMap& map, const Style& style) {
  if (!facts.sound) return nullptr;
  const SoundFacts& sound = *facts.sound;
  const auto known = [](int64_t value) { return value > 0 ? JsonText(value) : JsonText(nullptr); };
  JsonText json = {{"seconds", JsonText(sound.seconds)},
                   {"start_seconds", JsonText(sound.start_seconds)},
                   {"sample_rate_hz", known(sound.sample_rate_hz)},
                   {"channels", known(sound.channels)},
                   {"seconds_per_key", JsonText(sound.seconds_per_key)},
                   {"padding", JsonText(sound.padding)},
                   {"windows", std::max<size_t>(1, std::get<SoundMedium>(map.medium).windows.size())},
                   {"aligned", style.align_to_energy ? "attention, moved to the sound's energy" : "attention"}};
  if (!sound.note.empty()) json["note"] = sound.note;
  return json;
}

JsonText text_facts(const std::optional<TextFacts>& text) {
  if (!text) return nullptr;
  JsonText sources = JsonText::array();
  for (const TextFacts::Source& source : text->sources) {
    sources.push_back({{"kind", source.kind},
                       {"id", source.id.empty() ? JsonText(nullptr) : JsonText(source.id)},
                       {"mass", JsonText(source.mass)}});
  }
  return {{"file", text->file},
          {"prompt_tokens", text->prompt_tokens},
          {"answer_key", text->answer_key >= 0 ? JsonText(text->answer_key) : JsonText(nullptr)},
          {"sources", std::move(sources)},
          {"passages_entropy", text->passages_entropy ? JsonText(*text->passages_entropy) : JsonText(nullptr)},
          {"flat", text->flat},
          {"notes", JsonText::array_of(text->notes)}};
}

JsonText word_list(const MapFacts& facts) {
  JsonText list = JsonText::array();
  for (const DrawnMap& drawn : facts.words) {
    const Word& word = drawn.facts.word;
    JsonText entry = {{"text", word.text}, {"first", word.first}, {"count", word.count}};
    entry["content"] = drawn.facts.content;
    entry["grounding"] = word_grounding(drawn.facts);
    entry.append(drawn_facts(drawn, facts.picture.has_value()));
    list.push_back(std::move(entry));
  }
  return list;
}

JsonText word_rule_facts(const std::optional<WordRule>& rule) {
  if (!rule) return nullptr;
  return {{"rule", rule->name}, {"note", rule->note.empty() ? JsonText(nullptr) : JsonText(rule->note)}};
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
         {"kind", name(site.kind)},
         {"heads", site.heads},
         {"calls", site.calls},
         {"chosen_heads", site.chosen_heads.empty() ? JsonText(nullptr) : JsonText::array_of(site.chosen_heads)},
         {"gate", gate_of(site)}});
  }
  return list;
}

JsonText through_facts(const std::optional<ThroughUse>& through) {
  if (!through) return nullptr;
  return {{"sites", site_list(through->sites)},
          {"reduce", name_of(kThroughNames, through->rollout)},
          {"latents", through->latents},
          {"keys", through->keys}};
}

JsonText row_facts(const AttentionRecord& record) {
  if (!record.rows) return nullptr;
  const RowUse& rows = *record.rows;
  const std::string note = row_note(record);
  return {{"of_call", name(rows.rules)}, {"calls_per_token", rows.rules.calls_per_token},
          {"passes", rows.rules.passes}, {"pass", rows.rules.pass},
          {"calls", rows.calls},         {"of_first_call", rows.queries},
          {"prompt_calls", rows.pieces}, {"tokens", rows.tokens},
          {"labels", rows.named},        {"note", note.empty() ? JsonText(nullptr) : JsonText(note)}};
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
                          {"at", name_of(kThumbnailNames, thumbnail.first)},
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
  JsonText facts = {{"kind", geometry.text ? "text" : name_of(kKindNames, kind_of(geometry))},
                    {"rows", geometry.rows},
                    {"cols", geometry.cols},
                    {"leading", geometry.leading},
                    {"trailing", geometry.trailing},
                    {"first_key", geometry.first_key},
                    {"fit", name_of(kFitNames, geometry.fit)},
                    {"input_width", geometry.input_width},
                    {"input_height", geometry.input_height},
                    {"resize_shorter", geometry.resize_shorter},
                    {"patch", geometry.patch},
                    {"merge", geometry.merge},
                    {"order", name_of(kOrderNames, geometry.order)},
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
  return {{"ground", style.ground == Ground::Grey ? "grey" : "colour"},
          {"interpolation", interpolation_name(style.interpolation)},
          {"alpha_max", JsonText(style.blend.alpha_max)},
          {"alpha_start", JsonText(style.blend.alpha_start)},
          {"alpha_full", JsonText(style.blend.alpha_full)},
          {"percentile", JsonText(style.normalise.percentile)},
          {"per_map_min_max", style.normalise.per_map_min_max},
          {"contour", style.contour},
          {"contour_share", JsonText(style.contour_share)},
          {"align_to_energy", style.align_to_energy}};
}

JsonText detail_facts(const std::optional<DetailFacts>& detail) {
  if (!detail) return nullptr;
  const auto known = [](const std::string& text) { return text.empty() ? JsonText(nullptr) : JsonText(text); };
  return {{"file", known(detail->file)}, {"left_out", known(detail->left_out)}};
}

// What is said of a map, beyond what all of a record's share.
struct MapJson {
  JsonText picture = nullptr, sound = nullptr, text = nullptr, geometry, mass, through = nullptr, sinks,
           range = nullptr, detail = nullptr, summary = nullptr, grounding = nullptr, words_by = nullptr,
           words = JsonText::array();
};

/// @param facts  null: it was not measured
MapJson map_json(const AttentionRecord& record, const MediumMap& map, const MapFacts* facts) {
  MapJson json;
  json.geometry = geometry_facts(map.geometry());
  json.through = through_facts(map.through);
  json.mass = {{"of", facts != nullptr ? "cells" : "span"}, {"exact", facts == nullptr || facts->mass_is_exact}};
  json.sinks = {{"requested", record.style.normalise.subtract_sinks},
                {"subtracted", facts != nullptr && facts->sinks_subtracted}};
  if (facts == nullptr) return json;
  json.picture = picture_facts(*facts);
  json.sound = sound_facts(*facts, map, record.style);
  json.text = text_facts(facts->text);
  json.range = JsonText(facts->range_max_lift);
  json.detail = detail_facts(facts->detail);
  json.summary = drawn_facts(facts->summary, facts->picture.has_value());
  json.grounding = answer_grounding(*facts);
  json.grounding["limits"] = limits_facts(map.grounding);
  json.words_by = word_rule_facts(facts->word_rule);
  json.words = word_list(*facts);
  return json;
}

// The maps after the first, each with all that is its own.
JsonText more_maps(const RequestFacts& facts) {
  JsonText list = JsonText::array();
  for (size_t i = 1; i < facts.record.maps.size(); ++i) {
    const MediumMap& map = facts.record.maps[i];
    const bool measured = i < facts.maps.size();
    MapJson json = map_json(facts.record, map, measured ? &facts.maps[i] : nullptr);
    JsonText entry = {{"medium", noun(map.medium)}};
    entry["picture"] = std::move(json.picture);
    entry["sound"] = std::move(json.sound);
    if (std::holds_alternative<TextMedium>(map.medium)) entry["text"] = std::move(json.text);
    entry["geometry"] = std::move(json.geometry);
    entry["mass"] = std::move(json.mass);
    entry["through"] = std::move(json.through);
    entry["sinks"] = std::move(json.sinks);
    entry["range_max_lift"] = std::move(json.range);
    entry["detail"] = std::move(json.detail);
    entry["summary"] = std::move(json.summary);
    entry["grounding"] = std::move(json.grounding);
    entry["words"] = std::move(json.words);
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

std::string write_json(const RequestFacts& facts) {
  const AttentionRecord& record = facts.record;
  static const MediumMap none{};
  const MediumMap& first = record.maps.empty() ? none : record.maps.front();
  MapJson json = map_json(record, first, facts.maps.empty() ? nullptr : &facts.maps.front());
  JsonText root;
  root["gaze_request"] = 1;
  root["gaze_version"] = GAZE_VERSION;
  root["request_id"] = record.request_id;
  root["content"] = name(record.content);
  root["redacted"] = record.redacted;
  root["prompt"] = record.prompt;
  root["answer"] = answer_text(record);
  root["error"] = nullptr;
  if (!facts.error_message.empty()) {
    root["error"] = {{"reason", facts.error_reason}, {"message", facts.error_message}};
  }
  root["created"] = record.created_ms > 0 ? JsonText(utc_text(record.created_ms)) : JsonText(nullptr);
  root["host"] = record.host;
  root["pid"] = record.process;
  root["attributes"] = JsonText::object();
  for (const auto& [name, value] : record.attributes) root["attributes"][name] = value;
  root["model"] = {
      {"path", record.model_path}, {"sha256", record.model_sha256}, {"parameters_sha256", record.parameters_sha256}};
  root["method"] = record.method;
  root["profile"] = record.profile;
  root["profile_sha256"] = record.profile_sha256;
  root["torch_version"] = record.torch_version;
  root["picture"] = std::move(json.picture);
  root["sound"] = std::move(json.sound);
  if (std::holds_alternative<TextMedium>(first.medium)) root["text"] = std::move(json.text);
  root["geometry"] = std::move(json.geometry);
  root["keys"] = record.keys;
  root["mass"] = std::move(json.mass);
  root["sites"] = site_list(record.sites);
  root["through"] = std::move(json.through);
  root["rows"] = row_facts(record);
  root["layers"] = {{"chosen", record.layers}, {"reduce", name(record.reduce.layers)}};
  root["heads"] = {{"reduce", name(record.reduce.heads)}, {"head", record.reduce.head}, {"k", record.reduce.k}};
  root["sinks"] = std::move(json.sinks);
  root["range_max_lift"] = std::move(json.range);
  root["detail"] = std::move(json.detail);
  root["colormap"] = name(record.style.colormap);
  root["style"] = style_facts(record.style);
  root["summary"] = std::move(json.summary);
  root["grounding"] = std::move(json.grounding);
  root["words_by"] = std::move(json.words_by);
  root["words"] = std::move(json.words);
  if (record.maps.size() > 1) root["more_maps"] = more_maps(facts);
  root["tokens"] = token_list(record, facts.tokens);
  root["tokens_dropped"] = record.tokens_dropped;
  root["drops"] = JsonText::object();
  for (const auto& [reason, count] : record.drops) root["drops"][reason] = count;
  root["timings_ms"] = JsonText::object();
  for (const auto& [step, milliseconds] : record.timings_ms) root["timings_ms"][step] = JsonText(milliseconds);
  root["timings_ms"]["render"] = JsonText(facts.render_ms);
  root["files"] = JsonText::array_of(facts.files);
  if (!record.notes.empty()) root["notes"] = JsonText::array_of(record.notes);
  root["note"] = evidence_note(record.maps);
  return root.dump(2) + "\n";
}

}  // namespace gaze

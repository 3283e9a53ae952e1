// SPDX-License-Identifier: MIT
#include "maps/captions.hpp"

#include <gaze/render/profile.hpp>
#include <gaze/render/words.hpp>

#include <cstdio>
#include <ctime>

#include "maps/row_notes.hpp"

namespace gaze {
namespace {

const char* verb_of(const PictureMedium&) { return "looked"; }
const char* verb_of(const SoundMedium&) { return "listened"; }
const char* verb_of(const TextMedium&) { return "read"; }

}  // namespace

std::string answer_text(const AttentionRecord& record) {
  std::string text;
  const bool replaced = record.words && (record.redacted || record.content != Content::Full);
  for (const Word& word : replaced ? *record.words : merge_words(record.labels, record.spelling.get()))
    text += (text.empty() || word.joined ? "" : " ") + word.text;
  return text;
}

std::string evidence_note(c10::ArrayRef<MediumMap> maps) {
  std::string verbs;
  for (const MediumMap& map : maps) {
    const std::string verb = std::visit([](const auto& of) { return verb_of(of); }, map.medium);
    if (verbs.find(verb) == std::string::npos) verbs += (verbs.empty() ? "" : " and ") + verb;
  }
  return "Attention shows where the model " + (verbs.empty() ? "looked" : verbs) + ", which is evidence, not proof.";
}

std::string describe_choices(const AttentionRecord& record, const MediumMap& map, bool sinks_subtracted) {
  std::string text = "Layers: " + (record.layers.empty() ? std::string("all selected sites") : record.layers);
  const std::string reduce = name(record.reduce.layers);
  if (record.layers.find(reduce) == std::string::npos) text += " (" + reduce + ")";
  text += std::string(". Heads: ") + name(record.reduce.heads);
  if (record.reduce.heads == ops::HeadReduce::One) text += " (head " + std::to_string(record.reduce.head) + ")";
  if (record.reduce.heads == ops::HeadReduce::TopK) text += " (k = " + std::to_string(record.reduce.k) + ")";
  size_t chosen = 0;
  for (const SiteUse& site : record.sites) chosen += site.chosen_heads.size();
  if (chosen > 0) text += " of " + std::to_string(chosen) + " chosen";
  if (const std::string rows = row_note(record); !rows.empty()) text += ". " + rows.substr(0, rows.size() - 1);
  if (map.through) {
    const size_t count = map.through->sites.size();
    text += ". Composed through " + std::to_string(map.through->latents) + " latents (" +
            (map.through->rollout ? "rollout" : "mean") + " of " + std::to_string(count) +
            (count == 1 ? " site)" : " sites)");
  }
  return text +
         (sinks_subtracted ? ". Sinks: the answer's mean map was subtracted." : ". Sinks: nothing was subtracted.");
}

std::string utc_text(int64_t milliseconds) {
  const auto seconds = static_cast<time_t>(milliseconds / 1000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[96];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(milliseconds % 1000));
  return text;
}

std::string describe_origin(const AttentionRecord& record) {
  constexpr size_t kShort = 12;  // hexadecimal digits that tell two files apart
  std::string text;
  const auto say = [&](const std::string& what) { text += (text.empty() ? "" : ". ") + what; };
  const auto with = [&](const std::string& name, const std::string& hash) {
    return name + (hash.empty() ? "" : (name.empty() ? "" : " ") + hash.substr(0, kShort));
  };
  const std::string file = record.model_path.substr(record.model_path.find_last_of('/') + 1);
  const std::string model = with(file, record.model_sha256.empty() ? record.parameters_sha256 : record.model_sha256);
  if (!model.empty()) say("Model: " + model);
  if (!record.profile.empty()) say("Profile: " + with(record.profile, record.profile_sha256));
  if (record.created_ms > 0) {
    std::string when = utc_text(record.created_ms).substr(0, 16);
    when.replace(10, 1, " ");
    say("Made " + when + " UTC by Gaze " + GAZE_VERSION + (record.host.empty() ? "" : " on " + record.host) +
        (record.process > 0 ? ", process " + std::to_string(record.process) : ""));
  }
  std::string attributes;
  for (const auto& [name, value] : record.attributes)
    attributes += (attributes.empty() ? "" : ", ") + name + " = " + value;
  if (!attributes.empty()) say("Said by the host: " + attributes);
  return text.empty() ? text : text + ".";
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "profile/profile_fields.hpp"

#include <gaze/render/presets.hpp>

#include "profile/profile_document.hpp"
#include "profile/profile_rules.hpp"
#include "tokens/vocabulary.hpp"

namespace gaze::fields {
namespace {

using Need = Rule::Need;

constexpr Rule kRequired = {.need = Need::Required};
constexpr Rule kAlone = {.need = Need::Alone};
constexpr Rule kOrByPreset = {.need = Need::OrByPreset};
constexpr Rule kWritten = {.written = true};
constexpr Rule of_kind(GeometryKind kind) { return {.kinds = bit(kind)}; }
constexpr Rule kNotOfTime = {.kinds = ~bit(GeometryKind::Time)};
constexpr Rule with(const char* other) { return {.with = other}; }

constexpr int64_t kMostTurns = 256;
constexpr const char* kGlobs = "Globs of whole site names; * stands for any characters, dots too.";

// [first, last]
Binding layer_range(Profile& profile) {
  const auto read = [&profile](const Field& range) {
    if (!range.value().is_array() || range.size() != 2) range.refuse("[first, last], last = -1 for the end");
    profile.first_layer = range.at(size_t{0}).whole(0, kMaxCount);
    profile.last_layer = range.at(1).whole(-1, kMaxCount);
    if (profile.last_layer >= 0 && profile.last_layer < profile.first_layer)
      range.refuse("[first, last] with first <= last, or last = -1 for the end");
  };
  const auto write = [&profile] { return OrderedJson::array({profile.first_layer, profile.last_layer}); };
  const auto schema = [] {
    const OrderedJson index = {{"type", "integer"}, {"minimum", -1}, {"maximum", kMaxCount}};
    return OrderedJson{{"type", "array"}, {"minItems", 2}, {"maxItems", 2}, {"items", index}};
  };
  return {read, write, schema};
}

// The file's name; its texts are read with it.
Binding vocabulary(StatedProfile& profile) {
  Binding binding = named_text(profile.vocabulary_file, "the name of a file");
  binding.read = [&profile, read_name = binding.read](const Field& field) {
    read_name(field);
    const std::string& file = profile.vocabulary_file;
    Vocabulary read = read_vocabulary(file.front() == '/' ? file : profile.directory + "/" + file);
    profile.vocabulary = std::move(read.texts);
    profile.spelling = std::make_shared<const TokenSpelling>(std::move(read.spelling));
  };
  return binding;
}

// Of the vocabulary, where there is one.
Binding token_id(StatedProfile& profile) {
  Binding binding = whole(profile.eos, -1);
  binding.read = [&profile](const Field& field) {
    const auto size = static_cast<int64_t>(profile.vocabulary.size());
    profile.eos = field.whole(-1, size == 0 ? kMaxCount : size - 1);
  };
  return binding;
}

// All that a preset says, to which the fields behind it add; it is written as these fields.
Binding preset_of(StatedGeometry& geometry) {
  const auto take = [&geometry](const std::string& name) {
    const std::optional<Geometry> found = preset(name);
    if (found) static_cast<Geometry&>(geometry) = *found;
    return found.has_value();
  };
  return choice_of(preset_names(), take, [] { return OrderedJson(); });
}

Rows site_fields(StatedProfile& profile) { return {{"match", glob_patterns(profile.sites), kGlobs, kAlone}}; }

Rows through_fields(Through& through) {
  return {{"match", glob_patterns(through.sites), kGlobs, kAlone},
          {"reduce", choice(through.rollout, kThroughNames),
           "The mean of the sites' maps, or the product over layers of self-attention (rollout)."}};
}

Rows layer_fields(StatedProfile& profile) {
  return {{"reduce", choice(profile.layers, kLayerNames), "Unset: the library's default."},
          {"range", layer_range(profile),
           "[first, last] of the matched sites in order, inclusive; last = -1: to the end."}};
}

template <typename Value, size_t N>
std::string listed_names(const Named<Value> (&names)[N]) {
  std::string text;
  for (const auto& each : names) text += (text.empty() ? "" : ", ") + std::string(each.name);
  return text;
}

// A name, or [first, last].
Binding rows_of_call(TokenRows& rows) {
  const auto read = [&rows](const Field& field) {
    if (field.value().is_string()) {
      if (const auto of = value_of(kTokenRowNames, field.value().get<std::string>())) {
        rows.of = *of;
        return;
      }
    } else if (field.value().is_array() && field.size() == 2) {
      rows.of = TokenRows::Of::Range;
      rows.first = field.at(size_t{0}).whole(0, kMaxCount);
      rows.last = field.at(1).whole(rows.first, kMaxCount);
      return;
    }
    const std::string names = "one of " + listed_names(kTokenRowNames);
    field.refuse(field.value().is_string() ? names : "[first, last] from 0, or " + names);
  };
  const auto write = [&rows] {
    if (rows.of == TokenRows::Of::Found) return OrderedJson();
    if (rows.of == TokenRows::Of::Range) return OrderedJson::array({rows.first, rows.last});
    return OrderedJson(name_of(kTokenRowNames, rows.of));
  };
  const auto schema = [] {
    OrderedJson names = OrderedJson::array();
    for (const auto& each : kTokenRowNames) names.push_back(each.name);
    const OrderedJson index = {{"type", "integer"}, {"minimum", 0}, {"maximum", kMaxCount}};
    const OrderedJson range = {{"type", "array"}, {"minItems", 2}, {"maxItems", 2}, {"items", index}};
    return OrderedJson{{"oneOf", {OrderedJson{{"enum", names}}, range}}};
  };
  return {read, write, schema};
}

Rows row_fields(TokenRows& rows) {
  return {{"of_call", rows_of_call(rows),
           "Which rows of every call are tokens: last, first (a class token's), all, or [first, last]. Unset: found."},
          {"calls_per_token", whole(rows.calls_per_token, 1, kMostTurns),
           "Calls of one site that belong to one token, each a layer of it: of a block that runs several times."},
          {"passes", whole(rows.passes, 1, kMostTurns),
           "Passes that take turns for every token, as with a picture and without one."},
          {"pass", whole(rows.pass, 0, kMostTurns - 1), "Which of them is kept, from 0."}};
}

Rows selected_fields(SiteHeads& selected) {
  return {{"site", named_text(selected.site, "the name of a site"), "Its whole name, which sites.match must match.",
           kRequired},
          {"heads", head_indices(selected.heads), "Indices from 0, each once.", kRequired}};
}

Rows head_fields(StatedProfile& profile) {
  const Rule for_one = {.written = profile.heads == ops::HeadReduce::One};
  return {{"reduce", choice(profile.heads, kHeadNames), "Unset: the library's default."},
          {"head", whole(profile.head, 0), "For one, which needs it: index from 0.", for_one},
          {"k", whole(profile.top_k, 1), "For topk: how many heads."},
          {"select", list(profile.selected_heads, selected_fields, "Heads of one site.", "", check_selected),
           "Only these sites of the matched ones count, and of each only these heads (docs/heads.md); not beside "
           "reduce one."}};
}

Rows image_fields(ImageInput& image) {
  return {
      {"argument", argument(image.argument), "Method -> index of the picture among its arguments, without self."},
      {"layout", only("bchw"), "Order of the axes.", kWritten},
      {"mean", channels(image.mean, false), "Pixel = value x std + mean, 0..1; 1 or 3 numbers; only with std.",
       with("std")},
      {"std", channels(image.std, true), "1 or 3 numbers, as many as mean; only with mean.", with("mean")},
      {"width", whole(image.width, 1), "Pixels of the model's input; only with height.", with("height")},
      {"height", whole(image.height, 1), "Pixels of the model's input; only with width.", with("width")},
  };
}

// Of a geometry that has `time`.
Rows beside_fields(Geometry& geometry) {
  return {
      {"first_key", whole(geometry.first_key, 0), "Where the sound's keys begin in a row of all keys.", kRequired},
      {"keys", whole(geometry.cols, 1), "How many they are.", kRequired},
      {"seconds_per_key", positive_number(geometry.time->seconds_per_key), "Seconds from one key to the next.",
       kRequired},
      {"first_seconds", number(geometry.time->first_seconds), "Seconds at which the first key begins."},
  };
}

Rows sound_fields(SoundInput& sound) {
  return {{"argument", argument(sound.argument), "Method -> index of the samples among its arguments, without self.",
           kRequired},
          {"sample_rate_hz", whole(sound.sample_rate_hz, 1), "Samples per second.", kRequired},
          {"beside", part(sound.beside, beside_fields, check_beside, Geometry{.rows = 1, .time = Timeline()}),
           "The sound's keys in rows that hold a picture's as well, which geometry is then for."}};
}

Rows marker_fields(TextMarker& marker) {
  return {{"kind", choice(marker.kind, kSourceKindNames), "What the part is.", kRequired},
          {"begin", token_ids(marker.begin), "The ids that stand before it.", kRequired},
          {"end", token_ids(marker.end),
           "The ids that stand behind it; unset: the next marker's begin, or the prompt's end."}};
}

Rows text_fields(TextInput& text) {
  return {{"argument", argument(text.argument),
           "Method -> index of the prompt's ids, int64 [batch, tokens], among its arguments, without self."},
          {"sites", glob_patterns(text.sites),
           "The sites that look at the text, where they are not those of sites.match: globs of whole site names."},
          {"markers", list(text.markers, marker_fields, "A part of every prompt, found by its ids."),
           "The parts of every prompt, for requests that do not say theirs."}};
}

Rows tiles_fields(Tiles& tiles) {
  return {
      {"rows", whole(tiles.rows, 1), "Tiles from top to bottom; only with cols. Unset: the request says.",
       with("cols")},
      {"cols", whole(tiles.cols, 1), "Tiles from left to right; only with rows. Unset: the request says.",
       with("rows")},
      {"leading", whole(tiles.leading, 0), "Special keys before the cells of every tile."},
      {"trailing", whole(tiles.trailing, 0), "Special keys after the cells of every tile."},
      {"row_end", whole(tiles.row_end, 0), "Special keys after every row of tiles."},
  };
}

Rows thumbnail_fields(Thumbnail& thumbnail) {
  return {
      {"rows", whole(thumbnail.rows, 1), "Its cells from top to bottom.", kOrByPreset},
      {"cols", whole(thumbnail.cols, 1), "Its cells from left to right.", kOrByPreset},
      {"at", choice(thumbnail.first, kThumbnailNames), "Before or after the other cells.", kOrByPreset},
      {"leading", whole(thumbnail.leading, 0), "Special keys before its cells."},
      {"trailing", whole(thumbnail.trailing, 0), "Special keys after its cells."},
  };
}

Rows video_fields(Video& video) {
  return {
      {"frames", whole(video.frames, 1),
       "Frames as the model got them, a multiple of temporal_merge. Unset: the request says."},
      {"temporal_merge", whole(video.temporal_merge, 1), "Consecutive frames that share one key frame."},
      {"frame", whole(video.frame, -1), "The frame the overlay is for, from 0; -1: the sum over all."},
      {"leading", whole(video.leading, 0), "Special keys before the cells of every key frame."},
      {"trailing", whole(video.trailing, 0), "Special keys after the cells of every key frame."},
  };
}

// Of a geometry that has `time`: the number of its keys is that of the cells.
Rows time_fields(StatedGeometry& geometry) {
  Timeline& time = *geometry.time;
  return {
      {"keys", whole(geometry.cols, 1),
       "Keys of the window that shorter sounds are padded to, without leading and trailing ones; left out: as many as "
       "the row has, none of them padding."},
      {"seconds_per_key", positive_number(time.seconds_per_key), "Seconds from one key to the next.", kRequired},
      {"first_seconds", number(time.first_seconds), "Seconds at which the first key begins.", kWritten},
  };
}

Rows token_fields(StatedProfile& profile) {
  return {{"vocabulary", vocabulary(profile),
           "File, relative to the profile: tokenizer.json, vocab.json, vocab.txt, a SentencePiece .model, tiktoken's "
           "ranks, or a JSON list of texts (docs/tokenizers.md)."},
          {"eos", token_id(profile), "Id that ends an answer; -1: none."}};
}

Rows span_fields(KeySpan& span) {
  return {{"first_key", whole(span.first_key, 0), "Index in a row of all keys.", kRequired},
          {"keys", whole(span.keys, 1), "How many.", kRequired}};
}

Rows placeholder_fields(PlaceholderSpans& spans) {
  // Ids of pictures may be negative.
  return {
      {"placeholder", whole(spans.placeholder, -kMaxCount),
       "The id that stands in the prompt once for every key of a picture.", kRequired},
      {"argument", argument(spans.argument),
       "Method -> index of the prompt's ids, int64 [batch, tokens], among its arguments, without self.", kRequired}};
}

Binding time_of(StatedGeometry& geometry) {
  const auto fresh = [] {
    StatedGeometry plain;
    plain.time.emplace();
    return plain;
  };
  const auto read = [&geometry](const Field& field) {
    geometry.rows = 1;
    geometry.time.emplace();
    read_fields(field, time_fields(geometry));
  };
  const auto write = [&geometry, fresh] {
    StatedGeometry plain = fresh();
    return geometry.time ? write_fields(time_fields(geometry), time_fields(plain)) : OrderedJson();
  };
  const auto schema = [fresh] {
    StatedGeometry plain = fresh();
    return schema_of(time_fields(plain));
  };
  return {read, write, schema};
}

// A list of the geometry's own, or what the profile finds in every request.
Binding spans_of(StatedGeometry& geometry) {
  const Binding stated = list(geometry.spans, span_fields, "The keys of one picture, special ones included.",
                              ", or an object with placeholder and argument");
  const Binding found = part(geometry.placeholder, placeholder_fields);
  const auto read = [=](const Field& field) { (field.value().is_object() ? found : stated).read(field); };
  const auto write = [=, &geometry] { return (geometry.spans.empty() ? found : stated).write(); };
  const auto schema = [=] {
    OrderedJson in_every = {{"description", "As they are in every request."}};
    OrderedJson by_id = {{"description", "Found in every request: the runs of one id among the prompt's token ids."}};
    in_every.update(stated.schema());
    by_id.update(found.schema());
    return OrderedJson{{"oneOf", {in_every, by_id}}};
  };
  return {read, write, schema};
}

Binding geometry_of(StatedProfile& profile) {
  const auto read = [&profile](const Field& field) {
    StatedGeometry stated;
    read_fields(field, geometry_fields(stated));
    check_geometry(field, profile.image, stated);
    profile.spans = stated.placeholder;
    profile.geometry = std::move(static_cast<Geometry&>(stated));
  };
  const auto write = [&profile] {
    if (!profile.geometry) return OrderedJson();
    StatedGeometry stated(*profile.geometry);
    stated.placeholder = profile.spans;
    if (profile.image) leave_out_input(*profile.image, stated);
    StatedGeometry fresh;
    // What a sound has in the place of rows and cols is told there.
    OrderedJson begun = {{"kind", nullptr}};
    if (stated.time) begun["time"] = nullptr;
    return write_fields(geometry_fields(stated), geometry_fields(fresh), bit(stated.kind), begun);
  };
  const auto schema = [] {
    StatedGeometry fresh;
    return schema_of(geometry_fields(fresh));
  };
  return {read, write, schema};
}

}  // namespace

Rows geometry_fields(StatedGeometry& geometry) {
  Geometry& g = geometry;
  return {
      {"kind", choice(geometry.kind, kKindNames),
       "tiles needs the object tiles, video the object video, time the object time.", kWritten},
      {"preset", preset_of(geometry),
       "Structure and constants of a model family; the other fields add to it and override it."},
      {"rows", whole(g.rows, 1), "Cells from top to bottom, of each tile where there are tiles.", kNotOfTime},
      {"cols", whole(g.cols, 1), "Cells from left to right, of each tile where there are tiles.", kNotOfTime},
      {"leading", whole(g.leading, 0), "Special keys before the cells (class token, registers)."},
      {"trailing", whole(g.trailing, 0), "Special keys after the cells."},
      {"first_key", whole(g.first_key, 0), "Where the picture's keys begin in a row of all keys."},
      {"fit", choice(g.fit, kFitNames), "How the model's input was made from the picture."},
      {"input_width", whole(g.input_width, 1),
       "Pixels the picture was fitted into, before tiles were cut. Unset: image.width, or with patch the request's "
       "own."},
      {"input_height", whole(g.input_height, 1),
       "Pixels the picture was fitted into, before tiles were cut. Unset: image.height, or with patch the request's "
       "own."},
      {"resize_shorter", whole(g.resize_shorter, 0),
       "centre_crop: pixels of the shorter side before cropping; 0: as large as needed."},
      {"patch", whole(g.patch, 1),
       "Pixels of a patch's side: rows and cols are the input's size divided by patch x merge."},
      {"merge", whole(g.merge, 1), "Patches to a side that became one key."},
      {"order", choice(g.order, kOrderNames), "In which order the cells of one grid are keys."},
      {"window_rows", whole(g.window_rows, 1), "Cells of a whole window; with order windows only."},
      {"window_cols", whole(g.window_cols, 1), "Cells of a whole window; with order windows only."},
      {"row_end", whole(g.row_end, 0), "Special keys after every row of cells; with order rows only."},
      {"last_row_end", flag(g.last_row_end), "Whether the last row of a grid has its row_end too."},
      {"tiles", part(g.tiles, tiles_fields, {}, Tiles{.rows = 0, .cols = 0}),
       "The picture is cut into tiles, one after the other row by row.", of_kind(GeometryKind::Tiles)},
      {"thumbnail", part(g.thumbnail, thumbnail_fields),
       "A second, coarser grid over the whole picture. rows, cols and at are required unless the preset has them."},
      {"video", part(g.video, video_fields, {}, Video{.frames = 0}), "One grid per key frame.",
       of_kind(GeometryKind::Video)},
      {"time", time_of(geometry), "Keys that follow one another in time, of a sound; instead of rows and cols.",
       of_kind(GeometryKind::Time)},
      {"unpad", flag(g.unpad), "letterbox: rows or columns of cells that lie on the padding have no keys."},
      {"spans", spans_of(geometry), "The keys of every picture in the prompt, in order; instead of first_key."},
      {"picture", whole(g.picture, -1),
       "Which of the spans the overlay is for, from 0; -1: the only one, or the request says."},
      {"pictures", whole(g.pictures, 0),
       "How many pictures the prompt holds, to check the spans against; 0: not stated."},
  };
}

Rows grounding_fields(GroundingLimits& limits) {
  return {
      {"word_weak", share(limits.word_weak), "Focus of a word below which it is not grounded.", kRequired},
      {"word_grounded", share(limits.word_grounded), "Focus from which on a word is grounded.", kRequired},
      {"answer_weak", share(limits.answer_weak), "Mean focus of an answer below which it is not grounded.", kRequired},
      {"answer_grounded", share(limits.answer_grounded), "Mean focus from which on an answer is grounded.", kRequired}};
}

Rows profile_fields(StatedProfile& profile) {
  return {
      {"gaze_profile", only(1), "Version of this format.", kRequired},
      {"name", text(profile.name), "For people and for request.json.", kWritten},
      {"sites", group(profile, site_fields), "Which attention sites are used.", kRequired},
      {"through", part(profile.through, through_fields),
       "The sites between the picture and the selected ones, whose keys are then latents: those of a resampler, or an "
       "encoder's self-attention. geometry describes the keys of these sites; its spans and first_key say where the "
       "latents are."},
      {"encoder", flag(profile.encoder),
       "Whether a picture's map is carried on through the encoder's own self-attention to what its positions were made "
       "of; where the model shows none, or with through, this says nothing."},
      {"layers", group(profile, layer_fields), "How the sites of one step become one row."},
      {"heads", group(profile, head_fields, check_heads), "How the heads of one call become one row."},
      {"rows", group(profile.rows, row_fields, check_rows), "Which rows of the sites' calls are the answer's tokens."},
      {"image", part(profile.image, image_fields, check_image),
       "The picture among a model's own inputs, and how large those are."},
      {"sound", part(profile.sound, sound_fields),
       "The recording among a model's own inputs, [batch, samples] or [batch, channels, samples]; with geometry.time "
       "and "
       "without image, or beside a picture."},
      {"text", part(profile.text, text_fields),
       "The prompt's words are looked at too: by themselves, or with geometry beside the picture or the sound "
       "(docs/text.md)."},
      {"geometry", geometry_of(profile),
       "Which keys are the picture, and where each lies (docs/geometry.md). rows and cols are required unless patch or "
       "the preset says how they are computed."},
      {"grounding", part(profile.grounding, grounding_fields, check_grounding),
       "The limits of the verdict whether words are grounded, which gaze ground measured with these heads and layers."},
      {"verify", flag(profile.verify),
       "Measure the geometry on the example inputs when attaching, and throw where it is another."},
      {"tokens", group(profile, token_fields), "The text of token ids."},
  };
}

}  // namespace gaze::fields

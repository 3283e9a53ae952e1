// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/render/artifacts.hpp>
#include <gaze/render/profile.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle_file.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "page.hpp"
#include "photo_file.hpp"
#include "report_file.hpp"
#include "small_wav.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

/// Files as they are made, in memory: they are written when all of them are there.
class Drawn final : public Artifacts {
 public:
  std::vector<std::pair<std::string, std::string>> files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace_back(name, bytes); }
};

bool is_sound(const json& request) { return !object_at(request, "sound").empty(); }

int64_t whole_at(const json& object, std::string_view field) {
  return static_cast<int64_t>(std::clamp(number_at(object, field).value_or(0), 0.0, 1e12));
}

/// The grid as it lies on the picture. What else the keys were has gone into the cells.
Geometry geometry_of(const json& request, const StoredMap& map) {
  const json& facts = object_at(request, "geometry");
  const json& tiles = object_at(facts, "tiles");
  Geometry geometry;
  geometry.rows = whole_at(facts, "rows") * std::max<int64_t>(1, whole_at(tiles, "rows"));
  geometry.cols = whole_at(facts, "cols") * std::max<int64_t>(1, whole_at(tiles, "cols"));
  if (geometry.rows < 1 || geometry.cols < 1 || geometry.rows > map.cols || geometry.rows * geometry.cols != map.cols)
    throw Refusal("BUNDLE: expected a grid of " + std::to_string(map.cols) + " cells in request.json, got " +
                  std::to_string(geometry.rows) + " x " + std::to_string(geometry.cols) + ". Was it changed?");
  const std::string fit = text_at(facts, "fit");
  geometry.fit = fit == "letterbox" ? Fit::Letterbox : fit == "centre_crop" ? Fit::CentreCrop : Fit::Resize;
  geometry.input_width = whole_at(facts, "input_width");
  geometry.input_height = whole_at(facts, "input_height");
  geometry.resize_shorter = whole_at(facts, "resize_shorter");
  geometry.unpad = is_true_at(facts, "unpad");
  geometry.cut_rows = whole_at(facts, "cut_rows");
  geometry.cut_cols = whole_at(facts, "cut_cols");
  return geometry;
}

/// A recording as one window, whose keys are its cells.
SoundMedium sound_of(const json& request, const StoredMap& map) {
  const json& facts = object_at(request, "sound");
  const json& time = object_at(object_at(request, "geometry"), "time");
  if (whole_at(facts, "windows") > 1)
    throw Refusal("BUNDLE: expected a sound that was heard at once, got one in " +
                  std::to_string(whole_at(facts, "windows")) +
                  " windows, of which the bundle keeps no places. Its pictures are drawn when it is captured: "
                  "GAZE_PICTURES=all.");
  SoundMedium medium;
  medium.geometry.rows = 1;
  medium.geometry.cols = map.cols;
  medium.geometry.time.emplace();
  medium.geometry.time->seconds_per_key = number_at(time, "seconds_per_key").value_or(0);
  medium.geometry.time->first_seconds = number_at(time, "first_seconds").value_or(0);
  medium.sound.start_seconds = number_at(facts, "start_seconds").value_or(0);
  return medium;
}

at::Tensor tensor_of(StoredMap& map) {
  return at::from_blob(map.values.data(), {map.rows, map.cols}, at::kFloat).clone();
}

/// Keys that a row saw, in cells: what the lift was made with. Two maps of rounded numbers tell it but for the last
/// bit; where cells are keys, it is what the tokens' facts say.
at::Tensor visible_of(const json& tokens, const StoredMap& map, const StoredMap& lift) {
  at::Tensor visible_t = at::zeros({map.rows}, at::kFloat);
  auto* visible = visible_t.mutable_data_ptr<float>();
  for (int64_t row = 0; row < map.rows; ++row) {
    double sum = 0, lifted = 0;
    for (int64_t i = row * map.cols; i < (row + 1) * map.cols; ++i) {
      sum += map.values[static_cast<size_t>(i)];
      lifted += lift.values[static_cast<size_t>(i)];
    }
    const double told = sum > 0 ? lifted / sum : static_cast<double>(map.cols);
    const auto index = static_cast<size_t>(row);
    const double kept = index < tokens.size() ? number_at(tokens[index], "visible_keys").value_or(told) : told;
    visible[row] = static_cast<float>(std::abs(kept - told) < 1e-5 * told ? kept : told);
  }
  return visible_t;
}

/// What the verdicts were told by; they hold for the heads and layers of the whole map.
std::optional<GroundingLimits> limits_of(const json& facts) {
  if (facts.empty()) return std::nullopt;
  const auto limit = [&](const char* field) { return std::clamp(number_at(facts, field).value_or(0), 0.0, 1.0); };
  return GroundingLimits{limit("word_weak"), limit("word_grounded"), limit("answer_weak"), limit("answer_grounded")};
}

/// What lay on keys behind the recording's end, as one key there: words' captions say it.
void add_padding(const json& request, MediumMap& map) {
  at::Tensor padding_t = at::zeros_like(map.mass_t);
  for (const json& word : list_at(request, "words")) {
    const int64_t first = whole_at(word, "first"), count = whole_at(word, "count");
    if (first < 0 || count < 0 || first > padding_t.size(0) || count > padding_t.size(0) - first) continue;
    padding_t.narrow(0, first, count).fill_(number_at(word, "mass_on_padding").value_or(0));
  }
  const at::Tensor heard_t = map.map_tk.sum(1), mass_t = map.mass_t;
  const at::Tensor per_mass_t = at::where(mass_t > 0, heard_t / mass_t, at::zeros_like(mass_t));
  const at::Tensor plain_t = per_mass_t * padding_t;
  map.mass_t = mass_t + padding_t;
  // Whoever divides the mass again is to get what was heard to the last bit: the column is moved by some until it does.
  const auto with = [&](const at::Tensor& column_t) { return at::cat({map.map_tk, column_t.unsqueeze(1)}, 1); };
  at::Tensor column_t = plain_t;
  for (const int step : {0, 1, -1, 2, -2, 3, -3, 4, -4}) {
    const at::Tensor tried_t = plain_t + (heard_t + plain_t) * (step * 6e-8);
    const auto right = [&](const at::Tensor& of_t) { return map.mass_t.mul(heard_t / with(of_t).sum(1)).eq(mass_t); };
    column_t = at::where(right(column_t).logical_or(right(tried_t).logical_not()), column_t, tried_t);
  }
  map.map_tk = with(column_t);
  ++map.geometry().cols;
}

MediumMap map_of(const json& request, const DrawArguments& arguments) {
  const fs::path folder(arguments.bundle);
  if (request.contains("text") && request["text"].is_object())
    throw Refusal(
        "draw: expected a bundle of a picture or a sound, got one of a text. Its report.html shows it with other "
        "colours' range and opacity.");
  StoredMap map = read_map(folder, "map_tc"), lift = read_map(folder, "lift_tc");
  if (map.rows < 1 || lift.rows != map.rows || lift.cols != map.cols)
    throw Refusal("maps.safetensors: expected map_tc and lift_tc of the same axes, got others. Was it changed?");
  MediumMap made;
  if (is_sound(request)) {
    made.medium = sound_of(request, map);
  } else {
    made.medium = PictureMedium{geometry_of(request, map), {}, {}};
  }
  made.map_tk = tensor_of(map);
  made.visible_t = visible_of(list_at(request, "tokens"), map, lift);
  made.mass_t = at::zeros({map.rows}, at::kFloat);
  made.flags_t = at::zeros({map.rows}, at::kInt);
  const json& tokens = list_at(request, "tokens");
  for (int64_t t = 0; t < map.rows && t < static_cast<int64_t>(tokens.size()); ++t)
    made.mass_t[t].fill_(number_at(tokens[static_cast<size_t>(t)], "mass").value_or(0));
  if (arguments.site.empty()) made.grounding = limits_of(object_at(object_at(request, "grounding"), "limits"));
  if (arguments.site.empty() && is_sound(request)) add_padding(request, made);
  if (arguments.site.empty()) return made;
  StoredMap heads = read_heads(folder, arguments.site, arguments.head);
  if (heads.rows < map.rows || heads.cols != map.cols)
    throw Refusal("detail.safetensors: expected the tokens and cells of maps.safetensors, got others. Was it changed?");
  heads.rows = map.rows;  // tokens after the answer's end have no label
  heads.values.resize(static_cast<size_t>(heads.rows * heads.cols));
  made.map_tk = tensor_of(heads);
  made.mass_t = made.map_tk.sum(1);
  return made;
}

void take_words(const json& request, int64_t tokens, AttentionRecord& record) {
  for (const json& token : list_at(request, "tokens"))
    if (static_cast<int64_t>(record.labels.size()) < tokens) record.labels.push_back(text_at(token, "text"));
  record.words.emplace();
  for (const json& entry : list_at(request, "words")) {
    Word word{text_at(entry, "text"), whole_at(entry, "first"), whole_at(entry, "count"), false};
    if (word.count < 1 || word.first > tokens - word.count)
      throw Refusal("request.json: expected words of the " + std::to_string(tokens) + " tokens in maps.safetensors, " +
                    "got one of tokens " + std::to_string(word.first) + " to " +
                    std::to_string(word.first + word.count - 1) + ". Was it changed?");
    record.words->push_back(std::move(word));
  }
}

void take_style(const json& request, const DrawArguments& arguments, Style& style) {
  const json& facts = object_at(request, "style");
  const auto choose = [](const std::string& given, const std::string& had) { return given.empty() ? had : given; };
  const std::string colormap = choose(arguments.colormap, text_at(request, "colormap"));
  const auto parsed = parse_colormap(colormap.empty() ? "turbo" : colormap);
  if (!parsed) throw Refusal("--colormap: expected turbo, inferno, viridis, cividis or gray, got " + colormap + ".");
  style.colormap = *parsed;
  style.ground = choose(arguments.ground, text_at(facts, "ground")) == "colour" ? Ground::Colour : Ground::Grey;
  const std::string cells = choose(arguments.cells, text_at(facts, "interpolation"));
  style.interpolation = cells == "exact" ? ops::Interpolation::Exact : ops::Interpolation::Bilinear;
  style.normalise.subtract_sinks = !arguments.raw && is_true_at(object_at(request, "sinks"), "requested");
  style.normalise.percentile = number_at(facts, "percentile").value_or(style.normalise.percentile);
  style.normalise.per_map_min_max = arguments.own_range || is_true_at(facts, "per_map_min_max");
  style.contour = !facts.contains("contour") || is_true_at(facts, "contour");
  style.contour_share = number_at(facts, "contour_share").value_or(style.contour_share);
}

/// What the page has of the first map: its picture, or its recording.
std::string embedded(const DrawArguments& arguments, const char* field) {
  const std::optional<Report> report = read_report(fs::path(arguments.bundle) / "report.html");
  const json maps = report && report->data.contains("maps") ? json(report->data["maps"]) : json::array();
  return maps.empty() ? std::string() : from_base64(text_at(maps[0], field));
}

void take_sound(const DrawArguments& arguments, SoundMedium& medium) {
  if (!arguments.audio.empty()) {
    medium.sound.path = arguments.audio;
    return;
  }
  const std::string wav = embedded(arguments, "wav");
  if (wav.empty())
    throw Refusal(
        "BUNDLE: expected the recording within report.html, found none: it is too long for a page, was left out, or "
        "the bundle has numbers alone. Give the original: --audio FILE.");
  const SmallWav recording = small_wav(wav);
  medium.sound.samples = at::from_blob(const_cast<float*>(recording.samples.data()),
                                       {static_cast<int64_t>(recording.samples.size())}, at::kFloat)
                             .clone();
  medium.sound.sample_rate_hz = recording.sample_rate_hz;
}

/// The original, or what the bundle has of it, where that is as large as is asked for.
void take_picture(const json& request, const DrawArguments& arguments, int64_t longest_side_pixels,
                  PictureMedium& medium) {
  const json& facts = object_at(request, "picture");
  const PictureSize size{whole_at(facts, "width"), whole_at(facts, "height")};
  if (!arguments.image.empty()) {
    medium.picture = photo_file(arguments.image);
    medium.picture.expected_width = size.width;
    medium.picture.expected_height = size.height;
    return;
  }
  const std::string jpeg = embedded(arguments, "jpeg");
  if (jpeg.empty() || size.width < 1)
    throw Refusal(
        "BUNDLE: expected the picture within report.html, found none: it was written as maps alone. Give "
        "the original: --image FILE.");
  const json& drawn = list_at(facts, "drawn");
  const int64_t longest = drawn.size() == 2 && drawn[0].is_number_integer() && drawn[1].is_number_integer()
                              ? std::max(drawn[0].get<int64_t>(), drawn[1].get<int64_t>())
                              : 0;
  const int64_t wanted = longest_side_pixels > 0 ? std::min(longest_side_pixels, std::max(size.width, size.height))
                                                 : std::max(size.width, size.height);
  if (wanted > longest)
    throw Refusal("--longest-side: expected at most " + std::to_string(longest) +
                  " pixels, which the picture within report.html has, got " + std::to_string(wanted) +
                  ". Give the original: --image FILE.");
  medium.picture = Picture::from_bytes(jpeg);
  medium.original = size;
}

RenderOptions options_of(const json& request, const DrawArguments& arguments) {
  RenderOptions options;
  options.format = arguments.format == "png"    ? ImageFormat::Png
                   : arguments.format == "webp" ? ImageFormat::Webp
                                                : ImageFormat::Jpeg;
  if (!arguments.pictures.empty()) {
    const auto pictures = parse_pictures(arguments.pictures);
    if (!pictures)
      throw Refusal("--pictures: expected all, none, or any of overlay,words,sheet, got " + arguments.pictures + ".");
    options.pictures = *pictures;
  }
  if (arguments.longest_side == "full") options.longest_side_pixels = 0;
  if (!arguments.longest_side.empty() && arguments.longest_side != "full") {
    const char* end = arguments.longest_side.data() + arguments.longest_side.size();
    const auto read = std::from_chars(arguments.longest_side.data(), end, options.longest_side_pixels);
    if (read.ec != std::errc() || read.ptr != end || options.longest_side_pixels < 16 ||
        options.longest_side_pixels > 65500)
      throw Refusal("--longest-side: expected full, or 16 to 65500 pixels, got " + arguments.longest_side + ".");
  } else if (arguments.longest_side.empty() && arguments.image.empty()) {
    const json& drawn = list_at(object_at(request, "picture"), "drawn");
    if (drawn.size() == 2 && drawn[0].is_number_integer() && drawn[1].is_number_integer())
      options.longest_side_pixels = std::max(drawn[0].get<int64_t>(), drawn[1].get<int64_t>());
  }
  return options;
}

AttentionRecord record_of(const json& request, const DrawArguments& arguments) {
  AttentionRecord record;
  record.request_id = text_at(request, "request_id");
  record.prompt = text_at(request, "prompt");
  record.maps.push_back(map_of(request, arguments));
  record.keys = record.maps[0].geometry().cells();
  take_words(request, record.maps[0].tokens(), record);
  for (const json& site : list_at(request, "sites")) record.sites.push_back({text_at(site, "name")});
  record.layers = text_at(object_at(request, "layers"), "chosen");
  if (!arguments.site.empty()) {
    record.sites = {{arguments.site}};
    record.layers = arguments.site;
    record.reduce.heads = arguments.head ? ops::HeadReduce::One : ops::HeadReduce::Mean;
    record.reduce.head = arguments.head.value_or(0);
  }
  record.model_path = text_at(object_at(request, "model"), "path");
  record.model_sha256 = text_at(object_at(request, "model"), "sha256");
  record.profile = text_at(request, "profile");
  return record;
}

/// What was captured is told as it was; how it is drawn, as it is drawn now.
ordered_json retold(const ordered_json& then, const ordered_json& now) {
  ordered_json told = then;
  for (const char* field : {"picture", "colormap", "style", "sinks", "range_max_lift", "files"}) {
    if (now.contains(field)) told[field] = now[field];
  }
  const auto redrawn = [](ordered_json& entry, const ordered_json& by) {
    for (const char* field : {"file", "range_max_lift", "hot_point"}) entry[field] = by.at(field);
  };
  if (told["summary"].is_object()) redrawn(told["summary"], now.at("summary"));
  for (size_t w = 0; w < told["words"].size(); ++w) redrawn(told["words"][w], now.at("words").at(w));
  return told;
}

/// One layer, or one head: its figures are its own, what it is of is told as it was.
ordered_json told_of_site(const ordered_json& then, const ordered_json& now) {
  ordered_json told = now;
  for (const char* field : {"request_id", "prompt", "answer", "created", "host", "pid", "attributes", "model", "method",
                            "profile", "profile_sha256", "torch_version", "geometry", "keys", "rows"}) {
    if (then.contains(field)) told[field] = then[field];
  }
  return told;
}

void write_all(const Drawn& drawn, const ordered_json& request, const fs::path& out) {
  std::error_code failed;
  fs::create_directories(out / "words", failed);
  if (failed) throw Refusal("--out: expected a folder to write to, got " + printable(out.string()) + ".");
  for (const auto& [name, bytes] : drawn.files) {
    if (name == "request.json") {
      write_page(out / name, request.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n", "--out");
    } else if (name != "report.html") {
      write_page(out / name, bytes, "--out");
    }
  }
  std::optional<Report> report;
  for (const auto& [name, bytes] : drawn.files) {
    if (name == "report.html") report = parse_report(bytes);
  }
  if (!report) return;
  report->data["request"] = request;
  write_page(out / "report.html", report->before + page_json(report->data) + report->after, "--out");
  fs::remove(out / "words", failed);  // stays where it holds pictures
}

}  // namespace

int draw(const DrawArguments& arguments) {
  const fs::path folder(arguments.bundle);
  const json request = read_request(folder);
  if (!object_at(request, "error").empty())
    throw Refusal("BUNDLE: expected maps, got a request that could not be drawn: " +
                  printable(text_at(object_at(request, "error"), "message")));
  std::error_code failed;
  if (fs::equivalent(folder, arguments.out, failed))
    throw Refusal("--out: expected another folder than the bundle's own, got " + arguments.out + ".");
  AttentionRecord record = record_of(request, arguments);
  take_style(request, arguments, record.style);
  const RenderOptions options = options_of(request, arguments);
  if (auto* sound = std::get_if<SoundMedium>(&record.maps[0].medium)) {
    take_sound(arguments, *sound);
  } else {
    take_picture(request, arguments, options.longest_side_pixels, std::get<PictureMedium>(record.maps[0].medium));
  }
  Drawn drawn;
  try {
    render(record, options, drawn);
  } catch (const Error& error) {
    throw Refusal(std::string("drawing: ") + error.what());
  }
  const ordered_json then = ordered_json::parse(read_bytes(folder / "request.json", uint64_t{64} << 20));
  ordered_json now;
  for (const auto& [name, bytes] : drawn.files)
    if (name == "request.json") now = ordered_json::parse(bytes);
  write_all(drawn, arguments.site.empty() ? retold(then, now) : told_of_site(then, now), arguments.out);
  std::printf("drawn     %s\n", printable(arguments.out).c_str());
  for (const auto& [name, bytes] : drawn.files) std::printf("  %s\n", name.c_str());
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include <gaze/render/geometry.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "bundle_file.hpp"
#include "bundle_verbs.hpp"
#include "console.hpp"
#include "gallery.hpp"
#include "page.hpp"
#include "report_file.hpp"
#include "word_pairs.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMostFacts = 200;
constexpr size_t kMostDrawnCells = 4'000'000;  // of all words' maps in a page
constexpr uint64_t kMostPictureBytes = 32 << 20;

struct Side {
  fs::path folder;
  json request;
  std::optional<BundleMaps> maps;
  std::string why_no_maps;
};

Side read_side(const std::string& folder) {
  Side side{folder, read_request(folder), {}, {}};
  try {
    side.maps = read_maps(side.folder, side.request);
  } catch (const Refusal& refusal) {
    side.why_no_maps = refusal.what();
  }
  return side;
}

/// As a float32 says it, whatever order a sum was made in.
bool same_value(const json& a, const json& b) {
  if (!a.is_number() || !b.is_number()) return a == b;
  const auto x = a.get<double>(), y = b.get<double>();
  return std::abs(x - y) <= 1e-6 * std::max({1.0, std::abs(x), std::abs(y)});
}

/// What differs of all that is neither a word's, nor this run's alone.
ordered_json changed_facts(const json& a, const json& b) {
  static const std::set<std::string> kNotCompared = {"created", "host",    "pid",   "timings_ms", "drops", "files",
                                                     "answer",  "summary", "words", "tokens",     "note",  "grounding"};
  const auto flat = [](json request) {
    for (const std::string& field : kNotCompared) request.erase(field);
    return request.flatten();
  };
  const json flat_a = flat(a), flat_b = flat(b);
  std::set<std::string> names;
  for (const json* side : {&flat_a, &flat_b}) {
    for (const auto& [name, value] : side->items()) names.insert(name);
  }
  ordered_json facts = ordered_json::array();
  for (const std::string& name : names) {
    const json value_a = flat_a.value(name, json()), value_b = flat_b.value(name, json());
    if (same_value(value_a, value_b) || facts.size() >= kMostFacts) continue;
    std::string shown = name.substr(std::min<size_t>(1, name.size()));
    std::replace(shown.begin(), shown.end(), '/', '.');
    facts.push_back({{"name", shown}, {"a", value_a}, {"b", value_b}});
  }
  return facts;
}

constexpr std::array<const char*, 10> kFigures = {"mass", "max_lift", "entropy",      "diffuse", "start",
                                                  "end",  "flags",    "share_within", "silence", "mass_on_padding"};

/// {name: [a, b]} of what differs between two words, or two summaries.
ordered_json changed_figures(const json& a, const json& b) {
  ordered_json changed = ordered_json::object();
  for (const char* figure : kFigures) {
    const json value_a = a.is_object() ? a.value(figure, json()) : json();
    const json value_b = b.is_object() ? b.value(figure, json()) : json();
    if (!same_value(value_a, value_b)) changed[figure] = {value_a, value_b};
  }
  return changed;
}

ordered_json changed_verdict(const json& a, const json& b) {
  const StoredVerdict one = grounding_of(a), other = grounding_of(b);
  if (one.verdict == other.verdict) return nullptr;
  return ordered_json::array({one.verdict, other.verdict});
}

/// b - a in multiples of uniform attention.
std::vector<float> lift_difference(const std::vector<float>& a_c, const std::vector<float>& b_c) {
  if (a_c.empty() || a_c.size() != b_c.size()) return {};
  std::vector<float> difference(a_c.size());
  const auto cells = static_cast<float>(a_c.size());
  for (size_t c = 0; c < a_c.size(); ++c) difference[c] = (b_c[c] - a_c[c]) * cells;
  return difference;
}

bool same_grid(const Side& a, const Side& b) {
  return a.maps && b.maps && a.maps->rows == b.maps->rows && a.maps->cols == b.maps->cols;
}

const std::vector<float>& word_map(const Side& side, int64_t word) {
  static const std::vector<float> kNone;
  const bool there = side.maps && word >= 0 && static_cast<size_t>(word) < side.maps->words_wc.size();
  return there ? side.maps->words_wc[static_cast<size_t>(word)] : kNone;
}

ordered_json number_or_none(std::optional<double> number) {
  return number ? ordered_json(*number) : ordered_json(nullptr);
}

ordered_json word_change(const Side& a, const Side& b, const WordPair& pair) {
  static const json kNone;
  const auto word = [](const Side& side, int64_t i) -> const json& {
    return i < 0 ? kNone : list_at(side.request, "words")[static_cast<size_t>(i)];
  };
  const json &word_a = word(a, pair.a), &word_b = word(b, pair.b);
  ordered_json change = {
      {"a", pair.a < 0 ? ordered_json(nullptr) : ordered_json(text_at(word_a, "text"))},
      {"b", pair.b < 0 ? ordered_json(nullptr) : ordered_json(text_at(word_b, "text"))},
      {"verdict", changed_verdict(word_a, word_b)},
      {"figures", pair.a < 0 || pair.b < 0 ? ordered_json::object() : changed_figures(word_a, word_b)},
      {"moved", nullptr}};
  if (same_grid(a, b)) change["moved"] = number_or_none(map_difference(word_map(a, pair.a), word_map(b, pair.b)));
  return change;
}

ordered_json side_facts(const Side& side) {
  const StoredVerdict grounding = grounding_of(side.request);
  return {{"folder", printable(side.folder.string())},   {"request_id", text_at(side.request, "request_id")},
          {"created", text_at(side.request, "created")}, {"prompt", text_at(side.request, "prompt")},
          {"answer", text_at(side.request, "answer")},   {"verdict", grounding.verdict}};
}

std::string no_maps_because(const Side& a, const Side& b) {
  if (!a.maps) return a.why_no_maps;
  if (!b.maps) return b.why_no_maps;
  if (same_grid(a, b)) return "";
  return "grids of " + std::to_string(a.maps->rows) + " x " + std::to_string(a.maps->cols) + " and " +
         std::to_string(b.maps->rows) + " x " + std::to_string(b.maps->cols) + " cells";
}

bool is_unchanged(const ordered_json& change) {
  const bool still = change["moved"].is_null() || change["moved"].get<double>() <= 1e-6;
  return change["a"] == change["b"] && change["figures"].empty() && change["verdict"].is_null() && still;
}

ordered_json differences(const Side& a, const Side& b, const std::vector<WordPair>& pairs) {
  ordered_json result = {{"gaze_diff", 1}, {"same", false}, {"a", side_facts(a)}, {"b", side_facts(b)}};
  result["answer_changed"] = text_at(a.request, "answer") != text_at(b.request, "answer");
  result["verdict"] = changed_verdict(a.request, b.request);
  result["facts"] = changed_facts(a.request, b.request);
  result["figures"] = changed_figures(object_at(a.request, "summary"), object_at(b.request, "summary"));
  const auto moved = same_grid(a, b) ? map_difference(a.maps->whole_c, b.maps->whole_c) : std::nullopt;
  result["moved"] = number_or_none(moved);
  result["no_maps"] = no_maps_because(a, b);
  result["words"] = ordered_json::array();
  bool words_same = true;
  for (const WordPair& pair : pairs) {
    result["words"].push_back(word_change(a, b, pair));
    words_same = words_same && is_unchanged(result["words"].back());
  }
  result["same"] = words_same && !result["answer_changed"].get<bool>() && result["verdict"].is_null() &&
                   result["facts"].empty() && result["figures"].empty() && moved.value_or(0) <= 1e-6 &&
                   a.maps.has_value() == b.maps.has_value() && (!a.maps || same_grid(a, b));
  return result;
}

// ---- the page

/// Signed bytes of -127 to 127 and what 127 stands for.
ordered_json drawn_map(const std::vector<float>& difference_c, float range) {
  if (difference_c.empty()) return nullptr;
  std::string bytes;
  for (const float value : difference_c)
    bytes += static_cast<char>(static_cast<int8_t>(std::lround(127 * std::clamp(value / range, -1.0F, 1.0F))));
  return base64(bytes);
}

float range_of(const std::vector<float>& difference_c) {
  float most = 0;
  for (const float value : difference_c) most = std::max(most, std::abs(value));
  return most;
}

/// Where the grid lies on the picture, in its pixels: {left, top, width, height}; null where that is not known.
ordered_json place_of_grid(const json& request, const BundleMaps& maps) {
  const json& stated = object_at(request, "geometry");
  const auto count = [&](const char* field) {
    return static_cast<int64_t>(std::clamp(number_at(stated, field).value_or(0), 0.0, 1e9));
  };
  Geometry geometry;
  geometry.rows = maps.rows;
  geometry.cols = maps.cols;
  const std::string fit = text_at(stated, "fit");
  geometry.fit = fit == "centre_crop" ? Fit::CentreCrop : fit == "letterbox" ? Fit::Letterbox : Fit::Resize;
  geometry.input_width = count("input_width");
  geometry.input_height = count("input_height");
  geometry.resize_shorter = count("resize_shorter");
  geometry.unpad = is_true_at(stated, "unpad");
  geometry.cut_rows = count("cut_rows");
  geometry.cut_cols = count("cut_cols");
  const json& picture = object_at(request, "picture");
  const double width = number_at(picture, "width").value_or(0), height = number_at(picture, "height").value_or(0);
  try {
    const ops::CellAffine at = place(geometry, static_cast<int64_t>(width), static_cast<int64_t>(height));
    return {{"left", -at.offset_x / at.scale_x},
            {"top", -at.offset_y / at.scale_y},
            {"width", static_cast<double>(maps.cols) / at.scale_x},
            {"height", static_cast<double>(maps.rows) / at.scale_y}};
  } catch (const Error&) {
    return nullptr;
  }
}

/// The picture to draw on: as a report has it, else the overlay, in grey.
ordered_json picture_of(const Side& side) {
  const json& size = object_at(side.request, "picture");
  ordered_json picture = {{"width", size.value("width", json())}, {"height", size.value("height", json())}};
  const std::optional<Report> report = read_report(side.folder / "report.html");
  const json reported = report ? json(report->data) : json();
  const json& drawn = list_at(reported, "maps");
  const std::string jpeg = drawn.empty() ? "" : text_at(drawn[0], "jpeg");
  std::string data = jpeg.empty() ? "" : "data:image/jpeg;base64," + jpeg;
  picture["is_overlay"] = data.empty();
  const auto overlay = inner_file(text_at(object_at(side.request, "summary"), "file"));
  if (data.empty() && overlay) {
    try {
      const std::string bytes = read_bytes(side.folder / *overlay, kMostPictureBytes);
      data =
          std::string(bytes.starts_with("\x89PNG") ? "data:image/png" : "data:image/jpeg") + ";base64," + base64(bytes);
    } catch (const Refusal&) {  // the page says that there is none
    }
  }
  picture["data"] = data.starts_with("data:image/") ? ordered_json(data) : ordered_json(nullptr);
  return picture;
}

/// What only the page needs: the maps and what they lie on.
ordered_json page_facts(const Side& a, const Side& b, const std::vector<WordPair>& pairs, ordered_json facts) {
  facts["grid"] = nullptr;
  if (!same_grid(a, b)) return facts;
  facts["grid"] = {{"rows", a.maps->rows}, {"cols", a.maps->cols}};
  const json& heard = object_at(a.request, "sound");
  const bool sound = !heard.empty();
  facts["seconds"] = number_or_none(number_at(heard, "seconds"));
  facts["start_seconds"] = number_at(heard, "start_seconds").value_or(0);
  facts["place"] = sound ? ordered_json(nullptr) : place_of_grid(a.request, *a.maps);
  facts["picture"] = sound ? ordered_json(nullptr) : picture_of(a);
  const std::vector<float> whole = lift_difference(a.maps->whole_c, b.maps->whole_c);
  facts["range"] = std::max(range_of(whole), 1e-6F);
  facts["map"] = drawn_map(whole, facts["range"].get<float>());
  float range = 1e-6F;
  size_t cells = 0;
  std::vector<std::vector<float>> words;
  for (const WordPair& pair : pairs) {
    words.push_back(cells < kMostDrawnCells ? lift_difference(word_map(a, pair.a), word_map(b, pair.b))
                                            : std::vector<float>());
    cells += words.back().size();
    range = std::max(range, range_of(words.back()));
  }
  facts["words_range"] = range;
  for (size_t w = 0; w < words.size(); ++w) facts["words"][w]["map"] = drawn_map(words[w], range);
  return facts;
}

// ---- the text

std::string short_value(const ordered_json& value) {
  if (value.is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value.get<double>());
    return text;
  }
  const std::string text =
      value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  const std::string shown = printable(text);
  return shown.empty() ? "nothing" : shown.size() <= 100 ? shown : shown.substr(0, 97) + "...";
}

std::string named_changes(const ordered_json& figures) {
  std::string text;
  for (const auto& [name, both] : figures.items())
    text += "  " + name + " " + short_value(both[0]) + " -> " + short_value(both[1]);
  return text;
}

void print_word(const ordered_json& change) {
  const std::string a = change["a"].is_null() ? "" : short_value(change["a"]);
  const std::string b = change["b"].is_null() ? "" : short_value(change["b"]);
  const std::string name = change["a"].is_null()   ? "+ " + b
                           : change["b"].is_null() ? "- " + a
                           : a == b                ? a
                                                   : a + " -> " + b;
  std::string text = "  " + name;
  if (!change["moved"].is_null()) text += "  moved " + short_value(change["moved"]);
  if (!change["verdict"].is_null())
    text += "  verdict " + short_value(change["verdict"][0]) + " -> " + short_value(change["verdict"][1]);
  std::printf("%s%s\n", text.c_str(), named_changes(change["figures"]).c_str());
}

void print_text(const ordered_json& result) {
  for (const char* side : {"a", "b"})
    std::printf("%s  %s\n   %s  %s\n", side, result[side]["folder"].get<std::string>().c_str(),
                short_value(result[side]["request_id"]).c_str(), short_value(result[side]["created"]).c_str());
  if (result["same"].get<bool>()) {
    std::printf("\nNo difference: the same answer, figures, words, maps, model and profile.\n");
    return;
  }
  std::printf("\n");
  const bool answered = result["answer_changed"].get<bool>();
  std::printf("answer     %s\n", answered ? "changed" : "the same");
  if (answered) {
    for (const char* side : {"a", "b"})
      std::printf("  %s %s\n", side, printable(result[side]["answer"].get<std::string>()).c_str());
  }
  if (!result["verdict"].is_null())
    std::printf("verdict    %s -> %s\n", short_value(result["verdict"][0]).c_str(),
                short_value(result["verdict"][1]).c_str());
  if (result["moved"].is_null()) {
    std::printf("attention  not compared: %s\n", printable(result["no_maps"].get<std::string>()).c_str());
  } else {
    std::printf("attention  moved %s of 2 (0: the same map, 2: nothing in common)\n",
                short_value(result["moved"]).c_str());
  }
  if (!result["figures"].empty()) std::printf("figures  %s\n", named_changes(result["figures"]).c_str());
  std::printf("words\n");
  size_t unchanged = 0;
  for (const ordered_json& change : result["words"]) {
    if (is_unchanged(change)) {
      ++unchanged;
    } else {
      print_word(change);
    }
  }
  std::printf("  %zu of %zu unchanged\n", unchanged, result["words"].size());
  for (const ordered_json& fact : result["facts"])
    std::printf("%s  %s -> %s\n", printable(fact["name"].get<std::string>()).c_str(), short_value(fact["a"]).c_str(),
                short_value(fact["b"]).c_str());
}

std::vector<std::string> word_texts(const json& request) {
  std::vector<std::string> texts;
  for (const json& word : list_at(request, "words")) texts.push_back(text_at(word, "text"));
  return texts;
}

}  // namespace

int diff(const DiffArguments& arguments) {
  const Side a = read_side(arguments.a), b = read_side(arguments.b);
  const std::vector<WordPair> pairs = pair_words(word_texts(a.request), word_texts(b.request));
  ordered_json result = differences(a, b, pairs);
  if (!result["same"].get<bool>()) {
    write_page(arguments.out, page(diff_page, "; img-src data:", page_facts(a, b, pairs, result)), "--out");
    result["page"] = printable(arguments.out);
  }
  if (arguments.json) {
    std::printf("%s\n", result.dump(1, ' ', false, ordered_json::error_handler_t::replace).c_str());
    return 0;
  }
  print_text(result);
  if (result.contains("page")) std::printf("\npage  %s\n", result["page"].get<std::string>().c_str());
  return 0;
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "report/report_page.hpp"

#include <gaze/ops/overlay.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/base64.hpp"
#include "base/json_text.hpp"
#include "report/report_html.hpp"

namespace gaze {
namespace {

constexpr std::string_view kHole = "{{data}}";

/// A row of values in bytes: 255 is the greatest of them.
JsonText row_json(const at::Tensor& value_c) {
  const at::Tensor row_c = value_c.contiguous();
  const auto* value = row_c.const_data_ptr<float>();
  const int64_t cells = row_c.numel();
  float most = 0;
  for (int64_t c = 0; c < cells; ++c) most = std::max(most, value[c]);
  std::string bytes(static_cast<size_t>(cells), '\0');
  const float scale = most > 0 ? 255 / most : 0;
  for (int64_t c = 0; c < cells; ++c) {
    bytes[static_cast<size_t>(c)] = static_cast<char>(std::lround(std::max(0.F, value[c] * scale)));
  }
  return {{"most", JsonText(static_cast<double>(most))}, {"bytes", base64(bytes)}};
}

JsonText rows_json(const at::Tensor& value_lc) {
  JsonText rows = JsonText::array();
  for (int64_t l = 0; l < value_lc.size(0); ++l) rows.push_back(row_json(value_lc[l]));
  return rows;
}

JsonText levels_json(const Style& style) {
  const at::Tensor levels_la = ops::overlay_levels(style.colormap, style.blend);
  return base64({static_cast<const char*>(levels_la.const_data_ptr()), levels_la.nbytes()});
}

/// Every head's map, or null.
JsonText detail_json(const std::optional<DetailFacts>& detail) {
  if (!detail || detail->roots.empty()) return nullptr;
  JsonText sites = JsonText::array();
  for (const DetailFacts::Site& site : detail->sites) sites.push_back({{"name", site.name}, {"heads", site.heads}});
  const std::vector<float>& most = detail->most;
  return {{"sites", std::move(sites)},
          {"most", base64({reinterpret_cast<const char*>(most.data()), most.size() * sizeof(float)})},
          {"roots", base64(detail->roots)}};
}

JsonText picture_json(const ReportPicture& picture, const Style& style) {
  const Placement& placement = picture.placement;
  const ops::CellAffine& affine = placement.affine;
  return {{"medium", "picture"},
          {"jpeg", base64(picture.jpeg)},
          {"width", placement.width},
          {"height", placement.height},
          {"rows", placement.rows},
          {"cols", placement.cols},
          {"place",
           {{"scale_x", JsonText(affine.scale_x)},
            {"offset_x", JsonText(affine.offset_x)},
            {"scale_y", JsonText(affine.scale_y)},
            {"offset_y", JsonText(affine.offset_y)}}},
          {"levels", levels_json(style)},
          {"shown", rows_json(picture.shown_lc)},
          {"lift", rows_json(picture.lift_lc)}};
}

JsonText sound_json(const ReportSound& sound, const Style& style) {
  return {{"medium", "sound"},
          {"jpeg", base64(sound.jpeg)},
          {"wav", base64(sound.wav)},
          {"rows", sound.rows},
          {"seconds_per_row", JsonText(sound.seconds_per_row)},
          {"first_seconds", JsonText(sound.first_seconds)},
          {"seconds_per_cell", JsonText(sound.seconds_per_cell)},
          {"levels", levels_json(style)},
          {"shown", rows_json(sound.shown_lc)},
          {"lift", rows_json(sound.lift_lc)}};
}

JsonText text_json(const ReportText& text, const Style& style) {
  JsonText parts = JsonText::array(), words = JsonText::array(), masses = JsonText::array(), keys = JsonText::array();
  for (const ReportText::Part& part : text.parts)
    parts.push_back({{"kind", part.kind}, {"id", part.id}, {"source", part.source}, {"sink", part.sink}});
  for (const ReportText::Word& word : text.words) {
    JsonText entry = JsonText::array();
    entry.push_back(word.text);
    entry.push_back(word.part);
    entry.push_back((word.joined ? 1 : 0) + (word.after_gap ? 2 : 0));
    words.push_back(std::move(entry));
  }
  const auto* mass = text.mass_lp.const_data_ptr<float>();
  for (int64_t l = 0; l < text.mass_lp.size(0); ++l) {
    JsonText row = JsonText::array();
    for (int64_t p = 0; p < text.mass_lp.size(1); ++p, ++mass) row.push_back(JsonText(static_cast<double>(*mass)));
    masses.push_back(std::move(row));
  }
  for (const ReportText::Key& key : text.keys) {
    JsonText entry = JsonText::array();
    entry.push_back(key.label);
    entry.push_back(key.part);
    keys.push_back(std::move(entry));
  }
  JsonText json = {{"medium", "text"}, {"cut", text.cut}};
  json["parts"] = std::move(parts);
  json["read"] = std::move(words);
  json["mass"] = std::move(masses);
  json["levels"] = levels_json(style);
  json["shown"] = rows_json(text.shown_lr);
  json["lift"] = rows_json(text.lift_lr);
  json["keys"] = std::move(keys);
  json["share"] = text.share_tk.defined() ? rows_json(text.share_tk) : JsonText(nullptr);
  return json;
}

JsonText map_json(const MapFacts& map, const Style& style) {
  if (map.report_text) return text_json(*map.report_text, style);
  if (!map.report_picture && !map.report_sound) return nullptr;
  JsonText json = map.report_picture ? picture_json(*map.report_picture, style) : sound_json(*map.report_sound, style);
  json["detail"] = detail_json(map.detail);
  return json;
}

/// Within a script element, where only "<" could end it.
void append_escaped(std::string& page, std::string_view json) {
  for (const char c : json) {
    if (c == '<') {
      page += "\\u003c";
    } else {
      page += c;
    }
  }
}

}  // namespace

std::string report_page(const std::string& request_json, const Style& style, const std::vector<MapFacts>& maps) {
  JsonText drawn = JsonText::array();
  for (const MapFacts& map : maps) drawn.push_back(map_json(map, style));
  const std::string maps_json = drawn.dump(-1);
  const size_t hole = kReportHtml.find(kHole);
  std::string page;
  page.reserve(kReportHtml.size() + request_json.size() + maps_json.size() + 64);
  page += kReportHtml.substr(0, hole);
  page += "{\"request\":";
  append_escaped(page, request_json);
  page += ",\"maps\":";
  append_escaped(page, maps_json);
  page += '}';
  page += kReportHtml.substr(hole + kHole.size());
  return page;
}

}  // namespace gaze

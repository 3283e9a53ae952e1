// SPDX-License-Identifier: MIT
#include "media/detail.hpp"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "maps/grounding.hpp"
#include "maps/map_analysis.hpp"

namespace gaze {
namespace {

constexpr float kMostRoot = 15;  // of four bits

void append_row(const float* value, int64_t cells, DetailFacts& facts) {
  const float most = cells > 0 ? *std::max_element(value, value + cells) : 0;
  facts.most.push_back(most);
  const float scale = most > 0 ? 1 / most : 0;
  const auto root = [&](int64_t c) {
    return c < cells ? static_cast<unsigned>(std::lround(kMostRoot * std::sqrt(value[c] * scale))) : 0U;
  };
  for (int64_t c = 0; c < cells; c += 2) facts.roots.push_back(static_cast<char>(root(c) | root(c + 1) << 4));
}

/// @param weight_htc  of one site
void append_site(const at::Tensor& weight_htc, const DetailRows& rows, DetailFacts& facts) {
  const int64_t tokens = rows.visible_t.size(0), heads = weight_htc.size(0), cells = weight_htc.size(2);
  const at::Tensor lift_thc = weight_htc.narrow(1, 0, tokens).transpose(0, 1) * rows.visible_t.view({tokens, 1, 1});
  const at::Tensor lift_lhc =
      merge_tokens(rows.words, rows.focus_t, lift_thc.reshape({tokens, heads * cells})).view({-1, heads, cells});
  const at::Tensor lift_hlc = lift_lhc.transpose(0, 1).contiguous();
  const auto* row = lift_hlc.const_data_ptr<float>();
  for (int64_t r = 0; r < lift_hlc.size(0) * lift_hlc.size(1); ++r, row += cells) append_row(row, cells, facts);
}

}  // namespace

std::optional<DetailFacts> add_detail(const DetailRows& rows, const RenderTask& task, Artifacts& artifacts) {
  const std::optional<Detail>& detail = task.map.detail;
  if (!detail || (detail->if_flagged && !is_flagged(rows.summary, rows.words))) return std::nullopt;
  DetailFacts facts;
  facts.left_out = detail->left_out;
  if (detail->sites.empty()) return facts;
  std::vector<std::pair<std::string, at::Tensor>> stored;
  for (const SiteDetail& site : detail->sites) {
    const ops::QuantisedRows kept = {fetch(site.rows.root_hqk, task.route(), ops::Cargo::Map),
                                     fetch(site.rows.most_hq, task.route(), ops::Cargo::Map)};
    const at::Tensor weight_htc = rows.to_cells(ops::dequantise(kept));
    const ops::QuantisedRows laid_out = ops::quantise(weight_htc);
    stored.emplace_back(site.site, laid_out.root_hqk);
    stored.emplace_back(site.site + "/most", laid_out.most_hq);
    facts.sites.push_back({site.site, weight_htc.size(0)});
    if (task.options.delivery == Delivery::Frame) append_site(weight_htc, rows, facts);
  }
  facts.file = task.file("detail.safetensors");
  artifacts.add(facts.file, serialise_safetensors(stored, {{"gaze_detail", "1"}, {"weight", "most * (root / 255)^2"}}));
  return facts;
}

}  // namespace gaze

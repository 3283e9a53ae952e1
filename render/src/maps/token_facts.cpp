// SPDX-License-Identifier: MIT
#include "maps/token_facts.hpp"

#include <ATen/ops/cat.h>

#include "device/device_event.hpp"

namespace gaze {

at::Tensor pack(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> rows;
  rows.reserve(parts.size());
  for (const at::Tensor& part : parts) rows.push_back(part.to(at::kDouble).reshape({-1}));
  return at::cat(rows);
}

TokenFacts token_facts(const MediumMap& map, const ops::Route& route) {
  TokenFacts facts;
  if (!map.map_tk.defined() || map.map_tk.dim() == 0) return facts;
  const int64_t tokens = map.tokens();
  const auto fits = [tokens](const at::Tensor& row_t) {
    return row_t.defined() && row_t.dim() == 1 && row_t.size(0) == tokens;
  };
  std::vector<at::Tensor> parts;
  for (const at::Tensor* row_t : {&map.mass_t, &map.visible_t, &map.flags_t}) {
    if (fits(*row_t)) parts.push_back(*row_t);
  }
  if (parts.empty()) return facts;
  const at::Tensor figures = fetch(pack(parts), route, ops::Cargo::Figures);
  const auto* next = figures.const_data_ptr<double>();
  const auto take = [&](const at::Tensor& row_t, auto& values) {
    if (!fits(row_t)) return;
    values.assign(next, next + tokens);
    next += tokens;
  };
  take(map.mass_t, facts.mass);
  take(map.visible_t, facts.visible);
  take(map.flags_t, facts.flags);
  return facts;
}

}  // namespace gaze

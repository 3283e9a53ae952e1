// SPDX-License-Identifier: MIT
#include "maps/keys_to_cells.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/render/cell_keys.hpp>

#include <vector>

namespace gaze {
namespace {

at::Tensor take(const at::Tensor& map_tk, const std::vector<int64_t>& keys, const ops::Route& route) {
  return map_tk.index_select(1, ops::to_device(at::tensor(keys, at::kLong), route, ops::Cargo::Table));
}

at::Tensor table(const std::vector<double>& shares, int64_t cells, const ops::Route& route) {
  const at::Tensor share = at::tensor(shares, at::kDouble).to(at::kFloat).view({cells, -1});
  return ops::to_device(share, route, ops::Cargo::Table);
}

// Of the second axis each index's values, shared out. One product at a time: for a matrix product cuBLAS would keep a
// workspace on a stream that needs it for nothing else.
at::Tensor share_out(const at::Tensor& coarse_tin, const at::Tensor& shares_ci) {
  const int64_t cells = shares_ci.size(0);
  at::Tensor fine_tcn = at::zeros({coarse_tin.size(0), cells, coarse_tin.size(2)}, coarse_tin.options());
  for (int64_t i = 0; i < coarse_tin.size(1); ++i) {
    fine_tcn.addcmul_(shares_ci.select(1, i).view({1, cells, 1}), coarse_tin.select(1, i).unsqueeze(1));
  }
  return fine_tcn;
}

// The weight of each thumbnail key, spread over the cells it covers.
at::Tensor spread_thumbnail(const at::Tensor& map_tk, const CellKeys& keys, const ops::Route& route) {
  const int64_t tokens = map_tk.size(0);
  const at::Tensor thumbnail_tij =
      take(map_tk, keys.thumbnail_keys, route).view({tokens, keys.thumbnail_rows, keys.thumbnail_cols});
  const at::Tensor rows_trj = share_out(thumbnail_tij, table(keys.row_shares, keys.rows, route));
  const at::Tensor cells_tcr = share_out(rows_trj.transpose(1, 2), table(keys.col_shares, keys.cols, route));
  return cells_tcr.transpose(1, 2).reshape({tokens, keys.rows * keys.cols});
}

}  // namespace

CellMaps keys_to_cells(const MediumMap& map, const ops::ReduceOptions& reduce, const ops::Route& route) {
  const CellKeys keys = cell_keys(map.geometry());
  const at::Tensor map_tk = map.map_tk.to(at::kFloat);
  const at::Tensor mass_t = map.mass_t.to(at::kFloat);
  // Where latents stand for the picture's keys, uniform attention gives each of its keys this many of theirs.
  const double per_key = map.through ? static_cast<double>(map.through->latents) / static_cast<double>(keys.span) : 1;
  const bool plain_mean = reduce.heads == ops::HeadReduce::Mean && reduce.layers == ops::LayerReduce::Mean;
  const bool gaps = map.through && map.through->gaps;
  if (keys.plain()) {
    return {map_tk, mass_t, {}, per_key, plain_mean || !gaps};
  }
  const int64_t tokens = map_tk.size(0);
  const int64_t cells = keys.rows * keys.cols;
  CellMaps made;
  made.map_tc = take(map_tk, keys.keys, route).view({tokens, keys.parts, cells}).sum(1);
  if (keys.thumbnail_rows > 0) made.map_tc = made.map_tc + spread_thumbnail(map_tk, keys, route);
  made.keys_per_cell = per_key * static_cast<double>(keys.used()) / static_cast<double>(cells);

  // The capture knows the mass of the whole span only. Its part on some keys is told by the map: exactly where the map
  // is the plain mean that the mass is too, else as far as the weighing of heads and layers leaves it.
  const bool whole = keys.used() == keys.span;
  const at::Tensor span_t = map_tk.sum(1);
  const at::Tensor per_share_t = at::where(span_t > 0, mass_t / span_t, at::zeros_like(span_t));
  made.mass_t = whole ? mass_t : made.map_tc.sum(1) * per_share_t;
  made.mass_is_exact = plain_mean || (whole && !map.geometry().video && !gaps);
  if (!keys.video_keys.empty()) {
    const at::Tensor frames_tfc = take(map_tk, keys.video_keys, route).view({tokens, -1, cells});
    made.frame_mass_tf = frames_tfc.sum(2) * per_share_t.unsqueeze(1);
  }
  return made;
}

}  // namespace gaze

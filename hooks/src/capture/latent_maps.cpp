// SPDX-License-Identifier: MIT
#include "capture/latent_maps.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/StringUtil.h>

namespace gaze {
namespace {

/// Of the flags of some rows those that make a map useless, as one number.
at::Tensor worst(const at::Tensor& flags_n) {
  const auto any = [&](ops::RowFlag flag) {
    return flags_n.bitwise_and(static_cast<int64_t>(flag)).gt(0).any().to(at::kInt).mul(static_cast<int64_t>(flag));
  };
  return any(ops::kRowNonFinite).bitwise_or(any(ops::kRowSum));
}

}  // namespace

void LatentMaps::add(int64_t site, const std::string& name, const Call& call, Add add) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  if (rollout_ && call.queries != call.keys) {
    throw Error(name + ": expected self-attention, as many queries as keys, for a rollout, got " +
                    std::to_string(call.queries) + " queries and " + std::to_string(call.keys) +
                    " keys. Set through.reduce to mean.",
                DropReason::ShapeMismatch);
  }
  Uses& uses = sites_[site];
  if (uses.calls == static_cast<int64_t>(runs_.size())) {
    const double bytes =
        4.0 * static_cast<double>(call.batch) * static_cast<double>(call.queries) * static_cast<double>(call.keys);
    if (static_cast<double>(bytes_) + bytes > static_cast<double>(budget_bytes_)) {
      throw Error("through: expected maps within " + std::to_string(budget_bytes_) +
                      " bytes (options.queue_bytes), got " +
                      c10::str(call.batch, " x ", call.queries, " x ", call.keys) + " values more than " +
                      std::to_string(bytes_) + " bytes of maps. Raise GAZE_QUEUE_BYTES.",
                  DropReason::HostBudget);
    }
    bytes_ += static_cast<int64_t>(bytes);
    runs_.push_back({call, std::vector<Unit>(static_cast<size_t>(call.batch))});
  }
  Run& run = runs_[static_cast<size_t>(uses.calls)];
  const Call& like = run.like;
  if (call.batch != like.batch || call.queries != like.queries || call.keys != like.keys) {
    throw Error(name + ": expected batch, latents and keys as of the other sites between (" +
                    c10::str(like.batch, ", ", like.queries, ", ", like.keys) + "), got " +
                    c10::str(call.batch, ", ", call.queries, ", ", call.keys) +
                    ". Let through.match name the sites whose keys are the picture's.",
                DropReason::ShapeMismatch);
  }
  for (int64_t b = 0; b < call.batch; ++b) {
    Unit& unit = run.units[static_cast<size_t>(b)];
    if (rollout_) {
      roll_on(unit, call, b, add);
    } else {
      add(b, accumulator_on(unit.sums, call.queries, call.keys, call.device));
    }
  }
  uses.heads = call.heads;
  ++uses.calls;
}

void LatentMaps::roll_on(Unit& unit, const Call& call, int64_t row, Add add) {
  ops::Accumulator layer = ops::make_accumulator(call.queries, call.keys, call.device);
  add(row, layer);
  const at::Device device = unit.product_nn.defined() ? unit.product_nn.device() : call.device;
  ops::rollout_layer(unit.product_nn, ops::finish(layer, call.queries, kReduce).map_tc.to(device));
  const at::Tensor flags = layer.flags_t.to(device);
  unit.flags = unit.flags.defined() ? unit.flags.bitwise_or(flags) : flags;
}

void LatentMaps::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const Run& run : runs_) {
    for (const Unit& unit : run.units) {
      gaze::each_tensor(unit.sums, see);
      see(unit.product_nn);
      see(unit.flags);
    }
  }
}

bool LatentMaps::are_of(int64_t rows) const noexcept {
  return std::all_of(runs_.begin(), runs_.end(), [&](const Run& run) { return run.like.batch % rows == 0; });
}

LatentUnits LatentMaps::units(int64_t rows) const {
  LatentUnits found;
  for (const Run& run : runs_) {
    const Call& first = runs_.front().like;
    if (run.like.batch % rows != 0 || run.like.queries != first.queries || run.like.keys != first.keys) {
      throw Error("through: expected a batch that is a multiple of the request's " + std::to_string(rows) +
                      " rows, and " + c10::str(first.queries, " latents of ", first.keys) +
                      " keys in every run of the sites between, got a batch of " +
                      c10::str(run.like.batch, ", ", run.like.queries, " latents of ", run.like.keys) +
                      " keys. Open the request with one spec per batch row; put pictures of different sizes into "
                      "requests of their own.",
                  DropReason::ShapeMismatch);
    }
    found.units += run.like.batch / rows;
    found.latents = first.queries;
    found.keys = first.keys;
  }
  for (const auto& [site, uses] : sites_) {
    if (uses.calls == static_cast<int64_t>(runs_.size())) continue;
    throw Error("through: expected every site between to run equally often, got " + std::to_string(uses.calls) +
                    " and " + std::to_string(runs_.size()) +
                    " runs. Leave sites that run for other inputs out of "
                    "through.match.",
                DropReason::ShapeMismatch);
  }
  return found;
}

const LatentMaps::Unit& LatentMaps::unit_of(int64_t row, int64_t rows, int64_t index) const {
  for (const Run& run : runs_) {
    const int64_t here = run.like.batch / rows;
    if (index < here) return run.units[static_cast<size_t>(row * here + index)];
    index -= here;
  }
  throw Error("through: unit out of range", DropReason::Internal);
}

ops::Accumulator LatentMaps::summed(const Unit& unit) const {
  ops::Accumulator sums = unit.sums.front();
  if (unit.sums.size() == 1) return sums;
  // Rows of several beams may read it: what is kept stays as it is.
  sums = ops::make_accumulator(sums.map_tc.size(0), sums.map_tc.size(1), sums.map_tc.device());
  for (const ops::Accumulator& each : unit.sums) ops::merge(sums, each, kReduce);
  return sums;
}

LatentMaps::Composed LatentMaps::compose(const at::Tensor& window_tn, const at::Tensor& mass_t,
                                         const LatentLayout& place, int64_t row, int64_t rows) const {
  const at::Device device = window_tn.device();
  std::vector<at::Tensor> pieces;
  for (const KeySpan& piece : place.pieces) {
    pieces.push_back(window_tn.narrow(1, piece.first_key - place.first_key(), piece.keys));
  }
  const at::Tensor map_tn = at::cat(pieces, 1);
  const int64_t latents = map_tn.size(1) / place.units;
  std::vector<at::Tensor> maps;
  Composed composed;
  for (int64_t i = 0; i < place.units; ++i) {
    const Unit& unit = unit_of(row, rows, place.first_unit + i);
    at::Tensor made_of_nk = unit.product_nn;
    at::Tensor flags_n = unit.flags;
    if (!rollout_) {
      const ops::Accumulator sums = summed(unit);
      made_of_nk = ops::finish(sums, latents, kReduce).map_tc;
      flags_n = sums.flags_t;
    }
    // Tiles keep the special keys of each: they lie within the picture's span.
    const Geometry& geometry = place.geometry;
    if (!geometry.tiles) made_of_nk = made_of_nk.narrow(1, geometry.leading, geometry.span());
    maps.push_back(ops::compose(map_tn.narrow(1, i * latents, latents), made_of_nk.to(device)));
    const at::Tensor flags = worst(flags_n).to(device);
    composed.flags = composed.flags.defined() ? composed.flags.bitwise_or(flags) : flags;
  }
  composed.map_tk = maps.size() == 1 ? maps.front() : at::cat(maps, 1);
  composed.mass_t = mass_t;
  if (place.pieces.size() > 1) {
    const at::Tensor span_t = window_tn.sum(1);
    composed.mass_t = at::where(span_t.gt(0), mass_t.mul(map_tn.sum(1)).div(span_t), at::zeros_like(mass_t));
  }
  return composed;
}

}  // namespace gaze

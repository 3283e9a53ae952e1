// SPDX-License-Identifier: MIT
// Schemas, the typed entries of the public headers, and the ops that are a few tensor operations on any device.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <torch/library.h>

#include <mutex>
#include <vector>

#include "check.hpp"
#include "ops_cpu.hpp"
#include "params.hpp"
#include "quiet.hpp"

namespace gaze::ops {
namespace {

void define_ops(torch::Library& m) {
  m.def(
      "reduce_(Tensor attn_bhqk, int batch, int first_query, int queries, int first_key, int first_token, bool "
      "partial, int[] chosen_heads, int heads, int head, int k, int layers, Tensor(a!) map_tc, Tensor(b!) weight_t, "
      "Tensor(c!) mass_t, "
      "Tensor(d!) visible_t, "
      "Tensor(e!) calls_t, Tensor(f!) flags_t, Tensor(g!) rows_t) -> ()");
  m.def(
      "attend(Tensor q_bhqd, Tensor k_bhkd, Tensor? mask, bool causal, float? scale, int causal_offset, int batch, int "
      "first_query, "
      "int queries) -> Tensor");
  m.def(
      "attend_reduce_(Tensor q_bhqd, Tensor k_bhkd, Tensor? mask, bool causal, float? scale, int causal_offset, int "
      "batch, "
      "int first_query, int queries, int first_key, int first_token, int[] chosen_heads, int heads, int head, int k, "
      "int layers, "
      "Tensor(a!) map_tc, Tensor(b!) weight_t, Tensor(c!) mass_t, Tensor(d!) visible_t, Tensor(e!) calls_t, "
      "Tensor(f!) flags_t, Tensor(g!) rows_t) -> ()");
  m.def(
      "normalise(Tensor map_tc, Tensor visible_t, bool subtract_sinks, float percentile, bool per_map_min_max) -> "
      "(Tensor lift_tc, Tensor shown_tc, Tensor value_tc, Tensor max_lift_t, Tensor entropy_t, Tensor diffuse_t, "
      "Tensor range_max)");
  m.def(
      "resample(Tensor map_yx, float scale_x, float offset_x, float scale_y, float offset_y, int height, int width, "
      "bool exact) -> Tensor");
  m.def("colour(Tensor value, int colormap) -> Tensor");
  m.def("blend(Tensor rgb_hwc, Tensor colour_hwc, Tensor value_yx, float alpha_max, float alpha_start) -> Tensor");
  m.def("contour_(Tensor(a!) rgb_hwc, Tensor inside_yx, int width_pixels) -> ()");
  m.def(
      "overlay_out(Tensor rgb_hwc, Tensor value_yx, Tensor? inside_yx, float scale_x, float offset_x, float scale_y, "
      "float offset_y, bool exact, int colormap, float alpha_max, float alpha_start, int contour_pixels, "
      "int border_pixels, Tensor(a!) out_hwc) -> ()");
  m.def("envelope(Tensor samples_ct, float first, float per_column, int columns) -> Tensor");
  m.def("draw_waveform_out(Tensor envelope_ckw, float full_scale, Tensor(a!) out_hwc) -> ()");
  m.def("draw_spectrogram_out(Tensor mel_mt, float first, float per_column, int columns, Tensor(a!) out_hwc) -> ()");
}

/// Looked up once; a call costs what a call of an at:: function costs.
template <typename Fn>
c10::TypedOperatorHandle<Fn> handle(const char* name) {
  register_ops();
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Fn>();
}

int64_t tokens_of(const char* op, const Accumulator& accumulator, int64_t tokens) {
  check_tensor(op, "accumulator.map_tc", accumulator.map_tc);
  check_tensor(op, "accumulator.weight_t", accumulator.weight_t);
  check_tensor(op, "accumulator.mass_t", accumulator.mass_t);
  check_tensor(op, "accumulator.visible_t", accumulator.visible_t);
  check_tensor(op, "accumulator.rows_t", accumulator.rows_t);
  GAZE_CHECK(tokens >= 0 && tokens <= accumulator.map_tc.size(0), op, "tokens", "0..", accumulator.map_tc.size(0),
             ", got ", tokens);
  return tokens;
}

}  // namespace

void register_ops() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Fragments: the taps of gaze::hooks live in the same namespace. Leaked: the host's threads may outlive static
    // objects.
    auto* schemas = new torch::Library(torch::Library::FRAGMENT, "gaze", std::nullopt, __FILE__, __LINE__);
    define_ops(*schemas);
    auto* cpu = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::CPU, __FILE__, __LINE__);
    implement_cpu(*cpu);
  });
}

Accumulator make_accumulator(int64_t tokens, int64_t cells, at::Device device) {
  constexpr const char* op = "make_accumulator";
  GAZE_CHECK(tokens >= 0, op, "tokens", "at least 0, got ", tokens);
  GAZE_CHECK(cells >= 1, op, "cells", "at least 1, got ", cells);
  // Ordinary tensors, so that the host may open a request in inference mode and answer it outside, or the reverse.
  const c10::InferenceMode off(false);
  const Quiet quiet;
  const auto real = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto whole = real.dtype(at::kInt);
  return {at::zeros({tokens, cells}, real), at::zeros({tokens}, real),  at::zeros({tokens}, real),
          at::zeros({tokens}, real),        at::zeros({tokens}, whole), at::zeros({tokens}, whole),
          at::zeros({tokens}, whole)};
}

void reduce(const at::Tensor& attn_bhqk, const Window& window, const ReduceOptions& options, Accumulator& to) {
  check_tensor("reduce", "attn_bhqk", attn_bhqk);
  check_like("reduce", "accumulator.map_tc", to.map_tc, at::kFloat, attn_bhqk.device());
  const Quiet quiet;
  static const auto op = handle<ReduceFn>("gaze::reduce_");
  op.call(attn_bhqk, window.batch, window.first_query, window.queries, window.first_key, window.first_token,
          window.partial, window.heads, static_cast<int64_t>(options.heads), options.head, options.k,
          static_cast<int64_t>(options.layers), to.map_tc, to.weight_t, to.mass_t, to.visible_t, to.calls_t, to.flags_t,
          to.rows_t);
}

at::Tensor attend(const Scores& scores, const Window& window) {
  check_tensor("attend", "q_bhqd", scores.q_bhqd);
  const Quiet quiet;
  static const auto op = handle<AttendFn>("gaze::attend");
  return op.call(scores.q_bhqd, scores.k_bhkd, scores.mask, scores.causal, scores.scale, scores.causal_offset,
                 window.batch, window.first_query, window.queries);
}

void attend_reduce(const Scores& scores, const Window& window, const ReduceOptions& options, Accumulator& to) {
  check_tensor("attend_reduce", "q_bhqd", scores.q_bhqd);
  check_like("attend_reduce", "accumulator.map_tc", to.map_tc, at::kFloat, scores.q_bhqd.device());
  const Quiet quiet;
  static const auto op = handle<AttendReduceFn>("gaze::attend_reduce_");
  op.call(scores.q_bhqd, scores.k_bhkd, scores.mask, scores.causal, scores.scale, scores.causal_offset, window.batch,
          window.first_query, window.queries, window.first_key, window.first_token, window.heads,
          static_cast<int64_t>(options.heads), options.head, options.k, static_cast<int64_t>(options.layers), to.map_tc,
          to.weight_t, to.mass_t, to.visible_t, to.calls_t, to.flags_t, to.rows_t);
}

void attend_reduce(c10::ArrayRef<AttendCall> calls, const ReduceOptions& options, Accumulator& to) {
  if (calls.size() < 2 || !calls.front().scores.q_bhqd.is_cuda()) {
    for (const AttendCall& call : calls) attend_reduce(call.scores, call.window, options, to);
    return;
  }
  std::vector<kernels::AttendReduceParams> shared;
  const at::Device device = to.map_tc.device();
  const auto launch = [&] {
    if (!shared.empty()) {
      cuda_part()->attend_reduce_calls(device.index(), shared.data(), static_cast<int>(shared.size()));
    }
    shared.clear();
  };
  for (const AttendCall& call : calls) {
    check_tensor("attend_reduce", "q_bhqd", call.scores.q_bhqd);
    const auto params = attend_reduce_params(call.scores, call.window, options, to);
    const auto fits = [&](const kernels::AttendReduceParams& first) {
      return first.scores.queries == params.scores.queries && first.scores.dtype == params.scores.dtype &&
             first.first_key == params.first_key && first.to.map_tc == params.to.map_tc;
    };
    if (!shared.empty() && (!fits(shared.front()) || shared.size() == size_t{kernels::cuda::kMostCalls})) launch();
    shared.push_back(params);
  }
  launch();
}

void merge(Accumulator& to, const Accumulator& from, const ReduceOptions& options) {
  check_tensor("merge", "to.map_tc", to.map_tc);
  check_tensor("merge", "from.map_tc", from.map_tc);
  check_sizes("merge", "from.map_tc", from.map_tc, to.map_tc.sizes());
  const Quiet quiet;
  const at::Device device = to.map_tc.device();
  const at::Tensor map_tc = from.map_tc.to(device), weight_t = from.weight_t.to(device);
  switch (options.layers) {
    case LayerReduce::Max:
      to.map_tc.copy_(at::maximum(to.map_tc, map_tc));
      to.weight_t.copy_(at::maximum(to.weight_t, weight_t));
      break;
    case LayerReduce::Last: {
      // Only one layer is captured then: rows are of the one or of the other.
      const at::Tensor filled_t = from.rows_t.to(device).gt(0);
      to.map_tc.copy_(at::where(filled_t.unsqueeze(1), map_tc, to.map_tc));
      to.weight_t.copy_(at::where(filled_t, weight_t, to.weight_t));
      break;
    }
    default:
      to.map_tc.add_(map_tc);
      to.weight_t.add_(weight_t);
  }
  to.mass_t.add_(from.mass_t.to(device));
  to.visible_t.add_(from.visible_t.to(device));
  to.calls_t.add_(from.calls_t.to(device));
  to.rows_t.add_(from.rows_t.to(device));
  to.flags_t.bitwise_or_(from.flags_t.to(device));
}

Reduced finish(const Accumulator& accumulator, int64_t tokens, const ReduceOptions& options) {
  tokens = tokens_of("finish", accumulator, tokens);
  GAZE_CHECK(options.layers != LayerReduce::Rollout, "finish", "options.layers",
             "a reduction that can be accumulated, got Rollout (see gaze::ops::rollout)");
  const Quiet quiet;
  const at::Tensor weight_t = accumulator.weight_t.narrow(0, 0, tokens);
  const at::Tensor rows_t = accumulator.rows_t.narrow(0, 0, tokens);
  const auto mean = [](const at::Tensor& sum, const at::Tensor& count) {
    return at::where(count.gt(0), sum.div(count), at::zeros_like(sum));
  };
  return {mean(accumulator.map_tc.narrow(0, 0, tokens), weight_t.unsqueeze(1)),
          mean(accumulator.mass_t.narrow(0, 0, tokens), rows_t),
          mean(accumulator.visible_t.narrow(0, 0, tokens), rows_t)};
}

at::Tensor rollout(const at::Tensor& attn_lqk) {
  constexpr const char* op = "rollout";
  check_like(op, "attn_lqk", attn_lqk, at::kFloat, attn_lqk.defined() ? attn_lqk.device() : at::Device(at::kCPU));
  GAZE_CHECK(attn_lqk.dim() == 3 && attn_lqk.size(1) == attn_lqk.size(2), op, "attn_lqk", "[layers, n, n], got ",
             attn_lqk.sizes());
  const Quiet quiet;
  at::Tensor product = at::eye(attn_lqk.size(1), attn_lqk.options());
  for (int64_t layer = 0; layer < attn_lqk.size(0); ++layer) rollout_layer(product, attn_lqk.select(0, layer));
  return product;
}

void rollout_layer(at::Tensor& product_nn, const at::Tensor& attn_nn) {
  constexpr const char* op = "rollout_layer";
  check_like(op, "attn_nn", attn_nn, at::kFloat, attn_nn.defined() ? attn_nn.device() : at::Device(at::kCPU));
  GAZE_CHECK(attn_nn.dim() == 2 && attn_nn.size(0) == attn_nn.size(1), op, "attn_nn", "[n, n], got ", attn_nn.sizes());
  const Quiet quiet;
  if (!product_nn.defined()) product_nn = at::eye(attn_nn.size(1), attn_nn.options());
  check_like(op, "product_nn", product_nn, at::kFloat, attn_nn.device());
  check_sizes(op, "product_nn", product_nn, attn_nn.sizes());
  // (0.5 A + 0.5 I) P = 0.5 P + 0.5 A P
  product_nn = at::addmm(product_nn, attn_nn, product_nn, 0.5, 0.5);
}

void rollout_rows(const at::Tensor& attn_qk, const at::Tensor& before_km, at::Tensor& after_qm) {
  constexpr const char* op = "rollout_rows";
  check_like(op, "attn_qk", attn_qk, at::kFloat, attn_qk.defined() ? attn_qk.device() : at::Device(at::kCPU));
  check_like(op, "before_km", before_km, at::kFloat, attn_qk.device());
  check_like(op, "after_qm", after_qm, at::kFloat, attn_qk.device());
  GAZE_CHECK(attn_qk.dim() == 2 && attn_qk.size(0) <= attn_qk.size(1), op, "attn_qk",
             "[queries, keys] with no more queries than keys, got ", attn_qk.sizes());
  GAZE_CHECK(before_km.dim() == 2 && before_km.size(0) == attn_qk.size(1), op, "before_km", "[", attn_qk.size(1),
             ", n], got ", before_km.sizes());
  check_sizes(op, "after_qm", after_qm, {attn_qk.size(0), before_km.size(1)});
  const Quiet quiet;
  const at::Tensor own_qm = before_km.narrow(0, attn_qk.size(1) - attn_qk.size(0), attn_qk.size(0));
  after_qm.copy_(at::addmm(own_qm, attn_qk, before_km).div_(attn_qk.sum(1, true).add_(1)));
}

at::Tensor compose(const at::Tensor& map_tn, const at::Tensor& made_of_nk) {
  constexpr const char* op = "compose";
  check_like(op, "map_tn", map_tn, at::kFloat, map_tn.defined() ? map_tn.device() : at::Device(at::kCPU));
  check_like(op, "made_of_nk", made_of_nk, at::kFloat, map_tn.device());
  GAZE_CHECK(map_tn.dim() == 2, op, "map_tn", "[tokens, latents], got ", map_tn.sizes());
  GAZE_CHECK(made_of_nk.dim() == 2 && made_of_nk.size(0) == map_tn.size(1), op, "made_of_nk", "[", map_tn.size(1),
             ", keys], got ", made_of_nk.sizes());
  const Quiet quiet;
  const at::Tensor sum_n = made_of_nk.sum(1);
  const at::Tensor per_sum_n = at::where(sum_n.gt(0), sum_n.reciprocal(), at::zeros_like(sum_n));
  return at::mm(map_tn.mul(per_sum_n), made_of_nk);
}

Normalised normalise(const at::Tensor& map_tc, const at::Tensor& visible_t, const NormaliseOptions& options) {
  check_tensor("normalise", "map_tc", map_tc);
  const Quiet quiet;
  static const auto op = handle<NormaliseFn>("gaze::normalise");
  Normalised out;
  std::tie(out.lift_tc, out.shown_tc, out.value_tc, out.max_lift_t, out.entropy_t, out.diffuse_t, out.range_max) =
      op.call(map_tc, visible_t, options.subtract_sinks, options.percentile, options.per_map_min_max);
  out.sinks_subtracted = options.subtract_sinks && map_tc.size(0) >= kTokensForSinks;
  return out;
}

at::Tensor resample(const at::Tensor& map_yx, const CellAffine& place, int64_t height, int64_t width,
                    Interpolation interpolation) {
  check_tensor("resample", "map_yx", map_yx);
  const Quiet quiet;
  static const auto op = handle<ResampleFn>("gaze::resample");
  return op.call(map_yx, place.scale_x, place.offset_x, place.scale_y, place.offset_y, height, width,
                 interpolation == Interpolation::Exact);
}

at::Tensor colour(const at::Tensor& value, Colormap colormap) {
  check_tensor("colour", "value", value);
  const Quiet quiet;
  static const auto op = handle<ColourFn>("gaze::colour");
  return op.call(value, static_cast<int64_t>(colormap));
}

at::Tensor blend(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                 const BlendOptions& options) {
  check_tensor("blend", "rgb_hwc", rgb_hwc);
  const Quiet quiet;
  static const auto op = handle<BlendFn>("gaze::blend");
  return op.call(rgb_hwc, colour_hwc, value_yx, options.alpha_max, options.alpha_start);
}

void contour(at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels) {
  check_tensor("contour", "rgb_hwc", rgb_hwc);
  const Quiet quiet;
  static const auto op = handle<ContourFn>("gaze::contour_");
  op.call(rgb_hwc, inside_yx, width_pixels);
}

void overlay_out(const at::Tensor& rgb_hwc, const at::Tensor& value_yx, const std::optional<at::Tensor>& inside_yx,
                 const CellAffine& place, const OverlayOptions& options, at::Tensor& out_hwc) {
  check_tensor("overlay", "rgb_hwc", rgb_hwc);
  const Quiet quiet;
  static const auto op = handle<OverlayFn>("gaze::overlay_out");
  op.call(rgb_hwc, value_yx, inside_yx, place.scale_x, place.offset_x, place.scale_y, place.offset_y,
          options.interpolation == Interpolation::Exact, static_cast<int64_t>(options.colormap),
          options.blend.alpha_max, options.blend.alpha_start, options.contour_pixels, options.border_pixels, out_hwc);
}

at::Tensor overlay(const at::Tensor& rgb_hwc, const at::Tensor& value_yx, const std::optional<at::Tensor>& inside_yx,
                   const CellAffine& place, const OverlayOptions& options) {
  check_tensor("overlay", "rgb_hwc", rgb_hwc);
  const Quiet quiet;
  at::Tensor out_hwc = at::empty_like(rgb_hwc);
  overlay_out(rgb_hwc, value_yx, inside_yx, place, options, out_hwc);
  return out_hwc;
}

at::Tensor envelope(const at::Tensor& samples_ct, const Columns& columns) {
  check_tensor("envelope", "samples_ct", samples_ct);
  const Quiet quiet;
  static const auto op = handle<EnvelopeFn>("gaze::envelope");
  return op.call(samples_ct, columns.first, columns.per_column, columns.count);
}

void draw_waveform_out(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc) {
  check_tensor("draw_waveform", "envelope_ckw", envelope_ckw);
  const Quiet quiet;
  static const auto op = handle<DrawWaveformFn>("gaze::draw_waveform_out");
  op.call(envelope_ckw, full_scale, out_hwc);
}

void draw_spectrogram_out(const at::Tensor& mel_mt, const Columns& columns, at::Tensor& out_hwc) {
  check_tensor("draw_spectrogram", "mel_mt", mel_mt);
  const Quiet quiet;
  static const auto op = handle<DrawSpectrogramFn>("gaze::draw_spectrogram_out");
  op.call(mel_mt, columns.first, columns.per_column, columns.count, out_hwc);
}

at::Tensor top_mass(const at::Tensor& map_tc, double share) {
  constexpr const char* op = "top_mass";
  check_like(op, "map_tc", map_tc, at::kFloat, map_tc.defined() ? map_tc.device() : at::Device(at::kCPU));
  GAZE_CHECK(map_tc.dim() == 2, op, "map_tc", "[tokens, cells], got ", map_tc.sizes());
  GAZE_CHECK(share >= 0 && share <= 1, op, "share", "0..1, got ", share);
  const Quiet quiet;
  const auto [sorted_tc, cell_tc] = at::sort(map_tc, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  const at::Tensor held_tc = at::cumsum(sorted_tc, 1, at::kDouble);
  // A cell belongs to the set when the ones before it hold too little.
  const at::Tensor wanted_t = map_tc.size(1) > 0 ? held_tc.narrow(1, map_tc.size(1) - 1, 1).mul(share) : held_tc;
  const at::Tensor needed_tc = held_tc.sub(sorted_tc).lt(wanted_t).logical_and(sorted_tc.gt(0));
  return at::zeros_like(needed_tc).scatter(1, cell_tc, needed_tc);
}

}  // namespace gaze::ops

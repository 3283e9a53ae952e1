// SPDX-License-Identifier: MIT
#include "maps/hottest.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>

#include <set>
#include <vector>

#include "geometry/axis.hpp"

namespace gaze {
namespace {

// Large grids are searched a few maps at a time: 32 MB of values.
constexpr int64_t kMostValues = int64_t{1} << 22;

// A sample position on one axis: value = (1 - t) map[low] + t map[high].
struct Sample {
  int64_t pixel, low, high;
  double t;
};

// Between neighbouring cell centres the resampled value is monotonous along an axis, so its maximum lies beside a
// centre or at the border of what is seen. Centres come first: a plateau towards the border must not win.
std::vector<Sample> candidates(const Axis& axis, ops::Interpolation interpolation) {
  std::vector<int64_t> pixels;
  for (int64_t cell = 0; cell < axis.cells; ++cell) {
    const double centre = axis.pixel(static_cast<double>(cell) + 0.5);
    pixels.push_back(static_cast<int64_t>(std::floor(centre)));
    pixels.push_back(static_cast<int64_t>(std::ceil(centre)));
  }
  const auto [first, end] = axis.seen_range();
  pixels.push_back(first);
  pixels.push_back(end - 1);
  std::vector<Sample> samples;
  std::set<int64_t> known;
  for (const int64_t pixel : pixels) {
    if (!axis.seen(pixel) || !known.insert(pixel).second) continue;
    const double cell = axis.cell(pixel);
    if (interpolation == ops::Interpolation::Exact) {
      const auto low = static_cast<int64_t>(std::floor(cell));
      samples.push_back({pixel, low, low, 0.0});
    } else {
      const double centred = std::clamp(cell - 0.5, 0.0, static_cast<double>(axis.cells - 1));
      const auto low = static_cast<int64_t>(std::floor(centred));
      samples.push_back({pixel, low, std::min(low + 1, axis.cells - 1), centred - static_cast<double>(low)});
    }
  }
  return samples;
}

// float64 [4, xs + ys] on the host: pixel, low, high and t of every sample.
at::Tensor tabulate(const std::vector<Sample>& xs, const std::vector<Sample>& ys) {
  const auto count = static_cast<int64_t>(xs.size() + ys.size());
  at::Tensor table = at::empty({4, count}, at::kDouble);
  auto* out = table.mutable_data_ptr<double>();
  for (const std::vector<Sample>* samples : {&xs, &ys}) {
    for (const Sample& sample : *samples) {
      out[0] = static_cast<double>(sample.pixel);
      out[count] = static_cast<double>(sample.low);
      out[2 * count] = static_cast<double>(sample.high);
      out[3 * count] = sample.t;
      ++out;
    }
  }
  return table;
}

// Samples of one axis on the device.
struct Positions {
  at::Tensor pixel, low, high, t;

  explicit Positions(const at::Tensor& table)
      : pixel(table[0]), low(table[1].to(at::kLong)), high(table[2].to(at::kLong)), t(table[3]) {}
  // Interpolates `values` along `dim`, whose places `t` must be broadcast to.
  [[nodiscard]] at::Tensor mix(const at::Tensor& values, int64_t dim, const at::Tensor& along) const {
    const at::Tensor below = values.index_select(dim, low);
    return below + (values.index_select(dim, high) - below) * along;
  }
};

}  // namespace

at::Tensor hottest(const at::Tensor& shown_lc, const Placement& placement, ops::Interpolation interpolation,
                   const ops::Route& route) {
  const auto [axis_x, axis_y] = axes(placement);
  const std::vector<Sample> samples_x = candidates(axis_x, interpolation);
  const std::vector<Sample> samples_y = candidates(axis_y, interpolation);
  const int64_t maps = shown_lc.size(0);
  if (samples_x.empty() || samples_y.empty()) return at::full({maps}, -1, shown_lc.options().dtype(at::kDouble));
  const at::Tensor table = ops::to_device(tabulate(samples_x, samples_y), route, ops::Cargo::Table);
  const auto across = static_cast<int64_t>(samples_x.size());
  const auto down = static_cast<int64_t>(samples_y.size());
  const Positions xs(table.narrow(1, 0, across));
  const Positions ys(table.narrow(1, across, down));
  const int64_t at_once = std::max<int64_t>(1, kMostValues / (across * down));
  std::vector<at::Tensor> found;
  for (int64_t first = 0; first < maps; first += at_once) {
    const int64_t count = std::min(at_once, maps - first);
    const at::Tensor map_lyx =
        shown_lc.narrow(0, first, count).to(at::kDouble).view({count, placement.rows, placement.cols});
    const at::Tensor value_lyx = ys.mix(xs.mix(map_lyx, 2, xs.t), 1, ys.t.unsqueeze(1));
    const at::Tensor value_ln = value_lyx.reshape({count, across * down});
    const at::Tensor best_l = value_ln.argmax(1);  // of equal ones the first
    const at::Tensor top_l = value_ln.gather(1, best_l.unsqueeze(1)).squeeze(1);
    const at::Tensor x_l = xs.pixel.index_select(0, best_l.remainder(across));
    const at::Tensor y_l = ys.pixel.index_select(0, best_l.div(across, "floor"));
    const at::Tensor pixel_l = y_l * static_cast<double>(placement.width) + x_l;
    found.push_back(at::where(top_l > 0, pixel_l, at::full({}, -1, pixel_l.options())));
  }
  return at::cat(found);
}

}  // namespace gaze

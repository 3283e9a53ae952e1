// SPDX-License-Identifier: MIT
#include "probe/key_places.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace gaze {
namespace {

constexpr double kContrast = 3;       // how much more its own strip changes a local key than a quiet one
constexpr double kConnected = 0.6;    // share of what stands out that lies in one piece
constexpr double kTail = 0.1;         // of the peak: where the piece ends
constexpr int64_t kFewStrips = 12;    // of so few, as of a list of patches, each is a place by itself
constexpr double kTailOfFew = 0.3;    // of the peak
constexpr double kWidestOfFew = 0.5;  // of the strips
constexpr double kWidest = 0.6;       // of the strips: a piece as wide is no place

double quantile(std::vector<double> values, double at) {
  if (values.empty()) return 0;
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(at * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

/// The signs of a narrow strip can cancel out inside of a key's own region.
std::vector<double> smoothed(const std::vector<double>& values) {
  std::vector<double> result(values);
  for (size_t i = 0; i < values.size(); ++i) {
    const double before = i > 0 ? values[i - 1] : values[i];
    const double after = i + 1 < values.size() ? values[i + 1] : values[i];
    result[i] = (before + 2 * values[i] + after) / 4;
  }
  return result;
}

struct Centre {
  bool found = false;
  double at = 0;     // pixels
  double total = 0;  // energy over all strips
};

/// A key's place on one axis.
std::vector<Centre> centres(const StripResponse& axis) {
  const auto strips = static_cast<size_t>(axis.strips);
  const size_t keys = axis.energy_ks.size() / strips;
  const bool few = axis.strips < kFewStrips;
  const double tail = few ? kTailOfFew : kTail;
  const double widest = few ? kWidestOfFew : kWidest;
  std::vector<Centre> found(keys);
  std::vector<double> share = axis.energy_ks;
  std::vector<size_t> responding;
  for (size_t k = 0; k < keys; ++k) {
    const auto begin = share.begin() + static_cast<std::ptrdiff_t>(k * strips);
    const auto end = begin + static_cast<std::ptrdiff_t>(strips);
    found[k].total = std::accumulate(begin, end, 0.0);
    if (found[k].total <= 0) continue;
    responding.push_back(k);
    std::for_each(begin, end, [&](double& value) { value /= found[k].total; });
  }
  // What a strip does to keys that do not lie on it.
  std::vector<double> elsewhere(strips);
  for (size_t s = 0; s < strips; ++s) {
    std::vector<double> of_strip;
    for (const size_t k : responding) of_strip.push_back(share[k * strips + s]);
    elsewhere[s] = quantile(std::move(of_strip), 0.25);
  }
  for (const size_t k : responding) {
    const std::vector<double> raw(share.begin() + static_cast<std::ptrdiff_t>(k * strips),
                                  share.begin() + static_cast<std::ptrdiff_t>((k + 1) * strips));
    std::vector<double> own(strips);
    for (size_t s = 0; s < strips; ++s) own[s] = std::max(0.0, raw[s] - elsewhere[s]);
    if (!few) own = smoothed(own);
    const double quiet = quantile(own, 0.25);
    for (double& value : own) value = std::max(0.0, value - quiet);
    const auto peak = static_cast<size_t>(std::max_element(own.begin(), own.end()) - own.begin());
    if (own[peak] <= 0 || raw[peak] < kContrast * quantile(raw, 0.25)) continue;
    size_t first = peak;
    size_t last = peak;
    while (first > 0 && own[first - 1] >= tail * own[peak]) --first;
    while (last + 1 < strips && own[last + 1] >= tail * own[peak]) ++last;
    if (static_cast<double>(last + 1 - first) > widest * static_cast<double>(strips)) continue;
    double mass = 0;
    double moment = 0;
    for (size_t s = first; s <= last; ++s) {
      const auto left = static_cast<double>(static_cast<int64_t>(s) * axis.strip);
      const double right = std::min(left + static_cast<double>(axis.strip), static_cast<double>(axis.pixels));
      mass += own[s];
      moment += own[s] * (left + right) / 2;
    }
    const double all = std::accumulate(own.begin(), own.end(), 0.0);
    if (mass < kConnected * all) continue;
    found[k].found = true;
    found[k].at = moment / mass;
  }
  return found;
}

/// As `centres`, where cells of equal size are supposed: the one that changes the key most. Strips that lie on two
/// cells count for both, by their part.
std::vector<Centre> cell_centres(const StripResponse& axis, int64_t cells) {
  const auto strips = static_cast<size_t>(axis.strips);
  const size_t keys = axis.energy_ks.size() / strips;
  const double size = static_cast<double>(axis.pixels) / static_cast<double>(cells);
  const auto wide = static_cast<size_t>(cells);
  std::vector<double> share(keys * wide);
  std::vector<Centre> found(keys);
  std::vector<size_t> responding;
  for (size_t k = 0; k < keys; ++k) {
    for (size_t s = 0; s < strips; ++s) {
      const double energy = axis.energy_ks[k * strips + s];
      const double left = static_cast<double>(static_cast<int64_t>(s) * axis.strip);
      const double right = std::min(left + static_cast<double>(axis.strip), static_cast<double>(axis.pixels));
      found[k].total += energy;
      for (auto cell = static_cast<size_t>(left / size); cell < wide && static_cast<double>(cell) * size < right;
           ++cell) {
        const double begin = static_cast<double>(cell) * size;
        const double part = (std::min(right, begin + size) - std::max(left, begin)) / (right - left);
        share[k * wide + cell] += energy * std::max(0.0, part);
      }
    }
    if (found[k].total <= 0) continue;
    responding.push_back(k);
    for (size_t cell = 0; cell < wide; ++cell) share[k * wide + cell] /= found[k].total;
  }
  std::vector<double> elsewhere(wide);
  for (size_t cell = 0; cell < wide; ++cell) {
    std::vector<double> of_cell;
    for (const size_t k : responding) of_cell.push_back(share[k * wide + cell]);
    elsewhere[cell] = quantile(std::move(of_cell), 0.5);
  }
  for (const size_t k : responding) {
    size_t most = 0;
    for (size_t cell = 1; cell < wide; ++cell) {
      if (share[k * wide + cell] - elsewhere[cell] > share[k * wide + most] - elsewhere[most]) most = cell;
    }
    const std::vector<double> raw(share.begin() + static_cast<std::ptrdiff_t>(k * wide),
                                  share.begin() + static_cast<std::ptrdiff_t>((k + 1) * wide));
    found[k].at = (static_cast<double>(most) + 0.5) * size;
    found[k].found = wide == 1 || raw[most] >= kContrast * quantile(raw, 0.25);
  }
  return found;
}

/// The tile or the frame that changes each key most; 0 where there is one.
std::vector<Centre> part_centres(const StripResponse& parts, size_t keys) {
  return parts.strips < 2 ? std::vector<Centre>(keys) : cell_centres(parts, parts.strips);
}

/// Where keys weigh most on an axis, in pixels: the mean over what a strip does to them and not to most others.
std::vector<double> weights(const StripResponse& axis) {
  const auto strips = static_cast<size_t>(axis.strips);
  const size_t keys = axis.energy_ks.size() / strips;
  std::vector<double> share = axis.energy_ks;
  for (size_t k = 0; k < keys; ++k) {
    const auto begin = share.begin() + static_cast<std::ptrdiff_t>(k * strips);
    const auto end = begin + static_cast<std::ptrdiff_t>(strips);
    const double total = std::accumulate(begin, end, 0.0);
    std::for_each(begin, end, [&](double& value) { value /= std::max(total, 1e-300); });
  }
  std::vector<double> mass(keys);
  std::vector<double> moment(keys);
  for (size_t s = 0; s < strips; ++s) {
    std::vector<double> of_strip;
    for (size_t k = 0; k < keys; ++k) of_strip.push_back(share[k * strips + s]);
    const double most = quantile(std::move(of_strip), 0.5);
    const auto left = static_cast<double>(static_cast<int64_t>(s) * axis.strip);
    const double right = std::min(left + static_cast<double>(axis.strip), static_cast<double>(axis.pixels));
    for (size_t k = 0; k < keys; ++k) {
      const double own = std::max(0.0, share[k * strips + s] - most);
      mass[k] += own;
      moment[k] += own * (left + right) / 2;
    }
  }
  for (size_t k = 0; k < keys; ++k)
    moment[k] = mass[k] > 0 ? moment[k] / mass[k] : static_cast<double>(axis.pixels) / 2;
  return moment;
}

/// Puts the keys first..last into `cells` equal ranks of an axis, as centres of cells. False where they all lie on one
/// side of the middle.
bool rank(const std::vector<double>& at, int64_t first, int64_t last, int64_t cells, int64_t pixels,
          std::vector<double>& centre) {
  std::vector<int64_t> order(static_cast<size_t>(last - first));
  std::iota(order.begin(), order.end(), first);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return at[static_cast<size_t>(a)] < at[static_cast<size_t>(b)]; });
  const double middle = static_cast<double>(pixels) / 2;
  const double reach = static_cast<double>(pixels) / static_cast<double>(8 * cells);
  const bool across =
      at[static_cast<size_t>(order.front())] < middle - reach && at[static_cast<size_t>(order.back())] > middle + reach;
  const auto each = static_cast<double>(order.size()) / static_cast<double>(cells);
  for (size_t i = 0; i < order.size(); ++i) {
    const double cell = std::floor(static_cast<double>(i) / each);
    centre[static_cast<size_t>(order[i])] = (cell + 0.5) * static_cast<double>(pixels) / static_cast<double>(cells);
  }
  return cells == 1 || across;
}

}  // namespace

std::vector<ProbedKey> locate(const SiteResponse& response) {
  const std::vector<Centre> xs = centres(response.columns);
  const bool flat = response.rows.strips == 0;  // a sound
  const std::vector<Centre> ys = flat ? std::vector<Centre>(xs.size()) : centres(response.rows);
  const auto found = [](const std::vector<Centre>& all) {
    return std::count_if(all.begin(), all.end(), [](const Centre& centre) { return centre.found; });
  };
  // A grid of one column or one row has keys that no axis but the other tells apart.
  const bool one_column = !flat && found(ys) > 1 && 4 * found(xs) < found(ys);
  const bool one_row = flat || (found(xs) > 1 && 4 * found(ys) < found(xs));
  const std::vector<Centre> parts = part_centres(response.parts, xs.size());
  std::vector<ProbedKey> keys(xs.size());
  for (size_t k = 0; k < keys.size(); ++k) {
    ProbedKey& key = keys[k];
    key.change = (xs[k].total + ys[k].total) / static_cast<double>(response.columns.strips + response.rows.strips);
    key.responds = xs[k].total > 0 || ys[k].total > 0;
    key.placed = key.local = (xs[k].found || one_column) && (ys[k].found || one_row);
    key.part = static_cast<int64_t>(parts[k].at);
    if (!key.local) continue;
    key.x = xs[k].found && !one_column ? xs[k].at : static_cast<double>(response.columns.pixels) / 2;
    key.y = ys[k].found && !one_row ? ys[k].at : static_cast<double>(response.rows.pixels) / 2;
  }
  return keys;
}

std::vector<ProbedKey> locate_on(const SiteResponse& response, int64_t grid_rows, int64_t grid_cols) {
  const std::vector<Centre> xs = cell_centres(response.columns, grid_cols);
  const bool flat = response.rows.strips == 0;
  const std::vector<Centre> ys = flat ? std::vector<Centre>(xs.size()) : cell_centres(response.rows, grid_rows);
  const std::vector<Centre> parts = part_centres(response.parts, xs.size());
  std::vector<ProbedKey> keys(xs.size());
  for (size_t k = 0; k < keys.size(); ++k) {
    ProbedKey& key = keys[k];
    key.change = (xs[k].total + ys[k].total) / static_cast<double>(response.columns.strips + response.rows.strips);
    key.responds = xs[k].total > 0 || ys[k].total > 0;
    key.placed = key.responds;
    key.local = xs[k].found && (flat || ys[k].found);
    key.part = static_cast<int64_t>(parts[k].at);
    key.x = xs[k].at;
    key.y = ys[k].at;
  }
  return keys;
}

std::vector<ProbedKey> locate_ranked(const SiteResponse& response, GridSize grid, int64_t first, int64_t last) {
  std::vector<ProbedKey> keys = locate(response);
  std::vector<double> xs = weights(response.columns);
  std::vector<double> ys = weights(response.rows);
  if (!rank(xs, first, last, grid.cols, response.columns.pixels, xs) ||
      !rank(ys, first, last, grid.rows, response.rows.pixels, ys))
    return {};
  for (size_t k = 0; k < keys.size(); ++k) {
    const auto at = static_cast<int64_t>(k);
    keys[k].placed = keys[k].responds && at >= first && at < last;
    keys[k].local = keys[k].local && keys[k].placed;
    keys[k].x = xs[k];
    keys[k].y = ys[k];
  }
  return keys;
}

}  // namespace gaze

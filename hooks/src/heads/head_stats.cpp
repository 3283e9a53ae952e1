// SPDX-License-Identifier: MIT
#include "heads/head_stats.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

namespace gaze {
namespace {

constexpr double kDiffuse = 0.95;        // as ops::Normalised has it
constexpr double kShareOfLargest = 0.5;  // a head with this much of the largest share is no text head
constexpr double kChangeOfLargest = 0.25;

double sum_of(const CellMap& map) { return std::accumulate(map.weights.begin(), map.weights.end(), 0.0); }

/// Between the two groups that share the least of the values' variance (Otsu 1979); 0 where all are alike.
double split_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  double most = 0, split = 0, below = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    below += values[i - 1];
    const auto low = static_cast<double>(i);
    const double apart = below / low - (total - below) / (count - low);
    const double between = low * (count - low) * apart * apart;
    if (between <= most || values[i] <= values[i - 1]) continue;
    most = between;
    split = (values[i - 1] + values[i]) / 2;
  }
  return split;
}

}  // namespace

double spatial_entropy(const CellMap& map) {
  const double total = sum_of(map);
  const double mean = total / static_cast<double>(map.weights.size());
  std::vector<char> open(map.weights.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = map.weights[i] > mean ? 1 : 0;
  std::vector<double> masses;
  std::vector<int64_t> waiting;
  for (int64_t begin = 0; begin < static_cast<int64_t>(open.size()); ++begin) {
    if (open[static_cast<size_t>(begin)] == 0) continue;
    masses.push_back(0);
    waiting = {begin};
    open[static_cast<size_t>(begin)] = 0;
    while (!waiting.empty()) {
      const int64_t cell = waiting.back();
      waiting.pop_back();
      masses.back() += map.weights[static_cast<size_t>(cell)];
      const int64_t y = cell / map.cols, x = cell % map.cols;
      for (int64_t v = std::max<int64_t>(y - 1, 0); v <= std::min(y + 1, map.rows - 1); ++v) {
        for (int64_t u = std::max<int64_t>(x - 1, 0); u <= std::min(x + 1, map.cols - 1); ++u) {
          char& neighbour = open[static_cast<size_t>(v * map.cols + u)];
          if (neighbour == 0) continue;
          neighbour = 0;
          waiting.push_back(v * map.cols + u);
        }
      }
    }
  }
  const double all = std::accumulate(masses.begin(), masses.end(), 0.0);
  double entropy = 0;
  for (const double mass : masses) entropy -= mass / all * std::log(mass / all);
  return std::max(entropy, 0.0);
}

double cell_entropy(const CellMap& map) {
  const double total = sum_of(map);
  if (map.weights.size() < 2 || total <= 0) return 0;
  double entropy = 0;
  for (const double weight : map.weights) {
    if (weight > 0) entropy -= weight / total * std::log(weight / total);
  }
  return entropy / std::log(static_cast<double>(map.weights.size()));
}

double change_of(const std::vector<CellMap>& maps) {
  std::vector<double> mean;
  std::vector<double> totals;
  for (const CellMap& map : maps) totals.push_back(sum_of(map));
  const auto count = static_cast<double>(std::count_if(totals.begin(), totals.end(), [](double t) { return t > 0; }));
  if (count < 2) return 0;
  mean.resize(maps.front().weights.size());
  for (size_t n = 0; n < maps.size(); ++n) {
    for (size_t i = 0; i < mean.size() && totals[n] > 0; ++i) mean[i] += maps[n].weights[i] / totals[n] / count;
  }
  double distance = 0;
  for (size_t n = 0; n < maps.size(); ++n) {
    for (size_t i = 0; i < mean.size() && totals[n] > 0; ++i) {
      distance += std::abs(maps[n].weights[i] / totals[n] - mean[i]) / 2;
    }
  }
  return distance / count / (1 - 1 / count);
}

void choose_heads(HeadsResult& result, const std::vector<std::vector<SampleFigures>>& figures, int64_t top) {
  std::vector<MeasuredHead>& heads = result.heads;
  std::vector<double> shares;
  for (const MeasuredHead& head : heads) shares.push_back(head.share);
  result.least_share = std::min(split_of(shares), kShareOfLargest * *std::max_element(shares.begin(), shares.end()));
  result.most_entropy = kDiffuse;
  double most_change = 0;
  for (const MeasuredHead& head : heads) {
    if (head.share >= result.least_share) most_change = std::max(most_change, head.change);
  }
  result.least_change = kChangeOfLargest * most_change;
  for (MeasuredHead& head : heads) {
    if (head.share < result.least_share || head.share <= 0) {
      head.discarded = "little on the picture";
    } else if (head.entropy > result.most_entropy) {
      head.discarded = "diffuse";
    } else if (head.change < result.least_change || head.change <= 0) {
      head.discarded = "always the same map";
    }
  }
  std::vector<size_t> order(heads.size());
  for (const std::vector<SampleFigures>& sample : figures) {
    std::iota(order.begin(), order.end(), size_t{0});
    // Equal spatial entropies are frequent: any single region has 0. The more concentrated map goes first.
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return std::tuple(!heads[a].discarded.empty(), sample[a].spatial_entropy, sample[a].entropy, a) <
             std::tuple(!heads[b].discarded.empty(), sample[b].spatial_entropy, sample[b].entropy, b);
    });
    for (size_t i = 0; i < order.size() && i < static_cast<size_t>(top); ++i) {
      if (heads[order[i]].discarded.empty()) ++heads[order[i]].votes;
    }
  }
  std::stable_sort(heads.begin(), heads.end(), [](const MeasuredHead& a, const MeasuredHead& b) {
    return std::tuple(!a.discarded.empty(), -a.votes, a.spatial_entropy, a.entropy) <
           std::tuple(!b.discarded.empty(), -b.votes, b.spatial_entropy, b.entropy);
  });
  for (size_t i = 0; i < heads.size() && i < static_cast<size_t>(top); ++i) heads[i].chosen = heads[i].votes > 0;
}

}  // namespace gaze

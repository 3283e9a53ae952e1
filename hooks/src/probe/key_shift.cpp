// SPDX-License-Identifier: MIT
#include "probe/key_shift.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gaze {
namespace {

constexpr int64_t kMoves[] = {1, 2, 4, 8, 12, 16, 24, 32};  // keys; further apart, what else a sound holds shows
constexpr size_t kMeasures = 6;                             // of them
constexpr int64_t kMostMoved = 4;                           // at most this part of the sound
constexpr double kBeside = 0.2;                             // keys: where the parabola's outer points lie

/// Where the misfit of sounds moved by `keys` is least, in steps per key.
std::optional<double> least(int64_t keys, double about, double beside, const ShiftMisfit& misfit) {
  const auto middle = static_cast<int64_t>(std::llround(about * static_cast<double>(keys)));
  const auto apart = std::max<int64_t>(1, std::llround(beside));
  double at[3] = {};
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t steps = middle + (i - 1) * apart;
    at[i] = misfit(keys, steps) + misfit(-keys, -steps);
  }
  const double curve = at[0] - 2 * at[1] + at[2];
  if (!(curve > 0)) return std::nullopt;
  const double vertex = (at[0] - at[2]) / (2 * curve) * static_cast<double>(apart);
  return (static_cast<double>(middle) + vertex) / static_cast<double>(keys);
}

}  // namespace

std::optional<KeyStride> stride_by_shifts(const KeyTimeline& line, const ShiftMisfit& misfit) {
  std::vector<int64_t> moves;
  for (const int64_t keys : kMoves) {
    if (kMostMoved * keys <= line.keys) moves.push_back(keys);
  }
  if (moves.size() > kMeasures) moves.erase(moves.begin(), moves.end() - kMeasures);
  double stride = line.stride.steps;
  std::vector<double> found;
  std::vector<double> weight;
  for (const int64_t keys : moves) {
    const double beside =
        std::max(kBeside * stride, static_cast<double>(keys) * (found.empty() ? line.stride.uncertain : 0));
    const auto at = least(keys, stride, beside, misfit);
    if (!at || std::abs(*at - line.stride.steps) > 2 * line.stride.uncertain) return std::nullopt;
    stride = *at;
    found.push_back(*at);
    weight.push_back(static_cast<double>(keys));
  }
  if (found.size() < 3) return std::nullopt;
  // The first only says where the others are to look.
  double sum = 0;
  double weights = 0;
  for (size_t i = 1; i < found.size(); ++i) {
    sum += weight[i] * found[i];
    weights += weight[i];
  }
  const double mean = sum / weights;
  double uncertain = 0;
  for (size_t i = 1; i < found.size(); ++i) uncertain = std::max(uncertain, std::abs(found[i] - mean));
  return whole_if_certain({mean, uncertain});
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "key_timeline.hpp"

#include <algorithm>
#include <cmath>

namespace gaze {
namespace {

constexpr double kAgreement = 0.9;    // of the keys
constexpr double kOffPlace = 0.45;    // keys: two that lie in one place are further off than that
constexpr double kCertain = 0.25;     // steps: less is no other whole number
constexpr double kNearStride = 0.01;  // of a key's steps
constexpr double kCovered = 0.7;      // of the sound, by the keys together
constexpr int64_t kFewestKeys = 6;    // fewer agree by chance

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Three standard errors of a slope, from how far the keys lie off its line. Where strips are wider than keys, at the
/// least what it changes by when the first and the last key lie a strip elsewhere: no place is told more exactly.
double uncertainty(const std::vector<ProbedKey>& keys, const std::vector<int64_t>& placed, double slope, double strip) {
  std::vector<double> offsets;
  for (const int64_t key : placed)
    offsets.push_back(keys[static_cast<size_t>(key)].x - slope * static_cast<double>(key));
  const double centre = median(offsets);
  for (double& offset : offsets) offset = std::abs(offset - centre);
  // Of normal errors the median is 0.67 standard deviations; keys at the ends, which hear less, do not count.
  const double deviation = median(std::move(offsets)) / 0.67;
  const auto count = static_cast<double>(placed.size());
  return std::max(3 * deviation * std::sqrt(12) / std::pow(count, 1.5), strip > slope ? 2 * strip / count : 0);
}

}  // namespace

std::optional<KeyTimeline> find_timeline(const std::vector<ProbedKey>& keys, int64_t steps, int64_t strip,
                                         const std::optional<KeyTimeline>& known) {
  std::vector<int64_t> placed;
  for (size_t k = 0; k < keys.size(); ++k) {
    if (keys[k].placed) placed.push_back(static_cast<int64_t>(k));
  }
  if (static_cast<int64_t>(placed.size()) < kFewestKeys) return std::nullopt;
  const auto at = [&](int64_t key) { return keys[static_cast<size_t>(key)].x; };
  const auto width = static_cast<double>(strip);
  KeyTimeline line;
  double& centre_of_0 = line.centre_of_0;
  const auto lay_through = [&](double steps_per_key) {
    line.steps_per_key = steps_per_key;
    std::vector<double> offsets;
    for (const int64_t key : placed) offsets.push_back(at(key) - steps_per_key * static_cast<double>(key));
    centre_of_0 = median(std::move(offsets));
  };
  if (known) {
    line = *known;
  } else {
    // The median of slopes between keys far apart: text around the sound, and single keys, do not bend it.
    std::vector<double> slopes;
    const size_t half = placed.size() / 2;
    for (size_t i = 0; i + half < placed.size(); ++i)
      slopes.push_back((at(placed[i + half]) - at(placed[i])) / static_cast<double>(placed[i + half] - placed[i]));
    const double slope = median(std::move(slopes));
    if (!(slope > 0)) return std::nullopt;
    line.uncertain = uncertainty(keys, placed, slope, width);
    const double whole = std::round(slope);
    const bool certain = whole > 0 && line.uncertain < kCertain && std::abs(whole - slope) <= kCertain;
    if (certain) line.uncertain = 0;
    lay_through(certain ? whole : slope);
  }

  const double reach = std::max(kOffPlace * line.steps_per_key, width);
  int64_t on = 0;
  int64_t local = 0;
  int64_t last = -1;
  line.first_key = -1;
  for (const int64_t key : placed) {
    if (std::abs(at(key) - centre_of_0 - line.steps_per_key * static_cast<double>(key)) > reach) continue;
    ++on;
    local += static_cast<int64_t>(keys[static_cast<size_t>(key)].local);
    if (line.first_key < 0) line.first_key = key;
    last = key;
  }
  if (on < kFewestKeys) return std::nullopt;
  const auto within =
      std::count_if(placed.begin(), placed.end(), [&](int64_t key) { return key >= line.first_key && key <= last; });
  // Keys at the ends of the sound hear less on one side, and seem to lie further in.
  const auto goes_on = [&](int64_t key) {
    const double centre = centre_of_0 + line.steps_per_key * static_cast<double>(key);
    return key >= 0 && key < static_cast<int64_t>(keys.size()) && keys[static_cast<size_t>(key)].responds &&
           centre > -0.25 * line.steps_per_key && centre < static_cast<double>(steps) + 0.25 * line.steps_per_key;
  };
  while (goes_on(line.first_key - 1)) --line.first_key;
  while (goes_on(last + 1)) ++last;
  line.keys = last + 1 - line.first_key;
  // Strides that divide the sound give all its keys together its length, which is finer than a slope over strips. Keys
  // of padding need not respond.
  bool divides = false;
  for (const int64_t all : {static_cast<int64_t>(keys.size()), line.keys}) {
    const auto stride = static_cast<double>(steps / all);
    const double near = std::max(kNearStride * stride, line.uncertain);
    if (known || divides || steps % all != 0 || std::abs(stride - line.steps_per_key) > near) continue;
    divides = true;
    if (all != line.keys) line.first_key = 0, line.keys = all;
    line.uncertain = 0;
    lay_through(stride);
  }
  const auto count = static_cast<double>(line.keys);
  const bool agree = static_cast<double>(on) >= kAgreement * static_cast<double>(within) && 2 * on >= line.keys;
  const double covered = count * line.steps_per_key;
  // Keys that all lie in a few strips make a line of any slope.
  if (!agree || covered < 4 * width || covered < kCovered * static_cast<double>(steps) ||
      covered > static_cast<double>(steps) / kCovered)
    return std::nullopt;
  line.local_share = static_cast<double>(local) / count;
  line.first_step = centre_of_0 + line.steps_per_key * (static_cast<double>(line.first_key) - 0.5);
  // Keys that are as long as the sound begin where it does.
  if (std::abs(line.first_step) <= std::max(line.steps_per_key, width) / (divides ? 1 : 2)) line.first_step = 0;
  return line;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "probe/key_timeline.hpp"

#include <algorithm>
#include <cmath>

namespace gaze {
namespace {

constexpr double kTimeAgreement = 0.9;  // of the keys
constexpr double kOffPlace = 0.45;      // keys: two that lie in one place are further off than that
constexpr double kOffStrips = 2;        // where keys are narrower than strips: what is loud nearby draws them so far
constexpr double kNearWhole = 0.001;    // of a key's steps: a sound of a thousand keys is off by one
constexpr double kMostNear = 0.25;      // steps: that is at most so much
constexpr double kNearStride = 0.01;    // of a key's steps
constexpr double kCovered = 0.7;        // of the sound, by the keys together
constexpr int64_t kFewestKeys = 6;      // fewer agree by chance
constexpr size_t kMostTried = 256;      // lines through keys of one distance
constexpr size_t kShortestTried = 32;   // of the placed keys: part that two on a line are apart

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The placed keys of a row, and the sound they lie in.
class PlacedKeys {
 public:
  PlacedKeys(const std::vector<ProbedKey>& keys, int64_t steps, int64_t strip)
      : keys_(keys), steps_(static_cast<double>(steps)), strip_(static_cast<double>(strip)) {
    for (size_t k = 0; k < keys.size(); ++k) {
      if (keys[k].placed) placed_.push_back(static_cast<int64_t>(k));
    }
  }

  /// Those on the line through two of them that has the most, and covers half of the sound at the least. The keys of
  /// silence behind a sound answer to what is loudest in it, all of them in one place.
  [[nodiscard]] std::vector<int64_t> on_one_line() const {
    std::vector<int64_t> most;
    const size_t every = placed_.size() / kMostTried + 1;
    for (size_t apart = placed_.size() / 2; apart > placed_.size() / kShortestTried; apart /= 2) {
      for (size_t i = 0; i + apart < placed_.size(); i += every) {
        const double slope = slope_between(placed_[i], placed_[i + apart]);
        if (!(slope > 0)) continue;
        std::vector<int64_t> on = on_line(slope, at(placed_[i]) - slope * static_cast<double>(placed_[i]));
        if (on.size() > most.size() && 2 * slope * static_cast<double>(on.back() - on.front()) >= steps_)
          most = std::move(on);
      }
    }
    return most;
  }

  /// The median of slopes between keys far apart: single keys do not bend it.
  [[nodiscard]] KeyStride stride_of(const std::vector<int64_t>& straight) const {
    std::vector<double> slopes;
    const size_t half = straight.size() / 2;
    for (size_t i = 0; i + half < straight.size(); ++i)
      slopes.push_back(slope_between(straight[i], straight[i + half]));
    const double slope = median(std::move(slopes));
    return {slope, uncertainty(straight, slope)};
  }

  /// Where a line of this slope has key 0.
  [[nodiscard]] double centre_of_0(const std::vector<int64_t>& straight, double slope) const {
    return median(offsets(straight, slope));
  }

  [[nodiscard]] std::vector<int64_t> on_line(double slope, double centre_of_0) const {
    std::vector<int64_t> on;
    for (const int64_t key : placed_) {
      if (off(key, slope, centre_of_0) <= reach(slope)) on.push_back(key);
    }
    return on;
  }

  /// How many placed keys lie from `first` to `last`.
  [[nodiscard]] int64_t between(int64_t first, int64_t last) const {
    return std::count_if(placed_.begin(), placed_.end(), [&](int64_t key) { return key >= first && key <= last; });
  }

  /// Whether a key before or after those on the line may go on it. Those at the ends of the sound hear less on one
  /// side, and seem to lie further in.
  [[nodiscard]] bool goes_on(int64_t key, double slope, double centre_of_0) const {
    if (key < 0 || key >= static_cast<int64_t>(keys_.size())) return false;
    const ProbedKey& found = keys_[static_cast<size_t>(key)];
    if (!found.responds || (found.placed && off(key, slope, centre_of_0) > 3 * reach(slope))) return false;
    const double centre = centre_of_0 + slope * static_cast<double>(key);
    // Where keys are narrower than strips, the beginning is known to half a strip.
    const double before = strip_ > slope ? strip_ / 2 : 0.25 * slope;
    return centre > -before && centre < steps_ + 0.25 * slope;
  }

  [[nodiscard]] int64_t count() const { return static_cast<int64_t>(placed_.size()); }

 private:
  [[nodiscard]] double at(int64_t key) const { return keys_[static_cast<size_t>(key)].x; }

  [[nodiscard]] double slope_between(int64_t key, int64_t later) const {
    return (at(later) - at(key)) / static_cast<double>(later - key);
  }

  [[nodiscard]] double off(int64_t key, double slope, double centre_of_0) const {
    return std::abs(at(key) - centre_of_0 - slope * static_cast<double>(key));
  }

  [[nodiscard]] double reach(double slope) const { return reach_in_time(slope, strip_); }

  [[nodiscard]] std::vector<double> offsets(const std::vector<int64_t>& straight, double slope) const {
    std::vector<double> offsets;
    for (const int64_t key : straight) offsets.push_back(at(key) - slope * static_cast<double>(key));
    return offsets;
  }

  /// Three standard errors of a slope, from how far the keys lie off its line. Where strips are wider than keys, at the
  /// least what it changes by when the first and the last key lie a strip elsewhere: no place is told more exactly.
  [[nodiscard]] double uncertainty(const std::vector<int64_t>& straight, double slope) const {
    std::vector<double> off = offsets(straight, slope);
    const double centre = median(off);
    for (double& offset : off) offset = std::abs(offset - centre);
    // Of normal errors the median is 0.67 standard deviations; keys at the ends, which hear less, do not count.
    const double deviation = median(std::move(off)) / 0.67;
    const auto count = static_cast<double>(straight.size());
    return std::max(3 * deviation * std::sqrt(12) / std::pow(count, 1.5), strip_ > slope ? 2 * strip_ / count : 0);
  }

  const std::vector<ProbedKey>& keys_;
  std::vector<int64_t> placed_;
  double steps_, strip_;
};

/// The first and the last key on a line; nothing where too few are.
std::optional<KeyTimeline> settled(KeyTimeline line, const std::vector<ProbedKey>& keys, const PlacedKeys& placed) {
  const std::vector<int64_t> on = placed.on_line(line.stride.steps, line.centre_of_0);
  const auto count = static_cast<int64_t>(on.size());
  if (count < kFewestKeys) return std::nullopt;
  if (line.keys == 0) {
    int64_t last = on.back();
    line.first_key = on.front();
    while (placed.goes_on(line.first_key - 1, line.stride.steps, line.centre_of_0)) --line.first_key;
    while (placed.goes_on(last + 1, line.stride.steps, line.centre_of_0)) ++last;
    line.keys = last + 1 - line.first_key;
  }
  if (static_cast<double>(count) < kTimeAgreement * static_cast<double>(placed.between(on.front(), on.back())) ||
      2 * count < line.keys)
    return std::nullopt;
  const auto local = std::count_if(on.begin(), on.end(), [&](int64_t key) {
    return keys[static_cast<size_t>(key)].local && key >= line.first_key && key < line.first_key + line.keys;
  });
  line.local_share = static_cast<double>(local) / static_cast<double>(line.keys);
  return line;
}

/// What gives so many keys together the sound's length, where that is a whole number and as near as the measure: finer
/// than a slope over strips.
std::optional<KeyStride> dividing(const KeyStride& stride, int64_t keys, int64_t steps) {
  const auto exact = static_cast<double>(steps) / static_cast<double>(keys);
  const double near = stride.uncertain > 0 ? std::max(kNearStride * exact, stride.uncertain) : 0;
  if (steps % keys != 0 || std::abs(exact - stride.steps) > near) return std::nullopt;
  return KeyStride{exact, 0};
}

}  // namespace

double reach_in_time(double steps_per_key, double strip) {
  return std::max(kOffPlace * steps_per_key, steps_per_key < strip ? kOffStrips * strip : strip);
}

KeyStride whole_if_certain(KeyStride stride) {
  const double whole = std::round(stride.steps);
  const double within = std::max(stride.uncertain, std::min(kMostNear, kNearWhole * whole));
  const double nearest = std::abs(whole - stride.steps);
  if (whole > 0 && nearest <= within && nearest + within < 1) return {whole, 0};
  return stride;
}

std::optional<KeyTimeline> find_timeline(const std::vector<ProbedKey>& keys, int64_t steps, int64_t strip,
                                         const std::optional<KeyStride>& stride) {
  const PlacedKeys placed(keys, steps, strip);
  if (placed.count() < kFewestKeys) return std::nullopt;
  const std::vector<int64_t> straight = placed.on_one_line();
  if (static_cast<int64_t>(straight.size()) < kFewestKeys) return std::nullopt;
  KeyTimeline line;
  line.of_keys = static_cast<int64_t>(keys.size());
  line.stride = stride ? *stride : whole_if_certain(placed.stride_of(straight));
  line.centre_of_0 = placed.centre_of_0(straight, line.stride.steps);
  auto found = settled(line, keys, placed);
  if (!found) return std::nullopt;
  // Keys of padding need not respond.
  if (const auto exact = stride ? std::nullopt : dividing(found->stride, line.of_keys, steps)) {
    line.stride = *exact;
    line.centre_of_0 = placed.centre_of_0(straight, exact->steps);
    line.keys = line.of_keys;
    found = settled(line, keys, placed);
    if (!found) return std::nullopt;
  }
  const auto width = static_cast<double>(strip);
  const double each = found->stride.steps;
  const double covered = static_cast<double>(found->keys) * each;
  // Keys that all lie in a few strips make a line of any slope.
  if (covered < 4 * width || covered < kCovered * static_cast<double>(steps) ||
      covered > static_cast<double>(steps) / kCovered)
    return std::nullopt;
  found->first_step = found->centre_of_0 + each * (static_cast<double>(found->first_key) - 0.5);
  // Keys that are as long as the sound begin where it does.
  const bool whole = std::abs(covered - static_cast<double>(steps)) < 0.5 * each;
  if (std::abs(found->first_step) <= std::max(whole ? each : each / 2, width)) found->first_step = 0;
  return found;
}

std::optional<KeyTimeline> confirmed(const KeyTimeline& known, const std::vector<ProbedKey>& keys, int64_t steps,
                                     int64_t strip) {
  if (known.of_keys != static_cast<int64_t>(keys.size())) return std::nullopt;
  return settled(known, keys, PlacedKeys(keys, steps, strip));
}

}  // namespace gaze

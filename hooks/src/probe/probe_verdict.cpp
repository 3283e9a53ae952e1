// SPDX-License-Identifier: MIT
#include "probe/probe_verdict.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "probe/key_windows.hpp"

namespace gaze {
namespace {

constexpr int64_t kMostMerged = 4;
constexpr int64_t kFewestSupposed = 6;  // cells: fewer may agree with a grid by chance

std::string count(int64_t n, const std::string& one) { return std::to_string(n) + " " + one + (n == 1 ? "" : "s"); }

/// " with 1 leading and 2 trailing", of every tile or frame.
std::string specials(int64_t leading, int64_t trailing) {
  std::string text;
  if (leading > 0) text = " with " + std::to_string(leading) + " leading";
  if (trailing > 0) text += (leading > 0 ? " and " : " with ") + std::to_string(trailing) + " trailing";
  return text;
}

/// " of 8 x 8 pixels"; empty where it is not known how the tiles lie that the grid goes through.
std::string cell_size(const Geometry& geometry, const ProbeResult& result) {
  int64_t rows = geometry.rows;
  int64_t cols = geometry.cols;
  if (result.medium == ProbeMedium::Tiles && !geometry.tiles) {
    if (!geometry.thumbnail && result.tiles.rows == 0) return "";
    rows = geometry.thumbnail ? geometry.thumbnail->rows : rows / result.tiles.rows;
    cols = geometry.thumbnail ? geometry.thumbnail->cols : cols / result.tiles.cols;
  } else if (geometry.tiles && result.medium != ProbeMedium::Tiles) {
    rows = geometry.grid_rows();
    cols = geometry.grid_cols();
  }
  return " of " + std::to_string(result.width / std::max<int64_t>(1, cols)) + " x " +
         std::to_string(result.height / std::max<int64_t>(1, rows)) + " " + result.unit;
}

bool alone(const ProbedSite& probed) { return probed.site.k_reads.size() <= 1; }

std::string number(double value, const char* format) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Grids of about square cells that `cells` of them can make.
std::vector<GridSize> nearly_square(int64_t cells, const ProbeResult& result) {
  std::vector<GridSize> grids;
  for (int64_t rows = 1; rows <= cells; ++rows) {
    const int64_t cols = cells / rows;
    const bool square =
        result.height * cols <= 2 * result.width * rows && result.width * rows <= 2 * result.height * cols;
    if (cells % rows == 0 && square) grids.push_back({rows, cols});
  }
  return grids;
}

/// The layout of keys behind much mixing: on the grids of other sites, on those merged, and on all keys as cells that
/// are nearly square, by what changes them most and then by rank. Places the keys anew when there is one.
std::optional<KeyLayout> supposed_layout(ProbedSite& probed, const SiteResponse& response, const ProbeResult& result,
                                         const std::vector<GridSize>& others) {
  std::optional<KeyLayout> layout;
  const auto accept = [&](std::vector<ProbedKey> keys, GridSize size) {
    if (keys.empty()) return false;
    layout = find_layout(keys, size, result, alone(probed), Layouts::Lines);
    if (layout) probed.keys = std::move(keys);
    return layout.has_value();
  };
  std::vector<GridSize> supposed;
  for (const GridSize& other : others) {
    for (int64_t merge = 1; merge <= kMostMerged; ++merge) {
      if (other.rows % merge == 0 && other.cols % merge == 0)
        supposed.push_back({other.rows / merge, other.cols / merge});
    }
  }
  const auto count = static_cast<int64_t>(probed.keys.size());
  const bool whole = result.parts == 1 && alone(probed);
  if (whole) {
    for (const GridSize& grid : nearly_square(count, result)) supposed.push_back(grid);
  }
  for (const GridSize& size : supposed) {
    if (size.rows * size.cols * result.parts < kFewestSupposed || size.rows * size.cols > count) continue;
    if (accept(locate_on(response, size.rows, size.cols), size)) return layout;
  }
  if (!whole) return std::nullopt;
  for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, count}, {1, count}, {0, count - 1}}) {
    if (last - first < kFewestSupposed) continue;
    for (const GridSize& size : nearly_square(last - first, result)) {
      if (!accept(locate_ranked(response, size, first, last), size)) continue;
      layout->ranked = true;
      return layout;
    }
  }
  return std::nullopt;
}

std::string count_of_responding(const ProbedSite& probed) {
  return std::to_string(probed.responding) + " responding keys of " + std::to_string(probed.keys.size());
}

void judge_not_local(ProbedSite& probed, int64_t local) {
  const auto first = std::find_if(probed.keys.begin(), probed.keys.end(),
                                  [](const ProbedKey& key) { return key.responds && !key.local; });
  probed.verdict = "key " + std::to_string(first - probed.keys.begin()) + " is not local, as " +
                   std::to_string(probed.responding - local) + " of " + count_of_responding(probed) +
                   ": a resampler, a pooling or much mixing sits between";
}

/// Of a site without a layout in its row of keys.
void judge_without(ProbedSite& probed, const ProbeResult& result) {
  const int64_t local =
      std::count_if(probed.keys.begin(), probed.keys.end(), [](const ProbedKey& key) { return key.local; });
  probed.local_share = static_cast<double>(local) / static_cast<double>(probed.responding);
  if (2 * local < probed.responding) {
    judge_not_local(probed, local);
    return;
  }
  probed.verdict = std::to_string(local) + " of " + count_of_responding(probed) +
                   " are local, and their places make no grid: text that has seen the picture, much mixing, or cells "
                   "narrower than a strip (" +
                   std::to_string(result.strip_width) + " x " + std::to_string(result.strip_height) + " " +
                   result.unit + ")";
}

std::string describe(const KeyWindows& windows, const ProbeResult& result) {
  std::string text = std::to_string(windows.grid.rows) + " x " + std::to_string(windows.grid.cols) + " cells of " +
                     std::to_string(result.width / windows.grid.cols) + " x " +
                     std::to_string(result.height / windows.grid.rows) + " " + result.unit + " in windows of " +
                     std::to_string(windows.window.rows) + " x " + std::to_string(windows.window.cols) + " cells, " +
                     std::to_string(windows.count.rows) + " x " + std::to_string(windows.count.cols) + " windows";
  if (!windows.by_rows) {
    text += ", whose shift and order of keys are not seen";
  } else if (windows.shift.rows + windows.shift.cols > 0) {
    text +=
        ", shifted by " + std::to_string(windows.shift.rows) + " x " + std::to_string(windows.shift.cols) + " cells";
  }
  return text + ": rows of keys of their own, of which no overlay is made";
}

/// Keys in groups of which none holds the whole picture, where the places of all groups make a grid.
std::optional<KeyWindows> own_windows(const ProbedSite& probed, const SiteResponse& unfolded,
                                      const ProbeResult& result) {
  if (probed.groups == 1 || probed.responding == 0) return std::nullopt;
  const std::vector<ProbedKey> keys_gk = locate(unfolded);
  const auto grid = find_grid(keys_gk, result.width, result.height);
  return grid ? find_windows(keys_gk, probed.groups, *grid, result.width, result.height) : std::nullopt;
}

/// As `own_windows`, behind much mixing: on the grids of other sites, on these merged, and on all responding keys as
/// cells that are nearly square.
std::optional<KeyWindows> supposed_windows(const ProbedSite& probed, const SiteResponse& unfolded,
                                           const ProbeResult& result, const std::vector<GridSize>& others) {
  std::vector<GridSize> supposed;
  for (int64_t merge = 1; merge <= 2; ++merge) {
    for (const GridSize& other : others)
      supposed.push_back({(other.rows + merge - 1) / merge, (other.cols + merge - 1) / merge});
  }
  const std::vector<ProbedKey> found_gk = locate(unfolded);
  const auto cells = std::count_if(found_gk.begin(), found_gk.end(), [](const ProbedKey& key) { return key.responds; });
  for (const GridSize& grid : nearly_square(cells, result)) supposed.push_back(grid);
  for (const GridSize& grid : supposed) {
    if (grid.rows * grid.cols < kFewestSupposed) continue;
    const std::vector<ProbedKey> keys_gk = locate_on(unfolded, grid.rows, grid.cols);
    if (auto found = find_windows(keys_gk, probed.groups, grid, result.width, result.height)) return found;
  }
  return std::nullopt;
}

/// A line that was found, and whether its row holds nothing but the sound.
struct KnownTimeline {
  KeyTimeline line;
  bool alone = false;
};

/// Up to the end of the last strip that changes a key: what lies behind a model's window changes none.
int64_t heard_steps(const StripResponse& time) {
  const auto changes = [](double energy) { return energy > 0; };
  int64_t last = 0;
  for (auto row = time.energy_ks.begin(); row != time.energy_ks.end(); row += time.strips) {
    const auto behind = std::find_if(std::reverse_iterator(row + time.strips), std::reverse_iterator(row), changes);
    last = std::max(last, behind.base() - row);
  }
  return std::min(time.pixels, last * time.strip);
}

/// The line of a site's keys: one that another site's keys lie on, else its own. Adds that to the known ones.
std::optional<KnownTimeline> timeline_of(ProbedSite& probed, size_t site, const SiteResponse& in_time,
                                         const ProbeResult& result, std::vector<KnownTimeline>& known,
                                         const MeasureStride& measure) {
  const int64_t steps = heard_steps(in_time.columns);
  const int64_t strip = result.strip_width;
  std::vector<ProbedKey> keys = locate(in_time);
  std::vector<ProbedKey> voted;
  for (std::vector<ProbedKey>* const placed : {&keys, &voted}) {
    if (placed == &voted) voted = locate_on(in_time, 1, in_time.columns.strips);
    for (const KnownTimeline& other : known) {
      const auto line = confirmed(other.line, *placed, steps, strip);
      if (!line) continue;
      probed.keys = std::move(*placed);
      return KnownTimeline{*line, other.alone};
    }
    auto line = find_timeline(*placed, steps, strip);
    if (!line) continue;
    if (line->stride.uncertain > 0) {
      const auto same = std::find_if(known.begin(), known.end(), [&](const KnownTimeline& other) {
        return std::abs(other.line.stride.steps - line->stride.steps) <= line->stride.uncertain;
      });
      const auto stride = same != known.end() ? std::optional(same->line.stride) : measure(site, *line);
      if (stride) {
        const auto finer = find_timeline(*placed, steps, strip, stride);
        if (finer) line = finer;
      }
    }
    known.push_back({*line, alone(probed)});
    probed.keys = std::move(*placed);
    return known.back();
  }
  probed.keys = std::move(keys);
  return std::nullopt;
}

void judge_sound(ProbedSite& probed, size_t site, const SiteResponse& response, const ProbeResult& result,
                 std::vector<KnownTimeline>& known, const MeasureStride& measure) {
  if (response.rows.strips > 0) {
    ProbeResult spectrogram;
    spectrogram.width = result.width;
    spectrogram.height = result.height;
    const auto grid = find_grid(probed.keys, result.width, result.height);
    if (grid && grid->rows > 1 && find_layout(probed.keys, *grid, spectrogram, alone(probed), Layouts::Lines)) {
      probed.verdict =
          "its keys are patches of time and frequency: probe the spectrogram as a picture, [batch, height, width]";
      return;
    }
  }
  const auto found = timeline_of(probed, site, {response.columns, {}, {}}, result, known, measure);
  if (!found) {
    const int64_t local =
        std::count_if(probed.keys.begin(), probed.keys.end(), [](const ProbedKey& key) { return key.local; });
    probed.local_share = static_cast<double>(local) / static_cast<double>(probed.responding);
    judge_not_local(probed, local);
    if (2 * local >= probed.responding)
      probed.verdict = std::to_string(local) + " of " + count_of_responding(probed) +
                       " are local, and do not follow one another in time: text that has heard the sound, or much "
                       "mixing";
    return;
  }
  const KeyTimeline& line = found->line;
  const double each = line.stride.steps;
  Geometry geometry;
  geometry.rows = 1;
  geometry.cols = line.keys;
  geometry.time = Timeline{each * result.seconds_per_step, line.first_step * result.seconds_per_step};
  const int64_t after = line.of_keys - line.first_key - line.keys;
  // Of a row that holds nothing else, more than special keys are what the model fills its window up with.
  const bool filled = found->alone && after > kMostSpecial && !probed.grows;
  if (filled) geometry.cols += after;
  if (found->alone) {
    geometry.leading = line.first_key;
    geometry.trailing = filled ? 0 : after;
  } else {
    geometry.first_key = line.first_key;
    if (geometry.first_key == 0 && after > 0) geometry.spans = {{0, geometry.cols}};
  }
  probed.local_share = line.local_share;
  probed.verdict = describe(geometry, result);
  if (line.stride.uncertain > 0)
    probed.verdict +=
        ", give or take " + number(1000 * line.stride.uncertain * result.seconds_per_step, "%.2g") + " ms";
  probed.verdict += ", " + percent(line.local_share) + " of its keys local";
  const int64_t heard_end = heard_steps(response.columns);
  if (heard_end < result.width)
    probed.verdict += "; the sound after " + number(static_cast<double>(heard_end) * result.seconds_per_step, "%.2f") +
                      " s changes no key";
  const auto heard = static_cast<double>(std::min(result.width - result.silent_steps, heard_end));
  const auto padding = std::clamp<int64_t>(
      geometry.cols - static_cast<int64_t>(std::ceil((heard - line.first_step) / each)), 0, geometry.cols);
  if ((result.silent_steps > 0 || filled) && padding > 0)
    probed.verdict += "; the last " + count(padding, "key") + " (from " +
                      number(heard * result.seconds_per_step, "%.2f") + " s on) are padding";
  if (probed.grows) probed.verdict += "; a longer sound has more";
  probed.geometry = std::move(geometry);
}

void judge_site(ProbedSite& probed, const std::optional<KeyLayout>& layout, const ProbeResult& result) {
  if (!layout) {
    judge_without(probed, result);
    if (probed.groups > 1)
      probed.verdict += "; it attends inside " + std::to_string(probed.groups) + " groups of keys per picture";
    return;
  }
  probed.local_share = layout->local_share;
  std::string text = describe(layout->geometry, result) + ", " + percent(layout->local_share) + " of its keys local";
  if (layout->local_share < 0.5) text += ": most mix in much of the whole picture";
  if (layout->ranked) text += "; they drift towards the middle, and were placed by their order";
  if (!layout->arranged) {
    text = "tile after tile, " + text + "; how the " + std::to_string(result.parts) +
           " tiles lie is not in the keys: state it";
  } else {
    probed.geometry = layout->geometry;
    probed.anchored = layout->anchored;
    if (!layout->anchored) text += "; whether the last row has its end is not seen: it may belong to what follows";
  }
  probed.verdict = std::move(text);
}

/// Of a site that takes each tile or frame for a picture of its own.
void judge_apart(ProbedSite& probed, const KeyLayout& layout, const ProbeResult& one, const ProbeResult& result) {
  probed.local_share = layout.local_share;
  probed.verdict = describe(layout.geometry, one) + ", " + percent(layout.local_share) +
                   " of its keys local, in each of " + std::to_string(result.parts) +
                   (result.medium == ProbeMedium::Tiles ? " tiles" : " frames") +
                   ": rows of keys of their own, of which no overlay is made";
}

}  // namespace

std::string percent(double share) { return std::to_string(static_cast<int64_t>(share * 100)) + " %"; }

std::string describe(const Geometry& geometry, const ProbeResult& result) {
  std::string text;
  if (geometry.time) {
    const double ms = 1000 * geometry.time->seconds_per_key;
    text = std::to_string(geometry.cols) + " keys of " + number(ms, ms >= 10 ? "%.1f" : "%.3g") + " ms, from " +
           (std::abs(geometry.time->first_seconds) < 0.005 ? "0.0" : number(geometry.time->first_seconds, "%.2f")) +
           " s";
  } else {
    text = std::to_string(geometry.grid_rows()) + " x " + std::to_string(geometry.grid_cols()) + " cells" +
           cell_size(geometry, result);
  }
  if (geometry.order == CellOrder::Columns) text += ", by columns";
  if (geometry.order == CellOrder::Windows)
    text += ", in windows of " + std::to_string(geometry.window_rows) + " x " + std::to_string(geometry.window_cols);
  if (geometry.tiles) {
    text += ", in " + std::to_string(geometry.tiles->rows) + " x " + std::to_string(geometry.tiles->cols) + " tiles";
    text += specials(geometry.tiles->leading, geometry.tiles->trailing);
  }
  if (geometry.video) {
    const Video& video = *geometry.video;
    text += ", in " + std::to_string(video.key_frames()) + " key frames";
    if (video.temporal_merge > 1) text += " of " + std::to_string(video.temporal_merge) + " frames";
    text += specials(video.leading, video.trailing);
  }
  if (geometry.row_end > 0) {
    text += ", " + count(geometry.row_end, "key") + " after each row";
    if (!geometry.last_row_end) text += " but the last";
  }
  if (geometry.thumbnail) {
    text += ", a thumbnail of " + std::to_string(geometry.thumbnail->rows) + " x " +
            std::to_string(geometry.thumbnail->cols) + (geometry.thumbnail->first ? " first" : " last");
  }
  if (geometry.first_key > 0) text += ", from key " + std::to_string(geometry.first_key);
  if (geometry.leading > 0) text += ", " + std::to_string(geometry.leading) + " leading";
  if (geometry.trailing > 0) text += ", " + std::to_string(geometry.trailing) + " trailing";
  return text;
}

void judge(ProbeResult& result, const std::vector<SiteResponse>& folded, const std::vector<SiteResponse>& unfolded,
           const MeasureStride& measure) {
  const bool sound = result.medium == ProbeMedium::Sound;
  ProbeResult one;  // tile or frame
  one.unit = result.unit;
  one.width = result.width;
  one.height = result.height;
  const auto apart = [&](const ProbedSite& probed) { return result.parts > 1 && probed.groups > 1; };
  std::vector<std::optional<KeyLayout>> layouts(result.sites.size());
  std::vector<std::optional<KeyWindows>> windows(result.sites.size());
  std::vector<GridSize> grids;
  for (size_t i = 0; i < layouts.size(); ++i) {
    ProbedSite& probed = result.sites[i];
    probed.responding =
        std::count_if(probed.keys.begin(), probed.keys.end(), [](const ProbedKey& key) { return key.responds; });
    if (sound || probed.keys.empty()) continue;
    const auto size = find_grid(probed.keys, result.width, result.height);
    if (size) layouts[i] = find_layout(probed.keys, *size, apart(probed) ? one : result, alone(probed), Layouts::All);
    if (layouts[i]) grids.push_back(*size);
    if (!layouts[i] && !apart(probed)) windows[i] = own_windows(probed, unfolded[i], result);
    if (windows[i]) grids.push_back(windows[i]->grid);
  }
  // Fine grids first: a coarse one of another site may fit a finer one merged.
  std::sort(grids.begin(), grids.end(), [](GridSize a, GridSize b) {
    return std::pair(a.rows * a.cols, a.rows) > std::pair(b.rows * b.cols, b.rows);
  });
  grids.erase(std::unique(grids.begin(), grids.end(),
                          [](GridSize a, GridSize b) { return a.rows == b.rows && a.cols == b.cols; }),
              grids.end());
  std::vector<KnownTimeline> known;
  for (size_t i = 0; i < layouts.size(); ++i) {
    ProbedSite& probed = result.sites[i];
    if (probed.keys.empty()) continue;
    if (probed.responding == 0) {
      probed.verdict = "no key responds: this site does not see argument " + std::to_string(result.argument);
      continue;
    }
    if (sound) {
      judge_sound(probed, i, folded[i], result, known, measure);
      continue;
    }
    if (!layouts[i] && !windows[i] && probed.groups > 1 && !apart(probed))
      windows[i] = supposed_windows(probed, unfolded[i], result, grids);
    if (windows[i]) {
      probed.local_share = windows[i]->local_share;
      probed.verdict = describe(*windows[i], result);
      continue;
    }
    if (!layouts[i]) layouts[i] = supposed_layout(probed, folded[i], apart(probed) ? one : result, grids);
    if (apart(probed) && layouts[i]) {
      judge_apart(probed, *layouts[i], one, result);
    } else {
      judge_site(probed, layouts[i], result);
    }
  }
}

}  // namespace gaze

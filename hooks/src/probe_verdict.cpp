// SPDX-License-Identifier: MIT
#include "probe_verdict.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace gaze {
namespace {

constexpr int64_t kMostMerged = 4;
constexpr int64_t kFewestSupposed = 6;  // cells: fewer may agree with a grid by chance

std::string count(int64_t n, const std::string& one) { return std::to_string(n) + " " + one + (n == 1 ? "" : "s"); }

bool alone(const ProbedSite& probed) { return probed.site.k_reads.size() <= 1; }

/// The layout of keys behind much mixing: on the grids of other sites, on those merged, and on all keys as cells that
/// are nearly square. Places the keys anew when there is one.
std::optional<KeyLayout> supposed_layout(ProbedSite& probed, const StripResponse& columns, const StripResponse& rows,
                                         const std::vector<GridSize>& others) {
  std::vector<GridSize> supposed;
  for (const GridSize& other : others) {
    for (int64_t merge = 1; merge <= kMostMerged; ++merge) {
      if (other.rows % merge == 0 && other.cols % merge == 0)
        supposed.push_back({other.rows / merge, other.cols / merge});
    }
  }
  const auto count = static_cast<int64_t>(probed.keys.size());
  for (int64_t grid_rows = 1; alone(probed) && grid_rows <= count; ++grid_rows) {
    const int64_t grid_cols = count / grid_rows;
    const bool square = rows.pixels * grid_cols <= 2 * columns.pixels * grid_rows &&
                        columns.pixels * grid_rows <= 2 * rows.pixels * grid_cols;
    if (count % grid_rows == 0 && square) supposed.push_back({grid_rows, grid_cols});
  }
  for (const GridSize& size : supposed) {
    if (size.rows * size.cols < kFewestSupposed || size.rows * size.cols > count) continue;
    auto keys = locate_on(columns, rows, size.rows, size.cols);
    if (auto layout = find_layout(keys, size, columns.pixels, rows.pixels, alone(probed), Layouts::Lines)) {
      probed.keys = std::move(keys);
      return layout;
    }
  }
  return std::nullopt;
}

void judge_site(ProbedSite& probed, const std::optional<KeyLayout>& layout, const ProbeResult& result) {
  const std::vector<ProbedKey>& keys = probed.keys;
  const int64_t local = std::count_if(keys.begin(), keys.end(), [](const ProbedKey& key) { return key.local; });
  if (probed.responding == 0) {
    probed.verdict = "no key responds: this site does not see argument " + std::to_string(result.image_argument);
    return;
  }
  if (layout) {
    probed.geometry = layout->geometry;
    probed.anchored = layout->anchored;
    probed.local_share = layout->local_share;
    probed.verdict = describe(*probed.geometry, result.width, result.height) + ", " + percent(layout->local_share) +
                     " of its keys local";
    if (layout->local_share < 0.5) probed.verdict += ": most mix in much of the whole picture";
    if (!layout->anchored)
      probed.verdict += "; whether the last row has its end is not seen: it may belong to what follows";
    return;
  }
  probed.local_share = static_cast<double>(local) / static_cast<double>(probed.responding);
  const std::string of = std::to_string(probed.responding) + " responding keys of " + std::to_string(keys.size());
  if (2 * local < probed.responding) {
    const auto first =
        std::find_if(keys.begin(), keys.end(), [](const ProbedKey& key) { return key.responds && !key.local; });
    probed.verdict = "key " + std::to_string(first - keys.begin()) + " is not local, as " +
                     std::to_string(probed.responding - local) + " of " + of +
                     ": a resampler, a pooling or much mixing sits between";
  } else {
    probed.verdict = std::to_string(local) + " of " + of +
                     " are local, and their places make no grid: text that has seen the picture, much mixing, tiles "
                     "beside a thumbnail, or cells "
                     "narrower than a strip (" +
                     std::to_string(result.strip_width) + " x " + std::to_string(result.strip_height) + " pixels)";
  }
}

}  // namespace

std::string percent(double share) { return std::to_string(static_cast<int64_t>(share * 100)) + " %"; }

std::string describe(const Geometry& geometry, int64_t width, int64_t height) {
  std::string text = std::to_string(geometry.grid_rows()) + " x " + std::to_string(geometry.grid_cols());
  const int64_t cell_width = width / geometry.grid_cols();
  const int64_t cell_height = height / geometry.grid_rows();
  text += " cells of " + std::to_string(cell_width) + " x " + std::to_string(cell_height) + " pixels";
  if (geometry.order == CellOrder::Columns) text += ", by columns";
  if (geometry.order == CellOrder::Windows)
    text += ", in windows of " + std::to_string(geometry.window_rows) + " x " + std::to_string(geometry.window_cols);
  if (geometry.tiles) {
    text += ", in " + std::to_string(geometry.tiles->rows) + " x " + std::to_string(geometry.tiles->cols) + " tiles";
    if (geometry.tiles->leading > 0) text += " with " + std::to_string(geometry.tiles->leading) + " leading";
    if (geometry.tiles->trailing > 0) text += " with " + std::to_string(geometry.tiles->trailing) + " trailing";
  }
  if (geometry.row_end > 0) {
    text += ", " + count(geometry.row_end, "key") + " after each row";
    if (!geometry.last_row_end) text += " but the last";
  }
  if (geometry.first_key > 0) text += ", from key " + std::to_string(geometry.first_key);
  if (geometry.leading > 0) text += ", " + std::to_string(geometry.leading) + " leading";
  if (geometry.trailing > 0) text += ", " + std::to_string(geometry.trailing) + " trailing";
  return text;
}

void judge(ProbeResult& result, const std::vector<StripResponse>& columns_of,
           const std::vector<StripResponse>& rows_of) {
  std::vector<std::optional<KeyLayout>> layouts(result.sites.size());
  std::vector<GridSize> grids;
  for (size_t i = 0; i < layouts.size(); ++i) {
    ProbedSite& probed = result.sites[i];
    probed.responding =
        std::count_if(probed.keys.begin(), probed.keys.end(), [](const ProbedKey& key) { return key.responds; });
    const auto size = find_grid(probed.keys, result.width, result.height);
    if (!size) continue;
    layouts[i] = find_layout(probed.keys, *size, result.width, result.height, alone(probed), Layouts::All);
    if (layouts[i]) grids.push_back(*size);
  }
  // Fine grids first: a coarse one of another site may fit a finer one merged.
  std::sort(grids.begin(), grids.end(), [](GridSize a, GridSize b) {
    return std::pair(a.rows * a.cols, a.rows) > std::pair(b.rows * b.cols, b.rows);
  });
  grids.erase(std::unique(grids.begin(), grids.end(),
                          [](GridSize a, GridSize b) { return a.rows == b.rows && a.cols == b.cols; }),
              grids.end());
  for (size_t i = 0; i < layouts.size(); ++i) {
    ProbedSite& probed = result.sites[i];
    if (probed.keys.empty()) continue;
    if (!layouts[i]) layouts[i] = supposed_layout(probed, columns_of[i], rows_of[i], grids);
    judge_site(probed, layouts[i], result);
  }
}

}  // namespace gaze

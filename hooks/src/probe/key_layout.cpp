// SPDX-License-Identifier: MIT
#include "probe/key_layout.hpp"

#include <gaze/render/cell_keys.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace gaze {
namespace {

constexpr double kOffCentre = 0.2;   // mean distance from the cells' centres, in cells; random centres have 0.25
constexpr double kAgreement = 0.9;   // of the cells
constexpr double kOccupied = 0.25;   // of the keys a cell's row would have if all had as many
constexpr int64_t kFewestVotes = 6;  // fewer agree by chance
constexpr int64_t kMostRowEnds = 4;
constexpr int64_t kMostSpecialOfTiles = 8;  // padding to a multiple of 8 keys
constexpr int64_t kMostMergedFrames = 4;
constexpr int64_t kLargestWindow = 32;

int64_t piece(double at, int64_t pieces, int64_t length) {
  return std::clamp<int64_t>(static_cast<int64_t>(at * static_cast<double>(pieces) / static_cast<double>(length)), 0,
                             pieces - 1);
}

/// The keys of all cells behind the span's first: of the drawn grid or of every key frame, then of the thumbnail.
std::vector<int64_t> keys_of_cells(const Geometry& geometry) {
  const CellKeys layout = cell_keys(geometry);
  if (geometry.video) return layout.video_keys;
  std::vector<int64_t> keys = layout.keys;
  keys.insert(keys.end(), layout.thumbnail_keys.begin(), layout.thumbnail_keys.end());
  return keys;
}

/// Which of the cells in the order of `keys_of_cells` a place is; -1 where the parts have none.
int64_t cell_of(const ProbedKey& key, const Geometry& geometry, const PartsLayout& parts, int64_t width,
                int64_t height) {
  if (geometry.video) {
    const int64_t frame = key.part / geometry.video->temporal_merge;
    return (frame * geometry.rows + piece(key.y, geometry.rows, height)) * geometry.cols +
           piece(key.x, geometry.cols, width);
  }
  const int64_t rows = geometry.grid_rows();
  const int64_t cols = geometry.grid_cols();
  int64_t tile = parts.rows * parts.cols > 1 || parts.thumbnail_first ? key.part : 0;
  if (parts.thumbnail_first) {
    const int64_t whole = *parts.thumbnail_first ? 0 : parts.rows * parts.cols;
    if (tile == whole) {
      const Thumbnail& thumbnail = *geometry.thumbnail;
      return rows * cols + piece(key.y, thumbnail.rows, height) * thumbnail.cols + piece(key.x, thumbnail.cols, width);
    }
    tile -= *parts.thumbnail_first ? 1 : 0;
  }
  if (tile >= parts.rows * parts.cols) return -1;
  const double x = static_cast<double>(tile % parts.cols * width) + key.x;
  const double y = static_cast<double>(tile / parts.cols * height) + key.y;
  return piece(y, rows, height * parts.rows) * cols + piece(x, cols, width * parts.cols);
}

struct Fitted {
  int64_t first = 0;  // key of the span
  double local_share = 0;
};

/// Where a layout's span begins, by the vote of the placed keys; nothing where they do not agree.
std::optional<Fitted> fit(const std::vector<ProbedKey>& keys, const Geometry& geometry, const PartsLayout& parts,
                          int64_t width, int64_t height, bool alone) {
  const int64_t span = geometry.span();
  const auto count = static_cast<int64_t>(keys.size());
  if (span > count) return std::nullopt;
  const std::vector<int64_t> key_of = keys_of_cells(geometry);
  const auto cells = static_cast<int64_t>(key_of.size());
  std::vector<int64_t> cell_k(keys.size(), -1);
  std::map<int64_t, int64_t> votes;
  for (size_t k = 0; k < keys.size(); ++k) {
    if (!keys[k].placed) continue;
    cell_k[k] = cell_of(keys[k], geometry, parts, width, height);
    if (cell_k[k] >= 0) ++votes[static_cast<int64_t>(k) - key_of[static_cast<size_t>(cell_k[k])]];
  }
  std::optional<int64_t> first;
  int64_t most = 0;
  for (const auto& [at, votes_of] : votes) {
    if (at < 0 || at + span > count || votes_of <= most) continue;
    most = votes_of;
    first = at;
  }
  if (!first || most < std::min(cells, std::max(kFewestVotes, cells / 2))) return std::nullopt;
  // Keys that have a place, but not the one that the layout gives them, speak against it. Where text stands around the
  // picture, only those between its cells do: text that follows has seen it.
  std::vector<char> is_cell(keys.size(), 0);
  int64_t placed = 0;
  int64_t local = 0;
  for (int64_t cell = 0; cell < cells; ++cell) {
    const auto key = static_cast<size_t>(*first + key_of[static_cast<size_t>(cell)]);
    is_cell[key] = 1;
    placed += static_cast<int64_t>(cell_k[key] >= 0);
    local += static_cast<int64_t>(keys[key].local && cell_k[key] == cell);
  }
  int64_t elsewhere = 0;
  const size_t begin = alone ? 0 : static_cast<size_t>(*first);
  const size_t end = alone ? keys.size() : static_cast<size_t>(*first + span);
  for (size_t k = begin; k < end; ++k) elsewhere += static_cast<int64_t>(keys[k].local && is_cell[k] == 0);
  const auto against = static_cast<double>(placed - most + elsewhere);
  if (against > (1 - kAgreement) * static_cast<double>(placed)) return std::nullopt;
  return Fitted{*first, static_cast<double>(local) / static_cast<double>(cells)};
}

/// Layouts of key frames, the simplest first, until one is accepted.
template <typename Try>
bool each_video_layout(GridSize grid, int64_t frames, Try&& accept) {
  for (int64_t merge = 1; merge <= std::min(frames, kMostMergedFrames); ++merge) {
    // One key frame of all cannot be told from frames that are rows of a batch.
    if (frames % merge != 0 || (merge > 1 && merge == frames)) continue;
    for (int64_t ends = 0; ends <= 1; ++ends) {
      for (int64_t special = 0; special <= 2; ++special) {
        for (int64_t leading = special; leading >= 0; --leading) {
          Geometry tried;
          tried.rows = grid.rows;
          tried.cols = grid.cols;
          tried.row_end = ends;
          tried.video = Video{frames, merge, -1, leading, special - leading};
          if (accept(tried)) return true;
        }
      }
    }
  }
  return false;
}

/// Layouts of tiles, with the thumbnail that the arrangement has, until one is accepted.
template <typename Try>
bool each_tiles_layout(GridSize tile, const PartsLayout& parts, Try&& accept) {
  Geometry rejoined;
  rejoined.rows = tile.rows * parts.rows;
  rejoined.cols = tile.cols * parts.cols;
  if (parts.thumbnail_first) rejoined.thumbnail = Thumbnail{tile.rows, tile.cols, *parts.thumbnail_first, 0, 0};
  for (int64_t ends = 0; ends <= kMostRowEnds; ++ends) {
    for (const bool last : {true, false}) {
      Geometry tried = rejoined;
      tried.row_end = ends;
      tried.last_row_end = last || ends == 0;
      if ((last || ends > 0) && accept(tried)) return true;
    }
  }
  for (int64_t special = 0; special <= kMostSpecialOfTiles; ++special) {
    for (int64_t leading = 0; leading <= std::min(special, kMostSpecial); ++leading) {
      Geometry tried = rejoined;
      tried.rows = tile.rows;
      tried.cols = tile.cols;
      tried.tiles = Tiles{parts.rows, parts.cols, leading, special - leading, 0};
      if (tried.thumbnail) {
        tried.thumbnail->leading = leading;
        tried.thumbnail->trailing = special - leading;
      }
      if (accept(tried)) return true;
    }
  }
  return false;
}

/// Layouts of a grid, the simplest first, until one is accepted.
template <typename Try>
bool each_layout(GridSize grid, Layouts layouts, Try&& accept) {
  Geometry plain;
  plain.rows = grid.rows;
  plain.cols = grid.cols;
  if (accept(plain)) return true;
  Geometry other = plain;
  other.order = CellOrder::Columns;
  if (accept(other)) return true;
  for (int64_t ends = 1; ends <= kMostRowEnds; ++ends) {
    for (const bool last : {true, false}) {
      other = plain;
      other.row_end = ends;
      other.last_row_end = last;
      if (accept(other)) return true;
    }
  }
  if (layouts == Layouts::Lines) return false;
  for (int64_t rows = 1; rows <= std::min(grid.rows, kLargestWindow); ++rows) {
    for (int64_t cols = 1; cols <= std::min(grid.cols, kLargestWindow); ++cols) {
      if (rows * cols == 1 || (rows == 1 && cols == grid.cols)) continue;
      other = plain;
      other.order = CellOrder::Windows;
      other.window_rows = rows;
      other.window_cols = cols;
      if (accept(other)) return true;
    }
  }
  for (int64_t rows = 1; rows <= grid.rows; ++rows) {
    for (int64_t cols = 1; cols <= grid.cols; ++cols) {
      if (rows * cols == 1 || grid.rows % rows != 0 || grid.cols % cols != 0) continue;
      for (int64_t leading = 0; leading <= kMostSpecial; ++leading) {
        for (int64_t trailing = 0; trailing <= kMostSpecial - leading; ++trailing) {
          if (leading + trailing == 0) continue;
          other = plain;
          other.rows = grid.rows / rows;
          other.cols = grid.cols / cols;
          other.tiles = Tiles{rows, cols, leading, trailing, 0};
          if (accept(other)) return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

int64_t count_cells(const std::vector<double>& at, int64_t pixels) {
  int64_t best = 0;
  double least = kOffCentre;
  const auto most = static_cast<int64_t>(std::min<size_t>(at.size(), static_cast<size_t>(pixels)));
  for (int64_t cells = 1; cells <= most; ++cells) {
    std::vector<int64_t> members(static_cast<size_t>(cells));
    double off = 0;
    for (const double centre : at) {
      const double place = centre * static_cast<double>(cells) / static_cast<double>(pixels);
      const auto cell = std::clamp<int64_t>(static_cast<int64_t>(place), 0, cells - 1);
      ++members[static_cast<size_t>(cell)];
      off += std::abs(place - static_cast<double>(cell) - 0.5);
    }
    off /= static_cast<double>(at.size());
    const double wanted = kOccupied * static_cast<double>(at.size()) / static_cast<double>(cells);
    const bool occupied = std::all_of(members.begin(), members.end(),
                                      [&](int64_t n) { return n > 0 && static_cast<double>(n) >= wanted; });
    if (occupied && off < least) {
      least = off;
      best = cells;
    }
  }
  return best;
}

std::vector<PartsLayout> parts_layouts(const ProbeResult& result) {
  const int64_t parts = result.parts;
  if (result.medium == ProbeMedium::Video || (result.medium == ProbeMedium::Patches && parts > 1))
    return {{parts, 1, 1, std::nullopt}};
  if (result.medium != ProbeMedium::Tiles) return {PartsLayout()};
  if (result.tiles.rows > 0) return {{0, result.tiles.rows, result.tiles.cols, result.tiles.thumbnail_first}};
  std::vector<PartsLayout> layouts;
  for (const int64_t whole : {0, 1}) {
    for (int64_t rows = 1; rows <= parts - whole; ++rows) {
      if ((parts - whole) % rows != 0) continue;
      PartsLayout layout{0, rows, (parts - whole) / rows, std::nullopt};
      if (whole == 0) layouts.push_back(layout);
      for (const bool first : {true, false}) {
        layout.thumbnail_first = first;
        if (whole == 1) layouts.push_back(layout);
      }
    }
  }
  return layouts;
}

std::optional<GridSize> find_grid(const std::vector<ProbedKey>& keys, int64_t width, int64_t height) {
  std::vector<double> xs;
  std::vector<double> ys;
  for (const ProbedKey& key : keys) {
    if (!key.placed) continue;
    xs.push_back(key.x);
    ys.push_back(key.y);
  }
  if (xs.empty()) return std::nullopt;
  const GridSize size{count_cells(ys, height), count_cells(xs, width)};
  const bool by_chance = size.rows * size.cols < (std::min(size.rows, size.cols) == 1 ? kFewestVotes : 4);
  return by_chance ? std::nullopt : std::optional<GridSize>(size);
}

std::optional<KeyLayout> find_layout(const std::vector<ProbedKey>& keys, GridSize size, const ProbeResult& result,
                                     bool alone, Layouts layouts) {
  std::optional<KeyLayout> found;
  const std::vector<PartsLayout> all_parts = parts_layouts(result);
  for (const PartsLayout& parts : all_parts) {
    Geometry geometry;
    Fitted fitted;
    const auto accept = [&](const Geometry& tried) {
      const auto at = fit(keys, tried, parts, result.width, result.height, alone);
      if (!at) return false;
      geometry = tried;
      fitted = *at;
      return true;
    };
    const bool any = parts.frames > 0                      ? each_video_layout(size, parts.frames, accept)
                     : result.medium == ProbeMedium::Tiles ? each_tiles_layout(size, parts, accept)
                                                           : each_layout(size, layouts, accept);
    if (!any) continue;
    // Tile after tile says nothing about where the tiles lie; rows through several tiles do.
    const bool arranged = all_parts.size() == 1 || (!geometry.tiles && parts.cols > 1);
    if (found && !arranged) continue;
    found = KeyLayout{std::move(geometry), fitted.local_share, true, arranged};
    found->geometry.first_key = fitted.first;
    if (arranged) break;
  }
  if (!found) return found;
  Geometry& geometry = found->geometry;
  const int64_t after = static_cast<int64_t>(keys.size()) - geometry.first_key - geometry.span();
  if (geometry.row_end > 0 && geometry.last_row_end) found->anchored = alone && after == 0;
  if (alone) {
    geometry.leading = geometry.first_key;
    geometry.trailing = after;
    geometry.first_key = 0;
  } else if (geometry.first_key == 0 && after > 0) {
    geometry.spans = {{0, geometry.span()}};  // without, first_key 0 says that the row is the picture's alone
  }
  return found;
}

double agreement(const std::vector<ProbedKey>& keys, const Geometry& geometry, const ProbeResult& result) {
  const std::vector<int64_t> key_of = keys_of_cells(geometry);
  double best = 0;
  for (const PartsLayout& parts : parts_layouts(result)) {
    const bool tiled = geometry.tiles && result.medium == ProbeMedium::Tiles;
    if ((tiled && (geometry.tiles->rows != parts.rows || geometry.tiles->cols != parts.cols)) ||
        geometry.video.has_value() != (parts.frames > 0) ||
        (geometry.video && geometry.video->frames != parts.frames) ||
        (result.medium == ProbeMedium::Tiles && geometry.thumbnail.has_value() != parts.thumbnail_first.has_value()))
      continue;
    int64_t right = 0;
    int64_t placed = 0;
    for (size_t cell = 0; cell < key_of.size(); ++cell) {
      const ProbedKey& key = keys[static_cast<size_t>(geometry.first_cell() + key_of[cell])];
      placed += static_cast<int64_t>(key.placed);
      bool inside = false;
      for (const double dx : {-0.5, 0.5}) {
        for (const double dy : {-0.5, 0.5}) {
          ProbedKey moved = key;
          moved.x += dx;
          moved.y += dy;
          inside = inside || cell_of(moved, geometry, parts, result.width, result.height) == static_cast<int64_t>(cell);
        }
      }
      right += static_cast<int64_t>(key.placed && inside);
    }
    if (2 * placed >= static_cast<int64_t>(key_of.size()))
      best = std::max(best, static_cast<double>(right) / static_cast<double>(placed));
  }
  return best;
}

}  // namespace gaze

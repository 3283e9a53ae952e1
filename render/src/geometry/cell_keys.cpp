// SPDX-License-Identifier: MIT
#include <gaze/render/cell_keys.hpp>

#include <algorithm>
#include <utility>

namespace gaze {
namespace {

// Where the keys of one grid lie behind its first cell's, in row-major order of cells, and how many they are.
struct GridKeys {
  std::vector<int64_t> offsets;
  int64_t keys = 0;
};

std::vector<int64_t> window_offsets(const Geometry& geometry) {
  std::vector<int64_t> offsets(static_cast<size_t>(geometry.rows * geometry.cols));
  int64_t next = 0;
  for (int64_t top = 0; top < geometry.rows; top += geometry.window_rows) {
    for (int64_t left = 0; left < geometry.cols; left += geometry.window_cols) {
      const int64_t bottom = std::min(top + geometry.window_rows, geometry.rows);
      const int64_t right = std::min(left + geometry.window_cols, geometry.cols);
      for (int64_t r = top; r < bottom; ++r) {
        for (int64_t c = left; c < right; ++c) offsets[static_cast<size_t>(r * geometry.cols + c)] = next++;
      }
    }
  }
  return offsets;
}

GridKeys grid_keys(const Geometry& geometry) {
  const int64_t rows = geometry.rows;
  const int64_t cols = geometry.cols;
  const int64_t ends = geometry.row_end * (rows - (geometry.last_row_end ? 0 : 1));
  GridKeys grid{{}, rows * cols + ends};
  if (geometry.order == CellOrder::Windows) {
    grid.offsets = window_offsets(geometry);
    return grid;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      grid.offsets.push_back(geometry.order == CellOrder::Columns ? c * rows + r : r * (cols + geometry.row_end) + c);
    }
  }
  return grid;
}

std::vector<int64_t> tile_keys(const Geometry& geometry, const GridKeys& grid, int64_t first) {
  const Tiles tiles = geometry.tiles.value_or(Tiles());
  std::vector<int64_t> keys(static_cast<size_t>(geometry.cells()));
  for (int64_t i = 0; i < tiles.rows; ++i) {
    for (int64_t j = 0; j < tiles.cols; ++j) {
      first += tiles.leading;
      for (int64_t r = 0; r < geometry.rows; ++r) {
        for (int64_t c = 0; c < geometry.cols; ++c) {
          const int64_t cell = (i * geometry.rows + r) * geometry.grid_cols() + j * geometry.cols + c;
          keys[static_cast<size_t>(cell)] = first + grid.offsets[static_cast<size_t>(r * geometry.cols + c)];
        }
      }
      first += grid.keys + tiles.trailing;
    }
    first += tiles.row_end;
  }
  return keys;
}

std::vector<int64_t> video_keys(const Video& video, const GridKeys& grid) {
  std::vector<int64_t> keys;
  for (int64_t f = 0; f < video.key_frames(); ++f) {
    const int64_t first = f * (video.leading + grid.keys + video.trailing) + video.leading;
    for (const int64_t offset : grid.offsets) keys.push_back(first + offset);
  }
  return keys;
}

// What part of each of `coarse` equal pieces of [low, high) lies on cell 0, 1, ... of `cells`. Of a piece that is
// partly off the grid, what is on it counts as the whole; one that is wholly off belongs to the nearest cell.
std::vector<double> shares(int64_t cells, int64_t coarse, double low, double high) {
  std::vector<double> share(static_cast<size_t>(cells * coarse), 0.0);
  const double step = (high - low) / static_cast<double>(coarse);
  for (int64_t j = 0; j < coarse; ++j) {
    const auto at = [&](int64_t cell) -> double& { return share[static_cast<size_t>(cell * coarse + j)]; };
    const double begin = low + step * static_cast<double>(j);
    const double end = begin + step;
    double total = 0;
    for (int64_t cell = 0; cell < cells; ++cell) {
      const double left = std::max(begin, static_cast<double>(cell));
      at(cell) = std::max(0.0, std::min(end, static_cast<double>(cell + 1)) - left);
      total += at(cell);
    }
    if (total <= 0) {
      at(end <= 0 ? 0 : cells - 1) = total = 1;
    }
    for (int64_t cell = 0; cell < cells; ++cell) at(cell) /= total;
  }
  return share;
}

void add_thumbnail(const Geometry& geometry, int64_t first, CellKeys& map) {
  const Thumbnail& thumbnail = *geometry.thumbnail;
  map.thumbnail_rows = thumbnail.rows;
  map.thumbnail_cols = thumbnail.cols;
  for (int64_t i = 0; i < thumbnail.rows * thumbnail.cols; ++i) {
    map.thumbnail_keys.push_back(first + thumbnail.leading + i);
  }
  // The columns and rows between which the picture lies: all of them but for the padding of a letterbox.
  double left = 0;
  double top = 0;
  auto right = static_cast<double>(map.cols);
  auto bottom = static_cast<double>(map.rows);
  if (geometry.fit == Fit::Letterbox) {
    const ops::CellAffine affine = place(geometry, geometry.picture_width, geometry.picture_height);
    left = affine.offset_x;
    top = affine.offset_y;
    right = left + affine.scale_x * static_cast<double>(geometry.picture_width);
    bottom = top + affine.scale_y * static_cast<double>(geometry.picture_height);
  }
  map.row_shares = shares(map.rows, thumbnail.rows, top, bottom);
  map.col_shares = shares(map.cols, thumbnail.cols, left, right);
}

}  // namespace

bool CellKeys::plain() const noexcept {
  if (used() != span || parts != 1 || !thumbnail_keys.empty() || !video_keys.empty()) return false;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

CellKeys cell_keys(const Geometry& geometry) {
  check(geometry);
  CellKeys map;
  map.span = geometry.span();
  map.rows = geometry.grid_rows();
  map.cols = geometry.grid_cols();
  const GridKeys grid = grid_keys(geometry);
  if (geometry.video) {
    const Video& video = *geometry.video;
    map.video_keys = video_keys(video, grid);
    map.keys = map.video_keys;
    if (video.frame < 0) {
      map.parts = video.key_frames();
    } else {
      const auto first = map.keys.begin() + video.frame / video.temporal_merge * map.rows * map.cols;
      map.keys = std::vector<int64_t>(first, first + map.rows * map.cols);
    }
    return map;
  }
  int64_t first = 0;
  if (geometry.thumbnail) {
    const Thumbnail& thumbnail = *geometry.thumbnail;
    const int64_t keys = thumbnail.leading + thumbnail.rows * thumbnail.cols + thumbnail.trailing;
    add_thumbnail(geometry, thumbnail.first ? 0 : map.span - keys, map);
    if (thumbnail.first) first = keys;
  }
  map.keys = tile_keys(geometry, grid, first);
  return map;
}

}  // namespace gaze

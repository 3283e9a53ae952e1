// SPDX-License-Identifier: MIT
// Layouts of keys, written out one by one, independently of the code that computes them.
#pragma once

#include <gaze/render/geometry.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace gaze::test {

/// What the keys of a span are, in their order: a cell of the grid (row * cols + col) or kSpecial.
struct Layout {
  std::string name;
  Geometry geometry;
  int64_t rows, cols;  ///< of the grid that is drawn
  std::vector<int64_t> keys;
};

constexpr int64_t kSpecial = -1;

inline Geometry grid_of(int64_t rows, int64_t cols) {
  Geometry geometry;
  geometry.rows = rows;
  geometry.cols = cols;
  return geometry;
}

/// Every layout without a thumbnail and without time.
inline std::vector<Layout> layouts() {
  constexpr int64_t S = kSpecial;
  std::vector<Layout> list;
  list.push_back({"rows", grid_of(5, 3), 5, 3, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}});
  Geometry geometry = grid_of(5, 3);
  geometry.row_end = 1;
  list.push_back({"row ends", geometry, 5, 3, {0, 1, 2, S, 3, 4, 5, S, 6, 7, 8, S, 9, 10, 11, S, 12, 13, 14, S}});
  geometry = grid_of(3, 5);
  geometry.row_end = 2;
  geometry.last_row_end = false;
  list.push_back({"two row ends, none at the last",
                  geometry,
                  3,
                  5,
                  {0, 1, 2, 3, 4, S, S, 5, 6, 7, 8, 9, S, S, 10, 11, 12, 13, 14}});
  geometry = grid_of(5, 3);
  geometry.order = CellOrder::Columns;
  list.push_back({"columns", geometry, 5, 3, {0, 3, 6, 9, 12, 1, 4, 7, 10, 13, 2, 5, 8, 11, 14}});
  geometry.order = CellOrder::Windows;
  geometry.window_rows = geometry.window_cols = 2;
  list.push_back(
      {"windows, the last ones smaller", geometry, 5, 3, {0, 1, 3, 4, 2, 5, 6, 7, 9, 10, 8, 11, 12, 13, 14}});
  geometry = grid_of(2, 5);
  geometry.order = CellOrder::Windows;
  geometry.window_rows = 1;
  geometry.window_cols = 3;
  list.push_back({"windows of one row", geometry, 2, 5, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}});
  geometry = grid_of(2, 1);
  geometry.tiles = {.rows = 2, .cols = 3};
  list.push_back({"tiles", geometry, 4, 3, {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}});
  geometry = grid_of(1, 2);
  geometry.tiles = {.rows = 3, .cols = 2, .leading = 2, .trailing = 1, .row_end = 1};
  list.push_back({"tiles with special keys", geometry, 3, 4, {S, S, 0, 1, S, S, S, 2, 3, S, S, S, S,  4,  5, S, S,
                                                              S, 6, 7, S, S, S, S, 8, 9, S, S, S, 10, 11, S, S}});
  geometry = grid_of(2, 2);
  geometry.tiles = {.rows = 1, .cols = 2};
  geometry.row_end = 1;
  geometry.last_row_end = false;
  list.push_back({"tiles with row ends", geometry, 2, 4, {0, 1, S, 4, 5, 2, 3, S, 6, 7}});
  geometry = grid_of(2, 2);
  geometry.tiles = {.rows = 2, .cols = 1};
  geometry.order = CellOrder::Columns;
  list.push_back({"tiles in columns", geometry, 4, 2, {0, 2, 1, 3, 4, 6, 5, 7}});
  return list;
}

/// Whether a pixel's centre lies in a cell of a grid that is stretched over the whole picture.
inline bool in_cell(const Layout& layout, int64_t cell, double x, double y, int64_t width, int64_t height) {
  const auto col = std::floor((x + 0.5) * static_cast<double>(layout.cols) / static_cast<double>(width));
  const auto row = std::floor((y + 0.5) * static_cast<double>(layout.rows) / static_cast<double>(height));
  return row == static_cast<double>(cell / layout.cols) && col == static_cast<double>(cell % layout.cols);
}

}  // namespace gaze::test

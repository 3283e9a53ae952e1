// SPDX-License-Identifier: MIT
#include "probe/key_windows.hpp"

#include <algorithm>

namespace gaze {
namespace {

constexpr double kWindowAgreement = 0.9;  // of the placed keys

struct Cell {
  int64_t row = 0, col = 0;
};

std::optional<Cell> cell_of(const ProbedKey& key, GridSize grid, int64_t width, int64_t height) {
  if (!key.placed) return std::nullopt;
  const auto index = [](double at, int64_t cells, int64_t length) {
    return std::clamp<int64_t>(static_cast<int64_t>(at * static_cast<double>(cells) / static_cast<double>(length)), 0,
                               cells - 1);
  };
  return Cell{index(key.y, grid.rows, height), index(key.x, grid.cols, width)};
}

int64_t windows_over(int64_t cells, int64_t window) { return (cells + window - 1) / window; }

}  // namespace

std::optional<KeyWindows> find_windows(const std::vector<ProbedKey>& keys_gk, int64_t groups, GridSize grid,
                                       int64_t width, int64_t height) {
  const int64_t keys = static_cast<int64_t>(keys_gk.size()) / groups;
  std::vector<std::optional<Cell>> cells;
  int64_t placed = 0;
  int64_t responding = 0;
  for (const ProbedKey& key : keys_gk) {
    cells.push_back(cell_of(key, grid, width, height));
    placed += static_cast<int64_t>(cells.back().has_value());
    responding += static_cast<int64_t>(key.responds);
  }
  if (2 * placed < responding || placed == 0) return std::nullopt;
  KeyWindows found;
  found.grid = grid;
  found.local_share = static_cast<double>(placed) / static_cast<double>(responding);
  int64_t most = 0;
  for (int64_t rows = 1; rows <= std::min(keys, grid.rows); ++rows) {
    const int64_t cols = keys / rows;
    if (keys % rows != 0 || cols > grid.cols) continue;
    const GridSize count{windows_over(grid.rows, rows), windows_over(grid.cols, cols)};
    if (count.rows * count.cols != groups) continue;
    const auto right = [&](GridSize shift, bool by_rows) {
      int64_t agreed = 0;
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t k = 0; k < keys; ++k) {
          const auto& cell = cells[static_cast<size_t>(g * keys + k)];
          if (!cell) continue;
          const int64_t row = (cell->row - shift.rows + count.rows * rows) % (count.rows * rows);
          const int64_t col = (cell->col - shift.cols + count.cols * cols) % (count.cols * cols);
          const bool inside = row / rows == g / count.cols && col / cols == g % count.cols;
          agreed += static_cast<int64_t>(inside && (!by_rows || row % rows * cols + col % cols == k));
        }
      }
      return agreed;
    };
    for (const bool by_rows : {true, false}) {
      for (int64_t down = 0; down < rows; ++down) {
        for (int64_t across = 0; across < cols; ++across) {
          const int64_t agreed = right({down, across}, by_rows);
          // What says less must explain more.
          if (static_cast<double>(agreed) < kWindowAgreement * static_cast<double>(placed) || agreed <= most) continue;
          if (!by_rows && found.by_rows && most > 0) continue;
          most = agreed;
          found.window = {rows, cols};
          found.count = count;
          found.shift = {down, across};
          found.by_rows = by_rows;
        }
      }
    }
  }
  return most > 0 ? std::optional<KeyWindows>(found) : std::nullopt;
}

}  // namespace gaze

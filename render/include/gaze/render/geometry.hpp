// SPDX-License-Identifier: MIT
// The spatial mapping engine: which keys are the picture, and where they lie in a row of all keys and on its pixels.
#pragma once

#include <gaze/ops/resample.hpp>
#include <gaze/render/status.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace gaze {

/// How the model's input was made from the original picture.
enum class Fit {
  Resize,      ///< the whole picture stretched to input_width x input_height
  CentreCrop,  ///< scaled so that the shorter side fits `resize_shorter`, then the centre input_width x input_height
               ///< kept
  Letterbox    ///< scaled to fit inside input_width x input_height keeping its proportions, borders padded evenly
};

/// In which order the cells of one grid are keys.
enum class CellOrder {
  Rows,     ///< row by row, each from left to right
  Columns,  ///< column by column, each from top to bottom
  Windows   ///< window by window (row by row), the cells of each row by row; windows at the right and the bottom may be
            ///< smaller
};

/// The picture is cut into rows x cols tiles, whose keys follow one another row by row. Each tile is one grid.
struct Tiles {
  int64_t rows = 1, cols = 1;  ///< tiles from top to bottom and from left to right, >= 1
  int64_t leading = 0;         ///< special keys before the cells of every tile
  int64_t trailing = 0;        ///< special keys after the cells of every tile
  int64_t row_end = 0;         ///< special keys after every row of tiles
};

/// A second, coarser grid over the whole picture, row by row.
struct Thumbnail {
  int64_t rows = 0, cols = 0;  ///< >= 1
  bool first = false;          ///< before the other cells instead of after them
  int64_t leading = 0;         ///< special keys before its cells
  int64_t trailing = 0;        ///< special keys after its cells
};

/// One grid per key frame, in time.
struct Video {
  int64_t frames = 1;          ///< frames of the video as the model got it, >= 1
  int64_t temporal_merge = 1;  ///< consecutive frames that share one key frame; divides `frames`
  int64_t frame = -1;          ///< the frame the overlay is for, from 0; -1: the sum over all frames
  int64_t leading = 0;         ///< special keys before the cells of every key frame
  int64_t trailing = 0;        ///< special keys after the cells of every key frame

  [[nodiscard]] int64_t key_frames() const noexcept { return frames / temporal_merge; }
};

/// Keys that follow one another in time: a sound's. The geometry then is one row of `cols` cells: those of a window
/// that shorter sounds are padded to, or with cols 0 as many as the captured row has (`take_row`).
struct Timeline {
  double seconds_per_key = 0;  ///< seconds, > 0
  double first_seconds = 0;    ///< where the first cell begins, from the start of the sound
  bool whole = false;          ///< the row's keys are the sound's and no more: none stands for padding
};

/// Keys [first_key, first_key + keys) of a row of all keys, special keys of the picture included.
struct KeySpan {
  int64_t first_key = 0;
  int64_t keys = 0;
};

/// Keys of one picture: `leading` special keys, then the cells and what stands between them, then `trailing` special
/// keys (docs/geometry.md). Nothing is guessed: rows and cols are never taken from sqrt(keys).
struct GAZE_API Geometry {
  int64_t rows = 0;       ///< cells from top to bottom, of each tile where there are tiles, >= 1; 0 with `patch`
  int64_t cols = 0;       ///< cells from left to right, of each tile where there are tiles, >= 1; 0 with `patch`
  int64_t leading = 0;    ///< special keys before the cells (class token, registers)
  int64_t trailing = 0;   ///< special keys after the cells
  int64_t first_key = 0;  ///< where the medium's keys begin in the row of all keys
  Fit fit = Fit::Resize;
  int64_t input_width = 0;  ///< pixels the picture was fitted into, before tiles were cut; > 0 unless fit is Resize
  int64_t input_height = 0;
  int64_t resize_shorter =
      0;  ///< CentreCrop: pixels of the shorter side before cropping; 0 = the larger of the input's sides that fills it
  int64_t patch = 0;  ///< > 0: rows and cols are the input's size divided by patch x merge, by `resolve`
  int64_t merge = 1;  ///< patches to a side that became one key, >= 1

  CellOrder order = CellOrder::Rows;
  int64_t window_rows = 0, window_cols = 0;  ///< cells of a whole window, > 0 with CellOrder::Windows alone
  int64_t row_end = 0;                       ///< special keys after every row of cells; CellOrder::Rows alone
  bool last_row_end = true;                  ///< whether the last row of a grid has its row_end too
  std::optional<Tiles> tiles = {};
  std::optional<Thumbnail> thumbnail = {};
  std::optional<Video> video = {};
  std::optional<Timeline> time = {};
  bool text = false;  ///< one row of `cols` cells, each the key of a token; of a capture, not of a profile
  /// Letterbox: whole rows or columns of cells that lie on the padding have no keys. `resolve` takes them off rows or
  /// cols, and says in cut_rows and cut_cols how many went at each side.
  bool unpad = false;
  int64_t cut_rows = 0, cut_cols = 0;
  /// The original picture, where keys depend on its size (unpad, a thumbnail beside a letterbox); by `resolve`.
  int64_t picture_width = 0, picture_height = 0;

  std::vector<KeySpan> spans = {};  ///< every picture of the prompt, in order; first_key is then that of `picture`
  int64_t picture = -1;             ///< which of the spans the overlay is for, from 0; -1: the only one
  int64_t pictures = 0;             ///< how many pictures the prompt holds, to check the spans against; 0: not stated

  [[nodiscard]] int64_t grid_rows() const noexcept { return rows * (tiles ? tiles->rows : 1); }
  [[nodiscard]] int64_t grid_cols() const noexcept { return cols * (tiles ? tiles->cols : 1); }
  /// Cells of the grid that is drawn.
  [[nodiscard]] int64_t cells() const noexcept { return grid_rows() * grid_cols(); }
  /// Keys from the first cell to the last, and what stands between; before the first and after the last too, where a
  /// tile, a frame or the thumbnail has special keys of its own.
  [[nodiscard]] int64_t span() const noexcept;
  /// All keys of the picture: leading, span and trailing.
  [[nodiscard]] int64_t keys() const noexcept { return leading + span() + trailing; }
  /// Index of the span's first key in the row of all keys.
  [[nodiscard]] int64_t first_cell() const noexcept { return first_key + leading; }
};

/// The runs of `placeholder` among the prompt's token ids, in order: one span for each picture, where every key of a
/// picture has an id of its own. Pictures without another id between them are one run.
GAZE_API std::vector<KeySpan> spans_of(c10::ArrayRef<int64_t> ids, int64_t placeholder);

/// What a geometry may have to be computed from; 0 = not known.
struct PictureSizes {
  int64_t input_width = 0, input_height = 0;      ///< pixels of the model's input
  int64_t picture_width = 0, picture_height = 0;  ///< pixels of the original picture
};

/// The geometry of one request: rows and cols from the input's size, what was unpadded, the chosen span. A geometry
/// that states all of these comes back as it is.
/// The geometry's own input size goes before that of `sizes`.
/// @throws gaze::Error (GridMismatch) when a size is missing, does not divide, or contradicts rows and cols, when the
/// chosen picture has no span, and as `check`.
GAZE_API Geometry resolve(Geometry geometry, const PictureSizes& sizes);

/// Gives a sound's geometry with cols 0 all keys of a row of `keys`, and marks it as whole; any other stays as it is.
GAZE_API void take_row(Geometry& geometry, int64_t keys);

/// Throws when the geometry is impossible in itself (rows < 1, negative counts, a fit without input size) or not
/// resolved.
/// @throws gaze::Error (GridMismatch) naming the field, expected, got and the fix.
GAZE_API void check(const Geometry& geometry);

/// Throws unless a row of `keys` keys holds exactly (alone = true) or at least this geometry's keys, and every span.
/// @throws gaze::Error (GridMismatch): "geometry: expected 61 keys (1 leading + 6 x 10 cells), got 60 ...".
GAZE_API void check_keys(const Geometry& geometry, int64_t keys, bool alone);

/// Where the pixels of a picture of width x height lie on the grid.
/// @throws gaze::Error (GridMismatch) when the picture is empty, the fit's sizes are missing, or the cells are a
/// sound's, which lie on no picture.
GAZE_API ops::CellAffine place(const Geometry& geometry, int64_t width, int64_t height);

/// Cell (row * grid_cols + col) under a pixel of the original picture, or -1 where the model saw nothing.
GAZE_API int64_t cell_at(const Geometry& geometry, int64_t width, int64_t height, double x, double y);

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "redact/redact_media.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/cell_keys.hpp>
#include <gaze/render/sound.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include "geometry/axis.hpp"
#include "sound/word_timing.hpp"

namespace gaze {

void refuse_redaction(const char* what) {
  throw Error(std::string("redaction: ") + what + " Nothing of this request is kept.", DropReason::RedactionFailed);
}

namespace {

constexpr int64_t kNeutralGrey = 160;

bool is_place(double value) { return std::isfinite(value) && value >= 0; }

/// Bool [height, width] on the processor.
at::Tensor hidden_pixels(const Redaction& redaction, int64_t height, int64_t width) {
  at::Tensor hidden_yx = at::zeros({height, width}, at::kBool);
  if (redaction.mask_yx.defined()) {
    const at::Tensor& mask_yx = redaction.mask_yx;
    const bool fits = mask_yx.dim() == 2 && mask_yx.size(0) == height && mask_yx.size(1) == width &&
                      (mask_yx.scalar_type() == at::kBool || mask_yx.scalar_type() == at::kByte);
    if (!fits) refuse_redaction("expected a mask of bool or uint8 as large as the original picture, got another one.");
    hidden_yx.logical_or_(mask_yx.to(at::kCPU) != 0);
  }
  for (const PixelBox& box : redaction.boxes) {
    for (const double value : {box.x, box.y, box.width, box.height}) {
      if (!is_place(value)) refuse_redaction("expected boxes of finite numbers from 0, got another one.");
    }
    const auto range = [](double first, double extent, int64_t size) {
      const auto limit = static_cast<double>(size);
      const auto from = static_cast<int64_t>(std::min(std::floor(first), limit));
      const auto to = extent > 0 ? static_cast<int64_t>(std::min(std::ceil(first + extent), limit)) : from;
      return std::pair(from, std::max<int64_t>(to - from, 0));
    };
    const auto [x, across] = range(box.x, box.width, width);
    const auto [y, down] = range(box.y, box.height, height);
    hidden_yx.narrow(0, y, down).narrow(1, x, across).fill_(true);
  }
  return hidden_yx;
}

/// Cells from the one that a pixel begins in to the one that it ends in.
std::vector<std::pair<int64_t, int64_t>> cells_under(const Axis& axis) {
  std::vector<std::pair<int64_t, int64_t>> cells;
  for (int64_t pixel = 0; pixel < axis.pixels; ++pixel) {
    const double a = axis.cell(pixel) - 0.5 * axis.scale, b = axis.cell(pixel) + 0.5 * axis.scale;
    const auto low = static_cast<int64_t>(std::floor(std::min(a, b)));
    const auto high = static_cast<int64_t>(std::ceil(std::max(a, b))) - 1;
    cells.emplace_back(std::max<int64_t>(low, 0), std::min(high, axis.cells - 1));
  }
  return cells;
}

/// Of each cell of the grid, row by row, whether it touches a hidden pixel.
std::vector<bool> hidden_cells(const Geometry& geometry, const at::Tensor& hidden_yx) {
  const int64_t height = hidden_yx.size(0), width = hidden_yx.size(1);
  const auto [axis_x, axis_y] = axes(place_scaled(geometry, width, height, width, height));
  const auto cols = cells_under(axis_x), rows = cells_under(axis_y);
  std::vector<bool> cells(static_cast<size_t>(geometry.cells()));
  const bool* hidden = hidden_yx.const_data_ptr<bool>();
  for (size_t y = 0; y < rows.size(); ++y) {
    for (size_t x = 0; x < cols.size(); ++x, ++hidden) {
      if (!*hidden) continue;
      for (int64_t row = rows[y].first; row <= rows[y].second; ++row) {
        for (int64_t col = cols[x].first; col <= cols[x].second; ++col)
          cells[static_cast<size_t>(row * geometry.grid_cols() + col)] = true;
      }
    }
  }
  return cells;
}

std::vector<int64_t> keys_of_cells(const Geometry& geometry, const std::vector<bool>& hidden) {
  const CellKeys keys = cell_keys(geometry);
  const size_t cells = hidden.size();
  std::vector<int64_t> found;
  for (const std::vector<int64_t>* of : {&keys.keys, &keys.video_keys}) {
    for (size_t i = 0; i < of->size(); ++i) {
      if (hidden[i % cells]) found.push_back((*of)[i]);
    }
  }
  const auto touches = [&](int64_t i, int64_t j) {
    for (int64_t row = 0; row < keys.rows; ++row) {
      for (int64_t col = 0; col < keys.cols; ++col) {
        if (hidden[static_cast<size_t>(row * keys.cols + col)] &&
            keys.row_shares[static_cast<size_t>(row * keys.thumbnail_rows + i)] > 0 &&
            keys.col_shares[static_cast<size_t>(col * keys.thumbnail_cols + j)] > 0)
          return true;
      }
    }
    return false;
  };
  for (int64_t i = 0; i < keys.thumbnail_rows; ++i) {
    for (int64_t j = 0; j < keys.thumbnail_cols; ++j) {
      if (touches(i, j)) found.push_back(keys.thumbnail_keys[static_cast<size_t>(i * keys.thumbnail_cols + j)]);
    }
  }
  return found;
}

void hide_keys(const std::vector<int64_t>& keys, const ops::Route& route, MediumMap& map) {
  if (keys.empty()) return;
  const at::Tensor key_n = ops::to_device(at::tensor(keys, at::kLong), route, ops::Cargo::Table);
  const at::Tensor kept_tk = map.map_tk.index_fill(1, key_n, 0);
  const at::Tensor before_t = map.map_tk.sum(1), after_t = kept_tk.sum(1);
  map.mass_t = map.mass_t * at::where(before_t > 0, after_t / before_t, at::zeros_like(after_t));
  map.map_tk = kept_tk;
  if (!map.detail) return;
  for (SiteDetail& site : map.detail->sites) site.rows.root_hqk = site.rows.root_hqk.index_fill(2, key_n, 0);
}

/// Without its padding, which could not be told from what is silent later.
Recording recording_of(const Sound& sound) {
  Recording recording = decode(sound);
  if (!sound.padded) return recording;
  const ops::Route route = ops::route_to(recording.samples_ct.device());
  return without_padding(std::move(recording), route);
}

}  // namespace

void black_out(const Redaction& redaction, const AttentionRecord& record, PictureMedium& medium, MediumMap& map) {
  if (redaction.boxes.empty() && !redaction.mask_yx.defined()) return;
  const at::Tensor rgb_hwc = decode(medium.picture);
  const int64_t height = rgb_hwc.size(0), width = rgb_hwc.size(1);
  if (medium.original.width > 0 && (medium.original.width != width || medium.original.height != height))
    refuse_redaction("expected the original picture, got a smaller copy.");
  const at::Tensor hidden_yx = hidden_pixels(redaction, height, width);
  const ops::Route picture_route = ops::route_to(rgb_hwc.device());
  const at::Tensor here_yx = ops::to_device(hidden_yx, picture_route, ops::Cargo::Table);
  medium.picture = Picture(rgb_hwc.masked_fill(here_yx.unsqueeze(2), 0));
  hide_keys(keys_of_cells(map.geometry(), hidden_cells(map.geometry(), hidden_yx)), ops::route_to(record.device()),
            map);
}

void black_out(const Redaction& redaction, SoundMedium& medium) {
  if (redaction.seconds.empty()) return;
  const Recording recording = decode(medium.sound);  // padding is told without what is hidden
  at::Tensor samples_ct = recording.samples_ct.clone();
  const int64_t count = samples_ct.size(1);
  for (const SecondsSpan& span : redaction.seconds) {
    if (!is_place(span.start_seconds) || !is_place(span.end_seconds) || span.end_seconds < span.start_seconds)
      refuse_redaction("expected spans of finite seconds from 0 with the start first, got another one.");
    const auto at = [&](double sample) { return static_cast<int64_t>(std::min(sample, static_cast<double>(count))); };
    const auto rate = static_cast<double>(recording.sample_rate_hz);
    const int64_t first = at(std::floor(span.start_seconds * rate)), end = at(std::ceil(span.end_seconds * rate));
    samples_ct.narrow(1, first, std::max<int64_t>(end - first, 0)).zero_();
  }
  medium.sound.samples = samples_ct;
  medium.sound.sample_rate_hz = recording.sample_rate_hz;
  medium.sound.path.clear();
}

void leave_out_content(PictureMedium& medium) {
  if (medium.picture.empty()) return;
  const at::Tensor rgb_hwc = decode(medium.picture);
  medium.picture = Picture(at::full({rgb_hwc.size(0), rgb_hwc.size(1), 3}, kNeutralGrey, at::kByte));
}

void leave_out_content(SoundMedium& medium) {
  if (medium.sound.empty()) return;
  const Recording recording = recording_of(medium.sound);
  medium.sound.samples = at::zeros({1, recording.samples_ct.size(1)}, at::kFloat);
  medium.sound.sample_rate_hz = recording.sample_rate_hz;
  medium.sound.path.clear();
  medium.sound.padded = false;
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "probe_picture.hpp"

#include <ATen/TensorOperators.h>
#include <gaze/render/cell_keys.hpp>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "console.hpp"
#include "picture_file.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kSmallest = 640;  // pixels of the shorter side, so that cells can be told apart
const cv::Scalar kGrid(255, 255, 255);
const cv::Scalar kCentre(255, 64, 0);
const cv::Scalar kWrong(0, 0, 255);  // not local

/// uint8 RGB [height, width, 3], its range stretched: what mean and standard deviation were is not known.
at::Tensor shown(const at::Tensor& input_chw) {
  at::Tensor rgb = input_chw.detach().to(at::kCPU, at::kFloat).nan_to_num(0);
  rgb = rgb.size(0) == 3 ? rgb : rgb.mean(0, /*keepdim=*/true).expand({3, -1, -1});
  const float least = rgb.min().item<float>();
  const float most = rgb.max().item<float>();
  rgb = (rgb - least) * (255.F / std::max(most - least, 1e-12F));
  return rgb.permute({1, 2, 0}).to(at::kByte).contiguous();
}

}  // namespace

void expect_pictures() {}

void write_probe_picture(const std::string& path, const at::Tensor& input_chw, const ProbeResult& result) {
  const ProbedSite* best = nullptr;
  for (const ProbedSite& site : result.sites) {
    if (!site.geometry) continue;
    if (best == nullptr ||
        std::pair(site.site.proposed, site.local_share) > std::pair(best->site.proposed, best->local_share))
      best = &site;
  }
  if (best == nullptr)
    throw Refusal("--picture: expected a site with a grid to draw, got none. Leave the flag out; the report says why.");
  const at::Tensor rgb_hwc = shown(input_chw);
  const auto scale = static_cast<int>(std::max<int64_t>(
      1, (kSmallest + std::min(result.width, result.height) - 1) / std::min(result.width, result.height)));
  cv::Mat canvas;
  cv::resize(view(rgb_hwc), canvas, {}, scale, scale, cv::INTER_NEAREST);
  canvas *= 0.6;
  const Geometry& geometry = *best->geometry;
  const int64_t rows = geometry.grid_rows();
  const int64_t cols = geometry.grid_cols();
  const auto pixel = [&](double at) { return static_cast<int>(std::lround(at * scale)); };
  const auto edge = [](int64_t index, int64_t cells, int64_t pixels) {
    return static_cast<double>(index) * static_cast<double>(pixels) / static_cast<double>(cells);
  };
  for (int64_t col = 1; col < cols; ++col) {
    const int x = pixel(edge(col, cols, result.width));
    cv::line(canvas, {x, 0}, {x, canvas.rows - 1}, kGrid);
  }
  for (int64_t row = 1; row < rows; ++row) {
    const int y = pixel(edge(row, rows, result.height));
    cv::line(canvas, {0, y}, {canvas.cols - 1, y}, kGrid);
  }
  const CellKeys layout = cell_keys(geometry);
  for (int64_t cell = 0; cell < geometry.cells(); ++cell) {
    const ProbedKey& key =
        best->keys[static_cast<size_t>(geometry.first_cell() + layout.keys[static_cast<size_t>(cell)])];
    const cv::Point middle(pixel(edge(2 * (cell % cols) + 1, 2 * cols, result.width)),
                           pixel(edge(2 * (cell / cols) + 1, 2 * rows, result.height)));
    if (!key.local) {
      cv::drawMarker(canvas, middle, kWrong, cv::MARKER_TILTED_CROSS, 10, 2, cv::LINE_AA);
      continue;
    }
    const cv::Point centre(pixel(key.x), pixel(key.y));
    cv::line(canvas, middle, centre, kCentre, 1, cv::LINE_AA);
    cv::circle(canvas, centre, 3, kCentre, cv::FILLED, cv::LINE_AA);
  }
  write_picture(path, canvas);
}

}  // namespace gaze::cli

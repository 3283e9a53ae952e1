// SPDX-License-Identifier: MIT
#include "heads_picture.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/colour.hpp>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cstdio>
#include <opencv2/imgproc.hpp>

#include "console.hpp"
#include "picture_file.hpp"

namespace gaze::cli {
namespace {

constexpr size_t kHeads = 6, kSamples = 6, kMostHeads = 24;
constexpr int kPanel = 160;     // pixels of a map's longer side
constexpr int kLeastSide = 16;  // and the least of its shorter one
constexpr int kGap = 10, kLabel = 330, kLine = 20, kTop = 34;
const cv::Scalar kPaper(255, 255, 255), kInk(30, 30, 30), kChosen(20, 110, 20);

void write(cv::Mat& canvas, const std::string& text, int x, int y, const cv::Scalar& colour) {
  cv::putText(canvas, text, {x, y}, cv::FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv::LINE_AA);
}

/// As many characters of a name's end as the label has room for.
std::string end_of(const std::string& name) {
  constexpr size_t kMost = 36;
  const std::string shown = printable(name);
  return shown.size() <= kMost ? shown : "..." + shown.substr(shown.size() - kMost + 3);
}

cv::Mat panel(const at::Tensor& map_yx) {
  const float most = std::max(map_yx.max().item<float>(), 1e-12F);
  const at::Tensor rgb_hwc = ops::colour(map_yx / most, ops::Colormap::Turbo);
  const double scale = static_cast<double>(kPanel) / static_cast<double>(std::max(map_yx.size(0), map_yx.size(1)));
  // A sound's cells are one row, which would be too thin to see.
  const auto side = [scale](int64_t cells) {
    return std::max(kLeastSide, cvRound(static_cast<double>(cells) * scale));
  };
  cv::Mat scaled;
  cv::resize(view(rgb_hwc), scaled, {side(map_yx.size(1)), side(map_yx.size(0))}, 0, 0,
             scale < 1 ? cv::INTER_AREA : cv::INTER_NEAREST);
  return scaled;
}

struct Row {
  std::string name, figures;
  bool chosen;
  std::vector<at::Tensor> maps_yx;
};

std::vector<Row> rows_of(const HeadsResult& result) {
  std::vector<Row> rows;
  for (const MeasuredHead& head : result.heads) {
    if (rows.size() >= kMostHeads || (rows.size() >= kHeads && !head.chosen)) break;
    char figures[96];
    std::snprintf(figures, sizeof figures, "share %.1f %%, spatial %.2f, %lld votes", 100 * head.share,
                  head.spatial_entropy, static_cast<long long>(head.votes));
    rows.push_back({end_of(head.site) + " " + std::to_string(head.head),
                    head.discarded.empty() ? figures : head.discarded, head.chosen, head.maps_yx});
  }
  Row all{"mean of all heads", "", false, {}};
  for (size_t n = 0; n < result.heads.front().maps_yx.size(); ++n) {
    at::Tensor sum_yx = at::zeros_like(result.heads.front().maps_yx[n]);
    for (const MeasuredHead& head : result.heads) sum_yx += head.maps_yx[n];
    all.maps_yx.push_back(sum_yx / static_cast<double>(result.heads.size()));
  }
  rows.push_back(std::move(all));
  return rows;
}

}  // namespace

void write_heads_picture(const std::string& path, const HeadsResult& result) {
  const std::vector<Row> rows = rows_of(result);
  const size_t samples = std::min(kSamples, rows.front().maps_yx.size());
  int height = 2 * kLine;
  for (size_t n = 0; n < samples; ++n) height = std::max(height, panel(rows.front().maps_yx[n]).rows);
  cv::Mat canvas(kTop + static_cast<int>(rows.size()) * (height + kGap),
                 kGap + kLabel + static_cast<int>(samples) * (kPanel + kGap), CV_8UC3, kPaper);
  for (size_t n = 0; n < samples; ++n) {
    const int x = kGap + kLabel + static_cast<int>(n) * (kPanel + kGap);
    write(canvas, "answer " + std::to_string(n + 1), x, kTop - 12, kInk);
    for (size_t r = 0; r < rows.size(); ++r) {
      const cv::Mat map = panel(rows[r].maps_yx[n]);
      map.copyTo(canvas({x, kTop + static_cast<int>(r) * (height + kGap), map.cols, map.rows}));
    }
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const int y = kTop + static_cast<int>(r) * (height + kGap) + kLine;
    write(canvas, (rows[r].chosen ? "* " : "") + rows[r].name, kGap, y, rows[r].chosen ? kChosen : kInk);
    write(canvas, rows[r].figures, kGap, y + kLine, kInk);
  }
  write_picture(path, canvas);
}

}  // namespace gaze::cli

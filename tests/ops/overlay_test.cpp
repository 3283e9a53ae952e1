// SPDX-License-Identifier: MIT
// The overlay against float64, the colours and mixtures of the separate ops, and OpenCV.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "overlay.hpp"
#include "support/resampled.hpp"
#include "tensors.hpp"

#ifdef GAZE_WITH_OPENCV
#include <opencv2/imgproc.hpp>
#endif

using namespace gaze::ops;
using namespace gaze::test;

namespace {

CellAffine whole(int64_t rows, int64_t cols, int64_t height, int64_t width) {
  return {static_cast<double>(cols) / static_cast<double>(width), 0,
          static_cast<double>(rows) / static_cast<double>(height), 0};
}

/// Peaks of attention: most values are near 0.
at::Tensor peaks(Random& random, int64_t rows, int64_t cols, at::Device device) {
  std::vector<double> values = random.many(rows * cols);
  for (double& x : values) x = std::pow(x, 3);
  return tensor_of(values, {rows, cols}, at::kFloat, device);
}

/// Where the edges of a region of pixels are.
class Edges {
 public:
  explicit Edges(const Array& region)
      : rows_(region.sizes[0]), cols_(region.sizes[1]), above_(static_cast<size_t>((rows_ + 1) * (cols_ + 1))) {
    for (int64_t y = 0; y < rows_; ++y) {
      for (int64_t x = 0; x < cols_; ++x) {
        above_[index(y + 1, x + 1)] = region(y, x) + count(y, x + 1) + count(y + 1, x) - count(y, x);
      }
    }
  }
  /// Whether pixels of both kinds lie at most `reach` away, in the picture.
  [[nodiscard]] bool near(int64_t y, int64_t x, int64_t reach) const {
    const int64_t top = std::max<int64_t>(0, y - reach), bottom = std::min(rows_, y + reach + 1);
    const int64_t left = std::max<int64_t>(0, x - reach), right = std::min(cols_, x + reach + 1);
    const double inside = count(bottom, right) - count(top, right) - count(bottom, left) + count(top, left);
    return inside != 0 && inside != static_cast<double>((bottom - top) * (right - left));
  }

 private:
  [[nodiscard]] size_t index(int64_t y, int64_t x) const { return static_cast<size_t>(y * (cols_ + 1) + x); }
  [[nodiscard]] double count(int64_t y, int64_t x) const { return above_[index(y, x)]; }

  int64_t rows_, cols_;
  std::vector<double> above_;  ///< how many pixels above and left of a corner are inside
};

/// How far each channel of two pictures differs, worst and on average.
struct Distance {
  double worst = 0, mean = 0;
  Distance(const std::vector<double>& a, const std::vector<double>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      worst = std::max(worst, std::abs(a[i] - b[i]));
      mean += std::abs(a[i] - b[i]) / static_cast<double>(a.size());
    }
  }
};

}  // namespace

CATCH_TEST_CASE("overlay is the resampled map, coloured and blended, within three levels of a channel") {
  struct Picture {
    int64_t height, width;
    CellAffine place;
  };
  const std::vector<Picture> pictures = {{97, 131, whole(6, 9, 97, 131)},
                                         {97, 131, {0.08, -0.7, 0.07, 0.3}},   // a border left, the grid cropped below
                                         {97, 131, {0.05, -1.1, 0.11, -2.2}},  // letterboxed
                                         {1, 1, whole(6, 9, 1, 1)}};
  for (const at::Device device : devices()) {
    for (const Picture& picture : pictures) {
      for (const auto interpolation : {Interpolation::Bilinear, Interpolation::Exact}) {
        for (const auto colormap : {Colormap::Turbo, Colormap::Inferno, Colormap::Viridis, Colormap::Cividis,
                                    Colormap::Gray, Colormap::Diverging}) {
          for (const BlendOptions& blending : {BlendOptions{}, BlendOptions{1, 0, 1}, BlendOptions{0.8, 0.6, 1}}) {
            CATCH_CAPTURE(device.str(), picture.width, picture.place.offset_x, int(interpolation), int(colormap),
                          blending.alpha_max);
            Random random(40);
            const at::Tensor value = peaks(random, 6, 9, device);
            const at::Tensor rgb = random.tensor({picture.height, picture.width, 3}, at::kByte, 0, 255.99, device);
            const at::Tensor shown =
                resampled(value, picture.place, picture.height, picture.width, interpolation).to(device, at::kFloat);
            const at::Tensor want = blend(rgb, colour(shown, colormap), shown, blending);
            const at::Tensor got =
                overlay(rgb, value, std::nullopt, picture.place, {interpolation, colormap, blending});
            CATCH_CHECK(got.sizes() == rgb.sizes());
            const Distance distance(values_of(got), values_of(want));
            CATCH_CHECK(distance.worst <= 3);
            CATCH_CHECK(distance.mean < 0.4);
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("overlay keeps the base of every pixel at or below the start, and outside of the grid") {
  for (const at::Device device : devices()) {
    Random random(41);
    const at::Tensor value = peaks(random, 5, 7, device);
    const at::Tensor rgb = random.tensor({61, 83, 3}, at::kByte, 0, 255.99, device);
    const CellAffine place{0.1, -0.6, 0.1, -0.3};
    const std::vector<double> shown = values_of(resampled(value, place, 61, 83, Interpolation::Bilinear));
    const std::vector<double> got = values_of(overlay(rgb, value, std::nullopt, place, {.blend = {1, 0.3}}));
    const std::vector<double> base = values_of(rgb);
    size_t kept = 0;
    for (size_t i = 0; i < shown.size(); ++i) {
      if (shown[i] > 0.299) continue;
      ++kept;
      for (size_t c = 3 * i; c < 3 * i + 3; ++c) CATCH_REQUIRE(got[c] == base[c]);
    }
    CATCH_CHECK(kept > shown.size() / 4);
    const std::vector<double> half = values_of(overlay(rgb, value, std::nullopt, place, {.blend = {0, 0}}));
    CATCH_CHECK(half == base);
  }
}

CATCH_TEST_CASE("overlay draws both edges of the region that its contour encloses, but for unseen pixels") {
  for (const at::Device device : devices()) {
    const at::Tensor blank = at::full({6, 9}, 0.0, at::TensorOptions().device(device));
    const at::Tensor gray = at::full({97, 131, 3}, 9, blank.options().dtype(at::kByte));
    for (const at::Tensor& all : {blank.gt(0), blank.eq(0)}) {
      CATCH_CHECK(values_of(overlay(gray, blank, all, whole(6, 9, 97, 131), {})) == values_of(gray));
    }
    for (const CellAffine& place : {whole(6, 9, 97, 131), CellAffine{0.08, -0.7, 0.07, 0.3}}) {
      for (const int64_t reach : {1, 2, 9, 64}) {
        CATCH_CAPTURE(device.str(), place.offset_x, reach);
        Random random(42);
        const at::Tensor value = peaks(random, 6, 9, device);
        const at::Tensor inside = top_mass(value.view({1, -1}), 0.4).view({6, 9});
        const at::Tensor rgb = random.tensor({97, 131, 3}, at::kByte, 60, 200, device);
        const Array region(resampled(inside, place, 97, 131, Interpolation::Exact));
        const Edges edges(region);
        const Array got(overlay(rgb, value, inside, place, {.contour_pixels = reach}));
        const Array tinted(overlay(rgb, value, std::nullopt, place, {})), base(rgb);
        for (int64_t y = 0; y < 97; ++y) {
          for (int64_t x = 0; x < 131; ++x) {
            const double col = place.scale_x * (static_cast<double>(x) + 0.5) + place.offset_x;
            const double row = place.scale_y * (static_cast<double>(y) + 0.5) + place.offset_y;
            const bool seen = col >= 0 && col < 9 && row >= 0 && row < 6;
            const bool edge = edges.near(y, x, reach);
            const double drawn = region(y, x) != 0 ? 255 : 32;
            for (int64_t c = 0; c < 3; ++c) {
              CATCH_REQUIRE(got(y, x, c) == (!seen ? base(y, x, c) : edge ? drawn : tinted(y, x, c)));
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("overlay's border is dashed, within what was seen, and only where the picture goes on") {
  for (const at::Device device : devices()) {
    const at::Tensor value = tensor_of({0}, {1, 1}, at::kFloat, device);
    const at::Tensor rgb = Random(43).tensor({40, 60, 3}, at::kByte, 60, 200, device);
    const CellAffine right_half{1 / 30.0, -1, 1 / 40.0, 0};
    const Array got(overlay(rgb, value, std::nullopt, right_half, {.border_pixels = 2})), base(rgb);
    for (int64_t y = 0; y < 40; ++y) {
      for (int64_t x = 0; x < 60; ++x) {
        const bool border = x == 30 || x == 31;
        const double want = border ? (y / 12 % 2 == 0 ? 245 : 40) : base(y, x, 0);
        CATCH_REQUIRE(got(y, x, 0) == want);
      }
    }
    const CellAffine sliver{1, -30, 1 / 40.0, 0};  // one pixel wide: less than the border
    CATCH_CHECK(values_of(overlay(rgb, value, std::nullopt, sliver, {.border_pixels = 2})) == values_of(rgb));
  }
}

CATCH_TEST_CASE("overlay gives the same picture with one thread as with several") {
  Random random(44);
  const at::Tensor value = peaks(random, 24, 24, at::kCPU);
  const at::Tensor inside = top_mass(value.view({1, -1})).view({24, 24});
  const at::Tensor rgb = random.tensor({701, 903, 3}, at::kByte, 0, 255.99);
  const CellAffine place{0.03, -0.5, 0.04, -1};
  const OverlayOptions options{.border_pixels = 3};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = overlay(rgb, value, inside, place, options);
  at::set_num_threads(4);
  const at::Tensor several = overlay(rgb, value, inside, place, options);
  at::set_num_threads(threads);
  CATCH_CHECK(values_of(one) == values_of(several));
}

#ifdef GAZE_WITH_OPENCV
CATCH_TEST_CASE("overlay is near OpenCV's resize and the same colours mixed in floating point") {
  for (const at::Device device : devices()) {
    Random random(45);
    constexpr int kHeight = 333, kWidth = 517;
    const std::vector<double> values = random.many(24 * 24);
    cv::Mat theirs, map(24, 24, CV_32F);
    for (int i = 0; i < 24 * 24; ++i)
      map.at<float>(i / 24, i % 24) = static_cast<float>(values[static_cast<size_t>(i)]);
    cv::resize(map, theirs, {kWidth, kHeight}, 0, 0, cv::INTER_LINEAR);
    const at::Tensor rgb = random.tensor({kHeight, kWidth, 3}, at::kByte, 0, 255.99, device);
    const std::vector<float> shown(theirs.begin<float>(), theirs.end<float>());
    const std::vector<double> grays(shown.begin(), shown.end());
    const std::vector<double> base = values_of(rgb);
    const std::vector<double> over =
        values_of(colour(tensor_of(grays, {kHeight, kWidth}, at::kFloat, device), Colormap::Inferno));
    std::vector<double> want;
    for (size_t i = 0; i < over.size(); ++i) {
      const double s = std::clamp((grays[i / 3] - 0.05) / 0.95, 0.0, 1.0), alpha = 0.6 * s * s * (3 - 2 * s);
      want.push_back(base[i] + alpha * (over[i] - base[i]));
    }
    const at::Tensor got =
        overlay(rgb, tensor_of(values, {24, 24}, at::kFloat, device), std::nullopt, whole(24, 24, kHeight, kWidth),
                {.colormap = Colormap::Inferno, .blend = {0.6, 0.05, 1}});
    const Distance distance(values_of(got), want);
    CATCH_CHECK(distance.worst <= 2.5);
    CATCH_CHECK(distance.mean < 0.5);
  }
}
#endif

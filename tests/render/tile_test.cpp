// SPDX-License-Identifier: MIT
// The small copy of a picture that only a device has.
#include <gaze/render/opencv.hpp>

#include <opencv2/imgproc.hpp>

#include "picture/scaled.hpp"
#include "records.hpp"

CATCH_TEST_CASE("tile: as small as asked, and as the host's own scaling makes it") {
  const at::Tensor picture = gaze::test::noise_picture(120, 240);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{60, 120}, {30, 80}, {1, 1}}) {
    CATCH_INFO(width << " x " << height);
    const at::Tensor tile = gaze::scale_picture(picture, height, width);
    cv::Mat wanted;
    cv::resize(gaze::view(picture), wanted, cv::Size(static_cast<int>(width), static_cast<int>(height)), 0, 0,
               cv::INTER_AREA);
    const at::Tensor wanted_hwc = at::empty({height, width, 3}, at::kByte);
    wanted.copyTo(gaze::view(wanted_hwc));
    const at::Tensor difference = (tile.to(at::kInt) - wanted_hwc.to(at::kInt)).abs();
    CATCH_CHECK(difference.max().item<int>() <= 1);
    CATCH_CHECK(tile.is_contiguous());
  }
}

CATCH_TEST_CASE("tile: a picture without detail keeps its colour in every size") {
  const at::Tensor flat = at::full({3, 200, 3}, 77, at::kByte);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{6, 400}, {1, 360}, {3, 100}}) {
    const at::Tensor tile = gaze::scale_picture(flat, height, width);
    CATCH_CHECK(tile.sizes() == at::IntArrayRef({height, width, 3}));
    CATCH_CHECK(tile.eq(77).all().item<bool>());
  }
}

// SPDX-License-Identifier: MIT
#include <gaze/render/picture.hpp>

#include <limits>

#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::Picture;

void require_refused(const Picture& picture, const std::string& text) {
  CATCH_INFO(text);
  GAZE_REQUIRE_REFUSED(gaze::decode(picture), DropReason::DecodeFailed, text);
}

}  // namespace

CATCH_TEST_CASE("picture: every accepted layout and type gives the same pixels") {
  const at::Tensor hwc = gaze::test::noise_picture(5, 7);
  const at::Tensor chw = hwc.permute({2, 0, 1}).contiguous();
  CATCH_CHECK(at::equal(gaze::decode(hwc), hwc));
  CATCH_CHECK(at::equal(gaze::decode(chw), hwc));
  CATCH_CHECK(at::equal(gaze::decode(chw.permute({1, 2, 0})), hwc));
  CATCH_CHECK(at::equal(gaze::decode(hwc.to(at::kFloat) / 255), hwc));
  CATCH_CHECK(at::equal(gaze::decode(chw.to(at::kDouble) / 255), hwc));
  CATCH_CHECK(at::equal(gaze::decode(hwc.to(at::kHalf) / 255), hwc));
  CATCH_CHECK(gaze::decode(chw).is_contiguous());
}

CATCH_TEST_CASE("picture: gray becomes three equal channels") {
  const at::Tensor gray = gaze::test::noise_picture(5, 7).select(2, 0).contiguous();
  const at::Tensor wanted = gray.unsqueeze(-1).repeat({1, 1, 3});
  CATCH_CHECK(at::equal(gaze::decode(gray), wanted));
  CATCH_CHECK(at::equal(gaze::decode(gray.unsqueeze(-1)), wanted));
  CATCH_CHECK(at::equal(gaze::decode(gray.unsqueeze(0)), wanted));
}

CATCH_TEST_CASE("picture: pixels of 1, 3 and 4 bytes in either order, rows any distance apart") {
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
  const auto row = [&](int64_t y, int64_t channels, gaze::ChannelOrder order) {
    const at::Tensor rgb_hwc = gaze::decode(Picture::from_pixels(bytes.data(), 2, 2, channels, 9, order));
    const at::Tensor row_x = rgb_hwc[y].flatten();
    return std::vector<uint8_t>(row_x.const_data_ptr<uint8_t>(), row_x.const_data_ptr<uint8_t>() + 6);
  };
  using Row = std::vector<uint8_t>;
  CATCH_CHECK(row(1, 1, gaze::ChannelOrder::Bgr) == Row{10, 10, 10, 11, 11, 11});
  CATCH_CHECK(row(1, 3, gaze::ChannelOrder::Rgb) == Row{10, 11, 12, 13, 14, 15});
  CATCH_CHECK(row(0, 3, gaze::ChannelOrder::Bgr) == Row{3, 2, 1, 6, 5, 4});
  CATCH_CHECK(row(1, 4, gaze::ChannelOrder::Rgb) == Row{10, 11, 12, 14, 15, 16});
  CATCH_CHECK(row(0, 4, gaze::ChannelOrder::Bgr) == Row{3, 2, 1, 7, 6, 5});
  const auto refuse = [&](const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, int64_t step) {
    GAZE_REQUIRE_REFUSED(Picture::from_pixels(pixels, height, width, channels, step), DropReason::DecodeFailed,
                         "expected rows of pixels");
  };
  refuse(nullptr, 1, 1, 3, 3);
  refuse(bytes.data(), 0, 1, 3, 3);
  refuse(bytes.data(), 1, 0, 3, 3);
  refuse(bytes.data(), 1, 1, 2, 2);
  refuse(bytes.data(), 1, 2, 3, 5);
}

CATCH_TEST_CASE("picture: a model's input is turned back with mean and std, per channel or for all") {
  const at::Tensor hwc = gaze::test::noise_picture(5, 7);
  const at::Tensor mean = at::tensor({0.4F, 0.5F, 0.6F});
  const at::Tensor std = at::tensor({0.2F, 0.25F, 0.3F});
  Picture picture(((hwc.to(at::kFloat) / 255 - mean) / std).permute({2, 0, 1}));
  picture.mean = {0.4F, 0.5F, 0.6F};
  picture.std = {0.2F, 0.25F, 0.3F};
  CATCH_CHECK(at::equal(gaze::decode(picture), hwc));
  Picture single((hwc.to(at::kFloat) / 255 - 0.5) / 0.5);
  single.mean = {0.5F};
  single.std = {0.5F};
  CATCH_CHECK(at::equal(gaze::decode(single), hwc));
  single.std = {0.5F, 0.5F};
  require_refused(single, "picture.mean and .std: expected 1 or 3 values each, got 1 and 2.");
  Picture bytes(hwc);
  bytes.mean = bytes.std = {0.5F};
  require_refused(bytes, "picture.tensor: expected a floating type where mean and std are set, got Byte.");
}

CATCH_TEST_CASE("picture: what is ambiguous or no picture is refused, not guessed") {
  const auto bytes = [](at::IntArrayRef sizes) { return at::zeros(sizes, at::kByte); };
  require_refused(bytes({3, 4, 3}), "got [3, 4, 3], which is ambiguous");
  require_refused(bytes({1, 4, 1}), "got [1, 4, 1], which is ambiguous");
  require_refused(bytes({3, 4, 1}), "got [3, 4, 1], which is ambiguous");
  require_refused(bytes({4, 5, 4}), "got [4, 5, 4], which has no axis of 1 or 3 channels");
  require_refused(bytes({1, 3, 4, 5}), "got [1, 3, 4, 5]. Select one picture of the batch.");
  require_refused(bytes({0, 5, 3}), "got [0, 5, 3], which has no pixels");
  require_refused(bytes({7}), "got [7]");
  require_refused(at::zeros({4, 5, 3}, at::kInt), "picture.tensor: expected uint8 or a floating type, got Int.");
  require_refused(Picture(), "picture: expected a tensor, a path or the bytes of an image file, got nothing.");
  CATCH_CHECK(gaze::decode(bytes({1, 1})).sizes() == at::IntArrayRef({1, 1, 3}));
  CATCH_CHECK(gaze::decode(bytes({3, 1, 9})).sizes() == at::IntArrayRef({1, 9, 3}));
}

CATCH_TEST_CASE("picture: values that are not finite or not in 0..1 are refused") {
  at::Tensor unit = at::full({4, 5, 3}, 0.5, at::kFloat);
  unit[3][4][2] = std::numeric_limits<float>::quiet_NaN();
  require_refused(unit, "picture.tensor: expected finite values, got NaN or infinity.");
  unit[3][4][2] = -std::numeric_limits<float>::infinity();
  require_refused(unit, "picture.tensor: expected finite values, got NaN or infinity.");
  unit[3][4][2] = 255.0F;
  require_refused(unit, "picture.tensor: expected floating values in 0..1, got 0.5..255. Divide by 255");
  unit[3][4][2] = -0.01F;
  require_refused(unit, "picture.tensor: expected floating values in 0..1, got -0.01..0.5.");
  unit[3][4][2] = 1.0005F;  // rounding of a resize
  CATCH_CHECK(gaze::decode(unit)[3][4][2].item<int>() == 255);
}

CATCH_TEST_CASE("picture: another size than stated is refused") {
  Picture picture(gaze::test::noise_picture(5, 7));
  picture.expected_width = 7;
  picture.expected_height = 5;
  CATCH_CHECK(gaze::decode(picture).size(0) == 5);
  picture.expected_width = 5;
  picture.expected_height = 7;
  require_refused(picture, "picture: expected 5 x 7 pixels, got 7 x 5.");
}

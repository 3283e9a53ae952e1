// SPDX-License-Identifier: MIT
// Image files and cv::Mat.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/opencv.hpp>

#include <cmath>
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <utility>

#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::Picture;
using namespace std::string_literals;

// 40 x 24: left half red, right half blue, in BGR.
cv::Mat halves() {
  cv::Mat bgr(24, 40, CV_8UC3, cv::Scalar(0, 0, 255));
  bgr(cv::Rect(20, 0, 20, 24)).setTo(cv::Scalar(255, 0, 0));
  return bgr;
}

std::string encode(const cv::Mat& mat, const char* extension) {
  std::vector<unsigned char> bytes;
  CATCH_REQUIRE(cv::imencode(extension, mat, bytes));
  return {bytes.begin(), bytes.end()};
}

// An APP1 segment with one tag, as cameras write it, right after the start of the image.
std::string with_orientation(const std::string& jpeg, char orientation) {
  const std::string exif = "Exif\0\0"s + "II*\0\x08\0\0\0"s + "\x01\0"s + "\x12\x01\x03\0\x01\0\0\0"s + orientation +
                           "\0\0\0"s + "\0\0\0\0"s;
  const auto length = static_cast<unsigned>(exif.size() + 2);
  const std::string head = {'\xFF', '\xE1', static_cast<char>(length >> 8), static_cast<char>(length & 255)};
  return jpeg.substr(0, 2) + head + exif + jpeg.substr(2);
}

bool is_red(const at::Tensor& rgb, int64_t y, int64_t x) {
  return rgb[y][x][0].item<int>() > 200 && rgb[y][x][2].item<int>() < 60;
}
bool is_blue(const at::Tensor& rgb, int64_t y, int64_t x) {
  return rgb[y][x][2].item<int>() > 200 && rgb[y][x][0].item<int>() < 60;
}

/// Keeps the overlay and request.json.
class Drawn : public gaze::Artifacts {
 public:
  at::Tensor overlay_hwc;
  nlohmann::json request;

 private:
  void take(const std::string& name, std::string_view bytes) override {
    if (name == "overlay.png") overlay_hwc = gaze::decode(Picture::from_bytes(std::string(bytes)));
    if (name == "request.json") request = nlohmann::json::parse(bytes);
  }
};

void require_refused(const Picture& picture, const std::string& text) {
  CATCH_INFO(text);
  GAZE_REQUIRE_REFUSED(gaze::decode(picture), DropReason::DecodeFailed, text);
}

}  // namespace

CATCH_TEST_CASE("picture: files and bytes decode to RGB, rows from the top") {
  const gaze::test::TempDir dir;
  for (const char* extension : {".png", ".jpg", ".webp"}) {
    CATCH_INFO(extension);
    const std::string bytes = encode(halves(), extension);
    gaze::test::write_bytes(dir / "p"s + extension, bytes);
    const at::Tensor from_bytes = gaze::decode(Picture::from_bytes(bytes));
    CATCH_CHECK(from_bytes.sizes() == at::IntArrayRef({24, 40, 3}));
    CATCH_CHECK(is_red(from_bytes, 12, 5));
    CATCH_CHECK(is_blue(from_bytes, 12, 35));
    CATCH_CHECK(at::equal(gaze::decode(dir / "p"s + extension), from_bytes));
  }
}

CATCH_TEST_CASE("picture: gray, 16-bit and transparent files become 8-bit RGB") {
  cv::Mat gray(5, 7, CV_8UC1, cv::Scalar(100));
  CATCH_CHECK(gaze::decode(Picture::from_bytes(encode(gray, ".png")))[2][3][1].item<int>() == 100);
  cv::Mat deep(5, 7, CV_16UC1, cv::Scalar(100 * 257));
  CATCH_CHECK(gaze::decode(Picture::from_bytes(encode(deep, ".png")))[2][3][1].item<int>() == 100);
  cv::Mat clear(5, 7, CV_8UC4, cv::Scalar(10, 20, 30, 0));
  const at::Tensor rgb = gaze::decode(Picture::from_bytes(encode(clear, ".png")));
  CATCH_CHECK(rgb.size(2) == 3);
  CATCH_CHECK(rgb[2][3][0].item<int>() == 30);
}

CATCH_TEST_CASE("picture: EXIF orientation turns the picture, unless the model saw the stored pixels") {
  const std::string jpeg = encode(halves(), ".jpg");
  // 6: turn clockwise; the left half comes to the top. 3: upside down. 1: as stored.
  const at::Tensor turned = gaze::decode(Picture::from_bytes(with_orientation(jpeg, 6)));
  CATCH_CHECK(turned.sizes() == at::IntArrayRef({40, 24, 3}));
  CATCH_CHECK(is_red(turned, 5, 12));
  CATCH_CHECK(is_blue(turned, 35, 12));
  const at::Tensor over = gaze::decode(Picture::from_bytes(with_orientation(jpeg, 3)));
  CATCH_CHECK(is_blue(over, 12, 5));
  CATCH_CHECK(is_red(over, 12, 35));
  CATCH_CHECK(is_red(gaze::decode(Picture::from_bytes(with_orientation(jpeg, 1))), 12, 5));
  Picture stored = Picture::from_bytes(with_orientation(jpeg, 6));
  stored.apply_exif = false;
  const at::Tensor as_stored = gaze::decode(stored);
  CATCH_CHECK(as_stored.sizes() == at::IntArrayRef({24, 40, 3}));
  CATCH_CHECK(is_red(as_stored, 12, 5));
}

CATCH_TEST_CASE("picture: a file cut anywhere is refused, never filled up") {
  cv::Mat noise(48, 64, CV_8UC3);
  cv::randu(noise, 0, 255);
  for (const char* extension : {".png", ".jpg", ".webp"}) {
    const std::string bytes = encode(noise, extension);
    for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 60) {
      CATCH_INFO(extension << " cut to " << length << " of " << bytes.size());
      GAZE_REQUIRE_REFUSED(gaze::decode(Picture::from_bytes(bytes.substr(0, length))), DropReason::DecodeFailed,
                           "expected");
    }
    CATCH_INFO(extension);
    CATCH_CHECK(gaze::decode(Picture::from_bytes(bytes)).size(0) == 48);
    CATCH_CHECK(gaze::decode(Picture::from_bytes(bytes + "trailing")).size(0) == 48);
  }
}

CATCH_TEST_CASE("picture: a PNG with any byte changed is refused") {
  const std::string bytes = encode(halves(), ".png");
  for (size_t i = 0; i < bytes.size(); ++i) {
    CATCH_INFO("byte " << i);
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    GAZE_REQUIRE_REFUSED(gaze::decode(Picture::from_bytes(damaged)), DropReason::DecodeFailed, "expected");
  }
}

CATCH_TEST_CASE("picture: what is no picture is refused with what it is") {
  require_refused(Picture::from_bytes("<html></html>"),
                  "expected a JPEG, PNG or WebP image, got 13 bytes of a page of HTML or XML.");
  require_refused(Picture::from_bytes("GIF89a......................."), "got 29 bytes of a GIF.");
  require_refused("/nowhere/p.png",
                  "picture '/nowhere/p.png': expected a readable file, got: No such file or directory");
  require_refused("/tmp", "got: something that is not a regular file");
  require_refused("/dev/zero", "got: something that is not a regular file");
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "empty.png", "");
  require_refused(dir / "empty.png", "got 0 bytes");
}

CATCH_TEST_CASE("picture: a header that claims too much is refused before anything is allocated") {
  std::string bytes = encode(halves(), ".png");
  const std::string huge = {0, 0, '\x75', '\x30'};  // 30000
  bytes.replace(16, 4, huge).replace(20, 4, huge);
  require_refused(Picture::from_bytes(bytes), "expected at most 40000000 pixels, got 30000 x 30000.");
}

CATCH_TEST_CASE("picture: no more pixels than can be drawn, whatever they come as") {
  const auto claiming = [](const char* extension, int width, int height) {
    // Each format's header of a small picture, with other sides.
    std::string bytes = encode(halves(), extension);
    const auto put = [&](size_t at, std::initializer_list<int> values) {
      for (const int value : values) bytes[at++] = static_cast<char>(value);
    };
    if (bytes.starts_with("\x89PNG")) {
      put(16, {width >> 24, width >> 16, width >> 8, width, height >> 24, height >> 16, height >> 8, height});
      return bytes;
    }
    const size_t frame = bytes.find("\xFF\xC0"s);
    CATCH_REQUIRE(frame != std::string::npos);
    put(frame + 5, {height >> 8, height, width >> 8, width});
    return bytes;
  };
  for (const char* extension : {".png", ".jpg"}) {
    require_refused(Picture::from_bytes(claiming(extension, 8001, 5000)),
                    "expected at most 40000000 pixels, got 8001 x 5000. Scale the picture down.");
    require_refused(Picture::from_bytes(claiming(extension, 65535, 65535)), "got 65535 x 65535");
  }
  // WebP: VP8X, whose sides are 24 bits less one.
  const std::string webp = "RIFF\x1A\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\xFF\xFF\x00\xFF\xFF\x00\0\0"s;
  require_refused(Picture::from_bytes(webp), "expected at most 40000000 pixels, got 65536 x 65536.");
  // One value, so that the tensor itself is no burden.
  for (const at::ScalarType dtype : {at::kByte, at::kFloat, at::kDouble}) {
    require_refused(at::zeros({1, 1, 1}, dtype).expand({5000, 8001, 3}),
                    "picture.tensor: expected at most 40000000 pixels, got 8001 x 5000.");
    require_refused(at::zeros({1, 1}, dtype).expand({int64_t{1} << 30, int64_t{1} << 30}), "pixels, got 1073741824 x");
  }
}

CATCH_TEST_CASE("picture: cv::Mat of 1, 3 and 4 channels, any step and either order") {
  const cv::Mat wide = halves();
  const cv::Mat part = wide(cv::Rect(10, 3, 20, 10));  // rows are not contiguous
  const at::Tensor rgb = gaze::decode(gaze::picture(part));
  CATCH_CHECK(rgb.sizes() == at::IntArrayRef({10, 20, 3}));
  CATCH_CHECK(is_red(rgb, 5, 5));
  CATCH_CHECK(is_blue(rgb, 5, 15));
  CATCH_CHECK(is_blue(gaze::decode(gaze::picture(part, gaze::ChannelOrder::Rgb)), 5, 5));
  cv::Mat four;
  cv::cvtColor(part, four, cv::COLOR_BGR2BGRA);
  CATCH_CHECK(at::equal(gaze::decode(gaze::picture(four)), rgb));
  const cv::Mat gray(4, 6, CV_8UC1, cv::Scalar(9));
  CATCH_CHECK(gaze::decode(gaze::picture(gray)).eq(9).all().item<bool>());
  GAZE_REQUIRE_REFUSED(gaze::picture(cv::Mat(4, 6, CV_32FC3)), DropReason::DecodeFailed, "got 6 x 4, type CV_32FC3");
  GAZE_REQUIRE_REFUSED(gaze::picture(cv::Mat(4, 6, CV_8UC2)), DropReason::DecodeFailed, "type CV_8UC2");
  GAZE_REQUIRE_REFUSED(gaze::picture(cv::Mat()), DropReason::DecodeFailed, "got 0 x 0");
}

CATCH_TEST_CASE("picture: a view shares the tensor's memory and refuses what is laid out otherwise") {
  at::Tensor rgb = gaze::test::noise_picture(4, 6);
  cv::Mat mat = gaze::view(rgb);
  mat.at<cv::Vec3b>(2, 5) = {1, 2, 3};
  CATCH_CHECK(rgb[2][5][1].item<int>() == 2);
  GAZE_REQUIRE_REFUSED(gaze::view(rgb.permute({1, 0, 2})), DropReason::RenderError, "contiguous");
  GAZE_REQUIRE_REFUSED(gaze::view(at::Tensor()), DropReason::RenderError, "undefined");
}

CATCH_TEST_CASE("picture: a JPEG that is drawn much smaller is decoded smaller, and shows the same") {
  cv::Mat bgr(1501, 1999, CV_8UC3);
  for (int y = 0; y < bgr.rows; ++y) {
    for (int x = 0; x < bgr.cols; ++x) {
      const auto wave = [](int at, double period) { return 128 + 100 * std::sin(at / period); };
      bgr.at<cv::Vec3b>(y, x) = {cv::saturate_cast<uchar>(wave(x, 60)), cv::saturate_cast<uchar>(wave(y, 45)),
                                 cv::saturate_cast<uchar>(wave(x + y, 90))};
    }
  }
  const std::string plain = encode(bgr, ".jpg");
  for (const std::string& jpeg : {plain, with_orientation(plain, 6)}) {
    // An eighth, a quarter, half and all of its size are enough.
    for (const int64_t longest : {240, 300, 640, 1280}) {
      const Picture file = Picture::from_bytes(jpeg), pixels(gaze::decode(file));
      CATCH_CAPTURE(longest, pixels.tensor.size(0));
      Drawn of_file, of_pixels;
      for (auto& [picture, drawn] : {std::pair<const Picture&, Drawn&>{file, of_file}, {pixels, of_pixels}}) {
        gaze::AttentionRecord record = gaze::test::planted(6, 10, {17, 3});
        std::get<gaze::PictureMedium>(record.maps[0].medium).picture = picture;
        gaze::RenderOptions options;
        options.format = gaze::ImageFormat::Png;
        options.longest_side_pixels = longest;
        gaze::render(record, options, drawn);
      }
      CATCH_REQUIRE(of_file.overlay_hwc.sizes() == of_pixels.overlay_hwc.sizes());
      const at::Tensor off = (of_file.overlay_hwc.to(at::kInt) - of_pixels.overlay_hwc.to(at::kInt)).abs();
      CATCH_CHECK(off.to(at::kFloat).mean().item<float>() < 1);
      CATCH_CHECK(off.max().item<int>() < 12);
      CATCH_CHECK(of_file.request.at("picture") == of_pixels.request.at("picture"));
      CATCH_CHECK(of_file.request.at("picture").at("width") == pixels.tensor.size(1));
      CATCH_CHECK(of_file.request.at("summary") == of_pixels.request.at("summary"));
    }
  }
}

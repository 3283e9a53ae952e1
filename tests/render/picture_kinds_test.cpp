// SPDX-License-Identifier: MIT
// WebP files with orientation and with several frames, animated PNGs, and files of formats that are not read.
#include <gaze/render/bundle.hpp>
#include <gaze/render/opencv.hpp>

#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <random>

#include "codecs/png/crc32.hpp"
#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::Picture;
using namespace std::string_literals;

std::string low_first(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i);
  return text;
}

std::string riff_chunk(const std::string& name, const std::string& content) {
  return name + low_first(content.size(), 4) + content + (content.size() % 2 == 1 ? "\0"s : ""s);
}

std::string riff(const std::string& content) { return "RIFF" + low_first(content.size() + 4, 4) + "WEBP" + content; }

cv::Mat coloured(int height, int width, int seed) {
  cv::Mat mat(height, width, CV_8UC3);
  cv::RNG random(static_cast<uint64_t>(seed));
  random.fill(mat, cv::RNG::UNIFORM, 0, 256);
  return mat;
}

std::string encoded(const cv::Mat& mat, const char* extension, const std::vector<int>& parameters = {}) {
  std::vector<unsigned char> bytes;
  CATCH_REQUIRE(cv::imencode(extension, mat, bytes, parameters));
  return {bytes.begin(), bytes.end()};
}

/// The chunk of pixels of a lossless (101) or lossy WebP.
std::string pixels_of(const cv::Mat& mat, int quality = 101) {
  const std::string whole = encoded(mat, ".webp", {cv::IMWRITE_WEBP_QUALITY, quality});
  const size_t at = whole.find(quality > 100 ? "VP8L" : "VP8 ");
  CATCH_REQUIRE(at != std::string::npos);
  return whole.substr(at);
}

constexpr int kAnimated = 0x02, kExif = 0x08;

std::string extended(int flags, int width, int height) {
  return riff_chunk("VP8X", low_first(static_cast<uint64_t>(flags), 4) +
                                low_first(static_cast<uint64_t>(width - 1), 3) +
                                low_first(static_cast<uint64_t>(height - 1), 3));
}

std::string frame_of(const std::string& pixels, int left, int top, int width, int height) {
  return riff_chunk("ANMF", low_first(static_cast<uint64_t>(left / 2), 3) +
                                low_first(static_cast<uint64_t>(top / 2), 3) +
                                low_first(static_cast<uint64_t>(width - 1), 3) +
                                low_first(static_cast<uint64_t>(height - 1), 3) + low_first(100, 3) + "\0"s + pixels);
}

const std::string kAnim = riff_chunk("ANIM", std::string(6, '\0'));

std::string tiff(int orientation, bool little, int type = 3) {
  const auto number = [&](uint64_t value, size_t bytes) {
    std::string text = low_first(value, bytes);
    return little ? text : std::string(text.rbegin(), text.rend());
  };
  const size_t width = type == 1 ? 1 : type == 3 ? 2 : 4;
  return (little ? "II"s : "MM"s) + number(42, 2) + number(8, 4) + number(1, 2) + number(0x0112, 2) +
         number(static_cast<uint64_t>(type), 2) + number(1, 4) + number(static_cast<uint64_t>(orientation), width) +
         std::string(4 - width, '\0') + number(0, 4);
}

at::Tensor rgb_of(const cv::Mat& bgr) { return gaze::picture(bgr).tensor; }

at::Tensor decoded(const std::string& bytes) { return gaze::decode(Picture::from_bytes(bytes)); }

/// As PIL's ImageOps.exif_transpose writes them down.
cv::Mat turned(const cv::Mat& stored, int orientation) {
  cv::Mat out = stored.clone();
  if (orientation >= 5 && orientation <= 8) cv::transpose(stored, out);
  const cv::Mat whole = out.clone();
  if (orientation == 2 || orientation == 6) cv::flip(whole, out, 1);
  if (orientation == 3 || orientation == 7) cv::flip(whole, out, -1);
  if (orientation == 4 || orientation == 8) cv::flip(whole, out, 0);
  return out;
}

std::string png_chunk(const std::string& type, const std::string& content) {
  const auto big = [](uint64_t value) {
    const std::string text = low_first(value, 4);
    return std::string(text.rbegin(), text.rend());
  };
  return big(content.size()) + type + content + big(gaze::crc32(type + content));
}

/// What request.json says of a picture given as these bytes.
nlohmann::json picture_told(const std::string& bytes) {
  const gaze::test::TempDir dir;
  gaze::BundleOptions options;
  options.out_dir = dir / "out";
  gaze::AttentionRecord record = gaze::test::planted(3, 4, {1, 5});
  std::get<gaze::PictureMedium>(record.maps[0].medium).picture = Picture::from_bytes(bytes);
  std::string path;
  gaze::BundleSink sink(options);
  sink.on_published([&](const std::string&, const std::string& bundle) { path = bundle; });
  sink.consume(record);
  std::ifstream file(path + "/request.json");
  nlohmann::json picture = nlohmann::json::parse(file).at("picture");
  picture.erase("drawn");  // how large it is drawn is the bundle's
  return picture;
}

}  // namespace

CATCH_TEST_CASE("picture: a WebP with EXIF is turned as a JPEG and a PNG are") {
  const cv::Mat stored = coloured(11, 18, 1);
  const std::string pixels = pixels_of(stored);
  for (int orientation = 0; orientation <= 9; ++orientation) {
    for (const bool little : {false, true}) {
      for (const int type : {1, 3, 4}) {
        CATCH_INFO(orientation << (little ? " low first" : " high first") << ", type " << type);
        const std::string exif = tiff(orientation, little, type);
        const at::Tensor expected = rgb_of(turned(stored, orientation));
        const std::string head = extended(kExif, 18, 11);
        CATCH_CHECK(at::equal(decoded(riff(head + pixels + riff_chunk("EXIF", exif))), expected));
        // Some writers keep the mark that stands before the block in a JPEG; a colour profile and texts stand between.
        CATCH_CHECK(at::equal(decoded(riff(head + riff_chunk("ICCP", "odd") + pixels + riff_chunk("XMP ", "<x/>") +
                                           riff_chunk("EXIF", "Exif\0\0"s + exif))),
                              expected));
      }
    }
  }
  const std::string turned_file = riff(extended(kExif, 18, 11) + pixels + riff_chunk("EXIF", tiff(6, true)));
  Picture as_stored = Picture::from_bytes(turned_file);
  as_stored.apply_exif = false;
  CATCH_CHECK(at::equal(gaze::decode(as_stored), rgb_of(stored)));
  CATCH_CHECK(picture_told(turned_file) == nlohmann::json{{"width", 11}, {"height", 18}});
  // libwebp takes a chunk that the head does not announce for none; so does Pillow.
  CATCH_CHECK(
      at::equal(decoded(riff(extended(0, 18, 11) + pixels + riff_chunk("EXIF", tiff(6, true)))), rgb_of(stored)));
  for (const std::string& odd : {""s, "II"s, "II*\0"s, "junk that is no TIFF"s, tiff(6, true).substr(0, 15)})
    CATCH_CHECK(at::equal(decoded(riff(extended(kExif, 18, 11) + pixels + riff_chunk("EXIF", odd))), rgb_of(stored)));
}

CATCH_TEST_CASE("picture: of an animated WebP the first frame is shown, where it lies, and said") {
  const cv::Mat first = coloured(10, 16, 2), second = coloured(10, 16, 3), small = coloured(4, 6, 4);
  const std::string head = extended(kAnimated, 16, 10) + kAnim;
  const std::string whole = riff(head + frame_of(pixels_of(first), 0, 0, 16, 10) +
                                 frame_of(pixels_of(second), 0, 0, 16, 10) + frame_of(pixels_of(small), 2, 2, 6, 4));
  CATCH_CHECK(at::equal(decoded(whole), rgb_of(first)));
  CATCH_CHECK(picture_told(whole) ==
              nlohmann::json{{"width", 16}, {"height", 10}, {"note", "the first of 3 frames of the file"}});
  // A frame smaller than the canvas: around it nothing was painted yet.
  const std::string part =
      riff(head + frame_of(pixels_of(small), 8, 2, 6, 4) + frame_of(pixels_of(first), 0, 0, 16, 10));
  cv::Mat canvas(10, 16, CV_8UC3, cv::Scalar(0, 0, 0));
  small.copyTo(canvas(cv::Rect(8, 2, 6, 4)));
  CATCH_CHECK(at::equal(decoded(part), rgb_of(canvas)));
  // Lossy, with its alpha in a chunk of its own.
  const cv::Mat smooth(10, 16, CV_8UC3, cv::Scalar(30, 120, 220));
  const std::string lossy = pixels_of(smooth, 90);
  const std::string faded =
      riff(head + frame_of(riff_chunk("ALPH", "\0"s + std::string(160, '\x80')) + lossy, 0, 0, 16, 10));
  CATCH_CHECK(at::equal(decoded(faded), decoded(riff(lossy))));
  CATCH_CHECK(picture_told(faded) == nlohmann::json{{"width", 16}, {"height", 10}});  // one frame is all
  // Turned as a whole.
  const std::string animated_and_turned =
      riff(extended(kAnimated | kExif, 16, 10) + kAnim + frame_of(pixels_of(first), 0, 0, 16, 10) +
           frame_of(pixels_of(second), 0, 0, 16, 10) + riff_chunk("EXIF", tiff(8, false)));
  CATCH_CHECK(at::equal(decoded(animated_and_turned), rgb_of(turned(first, 8))));
}

CATCH_TEST_CASE("picture: an animated WebP whose frame does not fit is refused") {
  const std::string head = extended(kAnimated, 16, 10) + kAnim;
  const std::string pixels = pixels_of(coloured(10, 16, 2));
  const struct {
    const char* what;
    std::string frames;
  } files[] = {{"no frame", ""},
               {"beyond the right", frame_of(pixels, 2, 0, 16, 10)},
               {"beyond the bottom", frame_of(pixels, 0, 2, 16, 10)},
               {"far away", frame_of(pixels, 1 << 24, 1 << 24, 16, 10)},
               {"larger than it says", frame_of(pixels, 0, 0, 8, 10)},
               {"smaller than it says", frame_of(pixels_of(coloured(4, 4, 1)), 0, 0, 16, 10)},
               {"without pixels", frame_of("", 0, 0, 16, 10)},
               {"with a cut head", riff_chunk("ANMF", "1234567")},
               {"whose pixels are none", frame_of(riff_chunk("VP8L", "\x2F\x0F\x40\x02\0junk junk"s), 0, 0, 16, 10)}};
  for (const auto& file : files) {
    CATCH_INFO(file.what);
    GAZE_REQUIRE_REFUSED(decoded(riff(head + file.frames)), DropReason::DecodeFailed, "damaged");
  }
  const std::string whole = riff(head + frame_of(pixels, 0, 0, 16, 10));
  for (size_t length = 0; length < whole.size(); length += 7)
    GAZE_REQUIRE_REFUSED(decoded(whole.substr(0, length)), DropReason::DecodeFailed, "expected");
}

CATCH_TEST_CASE("picture: of an animated PNG its still picture is shown, and said") {
  const cv::Mat still = coloured(7, 9, 5);
  std::string bytes = encoded(still, ".png");
  const size_t data = bytes.find("IDAT") - 4;
  bytes.insert(data, png_chunk("acTL", "\0\0\0\x04\0\0\0\0"s));
  CATCH_CHECK(at::equal(decoded(bytes), rgb_of(still)));
  CATCH_CHECK(picture_told(bytes) ==
              nlohmann::json{{"width", 9}, {"height", 7}, {"note", "the first of 4 frames of the file"}});
}

CATCH_TEST_CASE("picture: a file of a format that is not read is called by its name, with what converts it") {
  const std::string filler(200, '.');
  const struct {
    std::string bytes, name, fix;
  } files[] = {
      {"GIF89a", "a GIF", "convert 'FILE[0]' photo.png"},
      {"GIF87a", "a GIF", "convert 'FILE[0]' photo.png"},
      {"BM\x36\0\0\0"s, "a BMP", "convert FILE photo.png"},
      {"II*\0\x08\0\0\0"s, "a TIFF", "convert 'FILE[0]' photo.png"},
      {"MM\0*\0\0\0\x08"s, "a TIFF", "convert 'FILE[0]' photo.png"},
      {"II+\0\x08\0\0\0"s, "a BigTIFF", "convert"},
      {"\0\0\0\x1C"
       "ftypheic"s,
       "a HEIC", "heif-convert FILE photo.png"},
      {"\0\0\0\x1C"
       "ftyphevc"s,
       "a HEIC", "heif-convert"},
      {"\0\0\0\x1C"
       "ftypmif1"s,
       "a HEIF", "heif-convert"},
      {"\0\0\0\x1C"
       "ftypavif"s,
       "an AVIF", "heif-convert"},
      {"\0\0\0\x1C"
       "ftypavis"s,
       "an animated AVIF", "heif-convert"},
      {"\0\0\0\x18"
       "ftypmp42"s,
       "a video", "ffmpeg"},
      {"\x1A\x45\xDF\xA3", "a video", "ffmpeg"},
      {"RIFF....AVI LIST", "a video", "ffmpeg"},
      {"\0\0\0\x0CjP  \r\n\x87\n"s, "a JPEG 2000", "convert"},
      {"\xFF\x4F\xFF\x51", "a JPEG 2000", "convert"},
      {"\xFF\x0A", "a JPEG XL", "djxl"},
      {"\0\0\0\x0CJXL \r\n\x87\n"s, "a JPEG XL", "djxl"},
      {"P6\n3 3\n255\n", "a PNM", "convert"},
      {"P5 3 3 255 ", "a PNM", "convert"},
      {"8BPS\0\1"s, "a Photoshop file", "convert"},
      {"%PDF-1.7\n", "a PDF", "pdftoppm"},
      {"\x93NUMPY\1\0"s, "a NumPy array", "tensor"},
      {"PK\x03\x04", "a ZIP archive", "tensor"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer", "git lfs pull"},
      {"<!DOCTYPE html><html>", "a page of HTML or XML", "own file"},
      {"<svg xmlns=", "an SVG drawing", "rsvg-convert"},
      {"\xEF\xBB\xBF <?xml version=\"1.0\"?><svg ", "an SVG drawing", "rsvg-convert"},
      {"data:image/png;base64,iVBOR", "a data URL", "base64"},
      {"nothing of all this", "something else", "as a tensor"},
  };
  for (const auto& file : files) {
    const std::string bytes = file.bytes + filler;
    const std::string text =
        "expected a JPEG, PNG or WebP image, got " + std::to_string(bytes.size()) + " bytes of " + file.name;
    CATCH_INFO(text);
    GAZE_REQUIRE_REFUSED(decoded(bytes), DropReason::DecodeFailed, text);
    GAZE_REQUIRE_REFUSED(decoded(bytes), DropReason::DecodeFailed, file.fix);
  }
  // Cut within the marks.
  for (const auto& file : files) {
    for (size_t length = 1; length < 12; ++length)
      GAZE_REQUIRE_REFUSED(decoded(file.bytes.substr(0, length)), DropReason::DecodeFailed, "expected");
  }
}

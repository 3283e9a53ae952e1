// SPDX-License-Identifier: MIT
// Image files that lie, and those that only look odd: decoded or refused, and nothing printed either way.
#include <fcntl.h>
#include <unistd.h>
#include <gaze/render/opencv.hpp>

#include <functional>
#include <opencv2/imgcodecs.hpp>
#include <random>

#include "codecs/png/adler32.hpp"
#include "codecs/png/crc32.hpp"
#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::Picture;
using namespace std::string_literals;

std::string big_endian(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string chunk(const std::string& type, const std::string& content) {
  return big_endian(content.size(), 4) + type + content + big_endian(gaze::crc32(type + content), 4);
}

/// zlib without compression.
std::string stored(const std::string& raw) {
  std::string out = "\x78\x01";
  size_t at = 0;
  do {
    const size_t length = std::min<size_t>(raw.size() - at, 65535);
    const bool last = at + length == raw.size();
    out += static_cast<char>(last);
    for (const size_t value : {length, ~length}) out += {static_cast<char>(value), static_cast<char>(value >> 8)};
    out += raw.substr(at, length);
    at += length;
  } while (at < raw.size());
  gaze::Adler sum;
  sum.add(reinterpret_cast<const uint8_t*>(raw.data()), raw.size());
  return out + big_endian(sum.value(), 4);
}

struct Png {
  int width = 13, height = 9, depth = 8, colours = 2;
  bool interlaced = false;

  [[nodiscard]] size_t bits() const {
    const int channels = colours == 2 ? 3 : colours == 4 ? 2 : colours == 6 ? 4 : 1;
    return static_cast<size_t>(channels * depth);
  }
  [[nodiscard]] std::string header() const {
    return big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) + static_cast<char>(colours) +
           "\0\0"s + static_cast<char>(interlaced);
  }
  /// Filtered rows of random pixels, pass by pass.
  [[nodiscard]] std::string rows(std::mt19937& random) const {
    struct Pass {
      int left, top, right, down;
    };
    const std::vector<Pass> passes = interlaced
                                         ? std::vector<Pass>{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                                             {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
                                         : std::vector<Pass>{{0, 0, 1, 1}};
    std::string raw;
    for (const Pass& pass : passes) {
      const int columns = (width - pass.left + pass.right - 1) / pass.right;
      const int lines = (height - pass.top + pass.down - 1) / pass.down;
      for (int y = 0; columns > 0 && y < lines; ++y) {
        raw += static_cast<char>(random() % 5);
        for (size_t i = 0; i < (static_cast<size_t>(columns) * bits() + 7) / 8; ++i) raw += static_cast<char>(random());
      }
    }
    return raw;
  }
};

const std::string kSignature = "\x89PNG\r\n\x1A\n";

std::string palette(size_t entries) {
  std::string colours;
  for (size_t i = 0; i < 3 * entries; ++i) colours += static_cast<char>(37 * i);
  return chunk("PLTE", colours);
}

/// `between` lies before the pixels.
std::string file_of(const Png& png, const std::string& zlib, const std::string& between = {}) {
  return kSignature + chunk("IHDR", png.header()) + between + chunk("IDAT", zlib) + chunk("IEND", "");
}

at::Tensor by_opencv(const std::string& bytes) {
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
  const cv::Mat bgr = cv::imdecode(encoded, cv::IMREAD_COLOR);
  CATCH_REQUIRE_FALSE(bgr.empty());
  return gaze::picture(bgr).tensor;
}

std::string encode(const cv::Mat& mat, const char* extension, const std::vector<int>& parameters = {}) {
  std::vector<unsigned char> bytes;
  CATCH_REQUIRE(cv::imencode(extension, mat, bytes, parameters));
  return {bytes.begin(), bytes.end()};
}

cv::Mat noise(int height, int width, int type = CV_8UC3) {
  cv::Mat mat(height, width, type);
  cv::randu(mat, 0, 255);
  return mat;
}

/// All that the process writes to its standard output and standard error while it lives.
class Overheard {
 public:
  Overheard() {
    std::fflush(nullptr);
    file_ = ::open(dir_.path().c_str(), O_TMPFILE | O_RDWR, 0600);
    CATCH_REQUIRE(file_ >= 0);
    for (const int fd : {1, 2}) {
      kept_[fd - 1] = ::dup(fd);
      ::dup2(file_, fd);
    }
  }
  ~Overheard() { (void)text(); }
  Overheard(const Overheard&) = delete;
  Overheard& operator=(const Overheard&) = delete;
  /// Ends it.
  std::string text() {
    if (file_ < 0) return {};
    std::fflush(nullptr);
    for (const int fd : {1, 2}) {
      ::dup2(kept_[fd - 1], fd);
      ::close(kept_[fd - 1]);
    }
    std::string all(static_cast<size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    const ssize_t got = ::pread(file_, all.data(), all.size(), 0);
    all.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    ::close(file_);
    file_ = -1;
    return all;
  }

 private:
  gaze::test::TempDir dir_;
  int file_ = -1, kept_[2] = {};
};

/// Whether `bytes` were decoded; what else is thrown than DecodeFailed ends the test.
bool decodes(const std::string& bytes) {
  const auto refused = gaze::test::refusal([&] { gaze::decode(Picture::from_bytes(bytes)); });
  if (refused && refused->reason != DropReason::DecodeFailed) throw std::runtime_error(refused->text);
  return !refused;
}

}  // namespace

CATCH_TEST_CASE("picture: PNGs of every kind have the pixels that OpenCV finds in them") {
  std::mt19937 random(3);
  const std::pair<int, std::vector<int>> kinds[] = {
      {0, {1, 2, 4, 8, 16}}, {2, {8, 16}}, {3, {1, 2, 4, 8}}, {4, {8, 16}}, {6, {8, 16}}};
  for (const auto& [colours, depths] : kinds) {
    for (const int depth : depths) {
      for (const bool interlaced : {false, true}) {
        CATCH_INFO("colour type " << colours << ", " << depth << " bits, interlaced " << interlaced);
        for (const auto& [width, height] : {std::pair<int, int>{13, 9}, {1, 1}, {2, 7}, {33, 4}}) {
          Png png{width, height, depth, colours, interlaced};
          const std::string between = colours == 3 ? palette(size_t{1} << depth) : std::string();
          const std::string bytes = file_of(png, stored(png.rows(random)), between);
          CATCH_CHECK(at::equal(gaze::decode(Picture::from_bytes(bytes)), by_opencv(bytes)));
          const std::string half = colours == 3 ? "\0\x80"s : std::string(colours == 2 ? 6 : 2, '\0');
          if (colours >= 4) continue;
          const std::string clear = file_of(png, stored(png.rows(random)), between + chunk("tRNS", half));
          CATCH_CHECK(at::equal(gaze::decode(Picture::from_bytes(clear)), by_opencv(clear)));
        }
      }
    }
  }
}

CATCH_TEST_CASE("picture: JPEGs of every kind have the pixels that OpenCV finds in them") {
  for (const int type : {CV_8UC1, CV_8UC3}) {
    for (const int progressive : {0, 1}) {
      for (const int restart : {0, 3}) {
        const std::string bytes = encode(noise(37, 51, type), ".jpg",
                                         {cv::IMWRITE_JPEG_PROGRESSIVE, progressive, cv::IMWRITE_JPEG_RST_INTERVAL,
                                          restart, cv::IMWRITE_JPEG_QUALITY, 80});
        CATCH_CHECK(at::equal(gaze::decode(Picture::from_bytes(bytes)), by_opencv(bytes)));
      }
    }
  }
}

CATCH_TEST_CASE("picture: every orientation that EXIF knows is undone, in JPEG and PNG") {
  const auto tiff = [](bool little, int orientation) {
    const std::string value =
        little ? std::string{static_cast<char>(orientation), 0} : std::string{0, static_cast<char>(orientation)};
    return little ? "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"s + value + "\0\0\0\0\0\0"s
                  : "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"s + value + "\0\0\0\0\0\0"s;
  };
  std::mt19937 random(5);
  const Png png;
  const std::string rows = stored(png.rows(random));
  const std::string jpeg = encode(noise(16, 24), ".jpg");
  for (int orientation = 0; orientation <= 9; ++orientation) {
    for (const bool little : {false, true}) {
      CATCH_INFO(orientation << (little ? " little-endian" : " big-endian"));
      const std::string exif = tiff(little, orientation);
      const std::string as_png = file_of(png, rows, chunk("eXIf", exif));
      CATCH_CHECK(at::equal(gaze::decode(Picture::from_bytes(as_png)), by_opencv(as_png)));
      const std::string segment = "Exif\0\0"s + exif;
      const std::string as_jpeg =
          jpeg.substr(0, 2) + "\xFF\xE1" + big_endian(segment.size() + 2, 2) + segment + jpeg.substr(2);
      CATCH_CHECK(at::equal(gaze::decode(Picture::from_bytes(as_jpeg)), by_opencv(as_jpeg)));
    }
  }
}

CATCH_TEST_CASE("picture: what these tests listen for is heard") {
  Overheard overheard;
  CATCH_REQUIRE(::write(2, "loud", 4) == 4);
  std::printf(" and clear");
  CATCH_CHECK(overheard.text() == "loud and clear");
}

CATCH_TEST_CASE("picture: a PNG whose chunks are odd is drawn or refused, and nothing is printed") {
  std::mt19937 random(9);
  const Png rgb, indexed{13, 9, 8, 3};
  const std::string rows = rgb.rows(random), indices = indexed.rows(random);
  std::string broken_sum = stored(rows);
  broken_sum.back() ^= 1;
  std::string no_filter = rows;
  no_filter[0] = 7;
  std::string not_deflate = stored(rows);
  not_deflate[2] = 6;
  const struct {
    const char* what;
    std::string bytes;
    bool drawn;
  } files[] = {
      {"an odd colour profile", file_of(rgb, stored(rows), chunk("iCCP", std::string(10, '\0'))), true},
      {"a profile that is none", file_of(rgb, stored(rows), chunk("iCCP", "name\0\0"s + stored("profile"))), true},
      {"a text that is not compressed", file_of(rgb, stored(rows), chunk("zTXt", "key\0\0garbage"s)), true},
      {"no gamma", file_of(rgb, stored(rows), chunk("gAMA", std::string(4, '\0'))), true},
      {"a short gamma", file_of(rgb, stored(rows), chunk("gAMA", "\1")), true},
      {"two colour spaces", file_of(rgb, stored(rows), chunk("sRGB", "\0"s) + chunk("sRGB", "\x09")), true},
      {"an EXIF block of nothing", file_of(rgb, stored(rows), chunk("eXIf", "junk")), true},
      {"a chunk nobody knows", file_of(rgb, stored(rows), chunk("quUx", "?")), true},
      {"a needed chunk nobody knows", file_of(rgb, stored(rows), chunk("QUUX", "?")), false},
      {"transparency of another kind", file_of(rgb, stored(rows), chunk("tRNS", "\1")), true},
      {"too many rows", file_of(rgb, stored(rows + rows)), true},
      {"bytes behind the pixels", file_of(rgb, stored(rows) + "more"), true},
      {"too few rows", file_of(rgb, stored(rows.substr(0, rows.size() / 2))), false},
      {"no pixels", file_of(rgb, ""), false},
      {"pixels with a wrong sum", file_of(rgb, broken_sum), false},
      {"a filter that does not exist", file_of(rgb, stored(no_filter)), false},
      {"no deflate stream", file_of(rgb, not_deflate), false},
      {"no palette", file_of(indexed, stored(indices)), false},
      {"a palette of 4 of 256", file_of(indexed, stored(indices), palette(4)), true},
      {"a palette of no whole colour", file_of(indexed, stored(indices), chunk("PLTE", "ab")), false},
      {"two palettes", file_of(indexed, stored(indices), palette(256) + palette(256)), false},
      {"two headers", file_of(rgb, stored(rows), chunk("IHDR", rgb.header())), false},
      {"a depth that does not exist", file_of({13, 9, 3, 2}, stored(rows)), false},
      {"a colour type that does not exist", file_of({13, 9, 8, 5}, stored(rows)), false},
      {"no chunk of pixels", kSignature + chunk("IHDR", rgb.header()) + chunk("IEND", ""), false},
      {"the end first", kSignature + chunk("IHDR", rgb.header()) + chunk("IEND", "") + chunk("IDAT", stored(rows)),
       false},
  };
  for (const auto& file : files) {
    CATCH_INFO(file.what);
    Overheard overheard;
    const bool drawn = decodes(file.bytes);
    CATCH_CHECK(overheard.text().empty());
    CATCH_CHECK(drawn == file.drawn);
  }
}

CATCH_TEST_CASE("picture: whatever a file holds, it is drawn or refused, and nothing is printed") {
  std::mt19937 random(11);
  const Png rgb{64, 48, 8, 2}, indexed{64, 48, 4, 3, true};
  const std::vector<std::pair<const char*, std::string>> files = {
      {"PNG", file_of(rgb, stored(rgb.rows(random)), chunk("gAMA", "\0\0\xB1\x8F"s))},
      {"indexed PNG", file_of(indexed, stored(indexed.rows(random)), palette(16))},
      {"JPEG", encode(noise(48, 64), ".jpg")},
      {"gray JPEG", encode(noise(48, 64, CV_8UC1), ".jpg")},
      {"progressive JPEG", encode(noise(48, 64), ".jpg", {cv::IMWRITE_JPEG_PROGRESSIVE, 1})},
      {"WebP", encode(noise(48, 64), ".webp", {cv::IMWRITE_WEBP_QUALITY, 80})},
      {"lossless WebP", encode(noise(48, 64), ".webp", {cv::IMWRITE_WEBP_QUALITY, 101})}};
  for (const auto& [what, bytes] : files) {
    CATCH_INFO(what);
    Overheard overheard;
    int64_t drawn = 0;
    for (int i = 0; i < 2000; ++i) {
      std::string damaged = bytes;
      const size_t changes = 1 + random() % 4;
      for (size_t c = 0; c < changes; ++c) {
        // Headers as often as pixels.
        const size_t reach = random() % 2 == 0 ? std::min<size_t>(damaged.size(), 200) : damaged.size();
        damaged[random() % reach] = static_cast<char>(random());
      }
      if (random() % 4 == 0) damaged.erase(random() % damaged.size(), 1 + random() % 40);
      if (damaged.starts_with(kSignature)) {
        // Checksums as they must be, or no chunk would be read at all.
        for (size_t at = 8; at + 12 <= damaged.size();) {
          const size_t length = static_cast<size_t>(static_cast<unsigned char>(damaged[at + 2])) << 8 |
                                static_cast<unsigned char>(damaged[at + 3]);
          if (damaged[at] != 0 || damaged[at + 1] != 0 || length > damaged.size() - at - 12) break;
          damaged.replace(at + 8 + length, 4, big_endian(gaze::crc32(damaged.substr(at + 4, length + 4)), 4));
          at += 12 + length;
        }
      }
      drawn += decodes(damaged) ? 1 : 0;
    }
    const std::string text = overheard.text();
    CATCH_CHECK(text.substr(0, 300) == "");
    CATCH_CHECK(drawn < 2000);
  }
}

CATCH_TEST_CASE("picture: a JPEG that would be gone over without end is refused") {
  const std::string bytes = encode(noise(48, 64), ".jpg", {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  const size_t last = bytes.rfind("\xFF\xDA");
  std::string many = bytes.substr(0, bytes.size() - 2);
  for (int i = 0; i < 200; ++i) many += bytes.substr(last, bytes.size() - 2 - last);
  many += bytes.substr(bytes.size() - 2);
  GAZE_REQUIRE_REFUSED(gaze::decode(Picture::from_bytes(many)), DropReason::DecodeFailed,
                       "expected at most 100 scans, got 2");
}

// SPDX-License-Identifier: MIT
// Text of any script: against HarfBuzz called on its own, and against what the bidirectional algorithm says in words.
#include <hb-ot.h>
#include <sys/resource.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <new>
#include <thread>

#include "page/text_part.hpp"
#include "records.hpp"
#include "texts.hpp"

namespace {

using gaze::test::repeated;
using Codes = std::vector<uint32_t>;

constexpr const char* kDejaVu = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
constexpr const char* kPrivate = "\xF3\xB0\x80\x80";  // U+F0000, which no font has

const gaze::text::TextPart& part() {
  // Beside the library of a function of its own.
  const char* (*const own)(gaze::DropReason) noexcept = &gaze::name;
  static const auto opened = gaze::ops::open_part<gaze::text::TextPart>(reinterpret_cast<const void*>(own));
  CATCH_INFO(opened.problem);
  CATCH_REQUIRE(opened.table != nullptr);
  return *opened.table;
}

bool has_fonts() { return std::filesystem::exists(kDejaVu); }

struct Drawn {
  static constexpr int kHeight = 37, kWidth = 301;
  std::vector<uint8_t> rgb = std::vector<uint8_t>(size_t{kHeight} * kWidth * 3, 250);
  [[nodiscard]] std::array<uint8_t, 3> at(int y, int x) const {
    const uint8_t* pixel = rgb.data() + (size_t{kWidth} * static_cast<size_t>(y) + static_cast<size_t>(x)) * 3;
    return {pixel[0], pixel[1], pixel[2]};
  }
  [[nodiscard]] int inked() const {
    int count = 0;
    for (int y = 0; y < kHeight; ++y)
      for (int x = 0; x < kWidth; ++x) count += at(y, x) != std::array<uint8_t, 3>{250, 250, 250};
    return count;
  }
};

Drawn draw(const std::string& line, int left = 5, int baseline = 26) {
  Drawn drawn;
  part().draw({drawn.rgb.data(), Drawn::kHeight, Drawn::kWidth, int64_t{Drawn::kWidth} * 3}, line, left, baseline,
              {13, 1, {20, 30, 200}});
  return drawn;
}

/// HarfBuzz alone, which tells script and direction by itself; a line of one script, in 1/64 pixel.
int64_t width_by_harfbuzz(const std::string& line, double size) {
  hb_blob_t* const file = hb_blob_create_from_file(kDejaVu);
  hb_face_t* const face = hb_face_create(file, 0);
  hb_font_t* const font = hb_font_create(face);
  const auto em = static_cast<int>(std::llround(64 * size / 0.72));
  hb_font_set_scale(font, em, em);
  hb_buffer_t* const buffer = hb_buffer_create();
  hb_buffer_add_utf8(buffer, line.data(), static_cast<int>(line.size()), 0, -1);
  hb_buffer_guess_segment_properties(buffer);
  hb_shape(font, buffer, nullptr, 0);
  unsigned count = 0;
  const hb_glyph_position_t* const places = hb_buffer_get_glyph_positions(buffer, &count);
  int64_t width = 0;
  for (unsigned g = 0; g < count; ++g) width += places[g].x_advance;
  hb_buffer_destroy(buffer);
  hb_font_destroy(font);
  hb_face_destroy(face);
  hb_blob_destroy(file);
  return width;
}

int64_t width_64th(const std::string& line, double size) { return std::llround(64 * part().width(line, size)); }

/// In the order given, whatever the script: between "left-to-right override" and its end.
std::string as_it_stands(const std::string& text) { return "\xE2\x80\xAD" + text + "\xE2\x80\xAC"; }

size_t bytes_of(const std::vector<gaze::text::Cluster>& clusters) {
  size_t bytes = 0;
  for (const auto& cluster : clusters) bytes += cluster.bytes;
  return bytes;
}

gaze::AttentionRecord record_of(const std::vector<std::string>& words) {
  std::vector<int64_t> hot;
  for (size_t w = 0; w < words.size(); ++w) hot.push_back(static_cast<int64_t>(w % 12));
  gaze::AttentionRecord record = gaze::test::planted(3, 4, hot);
  record.labels = words;
  return record;
}

at::Tensor sheet_of(const gaze::AttentionRecord& record) {
  const gaze::test::TempDir dir;
  gaze::BundleSink sink(gaze::test::all_pictures_in(dir / "out"));
  std::string bundle;
  sink.on_published([&](const std::string& /*id*/, const std::string& path) { bundle = path; });
  sink.consume(record);
  return gaze::decode(bundle + "/sheet.png");
}

}  // namespace

CATCH_TEST_CASE("text: a line is as wide as HarfBuzz says") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  for (const char* line : {"žluťoučký", "Łódź", "офис", "Съешь", "Ελληνικά", "ώ", "العربية", "بيت", "لا", "שלום",
                           "שָׁלוֹם", "e\xCC\x81\xCC\xA3", "\xCC\x81", "Ж\xCC\x81"}) {
    CATCH_INFO(line);
    for (const double size : {9.0, 10.5, 13.0}) CATCH_CHECK(width_64th(line, size) == width_by_harfbuzz(line, size));
    int64_t sum = 0;
    for (const auto& cluster : part().clusters(line, 13)) sum += cluster.advance_64th;
    CATCH_CHECK(sum == width_by_harfbuzz(line, 13));
    CATCH_CHECK(part().without_glyph(line).empty());
    CATCH_CHECK(draw(line).inked() > 5);
  }
  // Letters join: apart, by a non-joiner between them, they have another width.
  CATCH_CHECK(width_64th("بيت", 13) != width_64th("ب\xE2\x80\x8Cي\xE2\x80\x8Cت", 13));
  CATCH_CHECK(width_64th("لا", 13) < width_64th("ل\xE2\x80\x8C"
                                                "ا",
                                                13));
  CATCH_CHECK(part().clusters("لا", 13).size() == 1);
  CATCH_CHECK(width_64th("", 13) == 0);
}

CATCH_TEST_CASE("text: what is written from right to left is drawn so, numbers and Latin words in it are not") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const std::pair<const char*, const char*> orders[] = {{"אבג", "גבא"},
                                                        {"abc אב", "abc בא"},
                                                        {"abc אב 123", "abc 123 בא"},
                                                        {"אב abc", "abc בא"},
                                                        {"אב 12,5 גד", "דג 12,5 בא"},
                                                        {"א(ב)", "(ב)א"},
                                                        {"abc (אב) def", "abc (בא) def"},
                                                        {"אב: 7%", "7% :בא"}};
  for (const auto& [text, seen] : orders) {
    CATCH_INFO(text);
    CATCH_CHECK(draw(text).rgb == draw(as_it_stands(seen)).rgb);
    CATCH_CHECK(draw(text).rgb != draw(as_it_stands(text)).rgb);
  }
  // Arabic: digits behind it stand to its left, and it keeps its joins.
  const int64_t word = width_by_harfbuzz("عربي", 13);
  CATCH_CHECK(width_64th("abc عربي 123", 13) == width_by_harfbuzz("abc ", 13) + word + width_by_harfbuzz(" 123", 13));
}

CATCH_TEST_CASE("text: a character that no font has is a box, and nothing else is lost") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const std::string lost = kPrivate;
  CATCH_CHECK(part().without_glyph("ж" + lost + "a" + lost + "\xF3\xB0\x80\x81 \xE2\x80\x8D") ==
              Codes{0xF0000, 0xF0001});
  CATCH_CHECK(part().without_glyph("ж a\xE2\x80\x8D\xC2\xA0\xEF\xB8\x8F").empty());
  CATCH_CHECK(part().without_glyph("").empty());
  const Drawn box = draw(lost, 10, 26);
  // A frame of one pixel, 13 high: its four sides are ink, its inside is paper.
  const auto is_ink = [&](int y, int x) { return box.at(y, x) == std::array<uint8_t, 3>{20, 30, 200}; };
  int left = 0, right = Drawn::kWidth - 1;
  while (left < Drawn::kWidth && !is_ink(20, left)) ++left;
  while (right > 0 && !is_ink(20, right)) --right;
  CATCH_REQUIRE(right - left >= 8);
  const int width = right - left + 1;
  for (int y = 13; y < 26; ++y) CATCH_CHECK((is_ink(y, left) && is_ink(y, right)));
  for (int x = left; x <= right; ++x) CATCH_CHECK((is_ink(13, x) && is_ink(25, x)));
  CATCH_CHECK(box.inked() == 2 * width + 2 * 11);
  // The rest of the line stands where it would without it.
  const Drawn before = draw("жук", 5), whole = draw("жук" + lost, 5);
  const int end = 5 + static_cast<int>(part().width("жук", 13));
  for (int y = 0; y < Drawn::kHeight; ++y)
    for (int x = 0; x < end; ++x) CATCH_REQUIRE(before.at(y, x) == whole.at(y, x));
  CATCH_CHECK(width_64th(lost + lost + "жук", 13) == 2 * width_64th(lost, 13) + width_64th("жук", 13));
}

CATCH_TEST_CASE("text: marks and bytes that are no text") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  CATCH_CHECK(draw("caf\xC3\xA9").rgb == draw("cafe\xCC\x81").rgb);
  CATCH_CHECK(draw("\xFF").rgb == draw("\xEF\xBF\xBD").rgb);
  CATCH_CHECK(draw("ж\nж\tж\xC2\x85ж").rgb == draw("ж ж ж ж").rgb);
  const std::string eight = "ж" + repeated("\xCC\x81", 16);
  CATCH_CHECK(draw(eight + repeated("\xCC\x81", 4000)).rgb == draw(eight).rgb);
  for (const std::string text : {"", "\xFF\xC3", "ж\xD0", "\xED\xA0\x80", "\xF0\x9F\x98", "a\xCC\x81\xCC\x81 \xFFж"}) {
    CATCH_CHECK(bytes_of(part().clusters(text, 13)) == text.size());
  }
  // What lies off the picture is cut, on every side.
  const Drawn whole = draw("Жук"), shifted = draw("Жук", -4, 26), up = draw("Жук", 5, 20);
  for (int y = 0; y < Drawn::kHeight; ++y)
    for (int x = 9; x < Drawn::kWidth; ++x) CATCH_REQUIRE(whole.at(y, x) == shifted.at(y, x - 9));
  for (int y = 6; y < Drawn::kHeight; ++y) CATCH_REQUIRE(whole.at(y, 9) == up.at(y - 6, 9));
  CATCH_CHECK(draw("Жук", 5, -40).inked() == 0);
  CATCH_CHECK(draw("Жук", 5, 90).inked() == 0);
  CATCH_CHECK(draw("Жук", -900, 26).inked() == 0);
  CATCH_CHECK(draw("Жук", 302, 26).inked() == 0);
}

CATCH_TEST_CASE("text: a text of any length costs what is read of it, and looks as its beginning") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  auto long_texts = gaze::test::hard_texts(1 << 20), short_texts = gaze::test::hard_texts(40 << 10);
  for (const char* unit : {"ж", "عر", "שלום ", "\xE2\x80\x8D", "\xE2\x80\xAE", "\xE2\x81\xA6", kPrivate}) {
    long_texts.emplace_back(unit, repeated(unit, 1 << 20));
    short_texts.emplace_back(unit, repeated(unit, 40 << 10));
  }
  for (size_t i = 0; i < long_texts.size(); ++i) {
    CATCH_INFO(long_texts[i].first);
    const std::string &text = long_texts[i].second, &beginning = short_texts[i].second;
    CATCH_CHECK(draw(text).rgb == draw(beginning).rgb);
    CATCH_CHECK(part().width(text, 13) == part().width(beginning, 13));
    const auto clusters = part().clusters(text, 13);
    CATCH_CHECK(clusters.size() <= gaze::text::kMostCharacters);
    CATCH_CHECK(bytes_of(clusters) <= 4 * gaze::text::kMostCharacters);
    CATCH_CHECK(part().without_glyph(text) == part().without_glyph(beginning));
  }
}

CATCH_TEST_CASE("text: other scripts, where a font has them") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const std::map<std::string, size_t> clusters = {{"क्षत्रिय", 3},   {"น้ำใจ", 3},   {"中文天气", 4},
                                                  {"カタカナ", 4}, {"한국어", 3}, {"😀", 1}};
  size_t shown = 0;
  for (const auto& [word, count] : clusters) {
    CATCH_INFO(word);
    if (!part().without_glyph(word).empty()) continue;
    ++shown;
    CATCH_CHECK(part().clusters(word, 13).size() == count);
    CATCH_CHECK(draw(word).inked() > 40);
  }
  if (part().without_glyph("中文").empty()) {
    const auto breaks = part().clusters("中文，天「气", 13);
    const std::vector<bool> wanted = {false, true, false, true, true, false};
    CATCH_REQUIRE(breaks.size() == wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) CATCH_CHECK(breaks[i].breaks_before == wanted[i]);
  }
  if (std::filesystem::exists("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")) {
    const Drawn drawn = draw("😀");
    int yellow = 0;
    for (int y = 0; y < Drawn::kHeight; ++y) {
      for (int x = 0; x < Drawn::kWidth; ++x) {
        const auto [r, g, b] = drawn.at(y, x);
        yellow += r > 200 && g > 150 && b < 120;
      }
    }
    CATCH_CHECK(yellow > 50);
    // A family, a flag, a skin: each is one picture.
    for (const char* one : {"👨‍👩‍👧", "🇩🇪", "👍🏽"})
      CATCH_CHECK(width_64th(one, 13) == width_64th("😀", 13));
  }
  if (shown < clusters.size())
    GAZE_SKIP("a font for some of Devanagari, Thai, Chinese, Japanese, Korean, emoji is not installed");
}

CATCH_TEST_CASE("text: threads draw what one draws") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const Drawn wanted = draw("Жук عربي 7");
  std::vector<std::thread> threads;
  std::array<int, 4> same{};
  const gaze::text::TextPart& opened = part();
  for (int& mine : same) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        Drawn drawn;
        opened.draw({drawn.rgb.data(), Drawn::kHeight, Drawn::kWidth, int64_t{Drawn::kWidth} * 3}, "Жук عربي 7", 5, 26,
                    {13, 1, {20, 30, 200}});
        mine += drawn.rgb == wanted.rgb;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CATCH_CHECK(same == std::array<int, 4>{50, 50, 50, 50});
}

CATCH_TEST_CASE("text: a sheet names its boxes once") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const std::string lost = kPrivate;
  const int64_t without = sheet_of(record_of({"жук", "five"})).size(0);
  // One line more, however many there are.
  CATCH_CHECK(sheet_of(record_of({"жук" + lost, "five"})).size(0) == without + 21);
  CATCH_CHECK(sheet_of(record_of({lost + lost + "\xF3\xB0\x80\x81", lost})).size(0) == without + 21);
  gaze::AttentionRecord record = record_of({"жук", "five"});
  record.prompt = "что";
  const int64_t prompted = sheet_of(record).size(0);
  record.prompt = "что" + lost;
  CATCH_CHECK(sheet_of(record).size(0) == prompted + 21);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
CATCH_TEST_CASE("text: without memory a line is refused, and the next one is drawn") {
  if (!has_fonts()) GAZE_SKIP("fonts-dejavu-core is not installed");
  const double wanted = part().width("Жук", 13);
  rlimit before{};
  CATCH_REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  std::vector<std::unique_ptr<char[]>> taken;  // what malloc keeps
  taken.reserve(10'000);
  rlimit none = before;
  none.rlim_cur = size_t{1} << 20;
  CATCH_REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
  try {
    while (taken.size() < taken.capacity()) taken.emplace_back(new char[size_t{1} << 20]);
  } catch (const std::bad_alloc&) {
  }
  bool refused = false;
  try {
    (void)part().width("Жук", 13);
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  CATCH_REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  taken.clear();
  CATCH_CHECK(refused);
  CATCH_CHECK(part().width("Жук", 13) == wanted);
}
#endif

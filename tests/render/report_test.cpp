// SPDX-License-Identifier: MIT
// report.html as it is written; how it looks and works: tests/browser.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/overlay.hpp>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/base64.hpp"
#include "page_file.hpp"
#include "sounds.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::test::data_of;
using gaze::test::data_text;
using gaze::test::decoded;
using gaze::test::kDataBegin;
using gaze::test::kDataEnd;
using gaze::test::planted;
using gaze::test::planted_sound;
using nlohmann::json;

class Files : public gaze::Artifacts {
 public:
  std::map<std::string, std::string> files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace(name, bytes); }
};

std::map<std::string, std::string> files_of(const AttentionRecord& record, const gaze::RenderOptions& options = {}) {
  Files kept;
  gaze::render(record, options, kept);
  return kept.files;
}

std::vector<double> row_of(const json& row) {
  std::vector<double> values;
  for (const char byte : decoded(row.at("bytes")))
    values.push_back(static_cast<uint8_t>(byte) / 255.0 * row.at("most").get<double>());
  return values;
}

}  // namespace

CATCH_TEST_CASE("report: base64 of any length is read back") {
  CATCH_CHECK(gaze::base64("") == "");
  CATCH_CHECK(gaze::base64("f") == "Zg==");  // RFC 4648, section 10
  CATCH_CHECK(gaze::base64("fo") == "Zm8=");
  CATCH_CHECK(gaze::base64("foobar") == "Zm9vYmFy");
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    CATCH_REQUIRE(decoded(gaze::base64(bytes)) == bytes);
    bytes += static_cast<char>(i * 37 % 256);
  }
}

CATCH_TEST_CASE("report: the page holds what request.json says, and the maps to half a step of a byte") {
  AttentionRecord record = planted(6, 10, {3, 17, 42}, 600, 1601);
  record.labels = {" a", " red", " ball"};
  auto files = files_of(record);
  const json data = data_of(files.at("report.html"));
  CATCH_CHECK(data.at("request") == json::parse(files.at("request.json")));
  CATCH_REQUIRE(data.at("maps").size() == 1);
  const json& map = data.at("maps").at(0);
  CATCH_CHECK(map.at("medium") == "picture");
  const gaze::Composition composition = gaze::compose(record);
  for (const auto& [name, want_wc] : {std::pair{"shown", composition.shown_wc}, {"lift", composition.lift_wc}}) {
    CATCH_REQUIRE(map.at(name).size() == 4);  // the whole answer first
    for (int64_t w = 0; w < 3; ++w) {
      const std::vector<double> got = row_of(map.at(name).at(static_cast<size_t>(w) + 1));
      const double most = want_wc[w].max().item<double>();
      CATCH_REQUIRE(got.size() == 60);
      for (int64_t c = 0; c < 60; ++c) {
        const double want = std::max(0.0, want_wc[w][c].item<double>());
        CATCH_REQUIRE(std::abs(got[static_cast<size_t>(c)] - want) <= most / 255 * 0.51);
      }
    }
  }
  const at::Tensor picture_hwc = gaze::decode(gaze::Picture::from_bytes(decoded(map.at("jpeg"))));
  CATCH_CHECK(picture_hwc.sizes() == at::IntArrayRef({479, 1280, 3}));
  CATCH_CHECK((map.at("width") == 1280 && map.at("height") == 479 && map.at("rows") == 6 && map.at("cols") == 10));
  CATCH_CHECK(map.at("place").at("scale_x").get<double>() == Approx(10.0 / 1280));
  CATCH_CHECK(decoded(map.at("levels")).size() == 512 * 4);
}

CATCH_TEST_CASE("report: whatever a text holds, no tag of it is left in the page") {
  const std::vector<std::string> texts = {"</script><script>alert(1)</script>",
                                          "<!--",
                                          "]]>",
                                          "\"'&<\\",
                                          "{{data}}",
                                          "\xE2\x80\xA8\xE2\x80\xAE \xF0\x9F\x90\xB6 \xFF\xFE",
                                          std::string("\0\x1b[0m", 5),
                                          std::string(100'000, '<')};
  for (const std::string& text : texts) {
    AttentionRecord record = planted(6, 10, {3, 17});
    record.labels = {text + "x", "y" + text};
    record.prompt = record.request_id = record.model_path = record.host = record.profile = text;
    record.attributes[text] = text;
    auto files = files_of(record);
    const std::string& page = files.at("report.html");
    CATCH_REQUIRE(data_text(page).find('<') == std::string::npos);
    CATCH_CHECK(data_of(page).at("request") == json::parse(files.at("request.json")));
    // What stands before and behind the data is the page's own.
    auto plain = files_of(planted(6, 10, {3, 17}));
    const std::string& other = plain.at("report.html");
    const size_t begin = page.find(kDataBegin);
    CATCH_CHECK(page.substr(0, begin) == other.substr(0, other.find(kDataBegin)));
    CATCH_CHECK(page.substr(page.find(kDataEnd, begin)) == other.substr(other.find(kDataEnd, begin)));
  }
}

CATCH_TEST_CASE("report: of a sound it holds the plots, the words' maps, and what can be heard of it") {
  AttentionRecord record = planted_sound(6, {0.51, 2.01}, 10);
  record.labels = {" red", " five"};
  const json map = data_of(files_of(record).at("report.html")).at("maps").at(0);
  CATCH_CHECK(map.at("medium") == "sound");
  CATCH_CHECK(map.at("rows") == 1);
  CATCH_CHECK(map.at("seconds_per_row").get<double>() == Approx(6));
  CATCH_REQUIRE(map.at("shown").size() == 3);
  const std::vector<double> red = row_of(map.at("shown").at(1));
  const auto hottest = static_cast<double>(std::max_element(red.begin(), red.end()) - red.begin());
  const double per_cell = map.at("seconds_per_cell").get<double>();
  CATCH_CHECK(std::abs(map.at("first_seconds").get<double>() + (hottest + 0.5) * per_cell - 0.51) <= per_cell);

  const std::string wav = decoded(map.at("wav"));
  const auto number = [&](size_t at, int bytes) {
    uint32_t value = 0;
    for (int i = bytes - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(wav[at + static_cast<size_t>(i)]);
    return value;
  };
  CATCH_REQUIRE(wav.substr(0, 4) + wav.substr(8, 8) == "RIFFWAVEfmt ");
  CATCH_CHECK(number(4, 4) == wav.size() - 8);
  CATCH_CHECK((number(20, 2) == 7 && number(22, 2) == 1));  // mu-law, one channel
  CATCH_CHECK(number(24, 4) <= 16000);
  CATCH_CHECK(number(54, 4) / static_cast<double>(number(24, 4)) == Approx(6).margin(0.01));
  // ITU-T G.711 read by its own rule is near the samples.
  const at::Tensor samples_t = std::get<gaze::SoundMedium>(record.maps[0].medium).sound.samples.reshape({-1});
  const auto together = static_cast<int64_t>(gaze::test::kRate / number(24, 4));
  for (const int64_t i : {0, 777, 4001, 20001}) {
    const int code = ~static_cast<uint8_t>(wav[58 + static_cast<size_t>(i)]) & 255;
    const int magnitude = ((((code & 15) << 3) + 132) << (code >> 4 & 7)) - 132;
    const double got = (code & 128 ? -magnitude : magnitude) / 32767.0;
    const double want = samples_t.narrow(0, i * together, together).to(at::kDouble).mean().item<double>();
    CATCH_CHECK(std::abs(got - want) <= 0.04 * std::abs(want) + 0.001);
  }
}

CATCH_TEST_CASE("report: a recording is heard as long as it fits, and its page is small") {
  for (const auto& [seconds, heard] : {std::pair{20.0, true}, {60.0, true}, {130.0, false}}) {
    const json map = data_of(files_of(planted_sound(seconds, {0.51}, 10)).at("report.html")).at("maps").at(0);
    const std::string wav = decoded(map.at("wav"));
    CATCH_CAPTURE(seconds, wav.size());
    CATCH_CHECK(wav.empty() == !heard);
    CATCH_CHECK(wav.size() <= 520'100);
  }
}

CATCH_TEST_CASE("report: there is none of numbers alone") {
  gaze::RenderOptions options;
  options.delivery = gaze::Delivery::Map;
  CATCH_CHECK(files_of(planted(2, 3, {1}), options).count("report.html") == 0);
}

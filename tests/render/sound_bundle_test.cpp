// SPDX-License-Identifier: MIT
// Bundles of sounds: pages, word files, facts, refusals, and the bytes that cross.
#include <gaze/ops/transfer.hpp>
#include <gaze/render/bundle.hpp>

#include <limits>
#include <nlohmann/json.hpp>

#include "device/frame_ring.hpp"
#include "sound/sound_panel_opencv.hpp"
#include "sound/sound_plots.hpp"
#include "sounds.hpp"
#include "texts.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::BundleOptions;
using gaze::BundleSink;
using gaze::DropReason;
using gaze::kPlotLeft;
using gaze::ops::Cargo;
using gaze::ops::Transferred;
using gaze::test::planted_sound;
using gaze::test::TempDir;
using nlohmann::json;

using List = std::vector<std::string>;

constexpr int64_t kHead = 92;  // pixels of the title and the scale, which no plot reaches

BundleOptions into(const TempDir& dir) { return gaze::test::all_pictures_in(dir / "out"); }

std::string publish(const BundleOptions& options, const AttentionRecord& record,
                    std::shared_ptr<gaze::FrameRing> ring = nullptr) {
  BundleSink sink(options, std::move(ring));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  sink.consume(record);
  return published;
}

json sidecar(const std::string& bundle) { return json::parse(gaze::test::read_bytes(bundle + "/request.json")); }

/// [height, width]: by how much a picture of the bundle differs from the same without a tint, below the head.
at::Tensor tint_of(const TempDir& dir, AttentionRecord record, const std::string& file) {
  const at::Tensor tinted = gaze::decode(publish(into(dir), record) + "/" + file).to(at::kInt);
  record.style.blend.alpha_max = 0;
  const at::Tensor plain = gaze::decode(publish(into(dir), record) + "/" + file).to(at::kInt);
  return (tinted - plain).abs().sum(2).narrow(0, kHead, tinted.size(0) - kHead);
}

/// Middle of the most tinted column, in pixels from the plot's left edge.
double hottest_pixel(const at::Tensor& tint_yx) {
  return static_cast<double>(tint_yx.sum(0).argmax().item<int64_t>() - kPlotLeft) + 0.5;
}

}  // namespace

CATCH_TEST_CASE("sound bundle: pages, a sheet and word times; all are listed") {
  const TempDir dir;
  AttentionRecord record = planted_sound(6, {0.51, 2.01, 4.4}, 10);
  record.labels = {" Red", " five", "<eos>"};
  record.prompt = "what was said?";
  BundleOptions options = into(dir);
  const std::string bundle = publish(options, record);
  CATCH_CHECK(gaze::test::list(bundle) == List{"maps.safetensors", "overlay.png", "report.html", "request.json",
                                               "sheet.png", "words", "words.json"});
  CATCH_CHECK(gaze::test::list(bundle + "/words") == List{"01-red.png", "02-five.png"});
  const json root = sidecar(bundle);
  CATCH_CHECK(root.at("files") == json({"overlay.png", "words/01-red.png", "words/02-five.png", "sheet.png",
                                        "words.json", "maps.safetensors", "report.html", "request.json"}));
  const at::Tensor page = gaze::decode(bundle + "/overlay.png");
  CATCH_CHECK(page.size(1) == 1600);
  CATCH_CHECK(gaze::decode(bundle + "/words/02-five.png").sizes() == page.sizes());
  CATCH_CHECK(gaze::decode(bundle + "/sheet.png").size(1) == 1600);

  options.word_files = {gaze::WordFile::TextGrid, gaze::WordFile::Vtt, gaze::WordFile::Srt};
  options.format = gaze::ImageFormat::Jpeg;
  CATCH_CHECK(gaze::test::list(publish(options, record)) == List{"maps.safetensors", "overlay.jpg", "report.html",
                                                                 "request.json", "sheet.jpg", "words", "words.TextGrid",
                                                                 "words.json", "words.srt", "words.vtt"});
}

CATCH_TEST_CASE("sound bundle: request.json says when each word was heard") {
  const TempDir dir;
  AttentionRecord record = planted_sound(6, {0.51, 2.01}, 10, 2);
  record.labels = {" red", " five"};
  sound_of(record).start_seconds = 100;
  // As wide as a syllable, for alignment takes a single key for an outlier.
  record.maps[0].map_tk[1].narrow(0, 96, 9).fill_(0.1);
  record.maps[0].map_tk[1][100] = 0.11;
  record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
  const json root = sidecar(publish(into(dir), record));
  CATCH_CHECK(root.at("picture").is_null());
  const json& sound = root.at("sound");
  CATCH_CHECK(sound.at("seconds") == 6);
  CATCH_CHECK(sound.at("start_seconds") == 100);
  CATCH_CHECK(sound.at("sample_rate_hz") == 16000);
  CATCH_CHECK(sound.at("channels") == 2);
  CATCH_CHECK(sound.at("seconds_per_key") == 0.02);
  CATCH_CHECK(sound.at("windows") == 1);
  CATCH_CHECK(sound.at("aligned") == "attention");
  // A tenth of the attention is spread over 10 s, 4 of which are padding: 0.05 x 0.4.
  CATCH_CHECK(sound.at("padding").get<double>() == Approx(0.05 * 0.4).epsilon(1e-3));
  const json& word = root.at("words").at(1);
  CATCH_CHECK(word.at("file") == "words/02-five.png");
  CATCH_CHECK(word.at("hot_point").is_null());
  CATCH_CHECK(word.at("hot_seconds").get<double>() == Approx(102.01));
  CATCH_CHECK(word.at("start").get<double>() == Approx(101.92).margin(0.021));
  CATCH_CHECK(word.at("end").get<double>() == Approx(102.10).margin(0.021));
  CATCH_CHECK(word.at("share_within").get<double>() > 0.9);
  CATCH_CHECK(word.at("mass_on_padding").get<double>() == Approx(0.02).epsilon(1e-3));
  CATCH_CHECK(word.contains("silence"));
  CATCH_CHECK(root.at("summary").at("start").is_null());
  CATCH_CHECK(root.at("note") == "Attention shows where the model listened, which is evidence, not proof.");
  record.style.align_to_energy = true;
  CATCH_CHECK(sidecar(publish(into(dir), record)).at("sound").at("aligned") ==
              "attention, moved to the sound's energy");
}

CATCH_TEST_CASE("sound bundle: the tint is hottest where attention was planted, to one key") {
  const TempDir dir;
  for (const double planted : {0.01, 0.51, 2.01, 3.333, 5.99}) {
    CATCH_INFO(planted << " s");
    AttentionRecord record = planted_sound(6, {planted}, 10);
    record.labels = {" word"};
    for (const std::string file : {"overlay.png", "words/01-word.png"}) {
      CATCH_INFO(file);
      const double found = hottest_pixel(tint_of(dir, record, file)) * 6 / 1500;
      CATCH_CHECK(std::abs(found - planted) <= gaze::test::kKeySeconds);
    }
  }
}

CATCH_TEST_CASE("sound bundle: nothing behind the recording's end is tinted, though padding was attended to") {
  const TempDir dir;
  // All over the padding, and on the last key that begins within the recording and ends behind it.
  AttentionRecord record = planted_sound(5.01, {5.005, 7, 9}, 10);
  record.labels = {" a", " b", " c"};
  const at::Tensor tint_yx = tint_of(dir, record, "overlay.png");
  CATCH_CHECK(tint_yx.any().item<bool>());
  CATCH_CHECK_FALSE(tint_yx.narrow(1, 0, kPlotLeft).any().item<bool>());
  CATCH_CHECK_FALSE(tint_yx.narrow(1, kPlotLeft + 1500, 36).any().item<bool>());
}

CATCH_TEST_CASE("sound bundle: 65 s are three rows, of which the last ends with the recording") {
  const TempDir dir;
  AttentionRecord record = planted_sound(65, {3.01, 64.97}, 66);
  record.labels = {" first", " last"};
  const at::Tensor tint_yx = tint_of(dir, record, "overlay.png");
  const gaze::SoundLayout layout = gaze::lay_out_sound(65, 1);
  CATCH_REQUIRE(layout.rows == 3);
  const int64_t row = tint_yx.size(0) / 3;
  CATCH_CHECK(row > layout.row_height());
  CATCH_CHECK(std::abs(hottest_pixel(tint_yx.narrow(0, 0, row)) * 22 / 1500 - 3.01) <= 0.02);
  CATCH_CHECK_FALSE(tint_yx.narrow(0, row, row).any().item<bool>());
  const at::Tensor last_yx = tint_yx.narrow(0, 2 * row, row);
  CATCH_CHECK(std::abs(44 + hottest_pixel(last_yx) * 22 / 1500 - 64.97) <= 0.02);
  CATCH_CHECK_FALSE(last_yx.narrow(1, kPlotLeft + 1432, 1600 - kPlotLeft - 1432).any().item<bool>());
  // Paper behind the end, but for what is written about the words.
  const at::Tensor page = gaze::decode(publish(into(dir), record) + "/overlay.png");
  const at::Tensor behind = page.narrow(0, page.size(0) - 150, 90).narrow(1, kPlotLeft + 1440, 90);
  CATCH_CHECK(at::equal(behind, at::tensor({252, 252, 250}, at::kByte).expand_as(behind)));
}

CATCH_TEST_CASE("sound bundle: a word's page has the rows that its windows reach, as they are on a page of all rows") {
  const TempDir dir;
  AttentionRecord windowed = planted_sound(33, {3.01, 30.01, 0.51, 32.01});
  sound_of(windowed).samples = gaze::test::tone(65);
  windows_of(windowed) = {{0, 0}, {2, 32.5}};
  windowed.labels = {" one", " two", " six", " ten"};
  // What is drawn then does not depend on what other words do, which is told window by window.
  windowed.style.normalise.subtract_sinks = false;
  windowed.style.normalise.per_map_min_max = true;
  AttentionRecord whole = planted_sound(65, {0, 0, 0, 0}, 65.5);
  whole.labels = windowed.labels;
  whole.style = windowed.style;
  whole.maps[0].map_tk.zero_();
  whole.maps[0].map_tk.narrow(0, 0, 2).narrow(1, 0, 1650).copy_(windowed.maps[0].map_tk.narrow(0, 0, 2));
  whole.maps[0].map_tk.narrow(0, 2, 2).narrow(1, 1625, 1650).copy_(windowed.maps[0].map_tk.narrow(0, 2, 2));
  whole.maps[0].mass_t = windowed.maps[0].mass_t;
  whole.maps[0].visible_t = windowed.maps[0].visible_t;
  const std::string in_windows = publish(into(dir), windowed), at_once = publish(into(dir), whole);
  struct Case {
    std::string file;
    int64_t first_row;
  };
  for (const Case& each : {Case{"01-one", 0}, Case{"02-two", 0}, Case{"03-six", 1}, Case{"04-ten", 1}}) {
    CATCH_INFO(each.file);
    const at::Tensor some = gaze::decode(in_windows + "/words/" + each.file + ".png");
    const at::Tensor all = gaze::decode(at_once + "/words/" + each.file + ".png");
    const int64_t pitch = all.size(0) - some.size(0);  // of three rows, two are shown
    CATCH_REQUIRE(pitch > gaze::lay_out_sound(65, 1).row_height());
    const int64_t head = all.size(0) - 3 * pitch;
    CATCH_REQUIRE(head > 50);
    constexpr int64_t kTitle = 46;  // below, share_within is told by the tokens of the window
    CATCH_CHECK(at::equal(some.narrow(0, 0, kTitle), all.narrow(0, 0, kTitle)));
    CATCH_CHECK(at::equal(some.narrow(0, head, 2 * pitch), all.narrow(0, head + each.first_row * pitch, 2 * pitch)));
  }
}

CATCH_TEST_CASE("sound bundle: a window's word may begin before one of the window before") {
  const TempDir dir;
  const std::vector<double> in_order = {1.01, 3.51, 5.01}, hot = {1.01, 5.01, 3.51};
  const auto overlay_of = [&](const std::vector<double>& moments, const std::vector<std::string>& labels) {
    AttentionRecord record = planted_sound(6, moments);
    record.labels = labels;
    windows_of(record) = {{0, 0}, {2, 0.0}};
    return gaze::decode(publish(into(dir), record) + "/overlay.png");
  };
  const at::Tensor ordered = overlay_of(in_order, {" one", " six", " ten"});
  const at::Tensor descending = overlay_of(hot, {" one", " ten", " six"});
  // The title says the words in another order; what lies below is the same, labels too.
  CATCH_CHECK(at::equal(ordered.narrow(0, 92, ordered.size(0) - 92), descending.narrow(0, 92, ordered.size(0) - 92)));
}

CATCH_TEST_CASE("sound bundle: a sheet for any number of words, and any text") {
  const TempDir dir;
  for (const size_t words : {0, 1, 70}) {
    CATCH_INFO(words << " words");
    std::vector<double> hot;
    for (size_t w = 0; w <= words; ++w) hot.push_back(0.01 + 0.04 * static_cast<double>(w));
    AttentionRecord record = planted_sound(3, hot);
    for (size_t w = 0; w < words; ++w) {
      record.labels.push_back(w % 3 == 0 ? " \xE7\x8A\xAC" : " " + std::string(1 + 5 * w, 'w'));
    }
    record.labels.emplace_back("<eos>");
    record.prompt = std::string(3000, 'p') + "\n\x01\xFF";
    const at::Tensor sheet = gaze::decode(publish(into(dir), record) + "/sheet.png");
    CATCH_CHECK(sheet.size(0) > 600 + 60 * static_cast<int64_t>(std::min<size_t>(words, 58)));
    CATCH_CHECK(sheet.size(0) < 8000);
  }
}

CATCH_TEST_CASE("sound bundle: what cannot be drawn leaves its reason") {
  const TempDir dir;
  const auto refused = [&](const AttentionRecord& record, DropReason reason, const std::string& text) {
    GAZE_REQUIRE_REFUSED(publish(into(dir), record), reason, text);
  };
  AttentionRecord broken = planted_sound(2, {0.5});
  sound_of(broken).samples[0][12345] = std::numeric_limits<float>::quiet_NaN();
  refused(broken, DropReason::DecodeFailed, "expected finite samples");
  AttentionRecord silent = planted_sound(2, {0.5});
  sound_of(silent) = {};
  refused(silent, DropReason::DecodeFailed, "sound: expected samples or the path of a file");
  AttentionRecord short_keys = planted_sound(2, {0.5});
  sound_of(short_keys).samples = gaze::test::tone(4);
  refused(short_keys, DropReason::GridMismatch, "sound: expected at most 2.00 s");
  for (const std::string& bundle : gaze::test::list(dir / "out")) {
    CATCH_CHECK(gaze::test::list(dir / "out/" + bundle) == List{"request.json"});
    CATCH_CHECK(sidecar(dir / "out/" + bundle).at("sound").is_null());
  }
}

CATCH_TEST_CASE("sound bundle: maps alone need no recording and draw nothing") {
  const TempDir dir;
  BundleOptions options = into(dir);
  options.delivery = gaze::Delivery::Map;
  AttentionRecord record = planted_sound(6, {0.51, 2.01}, 10);
  record.labels = {" red", " five"};
  const std::string bundle = publish(options, record);
  CATCH_CHECK(gaze::test::list(bundle) == List{"maps.safetensors", "request.json", "words.json"});
  CATCH_CHECK(sidecar(bundle).at("words").at(0).at("file").is_null());
  sound_of(record) = {};
  const json root = sidecar(publish(options, record));
  CATCH_CHECK(root.at("sound").at("channels").is_null());
  CATCH_CHECK(root.at("words").at(1).at("hot_seconds").get<double>() == Approx(2.01));
}

CATCH_TEST_CASE("sound bundle: frames, the map, levels and figures cross, to the byte") {
  const TempDir dir;
  AttentionRecord record = planted_sound(6, {0.51, 2.01, 4.4, 5.2}, 10);
  record.labels = {" go", "ld", " five"};  // 2 words of 3 tokens; the fourth has no label
  constexpr int64_t kTokens = 4, kLabelled = 3, kWords = 2, kCells = 300;
  const auto ring = std::make_shared<gaze::FrameRing>(gaze::ops::Route{at::kCPU, true});
  const Transferred before = gaze::ops::transferred();
  const std::string apart = publish(into(dir), record, ring);
  const Transferred after = gaze::ops::transferred();
  const auto back = [&](Cargo cargo) { return after.back(cargo).bytes - before.back(cargo).bytes; };
  const auto up = [&](Cargo cargo) { return after.up(cargo).bytes - before.up(cargo).bytes; };
  const gaze::SoundLayout layout = gaze::lay_out_sound(6, 1);
  const int64_t plot = layout.height() * layout.width * 3;
  const int64_t strip = gaze::SoundPlots::kStripHeight * layout.width * 3;
  CATCH_CHECK(back(Cargo::Frame) == (2 + kWords) * plot + kWords * strip);  // one without a tint, for the page
  // For alignment; what is shown and the lift of every map; the lift and the mass of every token.
  CATCH_CHECK(back(Cargo::Map) ==
              4 * (kLabelled * kCells + 2 * (1 + kWords) * kCells + kLabelled * kCells + kLabelled));
  // As of a picture but the hottest pixels; levels; the share on padding; the hottest cells; the loudest sample.
  constexpr int64_t kAnalysis = 8 * (3 * kTokens + 3 * kLabelled + 2 + 4 * (1 + kWords));
  CATCH_CHECK(back(Cargo::Figures) == kAnalysis + 4 * kCells + 8 * kTokens + 8 * (1 + kWords) + 8);
  CATCH_CHECK(back(Cargo::Picture) == 4 * 6 * gaze::test::kRate);  // the samples, to be played
  CATCH_CHECK(back(Cargo::Table) == 0);
  CATCH_CHECK(up(Cargo::Picture) == 4 * 6 * gaze::test::kRate);  // the samples
  CATCH_CHECK(up(Cargo::Table) == 0);

  const std::string here = publish(into(dir), record);
  for (const std::string file : {"overlay.png", "sheet.png", "words/01-gold.png", "words/02-five.png", "words.json"}) {
    CATCH_INFO(file);
    CATCH_CHECK(gaze::test::read_bytes(here + "/" + file) == gaze::test::read_bytes(apart + "/" + file));
  }
}

CATCH_TEST_CASE("sound bundle: nothing of a word's page is left on the next one") {
  const TempDir dir;
  AttentionRecord record = planted_sound(65, {0.51, 33.0, 64.0}, 10);  // three rows of time
  record.labels = {" red", " five", " six"};
  const std::string bundle = publish(into(dir), record);
  // Ink is of the word's own label, bar and lines; below the title, which both have.
  const auto ink_of = [&](const std::string& file) {
    const at::Tensor page = gaze::decode(bundle + "/words/" + file);
    return page.narrow(0, kHead, page.size(0) - kHead).to(at::kInt).sum(2).lt(150);
  };
  const at::Tensor first = ink_of("01-red.png"), last = ink_of("03-six.png");
  const auto own = first.sum().item<int64_t>(), both = (first & last).sum().item<int64_t>();
  CATCH_CAPTURE(own, both);
  CATCH_CHECK(own > 40);
  CATCH_CHECK(both * 10 < own);
}

CATCH_TEST_CASE("sound bundle: a text of any length looks as its beginning, and costs no more to lay out") {
  const TempDir dir;
  const auto long_texts = gaze::test::hard_texts(1 << 20), short_texts = gaze::test::hard_texts(20 << 10);
  for (size_t i = 0; i < long_texts.size(); ++i) {
    CATCH_INFO(long_texts[i].first);
    const auto pictures = [&](const std::string& content) {
      AttentionRecord record = planted_sound(2, {0.5, 1.2});
      record.labels = {content, content};
      record.prompt = content;
      const std::string bundle = publish(into(dir), record);
      std::string all;
      for (const char* file : {"/overlay.png", "/sheet.png"}) all += gaze::test::read_bytes(bundle + file);
      std::filesystem::remove_all(bundle);
      return all;
    };
    CATCH_CHECK(pictures(long_texts[i].second) == pictures(short_texts[i].second));
  }
}

// SPDX-License-Identifier: MIT
// Bundles with pictures.
#include <sys/mount.h>
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <thread>

#include "records.hpp"
#include "texts.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::BundleOptions;
using gaze::BundleSink;
using gaze::DropReason;
using gaze::ImageFormat;
using gaze::test::planted;
using gaze::test::TempDir;
using nlohmann::json;

using List = std::vector<std::string>;

std::string publish(const BundleOptions& options, const AttentionRecord& record) {
  BundleSink sink(options);
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  sink.consume(record);
  return published;
}

BundleOptions into(const TempDir& dir) { return gaze::test::all_pictures_in(dir / "out"); }

json sidecar(const std::string& bundle) { return json::parse(gaze::test::read_bytes(bundle + "/request.json")); }

}  // namespace

CATCH_TEST_CASE("bundle: pictures are those of compose, of the original size, and all are listed") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3, 17, 42}, 60, 100);
  record.labels = {"Red", "five", "<eos>"};
  record.prompt = "what is it?";
  const std::string bundle = publish(into(dir), record);
  CATCH_CHECK(gaze::test::list(bundle) ==
              List{"maps.safetensors", "overlay.png", "report.html", "request.json", "sheet.png", "words"});
  CATCH_CHECK(gaze::test::list(bundle + "/words") == List{"01-red.png", "02-five.png"});
  const gaze::Composition composition = gaze::compose(record);
  CATCH_CHECK(at::equal(gaze::decode(bundle + "/overlay.png"), composition.summary.rgb_hwc));
  CATCH_CHECK(at::equal(gaze::decode(bundle + "/words/01-red.png"), composition.words[0].rgb_hwc));
  CATCH_CHECK(at::equal(gaze::decode(bundle + "/words/02-five.png"), composition.words[1].rgb_hwc));
  const json root = sidecar(bundle);
  CATCH_CHECK(root.at("files") == json({"overlay.png", "words/01-red.png", "words/02-five.png", "sheet.png",
                                        "maps.safetensors", "report.html", "request.json"}));
  CATCH_CHECK(root.at("words").at(1).at("file") == "words/02-five.png");
  CATCH_CHECK(root.at("summary").at("file") == "overlay.png");
  CATCH_CHECK(root.at("words").at(1).at("hot_point").at(0) == composition.words[1].hot_x);
}

CATCH_TEST_CASE("bundle: the sheet has room for every word and survives the odd ones") {
  const TempDir dir;
  for (const size_t words : {0, 1, 2, 13, 70}) {
    CATCH_INFO(words << " words");
    AttentionRecord record = planted(6, 10, std::vector<int64_t>(words + 1, 17), 60, 100);
    for (size_t i = 0; i < words; ++i)
      record.labels.push_back(i % 3 == 0 ? "\xE7\x8A\xAC" : std::string(1 + 9 * i, 'w'));
    record.labels.emplace_back("<eos>");
    record.prompt = std::string(3000, 'p') + " \xF0\x9F\x90\xB6 " + std::string(500, ' ') + "end\n\x01\xFF";
    const at::Tensor sheet = gaze::decode(publish(into(dir), record) + "/sheet.png");
    const int64_t panels = 2 + std::min<int64_t>(static_cast<int64_t>(words), 58);
    const int64_t columns = panels > 12 ? 5 : std::min<int64_t>(panels, 4);
    CATCH_CHECK(sheet.size(1) >= columns * 360);
    CATCH_CHECK(sheet.size(1) <= columns * 400 + 80);
    CATCH_CHECK(sheet.size(0) >= (panels + columns - 1) / columns * 216);
  }
}

CATCH_TEST_CASE("bundle: extreme pictures still make a whole bundle") {
  const TempDir dir;
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {1, 3000}, {3000, 1}, {2, 7}}) {
    CATCH_INFO(width << " x " << height);
    AttentionRecord record = planted(6, 10, {3, -1});
    picture_of(record) =
        gaze::test::noise_picture(height, width).select(2, 0).contiguous();  // gray: channels are not in doubt
    const std::string bundle = publish(into(dir), record);
    CATCH_CHECK(gaze::decode(bundle + "/overlay.png").size(1) == width);
    CATCH_CHECK(gaze::test::list(bundle).size() == 6);
  }
}

CATCH_TEST_CASE("bundle: equal, hostile and nameless words get file names of their own") {
  const TempDir dir;
  AttentionRecord record = planted(2, 3, {0, 1, 2, 3, 4, 5});
  record.labels = {"red", "red", "../../x", "\xE7\x8A\xAC", std::string(100, 'A'), "<b>"};
  CATCH_CHECK(gaze::test::list(publish(into(dir), record) + "/words") ==
              List{"01-red.png", "02-red.png", "03-x.png", "04-word.png", "05-" + std::string(24, 'a') + ".png"});
  record.labels.clear();
  CATCH_CHECK(gaze::test::list(publish(into(dir), record) + "/words") ==
              List{"01-token.png", "02-token.png", "03-token.png", "04-token.png", "05-token.png", "06-token.png"});
}

CATCH_TEST_CASE("bundle: other formats") {
  const TempDir dir;
  BundleOptions options = into(dir);
  options.format = ImageFormat::Jpeg;
  const std::string jpeg = publish(options, planted(2, 3, {1}));
  CATCH_CHECK(gaze::test::list(jpeg) ==
              List{"maps.safetensors", "overlay.jpg", "report.html", "request.json", "sheet.jpg", "words"});
  CATCH_CHECK(gaze::test::read_bytes(jpeg + "/overlay.jpg").substr(0, 3) == "\xFF\xD8\xFF");
  CATCH_CHECK(gaze::decode(jpeg + "/overlay.jpg").size(1) == 100);
  options.format = ImageFormat::Webp;
  const std::string webp = publish(options, planted(2, 3, {1}));
  CATCH_CHECK(gaze::test::read_bytes(webp + "/overlay.webp").substr(8, 4) == "WEBP");
  CATCH_CHECK(gaze::decode(webp + "/overlay.webp").size(1) == 100);
}

CATCH_TEST_CASE("bundle: by default an overlay, one for each content word, the page and the numbers") {
  const TempDir dir;
  BundleOptions options;
  options.out_dir = dir / "out";
  AttentionRecord record = planted(6, 10, {3, 17, 42, 8}, 600, 1601);
  record.labels = {" a", " red", ",", " ball"};
  const std::string bundle = publish(options, record);
  CATCH_CHECK(gaze::test::list(bundle) ==
              List{"maps.safetensors", "overlay.jpg", "report.html", "request.json", "words"});
  CATCH_CHECK(gaze::test::list(bundle + "/words") == List{"02-red.jpg", "03-ball.jpg"});
  const json root = sidecar(bundle);
  CATCH_CHECK(root.at("picture").at("width") == 1601);
  CATCH_CHECK(root.at("picture").at("drawn") == json({1280, 479}));
  CATCH_CHECK(root.at("words").at(0).at("file").is_null());
  for (const char* file : {"/overlay.jpg", "/words/02-red.jpg"}) {
    const at::Tensor drawn_hwc = gaze::decode(bundle + file);
    CATCH_CHECK(drawn_hwc.sizes() == at::IntArrayRef({479, 1280, 3}));
  }
  // Places are those of the original.
  CATCH_CHECK(root.at("words").at(1).at("hot_point").at(0) == gaze::compose(record).words[1].hot_x);
}

CATCH_TEST_CASE(
    "bundle: a picture that was compacted is drawn as large and in the same places, from a fraction of its bytes") {
  const TempDir dir;
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{480, 640}, {1500, 2001}}) {
    BundleOptions options;
    options.out_dir = dir / "out";
    AttentionRecord record = planted(6, 10, {3, 17, 42}, height, width);
    // Smooth, as photographs are: noise does not become smaller.
    const at::Tensor ramp_yx = at::arange(height * width, at::kFloat).view({height, width}).remainder(251);
    picture_of(record) = gaze::Picture(at::stack({ramp_yx, ramp_yx / 2, ramp_yx / 3}, 2).to(at::kByte));
    AttentionRecord compacted = record;
    BundleSink(options).compact(compacted);
    CATCH_CHECK(compacted.bytes() * 4 < record.bytes());
    const std::string whole = publish(options, record), small = publish(options, compacted);
    const json left = sidecar(whole), right = sidecar(small);
    for (const char* field : {"picture", "words", "summary", "geometry"})
      CATCH_CHECK(left.at(field) == right.at(field));
    const at::Tensor a = gaze::decode(whole + "/overlay.jpg"), b = gaze::decode(small + "/overlay.jpg");
    CATCH_REQUIRE(a.sizes() == b.sizes());
    CATCH_CHECK((a.to(at::kFloat) - b.to(at::kFloat)).abs().mean().item<float>() < 4);
  }
  // What is drawn to the bit, what is a file or small already, and what is no picture stay as they are.
  AttentionRecord record = planted(6, 10, {3}, 480, 640);
  const auto stays = [&](const BundleOptions& options) {
    AttentionRecord same = record;
    try {
      BundleSink(options).compact(same);
    } catch (const gaze::Error&) {  // said when it is drawn
    }
    return picture_of(same).tensor.is_same(picture_of(record).tensor) && same.bytes() == record.bytes();
  };
  CATCH_CHECK(stays(into(dir)));
  BundleOptions usual;
  usual.out_dir = dir / "out";
  CATCH_CHECK_FALSE(stays(usual));
  picture_of(record) = gaze::Picture(at::full({480, 640, 3}, std::nan("")));
  CATCH_CHECK(stays(usual));
  picture_of(record) = gaze::Picture(at::rand({480, 640, 5}));
  CATCH_CHECK(stays(usual));
  picture_of(record) = gaze::Picture(at::full({20, 30, 3}, 9, at::kByte));
  CATCH_CHECK(stays(usual));
  picture_of(record) = gaze::Picture("nowhere.jpg");
  CATCH_CHECK(stays(usual));
}

CATCH_TEST_CASE("bundle: pictures are those that were asked for") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3, 17}, 60, 100);
  record.labels = {" the", " ball"};
  const auto made = [&](const char* choice) {
    BundleOptions options = into(dir);
    options.pictures = *gaze::parse_pictures(choice);
    const std::string bundle = publish(options, record);
    List files = gaze::test::list(bundle);
    if (std::filesystem::exists(bundle + "/words"))
      for (const std::string& name : gaze::test::list(bundle + "/words")) files.push_back(name);
    for (const char* always : {"maps.safetensors", "report.html", "request.json"})
      CATCH_CHECK(std::erase(files, always) == 1);
    return files;
  };
  CATCH_CHECK(made("none").empty());
  CATCH_CHECK(made("overlay") == List{"overlay.png"});
  CATCH_CHECK(made("sheet") == List{"sheet.png"});
  CATCH_CHECK(made("words") == List{"words", "02-ball.png"});
  CATCH_CHECK(made("words,overlay") == List{"overlay.png", "words", "02-ball.png"});
  CATCH_CHECK(made("all") == List{"overlay.png", "sheet.png", "words", "01-the.png", "02-ball.png"});
  for (const char* wrong :
       {"", "All", "overlay,", "overlay,overlay", "all,sheet", "none,words", "word", "overlay, sheet"})
    CATCH_CHECK_FALSE(gaze::parse_pictures(wrong));
}

CATCH_TEST_CASE("bundle: a picture that is drawn smaller shows what the whole one shows") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {17}, 400, 700);
  record.labels = {" ball"};
  picture_of(record) = gaze::Picture(at::full({400, 700, 3}, 90, at::kByte));
  record.style.contour = false;
  BundleOptions options = into(dir);
  const at::Tensor whole_hwc = gaze::decode(publish(options, record) + "/words/01-ball.png");
  options.longest_side_pixels = 175;
  const at::Tensor small_hwc = gaze::decode(publish(options, record) + "/words/01-ball.png");
  CATCH_REQUIRE(small_hwc.sizes() == at::IntArrayRef({100, 175, 3}));
  // Every fourth pixel of the whole one, but for half a pixel of shift.
  const at::Tensor mean_hwc = whole_hwc.to(at::kFloat).view({100, 4, 175, 4, 3}).mean({1, 3});
  CATCH_CHECK((mean_hwc - small_hwc.to(at::kFloat)).abs().max().item<float>() < 12);
  options.longest_side_pixels = 700;
  CATCH_CHECK(at::equal(gaze::decode(publish(options, record) + "/words/01-ball.png"), whole_hwc));
}

CATCH_TEST_CASE("bundle: a picture that cannot be decoded leaves the reason and no picture") {
  const TempDir dir;
  AttentionRecord record = planted(2, 3, {1});
  picture_of(record) = gaze::Picture::from_bytes("<html>not a picture</html>");
  BundleSink sink(into(dir));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  GAZE_REQUIRE_REFUSED(sink.consume(record), DropReason::DecodeFailed, "expected a JPEG, PNG or WebP image");
  CATCH_CHECK(gaze::test::list(published) == List{"request.json"});
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 1);
  CATCH_CHECK(sidecar(published).at("error").at("reason") == "decode_failed");
}

CATCH_TEST_CASE("bundle: a full disk is reported and leaves no half bundle") {
  const TempDir dir;
  const std::string out = dir / "out";
  std::filesystem::create_directory(out);
  if (::mount("tmpfs", out.c_str(), "tmpfs", 0, "size=64k") != 0) {
    CATCH_REQUIRE((errno == EPERM || errno == EACCES));
    GAZE_SKIP("mounting a small tmpfs needs root");
  }
  struct Unmount {
    const std::string& path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } unmount{out};
  GAZE_REQUIRE_REFUSED(publish(into(dir), planted(2, 3, {1}, 200, 300)), DropReason::DiskFull,
                       "No space left on device");
  CATCH_CHECK(gaze::test::list(out).empty());
  // Space again: the next request is whole.
  BundleOptions options = into(dir);
  options.delivery = gaze::Delivery::Map;
  CATCH_CHECK(gaze::test::list(publish(options, planted(2, 3, {1}))).size() == 2);
}

CATCH_TEST_CASE("bundle: writers that share a directory do not meet") {
  const TempDir dir;
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&dir] {
      BundleSink sink(into(dir));
      AttentionRecord record = planted(2, 3, {1, 2}, 8, 12);
      for (int request = 0; request < 3; ++request) sink.consume(record);
    });
  }
  for (std::thread& writer : writers) writer.join();
  const List names = gaze::test::list(dir / "out");
  CATCH_CHECK(names.size() == 12);
  for (const std::string& name : names) CATCH_CHECK(gaze::test::list(dir / "out/" + name).size() == 6);
}

CATCH_TEST_CASE("bundle: a text of any length looks as its beginning, and costs no more to lay out") {
  const TempDir dir;
  const auto long_texts = gaze::test::hard_texts(1 << 20), short_texts = gaze::test::hard_texts(20 << 10);
  for (size_t i = 0; i < long_texts.size(); ++i) {
    const auto& [name, text] = long_texts[i];
    CATCH_INFO(name);
    // As the prompt, as a label, and as an answer of several.
    const auto pictures = [&](const std::string& content) {
      std::string all;
      for (const bool as_label : {false, true}) {
        AttentionRecord record = planted(2, 3, {1, 4}, 20, 30);
        if (as_label) record.labels = {content, content};
        if (!as_label) record.prompt = content;
        const std::string bundle = publish(into(dir), record);
        all += gaze::test::read_bytes(bundle + "/sheet.png");
        const json root = sidecar(bundle);
        // Line ends alone make no word.
        const bool blank = as_label && content.find_first_not_of('\n') == std::string::npos;
        const size_t said = root.at(as_label ? "answer" : "prompt").get<std::string>().size();
        CATCH_CHECK((blank ? said == 0 : said >= content.size()));
        std::filesystem::remove_all(bundle);
      }
      return all;
    };
    CATCH_CHECK(pictures(text) == pictures(short_texts[i].second));
  }
}

CATCH_TEST_CASE("bundle: where nobody said what the keys stand for there is none, only the reason with its remedy") {
  const TempDir dir;
  for (const gaze::Delivery delivery : {gaze::Delivery::Frame, gaze::Delivery::Map}) {
    BundleOptions options = into(dir);
    options.delivery = delivery;
    AttentionRecord record = planted(3, 4, {1, 5});
    std::get<gaze::PictureMedium>(record.maps[0].medium).geometry = gaze::Geometry();
    GAZE_REQUIRE_REFUSED(publish(options, record), DropReason::GridMismatch, "`gaze probe MODEL.pt --inputs");
    CATCH_CHECK_FALSE(std::filesystem::exists(dir / "out"));
  }
  // What failed for another reason says so.
  AttentionRecord record = planted(3, 4, {1, 5});
  std::get<gaze::PictureMedium>(record.maps[0].medium).geometry = gaze::Geometry();
  record.error = "capture: expected a call, got none.";
  record.error_reason = DropReason::NoAttention;
  GAZE_REQUIRE_REFUSED(publish(into(dir), record), DropReason::NoAttention, "expected a call");
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 1);
}

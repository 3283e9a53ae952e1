// SPDX-License-Identifier: MIT
// What was to be left out of a record is in none of the files that are made of it.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/redaction.hpp>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "page_file.hpp"
#include "sounds.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::Content;
using gaze::DropReason;
using gaze::Redaction;
using gaze::SourceKind;
using gaze::test::planted;
using gaze::test::planted_sound;
using nlohmann::json;

using Files = std::map<std::string, std::string>;

class KeptFiles : public gaze::Artifacts {
 public:
  Files files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace(name, bytes); }
};

/// Without how long it took.
Files drawn(AttentionRecord record) {
  gaze::RenderOptions options = gaze::test::all_pictures_in("");
  options.word_files = {gaze::WordFile::Srt, gaze::WordFile::Vtt, gaze::WordFile::TextGrid};
  KeptFiles kept;
  gaze::render(record, options, kept);
  for (const char* name : {"request.json", "report.html"}) {
    std::string& text = kept.files.at(name);
    const size_t at = text.find("\"render\": ");
    if (at != std::string::npos) text.erase(at, text.find('\n', at) - at);
  }
  return std::move(kept.files);
}

AttentionRecord redacted(AttentionRecord record, const Redaction& redaction) {
  gaze::apply(redaction, record);
  return record;
}

AttentionRecord limited(AttentionRecord record, Content content) {
  const gaze::HashText hash = [](const std::string& text) {
    return std::to_string(std::hash<std::string>()(text) % 100000);
  };
  gaze::limit(content, hash, record);
  return record;
}

bool holds(const std::string& bytes, std::string_view what) { return bytes.find(what) != std::string::npos; }

/// In names, bytes, and what report.html embeds.
void check_holds_none(const Files& files, const std::string& what) {
  for (const auto& [name, bytes] : files) {
    CATCH_CAPTURE(name, what);
    CATCH_CHECK_FALSE(holds(name, what));
    CATCH_CHECK_FALSE(holds(bytes, what));
  }
}

void check_alike(const Files& a, const Files& b) {
  CATCH_REQUIRE(a.size() == b.size());
  for (const auto& [name, bytes] : a) {
    CATCH_CAPTURE(name);
    CATCH_REQUIRE(b.count(name) == 1);
    CATCH_CHECK(bytes == b.at(name));
  }
}

AttentionRecord pictured() {
  AttentionRecord record = planted(6, 10, {17, 42, 3});
  record.labels = {"kanarienrot", " quetzalfive", " the"};
  record.prompt = "describe wombatprompt";
  record.token_ids = {987654321, 987654322, 987654323};
  record.attributes = {{"tenant", "a"}, {"patient", "numbatname"}};
  return record;
}

at::Tensor& pixels(AttentionRecord& record) {
  return std::get<gaze::PictureMedium>(record.maps[0].medium).picture.tensor;
}

AttentionRecord heard() {
  AttentionRecord record = planted_sound(1.5, {0.3, 1.1});
  record.labels = {"kanarienrot", " quetzalfive"};
  return record;
}

AttentionRecord read_text(const std::string& secret) {
  AttentionRecord record = planted(1, 12, {2, 7});
  gaze::TextMedium medium;
  medium.text.tokens = {"<s>", " The", " bridge", " is", " " + secret, " old", " A", " tower", " is", " new"};
  medium.text.sources = {{SourceKind::Passage, "doc-1", 1, 6}, {SourceKind::Passage, "doc-2", 6, 10}};
  medium.geometry = gaze::Geometry{.rows = 1, .cols = 12, .text = true};
  medium.answer_key = 10;
  record.maps[0].medium = std::move(medium);
  record.labels = {" old", " bridge"};
  record.prompt = "The bridge is " + secret;
  record.reduce.heads = gaze::ops::HeadReduce::Mean;
  return record;
}

void check_refused(AttentionRecord record, const Redaction& redaction) {
  const auto refused = gaze::test::refusal([&] { gaze::apply(redaction, record); });
  CATCH_REQUIRE(refused);
  CATCH_CHECK(refused->reason == DropReason::RedactionFailed);
  for (const char* canary : {"kanarienrot", "quetzalfive", "wombatprompt", "numbatname"})
    CATCH_CHECK_FALSE(holds(refused->text, canary));
}

}  // namespace

CATCH_TEST_CASE("redaction: what lies inside a region leaves no trace in any file") {
  AttentionRecord a = pictured(), b = pictured();
  pixels(b) = pixels(b).clone();
  pixels(b).narrow(0, 7, 20).narrow(1, 30, 41).fill_(201);
  const Redaction box{.boxes = {{30, 7, 41, 20}}};
  check_alike(drawn(redacted(a, box)), drawn(redacted(b, box)));
  Redaction mask;
  mask.mask_yx = at::zeros({60, 100}, at::kByte);
  mask.mask_yx.narrow(0, 7, 20).narrow(1, 30, 41).fill_(1);
  check_alike(drawn(redacted(a, mask)), drawn(redacted(b, mask)));
  const Redaction one_less{.boxes = {{30, 7, 40, 20}}};
  CATCH_CHECK(drawn(redacted(a, one_less)) != drawn(redacted(b, one_less)));
}

CATCH_TEST_CASE("redaction: cells that touch a region are not hot, and the host's picture stays as it is") {
  const AttentionRecord record = pictured();
  const at::Tensor before = std::get<gaze::PictureMedium>(record.maps[0].medium).picture.tensor.clone();
  const AttentionRecord made = redacted(record, {.boxes = {{79.5, 10.5, 0.2, 0.2}}});  // cell 17: x 70..80, y 10..20
  const at::Tensor& map_tk = made.maps[0].map_tk;
  CATCH_CHECK(map_tk[0][17].item<float>() == 0);
  CATCH_CHECK(map_tk[1][42].item<float>() > 0.8);
  CATCH_CHECK(record.maps[0].map_tk[0][17].item<float>() > 0.8);
  CATCH_CHECK(made.maps[0].mass_t[0].item<float>() < 0.1);
  CATCH_CHECK(at::equal(before, std::get<gaze::PictureMedium>(record.maps[0].medium).picture.tensor));
  auto black = std::get<gaze::PictureMedium>(made.maps[0].medium).picture.tensor[10][79];
  CATCH_CHECK(black.sum().item<int64_t>() == 0);
}

CATCH_TEST_CASE("redaction: boxes beyond the border, empty, of one pixel, of the whole picture") {
  const auto black = [](const Redaction& redaction) {
    const AttentionRecord made = redacted(pictured(), redaction);
    AttentionRecord copy = made;
    return pixels(copy).sum(2).eq(0).sum().item<int64_t>();
  };
  const int64_t none = black({.boxes = {{5, 5, 0, 9}}});
  CATCH_CHECK(black({.boxes = {{1e300, 5, 1e300, 9}}}) == none);
  CATCH_CHECK(black({.boxes = {{100, 60, 5, 5}}}) == none);
  CATCH_CHECK(black({.boxes = {{7, 9, 1, 1}}}) == none + 1);
  CATCH_CHECK(black({.boxes = {{99, 59, 1e9, 1e9}}}) == none + 1);
  CATCH_CHECK(black({.boxes = {{0, 0, 100, 60}}}) == 6000);
  (void)drawn(redacted(pictured(), {.boxes = {{0, 0, 100, 60}}}));
}

CATCH_TEST_CASE("redaction: a word leaves no trace, not in a file's name") {
  AttentionRecord a = pictured(), b = pictured();
  b.labels[1] = " the";
  b.prompt = "another";
  b.token_ids[1] = 5;
  b.attributes["patient"] = "other";
  const Redaction redaction{.tokens = {1}, .prompt = true, .attributes = {"patient"}};
  const Files files = drawn(redacted(a, redaction));
  check_alike(files, drawn(redacted(b, redaction)));
  for (const char* canary : {"quetzalfive", "wombatprompt", "numbatname", "987654322"}) check_holds_none(files, canary);
  CATCH_CHECK(json::parse(files.at("request.json"))["words"][0]["text"] == "kanarienrot");
  CATCH_CHECK(json::parse(files.at("request.json"))["words"][1]["text"] == gaze::kRedacted);
}

CATCH_TEST_CASE("redaction: seconds of a recording leave no trace") {
  AttentionRecord a = heard(), b = heard();
  at::Tensor& samples = std::get<gaze::SoundMedium>(b.maps[0].medium).sound.samples;
  samples = samples.clone();
  samples.narrow(1, 8000, 4000).fill_(0.25);
  const Redaction redaction{.seconds = {{0.5, 0.75}}};
  check_alike(drawn(redacted(a, redaction)), drawn(redacted(b, redaction)));
}

CATCH_TEST_CASE("redaction: tokens and passages of a prompt leave no trace") {
  const AttentionRecord a = read_text("kanarienrot"), b = read_text("quetzalfive");
  for (const Redaction& redaction :
       {Redaction{.prompt_tokens = {4}}, Redaction{.passages = {"doc-1"}}, Redaction{.prompt = true}}) {
    const Files files = drawn(redacted(a, redaction));
    check_holds_none(files, "kanarienrot");
    check_alike(files, drawn(redacted(b, redaction)));
  }
}

CATCH_TEST_CASE("redaction: what cannot be blacked out is refused without a word of the content") {
  const double nan = std::nan(""), infinite = HUGE_VAL;
  for (const double wrong : {-1.0, nan, infinite}) {
    check_refused(pictured(), {.boxes = {{wrong, 0, 1, 1}}});
    check_refused(pictured(), {.boxes = {{0, 0, 1, wrong}}});
    check_refused(heard(), {.seconds = {{wrong, 2}}});
  }
  for (const auto& mask : {at::ones({60, 99}, at::kByte), at::ones({60, 100}, at::kInt), at::ones({60}, at::kBool)}) {
    Redaction redaction;
    redaction.mask_yx = mask;
    check_refused(pictured(), redaction);
  }
  check_refused(heard(), {.seconds = {{1, 0.5}}});
  check_refused(heard(), {.boxes = {{0, 0, 1, 1}}});
  check_refused(pictured(), {.seconds = {{0, 1}}});
  check_refused(pictured(), {.tokens = {3}});
  check_refused(pictured(), {.tokens = {-1}});
  check_refused(pictured(), {.passages = {"doc-1"}});
  check_refused(read_text("kanarienrot"), {.prompt_tokens = {10}});
  check_refused(read_text("kanarienrot"), {.passages = {"doc-3"}});
  AttentionRecord broken = pictured();
  std::get<gaze::PictureMedium>(broken.maps[0].medium).picture = gaze::Picture::from_bytes("kanarienrot");
  check_refused(broken, {.boxes = {{0, 0, 1, 1}}});
}

CATCH_TEST_CASE("content: without it the figures stay, and none of it is in any file") {
  for (const Content content : {Content::Maps, Content::Hashed}) {
    CATCH_CAPTURE(gaze::name(content));
    for (const AttentionRecord& record : {pictured(), heard(), read_text("wombatprompt")}) {
      Files full = drawn(record);
      const Files files = drawn(limited(record, content));
      for (const char* canary : {"kanarienrot", "quetzalfive", "wombatprompt", "bridge", "tower", "987654321"})
        check_holds_none(files, canary);
      const json root = json::parse(files.at("request.json")), was = json::parse(full.at("request.json"));
      CATCH_CHECK(root["content"] == gaze::name(content));
      const json map = gaze::test::data_of(files.at("report.html"))["maps"][0];
      if (map.contains("wav")) CATCH_CHECK(map["wav"].get<std::string>().empty());
      CATCH_REQUIRE(root["words"].size() == was["words"].size());
      for (size_t w = 0; w < root["words"].size(); ++w) {
        for (const char* field : {"first", "count", "content", "mass", "max_lift", "entropy", "grounding", "diffuse"})
          CATCH_CHECK(root["words"][w][field] == was["words"][w][field]);
      }
    }
  }
}

CATCH_TEST_CASE("content: without it two pictures, recordings and words make the same files") {
  AttentionRecord a = pictured(), b = pictured();
  pixels(b) = 255 - pixels(b);
  b.labels[0] = "another";
  check_alike(drawn(limited(a, Content::Maps)), drawn(limited(b, Content::Maps)));
  AttentionRecord c = heard(), d = heard();
  std::get<gaze::SoundMedium>(d.maps[0].medium).sound.samples.mul_(0.5).add_(0.01);
  check_alike(drawn(limited(c, Content::Maps)), drawn(limited(d, Content::Maps)));
  check_alike(drawn(limited(read_text("kanarienrot"), Content::Maps)),
              drawn(limited(read_text("wombatprompt"), Content::Maps)));
}

CATCH_TEST_CASE("content: hashed words are found again, and without a key nothing is written") {
  AttentionRecord record = pictured();
  record.labels = {"red", " five", " red"};
  const json root = json::parse(drawn(limited(record, Content::Hashed)).at("request.json"));
  CATCH_CHECK(root["words"][0]["text"] == root["words"][2]["text"]);
  CATCH_CHECK(root["words"][0]["text"] != root["words"][1]["text"]);
  GAZE_REQUIRE_REFUSED(gaze::limit(Content::Hashed, {}, record), DropReason::RedactionFailed, "key");
}

CATCH_TEST_CASE("redaction: a hundred thousand faults of each kind are all refused") {
  AttentionRecord small = planted(1, 1, {0}, 2, 2);
  small.labels = {"kanarienrot"};
  Redaction mask;
  mask.mask_yx = at::ones({2, 3}, at::kByte);
  for (const Redaction& redaction :
       {Redaction{.boxes = {{-1, 0, 1, 1}}}, mask, Redaction{.seconds = {{0, 1}}}, Redaction{.tokens = {1}}}) {
    int64_t refused = 0;
    for (int i = 0; i < 100'000; ++i) {
      AttentionRecord record = small;
      try {
        gaze::apply(redaction, record);
      } catch (const gaze::Error& error) {
        refused += error.reason() == DropReason::RedactionFailed ? 1 : 0;
      }
    }
    CATCH_CHECK(refused == 100'000);
  }
}

CATCH_TEST_CASE("redaction: of several media each loses its own part, and every head's map its cells") {
  AttentionRecord a = planted(6, 10, {17, 42});
  a.labels = {"red", " five"};
  a.maps[0].detail.emplace().sites = {
      {"layers.0", gaze::ops::quantise(a.maps[0].map_tk.unsqueeze(0).repeat({2, 1, 1}))}};
  a.maps.push_back(planted_sound(1.5, {0.3, 1.1}).maps[0]);
  a.keys = 60 + 75;
  a.maps[1].geometry().first_key = 60;
  AttentionRecord b = a;
  pixels(b) = pixels(b).clone();
  pixels(b).narrow(0, 10, 10).narrow(1, 70, 10).fill_(7);
  at::Tensor& samples = std::get<gaze::SoundMedium>(b.maps[1].medium).sound.samples;
  samples = samples.clone();
  samples.narrow(1, 8000, 4000).fill_(0.25);
  const Redaction redaction{.boxes = {{70, 10, 10, 10}}, .seconds = {{0.5, 0.75}}};
  const Files files = drawn(redacted(a, redaction));
  CATCH_CHECK(files.count("detail.safetensors") == 1);
  check_alike(files, drawn(redacted(b, redaction)));
  const AttentionRecord made = redacted(a, redaction);
  const at::Tensor& root_hqk = made.maps[0].detail->sites[0].rows.root_hqk;
  CATCH_CHECK(root_hqk.select(2, 17).sum().item<int64_t>() == 0);
  CATCH_CHECK(root_hqk.select(2, 42).sum().item<int64_t>() > 0);
  CATCH_CHECK(a.maps[0].detail->sites[0].rows.root_hqk.select(2, 17).sum().item<int64_t>() > 0);
  check_alike(drawn(limited(a, Content::Maps)), drawn(limited(b, Content::Maps)));
}

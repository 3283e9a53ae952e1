// SPDX-License-Identifier: MIT
// Maps over texts: shares of sources against sums in float64, and what is not as it should be.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>
#include <gaze/render/sources.hpp>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "records.hpp"
#include "text/character_places.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::SourceKind;
using gaze::TextMedium;
using gaze::TextSource;
using nlohmann::json;

class Memory : public gaze::Artifacts {
 public:
  std::map<std::string, std::string> files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace(name, bytes); }
};

constexpr int64_t kTokens = 5;

/// Rows that sum to 1, of a seed; nothing on keys that the answer made later.
at::Tensor rows_of(int64_t keys, int64_t prompt, uint64_t seed = 3) {
  auto generator = at::detail::createCPUGenerator(seed);
  at::Tensor map_tk = at::rand({kTokens, keys}, generator).pow(6);
  for (int64_t t = 0; t < kTokens; ++t) {
    if (prompt + t < keys) map_tk[t].narrow(0, prompt + t, keys - prompt - t).zero_();
  }
  return map_tk / map_tk.sum(1, true);
}

/// <s> The bridge is old </s> A tower is new </s> What is old </s>, and four words of an answer.
AttentionRecord answered() {
  AttentionRecord record;
  TextMedium medium;
  medium.text.tokens = {"<s>", "The",  " bridge", " is",  " old", "</s>", "A",   " tower",
                        " is", " new", "</s>",    "What", " is",  " old", "</s>"};
  medium.text.sources = {{SourceKind::Passage, "doc-1", 1, 5}, {SourceKind::Passage, "doc-2", 6, 10}};
  medium.answer_key = 15;
  medium.geometry = gaze::Geometry{.rows = 1, .cols = 19, .text = true};
  gaze::MediumMap& map = record.maps.emplace_back();
  map.map_tk = rows_of(19, 15);
  map.mass_t = at::ones({kTokens});
  map.visible_t = at::arange(15, 15 + kTokens).to(at::kFloat);
  map.flags_t = at::zeros({kTokens}, at::kInt);
  map.medium = std::move(medium);
  record.labels = {"The", " old", " bridge", " is", " there"};
  record.prompt = "What is old";
  record.keys = 15;
  record.reduce.heads = gaze::ops::HeadReduce::Mean;
  record.sites = {{"layers.0", gaze::SiteKind::Softmax, 4, kTokens}};
  return record;
}

TextMedium& text_of(AttentionRecord& record) { return std::get<TextMedium>(record.maps[0].medium); }

json sources_of(const AttentionRecord& record, std::map<std::string, std::string>* files = nullptr) {
  Memory memory;
  gaze::RenderOptions options;
  options.pictures.sheet = true;
  gaze::render(record, options, memory);
  CATCH_CHECK(memory.files.count("text.jpg") == 1);
  CATCH_CHECK(memory.files.count("matrix.jpg") == 1);
  CATCH_CHECK(memory.files.count("report.html") == 1);
  const json root = json::parse(memory.files.at("sources.json"));
  if (files != nullptr) *files = std::move(memory.files);
  return root;
}

double sum(const at::Tensor& row_k, int64_t first, int64_t end) {
  return row_k.to(at::kDouble).narrow(0, first, end - first).sum().item<double>();
}

std::vector<std::string> titles(const json& root) {
  std::vector<std::string> all;
  for (const json& source : root.at("sources")) {
    all.push_back(source.at("kind").get<std::string>() +
                  (source.at("id").is_null() ? "" : " " + source.at("id").get<std::string>()));
  }
  return all;
}

}  // namespace

CATCH_TEST_CASE("sources: the mass of each part is the sum of its keys, token by token and word by word") {
  AttentionRecord record = answered();
  const json root = sources_of(record);
  CATCH_CHECK(titles(root) == std::vector<std::string>{"passage doc-1", "passage doc-2", "sink first token",
                                                       "sink separators", "rest", "own words"});
  const at::Tensor& map_tk = record.maps[0].map_tk;
  const auto want = [&](const at::Tensor& row_k) {
    return std::vector<double>{sum(row_k, 1, 5),   sum(row_k, 6, 10),
                               sum(row_k, 0, 1),   sum(row_k, 5, 6) + sum(row_k, 10, 11) + sum(row_k, 14, 15),
                               sum(row_k, 11, 14), sum(row_k, 15, 19)};
  };
  for (size_t t = 0; t < kTokens; ++t) {
    const auto got = root["tokens"][t]["mass"].get<std::vector<double>>();
    const std::vector<double> sums = want(map_tk[static_cast<int64_t>(t)]);
    for (size_t p = 0; p < sums.size(); ++p) CATCH_CHECK(std::abs(got[p] - sums[p]) < 1e-6);
    CATCH_CHECK(std::abs(std::accumulate(got.begin(), got.end(), 0.0) - 1) < 1e-5);
    CATCH_CHECK(root["words"][t]["mass"].get<std::vector<double>>() == got);  // each token is a word here
  }
  // The whole answer: the words with content, "old" and "bridge".
  const std::vector<double> whole = want((map_tk[1] + map_tk[2]) / 2);
  for (size_t p = 0; p < whole.size(); ++p) {
    CATCH_CAPTURE(p);
    CATCH_CHECK(std::abs(root["sources"][p]["mass"].get<double>() - whole[p]) < 1e-6);
  }
  CATCH_CHECK(root["notes"].empty());
  const gaze::AnswerSources found = gaze::answer_sources(record);
  for (size_t p = 0; p < whole.size(); ++p) CATCH_CHECK(std::abs(found.sources[p].mass - whole[p]) < 1e-6);
}

CATCH_TEST_CASE("sources: the words that were looked at are those with the mass") {
  AttentionRecord record = answered();
  at::Tensor& map_tk = record.maps[0].map_tk;
  map_tk = at::full({kTokens, 19}, 0.01);
  for (int64_t t = 0; t < kTokens; ++t) map_tk[t].narrow(0, 15 + t, 4 - std::min<int64_t>(t, 4)).zero_();
  for (const auto& [token, key] : {std::pair(1, 7), {2, 4}}) map_tk[token][key] = 0.6;
  map_tk = map_tk / map_tk.sum(1, true);
  const json root = sources_of(record);
  const json& old = root["words"][1]["looked_at"];
  const auto tower = std::find_if(old.begin(), old.end(), [](const json& each) { return each["source"] == 1; });
  CATCH_REQUIRE(tower != old.end());
  CATCH_CHECK((*tower)["words"][0]["text"] == "tower");
  CATCH_CHECK((*tower)["words"][0]["first_token"] == 7);
  CATCH_CHECK((*tower)["window"]["text"] == "A tower is new");
  CATCH_CHECK(std::abs((*tower)["words"][0]["mass"].get<double>() - map_tk[1][7].item<double>()) < 1e-6);
  const json& bridge = root["words"][2]["looked_at"];
  const auto first = std::find_if(bridge.begin(), bridge.end(), [](const json& each) { return each["source"] == 0; });
  CATCH_REQUIRE(first != bridge.end());
  CATCH_CHECK((*first)["words"][0]["text"] == "old");
}

CATCH_TEST_CASE("sources: one that cannot be placed is left out and said, and all others are as they were") {
  struct Case {
    TextSource source;
    std::string note;
  };
  const Case cases[] = {
      {{SourceKind::Tool, "x", 10, 16}, "expected a range within the prompt's 15 tokens, got [10, 16)"},
      {{SourceKind::Tool, "x", 14, 1000000}, "expected a range within the prompt's 15 tokens, got [14, 1000000)"},
      {{SourceKind::Tool, "x", 11, 11}, "got [11, 11)"},
      {{SourceKind::Tool, "x", 13, 11}, "got [13, 11)"},
      {{SourceKind::Tool, "x", -5, 3}, "got [-5, 3)"},
      {{SourceKind::Tool, "x", 3, 7}, "expected tokens of its own, got [3, 7), which passage doc-1 has as well"},
      {{SourceKind::Tool, "x", 1, 5}, "which passage doc-1 has as well"},
      {{SourceKind::Tool, "x"}, "expected a range of tokens or of characters, got none"},
      {{SourceKind::Tool, "x", -1, -1, 0, 4}, "expected the prompt's text beside ranges of characters"},
  };
  const json whole = sources_of(answered());
  for (const Case& each : cases) {
    AttentionRecord record = answered();
    text_of(record).text.sources.push_back(each.source);
    const json root = sources_of(record);
    CATCH_CAPTURE(each.note, root["notes"].dump());
    CATCH_REQUIRE(root["notes"].size() == 1);
    CATCH_CHECK(root["notes"][0].get<std::string>().find(each.note) != std::string::npos);
    CATCH_CHECK(root["notes"][0].get<std::string>().find("sources[2] (x)") == 0);
    CATCH_CHECK(root["sources"] == whole["sources"]);
    CATCH_CHECK(root["words"] == whole["words"]);
  }
}

CATCH_TEST_CASE(
    "sources: tokens that are not as many as the keys have no names, and the answer is drawn all the same") {
  for (const size_t count : {0, 3, 14}) {
    AttentionRecord record = answered();
    text_of(record).text.tokens.resize(count);
    const json root = sources_of(record);
    CATCH_CAPTURE(count);
    CATCH_REQUIRE_FALSE(root["notes"].empty());
    CATCH_CHECK(root["notes"][0].get<std::string>().find(count == 0 ? "are not known" : "expected 15 tokens") !=
                std::string::npos);
    CATCH_CHECK(titles(root) == std::vector<std::string>{"sink first token", "rest", "own words"});
  }
}

CATCH_TEST_CASE("sources: an id of any bytes is shown and ends no page") {
  for (const std::string& id : {std::string(10240, 'x'), std::string("</script><script>alert(1)</script>"),
                                std::string("a\0b\x1b[31m\xff", 10), std::string("\u202Egro.sdrow")}) {
    AttentionRecord record = answered();
    text_of(record).text.sources[0].id = id;
    std::map<std::string, std::string> files;
    const json root = sources_of(record, &files);
    CATCH_CHECK(root["sources"][0]["id"].get<std::string>().size() <= 203);
    CATCH_CHECK(files.at("report.html").find("<script>alert") == std::string::npos);
    CATCH_CHECK(json::parse(files.at("request.json"))["text"]["sources"][0]["kind"] == "passage");
    CATCH_CHECK(files.at("text.jpg").size() < 500000);
  }
}

CATCH_TEST_CASE("sources: characters of the prompt lead to the tokens that make them, however these are written") {
  const std::string text = "A caf\u00e9 near K\u00f6ln. Wo ist es?";
  const std::vector<std::vector<std::string>> written = {
      // bytes in GPT-2's alphabet, a character in two tokens
      {"A", "\u0120caf", "\u00c3", "\u00a9", "\u0120near", "\u0120K", "\u00c3\u00b6", "ln", ".", "\u0120Wo",
       "\u0120ist", "\u0120es", "?"},
      // SentencePiece, one byte by byte
      {"<s>", "\u2581A", "\u2581caf", "<0xC3>", "<0xA9>", "\u2581near", "\u2581K\u00f6ln", ".", "\u2581Wo", "\u2581ist",
       "\u2581es", "?", "</s>"},
      // WordPiece in small letters
      {"[CLS]", "a", "caf\u00e9", "near", "k", "##\u00f6", "##ln", ".", "wo", "ist", "es", "?", "[SEP]"}};
  for (const std::vector<std::string>& labels : written) {
    const auto places = gaze::character_places(text, labels, nullptr);
    CATCH_CAPTURE(labels);
    CATCH_REQUIRE(places);
    std::string found;
    for (size_t i = 0; i < labels.size(); ++i) {
      const gaze::CharacterSpan span = (*places)[i];
      if (span.first < 12 && span.end > 7 && span.first < span.end) found += labels[i] + "|";  // "near"
    }
    CATCH_CHECK(found.find("near|") != std::string::npos);
    CATCH_CHECK(std::count(found.begin(), found.end(), '|') == 1);
    const auto last = std::find(labels.begin(), labels.end(), "?") - labels.begin();
    CATCH_CHECK((*places)[static_cast<size_t>(last)].end == 28);
  }
  CATCH_CHECK_FALSE(gaze::character_places(text, {"Another", " text", " of", " some", " words"}, nullptr));
  CATCH_CHECK(gaze::character_places("", {}, nullptr));
}

CATCH_TEST_CASE("sources: by characters as by tokens; another text, or a range beyond it, is left out") {
  AttentionRecord record = answered();
  TextMedium& medium = text_of(record);
  const json whole = sources_of(record);
  medium.text.text = "The bridge is old A tower is new What is old";
  medium.text.sources = {{SourceKind::Passage, "doc-1", -1, -1, 0, 17}, {SourceKind::Passage, "doc-2", -1, -1, 18, 32}};
  CATCH_CHECK(sources_of(record)["sources"] == whole["sources"]);
  medium.text.sources.push_back({SourceKind::User, "q", -1, -1, 33, 50});
  CATCH_CHECK(sources_of(record)["notes"][0].get<std::string>().find("got characters [33, 50) of 44") !=
              std::string::npos);
  medium.text.text = "Nothing of all that the model was given, and much more of it than there are tokens.";
  const json root = sources_of(record);
  CATCH_CHECK(root["notes"][0].get<std::string>().find("whose tokens make its text") != std::string::npos);
  CATCH_CHECK(titles(root).front() == "sink first token");
}

CATCH_TEST_CASE("sources: a profile's markers tell the parts of a prompt by its ids") {
  AttentionRecord record = answered();
  TextMedium& medium = text_of(record);
  const json whole = sources_of(record);
  medium.text.sources.clear();
  medium.text.ids = {1, 11, 12, 13, 14, 2, 15, 16, 13, 17, 2, 18, 13, 14, 2};
  medium.markers = {
      {SourceKind::Passage, {1}, {2}}, {SourceKind::Passage, {2, 15}, {2}}, {SourceKind::User, {2, 18}, {}}};
  const json root = sources_of(record);
  CATCH_CHECK(titles(root) == std::vector<std::string>{"passage 1", "passage 2", "user", "sink first token",
                                                       "sink separators", "rest", "own words"});
  CATCH_CHECK(root["sources"][0]["mass"] == whole["sources"][0]["mass"]);
  CATCH_CHECK(root["sources"][1]["first_token"] == 7);
  medium.markers = {{SourceKind::Tool, {99}, {}}};
  CATCH_CHECK(sources_of(record)["notes"][0].get<std::string>().find("expected some of them") != std::string::npos);
}

CATCH_TEST_CASE("sources: a text of a hundred thousand tokens is drawn in parts, and its page stays small") {
  constexpr int64_t kKeys = 100000;
  AttentionRecord record = answered();
  TextMedium& medium = text_of(record);
  medium.text.tokens.assign(1, "<s>");
  for (int64_t k = 1; k < kKeys; ++k) medium.text.tokens.push_back(" w" + std::to_string(k % 977));
  medium.text.sources = {{SourceKind::Passage, "long", 1, 60000}, {SourceKind::Passage, "other", 60000, kKeys}};
  medium.answer_key = kKeys;
  medium.geometry.cols = kKeys + 4;
  at::Tensor& map_tk = record.maps[0].map_tk;
  map_tk = rows_of(kKeys + 4, kKeys);
  map_tk[2][71234] = 50;
  map_tk = map_tk / map_tk.sum(1, true);
  record.maps[0].visible_t = at::arange(kKeys, kKeys + kTokens).to(at::kFloat);
  std::map<std::string, std::string> files;
  const json root = sources_of(record, &files);
  CATCH_CHECK(root["words"][2]["mass"][1].get<double>() > 0.9);
  CATCH_CHECK(root["words"][2]["looked_at"].back()["words"][0]["first_token"] == 71234);
  CATCH_CHECK(files.at("report.html").size() < 12000000);
  CATCH_CHECK(files.at("text.jpg").size() < 800000);
}

CATCH_TEST_CASE("sources: broken rows are refused as they are for pictures") {
  AttentionRecord record = answered();
  record.maps[0].flags_t[2] = static_cast<int>(gaze::ops::kRowNonFinite);
  Memory memory;
  GAZE_REQUIRE_REFUSED(gaze::render(record, {}, memory), gaze::DropReason::NonFinite, "got NaN or infinity");
  record = answered();
  text_of(record).geometry.cols = 7;
  GAZE_REQUIRE_REFUSED(gaze::render(record, {}, memory), gaze::DropReason::GridMismatch, "expected a map of 1 x 7");
  // A token without a row has no share of anything.
  record = answered();
  record.maps[0].map_tk[3].zero_();
  record.maps[0].mass_t[3] = 0;
  record.maps[0].flags_t[3] = static_cast<int>(gaze::ops::kRowFullyMasked);
  const json root = sources_of(record);
  for (const json& mass : root["tokens"][3]["mass"]) CATCH_CHECK(mass == 0.0);
}

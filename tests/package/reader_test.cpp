// SPDX-License-Identifier: MIT
// The retrieval reader's side in C++: its prompts are those of the Python package tokenizers, its cases true.
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include <scenes/facts.hpp>

#include "../../samples/cli/console.hpp"
#include "../../samples/cli/reader.hpp"
#include "support/test.hpp"

namespace {

using gaze::scenes::compose_facts;
using gaze::scenes::FactsCase;
using gaze::scenes::FactsQuestion;

const std::string kSamples = GAZE_SAMPLES_DIR;

const gaze::cli::Reader& reader() {
  static const gaze::cli::Reader it = gaze::cli::open_reader(kSamples + "/models/reader/reader.pt");
  return it;
}

}  // namespace

CATCH_TEST_CASE("reader: ids and sources of a prompt are those that the package tokenizers gives") {
  std::ifstream file(kSamples + "/data/reader/question.json");
  const auto written = nlohmann::json::parse(file);
  const FactsCase composed = compose_facts(9'000'000, /*held_out=*/true);
  const gaze::Text text = reader().prompt(composed.passages, composed.questions[0].text);
  CATCH_CHECK(composed.questions[0].text == written["prompt"].get<std::string>());
  CATCH_CHECK(text.ids == written["ids"].get<std::vector<int64_t>>());
  CATCH_REQUIRE(text.sources.size() == written["sources"].size());
  for (size_t i = 0; i < text.sources.size(); ++i) {
    const auto tokens = written["sources"][i]["tokens"].get<std::vector<int64_t>>();
    CATCH_CHECK(text.sources[i].id == written["sources"][i]["id"].get<std::string>());
    CATCH_CHECK(std::vector<int64_t>{text.sources[i].first_token, text.sources[i].end_token} == tokens);
  }
}

CATCH_TEST_CASE("reader: what its tokenizer does not have is refused") {
  CATCH_CHECK_THROWS_AS(reader().tokens("A zebra in Zürich"), gaze::cli::Refusal);
  CATCH_CHECK(reader().tokens("").empty());
}

CATCH_TEST_CASE("reader: the passage of a question states its answer where it says, and no other does") {
  int stated = 0, not_stated = 0;
  std::set<std::string> texts;
  for (uint64_t seed = 9'000'000; seed < 9'000'300; ++seed) {
    const FactsCase composed = compose_facts(seed, /*held_out=*/true);
    CATCH_CAPTURE(seed);
    CATCH_CHECK(composed.passages.size() >= 3);
    CATCH_CHECK(composed.passages.size() <= 6);
    const FactsQuestion& question = composed.questions.front();
    texts.insert(question.text);
    if (question.passage < 0) {
      ++not_stated;
      CATCH_CHECK(question.answer == gaze::scenes::kNotStated);
      continue;
    }
    ++stated;
    const std::string& passage = composed.passages[static_cast<size_t>(question.passage)];
    const auto at = [&](const gaze::scenes::ByteRange& range) {
      return passage.substr(static_cast<size_t>(range.begin), static_cast<size_t>(range.end - range.begin));
    };
    CATCH_CHECK(at(question.value) == question.answer);
    CATCH_CHECK(question.sentence.begin <= question.value.begin);
    CATCH_CHECK(question.value.end <= question.sentence.end);
    CATCH_CHECK_FALSE(reader().tokens(question.text).empty());
  }
  CATCH_CHECK(stated > 200);
  CATCH_CHECK(not_stated > 20);
  CATCH_CHECK(texts.size() > 290);
  const FactsCase once = compose_facts(9'000'007, true), again = compose_facts(9'000'007, true);
  CATCH_CHECK(once.passages == again.passages);
  CATCH_CHECK(compose_facts(7, false).passages != compose_facts(8, false).passages);
}

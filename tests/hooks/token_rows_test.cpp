// SPDX-License-Identifier: MIT
// Which rows of the model's calls become which tokens, and what is said where it cannot be told.
#include <gaze/render/artifacts.hpp>

#include "capture/site_rows.hpp"
#include "hooks_test.hpp"
#include "maps/row_notes.hpp"
#include "render/layouts.hpp"
#include "support/media.hpp"

namespace {

constexpr int64_t kRows = 3, kCols = 4, kCells = kRows * kCols;

torch::jit::Module attention() {
  torch::jit::Module module("Attention");
  module.define(R"JIT(
def forward(self, q, k):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
)JIT");
  return module;
}

/// One row for each cell that is looked at, over `keys` keys that are each other's opposites.
at::Tensor looking_at(const std::vector<int64_t>& cells, int64_t keys) {
  at::Tensor q = at::zeros({1, 1, static_cast<int64_t>(cells.size()), keys});
  for (size_t row = 0; row < cells.size(); ++row) q[0][0][static_cast<int64_t>(row)][cells[row]] = 9;
  return q;
}

struct Answer {
  std::vector<std::vector<int64_t>> calls;  ///< the cells its rows look at
  gaze::TokenRows rules = {};
  std::vector<std::string> labels = {};
  int64_t prompt_tokens = 0, leading = 0, trailing = 0, max_tokens = 256;
};

gaze::AttentionRecord record_of(const Answer& answer) {
  torch::jit::Module module = attention();
  gaze::Options options = hooks_test::options({"*"});
  options.max_tokens = answer.max_tokens;
  options.profile_in_code->rows = answer.rules;
  options.profile_in_code->geometry = gaze::test::grid_of(kRows, kCols);
  options.profile_in_code->geometry->leading = answer.leading;
  options.profile_in_code->geometry->trailing = answer.trailing;
  const int64_t keys = kCells + answer.leading + answer.trailing;
  std::vector<gaze::RequestSpec> specs(1);
  specs[0].prompt_tokens = answer.prompt_tokens;
  const auto run = [&](gaze::Request& request) {
    for (const auto& cells : answer.calls)
      module.forward({looking_at(cells, keys), at::eye(keys).view({1, 1, keys, keys})});
    if (!answer.labels.empty()) request.label(answer.labels);
  };
  return hooks_test::captured(module, options, run, specs).only();
}

/// The cell that each token looked at; what is refused.
std::vector<int64_t> hottest(const gaze::AttentionRecord& record) {
  CATCH_REQUIRE(record.error == "");
  const at::Tensor cells = record.maps[0].map_tk.argmax(1);
  return {cells.data_ptr<int64_t>(), cells.data_ptr<int64_t>() + cells.numel()};
}
std::vector<int64_t> hottest(const Answer& answer) { return hottest(record_of(answer)); }

std::string refusal(const gaze::AttentionRecord& record) {
  CATCH_REQUIRE(record.error == "");
  try {
    gaze::check_labels(record);
  } catch (const gaze::Error& error) {
    CATCH_CHECK(error.reason() == gaze::DropReason::Labels);
    return error.what();
  }
  return "";
}
std::string refusal(const Answer& answer) { return refusal(record_of(answer)); }

const auto contains = [](const std::string& text) { return Catch::Matchers::Contains(text); };
using Cells = std::vector<int64_t>;
const std::vector<std::string> kAbcd = {"a", "b", "c", "d"};

}  // namespace

CATCH_TEST_CASE("token rows: a prompt in pieces makes one row, that of its last piece") {
  for (const std::vector<std::vector<int64_t>>& prompt :
       std::vector<std::vector<std::vector<int64_t>>>{{{7, 7, 0}},
                                                      {{7, 7, 7}, {7, 7, 0}},
                                                      {{7, 7}, {6, 5, 4, 3}, {7, 0}},
                                                      {{1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 0}}}) {
    Answer answer{.calls = prompt, .labels = kAbcd};
    for (const int64_t cell : {11, 2, 5}) answer.calls.push_back({cell});
    const gaze::AttentionRecord record = record_of(answer);
    CATCH_CHECK(hottest(record) == Cells{0, 11, 2, 5});
    CATCH_CHECK(refusal(record) == "");
    CATCH_CHECK(record.maps[0].mass_t.size(0) == 4);
    CATCH_CHECK(record.rows->pieces == static_cast<int64_t>(prompt.size()));
    CATCH_CHECK((gaze::row_note(record) == "") == (prompt.size() == 1));
  }
}

CATCH_TEST_CASE("token rows: several sites take a piece back once") {
  torch::jit::Module module("Layers");
  module.define(R"JIT(
def forward(self, q, k):
    a = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
    b = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
    return a + torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k) + b
)JIT");
  gaze::Options options = hooks_test::options({"*"});
  options.profile_in_code->geometry = gaze::test::grid_of(kRows, kCols);
  const auto run = [&](gaze::Request&) {
    for (const std::vector<int64_t>& cells : std::vector<std::vector<int64_t>>{{4, 4}, {5, 5}, {6, 3}, {8}})
      module.forward({looking_at(cells, kCells), at::eye(kCells).view({1, 1, kCells, kCells})});
  };
  const gaze::AttentionRecord record = hooks_test::captured(module, options, run).only();
  CATCH_CHECK(record.sites.size() == 3);
  CATCH_CHECK(hottest(record) == Cells{3, 8});
  const at::Tensor of_one = looking_at({3}, kCells).softmax(-1).view({kCells});
  CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk[0], of_one) < 1e-6);
  CATCH_CHECK(hooks_test::worst(record.maps[0].visible_t, at::full({2}, double(kCells))) < 1e-6);
}

CATCH_TEST_CASE("token rows: an answer computed anew for every token keeps a row of each call") {
  CATCH_CHECK(hottest(Answer{.calls = {{7, 7, 0}, {7, 7, 0, 1}, {7, 7, 0, 1, 2}}}) == Cells{0, 1, 2});
}

CATCH_TEST_CASE("token rows: labels of another number than rows are refused with what would tell them apart") {
  // Two passes, or a block that runs twice: they look alike.
  const Answer twice{.calls = {{7, 0}, {7, 6}, {1}, {6}, {2}, {6}}, .labels = {"a", "b"}};
  CATCH_CHECK_THAT(refusal(twice), contains("expected 5") && contains("got 2"));
  const Answer eight{.calls = {{0}, {7}, {1}, {7}, {2}, {7}, {3}, {7}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(eight), contains("--calls-per-token 2") && contains("--passes 2"));
  const Answer nine{.calls = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(nine), contains("which row belongs to which label cannot be told") && !contains("--passes"));
  const Answer more{.calls = {{0}, {1}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(more), contains("expected at most 2") && contains("got 4"));
  const Answer queries{.calls = {{0, 1, 2, 3}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(queries), contains("--rows all"));
  // The last piece of the prompt was one token: its row looks like an answer's.
  const Answer last_piece{.calls = {{7, 7}, {7, 7}, {0}, {1}, {2}, {3}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(last_piece), contains("expected 5") && contains("got 4"));
  // Pieces that grow by one look like an answer that is computed anew.
  const Answer growing{.calls = {{7, 7}, {7, 7, 0}, {1}, {2}, {3}}, .labels = kAbcd};
  CATCH_CHECK_THAT(refusal(growing), contains("expected 5") && contains("got 4"));
}

CATCH_TEST_CASE("token rows: one row more than labels is said, the end's is named by its id") {
  const Answer answer{.calls = {{7, 0}, {1}, {2}, {3}, {4}}, .labels = kAbcd};
  const gaze::AttentionRecord record = record_of(answer);
  CATCH_CHECK(refusal(record) == "");
  CATCH_CHECK_THAT(gaze::row_note(record), contains("the last has no label"));
}

CATCH_TEST_CASE("token rows: calls of one token are its layers, of passes one is kept") {
  Answer shared{
      .calls = {{7, 0}, {7, 1}, {2}, {3}, {4}, {5}}, .rules = {.calls_per_token = 2}, .labels = {"a", "b", "c"}};
  const gaze::AttentionRecord layers = record_of(shared);
  CATCH_CHECK(refusal(layers) == "");
  const at::Tensor map_tk = layers.maps[0].map_tk;
  for (int64_t t = 0; t < 3; ++t) {
    const at::Tensor wanted = looking_at({2 * t, 2 * t + 1}, kCells)[0][0].softmax(-1).mean(0);
    CATCH_CHECK(hooks_test::worst(map_tk[t], wanted) < 1e-6);
  }
  for (const int64_t pass : {0, 1}) {
    Answer passes{.calls = {{7, 0}, {7, 8}, {1}, {9}, {2}, {10}},
                  .rules = {.passes = 2, .pass = pass},
                  .labels = {"a", "b", "c"}};
    CATCH_CHECK(hottest(passes) == (pass == 0 ? Cells{0, 1, 2} : Cells{8, 9, 10}));
    CATCH_CHECK(refusal(passes) == "");
  }
  // Both: of each pass two calls.
  Answer both{.calls = {{0}, {0}, {8}, {8}, {1}, {1}, {8}, {8}}, .rules = {.calls_per_token = 2, .passes = 2}};
  CATCH_CHECK(hottest(both) == Cells{0, 1});
  Answer wrong{.calls = {{7, 0}, {1}}, .rules = {.calls_per_token = 2}};
  CATCH_CHECK_THAT(record_of(wrong).error, contains("rows.calls_per_token"));
}

CATCH_TEST_CASE("token rows: the rows that a profile names are taken of every call") {
  using Of = gaze::TokenRows::Of;
  const std::vector<std::vector<int64_t>> calls = {{0, 1, 2, 3}, {4, 5, 6}};
  CATCH_CHECK(hottest(Answer{.calls = calls, .rules = {.of = Of::Last}}) == Cells{3, 6});
  CATCH_CHECK(hottest(Answer{.calls = calls, .rules = {.of = Of::First}}) == Cells{0, 4});
  CATCH_CHECK(hottest(Answer{.calls = calls, .rules = {.of = Of::All}}) == Cells{0, 1, 2, 3, 4, 5, 6});
  CATCH_CHECK(hottest(Answer{.calls = calls, .rules = {.of = Of::Range, .first = 1, .last = 2}}) == Cells{1, 2, 5, 6});
  const Answer all{.calls = {{7, 7, 0}, {1, 2}, {3}}, .rules = {.of = Of::All}, .labels = kAbcd, .prompt_tokens = 3};
  CATCH_CHECK(hottest(all) == Cells{0, 1, 2, 3});
  CATCH_CHECK(refusal(all) == "");
  const Answer beyond{.calls = {{0, 1, 2}, {4, 5}}, .rules = {.of = Of::Range, .first = 1, .last = 2}};
  CATCH_CHECK_THAT(record_of(beyond).error, contains("rows.of_call") && contains("got one of 2"));
}

CATCH_TEST_CASE("token rows: an encoder's class token is its row, and of one without any it is said") {
  std::vector<int64_t> rows(kCells + 1, 1);
  rows[0] = 9;
  const gaze::AttentionRecord encoder = record_of({.calls = {rows}, .leading = 1});
  CATCH_CHECK(hottest(encoder) == Cells{8});  // cells count behind the leading key
  CATCH_CHECK(refusal(encoder) == "");
  CATCH_CHECK_THAT(gaze::row_note(encoder), contains("the class token's of 13"));
  // Registers behind it, a class token at the end, several pictures one after another.
  std::vector<int64_t> registers(kCells + 5, 6);
  registers[0] = 7;
  CATCH_CHECK(hottest(Answer{.calls = {registers}, .leading = 5}) == Cells{2});
  std::vector<int64_t> behind(kCells + 1, 1);
  behind.back() = 9;
  CATCH_CHECK(hottest(Answer{.calls = {behind}, .trailing = 1}) == Cells{9});
  CATCH_CHECK(hottest(Answer{.calls = {rows, rows}, .leading = 1}) == Cells{8, 8});
  const std::vector<int64_t> none(kCells, 3);
  const gaze::AttentionRecord pooled = record_of({.calls = {none}});
  CATCH_CHECK(hottest(pooled) == Cells{3});
  CATCH_CHECK(refusal(pooled) == "");
  CATCH_CHECK(gaze::row_note(pooled) ==
              "Rows: the last of 12 in each call, a cell of its own: no row stands for the answer.");
  CATCH_CHECK(hottest(Answer{.calls = {none}, .rules = {.of = gaze::TokenRows::Of::First}}) == Cells{3});
  // A prefix of the picture alone, before the answer's rows.
  CATCH_CHECK(hottest(Answer{.calls = {none, {5}, {6}}, .labels = {"a", "b"}}) == Cells{5, 6});
  CATCH_CHECK(refusal(Answer{.calls = {none, {5}, {6}}, .labels = {"a", "b"}}) == "");
  CATCH_CHECK_THAT(refusal(Answer{.calls = {none, {5}, {6}}, .labels = {"a", "b", "c"}}), contains("--rows last"));
  const Answer last{.calls = {none, {5}, {6}}, .rules = {.of = gaze::TokenRows::Of::Last}, .labels = {"a", "b", "c"}};
  CATCH_CHECK(hottest(last) == Cells{3, 5, 6});
  CATCH_CHECK(refusal(last) == "");
}

CATCH_TEST_CASE("token rows: the row of one call of many is said") {
  const gaze::AttentionRecord detector = record_of({.calls = {{0, 1, 2, 3, 4}}});
  CATCH_CHECK(hottest(detector) == Cells{4});
  CATCH_CHECK_THAT(gaze::row_note(detector), contains("the last of 5 in one call"));
}

CATCH_TEST_CASE("token rows: an answer longer than the limit keeps its first tokens, with their labels") {
  Answer answer{.calls = {}, .labels = {}, .max_tokens = 5};
  for (int64_t t = 0; t < 9; ++t) {
    answer.calls.push_back({t});
    answer.labels.push_back("t" + std::to_string(t));
  }
  const gaze::AttentionRecord record = record_of(answer);
  CATCH_CHECK(hottest(record) == Cells{0, 1, 2, 3, 4});
  CATCH_CHECK(record.tokens_dropped == 4);
  CATCH_CHECK(refusal(record) == "");
  answer.labels.push_back("one too many");
  CATCH_CHECK_THAT(refusal(answer), contains("expected at most 9"));
}

CATCH_TEST_CASE("token rows: rows of a cache that was cut back were none") {
  using Of = gaze::TokenRows::Of;
  const gaze::TokenRows rules{.of = Of::All};
  const gaze::RowFacts facts{.rules = rules, .prompt_tokens = 6, .self = true};
  gaze::SiteRows rows;
  // A prompt of 6, then 3 rows checked of which 1, then 4 of which all are kept.
  gaze::CallRows call = rows.next("site", 6, 6, facts);
  CATCH_CHECK((call.first_query == 5 && call.queries == 1 && call.first_token == 0 && !call.takes_back));
  call = rows.next("site", 3, 9, facts);
  CATCH_CHECK((call.first_query == 0 && call.queries == 3 && call.first_token == 1 && !call.takes_back));
  call = rows.next("site", 4, 11, facts);
  CATCH_CHECK((call.queries == 4 && call.first_token == 2 && call.takes_back));
  call = rows.next("site", 1, 12, facts);
  CATCH_CHECK((call.queries == 1 && call.first_token == 6 && !call.takes_back));
  CATCH_CHECK(rows.rows() == 7);
}

CATCH_TEST_CASE("token rows: keys on the query's side are told from a medium that does not fit") {
  torch::jit::Module module = attention();
  gaze::Options options = hooks_test::options({"*"});
  const auto run = [&](gaze::Request&) { module.forward({at::randn({1, 1, kCells, 8}), at::randn({1, 1, 5, 8})}); };
  const gaze::Geometry sound{.rows = 1, .cols = kCells, .time = gaze::Timeline{.seconds_per_key = 0.02}};
  for (const auto& [geometry, noun] : {std::pair{gaze::test::grid_of(kRows, kCols), "picture"}, {sound, "sound"}}) {
    options.profile_in_code->geometry = geometry;
    CATCH_CHECK_THAT(hooks_test::captured(module, options, run).only().error,
                     contains("12 queries") && contains(std::string("the ") + noun + " is on the query side"));
  }
}

CATCH_TEST_CASE("token rows: names are read as they are written") {
  for (const char* text : {"last", "first", "all", "0-0", "3-17"})
    CATCH_CHECK(gaze::name(gaze::parse_token_rows(text).value()) == text);
  CATCH_CHECK(gaze::name(gaze::parse_token_rows("4").value()) == "4-4");
  for (const char* text : {"", "found", "5-3", "-1", "1-", "-", "last ", "1-2-3", "99999999999999999999"})
    CATCH_CHECK_FALSE(gaze::parse_token_rows(text));
}

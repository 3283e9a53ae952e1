// SPDX-License-Identifier: MIT
// A word of several tokens is drawn and described by those that point.
#include <gaze/render/overlay.hpp>

#include <algorithm>
#include <cmath>
#include <random>

#include "records.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::Composition;
using gaze::WordFacts;
using gaze::test::planted;

// Written anew, in double.
double entropy_of(const at::Tensor& map_c) {
  const at::Tensor p_c = map_c.to(at::kDouble) / map_c.to(at::kDouble).sum();
  return -(p_c * p_c.clamp_min(1e-300).log()).sum().item<double>() / std::log(static_cast<double>(p_c.numel()));
}

AttentionRecord spelled(const std::vector<int64_t>& hot, const std::vector<std::string>& labels, int64_t height = 60,
                        int64_t width = 100) {
  AttentionRecord record = planted(6, 10, hot, height, width);
  record.labels = labels;
  return record;
}

}  // namespace

CATCH_TEST_CASE(
    "sharpest token: a word has the figures of the one with the most focus, which is mass x (1 - entropy)") {
  std::mt19937 random(3);
  for (const int64_t rows : {1, 5, 9}) {
    AttentionRecord record = planted(rows, 7, std::vector<int64_t>(9, -1));
    record.labels = {" a", "b", "c", " d", " e", "f", "g", "h", "i"};
    at::manual_seed(rows);
    at::Tensor& map_tk = record.maps[0].map_tk;
    map_tk = at::softmax(at::randn({9, rows * 7}) * 3, 1) * at::rand({9, 1});
    record.maps[0].mass_t = map_tk.sum(1);
    const Composition composition = gaze::compose(record);
    CATCH_REQUIRE(composition.words.size() == 3);
    for (const WordFacts& word : composition.words) {
      int64_t sharpest = -1;
      double most = -1;
      for (int64_t t = word.word.first; t < word.word.first + word.word.count; ++t) {
        const double focus = map_tk[t].sum().item<double>() * (1 - entropy_of(map_tk[t]));
        if (focus > most) most = focus, sharpest = t;
      }
      CATCH_CHECK(word.sharpest.token == sharpest);
      CATCH_CHECK(word.sharpest.focus == Approx(most).margin(1e-5));
      CATCH_CHECK(word.sharpest.entropy == Approx(entropy_of(map_tk[sharpest])).margin(1e-5));
      CATCH_CHECK(word.sharpest.mass == Approx(map_tk[sharpest].sum().item<double>()));
      CATCH_CHECK(word.sharpest.max_lift ==
                  Approx(map_tk[sharpest].max().item<double>() * static_cast<double>(rows * 7)));
    }
  }
}

CATCH_TEST_CASE("sharpest token: the map of a word is the mean of its tokens' by their focus") {
  at::manual_seed(11);
  AttentionRecord record = spelled({-1, -1, -1, -1, -1}, {" a", "b", "c", " d", "e"});
  at::Tensor& map_tk = record.maps[0].map_tk;
  map_tk = at::softmax(at::randn({5, 60}) * 2, 1) * 0.8;
  record.maps[0].mass_t = map_tk.sum(1);
  const Composition composition = gaze::compose(record);
  for (const auto& [word, first, count] : {std::tuple{0, 0, 3}, {1, 3, 2}}) {
    at::Tensor mean_c = at::zeros({60}, at::kDouble);
    double sum = 0;
    for (int64_t t = first; t < first + count; ++t) {
      const double focus = map_tk[t].sum().item<double>() * (1 - entropy_of(map_tk[t]));
      mean_c += map_tk[t].to(at::kDouble) * 60 * focus;
      sum += focus;
    }
    CATCH_CHECK(at::allclose(composition.lift_wc[word].to(at::kDouble), mean_c / sum, 1e-4, 1e-5));
  }
}

CATCH_TEST_CASE("sharpest token: a word is not diffuse while one of its tokens points, whatever the others do") {
  // The plain mean of one that points and of many that do not is flat.
  for (const size_t others : {1, 6, 40}) {
    for (const bool first : {true, false}) {
      std::vector<int64_t> hot(others + 1, -1);
      std::vector<std::string> labels(others + 1, "x");
      labels.front() = " x";
      (first ? hot.front() : hot.back()) = 23;
      const AttentionRecord record = spelled(hot, labels);
      const Composition composition = gaze::compose(record);
      CATCH_REQUIRE(composition.words.size() == 1);
      const WordFacts& word = composition.words[0];
      CATCH_CHECK_FALSE(word.diffuse);
      CATCH_CHECK(word.sharpest.token == (first ? 0 : static_cast<int64_t>(others)));
      CATCH_CHECK(gaze::cell_at(record.maps[0].geometry(), 100, 60, word.hot_x, word.hot_y) == 23);
      CATCH_CHECK(word.max_lift > 50);
    }
  }
}

CATCH_TEST_CASE("sharpest token: a word of flat tokens is diffuse and its map their mean, without colour or outline") {
  const AttentionRecord record = spelled({-1, -1, -1, 7}, {" a", "b", "c", " d"});
  const Composition composition = gaze::compose(record);
  CATCH_REQUIRE(composition.words.size() == 2);
  CATCH_CHECK(composition.words[0].diffuse);
  CATCH_CHECK(composition.words[0].sharpest.focus == Approx(0).margin(1e-4));
  CATCH_CHECK(at::allclose(composition.lift_wc[0], at::full({60}, 0.95F), 1e-4));
  CATCH_CHECK_FALSE(composition.words[1].diffuse);
}

CATCH_TEST_CASE("sharpest token: tokens without any mass neither count nor divide by zero") {
  AttentionRecord record = spelled({5, 9, 1, 2}, {" a", "b", " c", "d"});
  record.maps[0].map_tk[0].fill_(0);
  record.maps[0].map_tk.narrow(0, 2, 2).fill_(0);
  record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
  record.maps[0].flags_t = at::tensor({4, 0, 4, 4}, at::kInt);
  const Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].sharpest.token == 1);
  CATCH_CHECK(at::isfinite(composition.lift_wc).all().item<bool>());
  CATCH_CHECK(composition.lift_wc[0].argmax().item<int64_t>() == 9);
  CATCH_CHECK(composition.words[1].sharpest.focus == 0);
}

CATCH_TEST_CASE("sharpest token: the summary has the mean over words with content, or over all where none has") {
  AttentionRecord record = spelled({3, -1, 8}, {" red", " the", " dog"});
  const auto summary_of = [](const AttentionRecord& of) {
    const Composition composition = gaze::compose(of);
    std::vector<double> focus;
    for (const auto& word : composition.words) focus.push_back(word.sharpest.focus);
    return std::pair{composition.summary.sharpest.focus, focus};
  };
  const auto [mean, focus] = summary_of(record);
  CATCH_CHECK(mean == Approx((focus[0] + focus[2]) / 2));
  record.labels = {" of", " the", " and"};
  const auto [all, unsaid] = summary_of(record);
  CATCH_CHECK(all == Approx((unsaid[0] + unsaid[1] + unsaid[2]) / 3));
  record.labels.clear();  // numbered tokens: nothing is known of them
  for (const auto& word : gaze::compose(record).words) CATCH_CHECK(word.content);
}

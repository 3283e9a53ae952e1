// SPDX-License-Identifier: MIT
// Figures of many answers are counted, kept in a file and compared; what is no such file is refused in a line.
#include <gaze/render/drift.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../hooks/allocation_count.hpp"
#include "drifting.hpp"
#include "records.hpp"

namespace {

using gaze::AttentionStatistics;
using gaze::DriftFigure;
using gaze::DriftVerdict;
using gaze::FigureDrift;
using gaze::FigureHistogram;
using gaze::test::answer;
using gaze::test::Stream;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

FigureHistogram histogram(DriftFigure figure, const std::vector<double>& values) {
  AttentionStatistics statistics;
  for (const double value : values) statistics.add(answer(value, value, value, value));
  return statistics.versions().front().of(figure);
}

// Written anew, on the values themselves.
double exact_distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double most = 0;
  for (const std::vector<double>* side : {&a, &b}) {
    for (const double x : *side) {
      const auto below = [x](const std::vector<double>& values) {
        return static_cast<double>(std::upper_bound(values.begin(), values.end(), x) - values.begin()) /
               static_cast<double>(values.size());
      };
      most = std::max(most, std::abs(below(a) - below(b)));
    }
  }
  return most;
}

std::string why(const std::string& text) {
  const auto found = gaze::test::refusal([&] { gaze::parse_statistics(text, "kept.json"); });
  if (!found) return "accepted";
  CATCH_CHECK(found->text.size() < 500);
  CATCH_REQUIRE_THAT(found->text, Catch::Matchers::StartsWith("kept.json: "));
  return found->text.substr(11);
}

AttentionStatistics some(size_t answers, const std::string& model = "reader") {
  Stream stream(7);
  AttentionStatistics statistics;
  for (size_t i = 0; i < answers; ++i) statistics.add(stream.next(0, model));
  return statistics;
}

}  // namespace

CATCH_TEST_CASE("statistics: figures count where they belong, at the edges and beyond") {
  AttentionStatistics statistics;
  for (const double value : {0.0, 0.049, 0.05, 0.999, 1.0, 1.5, -0.1, kNone, std::numeric_limits<double>::infinity()})
    statistics.add(answer(value, 0.5, 0.5, value));
  const gaze::VersionStatistics& version = statistics.versions().front();
  CATCH_CHECK(version.answers == 9);
  const FigureHistogram& mass = version.of(DriftFigure::Mass);
  CATCH_CHECK(mass.unmeasured == 2);
  CATCH_CHECK(mass.measured() == 7);
  CATCH_CHECK(mass.bins()[0] == 3);
  CATCH_CHECK(mass.bins()[1] == 1);
  CATCH_CHECK(mass.bins()[19] == 3);
  CATCH_CHECK(version.of(DriftFigure::Entropy).bins()[10] == 9);
  CATCH_CHECK(version.of(DriftFigure::MaxLift).unmeasured == 2);
  CATCH_CHECK(FigureHistogram::edge(DriftFigure::Focus, 3) == Approx(0.15));
  CATCH_CHECK(FigureHistogram::edge(DriftFigure::MaxLift, 0) == Approx(0.5));
  CATCH_CHECK(FigureHistogram::edge(DriftFigure::MaxLift, 20) == Approx(512));
  const FigureHistogram lift = histogram(DriftFigure::MaxLift, {0.0, 0.6, 1.0, 1.5, 511, 10000});
  CATCH_CHECK(lift.bins()[0] == 2);  // below 0.707
  CATCH_CHECK(lift.bins()[2] == 1);
  CATCH_CHECK(lift.bins()[3] == 1);
  CATCH_CHECK(lift.bins()[19] == 2);
}

CATCH_TEST_CASE("statistics: verdicts, words and tokens are counted by model and its file") {
  AttentionStatistics statistics;
  gaze::AnswerFigures figures = answer(0.9, 0.4, 0.5, 8);
  figures.verdict = gaze::Verdict::Weak;
  figures.words = {1, 0, 2, 3};
  figures.tokens = 6;
  statistics.add(figures);
  figures.model_sha256 = "other";
  statistics.add(figures);
  statistics.add(figures);
  CATCH_REQUIRE(statistics.versions().size() == 2);
  const gaze::VersionStatistics& latest = statistics.versions().back();
  CATCH_CHECK(latest.model_sha256 == "other");
  CATCH_CHECK(latest.verdicts == std::array<int64_t, 4>{0, 0, 2, 0});
  CATCH_CHECK(latest.words == std::array<int64_t, 4>{2, 0, 4, 6});
  CATCH_CHECK(latest.tokens == 12);
  CATCH_CHECK(statistics.answers() == 3);
}

CATCH_TEST_CASE("statistics: of too many versions that gives way which was added to longest ago") {
  AttentionStatistics statistics;
  const auto add = [&](size_t i) { statistics.add(answer(0.5, 0.5, 0.5, 2, "model " + std::to_string(i))); };
  for (size_t i = 0; i < AttentionStatistics::kMostVersions; ++i) add(i);
  add(0);
  add(100);
  CATCH_CHECK(statistics.versions().size() == AttentionStatistics::kMostVersions);
  CATCH_CHECK(statistics.left_out() == 1);
  CATCH_CHECK(statistics.versions().front().model == "model 2");
  CATCH_CHECK(statistics.versions().back().model == "model 100");
}

CATCH_TEST_CASE("statistics: adding to a known version allocates nothing") {
  AttentionStatistics statistics = some(1);
  const gaze::AnswerFigures figures = answer(0.3, 0.3, 0.3, 3, "reader");
  CATCH_CHECK(hooks_test::allocations_of([&] {
                for (int i = 0; i < 100; ++i) statistics.add(figures);
              }) == 0);
  CATCH_CHECK(statistics.answers() == 101);
}

CATCH_TEST_CASE("statistics: what is kept in a file is read as it was, and may be put together") {
  AttentionStatistics one = some(40), all = some(40);
  const AttentionStatistics other = some(30, "a \"name\"\n\xff\xfe of any bytes");
  all.merge(other);
  all.merge(other);
  const std::string text = all.json();
  const AttentionStatistics read = gaze::parse_statistics(text, "kept.json");
  CATCH_CHECK(read.json() == text);
  CATCH_CHECK(read.answers() == 100);
  one.merge(one);
  CATCH_CHECK(one.versions().front().of(DriftFigure::Mass).measured() == 80);
  CATCH_CHECK(gaze::parse_statistics(AttentionStatistics().json(), "kept.json").versions().empty());
}

CATCH_TEST_CASE("statistics: a file that is none is refused in a line") {
  const std::string good = some(3).json();
  const auto with = [&](const std::string& was, const std::string& is) {
    std::string text = good;
    const size_t at = text.find(was);
    CATCH_REQUIRE(at != std::string::npos);
    return text.replace(at, was.size(), is);
  };
  CATCH_CHECK(why(good) == "accepted");
  CATCH_CHECK_THAT(why(""), Catch::Matchers::StartsWith("expected JSON, got: "));
  CATCH_CHECK_THAT(why(good.substr(0, good.size() / 2)), Catch::Matchers::StartsWith("expected JSON, got: "));
  CATCH_CHECK(why("[]") == "expected an object with gaze_statistics. Was the file written by gaze drift --save?");
  CATCH_CHECK_THAT(why("{}"), Catch::Matchers::StartsWith("expected gaze_statistics, found none."));
  CATCH_CHECK_THAT(why(with("\"gaze_statistics\":1", "\"gaze_statistics\":2")),
                   Catch::Matchers::StartsWith("expected gaze_statistics 1, got that of another version."));
  CATCH_CHECK_THAT(why(with("\"answers\":3", "\"answers\":4")),
                   Catch::Matchers::StartsWith("expected verdicts of 4 answers, got those of 3."));
  CATCH_CHECK_THAT(why(with("\"answers\":3", "\"answers\":-3")),
                   Catch::Matchers::StartsWith("expected answers: a whole number from 0 to 1000000000000."));
  CATCH_CHECK_THAT(why(with("\"answers\":3", "\"answers\":3e0")),
                   Catch::Matchers::StartsWith("expected answers: a whole number"));
  CATCH_CHECK_THAT(why(with("\"answers\":3", "\"answers\":99999999999999999999")),
                   Catch::Matchers::StartsWith("expected answers: a whole number"));
  CATCH_CHECK_THAT(why(with("\"answers\":3", "\"answers\":3,\"answers\":3")),
                   Catch::Matchers::StartsWith("answers: expected each field once"));
  CATCH_CHECK_THAT(why(with("\"steps\":[[", "\"steps\":[[640,1],[")),
                   Catch::Matchers::StartsWith("expected mass.steps: a step: a whole number from 0 to 639."));
  CATCH_CHECK_THAT(why(with("\"steps\":[[", "\"steps\":[[639,1],[")),
                   Catch::Matchers::StartsWith("expected mass.steps: each step once, in order."));
  CATCH_CHECK_THAT(why(with("\"steps\":[[", "\"steps\":[7,[")),
                   Catch::Matchers::StartsWith("expected mass.steps: pairs of a step and a count."));
  CATCH_CHECK_THAT(why(with("\"unmeasured\":0", "\"unmeasured\":1")),
                   Catch::Matchers::StartsWith("expected mass of 3 answers, got those of 4."));
  CATCH_CHECK_THAT(why(with("\"reader\"", "\"" + std::string(2000, 'x') + "\"")),
                   Catch::Matchers::StartsWith("expected model: a text of at most 600 bytes."));
  CATCH_CHECK_THAT(why(std::string(5 << 20, ' ')), Catch::Matchers::StartsWith("expected at most 4194304 bytes."));
  CATCH_CHECK_THAT(why(std::string(100000, '[')), Catch::Matchers::StartsWith("expected lists and objects at most 32"));
}

CATCH_TEST_CASE("drift: the stability index is the sum over the bins, with half an answer added to each that is used") {
  std::vector<double> a(60, 0.11), b(20, 0.11);
  a.insert(a.end(), 40, 0.31);
  b.insert(b.end(), 60, 0.31);
  b.insert(b.end(), 20, 0.51);
  const FigureDrift found = gaze::drift(histogram(DriftFigure::Mass, a), histogram(DriftFigure::Mass, b));
  double expected = 0;
  for (const auto& [x, y] : {std::pair(60.5, 20.5), std::pair(40.5, 60.5), std::pair(0.5, 20.5)})
    expected += (y - x) / 101.5 * std::log(y / x);
  CATCH_CHECK(found.psi == Approx(expected));
  CATCH_CHECK(found.ks == Approx(0.4));
  CATCH_CHECK(found.verdict == DriftVerdict::Major);
}

CATCH_TEST_CASE("drift: the chance of a distance is that of Kolmogorov's distribution") {
  // Distance, answers, and what scipy 1.x's kstwo.sf says for round(n m / (n + m)).
  const struct {
    size_t n, m;
    double distance, chance;
  } cases[] = {{100, 100, 0.15, 0.1902637},   {100, 100, 0.25, 0.003065762},   {500, 200, 0.10, 0.1069133},
               {500, 200, 0.16, 0.001151626}, {1000, 500, 0.12, 0.0001231553}, {50, 50, 0.30, 0.01717812}};
  for (const auto& each : cases) {
    const auto moved = static_cast<size_t>(std::lround(each.distance * static_cast<double>(each.m)));
    std::vector<double> a(each.n, 0.2), b(each.m - moved, 0.2);
    b.insert(b.end(), moved, 0.8);
    const FigureDrift found = gaze::drift(histogram(DriftFigure::Focus, a), histogram(DriftFigure::Focus, b));
    CATCH_CHECK(found.ks == Approx(each.distance));
    CATCH_CHECK(found.ks_p == Approx(each.chance).epsilon(0.06));
  }
  const std::vector<double> same(100, 0.5);
  const FigureDrift none = gaze::drift(histogram(DriftFigure::Mass, same), histogram(DriftFigure::Mass, same));
  CATCH_CHECK(none.psi == 0);
  CATCH_CHECK(none.ks == 0);
  CATCH_CHECK(none.ks_p == 1);
  CATCH_CHECK(none.verdict == DriftVerdict::None);
}

CATCH_TEST_CASE("drift: steps hide little of the distance of the values themselves, and never add to it") {
  std::mt19937 random(11);
  double hidden = 0;
  for (int round = 0; round < 200; ++round) {
    std::normal_distribution<double> reference(0.5, 0.1), running(0.5 + 0.001 * round, 0.08);
    std::vector<double> a, b;
    for (int i = 0; i < 300; ++i) a.push_back(std::clamp(reference(random), 0.0, 0.9999));
    for (int i = 0; i < 200; ++i) b.push_back(std::clamp(running(random), 0.0, 0.9999));
    const double exact = exact_distance(a, b);
    const double found = gaze::drift(histogram(DriftFigure::Focus, a), histogram(DriftFigure::Focus, b)).ks;
    CATCH_REQUIRE(found <= exact + 1e-12);
    hidden = std::max(hidden, exact - found);
  }
  CATCH_CHECK(hidden < 0.025);
}

CATCH_TEST_CASE("drift: nothing is said of few answers, nor of figures that were not measured") {
  const std::vector<double> low(49, 0.1), high(500, 0.9), none(500, kNone);
  const auto verdict = [](const std::vector<double>& a, const std::vector<double>& b) {
    return gaze::drift(histogram(DriftFigure::Mass, a), histogram(DriftFigure::Mass, b)).verdict;
  };
  CATCH_CHECK(verdict(low, high) == DriftVerdict::CannotSay);
  CATCH_CHECK(verdict(high, low) == DriftVerdict::CannotSay);
  CATCH_CHECK(verdict(high, none) == DriftVerdict::CannotSay);
  CATCH_CHECK(verdict(std::vector<double>(50, 0.1), high) == DriftVerdict::Major);
  CATCH_CHECK(gaze::drift(FigureHistogram(), FigureHistogram()).verdict == DriftVerdict::CannotSay);
}

CATCH_TEST_CASE("drift: a difference that chance makes is none, and a sure one that is small is none either") {
  // 50 answers each, spread over many bins: the index is large by chance alone.
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  int large = 0, called = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<double> a, b;
    for (int i = 0; i < 50; ++i) a.push_back(uniform(random)), b.push_back(uniform(random));
    const FigureDrift found = gaze::drift(histogram(DriftFigure::Mass, a), histogram(DriftFigure::Mass, b));
    large += found.psi >= gaze::kMajorStability ? 1 : 0;
    called += found.verdict == DriftVerdict::None ? 0 : 1;
  }
  CATCH_CHECK(large > 150);
  CATCH_CHECK(called <= 1);
  std::vector<double> a, b;
  for (int i = 0; i < 20000; ++i) a.push_back(uniform(random)), b.push_back(std::pow(uniform(random), 1.1));
  const FigureDrift small = gaze::drift(histogram(DriftFigure::Mass, a), histogram(DriftFigure::Mass, b));
  CATCH_CHECK(small.ks_p < 1e-6);
  CATCH_CHECK(small.verdict == DriftVerdict::None);
}

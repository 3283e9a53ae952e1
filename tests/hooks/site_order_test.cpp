// SPDX-License-Identifier: MIT
// Which site a call without a name is of: rules alone, on the calls that models make.
#include "request/site_order.hpp"

#include <map>
#include <string>
#include <vector>

#include "support/test.hpp"

using gaze::SiteOrder;
using gaze::StepSite;

namespace {

using Calls = std::vector<SiteOrder::Call>;

/// A model's calls in one step: each with heads, size, queries and keys.
struct Model {
  const char* name;
  Calls first, later;      ///< later: keys are those of the first later step
  int64_t grows = 1;       ///< keys of a self-attention more for each later step
  std::vector<bool> self;  ///< of the later step's calls: whether its keys grow
};

const std::vector<Model> kGrowing = {
    {"decoder",
     {{4, 4, 8, 7, 7}, {4, 4, 8, 7, 7}, {4, 4, 8, 7, 7}},
     {{4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}},
     1,
     {true, true, true}},
    {"decoder with cross-attention",
     {{4, 4, 8, 5, 5}, {4, 4, 8, 5, 49}, {4, 4, 8, 5, 5}, {4, 4, 8, 5, 49}},
     {{4, 4, 8, 1, 6}, {4, 4, 8, 1, 49}, {4, 4, 8, 1, 6}, {4, 4, 8, 1, 49}},
     1,
     {true, false, true, false}},
    {"a prompt of one token", {{4, 4, 8, 1, 1}, {4, 4, 8, 1, 1}}, {{4, 4, 8, 1, 2}, {4, 4, 8, 1, 2}}, 1, {true, true}},
    {"a tower in the first step",
     {{8, 8, 16, 50, 50}, {8, 8, 16, 50, 50}, {4, 4, 8, 60, 60}, {4, 4, 8, 60, 60}},
     {{4, 4, 8, 1, 61}, {4, 4, 8, 1, 61}},
     1,
     {true, true}},
};

SiteOrder::Call at_step(const Model& model, size_t call, int64_t step) {
  SiteOrder::Call now = model.later[call];
  if (model.self[call]) now.keys += (step - 1) * model.grows;
  return now;
}

std::vector<int64_t> run(SiteOrder& order, const Model& model, int64_t steps, bool marked) {
  std::vector<int64_t> numbers;
  const auto call = [&](const SiteOrder::Call& each) {
    const auto number = order.next(each);
    numbers.push_back(number ? *number : -9);
  };
  if (marked) order.step();
  for (const SiteOrder::Call& each : model.first) call(each);
  for (int64_t step = 1; step < steps; ++step) {
    if (marked) order.step();
    for (size_t i = 0; i < model.later.size(); ++i) call(at_step(model, i, step));
  }
  order.end();
  return numbers;
}

std::vector<int64_t> wanted(const Model& model, int64_t steps) {
  std::vector<int64_t> numbers;
  const auto all = static_cast<int64_t>(model.first.size()), later = static_cast<int64_t>(model.later.size());
  for (int64_t i = 0; i < all; ++i) numbers.push_back(i);
  for (int64_t step = 1; step < steps; ++step) {
    for (int64_t i = all - later; i < all; ++i) numbers.push_back(i);
  }
  return numbers;
}

std::vector<StepSite> told(const Calls& calls, bool with_sizes, bool in_step = true) {
  std::vector<StepSite> sites;
  for (const SiteOrder::Call& each : calls) {
    StepSite& site = sites.emplace_back();
    site.site.name = "layer" + std::to_string(sites.size() - 1);
    if (with_sizes) site.site.heads = each.heads;
    if (with_sizes) site.head_size = each.head_size;
    site.in_step = in_step;
  }
  return sites;
}

}  // namespace

CATCH_TEST_CASE("site order: calls of growing caches are told apart, with steps marked, named, or neither") {
  for (const Model& model : kGrowing) {
    for (const bool marked : {false, true}) {
      CATCH_CAPTURE(model.name, marked);
      SiteOrder found({});
      CATCH_CHECK(run(found, model, 5, marked) == wanted(model, 5));
      CATCH_CHECK(found.problem() == "");
      if (!marked && model.first.size() != model.later.size()) continue;  // told sites all run in every step
      for (const bool with_sizes : {false, true}) {
        // Without sizes a tower's calls look like any.
        if (!with_sizes && model.first.size() != model.later.size()) continue;
        SiteOrder named(told(model.first, with_sizes));
        CATCH_CHECK(run(named, model, 5, marked) == wanted(model, 5));
        CATCH_CHECK(named.problem() == "");
      }
    }
  }
}

CATCH_TEST_CASE("site order: caches that do not grow are told apart by marks, and refused without") {
  const Model fixed = {
      "fixed", {{4, 4, 8, 7, 40}, {4, 4, 8, 7, 40}}, {{4, 4, 8, 1, 40}, {4, 4, 8, 1, 40}}, 0, {false, false}};
  const Model none = {
      "no cache", {{4, 4, 8, 7, 7}, {4, 4, 8, 7, 7}}, {{4, 4, 8, 8, 8}, {4, 4, 8, 8, 8}}, 1, {true, true}};
  SiteOrder marked({});
  CATCH_CHECK(run(marked, fixed, 4, true) == wanted(fixed, 4));
  SiteOrder unmarked({});
  CATCH_CHECK(run(unmarked, fixed, 2, false).back() == -9);
  CATCH_CHECK(unmarked.problem().find("Mark each step with Gaze::step()") != std::string::npos);
  SiteOrder anew({});
  Model grows = none;
  std::vector<int64_t> numbers;
  for (int64_t step = 0; step < 4; ++step) {
    anew.step();
    for (int layer = 0; layer < 2; ++layer) numbers.push_back(*anew.next({4, 4, 8, 7 + step, 7 + step}));
  }
  CATCH_CHECK(numbers == std::vector<int64_t>{0, 1, 0, 1, 0, 1, 0, 1});
}

CATCH_TEST_CASE("site order: an encoder's calls before the first step are its own, whatever else runs there") {
  std::vector<StepSite> sites = told({{8, 8, 16, 0, 0}, {8, 8, 16, 0, 0}}, true, false);
  for (const StepSite& each : told({{4, 4, 8, 0, 0}, {4, 4, 8, 0, 0}}, true)) sites.push_back(each);
  SiteOrder order(sites);
  CATCH_CHECK(order.next({8, 8, 16, 50, 50}) == 0);
  CATCH_CHECK(order.next({2, 2, 4, 3, 3}) == SiteOrder::kNone);
  CATCH_CHECK(order.next({8, 8, 16, 50, 50}) == 1);
  CATCH_CHECK(order.next({8, 8, 16, 50, 50}) == 0);  // another picture
  order.step();
  CATCH_CHECK(order.next({4, 4, 8, 5, 50}) == 2);
  CATCH_CHECK(order.next({4, 4, 8, 5, 50}) == 3);
  order.step();
  CATCH_CHECK(order.next({2, 2, 4, 3, 3}) == SiteOrder::kNone);  // a small model that runs before
  CATCH_CHECK(order.next({4, 4, 8, 1, 50}) == 2);
  CATCH_CHECK(order.next({4, 4, 8, 1, 50}) == 3);
  order.end();
  CATCH_CHECK(order.problem() == "");
}

CATCH_TEST_CASE("site order: what leaves layers out, adds some or has others is refused, and stays so") {
  struct Case {
    const char* name;
    Calls later;
    const char* says;
  };
  const Calls first = {{4, 4, 8, 7, 7}, {4, 4, 8, 7, 7}, {4, 4, 8, 7, 7}};
  const std::vector<Case> cases = {
      {"a layer less", {{4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}}, "a step that ended before it"},
      {"a layer more",
       {{4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}, {4, 4, 8, 1, 8}},
       "no call more, for a step has 3"},
      {"other heads", {{4, 4, 8, 1, 8}, {2, 2, 8, 1, 8}}, "attention1 (4 heads of 8)"},
      {"another model", {{2, 2, 4, 1, 8}}, "a step like those before"},
  };
  for (const Case& each : cases) {
    CATCH_CAPTURE(each.name);
    SiteOrder order({});
    order.step();
    for (const SiteOrder::Call& call : first) CATCH_CHECK(order.next(call).has_value());
    order.step();
    for (const SiteOrder::Call& call : each.later) (void)order.next(call);
    order.end();
    CATCH_CHECK(order.problem().find(each.says) != std::string::npos);
    CATCH_CHECK_FALSE(order.next({4, 4, 8, 1, 9}).has_value());
  }
  // A model that runs for ever: steps that nobody marks, over keys that stand still.
  SiteOrder endless({});
  for (size_t i = 0; i <= SiteOrder::kMostFound; ++i) (void)endless.next({4, 4, 8, 1, 40});
  CATCH_CHECK(endless.problem().find("at most 1024 attention calls") != std::string::npos);
}

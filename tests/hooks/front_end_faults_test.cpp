// SPDX-License-Identifier: MIT
// What a front end that is not ours cannot break, whatever it does.
#include <sys/wait.h>
#include <unistd.h>
#include <gaze/render/status.hpp>

#include <functional>
#include <limits>
#include <stdexcept>
#include <thread>

#include "allocation_count.hpp"
#include "front_end_cases.hpp"

using fake::Attention;
using gaze::FrontEnd;
using namespace front_end_test;

namespace {

std::string attach_error(const gaze::ModelDescription& model, const gaze::Options& options) {
  try {
    gaze::Gaze gaze = gaze::attach(model, options);
  } catch (const gaze::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("names of sites: one index each, and what no record can hold is refused and counted") {
  Attached attached;
  FrontEnd& front_end = attached.front_end;
  CATCH_CHECK(front_end.add_site(site("a")) == 0);
  CATCH_CHECK(front_end.add_site(site("b")) == 1);
  CATCH_CHECK(front_end.add_site(site("a", SiteRelation::Self)) == 0);  // it is what it was
  CATCH_CHECK(FrontEnd(attached.gaze).add_site(site("b")) == 1);
  CATCH_CHECK(attached.gaze.stats().sites_refused == 0);
  std::vector<gaze::Site> hostile = {site(""),
                                     site("a\nb"),
                                     site("a\tb"),
                                     site(std::string("a\0b", 3)),
                                     site("\x7f"),
                                     site("layers.*.attn"),
                                     site(std::string(1 << 20, 'x')),
                                     site("c", SiteRelation::Cross, SiteKind::Unstated),
                                     site("c", SiteRelation::Cross, static_cast<SiteKind>(3)),
                                     site("c", static_cast<SiteRelation>(3))};
  hostile.push_back(site("c"));
  hostile.back().source = std::string(1 << 20, 'x');
  hostile.push_back(site("c"));
  hostile.back().q_reads.assign(1 << 16, "x");
  hostile.push_back(site("c"));
  hostile.back().heads = -1;
  for (const gaze::Site& each : hostile) CATCH_CHECK(front_end.add_site(each) == FrontEnd::kNoSite);
  CATCH_CHECK(attached.gaze.stats().sites_refused == static_cast<int64_t>(hostile.size()));
  CATCH_CHECK(front_end.add_site(site("ünï \"quoted\" \\ \xff")) == 2);
  gaze::Request request = attached.gaze.begin();
  front_end.push(2, some_weights());
  request.finish();
  CATCH_REQUIRE(attached.records().size() == 1);
  CATCH_CHECK(attached.records()[0].sites[0].name == "ünï \"quoted\" \\ \xff");
}

CATCH_TEST_CASE("a front end that adds sites for ever is refused and counted, and what it had goes on") {
  Attached attached;
  constexpr int64_t kMost = 4096;
  for (int64_t i = 0; i < kMost; ++i) CATCH_REQUIRE(attached.front_end.add_site(site(std::to_string(i))) == i);
  for (int i = 0; i < 100; ++i)
    CATCH_CHECK(attached.front_end.add_site(site("more " + std::to_string(i))) == FrontEnd::kNoSite);
  CATCH_CHECK(attached.gaze.stats().sites_refused == 100);
  CATCH_CHECK(attached.front_end.add_site(site("17")) == 17);
  gaze::Request request = attached.gaze.begin();
  attached.front_end.push(kMost - 1, some_weights());
  attached.front_end.push(FrontEnd::kNoSite, some_weights());
  request.finish();
  const auto records = attached.records();
  CATCH_REQUIRE(records.size() == 1);
  CATCH_REQUIRE(records[0].sites.size() == 1);
  CATCH_CHECK(records[0].sites[0].name == "4095");
  CATCH_CHECK(attached.gaze.stats().calls_dropped == 1);
}

CATCH_TEST_CASE("pushes for no site or outside of any request are dropped and counted") {
  Attached attached;
  const int64_t known = attached.front_end.add_site(site("a"));
  int64_t dropped = 0;
  const auto check_dropped = [&](int64_t of) {
    attached.front_end.push(of, some_weights());
    attached.front_end.push(of, gaze::ops::Scores{at::randn({1, 2, 1, 4}), at::randn({1, 2, 24, 4}), std::nullopt});
    dropped += 2;
    CATCH_CHECK(attached.gaze.stats().calls_dropped == dropped);
  };
  check_dropped(known);
  {
    gaze::ModelCall call = attached.front_end.enter();
    for (const int64_t unknown : {int64_t{-1}, int64_t{1}, int64_t{1} << 40, std::numeric_limits<int64_t>::min()})
      check_dropped(unknown);
    std::thread([&] { check_dropped(known); }).join();  // of a method that was not said to fork
    attached.front_end.push(known, some_weights());
    call.leave();
    check_dropped(known);
  }
  {
    gaze::ModelCall unknown = attached.front_end.enter("encode");
    unknown.offer(0, picture());
    check_dropped(known);
    unknown.leave();
  }
  gaze::Request request = attached.gaze.begin();
  std::thread([&] { check_dropped(known); }).join();
  request.finish();
  check_dropped(known);
  // Of the answer one call was seen; the request saw none.
  const auto records = attached.records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].error.empty());
  CATCH_CHECK(records[0].maps[0].map_tk.size(0) == 1);
  CATCH_CHECK(records[1].error_reason == gaze::DropReason::NoAttention);
  check_law(attached.gaze.stats());
}

CATCH_TEST_CASE("tensors that are no attention end the request with a reason, and the next is right") {
  const at::Tensor q = at::randn({1, 2, 1, 4}), k = at::randn({1, 2, 24, 4});
  const std::vector<std::pair<const char*, std::function<void(FrontEnd&)>>> cases = {
      {"undefined", [](FrontEnd& to) { to.push(0, at::Tensor()); }},
      {"no dimension", [](FrontEnd& to) { to.push(0, at::ones({})); }},
      {"one dimension", [](FrontEnd& to) { to.push(0, at::ones({24})); }},
      {"integers",
       [](FrontEnd& to) {
         to.push(0, at::ones({1, 2, 1, 24}, at::kLong));
       }},
      {"too few keys", [](FrontEnd& to) { to.push(0, some_weights(1, 5)); }},
      {"another batch",
       [](FrontEnd& to) {
         to.push(0, at::randn({3, 2, 1, 24}).softmax(-1));
       }},
      {"on meta",
       [](FrontEnd& to) {
         to.push(0, at::ones({1, 2, 1, 24}, at::kMeta));
       }},
      {"sparse", [](FrontEnd& to) { to.push(0, some_weights().to_sparse()); }},
      {"undefined queries",
       [k](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{at::Tensor(), k, std::nullopt});
       }},
      {"undefined keys",
       [q](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{q, at::Tensor(), std::nullopt});
       }},
      {"other sizes",
       [q](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{q, at::randn({1, 2, 24, 5}), std::nullopt});
       }},
      {"other heads",
       [q](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{q, at::randn({1, 3, 24, 4}), std::nullopt});
       }},
      {"other types",
       [q, k](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{q, k.to(at::kHalf), std::nullopt});
       }},
      {"a mask of another size",
       [q, k](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{q, k, at::ones({7, 7}, at::kBool)});
       }},
      {"scalars",
       [](FrontEnd& to) {
         to.push(0, gaze::ops::Scores{at::ones({}), at::ones({}), std::nullopt});
       }},
  };
  Attached attached;
  attached.front_end.add_site(site("a"));
  for (const auto& [what, push] : cases) {
    CATCH_CAPTURE(what);
    const size_t before = attached.records().size();
    gaze::Request bad = attached.gaze.begin();
    push(attached.front_end);
    bad.finish();
    gaze::Request good = attached.gaze.begin();
    attached.front_end.push(0, some_weights());
    good.finish();
    const auto records = attached.records();
    CATCH_REQUIRE(records.size() == before + 2);
    CATCH_CHECK_FALSE(records[before].error.empty());
    CATCH_CHECK(records[before + 1].error.empty());
  }
  // NaN is drawn by nobody, but is the model's own: the record says so.
  gaze::Request request = attached.gaze.begin();
  attached.front_end.push(0, at::full({1, 2, 1, 24}, NAN));
  request.finish();
  CATCH_CHECK(attached.records()
                  .back()
                  .maps[0]
                  .flags_t.bitwise_and(static_cast<int64_t>(gaze::ops::kRowNonFinite))
                  .gt(0)
                  .all()
                  .item<bool>());
  check_law(attached.gaze.stats());
}

CATCH_TEST_CASE("a front end outlives shutdown, its handle, and a fork, and pushes into nothing") {
  FrontEnd left;
  left.push(0, some_weights());
  CATCH_CHECK(left.add_site(site("a")) == FrontEnd::kNoSite);
  gaze::ModelCall last;
  {
    Attached attached;
    left = attached.front_end;
    const int64_t known = left.add_site(site("a"));
    // Made here: threads of OpenMP that the parent had are not there in a child, which would wait for them.
    const at::Tensor weights = some_weights(), shown = picture();
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      left.push(known, weights);
      const bool refused = left.add_site(site("b")) == FrontEnd::kNoSite;
      gaze::ModelCall call = left.enter();
      call.offer("picture", shown);
      call.leave();
      _exit(refused && !attached.gaze.enabled() ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CATCH_CHECK(status == 0);
    last = left.enter();
    left.push(known, some_weights());
    gaze::Request open = attached.gaze.begin();
    attached.gaze.shutdown();
    const int64_t before = attached.gaze.stats().calls_dropped;
    left.push(known, some_weights());
    CATCH_CHECK(attached.gaze.stats().calls_dropped == before + 1);
    CATCH_CHECK(left.add_site(site("c")) == FrontEnd::kNoSite);
    CATCH_CHECK(attached.gaze.stats().sites_refused == 1);
    open.finish();
    check_law(attached.gaze.stats());
  }
  left.push(0, some_weights());
  left.push(0, gaze::ops::Scores{at::randn({1, 2, 1, 4}), at::randn({1, 2, 24, 4}), std::nullopt});
  last.offer("picture", picture());
  last.leave();
  gaze::ModelCall after = left.enter();
  after.offer(2, picture());
}

CATCH_TEST_CASE("a description that is not well-formed is refused, and says what to do") {
  const auto error = [](const std::function<void(gaze::ModelDescription&, gaze::Options&)>& change) {
    gaze::ModelDescription model = Attention::description();
    model.sites = {site("a"), site("b")};
    gaze::Options options = options_of(std::make_shared<MemorySink>());
    change(model, options);
    return attach_error(model, options);
  };
  using Model = gaze::ModelDescription;
  using gaze::Options;
  CATCH_CHECK(error([](Model&, Options&) {}).empty());
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"methods: expected at least one", error([](Model& model, Options&) { model.methods.clear(); })},
      {"methods: expected names that differ, got \"forward\" twice",
       error([](Model& model, Options&) { model.methods.push_back(model.methods[0]); })},
      {"arguments of forward: expected names that differ, got \"x\" twice",
       error([](Model& model, Options&) { model.methods[0].arguments.push_back("x"); })},
      {"sites: expected names that differ, got \"a\" twice",
       error([](Model& model, Options&) { model.sites[1].name = "a"; })},
      {"site: name: expected 1 to 512 bytes, got 0", error([](Model& model, Options&) { model.sites[1].name = ""; })},
      {"site: name: expected 1 to 512 bytes, got 1048576",
       error([](Model& model, Options&) { model.sites[1].name.assign(1 << 20, 'x'); })},
      {"site: name: expected neither control characters",
       error([](Model& model, Options&) { model.sites[1].name = "a\nb"; })},
      {"site: kind: expected softmax or sdpa for b",
       error([](Model& model, Options&) { model.sites[1].kind = SiteKind::Unstated; })},
      {"site: relation: expected self, cross or unknown for b",
       error([](Model& model, Options&) { model.sites[1].relation = static_cast<SiteRelation>(-1); })},
      {"profile: sites.match: expected a pattern of sites this model has (a, b), got \"c\"",
       error([](Model&, Options& options) { options.profile_in_code->sites = {"c"}; })},
      {"profile: image.argument.forward: expected an index below 3, got 3",
       error([](Model&, Options& options) { options.profile_in_code->image->argument["forward"] = 3; })},
      {"profile: image.argument.encode: expected a method of the model",
       error([](Model&, Options& options) { options.profile_in_code->image->argument["encode"] = 0; })},
      {"profile: verify: expected false",
       error([](Model&, Options& options) { options.profile_in_code->verify = true; })},
      {"layers: expected a range within the 2 selected sites (0-1), got 0-2", error([](Model&, Options& options) {
         options.layers = gaze::LayerChoice{std::nullopt, 0, 2};
       })},
      {"layers: expected a range within the 0 selected sites", error([](Model& model, Options& options) {
         model.sites.clear(), options.layers = gaze::LayerChoice{std::nullopt, 3, 1};
       })},
      {"layers: expected mean, max, weighted or rollout for a model whose sites attach is not told, got last",
       error([](Model& model, Options& options) {
         model.sites.clear(), options.layers = gaze::LayerChoice{gaze::ops::LayerReduce::Last, 0, -1};
       })},
      {"options.max_tokens: expected at least 1, got 0",
       error([](Model&, Options& options) { options.max_tokens = 0; })},
  };
  for (const auto& [expected, got] : refused) {
    CATCH_CAPTURE(expected, got);
    CATCH_CHECK(got.find(expected) != std::string::npos);
  }
}

CATCH_TEST_CASE("with capture off a front end is inert") {
  gaze::Options options;
  options.read_environment = false;
  gaze::ModelDescription model;
  model.methods.clear();  // not even looked at
  gaze::Gaze gaze = gaze::attach(model, options);
  CATCH_CHECK_FALSE(gaze.enabled());
  FrontEnd front_end(gaze);
  const at::Tensor weights = some_weights(), seen = picture();
  const gaze::ops::Scores scores{weights, weights, std::nullopt};
  const int64_t allocations = hooks_test::allocations_of([&] {
    gaze::ModelCall call = front_end.enter();
    call.offer("picture", seen);
    front_end.push(0, weights);
    front_end.push(0, scores);
    call.leave();
  });
  CATCH_CHECK(allocations == 0);
  CATCH_CHECK(front_end.add_site(site("a")) == FrontEnd::kNoSite);
}

CATCH_TEST_CASE("a call that throws ends its answer, and one inside another is part of it") {
  Attached attached;
  FrontEnd& front_end = attached.front_end;
  const int64_t known = front_end.add_site(site("a"));
  try {
    gaze::ModelCall call = front_end.enter();
    front_end.push(known, some_weights());
    throw std::runtime_error("the model's own");
  } catch (const std::runtime_error&) {
  }
  CATCH_CHECK(attached.gaze.stats().drops(gaze::DropReason::NotFinished) == 1);
  gaze::ModelCall call = front_end.enter();
  gaze::ModelCall inner = front_end.enter();
  front_end.push(known, some_weights());
  inner.leave();
  front_end.push(known, some_weights());
  call.leave();
  call.leave();  // once more is nothing
  call = gaze::ModelCall();
  const auto records = attached.records();
  CATCH_REQUIRE(records.size() == 1);
  CATCH_CHECK(records[0].maps[0].map_tk.size(0) == 2);
  check_law(attached.gaze.stats());
}

CATCH_TEST_CASE("tokens of another front end allocate alike after the first, and a new site once more") {
  const c10::InferenceMode inference;
  Attached attached;
  const int64_t weights_site = attached.front_end.add_site(site("weights")),
                scores_site = attached.front_end.add_site(site("scores"));
  const at::Tensor weights = some_weights(), q = at::randn({1, 2, 1, 4}), k = at::randn({1, 2, 24, 4});
  gaze::Request request = attached.gaze.begin();
  const auto step = [&] {
    gaze::ModelCall call = attached.front_end.enter();
    attached.front_end.push(weights_site, weights);
    attached.front_end.push(scores_site, gaze::ops::Scores{q, k, std::nullopt});
    call.leave();
  };
  for (int warm = 0; warm < 4; ++warm) step();
  const int64_t before = hooks_test::allocations_of(step);
  CATCH_CHECK(hooks_test::allocations_of(step) == before);
  // A site that is new is the one exception, and once.
  const int64_t late = attached.front_end.add_site(site("late"));
  const auto push_late = [&] { attached.front_end.push(late, weights); };
  const int64_t first = hooks_test::allocations_of(push_late);
  const int64_t second = hooks_test::allocations_of(push_late);
  CATCH_CHECK(second < first);
  CATCH_CHECK(hooks_test::allocations_of(push_late) == second);
}

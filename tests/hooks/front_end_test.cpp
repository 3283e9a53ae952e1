// SPDX-License-Identifier: MIT
// What a front end that is not ours makes of the public header: the same records and bundles as a module's.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <thread>

#include "front_end_cases.hpp"

using fake::Attention;
using fake::Decoder;
using gaze::FrontEnd;
using hooks_test::worst;
using namespace front_end_test;

namespace {

/// Of each layer, in the order in which they run.
std::vector<gaze::Site> decoder_sites(SiteKind self_kind, SiteKind cross_kind) {
  std::vector<gaze::Site> sites;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    sites.push_back(site(prefix + "self_attn", SiteRelation::Self, self_kind));
    sites.push_back(site(prefix + "cross_attn", SiteRelation::Cross, cross_kind));
  }
  return sites;
}

/// A prompt, then the other tokens one by one; any model of (x, past, picture) -> (y, past).
template <class Model>
void decode(Model&& model, const at::Tensor& x, int64_t prompt, const at::Tensor& seen) {
  at::Tensor past = model(x.narrow(1, 0, prompt), kNoKeys, seen);
  for (int64_t t = prompt; t < x.size(1); ++t) past = model(x.narrow(1, t, 1), past, seen);
}

void decode(Decoder& decoder, const at::Tensor& x, int64_t prompt, const at::Tensor& seen) {
  const at::NoGradGuard no_grad;
  decode([&](const at::Tensor& step, const at::Tensor& past,
             const at::Tensor& of) { return decoder.forward(step, past, of).second; },
         x, prompt, seen);
}

/// The decoder in float64 over all tokens at once, without a cache: weights of every site [2, tokens, keys], in the
/// order in which they run.
std::vector<at::Tensor> reference(const at::Tensor& tokens_btd, const at::Tensor& seen) {
  const fake::Parameters given = parameters();
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const at::Tensor cells =
      wide(seen).reshape({3, 4, 8, 6, 8}).mean(at::IntArrayRef{2, 4}).reshape({3, 24}).t().matmul(wide(given.wp_cd));
  const int64_t count = tokens_btd.size(1);
  const at::Tensor future = at::ones({count, count}, at::kBool).triu(1);
  const auto split = [](const at::Tensor& x_nd) { return x_nd.view({-1, 2, 4}).permute({1, 0, 2}); };
  std::vector<at::Tensor> weights;
  const auto attend = [&](const at::Tensor& q_hqd, const at::Tensor& k_hkd, bool causal) {
    at::Tensor scores = at::einsum("hqd,hkd->hqk", {q_hqd, k_hkd}) / 2.0;
    if (causal) scores = scores.masked_fill(future, -1e300);
    const at::Tensor e = (scores - scores.amax(-1, true)).exp();
    weights.push_back(e / e.sum(-1, true));
    return at::einsum("hqk,hkd->hqd", {weights.back(), k_hkd});
  };
  at::Tensor x = wide(tokens_btd)[0];
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const at::Tensor y = attend(split(x.matmul(wide(given.wq_dd))), split(x.matmul(wide(given.wk_dd))), true);
    x = attend(y, split(cells), false).permute({1, 0, 2}).reshape({count, 8});
  }
  return weights;
}

/// Rows of an answer whose prompt has `prompt` tokens: mean over the heads, and over the layers' sites from `first` on.
at::Tensor expected_map(const std::vector<at::Tensor>& weights, size_t first, int64_t prompt, int64_t key,
                        int64_t keys) {
  at::Tensor sum;
  for (size_t i = first; i < weights.size(); i += 2) {
    const at::Tensor rows = weights[i].mean(0).slice(0, prompt - 1).narrow(1, key, keys);
    sum = sum.defined() ? sum + rows : rows;
  }
  return sum / static_cast<double>(kLayers);
}

/// The decoder as a TorchScript module of the same parameters.
torch::jit::Module module_of() {
  const fake::Parameters given = parameters();
  torch::jit::Module module("decoder");
  module.register_parameter("wq", given.wq_dd, false);
  module.register_parameter("wk", given.wk_dd, false);
  module.register_parameter("wp", given.wp_cd, false);
  std::string layers;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    layers += R"(
        k = torch.cat([past[)" +
              std::to_string(layer) + R"(], x.matmul(self.wk)], 1)
        keys.append(k)
        h = k.view([1, k.size(1), 2, 4]).transpose(1, 2)
        mask = torch.ones([x.size(1), k.size(1)], dtype=11).tril(k.size(1) - x.size(1))
        y = torch.scaled_dot_product_attention(x.matmul(self.wq).view([1, x.size(1), 2, 4]).transpose(1, 2), h, h, mask)
        x = torch.softmax(y.matmul(c.transpose(-2, -1)) * 0.5, -1).matmul(c).transpose(1, 2).flatten(2))";
  }
  module.define(R"(
    def forward(self, x, past, picture):
        c = torch.avg_pool2d(picture, [8, 8]).flatten(2).transpose(1, 2).matmul(self.wp).view([1, 24, 2, 4]).transpose(1, 2)
        keys : List[Tensor] = [])" +
                layers + R"(
        return (x, torch.stack(keys))
  )");
  module.eval();
  return module;
}

void check_same(const gaze::AttentionRecord& one, const gaze::AttentionRecord& other) {
  CATCH_CHECK(one.error == other.error);
  CATCH_CHECK(hooks_test::same_bytes(one.maps[0].map_tk, other.maps[0].map_tk));
  CATCH_CHECK(hooks_test::same_bytes(one.maps[0].mass_t, other.maps[0].mass_t));
  CATCH_CHECK(hooks_test::same_bytes(one.maps[0].visible_t, other.maps[0].visible_t));
  CATCH_CHECK(hooks_test::same_bytes(one.maps[0].flags_t, other.maps[0].flags_t));
  CATCH_CHECK(hooks_test::same_bytes(picture_of(one).tensor, picture_of(other).tensor));
  CATCH_CHECK(one.keys == other.keys);
  CATCH_CHECK(one.layers == other.layers);
  CATCH_CHECK(one.method == other.method);
  CATCH_CHECK(one.profile == other.profile);
  CATCH_REQUIRE(one.sites.size() == other.sites.size());
  for (size_t i = 0; i < one.sites.size(); ++i) {
    CATCH_CHECK(one.sites[i].name == other.sites[i].name);
    CATCH_CHECK(one.sites[i].kind == other.sites[i].kind);
    CATCH_CHECK(one.sites[i].heads == other.sites[i].heads);
    CATCH_CHECK(one.sites[i].calls == other.sites[i].calls);
  }
}

}  // namespace

CATCH_TEST_CASE("maps of another front end are right: weights and queries with keys, sites found as they run") {
  const at::Tensor x = tokens(8), seen = picture();
  const auto weights = reference(x, seen);
  for (const SiteKind kind : {SiteKind::Softmax, SiteKind::Sdpa}) {
    for (const bool told : {false, true}) {
      for (const bool cross : {true, false}) {
        CATCH_CAPTURE(name(kind), told, cross);
        gaze::Profile profile = profile_of({cross ? "*.cross_attn" : "layers.*.self_attn"});
        if (!cross) profile.geometry = gaze::Geometry{.rows = 1, .cols = 3, .first_key = 1};
        gaze::ModelDescription model = Attention::description();
        if (told) model.sites = decoder_sites(kind, kind);
        Attached attached(profile, model);
        Decoder decoder(attached.gaze, parameters(), decoder_sites(kind, kind));
        gaze::Request request = attached.gaze.begin({.id = "42"});
        CATCH_CHECK(request);
        decode(decoder, x, 4, seen);
        request.finish();
        const auto records = attached.records();
        CATCH_REQUIRE(records.size() == 1);
        const gaze::AttentionRecord& record = records[0];
        CATCH_CHECK(record.error.empty());
        const at::Tensor expected = expected_map(weights, cross ? 1 : 0, 4, cross ? 0 : 1, cross ? 24 : 3);
        CATCH_CHECK(worst(record.maps[0].map_tk, expected) < 1e-5);
        CATCH_CHECK(worst(record.maps[0].mass_t, expected.sum(1)) < 1e-5);
        CATCH_REQUIRE(record.sites.size() == 2);
        CATCH_CHECK(record.sites[1].name == (cross ? "layers.1.cross_attn" : "layers.1.self_attn"));
        CATCH_CHECK(record.sites[1].calls == 5);
        CATCH_CHECK(record.layers == "mean of sites 0-1 of 2");
        CATCH_CHECK(hooks_test::same_bytes(picture_of(record).tensor, seen[0]));
        CATCH_CHECK(attached.gaze.stats().taps == 10);
        CATCH_CHECK(attached.gaze.stats().calls_dropped == 0);
      }
    }
  }
}

CATCH_TEST_CASE("exact weights are had through another front end as well") {
  const at::Tensor x = tokens(5), seen = picture();
  const auto expected = reference(x, seen);
  Attached attached;
  Decoder decoder(attached.gaze, parameters(), decoder_sites(SiteKind::Sdpa, SiteKind::Softmax));
  const at::NoGradGuard no_grad;
  const auto weights = attached.gaze.capture_weights([&] { decoder.forward(x, kNoKeys, seen); });
  CATCH_REQUIRE(weights.size() == expected.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    CATCH_CHECK(weights[i].site == decoder_sites(SiteKind::Sdpa, SiteKind::Softmax)[i].name);
    CATCH_CHECK(worst(weights[i].attn_bhqk[0], expected[i]) < 1e-5);
  }
}

CATCH_TEST_CASE("a model makes the same records as a module and through another front end") {
  torch::jit::Module module = module_of();
  const std::vector<gaze::Site> sites = gaze::find_sites(module).sites;
  CATCH_REQUIRE(sites.size() == 2 * kLayers);
  const auto tapped_sink = std::make_shared<MemorySink>();
  gaze::Gaze tapped = gaze::attach(module, options_of(tapped_sink));
  Attached attached;
  Decoder decoder(attached.gaze, parameters(), sites);
  const auto run_module = [&](const at::Tensor& x, const at::Tensor& past, const at::Tensor& seen) {
    return module.forward({x, past, seen}).toTuple()->elements()[1].toTensor();
  };
  const at::NoGradGuard no_grad;
  const at::Tensor seen = picture();
  // Its own requests, then answers that nobody opened, of which the last is computed anew for every token.
  for (gaze::Gaze* gaze : {&tapped, &attached.gaze}) {
    const auto answer = [&](int64_t count, uint64_t seed) {
      if (gaze == &tapped) return decode(run_module, tokens(count, seed), 3, seen);
      decode(decoder, tokens(count, seed), 3, seen);
    };
    gaze::Request request = gaze->begin();
    answer(7, 1);
    request.finish();
    answer(5, 2);
    answer(6, 3);
    for (int64_t count = 3; count < 6; ++count) {
      gaze == &tapped ? decode(run_module, tokens(count, 4), count, seen)
                      : decode(decoder, tokens(count, 4), count, seen);
    }
    CATCH_REQUIRE(gaze->flush());
  }
  const auto one = tapped_sink->records(), other = attached.records();
  CATCH_REQUIRE(one.size() == 5);
  CATCH_REQUIRE(other.size() == 5);
  for (size_t i = 0; i < one.size(); ++i) {
    CATCH_CAPTURE(i);
    check_same(one[i], other[i]);
  }
  CATCH_CHECK(one[0].maps[0].map_tk.size(0) == 5);
  CATCH_CHECK(one[1].maps[0].map_tk.size(0) == 3);
  CATCH_CHECK(one[2].maps[0].map_tk.size(0) == 4);
  const gaze::Stats stats = tapped.stats(), others = attached.gaze.stats();
  CATCH_CHECK(stats.begun == others.begun);
  CATCH_CHECK(stats.taps == others.taps);
  CATCH_CHECK(stats.dropped == others.dropped);
  check_law(others);
}

CATCH_TEST_CASE("a model leaves the same bundle as a module and through another front end") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("gaze-front-end-" + std::to_string(getpid()));
  torch::jit::Module module = module_of();
  const std::vector<gaze::Site> sites = gaze::find_sites(module).sites;
  const at::Tensor x = tokens(6), seen = picture();
  const at::NoGradGuard no_grad;
  std::vector<std::map<std::string, std::string>> bundles;
  for (const bool tapped : {true, false}) {
    gaze::Options options = options_of(nullptr);
    options.out_dir = folder / (tapped ? "module" : "front_end");
    // One date and one model's file for both, which sheets show.
    CATCH_REQUIRE(::setenv("SOURCE_DATE_EPOCH", "1767323045", 1) == 0);
    options.model_path = __FILE__;
    gaze::Gaze gaze = tapped ? gaze::attach(module, options) : gaze::attach(Attention::description(), options);
    Decoder decoder(gaze, parameters(), sites);
    gaze::Request request = gaze.begin(gaze::RequestSpec{.id = "42", .prompt = "what is it?"});
    if (tapped) {
      decode(
          [&](const at::Tensor& step, const at::Tensor& past, const at::Tensor& of) {
            return module.forward({step, past, of}).toTuple()->elements()[1].toTensor();
          },
          x, 3, seen);
    } else {
      decode(decoder, x, 3, seen);
    }
    request.label({"a", "golden", "retriever", "."});
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().written == 1);
    auto& files = bundles.emplace_back();
    fs::path bundle;
    for (const auto& entry : fs::directory_iterator(options.out_dir)) {
      if (entry.is_directory()) bundle = entry.path();  // beside it lies what capture says of itself
    }
    for (const auto& entry : fs::recursive_directory_iterator(bundle)) {
      if (!entry.is_regular_file() || entry.path().filename() == "manifest.json") continue;
      std::ostringstream bytes;
      bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      // All that no two runs share.
      static const std::regex timings("\"timings_ms\": \\{[^}]*\\}");
      const bool json = entry.path().filename() == "request.json" || entry.path().filename() == "report.html";
      files[entry.path().lexically_relative(bundle)] =
          json ? std::regex_replace(bytes.str(), timings, "") : bytes.str();
    }
    fs::remove_all(folder);
  }
  CATCH_CHECK(bundles[0].at("request.json").find("\"golden\"") != std::string::npos);
  CATCH_CHECK(bundles[0].count("maps.safetensors") == 1);
  for (const auto& [name, bytes] : bundles[0]) {
    CATCH_CAPTURE(name);
    CATCH_CHECK((bundles[1].count(name) == 1 && bundles[1].at(name) == bytes));
  }
  CATCH_CHECK(bundles[0].size() == bundles[1].size());
}

CATCH_TEST_CASE("sites are added while requests of other threads are open, and each record lists what it used") {
  constexpr int kThreads = 6, kRequests = 8, kSites = 40;
  Attached attached(profile_of({"shared.*", "own.*"}));
  std::atomic<bool> going{true}, lawful{true};
  std::thread reader([&] {
    while (going) {
      const gaze::Stats stats = attached.gaze.stats();
      if (stats.sampled != stats.written + stats.in_flight + stats.lost()) lawful = false;
      FrontEnd(attached.gaze).push(FrontEnd::kNoSite, at::Tensor());
    }
  });
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      FrontEnd front_end(attached.gaze);
      const at::NoGradGuard no_grad;
      const at::Tensor weights = at::full({1, 2, 1, 24}, 1.0 / 24);
      for (int n = 0; n < kRequests; ++n) {
        gaze::Request request = attached.gaze.begin({.id = std::to_string(thread) + "." + std::to_string(n)});
        for (int i = 0; i < kSites; ++i) {
          const bool own = i % 2 == 0;
          const std::string name = own ? "own." + std::to_string(thread) + "." + std::to_string(n) + "." : "shared.";
          front_end.push(front_end.add_site(site(name + std::to_string(i))), weights);
        }
        request.finish();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  going = false;
  reader.join();
  CATCH_CHECK(lawful);
  const auto records = attached.records();
  CATCH_REQUIRE(records.size() == kThreads * kRequests);
  for (const gaze::AttentionRecord& record : records) {
    CATCH_CAPTURE(record.request_id);
    CATCH_CHECK(record.error.empty());
    CATCH_CHECK(record.sites.size() == kSites);
    int own = 0, shared = 0;
    for (const gaze::SiteUse& use : record.sites) {
      CATCH_CHECK(use.calls == 1);
      own += use.name.rfind("own." + record.request_id + ".", 0) == 0 ? 1 : 0;
      shared += use.name.rfind("shared.", 0) == 0 ? 1 : 0;
    }
    CATCH_CHECK(own == kSites / 2);
    CATCH_CHECK(shared == kSites / 2);
    CATCH_CHECK(worst(record.maps[0].map_tk, at::full({1, 24}, 1.0 / 24, at::kDouble)) < 1e-6);
  }
  CATCH_CHECK(attached.gaze.stats().taps == kThreads * kRequests * kSites);
  CATCH_CHECK(attached.gaze.stats().sites_refused == 0);
}

CATCH_TEST_CASE("each attach of a description is a capture of its own, and two front ends of one push to the same") {
  Attached one, other;
  FrontEnd second(one.gaze);
  CATCH_CHECK(one.front_end.add_site(site("a")) == 0);
  CATCH_CHECK(second.add_site(site("b")) == 1);
  CATCH_CHECK(other.front_end.add_site(site("c")) == 0);
  CATCH_CHECK(!one.front_end.wanted());
  gaze::Request first = one.gaze.begin();
  CATCH_CHECK(one.front_end.wanted());
  CATCH_CHECK(!other.front_end.wanted());
  gaze::Request nested = other.gaze.begin();
  one.front_end.push(0, some_weights());
  second.push(1, some_weights());
  other.front_end.push(0, some_weights());
  nested.finish();
  first.finish();
  CATCH_REQUIRE(one.records().size() == 1);
  CATCH_REQUIRE(other.records().size() == 1);
  CATCH_CHECK(one.records()[0].sites.size() == 2);
  CATCH_CHECK(other.records()[0].sites.size() == 1);
}

CATCH_TEST_CASE("calls that a module's taps do not see are pushed beside them, into the same record") {
  torch::jit::Module module = module_of();
  const auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, options_of(sink));
  FrontEnd front_end(gaze);
  const at::NoGradGuard no_grad;
  gaze::Request request = gaze.begin();
  module.forward({tokens(1), kNoKeys, picture()});
  const int64_t own = front_end.add_site(site("paged"));
  CATCH_CHECK(own == 2 * kLayers);
  front_end.push(own, some_weights());
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 1);
  CATCH_CHECK(sink->records()[0].error.empty());
  CATCH_REQUIRE(sink->records()[0].sites.size() == kLayers + 1);
  CATCH_CHECK(sink->records()[0].sites.back().name == "paged");
  CATCH_CHECK(sink->records()[0].layers == "mean of sites 0-2 of 3");
}

CATCH_TEST_CASE("profile and options decide about sites that come as about those that were told") {
  const auto names = [](const gaze::AttentionRecord& record) {
    std::vector<std::string> used;
    for (const gaze::SiteUse& use : record.sites) used.push_back(use.name);
    return used;
  };
  using Names = std::vector<std::string>;
  struct Case {
    const char* what;
    std::function<void(gaze::Profile&)> choose;
    Names used;
    int64_t refused;
  };
  const std::vector<Case> cases = {
      {"proposed", [](gaze::Profile&) {}, {"c0", "c1", "c2"}, 0},
      {"a pattern",
       [](gaze::Profile& profile) {
         profile.sites = {"s*", "none yet"};
       },
       {"s0", "s1", "s2"},
       0},
      {"a range", [](gaze::Profile& profile) { profile.first_layer = 1, profile.last_layer = 1; }, {"c1"}, 0},
      {"a range that has not come",
       [](gaze::Profile& profile) { profile.first_layer = 2, profile.last_layer = 9; },
       {"c2"},
       0},
      {"heads",
       [](gaze::Profile& profile) {
         profile.selected_heads = {{"c2", {1}}, {"c9", {0}}};
       },
       {"c2"},
       0},
      {"heads that are not there",
       [](gaze::Profile& profile) {
         profile.selected_heads = {{"c2", {0}}, {"c1", {2}}};
       },
       {"c2"},
       1},
      {"one head",
       [](gaze::Profile& profile) { profile.heads = gaze::ops::HeadReduce::One, profile.head = 1; },
       {"c0", "c1", "c2"},
       0},
      {"a head that is not there",
       [](gaze::Profile& profile) { profile.heads = gaze::ops::HeadReduce::One, profile.head = 2; },
       {},
       3},
      {"a rollout", [](gaze::Profile& profile) { profile.layers = gaze::ops::LayerReduce::Rollout; }, {}, 3},
  };
  for (const Case& each : cases) {
    CATCH_CAPTURE(each.what);
    gaze::Profile profile = profile_of();
    each.choose(profile);
    Attached attached(profile);
    std::vector<int64_t> sites;
    for (const char* name : {"c0", "s0", "c1", "s1", "c2", "s2"})
      sites.push_back(
          attached.front_end.add_site(site(name, name[0] == 'c' ? SiteRelation::Cross : SiteRelation::Self)));
    gaze::Request request = attached.gaze.begin();
    for (const int64_t index : sites) attached.front_end.push(index, some_weights());
    request.finish();
    CATCH_REQUIRE(attached.records().size() == 1);
    CATCH_CHECK(names(attached.records()[0]) == each.used);
    CATCH_CHECK(attached.gaze.stats().sites_refused == each.refused);
    CATCH_CHECK(attached.gaze.stats().calls_dropped == each.refused);
  }
  // Of those that were told the last is known, and stays it.
  gaze::Profile profile = profile_of();
  profile.layers = gaze::ops::LayerReduce::Last;
  gaze::ModelDescription model = Attention::description();
  model.sites = {site("c0"), site("c1")};
  Attached attached(profile, model);
  attached.front_end.add_site(site("c2"));
  gaze::Request request = attached.gaze.begin();
  for (int64_t index = 0; index < 3; ++index) attached.front_end.push(index, some_weights());
  request.finish();
  CATCH_REQUIRE(attached.records().size() == 1);
  CATCH_CHECK(names(attached.records()[0]) == Names{"c1"});
}

// SPDX-License-Identifier: MIT
// Heads that point are found among heads that do not, and a profile that selects heads gives the mean of just those.
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gaze/hooks/heads.hpp>

#include <cmath>

#include "hooks_test.hpp"

using hooks_test::MemorySink;

namespace {

constexpr int64_t kText = 3, kRows = 3, kCols = 5, kCells = kRows * kCols, kKeys = kText + kCells + 2;

/// Two sites in a loop over tokens. Keys are unit vectors, so that a query states its row's logits; the sites get them
/// in turn: [tokens, sites, batch, heads, keys].
torch::jit::Module planted(bool fused) {
  torch::jit::Module layer("Layer");
  layer.define(fused ? R"JIT(
def forward(self, q, k):
    return torch.scaled_dot_product_attention(q, k, k, scale=1.0)
)JIT"
                     : R"JIT(
def forward(self, q, k):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
)JIT");
  torch::jit::Module module("Planted");
  module.register_module("first", layer);
  module.register_module("second", layer.clone());
  module.define(R"JIT(
def generate(self, logits, k):
    out = torch.zeros_like(k)[:, :, :1]
    for t in range(logits.size(0)):
        out = out + self.first.forward(logits[t, 0].unsqueeze(2), k) + self.second.forward(logits[t, 1].unsqueeze(2), k)
    return out
)JIT");
  return module;
}

gaze::Profile profile() {
  gaze::Profile made;
  made.sites = {"first", "second"};
  made.geometry.emplace();
  made.geometry->rows = kRows;
  made.geometry->cols = kCols;
  made.geometry->first_key = kText;
  return made;
}

/// Rows of attention as what the model is given: logits, and the keys.
std::vector<c10::IValue> inputs_of(const at::Tensor& attn_tsbhk) {
  const at::Tensor k = at::eye(kKeys).expand({attn_tsbhk.size(2), attn_tsbhk.size(3), kKeys, kKeys}).contiguous();
  return {attn_tsbhk.clamp_min(1e-9).log(), k};
}

/// A row with `share` of it spread over the picture as `cells` says, the rest over the other keys.
at::Tensor row(double share, const at::Tensor& cells) {
  at::Tensor keys = at::full({kKeys}, (1 - share) / static_cast<double>(kKeys - kCells), at::kFloat);
  keys.narrow(0, kText, kCells).copy_(cells.flatten() / cells.sum() * share);
  return keys;
}

/// Weight 30 on 2 x 2 cells from (y, x), 1 on every other.
at::Tensor blob(int64_t y, int64_t x) {
  at::Tensor cells = at::ones({kRows, kCols});
  cells.narrow(0, y, 2).narrow(1, x, 2).fill_(30);
  return cells;
}

/// Answers of `tokens` tokens. Heads of the first site: 0 points, 1 always shows one place of the picture, 2 looks at
/// text, 3 is diffuse, 4 shows scattered cells, 5 is a sink on a key of the text. Of the second: 2 points, the others
/// as 2, 3, 4 and 5 are.
std::vector<c10::IValue> answer(int64_t tokens, uint64_t seed, int64_t batch = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  at::Tensor attn = at::zeros({tokens, 2, batch, 6, kKeys});
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t b = 0; b < batch; ++b) {
      const auto place = [&](int64_t most) { return at::randint(0, most, {1}, generator, at::kLong).item<int64_t>(); };
      const auto noise = [&] { return at::rand({kRows, kCols}, generator) * 0.1 + 1; };
      const auto scattered = [&] {
        at::Tensor cells = at::ones({kRows, kCols}) * 0.1;
        const int64_t shift = place(2);
        for (int64_t y = 0; y < kRows; y += 2) {
          for (int64_t x = shift; x < kCols; x += 2) cells[y][x] = 5 + place(5);
        }
        return cells;
      };
      at::Tensor sink = row(0.01, noise());
      sink[0] = 10;
      sink /= sink.sum();
      const int64_t y = place(kRows - 1), x = (place(kCols - 1) + 2 * t) % (kCols - 1);
      const auto put = [&](int64_t site, int64_t head, const at::Tensor& keys) { attn[t][site][b][head].copy_(keys); };
      put(0, 0, row(0.6, blob(y, x)));
      put(0, 1, row(0.9, blob(1, 3) * noise()));
      put(1, 2, row(0.5, blob(y, x)));
      put(1, 0, row(0.02, noise()));
      put(1, 1, row(0.02, blob(y, x)));
      for (const int64_t site : {0, 1}) {
        if (site == 0) put(site, 2, row(0.02, blob(0, t % 4)));
        put(site, 3, row(0.7, noise()));
        put(site, 4, row(0.5, scattered()));
        put(site, 5, sink);
      }
    }
  }
  return inputs_of(attn);
}

std::vector<std::vector<c10::IValue>> answers(int64_t count, int64_t tokens) {
  std::vector<std::vector<c10::IValue>> all;
  for (int64_t n = 0; n < count; ++n) all.push_back(answer(tokens, static_cast<uint64_t>(n) + 1));
  return all;
}

const gaze::MeasuredHead& head_of(const gaze::HeadsResult& result, const std::string& site, int64_t head) {
  const auto found = std::find_if(result.heads.begin(), result.heads.end(), [&](const gaze::MeasuredHead& each) {
    return each.site == site && each.head == head;
  });
  CATCH_REQUIRE(found != result.heads.end());
  return *found;
}

gaze::HeadsResult find(const std::vector<std::vector<c10::IValue>>& inputs, int64_t top = 2, bool fused = false,
                       const gaze::Profile& with = profile()) {
  torch::jit::Module module = planted(fused);
  gaze::HeadsOptions options;
  options.top = top;
  return gaze::find_heads(module, "generate", with, inputs, options);
}

std::string chosen(const gaze::HeadsResult& result) {
  std::string text;
  for (const gaze::SiteHeads& of : gaze::selected_heads(result)) {
    text += of.site;
    for (const int64_t head : of.heads) text += " " + std::to_string(head);
    text += "; ";
  }
  return text;
}

template <typename Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const gaze::Error& error) {
    return error.what();
  }
  return "accepted";
}

double nats(const std::vector<double>& shares) {
  double entropy = 0;
  for (const double share : shares) entropy -= share * std::log(share);
  return entropy;
}

/// The figures of one head whose answer has these maps of the picture, all of its attention on them.
gaze::MeasuredHead figures(const std::vector<at::Tensor>& maps_yx) {
  at::Tensor attn = at::zeros({static_cast<int64_t>(maps_yx.size()), 2, 1, 1, kKeys});
  for (size_t t = 0; t < maps_yx.size(); ++t) {
    for (const int64_t site : {0, 1}) attn[static_cast<int64_t>(t)][site][0][0].copy_(row(1, maps_yx[t]));
  }
  return head_of(find({inputs_of(attn)}), "first", 0);
}

at::Tensor cells(const std::vector<double>& weights) {
  return at::tensor(weights, at::kDouble).view({kRows, kCols}).to(at::kFloat);
}

}  // namespace

CATCH_TEST_CASE("heads: exactly those that point are found, of materialised and of fused attention") {
  for (const bool fused : {false, true}) {
    const gaze::HeadsResult result = find(answers(5, 6), 2, fused);
    CATCH_CAPTURE(fused);
    CATCH_CHECK(result.samples == 5);
    CATCH_CHECK(result.rows == 30);
    CATCH_CHECK(result.heads.size() == 12);
    CATCH_CHECK(chosen(result) == "first 0; second 2; ");
    CATCH_CHECK(head_of(result, "first", 0).votes == 5);
    CATCH_CHECK(head_of(result, "first", 1).discarded == "always the same map");
    CATCH_CHECK(head_of(result, "first", 2).discarded == "little on the picture");
    CATCH_CHECK(head_of(result, "first", 3).discarded == "diffuse");
    CATCH_CHECK(head_of(result, "first", 4).discarded.empty());
    CATCH_CHECK(head_of(result, "first", 4).votes == 0);
    CATCH_CHECK(head_of(result, "first", 5).discarded == "little on the picture");
    CATCH_CHECK(std::abs(head_of(result, "first", 0).share - 0.6) < 1e-5);
    CATCH_CHECK(std::abs(head_of(result, "first", 1).share - 0.9) < 1e-5);
  }
}

CATCH_TEST_CASE("heads: no more are chosen than have votes, and a head that always shows one map never is") {
  CATCH_CHECK(chosen(find(answers(3, 6), 1)) == "first 0; ");
  const gaze::HeadsResult all = find(answers(3, 6), 64);
  for (const gaze::MeasuredHead& head : all.heads) CATCH_CHECK(head.chosen == head.discarded.empty());
  // Without the heads that point or scatter, nothing is left.
  at::Tensor attn = at::zeros({4, 2, 1, 2, kKeys});
  for (int64_t t = 0; t < 4; ++t) {
    for (const int64_t site : {0, 1}) {
      attn[t][site][0][0].copy_(row(0.9, blob(1, 3)));
      attn[t][site][0][1].copy_(row(0.6, at::ones({kRows, kCols})));
    }
  }
  CATCH_CHECK_THAT(refusal([&] { gaze::selected_heads(find({inputs_of(attn)})); }),
                   Catch::Matchers::Contains("expected a head that points at parts of the picture, got none"));
}

CATCH_TEST_CASE("heads: answers of one token are compared with one another") {
  CATCH_CHECK(chosen(find(answers(8, 1))) == "first 0; second 2; ");
  CATCH_CHECK_THAT(refusal([&] { find(answers(1, 1)); }),
                   Catch::Matchers::Contains("expected two rows to compare, of one answer or of several, got one"));
}

CATCH_TEST_CASE("heads: every row of a batch is a sample of its own") {
  const gaze::HeadsResult result = find({answer(6, 1, 3), answer(6, 2, 3)});
  CATCH_CHECK(result.samples == 6);
  CATCH_CHECK(chosen(result) == "first 0; second 2; ");
  CATCH_CHECK(result.heads[0].maps_yx.size() == 6);
  CATCH_CHECK(result.heads[0].maps_yx[5].sizes() == at::IntArrayRef({kRows, kCols}));
}

CATCH_TEST_CASE("heads: figures are those of the definitions") {
  const std::vector<double> two = {6, 0, 0, 0, 2,  //
                                   0, 0, 0, 0, 0,  //
                                   0, 0, 0, 0, 0};
  const std::vector<double> touching = {6, 0, 0, 0, 0,  //
                                        0, 2, 0, 0, 0,  //
                                        0, 0, 0, 0, 0};
  const std::vector<double> wrapped = {0, 0, 0, 0, 6,  //
                                       2, 0, 0, 0, 0,  //
                                       0, 0, 0, 0, 0};
  const double entropy = nats({0.75, 0.25});
  // The first row is of another kind, so that there are two rows; its figures are known.
  const auto of = [&](const std::vector<double>& map) { return figures({cells(map), cells(two)}); };
  CATCH_CHECK(std::abs(of(two).spatial_entropy - entropy) < 1e-5);
  CATCH_CHECK(std::abs(of(touching).spatial_entropy - entropy / 2) < 1e-5);
  CATCH_CHECK(std::abs(of(wrapped).spatial_entropy - entropy) < 1e-5);
  CATCH_CHECK(std::abs(of(two).entropy - entropy / std::log(15.0)) < 1e-5);
  CATCH_CHECK(of(two).change < 1e-6);
  // Of maps that share nothing the change is 1; of two that share 6 of 8 it is 2 / 8.
  CATCH_CHECK(std::abs(of(wrapped).change - 0.75) < 1e-5);  // the corner with weight 6 and the one with 2 overlap
  CATCH_CHECK(std::abs(of(touching).change - 0.25) < 1e-5);
  CATCH_CHECK(std::abs(of(two).share - 1) < 1e-5);
}

CATCH_TEST_CASE("heads: what cannot be measured is refused") {
  torch::jit::Module module = planted(false);
  const auto inputs = answers(2, 3);
  gaze::Profile bare = profile();
  bare.geometry.reset();
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", bare, inputs); }),
                   Catch::Matchers::Contains("find_heads: profile: expected a geometry"));
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generates", profile(), inputs); }),
                   Catch::Matchers::Contains(R"(expected a method of the module, got "generates")"));
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", profile(), {}); }),
                   Catch::Matchers::Contains("expected the arguments of at least one run, got none"));
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", profile(), inputs, {.top = 0}); }),
                   Catch::Matchers::Contains("top: expected 1 to 64, got 0"));
  gaze::Profile through = profile();
  through.through = gaze::Through{{"second"}};
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", through, inputs); }),
                   Catch::Matchers::Contains("got through, which puts latents between"));
  gaze::Profile wide = profile();
  wide.geometry->cols = 9;
  CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", wide, inputs); }),
                   Catch::Matchers::Contains("geometry"));
  const at::Tensor nan = at::full({2, 2, 1, 6, kKeys}, std::nan(""));
  CATCH_CHECK_THAT(refusal([&] {
                     gaze::find_heads(module, "generate", profile(), {{nan, inputs[0][1]}});
                   }),
                   Catch::Matchers::Contains("expected finite weights, got others at first, head 0, input 0"));
  {
    gaze::Gaze live = gaze::attach(module, hooks_test::options());
    CATCH_CHECK_THAT(refusal([&] { gaze::find_heads(module, "generate", profile(), inputs); }),
                     Catch::Matchers::Contains("expected a module without a live capture"));
  }
  // A profile that selects heads already is searched anew, and nothing stays behind.
  gaze::Profile selecting = profile();
  selecting.selected_heads = {{"first", {3}}};
  CATCH_CHECK(gaze::find_heads(module, "generate", selecting, inputs).heads.size() == 12);
  gaze::Gaze after = gaze::attach(module, hooks_test::options());
  CATCH_CHECK(after.enabled());
}

namespace {

/// One answer of a model of three layers under a profile that selects heads.
gaze::AttentionRecord captured(torch::jit::Module& module, const std::vector<c10::IValue>& inputs,
                               gaze::ops::HeadReduce reduce, int64_t deferred) {
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.profile_in_code->heads = reduce;
  options.profile_in_code->selected_heads = {{"layers.2.cross_attn", {0}}, {"layers.0.cross_attn", {3, 1}}};
  options.deferred_tokens = deferred;
  return hooks_test::captured(module, options, [&](gaze::Request&) { module.get_method("generate")(inputs); }).only();
}

}  // namespace

CATCH_TEST_CASE("a profile that selects heads gives the mean of just their rows, live and deferred") {
  const std::vector<c10::IValue> inputs = {hooks_test::inputs(1, 1, 9)[1], int64_t{5}};
  const at::NoGradGuard no_grad;
  for (const char* model : {"softmax", "sdpa"}) {
    torch::jit::Module module = hooks_test::load(model);
    at::Tensor mean = at::zeros({5, 9}, at::kDouble), weighted = at::zeros({5, 9}, at::kDouble);
    at::Tensor weights = at::zeros({5, 1}, at::kDouble);
    {
      gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
      for (const auto& exact : gaze.capture_weights([&] { module.get_method("generate")(inputs); })) {
        const std::vector<int64_t> heads = exact.site == "layers.0.cross_attn"   ? std::vector<int64_t>{1, 3}
                                           : exact.site == "layers.2.cross_attn" ? std::vector<int64_t>{0}
                                                                                 : std::vector<int64_t>();
        for (const int64_t head : heads) {
          const at::Tensor row_k = exact.attn_bhqk[0][head][0].to(at::kDouble);
          mean[exact.call] += row_k / 3;
          const at::Tensor focus = 1 + (row_k * row_k.log()).sum() / std::log(9.0);
          weighted[exact.call] += row_k * focus;
          weights[exact.call] += focus;
        }
      }
    }
    for (const int64_t deferred : {0, 3}) {
      CATCH_CAPTURE(model, deferred);
      const gaze::AttentionRecord plain = captured(module, inputs, gaze::ops::HeadReduce::Mean, deferred);
      CATCH_REQUIRE(plain.error == "");
      CATCH_CHECK(at::allclose(plain.maps[0].map_tk.to(at::kDouble), mean, 1e-5, 1e-6));
      CATCH_CHECK(at::allclose(plain.maps[0].mass_t, at::ones({5}), 1e-5, 1e-6));
      CATCH_CHECK(at::equal(plain.maps[0].visible_t, at::full({5}, 9.0F)));
      CATCH_REQUIRE(plain.sites.size() == 2);
      CATCH_CHECK(plain.sites[0].name == "layers.0.cross_attn");
      CATCH_CHECK(plain.sites[0].chosen_heads == std::vector<int64_t>{1, 3});
      CATCH_CHECK(plain.sites[1].chosen_heads == std::vector<int64_t>{0});
      CATCH_CHECK(plain.layers == "mean of 2 sites with chosen heads");
      const gaze::AttentionRecord by_focus = captured(module, inputs, gaze::ops::HeadReduce::Weighted, deferred);
      CATCH_CHECK(at::allclose(by_focus.maps[0].map_tk.to(at::kDouble), weighted / weights, 1e-4, 1e-6));
    }
  }
}

CATCH_TEST_CASE("a selection of heads that does not fit the model is refused with its path") {
  const auto attached = [&](std::vector<gaze::SiteHeads> heads, const std::function<void(gaze::Options&)>& change) {
    torch::jit::Module module = hooks_test::load("softmax");
    gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
    options.profile_in_code->selected_heads = std::move(heads);
    change(options);
    return refusal([&] { gaze::attach(module, options); });
  };
  const auto as_it_is = [](gaze::Options&) {};
  CATCH_CHECK(attached({{"layers.0.cross_attn", {1}}}, as_it_is) == "accepted");
  CATCH_CHECK(attached({{"layers.0.cross_attn", {1}}, {"layers.0.self_attn", {1}}}, as_it_is) ==
              "profile: heads.select[1].site: expected a site that sites.match and layers.range leave "
              "(layers.0.cross_attn, layers.1.cross_attn, layers.2.cross_attn), got \"layers.0.self_attn\". Write its "
              "whole name, as `gaze sites MODEL.pt` does.");
  const auto second = [](gaze::Options& options) { options.layers = gaze::LayerChoice{{}, 1, 2}; };
  CATCH_CHECK_THAT(attached({{"layers.0.cross_attn", {1}}}, second),
                   Catch::Matchers::Contains("leave (layers.1.cross_attn, layers.2.cross_attn), got"));
  const auto one = [](gaze::Options& options) { options.heads = gaze::HeadChoice{gaze::ops::HeadReduce::One, 1, 3}; };
  CATCH_CHECK_THAT(attached({{"layers.0.cross_attn", {1}}}, one),
                   Catch::Matchers::Contains("beside the profile's heads.select, got one"));
  const auto rolled = [](gaze::Options& options) { options.profile_in_code->layers = gaze::ops::LayerReduce::Rollout; };
  CATCH_CHECK_THAT(attached({{"layers.0.cross_attn", {1}}}, rolled),
                   Catch::Matchers::Contains("beside the profile's heads.select, got rollout"));
}

CATCH_TEST_CASE("a selected head beyond those of its site is refused, at attach or at the first call") {
  auto sink = std::make_shared<MemorySink>();
  torch::jit::Module module = planted(false);
  gaze::Options options = hooks_test::options(sink, {"first", "second"});
  options.profile_in_code->selected_heads = {{"second", {0, 6}}};
  const std::string expected = "expected heads of 0..5";
  const std::string at_attach = refusal([&] {
    gaze::Gaze gaze = gaze::attach(module, options);
    module.get_method("generate")(answer(2, 1));
    CATCH_REQUIRE(gaze.flush());
    CATCH_REQUIRE(sink->records().size() == 1);
    CATCH_CHECK_THAT(sink->records()[0].error, Catch::Matchers::Contains(expected));
  });
  if (at_attach != "accepted") CATCH_CHECK_THAT(at_attach, Catch::Matchers::Contains(expected));
}

CATCH_TEST_CASE("the last of the selected sites is the last layer") {
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.profile_in_code->selected_heads = {{"layers.1.cross_attn", {2}}, {"layers.0.cross_attn", {1}}};
  options.layers = gaze::LayerChoice{gaze::ops::LayerReduce::Last, 0, -1};
  const auto record = hooks_test::captured(module, options, [&](gaze::Request&) {
                        module.forward(hooks_test::inputs(1, 1, 9));
                      }).only();
  CATCH_REQUIRE(record.sites.size() == 1);
  CATCH_CHECK(record.sites[0].name == "layers.1.cross_attn");
}

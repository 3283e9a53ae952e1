// SPDX-License-Identifier: MIT
// Subtraction of the answer's mean map on the shapes of large models: grouped keys, several sites, text before and
// behind several pictures, tiles with special keys, beams, tokens that wait; against the long way in float64.
#include <gaze/render/overlay.hpp>

#include <algorithm>
#include <cmath>

#include "hooks_test.hpp"

namespace {

constexpr int64_t kHeads = 6, kGroups = 2, kSize = 4, kSites = 2;
// Two pictures of 2 x 2 tiles of 2 x 3 cells: one special key before all of it, one before each tile, two after each
// row of tiles, one behind it all.
constexpr int64_t kText = 5, kPicture = 1 + 2 * (2 * (1 + 6) + 2) + 1, kPrompt = kText + kPicture + 3 + kPicture + 4;
constexpr int64_t kRows = 4, kCols = 6, kCells = kRows * kCols, kSteps = 7;

torch::jit::Module attention() {
  torch::jit::Module layer("Layer");
  layer.define(R"JIT(
def forward(self, q, k, mask: Optional[Tensor]):
    return torch.scaled_dot_product_attention(q, k, k, mask, enable_gqa=True)
)JIT");
  torch::jit::Module module("Model");
  module.register_module("first", layer);
  module.register_module("second", layer.clone());
  module.define(R"JIT(
def forward(self, q, k, mask: Optional[Tensor]):
    return self.first.forward(q[0], k[0], mask) + self.second.forward(q[1], k[1], mask)
)JIT");
  return module;
}

gaze::Geometry geometry() {
  gaze::Geometry made;
  made.rows = 2;
  made.cols = 3;
  made.leading = 1;
  made.trailing = 1;
  made.tiles = gaze::Tiles{2, 2, 1, 0, 2};
  made.spans = {{kText, kPicture}, {kText + kPicture + 3, kPicture}};
  made.picture = 1;
  return made;
}

/// The key of a cell in a row of all keys, by hand.
int64_t key_of(int64_t row, int64_t col) {
  const int64_t tile_row = row / 2, tile_col = col / 3;
  return kText + kPicture + 3 + 1 + tile_row * (2 * 7 + 2) + tile_col * 7 + 1 + (row % 2) * 3 + col % 3;
}

/// One answer: the prompt in one row, then three beams that go on from one another.
struct Answer {
  explicit Answer(uint64_t seed) {
    auto generator = at::detail::createCPUGenerator(seed);
    const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator) * 1.5; };
    prompt_q = random({kSites, 1, kHeads, kPrompt, kSize});
    prompt_k = random({kSites, 1, kGroups, kPrompt, kSize});
    // A sink within the picture and one before it, as large models have: keys that every query likes.
    const at::Tensor liked =
        prompt_q.select(3, kPrompt - 1).view({kSites, 1, kGroups, kHeads / kGroups, kSize}).mean(3);
    for (const int64_t key : {int64_t{0}, key_of(1, 4)}) prompt_k.select(3, key).copy_(liked * 2.5);
    for (int64_t step = 1; step < kSteps; ++step) {
      q.push_back(random({kSites, 3, kHeads, 1, kSize}) + prompt_q.narrow(3, kPrompt - 1, 1));
      k.push_back(random({kSites, 3, kGroups, 1, kSize}));
      from.push_back(step == 1   ? std::vector<int64_t>{0, 0, 0}
                     : step == 3 ? std::vector<int64_t>{2, 0, 2}
                     : step == 5 ? std::vector<int64_t>{1, 1, 0}
                                 : std::vector<int64_t>{0, 1, 2});
    }
  }
  at::Tensor prompt_q, prompt_k;
  std::vector<at::Tensor> q, k;            // of every step
  std::vector<std::vector<int64_t>> from;  // before the step
};

constexpr std::array<int64_t, 2> kBest = {2, 0};

std::vector<gaze::AttentionRecord> captured(const Answer& answer, gaze::ops::HeadReduce heads, int64_t deferred) {
  torch::jit::Module module = attention();
  gaze::Options options = hooks_test::options({"first", "second"});
  options.profile_in_code->geometry = geometry();
  options.profile_in_code->heads = heads;
  options.deferred_tokens = deferred;
  const auto calls = [&](gaze::Request& request) {
    at::Tensor cache = answer.prompt_k;
    // The last rows of a prompt are all that a causal mask must be right for here.
    module.forward({answer.prompt_q, cache, at::zeros({1, 1, 1, kPrompt})});
    for (size_t step = 0; step < answer.q.size(); ++step) {
      request.reorder(answer.from[step]);
      const at::Tensor rows = at::tensor(answer.from[step], at::kLong);
      cache = at::cat({cache.index_select(1, rows), answer.k[step]}, 3);
      module.forward({answer.q[step], cache, c10::IValue()});
    }
    request.reorder({kBest.begin(), kBest.end()});
  };
  auto records = hooks_test::captured(module, options, calls, {{.image = at::full({64, 96, 3}, 9, at::kByte)}}).records;
  CATCH_REQUIRE(records.size() == 2);
  return records;
}

/// What a beam's rows are shown as, the long way. double [tokens, cells]
at::Tensor expected(const Answer& answer, int64_t best, gaze::ops::HeadReduce heads) {
  // Which row each step was computed in, from the last to the first.
  std::vector<int64_t> row_at(answer.q.size());
  int64_t row = best;
  for (size_t step = answer.q.size(); step-- > 0;) {
    row_at[step] = row;
    row = answer.from[step][static_cast<size_t>(row)];
  }
  at::Tensor lift_tc = at::zeros({kSteps, kCells}, at::kDouble);
  std::vector<at::Tensor> keys;
  for (int64_t site = 0; site < kSites; ++site) keys.push_back(answer.prompt_k[site][0].to(at::kDouble));
  for (int64_t t = 0; t < kSteps; ++t) {
    for (int64_t site = 0; site < kSites; ++site) {
      at::Tensor q_hd = answer.prompt_q[site][0].select(1, kPrompt - 1).to(at::kDouble);
      at::Tensor& k_gkd = keys[static_cast<size_t>(site)];
      if (t > 0) {
        const auto step = static_cast<size_t>(t - 1);
        q_hd = answer.q[step][site][row_at[step]].select(1, 0).to(at::kDouble);
        k_gkd = at::cat({k_gkd, answer.k[step][site][row_at[step]].to(at::kDouble)}, 1);
      }
      const int64_t visible = k_gkd.size(1);
      at::Tensor sum_c = at::zeros({kCells}, at::kDouble);
      double weights = 0;
      for (int64_t h = 0; h < kHeads; ++h) {
        const at::Tensor scores_k = k_gkd[h / (kHeads / kGroups)].mv(q_hd[h]) / std::sqrt(static_cast<double>(kSize));
        const at::Tensor attn_k = scores_k.softmax(0);
        // Weighted heads: mass of the whole span and its entropy, special keys between the tiles included.
        const int64_t first = key_of(0, 0) - 1, span = kPicture - 2;
        const at::Tensor span_k = attn_k.narrow(0, first, span);
        const double mass = span_k.sum().item<double>();
        const at::Tensor p = span_k / mass;
        const double entropy = -(p * p.log()).sum().item<double>() / std::log(static_cast<double>(span));
        const double weight = heads == gaze::ops::HeadReduce::Weighted ? mass * (1 - entropy) : 1;
        weights += weight;
        for (int64_t cell = 0; cell < kCells; ++cell)
          sum_c[cell] += weight * attn_k[key_of(cell / kCols, cell % kCols)];
      }
      lift_tc[t] += sum_c / weights / static_cast<double>(kSites) * static_cast<double>(visible);
    }
  }
  return (lift_tc - lift_tc.mean(0, true)).clamp_min(0);
}

}  // namespace

CATCH_TEST_CASE(
    "sinks are subtracted from what the shapes of large models leave: tiles, spans, groups, beams, deferred") {
  const at::NoGradGuard no_grad;
  for (const auto heads : {gaze::ops::HeadReduce::Mean, gaze::ops::HeadReduce::Weighted}) {
    for (const int64_t deferred : {0, 3}) {
      const Answer answer(17);
      const std::vector<gaze::AttentionRecord> records = captured(answer, heads, deferred);
      for (size_t i = 0; i < records.size(); ++i) {
        CATCH_CAPTURE(static_cast<int>(heads), deferred, i);
        CATCH_REQUIRE(records[i].error == "");
        CATCH_REQUIRE(records[i].maps[0].map_tk.size(0) == kSteps);
        const gaze::Composition composition = gaze::compose(records[i]);
        CATCH_CHECK(composition.sinks_subtracted);
        const at::Tensor want_tc = expected(answer, kBest[i], heads);
        CATCH_REQUIRE(composition.shown_wc.sizes() == want_tc.sizes());
        CATCH_CHECK((composition.shown_wc.to(at::kDouble) - want_tc).abs().max().item<double>() < 2e-4);
        // There was something to subtract, and something is left.
        CATCH_CHECK((composition.lift_wc - composition.shown_wc).max().item<double>() > 1);
        CATCH_CHECK(want_tc.max().item<double>() > 0.1);
      }
    }
  }
}

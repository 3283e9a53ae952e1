// SPDX-License-Identifier: MIT
// A decoder over an encoder's positions: its map is carried on to what these were made of, against whole matrices in
// float64.
#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::worst;

namespace {

constexpr int64_t kRows = 2, kCols = 3, kCells = kRows * kCols, kSize = 8, kSteps = 5;

at::Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed)).mul(0.8);
}

// Two heads each, of sizes 3 and 5, or two of 4.
const char* const kSoftmax = R"JIT(
def forward(self, x, hidden):
    q = torch.matmul(x, self.q).unflatten(2, [2, 4]).transpose(1, 2)
    k = torch.matmul(x, self.k).unflatten(2, [2, 4]).transpose(1, 2)
    scores = torch.matmul(q, k.transpose(-2, -1)) * 0.7
    scores = scores.masked_fill(hidden.unsqueeze(1), float("-inf"))
    weights = torch.nan_to_num(torch.softmax(scores, -1))
    return x + torch.matmul(weights, k).transpose(1, 2).flatten(2)
)JIT";
const char* const kFused = R"JIT(
def forward(self, x, hidden):
    q = torch.matmul(x, self.q).unflatten(2, [2, 4]).transpose(1, 2)
    k = torch.matmul(x, self.k).unflatten(2, [2, 4]).transpose(1, 2)
    return x + torch.scaled_dot_product_attention(q, k, k, hidden.logical_not().unsqueeze(1), scale=0.7).transpose(1, 2).flatten(2)
)JIT";

/// Small: rows of one or two keys would leave what holds half of them to rounding.
at::Tensor projection(uint64_t seed) { return noise({kSize, kSize}, seed).mul(0.4); }

torch::jit::Module layer(const char* code, uint64_t seed) {
  torch::jit::Module made("Layer" + std::to_string(seed));
  made.register_parameter("q", projection(seed), false);
  made.register_parameter("k", projection(seed + 1), false);
  made.define(code);
  return made;
}

/// `image` [batch, positions, size] is encoded and looked at by [batch, 1, size]; `pool` keeps every so-manieth
/// position.
torch::jit::Module model(const char* first, const char* second, at::Device device = at::kCPU) {
  torch::jit::Module encoder("Encoder");
  encoder.register_module("first", layer(first, 11));
  encoder.register_module("second", layer(second, 21));
  encoder.define(R"JIT(
def forward(self, image, hidden_mask):
    return self.second.forward(self.first.forward(image, hidden_mask), hidden_mask)
)JIT");
  torch::jit::Module decoder("Decoder");
  decoder.register_parameter("q", noise({kSize, kSize}, 31), false);
  decoder.register_parameter("k", noise({kSize, kSize}, 32), false);
  decoder.define(R"JIT(
def forward(self, tokens, memory):
    q = torch.matmul(tokens, self.q).unsqueeze(1)
    k = torch.matmul(memory, self.k).unsqueeze(1)
    return torch.scaled_dot_product_attention(q, k, k, scale=1.0).squeeze(1)
)JIT");
  torch::jit::Module module("Model");
  module.register_module("encoder", encoder);
  module.register_module("decoder", decoder);
  module.define(R"JIT(
def encode(self, image, hidden_mask):
    return self.encoder.forward(image, hidden_mask)

def step(self, tokens, memory):
    return self.decoder.forward(tokens, memory)

def forward(self, tokens, image, hidden_mask, pool: int):
    memory = self.encode(image, hidden_mask)[:, ::pool]
    out = [self.step(tokens[:, 0:1], memory)]
    for t in range(1, tokens.size(1)):
        out.append(self.step(tokens[:, t:t + 1], memory))
    return torch.cat(out, 1)
)JIT");
  module.to(device);
  return module;
}

// ---- the same in float64, written out

struct Layer64 {
  at::Tensor mean_bqk, out_bkd;  // of heads; a position that saw nothing has a row of zeros
};
Layer64 layer64(const at::Tensor& x, const at::Tensor& hidden, uint64_t seed) {
  const at::Tensor q = projection(seed).to(at::kDouble), k = projection(seed + 1).to(at::kDouble);
  const auto heads = [](const at::Tensor& y) { return y.unflatten(2, {2, 4}).transpose(1, 2); };
  const at::Tensor keys = heads(x.matmul(k));
  const at::Tensor e =
      heads(x.matmul(q)).matmul(keys.transpose(-2, -1)).mul(0.7).exp().masked_fill(hidden.unsqueeze(1), 0);
  const at::Tensor weights = at::nan_to_num(e / e.sum(-1, true));
  return {weights.mean(1), x + weights.matmul(keys).transpose(1, 2).flatten(2)};
}
struct Maps64 {
  at::Tensor plain_btk, carried_btk;
};
Maps64 maps64(const at::Tensor& tokens, const at::Tensor& image, const at::Tensor& hidden) {
  const Layer64 first = layer64(image.to(at::kDouble), hidden, 11), second = layer64(first.out_bkd, hidden, 21);
  const at::Tensor q = tokens.to(at::kDouble).matmul(noise({kSize, kSize}, 31).to(at::kDouble));
  const at::Tensor k = second.out_bkd.matmul(noise({kSize, kSize}, 32).to(at::kDouble));
  const at::Tensor plain = at::softmax(q.matmul(k.transpose(-2, -1)), -1);
  const at::Tensor eye = at::eye(image.size(1), at::kDouble);
  // Half of the fewest positions that hold half of each row, half of the identity.
  const auto half = [&](const at::Tensor& mean_bqk) {
    const auto [sorted_bqk, order_bqk] = mean_bqk.sort(-1, /*descending=*/true);
    const at::Tensor before_bqk = sorted_bqk.cumsum(-1) - sorted_bqk;
    const at::Tensor strongest = sorted_bqk.masked_fill(before_bqk >= 0.5 * sorted_bqk.sum(-1, true), 0);
    const at::Tensor kept_bqk = at::zeros_like(mean_bqk).scatter(-1, order_bqk, strongest);
    const at::Tensor sees_bq1 = kept_bqk.sum(-1, true);
    return (at::nan_to_num(kept_bqk / sees_bq1) + at::where(sees_bq1 > 0, 1, 2) * eye) / 2;
  };
  return {plain, plain.matmul(half(second.mean_bqk)).matmul(half(first.mean_bqk))};
}

gaze::Options options(const std::string& more = "", int64_t leading = 0) {
  gaze::Options made = hooks_test::options();
  made.profile_in_code = gaze::parse_profile(
      R"({"gaze_profile": 1, "sites": {"match": ["decoder"]}, "heads": {"reduce": "mean"},
          "geometry": {"rows": 2, "cols": 3, "leading": )" +
      std::to_string(leading) + "}" + more + "}");
  made.max_tokens = 8;
  return made;
}

struct Inputs {
  at::Tensor tokens, image, hidden;
};
Inputs inputs(int64_t batch, int64_t positions) {
  return {noise({batch, kSteps, kSize}, 41), noise({batch, positions, kSize}, 42),
          at::zeros({batch, positions, positions}, at::kBool)};
}

const gaze::AttentionRecord& good(const gaze::AttentionRecord& record) {
  CATCH_REQUIRE(record.error == "");
  return record;
}

/// That the map is the encoder's positions' own, and the record does not say otherwise.
void check_plain(const gaze::AttentionRecord& record, const at::Tensor& plain_tk) {
  good(record);
  CATCH_CHECK_FALSE(record.maps[0].through.has_value());
  CATCH_CHECK(worst(record.maps[0].map_tk, plain_tk) < 1e-5);
}

}  // namespace

CATCH_TEST_CASE("device: encoder: a map is carried on to what the positions were made of, in every mode") {
  for (const at::Device device : gaze::test::devices()) {
    for (const auto& [first, second] :
         {std::pair(kFused, kSoftmax), std::pair(kSoftmax, kFused), std::pair(kFused, kFused)}) {
      for (const int64_t leading : {0, 1}) {
        for (const int64_t deferred : {0, 3}) {
          CATCH_CAPTURE(device.str(), leading, deferred);
          const Inputs in = inputs(3, kCells + leading);
          const Maps64 wanted = maps64(in.tokens, in.image, in.hidden);
          gaze::Options chosen = options("", leading);
          chosen.deferred_tokens = deferred;
          torch::jit::Module module = model(first, second, device);
          const auto records =
              hooks_test::captured(
                  module, chosen,
                  [&](gaze::Request&) {
                    module.forward({in.tokens.to(device), in.image.to(device), in.hidden.to(device), 1});
                  },
                  std::vector<gaze::RequestSpec>(3))
                  .records;
          CATCH_REQUIRE(records.size() == 3);
          for (int64_t b = 0; b < 3; ++b) {
            const gaze::MediumMap& map = good(records[static_cast<size_t>(b)]).maps[0];
            const at::Tensor cells_tk = wanted.carried_btk[b].narrow(1, leading, kCells);
            CATCH_CHECK(worst(map.map_tk, cells_tk) < 1e-5);
            CATCH_CHECK(worst(map.map_tk, wanted.plain_btk[b].narrow(1, leading, kCells)) > 1e-3);
            CATCH_CHECK(worst(map.mass_t, cells_tk.sum(1)) < 1e-5);
            CATCH_CHECK(map.flags_t.count_nonzero().item<int64_t>() == 0);
            CATCH_REQUIRE(map.through.has_value());
            CATCH_CHECK(map.through->rollout);
            CATCH_CHECK(map.through->keys == kCells + leading);
            CATCH_REQUIRE(map.through->sites.size() == 2);
            CATCH_CHECK(map.through->sites[0].name == "encoder.first");
            CATCH_CHECK(map.through->sites[1].name == "encoder.second");
            CATCH_CHECK(map.through->sites[1].heads == 2);
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("encoder: a position that sees nothing stays what it is") {
  Inputs in = inputs(1, kCells);
  in.hidden[0][2].fill_(true);
  in.hidden.select(2, 5).fill_(true);
  torch::jit::Module module = model(kSoftmax, kSoftmax);
  const auto record = hooks_test::captured(module, options(), [&](gaze::Request&) {
                        module.forward({in.tokens, in.image, in.hidden, 1});
                      }).only();
  CATCH_CHECK(worst(good(record).maps[0].map_tk, maps64(in.tokens, in.image, in.hidden).carried_btk[0]) < 1e-5);
  CATCH_CHECK(worst(record.maps[0].map_tk.sum(1), at::ones({kSteps})) < 1e-5);
}

CATCH_TEST_CASE("encoder: rows of beams are carried on from the row they come from") {
  const Inputs in = inputs(2, kCells);
  torch::jit::Module module = model(kFused, kSoftmax);
  const auto calls = [&](gaze::Request& request) {
    const c10::IValue memory = module.run_method("encode", in.image, in.hidden);
    module.run_method("step", in.tokens.narrow(1, 0, 1), memory);
    request.reorder({1, 1, 0});
    const at::Tensor from = at::tensor({1, 1, 0}, at::kLong);
    module.run_method("step", in.tokens.narrow(1, 1, 1).index_select(0, from), memory.toTensor().index_select(0, from));
  };
  const auto records = hooks_test::captured(module, options(), calls, std::vector<gaze::RequestSpec>(2)).records;
  CATCH_REQUIRE(records.size() == 3);
  const Maps64 wanted = maps64(in.tokens, in.image, in.hidden);
  for (const auto& [row, from] : {std::pair(0, 1), std::pair(1, 1), std::pair(2, 0)}) {
    CATCH_CHECK(
        worst(good(records[static_cast<size_t>(row)]).maps[0].map_tk, wanted.carried_btk[from].narrow(0, 0, 2)) < 1e-5);
  }
}

CATCH_TEST_CASE("encoder: what does not lead to the keys leaves the map as it is") {
  const Inputs in = inputs(1, kCells);
  const at::Tensor plain = maps64(in.tokens, in.image, in.hidden).plain_btk[0];
  torch::jit::Module module = model(kFused, kSoftmax);
  const auto run = [&](gaze::Request&) { module.forward({in.tokens, in.image, in.hidden, 1}); };
  const auto steps = [&](const c10::IValue& memory) {
    for (int64_t t = 0; t < kSteps; ++t) module.run_method("step", in.tokens.narrow(1, t, 1), memory);
  };
  CATCH_SECTION("a profile without") {
    check_plain(hooks_test::captured(module, options(R"(, "encoder": false)"), run).only(), plain);
  }
  CATCH_SECTION("features of an earlier request") {
    const c10::IValue memory = module.run_method("encode", in.image, in.hidden);
    check_plain(hooks_test::captured(module, options(), [&](gaze::Request&) { steps(memory); }).only(), plain);
  }
  CATCH_SECTION("two pictures before the first token") {
    check_plain(hooks_test::captured(module, options(),
                                     [&](gaze::Request&) {
                                       const c10::IValue memory = module.run_method("encode", in.image, in.hidden);
                                       module.run_method("encode", in.image * 2, in.hidden);
                                       steps(memory);
                                     })
                    .only(),
                plain);
  }
  CATCH_SECTION("a picture encoded later is another one's") {
    const auto record = hooks_test::captured(module, options(), [&](gaze::Request&) {
                          const c10::IValue memory = module.run_method("encode", in.image, in.hidden);
                          module.run_method("step", in.tokens.narrow(1, 0, 1), memory);
                          module.run_method("encode", in.image * 2, in.hidden);
                          module.run_method("step", in.tokens.narrow(1, 1, 1), memory);
                        }).only();
    CATCH_CHECK(worst(good(record).maps[0].map_tk,
                      maps64(in.tokens, in.image, in.hidden).carried_btk[0].narrow(0, 0, 2)) < 1e-5);
  }
  CATCH_SECTION("a budget that does not hold it") {
    gaze::Options small = options();
    small.queue_bytes = 700;
    const auto captured = hooks_test::captured(module, small, run);
    check_plain(captured.only(), plain);
    CATCH_CHECK(captured.stats.lost() == 0);
  }
}

CATCH_TEST_CASE("encoder: pooled positions are no longer the encoder's") {
  const Inputs in = inputs(1, 2 * kCells);
  torch::jit::Module module = model(kFused, kSoftmax);
  const auto record = hooks_test::captured(module, options(), [&](gaze::Request&) {
                        module.forward({in.tokens, in.image, in.hidden, 2});
                      }).only();
  good(record);
  CATCH_CHECK_FALSE(record.maps[0].through.has_value());
  CATCH_CHECK(record.maps[0].map_tk.size(1) == kCells);
}

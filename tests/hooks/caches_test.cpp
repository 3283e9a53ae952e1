// SPDX-License-Identifier: MIT
// Keys that come from a cache, in the forms hosts keep them, give the maps of the keys that are visible.
#include <ATen/ops/scaled_dot_product_attention.h>

#include <limits>

#include "hooks_test.hpp"
#include "render/layouts.hpp"

using hooks_test::MemorySink;

namespace {

constexpr int64_t kFirst = 2, kCells = 15, kPrompt = 20, kSteps = 6;

torch::jit::Module attention() {
  torch::jit::Module module("Cached");
  module.define(R"JIT(
def fused(self, q, k, mask: Optional[Tensor]):
    return torch.scaled_dot_product_attention(q, k, k, mask)

def plain(self, q, k, mask):
    scores = torch.matmul(q, k.transpose(-2, -1)) * 0.5
    return torch.matmul(torch.softmax(scores.masked_fill(mask.logical_not(), float("-inf")), -1), k)

def open(self, q, k):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * 0.5, -1), k)
)JIT");
  return module;
}

/// One decode: a query a step over the prompt's keys and one more key each step.
struct Decode {
  Decode() {
    auto generator = at::detail::createCPUGenerator(9);
    q_tbhqd = at::randn({kSteps, 1, 2, 1, 4}, generator);
    k_bhkd = at::randn({1, 2, kPrompt + kSteps, 4}, generator);
  }
  at::Tensor q_tbhqd, k_bhkd;
};

/// What `keys_of(step)` gives over the picture, by the book. [kSteps, kCells]
at::Tensor expected(const Decode& decode, const std::function<at::Tensor(int64_t)>& keys_of, int64_t first) {
  std::vector<at::Tensor> rows;
  for (int64_t t = 0; t < kSteps; ++t) {
    const at::Tensor scores =
        decode.q_tbhqd[t].to(at::kDouble).matmul(keys_of(t).to(at::kDouble).transpose(-2, -1)) * 0.5;
    rows.push_back(scores.softmax(-1).mean(1).select(1, 0).narrow(1, first, kCells));
  }
  return at::cat(rows).to(at::kFloat);
}

gaze::AttentionRecord captured(int64_t deferred, int64_t first_key,
                               const std::function<void(torch::jit::Module&)>& run) {
  torch::jit::Module module = attention();
  gaze::Options options = hooks_test::options({"*"});
  options.deferred_tokens = deferred;
  options.profile_in_code->heads = gaze::ops::HeadReduce::Mean;
  options.profile_in_code->geometry = gaze::test::grid_of(3, 5);
  options.profile_in_code->geometry->first_key = first_key;
  return hooks_test::captured(module, options, [&](gaze::Request&) { run(module); }).only();
}

/// `visible` of `size` keys, as [1, 1, 1, size].
at::Tensor mask_of(int64_t visible, int64_t size) { return (at::arange(size) < visible).view({1, 1, 1, size}); }

void check_map(const gaze::AttentionRecord& record, const at::Tensor& want, int64_t first_visible) {
  CATCH_REQUIRE(record.error == "");
  CATCH_REQUIRE(record.maps[0].map_tk.sizes() == want.sizes());
  CATCH_CHECK(at::allclose(record.maps[0].map_tk, want, 1e-4, 1e-6));
  CATCH_CHECK(record.maps[0].visible_t[0].item<double>() == static_cast<double>(first_visible));
}

}  // namespace

CATCH_TEST_CASE("caches: concatenated, of fixed size and rolling keys give the maps of the keys that are visible") {
  const Decode decode;
  const auto grown = [&](int64_t t) { return decode.k_bhkd.narrow(2, 0, kPrompt + t + 1); };
  const at::Tensor want = expected(decode, grown, kFirst);
  constexpr int64_t kSize = 32;
  for (const int64_t deferred : {0, 4}) {
    CATCH_CAPTURE(deferred);
    const auto steps = [&](const std::function<void(torch::jit::Module&, int64_t)>& step) {
      return captured(deferred, kFirst, [&](torch::jit::Module& module) {
        for (int64_t t = 0; t < kSteps; ++t) step(module, t);
      });
    };
    CATCH_SECTION("concatenated, and views of one buffer, deferred " + std::to_string(deferred)) {
      for (const bool copied : {true, false}) {
        check_map(steps([&](torch::jit::Module& module, int64_t t) {
                    const at::Tensor k = copied ? grown(t).clone() : grown(t);
                    module.get_method("fused")({decode.q_tbhqd[t], k, c10::IValue()});
                  }),
                  want, kPrompt + 1);
      }
    }
    CATCH_SECTION("of fixed size, masked, deferred " + std::to_string(deferred)) {
      at::Tensor buffer = at::full({1, 2, kSize, 4}, 3.0);  // what is not written yet would draw attention
      buffer.narrow(2, 0, kPrompt).copy_(decode.k_bhkd.narrow(2, 0, kPrompt));
      for (const std::string kind : {"bool", "lowest", "infinite", "plain"}) {
        CATCH_CAPTURE(kind);
        check_map(steps([&](torch::jit::Module& module, int64_t t) {
                    buffer.narrow(2, kPrompt + t, 1).copy_(decode.k_bhkd.narrow(2, kPrompt + t, 1));
                    at::Tensor mask = mask_of(kPrompt + t + 1, kSize);
                    if (kind == "lowest" || kind == "infinite") {
                      const float low = kind == "lowest" ? std::numeric_limits<float>::lowest()
                                                         : -std::numeric_limits<float>::infinity();
                      mask = at::zeros(mask.sizes()).masked_fill(mask.logical_not(), low);
                    }
                    module.get_method(kind == "plain" ? "plain" : "fused")({decode.q_tbhqd[t], buffer, mask});
                  }),
                  want, kPrompt + 1);
      }
    }
    CATCH_SECTION("rolling behind a pinned prompt, deferred " + std::to_string(deferred)) {
      // The oldest of the answer's keys are written over; the picture's stay where they were.
      constexpr int64_t kRing = 3;
      at::Tensor buffer = at::full({1, 2, kPrompt + kRing, 4}, 3.0);
      const auto fill = [&](int64_t t) {
        buffer.narrow(2, kPrompt + t % kRing, 1).copy_(decode.k_bhkd.narrow(2, kPrompt + t, 1));
        return std::min(kPrompt + t + 1, kPrompt + kRing);
      };
      buffer.narrow(2, 0, kPrompt).copy_(decode.k_bhkd.narrow(2, 0, kPrompt));
      const auto record = steps([&](torch::jit::Module& module, int64_t t) {
        module.get_method("fused")({decode.q_tbhqd[t], buffer, mask_of(fill(t), kPrompt + kRing)});
      });
      const at::Tensor rolled = expected(
          decode, [&](int64_t t) { return buffer.narrow(2, 0, fill(t)).clone(); }, kFirst);
      check_map(record, rolled, kPrompt + 1);
    }
  }
}

CATCH_TEST_CASE("caches: a cache that drops its oldest keys ends the capture, for the picture's keys move") {
  const Decode decode;
  for (const char* method : {"fused", "open"}) {
    for (const int64_t deferred : {0, 4}) {
      CATCH_CAPTURE(method, deferred);
      const auto record = captured(deferred, kFirst, [&](torch::jit::Module& module) {
        for (int64_t t = 0; t < kSteps; ++t) {
          const int64_t keys = std::min(kPrompt + t + 1, kPrompt + 3);
          std::vector<c10::IValue> inputs = {decode.q_tbhqd[t],
                                             decode.k_bhkd.narrow(2, kPrompt + t + 1 - keys, keys).clone()};
          if (method == std::string("fused")) inputs.emplace_back();
          module.get_method(method)(inputs);
        }
      });
      CATCH_CHECK(record.error_reason == gaze::DropReason::ShapeMismatch);
      CATCH_CHECK_THAT(record.error, Catch::Contains("expected keys that stay where they are, got a row that grew to "
                                                     "23 keys and no further"));
    }
  }
}

CATCH_TEST_CASE("caches: deferred tokens whose keys were written over are refused, not drawn") {
  const Decode decode;
  for (const bool at_the_end : {false, true}) {
    CATCH_CAPTURE(at_the_end);
    const auto record = captured(4, kFirst, [&](torch::jit::Module& module) {
      at::Tensor buffer = decode.k_bhkd.narrow(2, 0, kPrompt).clone();
      for (int64_t t = 0; t < 3; ++t) {
        if (!at_the_end) buffer.narrow(2, kPrompt - 1 - t, 1).zero_();
        module.get_method("fused")({decode.q_tbhqd[t], buffer, c10::IValue()});
      }
      if (at_the_end) buffer.zero_();
    });
    CATCH_CHECK(record.error_reason == gaze::DropReason::ShapeMismatch);
    CATCH_CHECK_THAT(record.error,
                     Catch::Contains("expected queries and keys that stay as they are while tokens wait"));
  }
}

CATCH_TEST_CASE("caches: a picture that has the row to itself may have masked keys behind it, and no visible ones") {
  const Decode decode;
  constexpr int64_t kSize = 20;
  const at::Tensor k = decode.k_bhkd.narrow(2, 0, kSize);
  const at::Tensor want = expected(
      decode, [&](int64_t) { return k.narrow(2, 0, kCells); }, 0);
  const auto run = [&](const std::string& method, const at::Tensor& mask) {
    return captured(0, 0, [&](torch::jit::Module& module) {
      for (int64_t t = 0; t < kSteps; ++t) {
        std::vector<c10::IValue> inputs = {decode.q_tbhqd[t], k};
        if (method != "open") inputs.emplace_back(mask.defined() ? c10::IValue(mask) : c10::IValue());
        module.get_method(method)(inputs);
      }
    });
  };
  const at::Tensor mask = mask_of(kCells, kSize);
  const at::Tensor added = at::zeros(mask.sizes()).masked_fill(mask.logical_not(), -1e9);
  check_map(run("fused", mask), want, kCells);
  check_map(run("fused", added), want, kCells);
  check_map(run("plain", mask), want, kCells);
  const at::Tensor one_more = mask_of(kCells + 1, kSize);
  const auto refused = [&](const gaze::AttentionRecord& record) {
    CATCH_CHECK(record.error_reason == gaze::DropReason::GridMismatch);
    CATCH_CHECK_THAT(record.error, Catch::StartsWith("geometry: expected 15 keys (3 x 5 cells), got 20."));
  };
  refused(run("fused", one_more));
  refused(run("fused", at::zeros(mask.sizes()).masked_fill(one_more.logical_not(), -1e9)));
  refused(run("fused", {}));
  refused(run("plain", one_more));
  refused(run("open", {}));
}

CATCH_TEST_CASE("caches: image features computed once serve every prompt and request") {
  const std::string path = std::string(GAZE_SAMPLE_MODELS) + "/stickers_sdpa.pt";
  torch::jit::Module module = torch::jit::load(path);
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile = std::string(GAZE_SAMPLE_MODELS) + "/profile.json";
  gaze::Gaze gaze = gaze::attach(module, options);
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor image = at::randn({1, 3, 96, 160}, generator);
  const at::NoGradGuard no_grad;
  const at::Tensor memory = module.get_method("encode")({image}).toTensor();
  const auto decode = [&](const at::Tensor& features, const at::Tensor& prompt) {
    at::Tensor tokens = prompt;
    c10::IValue cache = c10::List<at::Tensor>();
    for (int64_t step = 0; step < 4; ++step) {
      const auto result = module.get_method("decode_step")({tokens, features, cache}).toTuple();
      tokens = result->elements()[0].toTensor().argmax(-1, true);
      cache = result->elements()[1];
    }
  };
  for (uint64_t seed = 0; seed < 2; ++seed) {
    auto words = at::detail::createCPUGenerator(seed);
    const at::Tensor prompt = at::randint(3, 30, {1, 5}, words, at::kLong);
    for (const bool reused : {true, false}) {
      gaze::Request request = gaze.begin({.image = image[0]});
      decode(reused ? memory : module.get_method("encode")({image}).toTensor(), prompt);
      request.finish();
    }
  }
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 4);
  for (const auto& record : records) CATCH_CHECK(record.error == "");
  CATCH_CHECK(at::allclose(records[0].maps[0].map_tk, records[1].maps[0].map_tk, 1e-5, 1e-6));
  CATCH_CHECK(at::allclose(records[2].maps[0].map_tk, records[3].maps[0].map_tk, 1e-5, 1e-6));
  CATCH_CHECK_FALSE(at::allclose(records[0].maps[0].map_tk, records[2].maps[0].map_tk, 1e-2, 1e-3));
}

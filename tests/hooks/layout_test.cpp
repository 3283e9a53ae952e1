// SPDX-License-Identifier: MIT
// A model whose attention is planted on one key, drawn through the whole pipeline: the hottest pixel lies where that
// key's cell does.
#include <gaze/render/overlay.hpp>

#include <cmath>

#include "hooks_test.hpp"
#include "render/layouts.hpp"

using gaze::test::kSpecial;
using gaze::test::Layout;
using hooks_test::MemorySink;

namespace {

constexpr int64_t kWidth = 37, kHeight = 23;

// Keys are unit vectors, so that a query says on which key its attention falls.
torch::jit::Module attention_over_keys() {
  torch::jit::Module module("Attention");
  module.define(R"JIT(
def forward(self, q, k, v):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), v)
)JIT");
  return module;
}

/// Two heads in a row of `keys`: 0.9 of the attention on key `hot`, the rest spread over all others.
std::vector<c10::IValue> looking_at(int64_t hot, int64_t keys) {
  const at::Tensor k = at::eye(keys).view({1, 1, keys, keys}).repeat({1, 2, 1, 1});
  at::Tensor q = at::zeros({1, 2, 1, keys});
  q.select(3, hot).fill_(std::log(9.0 * static_cast<double>(keys - 1)));
  return {q, k, k};
}

gaze::Options options_for(const std::shared_ptr<MemorySink>& sink, const std::optional<gaze::Geometry>& geometry) {
  gaze::Options options = hooks_test::options(sink, {"*"});
  options.profile_in_code->geometry = geometry;
  options.profile_in_code->heads = gaze::ops::HeadReduce::Mean;
  options.style.normalise.subtract_sinks = false;
  return options;
}

at::Tensor picture(int64_t height = kHeight, int64_t width = kWidth) {
  return at::arange(height * width * 3).remainder(251).to(at::kByte).view({height, width, 3});
}

/// The record of one request, whose tokens look at one key of `hot` each.
gaze::AttentionRecord captured(const std::optional<gaze::Geometry>& geometry, int64_t keys,
                               const std::vector<int64_t>& hot, const gaze::RequestSpec& spec) {
  torch::jit::Module module = attention_over_keys();
  const auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, options_for(sink, geometry));
  gaze::Request request = gaze.begin(spec);
  for (const int64_t key : hot) module.forward(looking_at(key, keys));
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 1);
  return sink->records()[0];
}

}  // namespace

CATCH_TEST_CASE("layouts: a model's attention on one key is hottest at its cell's pixels, through the whole pipeline") {
  for (const Layout& layout : gaze::test::layouts()) {
    CATCH_CAPTURE(layout.name);
    gaze::Geometry geometry = layout.geometry;
    geometry.leading = 1;
    geometry.trailing = 2;
    geometry.first_key = 4;
    const auto span = static_cast<int64_t>(layout.keys.size());
    const int64_t keys = 4 + 1 + span + 2 + 3;
    std::vector<int64_t> hot;
    for (int64_t k = 0; k < span; ++k) hot.push_back(5 + k);
    const gaze::AttentionRecord record = captured(geometry, keys, hot, {.image = picture()});
    CATCH_REQUIRE(record.error.empty());
    CATCH_REQUIRE(record.map_tc.size(1) == span);
    const gaze::Composition composition = gaze::compose(record);
    for (int64_t k = 0; k < span; ++k) {
      CATCH_CAPTURE(k);
      const gaze::Overlay& overlay = composition.words[static_cast<size_t>(k)];
      const int64_t cell = layout.keys[static_cast<size_t>(k)];
      int64_t cells = 0;
      for (const int64_t other : layout.keys) cells += other != kSpecial;
      const double elsewhere = 0.1 / static_cast<double>(keys - 1);
      if (cell == kSpecial) {
        CATCH_CHECK(overlay.max_lift < 1);
        CATCH_CHECK(overlay.mass == Approx(elsewhere * static_cast<double>(cells)));
      } else {
        CATCH_CHECK(gaze::test::in_cell(layout, cell, overlay.hot_x, overlay.hot_y, kWidth, kHeight));
        CATCH_CHECK(overlay.max_lift == Approx(0.9 * static_cast<double>(keys)));
        CATCH_CHECK(overlay.mass == Approx(0.9 + elsewhere * static_cast<double>(cells - 1)));
      }
    }
  }
}

CATCH_TEST_CASE("layouts: a model with fewer keys than the layout ends the capture and says what was expected") {
  gaze::Geometry geometry = gaze::test::grid_of(2, 3);
  geometry.tiles = {.rows = 2, .cols = 1, .leading = 1};
  const gaze::AttentionRecord record = captured(geometry, 13, {2}, {.image = picture()});
  CATCH_CHECK(record.error_reason == gaze::DropReason::GridMismatch);
  CATCH_CHECK(record.error.find("geometry: expected 14 keys (2 x 1 tiles of (1 leading + 2 x 3 cells)), got 13.") == 0);
}

// SPDX-License-Identifier: MIT
// A model whose attention is planted on one key, drawn through the whole pipeline: the hottest pixel lies where that
// key's cell does.
#include <gaze/render/overlay.hpp>

#include <cmath>

#include "hooks_test.hpp"
#include "render/layouts.hpp"

using gaze::test::kSpecial;
using gaze::test::Layout;

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

gaze::Options options_for(const std::optional<gaze::Geometry>& geometry) {
  gaze::Options options = hooks_test::options({"*"});
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
  const auto calls = [&](gaze::Request&) {
    for (const int64_t key : hot) module.forward(looking_at(key, keys));
  };
  return hooks_test::captured(module, options_for(geometry), calls, {spec}).only();
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
    CATCH_REQUIRE(record.maps[0].map_tk.size(1) == span);
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

CATCH_TEST_CASE("layouts: of several pictures in a prompt the one that is asked for is drawn") {
  gaze::Geometry geometry = gaze::test::grid_of(3, 5);
  geometry.spans = {{2, 15}, {20, 15}};
  const Layout drawn{"", geometry, 3, 5, {}};
  for (const int64_t index : {0, 1}) {
    CATCH_CAPTURE(index);
    geometry.picture = index;
    const gaze::AttentionRecord record =
        captured(std::nullopt, 40, {2 + 9, 20 + 4}, {.image = picture(), .geometry = geometry});
    CATCH_REQUIRE(record.error.empty());
    const gaze::Composition composition = gaze::compose(record);
    const auto& seen = composition.words[static_cast<size_t>(index)];
    CATCH_CHECK(gaze::test::in_cell(drawn, index == 0 ? 9 : 4, seen.hot_x, seen.hot_y, kWidth, kHeight));
    CATCH_CHECK(composition.words[static_cast<size_t>(1 - index)].max_lift < 1);
  }
  // A picture that begins a longer row.
  gaze::Geometry first = gaze::test::grid_of(3, 5);
  const gaze::RequestSpec alone{.image = picture(), .geometry = first};
  CATCH_CHECK(captured(std::nullopt, 40, {9}, alone).error.find("geometry: expected 15 keys (3 x 5 cells), got 40.") ==
              0);
  first.spans = {{0, 15}};
  const gaze::AttentionRecord begun = captured(std::nullopt, 40, {9}, {.image = picture(), .geometry = first});
  CATCH_REQUIRE(begun.error.empty());
  const gaze::Overlay overlay = gaze::compose(begun).words.at(0);
  CATCH_CHECK(gaze::test::in_cell(drawn, 9, overlay.hot_x, overlay.hot_y, kWidth, kHeight));
  geometry.pictures = 3;
  const gaze::AttentionRecord refused = captured(std::nullopt, 40, {3}, {.image = picture(), .geometry = geometry});
  CATCH_CHECK(refused.error_reason == gaze::DropReason::GridMismatch);
  CATCH_CHECK(refused.error.find("geometry.spans: expected one for each of the prompt's 3 pictures, got 2.") == 0);
}

CATCH_TEST_CASE("layouts: a video's frames are told apart") {
  gaze::Geometry geometry = gaze::test::grid_of(2, 3);
  geometry.video = {.frames = 6, .temporal_merge = 2, .frame = 4};
  const Layout drawn{"", geometry, 2, 3, {}};
  const gaze::AttentionRecord record = captured(geometry, 18, {6 + 1, 12 + 5}, {.image = picture()});
  CATCH_REQUIRE(record.error.empty());
  const gaze::Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].diffuse);
  const gaze::Overlay& seen = composition.words[1];
  CATCH_CHECK(gaze::test::in_cell(drawn, 5, seen.hot_x, seen.hot_y, kWidth, kHeight));
  CATCH_CHECK(seen.frame_mass.at(4) == Approx((0.9 + 5 * 0.1 / 17) / 2));
  CATCH_CHECK(seen.frame_mass.at(0) == Approx(6 * 0.1 / 17 / 2));
}

CATCH_TEST_CASE("layouts: the grid follows the size of each request's own input") {
  torch::jit::Module module("Attention");
  module.define(R"JIT(
def forward(self, image, q, k, v):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), v) + image.mean()
)JIT");
  gaze::Geometry geometry;
  geometry.patch = 4;
  geometry.merge = 2;
  gaze::Options options = options_for(geometry);
  options.profile_in_code->image = gaze::ImageInput{};
  options.profile_in_code->image->argument["forward"] = 0;
  const auto sink = std::make_shared<hooks_test::MemorySink>();
  options.sink = sink;
  gaze::Gaze gaze = gaze::attach(module, options);
  const auto run = [&](int64_t height, int64_t width, int64_t hot, int64_t keys, const gaze::RequestSpec& spec) {
    std::vector<c10::IValue> inputs = looking_at(hot, keys);
    inputs.insert(inputs.begin(), at::rand({1, 3, height, width}));
    gaze::Request request = gaze.begin(spec);
    module.forward(inputs);
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    return sink->records().back();
  };
  // Wide, with the original picture; tall, with the model's own input for one.
  const gaze::AttentionRecord wide = run(24, 40, 9, 15, {.image = picture()});
  CATCH_REQUIRE(wide.error.empty());
  CATCH_CHECK(wide.maps[0].geometry().rows == 3);
  CATCH_CHECK(wide.maps[0].geometry().cols == 5);
  const gaze::Overlay on_picture = gaze::compose(wide).words.at(0);
  const Layout drawn{"", wide.maps[0].geometry(), 3, 5, {}};
  CATCH_CHECK(gaze::test::in_cell(drawn, 9, on_picture.hot_x, on_picture.hot_y, kWidth, kHeight));
  const gaze::AttentionRecord tall = run(56, 16, 3, 14, {});
  CATCH_REQUIRE(tall.error.empty());
  CATCH_CHECK(tall.maps[0].geometry().rows == 7);
  CATCH_CHECK(tall.maps[0].geometry().cols == 2);
  const gaze::Overlay on_input = gaze::compose(tall).words.at(0);
  CATCH_CHECK(gaze::test::in_cell({"", tall.maps[0].geometry(), 7, 2, {}}, 3, on_input.hot_x, on_input.hot_y, 16, 56));
  CATCH_CHECK(run(24, 42, 9, 15, {})
                  .error.find("geometry.input_width: expected a multiple of 8 (patch 4 x merge 2), "
                              "got 42.") == 0);
  CATCH_CHECK(run(24, 40, 9, 16, {}).error.find("geometry: expected 15 keys (3 x 5 cells), got 16.") == 0);
}

CATCH_TEST_CASE("layouts: rows of a batch whose pictures' keys lie apart are refused") {
  torch::jit::Module module = attention_over_keys();
  gaze::Geometry wide = gaze::test::grid_of(3, 5);
  gaze::Geometry small = gaze::test::grid_of(2, 5);
  wide.first_key = small.first_key = 1;
  std::vector<gaze::RequestSpec> specs = {{.id = "a", .geometry = wide}, {.id = "b", .geometry = small}};
  std::vector<c10::IValue> inputs = looking_at(3, 16);
  for (c10::IValue& input : inputs) input = input.toTensor().repeat({2, 1, 1, 1});
  const auto records = hooks_test::captured(
                           module, options_for(std::nullopt), [&](gaze::Request&) { module.forward(inputs); }, specs)
                           .records;
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].error_reason == gaze::DropReason::ShapeMismatch);
  CATCH_CHECK(records[1].error.find("batch: expected the picture's keys at one place in all rows, got 15 from "
                                    "1 and 10 from 1.") == 0);
}

// SPDX-License-Identifier: MIT
// Early fusion: a decoder that sees the picture in its own row of keys, whose place the prompt's ids tell.
#include <gaze/ops/transfer.hpp>
#include <gaze/render/overlay.hpp>

#include "hooks_test.hpp"
#include "render/fake_device.hpp"
#include "render/layouts.hpp"

using hooks_test::MemorySink;

namespace {

constexpr int64_t kPicture = 7, kRed = 100;  // ids: a key of a picture; 100, 101 and 102 name a colour
constexpr int64_t kRows = 3, kCols = 5, kPatch = 4;

/// Every patch becomes one key, its mean colour; the token of a colour attends to that colour, others to nothing.
torch::jit::Module decoder() {
  torch::jit::Module module("Decoder");
  module.define(R"JIT(
def embed(self, ids, image):
    patches = torch.avg_pool2d(image, [4, 4], [4, 4]).flatten(2).transpose(1, 2).reshape(-1, 3)
    x = torch.zeros([ids.size(0), ids.size(1), 3])
    return x.masked_scatter((ids == 7).unsqueeze(-1).expand_as(x), patches)

def attend(self, ids, x, cache):
    keys = torch.cat([cache, x], 1)
    colour = torch.stack([ids == 100, ids == 101, ids == 102], -1).float()
    scores = torch.matmul(colour * 8, keys.transpose(-2, -1))
    mask = torch.ones([ids.size(1), keys.size(1)]).tril(keys.size(1) - ids.size(1)) > 0
    weights = torch.softmax(scores.masked_fill(mask.logical_not(), float("-inf")), -1)
    return torch.matmul(weights, keys), keys

def prefill(self, ids, image):
    x = self.embed(ids, image)
    return self.attend(ids, x, torch.zeros([ids.size(0), 0, 3]))

def step(self, ids, cache):
    return self.attend(ids, torch.zeros([ids.size(0), 1, 3]), cache)

def sized(self, ids, image):
    x = torch.zeros([image.size(0), ids.size(1), 3])
    return self.attend(torch.full([image.size(0), ids.size(1)], 100), x, torch.zeros([image.size(0), 0, 3]))
)JIT");
  return module;
}

/// Black but for one red, one green and one blue patch. [1, 3, 12, 20]
at::Tensor image_with(const std::vector<int64_t>& cells) {
  at::Tensor image = at::zeros({1, 3, kRows * kPatch, kCols * kPatch});
  for (size_t colour = 0; colour < cells.size(); ++colour) {
    image[0][static_cast<int64_t>(colour)]
        .narrow(0, cells[colour] / kCols * kPatch, kPatch)
        .narrow(1, cells[colour] % kCols * kPatch, kPatch)
        .fill_(1);
  }
  return image;
}

std::vector<int64_t> prompt(const std::vector<std::pair<int64_t, int64_t>>& parts) {
  std::vector<int64_t> ids;
  for (const auto& [count, id] : parts) ids.insert(ids.end(), static_cast<size_t>(count), id);
  return ids;
}

at::Tensor as_batch(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

gaze::Profile profile() {
  return gaze::parse_profile(R"({
    "gaze_profile": 1, "sites": {"match": ["*"]}, "heads": {"reduce": "mean"},
    "geometry": {"rows": 3, "cols": 5, "spans": {"placeholder": 7, "argument": {"prefill": 0, "sized": 0}}}})");
}

gaze::AttentionRecord captured(const std::function<void(torch::jit::Module&)>& run,
                               const gaze::RequestSpec& spec = {}) {
  torch::jit::Module module = decoder();
  gaze::Options options = hooks_test::options();
  options.profile_in_code = profile();
  options.style.normalise.subtract_sinks = false;
  return hooks_test::captured(module, options, [&](gaze::Request&) { run(module); }, {spec}).only();
}

/// The answer "green, blue" after a prompt that ends in "red".
void answer(torch::jit::Module& module, const std::vector<int64_t>& ids, const at::Tensor& images) {
  auto cache = module.get_method("prefill")({as_batch(ids), images}).toTuple()->elements()[1];
  for (const int64_t colour : {kRed + 1, kRed + 2}) {
    cache = module.get_method("step")({as_batch({colour}), cache}).toTuple()->elements()[1];
  }
}

void check_hottest(const gaze::AttentionRecord& record, const std::vector<int64_t>& cells) {
  CATCH_REQUIRE(record.error == "");
  CATCH_REQUIRE(record.maps[0].map_tk.size(0) == 3);
  const gaze::Composition composition = gaze::compose(record);
  const gaze::test::Layout drawn{"", gaze::test::grid_of(kRows, kCols), kRows, kCols, {}};
  for (size_t token = 0; token < 3; ++token) {
    CATCH_CAPTURE(token);
    const gaze::Overlay& overlay = composition.words.at(token);
    CATCH_CHECK_FALSE(overlay.diffuse);
    CATCH_CHECK(gaze::test::in_cell(drawn, cells[token], overlay.hot_x, overlay.hot_y, 37, 23));
  }
}

at::Tensor photo() { return at::arange(23 * 37 * 3).remainder(251).to(at::kByte).view({23, 37, 3}); }

}  // namespace

CATCH_TEST_CASE("prompt ids: the picture's keys begin where its placeholders do, in every request anew") {
  for (const int64_t before : {1, 4, 9}) {
    CATCH_CAPTURE(before);
    const std::vector<int64_t> cells = {3, 14, 5};
    const auto ids = prompt({{before, 1}, {kRows * kCols, kPicture}, {2, 2}, {1, kRed}});
    const auto record =
        captured([&](torch::jit::Module& module) { answer(module, ids, image_with(cells)); }, {.image = photo()});
    check_hottest(record, cells);
    CATCH_CHECK(record.maps[0].geometry().first_key == before);
    CATCH_CHECK(record.keys == static_cast<int64_t>(ids.size()));
  }
}

CATCH_TEST_CASE("prompt ids: of two pictures the request's is drawn, whose own span may be stated as well") {
  const std::vector<std::vector<int64_t>> cells = {{0, 6, 12}, {11, 2, 9}};
  const auto ids = prompt({{2, 1}, {15, kPicture}, {1, 3}, {15, kPicture}, {1, kRed}});
  const at::Tensor images = at::cat({image_with(cells[0]), image_with(cells[1])});
  const auto run = [&](torch::jit::Module& module) { answer(module, ids, images); };
  for (const int64_t index : {0, 1}) {
    CATCH_CAPTURE(index);
    gaze::Geometry geometry = gaze::test::grid_of(kRows, kCols);
    geometry.picture = index;
    geometry.pictures = 2;
    check_hottest(captured(run, {.image = photo(), .geometry = geometry}), cells[static_cast<size_t>(index)]);
    geometry.spans = gaze::spans_of(ids, kPicture);
    check_hottest(captured(run, {.image = photo(), .geometry = geometry}), cells[static_cast<size_t>(index)]);
  }
}

CATCH_TEST_CASE("prompt ids: what does not fit the geometry is refused with what was expected and found") {
  const auto refused = [&](const std::vector<std::pair<int64_t, int64_t>>& parts, int64_t pictures = 0) {
    const auto ids = prompt(parts);
    const int64_t keys = std::count(ids.begin(), ids.end(), kPicture);
    gaze::Geometry geometry = gaze::test::grid_of(kRows, kCols);
    geometry.pictures = pictures;
    const auto record = captured(
        [&](torch::jit::Module& module) {
          answer(module, ids, image_with({1, 2, 3}).repeat({keys / 15 + 1, 1, 1, 1}));
        },
        {.geometry = geometry});
    CATCH_CHECK(record.error_reason == gaze::DropReason::GridMismatch);
    return record.error;
  };
  CATCH_CHECK_THAT(refused({{2, 1}, {14, kPicture}, {3, 2}}),
                   Catch::Matchers::StartsWith("geometry.spans[0]: expected 15 keys (3 x 5 cells), got 14."));
  CATCH_CHECK_THAT(refused({{2, 1}, {30, kPicture}, {3, 2}}),
                   Catch::Matchers::StartsWith("geometry.spans[0]: expected 15 keys (3 x 5 cells), got 30."));
  CATCH_CHECK(refused({{6, 1}, {14, 2}}) ==
              "geometry.spans: expected at least 1 run of the placeholder 7 among the prompt's 20 token ids, one for "
              "each picture, got 0. Correct spans.placeholder or pictures, or give the request's geometry its spans "
              "(gaze::spans_of).");
  CATCH_CHECK_THAT(refused({{2, 1}, {15, kPicture}, {3, 2}}, 2),
                   Catch::Matchers::StartsWith("geometry.spans: expected 2 runs of the placeholder 7 among the "
                                               "prompt's 20 token ids, one for each picture, got 1."));
  CATCH_CHECK_THAT(refused({{2, 1}, {15, kPicture}, {3, 2}, {15, kPicture}, {1, 2}}),
                   Catch::Matchers::StartsWith("geometry.picture: expected which of 2 pictures the overlay is for"));
}

CATCH_TEST_CASE("prompt ids: ids that are not offered, or not ids, are refused unless the request has spans") {
  const auto ids = prompt({{2, 1}, {15, kPicture}, {3, 2}});
  const auto sized = [&](const at::Tensor& given) {
    return [given](torch::jit::Module& module) { module.get_method("sized")({given, at::zeros({1, 1})}); };
  };
  CATCH_CHECK_THAT(captured([](torch::jit::Module& module) {
                     module.get_method("step")({as_batch({kRed}), at::zeros({1, 20, 3})});
                   }).error,
                   Catch::Matchers::StartsWith("geometry.spans: expected the prompt's token ids before the first "
                                               "attention, got none."));
  CATCH_CHECK_THAT(captured(sized(at::zeros({1, 20, 3}))).error,
                   Catch::Matchers::StartsWith("geometry.spans: expected the prompt's token ids as int64 [batch, "
                                               "tokens], got Float [1, 20, 3]."));
  gaze::Geometry geometry = gaze::test::grid_of(kRows, kCols);
  geometry.spans = gaze::spans_of(ids, kPicture);
  CATCH_CHECK(captured(sized(at::zeros({1, 20, 3})), {.geometry = geometry}).error == "");
}

CATCH_TEST_CASE("prompt ids: from a device they are copied once for a request, and never when it has spans") {
  const auto ids = prompt({{2, 1}, {15, kPicture}, {3, 2}});
  const at::Tensor here = as_batch(ids), image = at::zeros({1, 1});
  // Until somebody waits for it, the device holds nothing of what was sent.
  const auto twice_with = [&](const std::function<at::Tensor()>& given) {
    return [&image, given](torch::jit::Module& module) {
      for (int call = 0; call < 2; ++call) module.get_method("sized")({given(), image});
    };
  };
  const auto there = [&] { return gaze::test::fake::upload(here); };
  const auto moved = [](const gaze::ops::Transferred& before) {
    const gaze::ops::Traffic now = gaze::ops::transferred().back(gaze::ops::Cargo::Figures);
    const gaze::ops::Traffic then = before.back(gaze::ops::Cargo::Figures);
    return std::pair<int64_t, int64_t>(now.calls - then.calls, now.bytes - then.bytes);
  };
  gaze::ops::Transferred before = gaze::ops::transferred();
  const gaze::AttentionRecord expected = captured(twice_with([&] { return here; }));
  CATCH_REQUIRE(expected.error == "");
  CATCH_CHECK(moved(before) == std::pair<int64_t, int64_t>(0, 0));

  before = gaze::ops::transferred();
  int64_t waits = gaze::test::fake::log().synchronous;
  const gaze::AttentionRecord record = captured(twice_with(there));
  CATCH_REQUIRE(record.error == "");
  CATCH_CHECK(record.maps[0].geometry().first_key == 2);
  CATCH_CHECK(record.maps[0].map_tk.size(0) == 1);  // the second call is another piece of the prompt
  CATCH_CHECK(at::equal(record.maps[0].map_tk, expected.maps[0].map_tk));
  CATCH_CHECK(moved(before) == std::pair<int64_t, int64_t>(1, 20 * 8));
  CATCH_CHECK(gaze::test::fake::log().synchronous == waits + 1);

  before = gaze::ops::transferred();
  waits = gaze::test::fake::log().synchronous;
  gaze::Geometry geometry = gaze::test::grid_of(kRows, kCols);
  geometry.spans = gaze::spans_of(ids, kPicture);
  const gaze::AttentionRecord stated = captured(twice_with(there), {.geometry = geometry});
  CATCH_REQUIRE(stated.error == "");
  CATCH_CHECK(at::equal(stated.maps[0].map_tk, expected.maps[0].map_tk));
  CATCH_CHECK(moved(before) == std::pair<int64_t, int64_t>(0, 0));
  CATCH_CHECK(gaze::test::fake::log().synchronous == waits);
}

CATCH_TEST_CASE("prompt ids: calls without a request are read too, a batch's rows each by their own ids") {
  torch::jit::Module module = decoder();
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.profile_in_code = profile();
  gaze::Gaze gaze = gaze::attach(module, options);
  const auto near = prompt({{2, 1}, {15, kPicture}, {2, 2}, {1, kRed}});
  const auto far = prompt({{4, 1}, {15, kPicture}, {1, kRed}});
  const at::Tensor image = image_with({8});
  for (const auto& ids : {near, far}) module.get_method("prefill")({as_batch(ids), image});
  module.get_method("prefill")({at::cat({as_batch(near), as_batch(near)}).to(at::kInt), image.repeat({2, 1, 1, 1})});
  module.get_method("prefill")({at::cat({as_batch(near), as_batch(far)}), image.repeat({2, 1, 1, 1})});
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 6);
  const int64_t first_key[] = {2, 4, 2, 2};
  for (size_t i = 0; i < 4; ++i) {
    CATCH_CAPTURE(i);
    CATCH_REQUIRE(records[i].error == "");
    CATCH_CHECK(records[i].maps[0].geometry().first_key == first_key[i]);
    CATCH_CHECK(records[i].maps[0].map_tk.argmax(1).item<int64_t>() == 8);
  }
  for (size_t i = 4; i < 6; ++i) {
    CATCH_CHECK_THAT(records[i].error, Catch::Matchers::StartsWith("batch: expected the picture's keys at one place in "
                                                                   "all rows, got 15 from 2 and 15 from 4."));
  }
}

CATCH_TEST_CASE("prompt ids: an argument the model does not have is refused at set-up") {
  torch::jit::Module module = decoder();
  gaze::Options options = hooks_test::options();
  options.profile_in_code = profile();
  options.profile_in_code->spans->argument = {{"prefill", 2}};
  CATCH_CHECK_THROWS_WITH(
      gaze::attach(module, options),
      Catch::StartsWith("profile: geometry.spans.argument.prefill: expected an index below 2, got 2."));
}

CATCH_TEST_CASE("prompt rows: with prompt_tokens 1 every row of the first call is kept, then each step") {
  const std::vector<int64_t> cells = {3, 14, 5};
  const auto ids = prompt({{2, 1}, {15, kPicture}, {1, kRed + 2}, {1, kRed}});
  const auto run = [&](torch::jit::Module& module) { answer(module, ids, image_with(cells)); };
  const auto last = captured(run, {.image = photo()});
  const auto all = captured(run, {.image = photo(), .prompt_tokens = 1});
  CATCH_REQUIRE(last.maps[0].map_tk.size(0) == 3);
  CATCH_REQUIRE(all.maps[0].map_tk.size(0) == 19 + 2);
  CATCH_CHECK(at::equal(all.maps[0].map_tk.slice(0, 18), last.maps[0].map_tk));
  // The prompt's own "blue", and a word that was read before the picture.
  const gaze::Composition composition = gaze::compose(all);
  const gaze::test::Layout drawn{"", gaze::test::grid_of(kRows, kCols), kRows, kCols, {}};
  const gaze::Overlay& blue = composition.words.at(17);
  CATCH_CHECK(gaze::test::in_cell(drawn, cells[2], blue.hot_x, blue.hot_y, 37, 23));
  CATCH_CHECK(all.maps[0].mass_t[1].item<double>() == 0);
}

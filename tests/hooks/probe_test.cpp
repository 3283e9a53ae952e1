// SPDX-License-Identifier: MIT
// The probe finds exactly the geometry that was planted.
#include <gaze/hooks/probe.hpp>

#include "hooks_test.hpp"

namespace {

constexpr int64_t kSize = 12;

/// A patch embedding of 8 x 8 pixels, `layout`, which makes the tokens x [b, n, 12] from y [b, 12, rows, cols], and one
/// attention over them.
torch::jit::Module planted(const std::string& layout, bool fused = false, int64_t channels = kSize) {
  torch::jit::Module module("Planted");
  auto generator = at::detail::createCPUGenerator(3);
  const auto parameter = [&](const char* name, std::vector<int64_t> sizes) {
    module.register_parameter(name, at::randn(sizes, generator) * 0.3, false);
  };
  parameter("patch", {kSize, 3, 8, 8});
  parameter("special", {1, 8, kSize});
  parameter("newline", {1, kSize, 1, 1});
  parameter("latents", {1, 16, kSize});
  parameter("q", {kSize, channels});
  parameter("k", {kSize, channels});
  const std::string attention = fused ? R"JIT(
    out = torch.scaled_dot_product_attention((x @ self.q).unsqueeze(1), (x @ self.k).unsqueeze(1), x.unsqueeze(1))
)JIT"
                                      : R"JIT(
    out = torch.softmax((x @ self.q) @ (x @ self.k).transpose(1, 2) * 0.3, -1) @ x
)JIT";
  module.define(R"JIT(
def forward(self, image, text):
    y = torch.conv2d(image, self.patch, None, [8, 8])
)JIT" + layout + attention +
                "    return out\n");
  return module;
}

std::vector<c10::IValue> inputs(int64_t height, int64_t width, int64_t batch = 1) {
  auto generator = at::detail::createCPUGenerator(4);
  return {at::randn({batch, 3, height, width}, generator), at::randn({batch, 4, kSize}, generator)};
}

gaze::ProbedSite only_site(const torch::jit::Module& module, const std::vector<c10::IValue>& arguments) {
  const gaze::ProbeResult result = gaze::probe(module, "forward", arguments, 0);
  CATCH_REQUIRE(result.sites.size() == 1);
  CATCH_CAPTURE(result.sites[0].verdict);
  CATCH_REQUIRE(result.sites[0].geometry);
  return result.sites[0];
}

const std::string kRows = "    x = y.flatten(2).transpose(1, 2)\n";

}  // namespace

CATCH_TEST_CASE("a probe finds a grid off the square, of materialised and of fused attention") {
  for (const bool fused : {false, true}) {
    for (const int64_t batch : {1, 3}) {
      const gaze::ProbedSite site = only_site(planted(kRows, fused), inputs(40, 56, batch));
      CATCH_CHECK(site.geometry->rows == 5);
      CATCH_CHECK(site.geometry->cols == 7);
      CATCH_CHECK(site.geometry->order == gaze::CellOrder::Rows);
      CATCH_CHECK(site.geometry->keys() == 35);
      CATCH_CHECK(site.geometry->first_cell() == 0);
      CATCH_CHECK(site.local_share == 1.0);
      CATCH_CHECK(site.responding == 35);
      for (int64_t key = 0; key < 35; ++key) {
        CATCH_CHECK(std::abs(site.keys[static_cast<size_t>(key)].x - (8.0 * static_cast<double>(key % 7) + 4)) < 2);
        CATCH_CHECK(std::abs(site.keys[static_cast<size_t>(key)].y - (8.0 * static_cast<double>(key / 7) + 4)) < 2);
      }
    }
  }
}

CATCH_TEST_CASE("a probe tells keys from channels where there are as many of both") {
  // 3 x 4 keys of 12 channels: only the axis says which are which.
  const gaze::ProbedSite site = only_site(planted(kRows), inputs(24, 32));
  CATCH_CHECK(site.geometry->rows == 3);
  CATCH_CHECK(site.geometry->cols == 4);
  CATCH_CHECK(site.local_share == 1.0);
}

CATCH_TEST_CASE("a probe finds special keys before, behind and between the cells") {
  const gaze::ProbedSite around =
      only_site(planted(kRows + "    x = torch.cat([self.special[:, :1].expand([x.size(0), 1, 12]), x, "
                                "self.special[:, :3].expand([x.size(0), 3, 12])], 1)\n"),
                inputs(40, 56));
  CATCH_CHECK(around.geometry->leading == 1);
  CATCH_CHECK(around.geometry->trailing == 3);
  CATCH_CHECK(around.geometry->cells() == 35);
  CATCH_CHECK(around.responding == 35);

  const std::string newline = "    n = self.newline.expand([y.size(0), 12, y.size(2), 1])\n";
  const std::string ends = newline + "    x = torch.cat([y, n], 3).flatten(2).transpose(1, 2)\n";
  const gaze::ProbedSite rows = only_site(planted(ends), inputs(40, 56));
  CATCH_CHECK(rows.geometry->rows == 5);
  CATCH_CHECK(rows.geometry->cols == 7);
  CATCH_CHECK(rows.geometry->row_end == 1);
  CATCH_CHECK(rows.geometry->last_row_end);
  CATCH_CHECK(rows.anchored);
  CATCH_CHECK(rows.geometry->keys() == 40);

  const gaze::ProbedSite between = only_site(planted(ends + "    x = x[:, :-1]\n"), inputs(40, 56));
  CATCH_CHECK(between.geometry->row_end == 1);
  CATCH_CHECK_FALSE(between.geometry->last_row_end);
  CATCH_CHECK(between.geometry->keys() == 39);
}

CATCH_TEST_CASE("a probe finds columns, windows and tiles") {
  const gaze::ProbedSite columns =
      only_site(planted("    x = y.transpose(2, 3).flatten(2).transpose(1, 2)\n"), inputs(40, 56));
  CATCH_CHECK(columns.geometry->order == gaze::CellOrder::Columns);
  CATCH_CHECK(columns.geometry->rows == 5);
  CATCH_CHECK(columns.geometry->cols == 7);

  const std::string cut = "    w = y.reshape([y.size(0), 12, 2, y.size(2) // 2, 2, y.size(3) // 2])";
  const std::string windows =
      "    w = y.reshape([y.size(0), 12, y.size(2) // 2, 2, y.size(3) // 4, 4]).permute([0, 2, 4, 3, 5, 1])\n"
      "    x = w.reshape([y.size(0), -1, 12])\n";
  const gaze::ProbedSite window = only_site(planted(windows), inputs(48, 64));
  CATCH_CHECK(window.geometry->order == gaze::CellOrder::Windows);
  CATCH_CHECK(window.geometry->window_rows == 2);
  CATCH_CHECK(window.geometry->window_cols == 4);
  CATCH_CHECK(window.geometry->cells() == 48);

  const std::string tiles = cut + ".permute([0, 2, 4, 3, 5, 1]).reshape([y.size(0), 4, -1, 12])\n" +
                            "    s = self.special[:, :4].reshape([1, 4, 1, 12]).expand([y.size(0), 4, 1, 12])\n" +
                            "    x = torch.cat([s, w], 2).flatten(1, 2)\n";
  const gaze::ProbedSite tile = only_site(planted(tiles), inputs(48, 64));
  CATCH_REQUIRE(tile.geometry->tiles);
  CATCH_CHECK(tile.geometry->tiles->rows == 2);
  CATCH_CHECK(tile.geometry->tiles->cols == 2);
  CATCH_CHECK(tile.geometry->tiles->leading + tile.geometry->leading == 1);
  CATCH_CHECK(tile.geometry->rows == 3);
  CATCH_CHECK(tile.geometry->cols == 4);
  CATCH_CHECK(tile.geometry->keys() == 52);
}

CATCH_TEST_CASE("a probe finds the size of merged cells") {
  const std::string merged =
      "    z = torch.pixel_unshuffle(y, 2)\n"
      "    z = z.reshape([y.size(0), 12, 4, z.size(2), z.size(3)]).sum(2) + z[:, :12]\n"
      "    x = z.flatten(2).transpose(1, 2)\n";
  const gaze::ProbedSite site = only_site(planted(merged), inputs(64, 96));
  CATCH_CHECK(site.geometry->rows == 4);
  CATCH_CHECK(site.geometry->cols == 6);
  CATCH_CHECK(site.verdict.find("16 x 16 pixels") != std::string::npos);
}

CATCH_TEST_CASE("a probe finds where a picture begins among text") {
  const std::string mixed = kRows + "    x = torch.cat([text, x, text], 1)\n";
  const gaze::ProbeResult result = gaze::probe(planted(mixed), "forward", inputs(40, 56), 0);
  CATCH_REQUIRE(result.sites.size() == 1);
  CATCH_REQUIRE(result.sites[0].geometry);
  CATCH_CHECK(result.sites[0].geometry->first_key == 4);
  CATCH_CHECK(result.sites[0].geometry->leading == 0);
  CATCH_CHECK(result.sites[0].geometry->trailing == 0);
  const gaze::Profile profile = gaze::proposed_profile(result);
  CATCH_CHECK(profile.sites == std::vector<std::string>{result.sites[0].site.name});
  CATCH_CHECK(profile.image->argument == std::map<std::string, int64_t>{{"forward", 0}});
  CATCH_CHECK(gaze::differences(result, profile).empty());

  // At the very start of a longer row: without spans the row would be taken for the picture's alone.
  const gaze::ProbeResult first =
      gaze::probe(planted(kRows + "    x = torch.cat([x, text], 1)\n"), "forward", inputs(40, 56), 0);
  CATCH_REQUIRE(first.sites[0].geometry);
  CATCH_REQUIRE(first.sites[0].geometry->spans.size() == 1);
  CATCH_CHECK(gaze::differences(first, gaze::proposed_profile(first)).empty());
}

CATCH_TEST_CASE("a probe says that keys behind a resampler have no place") {
  const std::string resampled = kRows +
                                "    a = torch.softmax(self.latents.expand([x.size(0), 16, 12]) @ x.transpose(1, 2) * "
                                "0.05, -1)\n    x = a @ x + self.latents\n";
  const gaze::ProbeResult result = gaze::probe(planted(resampled), "forward", inputs(40, 56), 0);
  bool seen = false;
  for (const gaze::ProbedSite& site : result.sites) {
    if (site.keys.size() != 16) continue;
    seen = true;
    CATCH_CAPTURE(site.verdict);
    CATCH_CHECK_FALSE(site.geometry);
    CATCH_CHECK(site.verdict.find("not local") != std::string::npos);
  }
  CATCH_CHECK(seen);
}

CATCH_TEST_CASE("a probe says that a site does not see the picture") {
  const gaze::ProbeResult result = gaze::probe(planted("    x = text\n"), "forward", inputs(40, 56), 0);
  CATCH_REQUIRE(result.sites.size() == 1);
  CATCH_CHECK_FALSE(result.sites[0].geometry);
  CATCH_CHECK(result.sites[0].responding == 0);
  CATCH_CHECK(result.sites[0].verdict == "no key responds: this site does not see argument 0");
  CATCH_CHECK_THROWS_WITH(gaze::proposed_profile(result), Catch::Matchers::Contains("found none"));
}

CATCH_TEST_CASE("a probe refuses what is random") {
  const std::string shifted =
      "    y = torch.roll(y, [int(torch.randint(0, 2, [1])), int(torch.randint(0, 7, [1]))], "
      "[2, 3])\n" +
      kRows;
  CATCH_CHECK_THROWS_WITH(
      gaze::probe(planted(kRows + "    x = x + torch.rand_like(x)\n"), "forward", inputs(40, 56), 0),
      Catch::Matchers::Contains("expected the same keys from two runs"));
  at::manual_seed(1);
  CATCH_CHECK_THROWS_WITH(gaze::probe(planted(shifted), "forward", inputs(40, 56), 0),
                          Catch::Matchers::Contains("random crops"));
}

CATCH_TEST_CASE("a probe verifies a profile and says what differs") {
  const torch::jit::Module module = planted(kRows);
  const gaze::ProbeResult result = gaze::probe(module, "forward", inputs(40, 56), 0);
  gaze::Profile profile = gaze::proposed_profile(result);
  CATCH_CHECK(gaze::differences(result, profile).empty());
  profile.geometry->rows = 7;
  profile.geometry->cols = 5;
  CATCH_REQUIRE(gaze::differences(result, profile).size() == 1);
  CATCH_CHECK_THAT(gaze::differences(result, profile)[0],
                   Catch::Matchers::Contains("7 x 5") && Catch::Matchers::Contains("5 x 7"));
  profile.geometry->rows = 6;
  CATCH_CHECK_THAT(gaze::differences(result, profile)[0], Catch::Matchers::Contains("30"));
  profile.geometry->rows = 5;
  profile.geometry->cols = 7;
  profile.geometry->order = gaze::CellOrder::Columns;
  CATCH_CHECK(gaze::differences(result, profile).size() == 1);
  profile.sites = {"nothing.*"};
  CATCH_CHECK_THROWS_WITH(gaze::differences(result, profile), Catch::Matchers::Contains("none that matches"));
}

CATCH_TEST_CASE("a probe leaves the module as it was, and refuses one with taps") {
  torch::jit::Module module = planted(kRows);
  const auto arguments = inputs(40, 56);
  const at::Tensor before = module.forward(arguments).toTensor();
  const std::string graph = module.get_method("forward").graph()->toString();
  (void)gaze::probe(module, "forward", arguments, 0);
  CATCH_CHECK(module.get_method("forward").graph()->toString() == graph);
  CATCH_CHECK(hooks_test::same_bytes(module.forward(arguments).toTensor(), before));
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(std::make_shared<hooks_test::MemorySink>()));
  CATCH_CHECK(gaze.capture_weights([&] { module.forward(arguments); }).size() == 1);
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 0),
                          Catch::Matchers::Contains("Probe before attach"));
}

CATCH_TEST_CASE("a probe names what is wrong with its arguments") {
  const torch::jit::Module module = planted(kRows);
  const auto arguments = inputs(40, 56);
  using Catch::Matchers::Contains;
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 2), Contains("index below 2, got 2"));
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 1), Contains("[batch, channels"));
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "backward", arguments, 0), Contains("got \"backward\""));
  gaze::ProbeOptions options;
  options.bands = 1;
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 0, options), Contains("2 to 4096"));
}

CATCH_TEST_CASE("a probe states its runs before it makes them") {
  gaze::ProbeOptions options;
  options.bands = 14;
  std::vector<int64_t> seen;
  int64_t stated = 0;
  options.progress = [&](int64_t done, int64_t runs, double) {
    seen.push_back(done);
    stated = runs;
  };
  const gaze::ProbeResult result = gaze::probe(planted(kRows), "forward", inputs(40, 56), 0, options);
  CATCH_CHECK(result.strip_width == 4);
  CATCH_CHECK(result.strip_height == 4);
  CATCH_CHECK(result.runs == 2 + 14 + 10);
  CATCH_CHECK(stated == result.runs);
  CATCH_CHECK(static_cast<int64_t>(seen.size()) == result.runs);
  CATCH_REQUIRE(result.sites[0].geometry);
  CATCH_CHECK(result.sites[0].geometry->cols == 7);
}

CATCH_TEST_CASE("the sample model's own profile is verified") {
  const gaze::Profile profile = gaze::read_profile(std::string(GAZE_SAMPLE_MODELS) + "/profile.json");
  auto generator = at::detail::createCPUGenerator(1);
  const std::vector<c10::IValue> arguments{at::randn({1, 3, 96, 160}, generator),
                                           at::tensor({1, 5, 6, 7}, at::kLong).unsqueeze(0), int64_t{4}};
  for (const char* file : {"stickers_sdpa.pt", "stickers_softmax.pt"}) {
    const torch::jit::Module model = torch::jit::load(std::string(GAZE_SAMPLE_MODELS) + "/" + file);
    const gaze::ProbeResult result = gaze::probe(model, "generate", arguments, 0);
    CATCH_CHECK(gaze::differences(result, profile).empty());
    const gaze::Profile found = gaze::proposed_profile(result);
    CATCH_CHECK(found.sites.size() == 3);
    CATCH_CHECK(found.geometry->rows == 6);
    CATCH_CHECK(found.geometry->cols == 10);
    CATCH_CHECK(found.geometry->keys() == 60);
  }
}

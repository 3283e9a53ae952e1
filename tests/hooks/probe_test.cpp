// SPDX-License-Identifier: MIT
// The probe finds exactly the geometry that was planted.
#include <gaze/hooks/probe.hpp>

#include "hooks_test.hpp"
#include "probe/probe_input.hpp"

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

CATCH_TEST_CASE("a probe takes what rounding does to keys for no change") {
  const auto noisy = [](const char* noise) {
    return planted(kRows + "    x = x * (1.0 + (torch.rand_like(x) - 0.5) * " + noise + ")\n");
  };
  const gaze::ProbeResult still = gaze::probe(planted(kRows), "forward", inputs(40, 56), 0);
  for (int run = 0; run < 3; ++run) {
    const gaze::ProbeResult result = gaze::probe(noisy("1e-6"), "forward", inputs(40, 56), 0);
    CATCH_REQUIRE(result.sites.at(0).geometry);
    CATCH_CHECK(result.sites[0].geometry->rows == still.sites.at(0).geometry->rows);
    CATCH_CHECK(result.sites[0].geometry->cols == still.sites[0].geometry->cols);
    CATCH_CHECK(result.sites[0].verdict == still.sites[0].verdict);
  }
  CATCH_CHECK_THROWS_WITH(gaze::probe(noisy("1e-3"), "forward", inputs(40, 56), 0),
                          Catch::Matchers::Contains("expected the same keys from two runs"));
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
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
  CATCH_CHECK(gaze.capture_weights([&] { module.forward(arguments); }).size() == 1);
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 0),
                          Catch::Matchers::Contains("Probe before attach"));
}

CATCH_TEST_CASE("a probe names what is wrong with its arguments") {
  const torch::jit::Module module = planted(kRows);
  const auto arguments = inputs(40, 56);
  using Catch::Matchers::Contains;
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", arguments, 2), Contains("index below 2, got 2"));
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", {arguments[0], at::ones({4, kSize})}, 1),
                          Contains("[batch, channels") && Contains("--patches-arg"));
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

namespace {

/// One attention over keys [b, n, 12] that `body` makes from the argument x; then as `planted`.
torch::jit::Module attends(const std::string& body) {
  torch::jit::Module module("Attends");
  auto generator = at::detail::createCPUGenerator(5);
  const auto parameter = [&](const char* name, std::vector<int64_t> sizes) {
    module.register_parameter(name, at::randn(sizes, generator) * 0.3, false);
  };
  parameter("patch", {kSize, 3, 8, 8});
  parameter("wave", {kSize, 1, 20});
  parameter("mel", {kSize, 6, 4});
  parameter("values", {8, kSize});
  parameter("special", {1, 8, kSize});
  parameter("newline", {1, kSize, 1, 1});
  parameter("q", {kSize, kSize});
  parameter("k", {kSize, kSize});
  module.define("def forward(self, x, text):\n" + body +
                "    return torch.softmax((x @ self.q) @ (x @ self.k).transpose(1, 2) * 0.3, -1) @ x\n");
  return module;
}

std::vector<c10::IValue> with_text(const at::Tensor& x) {
  auto generator = at::detail::createCPUGenerator(4);
  return {x, at::randn({x.size(0), 4, kSize}, generator)};
}

at::Tensor noise(std::vector<int64_t> sizes) {
  auto generator = at::detail::createCPUGenerator(6);
  return at::randn(sizes, generator);
}

gaze::ProbedSite probed(const std::string& body, const at::Tensor& x, const gaze::ProbeOptions& options) {
  const gaze::ProbeResult result = gaze::probe(attends(body), "forward", with_text(x), 0, options);
  CATCH_REQUIRE(result.sites.size() == 1);
  return result.sites[0];
}

gaze::ProbeOptions of(gaze::ProbeMedium medium) {
  gaze::ProbeOptions options;
  options.medium = medium;
  return options;
}

const std::string kWave = "    x = torch.conv1d(x.unsqueeze(1), self.wave, None, [20]).transpose(1, 2)\n";

}  // namespace

CATCH_TEST_CASE("a probe finds how long the keys of a sound last") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  options.seconds_per_step = 1.0 / 1000;
  const gaze::ProbedSite wave = probed(kWave, noise({2, 610}), options);
  CATCH_CAPTURE(wave.verdict);
  CATCH_REQUIRE(wave.geometry);
  CATCH_REQUIRE(wave.geometry->time);
  CATCH_CHECK(wave.geometry->cols == 30);
  CATCH_CHECK(wave.geometry->time->seconds_per_key == 0.02);
  CATCH_CHECK(wave.geometry->time->first_seconds == 0);
  CATCH_CHECK(wave.geometry->keys() == 30);
  CATCH_CHECK(wave.verdict.find("30 keys of 20.0 ms, from 0.0 s, 100 % of its keys local") == 0);

  // Strips wider than a key: 4 strips of 153 samples for 30 keys could be too few, 16 are not.
  options.bands = 16;
  const gaze::ProbedSite wide = probed(kWave, noise({1, 610}), options);
  CATCH_CAPTURE(wide.verdict);
  CATCH_REQUIRE(wide.geometry);
  CATCH_CHECK(wide.geometry->cols == 30);
  CATCH_CHECK(std::abs(wide.geometry->time->seconds_per_key - 0.02) < 0.0015);

  // A prompt around it, and a beginning that is not heard.
  options.bands = 64;
  const gaze::ProbedSite among =
      probed(kWave + "    x = torch.cat([text, x[:, 6:], text], 1)\n", noise({1, 610}), options);
  CATCH_CAPTURE(among.verdict);
  CATCH_REQUIRE(among.geometry);
  CATCH_CHECK(among.geometry->first_key == 4);
  CATCH_CHECK(among.geometry->cols == 24);
  CATCH_CHECK(std::abs(among.geometry->time->first_seconds - 0.12) < 0.005);
}

CATCH_TEST_CASE("a probe takes for padding what a model fills its window up with, whatever that answers to") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  options.seconds_per_step = 1.0 / 1000;
  // As a log-mel front end does: every key hears how loud the loudest moment is, and silence hears nothing else.
  const std::string window =
      "    x = torch.constant_pad_nd(x, [0, 1000 - x.size(1)])\n"
      "    x = torch.conv1d(x.unsqueeze(1), self.wave, None, [20]).transpose(1, 2)\n"
      "    x = torch.log(x * x + 0.001)\n"
      "    x = torch.maximum(x, x.amax() - 4.0)\n";
  at::Tensor sound = at::avg_pool1d(noise({1, 1, 670}), 31, 1).squeeze(1);  // one that changes slowly
  sound = sound / sound.std();
  sound.narrow(1, 300, 20).mul_(4);
  for (const int64_t bands : {64, 24}) {  // strips narrower and wider than keys
    options.bands = bands;
    const gaze::ProbedSite padded = probed(window, sound, options);
    CATCH_CAPTURE(bands, padded.verdict);
    CATCH_REQUIRE(padded.geometry);
    CATCH_CHECK(padded.geometry->cols == 50);
    CATCH_CHECK_FALSE(padded.grows);
    CATCH_CHECK(padded.geometry->trailing == 0);
    CATCH_CHECK(padded.geometry->time->seconds_per_key == 0.02);
    CATCH_CHECK(padded.geometry->time->first_seconds == 0);
    CATCH_CHECK(padded.verdict.find("the last 18 keys (from 0.64 s on) are padding") != std::string::npos);
  }
  CATCH_CHECK(probed(window + "    x = torch.cat([text, x], 1)\n", sound, options).geometry->cols == 32);

  // Keys of its own behind those of a sound of any length are no padding.
  const gaze::ProbedSite special =
      probed(kWave + "    x = torch.cat([x, self.special.expand([x.size(0), 8, 12])], 1)\n", sound, options);
  CATCH_CAPTURE(special.verdict);
  CATCH_REQUIRE(special.geometry);
  CATCH_CHECK(special.grows);
  CATCH_CHECK(special.geometry->cols == 32);
  CATCH_CHECK(special.geometry->trailing == 8);

  // What a window cuts off is not part of what its keys share out among them.
  options.bands = 64;
  const gaze::ProbedSite cut = probed("    x = x[:, :400]\n" + kWave, sound, options);
  CATCH_CAPTURE(cut.verdict);
  CATCH_REQUIRE(cut.geometry);
  CATCH_CHECK(cut.geometry->cols == 20);
  CATCH_CHECK(cut.geometry->time->seconds_per_key == 0.02);
  CATCH_CHECK(cut.verdict.find("the sound after 0.40 s changes no key") != std::string::npos);
}

CATCH_TEST_CASE("a probe says how far the time of a key may be off where it is no whole number of samples") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  options.seconds_per_step = 1.0 / 1000;
  options.bands = 16;
  at::Tensor sound = at::avg_pool1d(noise({1, 1, 1230}), 31, 1).squeeze(1);
  const gaze::ProbedSite pooled = probed(
      "    x = torch.conv1d(x.unsqueeze(1), self.wave, None, [4])\n"
      "    x = torch.upsample_linear1d(x, [45], False).transpose(1, 2)\n",
      sound, options);
  CATCH_CAPTURE(pooled.verdict);
  CATCH_REQUIRE(pooled.geometry);
  CATCH_CHECK(pooled.geometry->cols == 45);
  const size_t told = pooled.verdict.find("give or take ");
  CATCH_REQUIRE(told != std::string::npos);
  const double uncertain_ms = std::stod(pooled.verdict.substr(told + 13));
  CATCH_CHECK(uncertain_ms < 0.5);
  CATCH_CHECK(std::abs(1000 * pooled.geometry->time->seconds_per_key - 4 * 296.0 / 45) <= uncertain_ms + 0.05);
}

CATCH_TEST_CASE("a probe reads spectrograms in either order, and says which keys are padding") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  options.seconds_per_step = 0.01;
  at::Tensor mel = noise({1, 6, 96});
  mel.narrow(2, 60, 36).fill_(-1.5);
  const gaze::ProbedSite bins = probed("    x = torch.conv1d(x, self.mel, None, [4]).transpose(1, 2)\n", mel, options);
  CATCH_CAPTURE(bins.verdict);
  CATCH_REQUIRE(bins.geometry);
  CATCH_CHECK(bins.geometry->cols == 24);
  CATCH_CHECK(bins.geometry->time->seconds_per_key == 0.04);
  CATCH_CHECK(bins.verdict.find("the last 9 keys (from 0.60 s on) are padding") != std::string::npos);
  options.time_first = true;
  const gaze::ProbedSite frames = probed(
      "    x = torch.conv1d(x.transpose(1, 2), self.mel, None, [4]).transpose(1, 2)\n", noise({1, 96, 6}), options);
  CATCH_REQUIRE(frames.geometry);
  CATCH_CHECK(frames.geometry->cols == 24);
  CATCH_CHECK(frames.verdict.find("padding") == std::string::npos);
}

CATCH_TEST_CASE("a probe refuses a sound whose time it is not told, and times that are none") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  const torch::jit::Module module = attends(kWave);
  using Catch::Matchers::Contains;
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", with_text(noise({1, 610})), 0, options),
                          Contains("seconds_per_step: expected more than 0") && Contains("--sample-rate"));
  options.seconds_per_step = 0.001;
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", with_text(noise({1, 2, 3, 4})), 0, options),
                          Contains("[batch, bins, frames]"));
  // Shuffled in time.
  const gaze::ProbedSite mixed =
      probed(kWave + "    x = x[:, (torch.arange(30) * 7) % 30]\n", noise({1, 610}), options);
  CATCH_CAPTURE(mixed.verdict);
  CATCH_CHECK_FALSE(mixed.geometry);
  // Patches of time and frequency.
  const gaze::ProbedSite patches = probed(
      "    x = torch.conv2d(x.unsqueeze(1).expand([1, 3, 32, 64]), self.patch, None, [8, 8]).flatten(2)"
      ".transpose(1, 2)\n",
      noise({1, 32, 64}), options);
  CATCH_CHECK(patches.verdict.find("patches of time and frequency") != std::string::npos);
  CATCH_CHECK_FALSE(patches.geometry);
}

CATCH_TEST_CASE("a probe verifies a profile's times") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Sound);
  options.seconds_per_step = 0.001;
  const gaze::ProbeResult result = gaze::probe(attends(kWave), "forward", with_text(noise({1, 610})), 0, options);
  gaze::Profile profile = gaze::proposed_profile(result);
  CATCH_CHECK_FALSE(profile.image);
  CATCH_REQUIRE(profile.sound);
  CATCH_CHECK(profile.sound->argument.at("forward") == 0);
  CATCH_CHECK(profile.sound->sample_rate_hz == 1000);
  CATCH_CHECK(result.sites[0].grows);
  CATCH_CHECK(profile.geometry->cols == 0);  // as many as a sound has
  CATCH_CHECK(gaze::differences(result, profile).empty());
  profile.geometry->time->seconds_per_key = 0.025;
  CATCH_REQUIRE(gaze::differences(result, profile).size() == 1);
  CATCH_CHECK_THAT(gaze::differences(result, profile)[0],
                   Catch::Matchers::Contains("25.0 ms") && Catch::Matchers::Contains("20.0 ms"));
}

CATCH_TEST_CASE("a probe finds the frames of a video, and those that share a key frame") {
  const std::string frames =
      "    b = x.size(0)\n    y = torch.conv2d(x.flatten(0, 1), self.patch, None, [8, 8])\n"
      "    y = y.flatten(2).transpose(1, 2).reshape([b, x.size(1), -1, 12])\n";
  const gaze::ProbedSite each =
      probed(frames + "    x = y.flatten(1, 2)\n", noise({1, 4, 3, 24, 32}), of(gaze::ProbeMedium::Video));
  CATCH_CAPTURE(each.verdict);
  CATCH_REQUIRE(each.geometry);
  CATCH_REQUIRE(each.geometry->video);
  CATCH_CHECK(each.geometry->rows == 3);
  CATCH_CHECK(each.geometry->cols == 4);
  CATCH_CHECK(each.geometry->video->frames == 4);
  CATCH_CHECK(each.geometry->video->temporal_merge == 1);
  const gaze::ProbedSite merged = probed(frames + "    x = (y[:, 0::2] + y[:, 1::2]).flatten(1, 2)\n",
                                         noise({1, 4, 3, 24, 32}), of(gaze::ProbeMedium::Video));
  CATCH_CAPTURE(merged.verdict);
  CATCH_REQUIRE(merged.geometry);
  CATCH_CHECK(merged.geometry->video->temporal_merge == 2);
  CATCH_CHECK(merged.geometry->keys() == 24);
  const gaze::ProbedSite apart =
      probed(frames + "    x = y.flatten(0, 1)\n", noise({1, 4, 3, 24, 32}), of(gaze::ProbeMedium::Video));
  CATCH_CAPTURE(apart.verdict);
  CATCH_CHECK_FALSE(apart.geometry);
}

CATCH_TEST_CASE("a probe finds rejoined tiles behind a thumbnail, and asks how tiles lie that follow one another") {
  const std::string tiles =
      "    b = x.size(0)\n    t = x.size(1)\n    y = torch.conv2d(x.flatten(0, 1), self.patch, None, [8, 8])\n"
      "    y = y.reshape([b, t, 12, 3, 4])\n";
  const std::string thumbnail =
      "    whole = y[:, 0].flatten(2).transpose(1, 2)\n"
      "    g = y[:, 1:].reshape([b, 2, 2, 12, 3, 4]).permute([0, 3, 1, 4, 2, 5]).reshape([b, 12, 6, 8])\n"
      "    g = torch.cat([g, self.newline.expand([b, 12, 6, 1])], 3).flatten(2).transpose(1, 2)\n"
      "    x = torch.cat([text, whole, g, text], 1)\n";
  const gaze::ProbedSite rejoined = probed(tiles + thumbnail, noise({1, 5, 3, 24, 32}), of(gaze::ProbeMedium::Tiles));
  CATCH_CAPTURE(rejoined.verdict);
  CATCH_REQUIRE(rejoined.geometry);
  CATCH_CHECK(rejoined.geometry->rows == 6);
  CATCH_CHECK(rejoined.geometry->cols == 8);
  CATCH_CHECK(rejoined.geometry->row_end == 1);
  CATCH_CHECK(rejoined.geometry->first_key == 4);
  CATCH_REQUIRE(rejoined.geometry->thumbnail);
  CATCH_CHECK(rejoined.geometry->thumbnail->first);
  CATCH_CHECK(rejoined.geometry->thumbnail->rows == 3);

  const std::string blocks = "    x = y.flatten(3).transpose(2, 3).flatten(1, 2)\n";
  const gaze::ProbedSite unstated = probed(tiles + blocks, noise({1, 4, 3, 24, 32}), of(gaze::ProbeMedium::Tiles));
  CATCH_CAPTURE(unstated.verdict);
  CATCH_CHECK_FALSE(unstated.geometry);
  CATCH_CHECK(unstated.verdict.find("how the 4 tiles lie is not in the keys") != std::string::npos);
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Tiles);
  options.tiles = {2, 2, std::nullopt};
  const gaze::ProbedSite stated = probed(tiles + blocks, noise({1, 4, 3, 24, 32}), options);
  CATCH_REQUIRE(stated.geometry);
  CATCH_REQUIRE(stated.geometry->tiles);
  CATCH_CHECK(stated.geometry->tiles->rows == 2);
  CATCH_CHECK(stated.geometry->grid_cols() == 8);
  options.tiles = {2, 3, std::nullopt};
  CATCH_CHECK_THROWS_WITH(probed(tiles + blocks, noise({1, 4, 3, 24, 32}), options),
                          Catch::Matchers::Contains("expected 4 of them, got 6"));
}

CATCH_TEST_CASE("a probe finds the cells that a list of patches was merged to") {
  gaze::ProbeOptions options = of(gaze::ProbeMedium::Patches);
  options.patches = {1, 8, 12, 2};
  const std::string merge = "    x = (x @ self.values).reshape([1, 24, 4, 12]).sum(2)\n";
  const at::Tensor patches = noise({96, 8});
  const gaze::ProbedSite site = probed(merge, patches, options);
  CATCH_CAPTURE(site.verdict);
  CATCH_REQUIRE(site.geometry);
  CATCH_CHECK(site.geometry->rows == 4);
  CATCH_CHECK(site.geometry->cols == 6);
  CATCH_CHECK(site.verdict.find("4 x 6 cells of 2 x 2 patches") == 0);
  options.patches = {1, 8, 11, 1};
  CATCH_CHECK_THROWS_WITH(probed(merge, patches, options), Catch::Matchers::Contains("88 patches (1 x 8 x 11)"));

  // Each patch says its own place.
  const at::Tensor place = at::arange(35);
  const at::Tensor numbered =
      at::cat({place.floor_divide(7).unsqueeze(1), place.remainder(7).unsqueeze(1), noise({35, 8})}, 1).unsqueeze(0);
  const gaze::ProbedSite own = probed("    x = x[:, :, 2:] @ self.values\n", numbered, of(gaze::ProbeMedium::Patches));
  CATCH_CAPTURE(own.verdict);
  CATCH_REQUIRE(own.geometry);
  CATCH_CHECK(own.geometry->rows == 5);
  CATCH_CHECK(own.geometry->cols == 7);
}

CATCH_TEST_CASE("a probe changes bytes as it changes floating point, within 0 and 255") {
  const std::string body =
      "    x = torch.conv2d(x.float() / 255, self.patch, None, [8, 8]).flatten(2).transpose(1, 2)\n";
  const at::Tensor noisy = noise({1, 3, 40, 56}).mul(60).add(128).clamp(0, 255).to(at::kByte);
  const at::Tensor paper = at::where(noise({1, 3, 40, 56}).gt(1.5), 0, 255).to(at::kByte);  // black on white
  for (const at::Tensor& picture :
       {noisy, paper, at::zeros_like(noisy), at::full_like(noisy, 255), at::full_like(noisy, 7)}) {
    CATCH_CAPTURE(picture.to(at::kFloat).mean().item<float>());
    const at::Tensor before = picture.clone();
    const gaze::ProbedSite site = probed(body, picture, of(gaze::ProbeMedium::Picture));
    CATCH_CAPTURE(site.verdict);
    CATCH_REQUIRE(site.geometry);
    CATCH_CHECK(site.geometry->rows == 5);
    CATCH_CHECK(site.geometry->cols == 7);
    CATCH_CHECK(site.verdict.find("5 x 7 cells of 8 x 8 pixels") == 0);
    CATCH_CHECK(at::equal(picture, before));
  }
  const std::string frames =
      "    x = torch.conv2d(x.flatten(0, 1).float() / 255, self.patch, None, [8, 8]).flatten(2).transpose(1, 2)\n"
      "    x = x.reshape([1, 2 * 35, x.size(2)])\n";
  const gaze::ProbedSite video = probed(frames, at::stack({noisy, paper}, 1), of(gaze::ProbeMedium::Video));
  CATCH_CAPTURE(video.verdict);
  CATCH_REQUIRE(video.geometry);
  CATCH_CHECK(video.geometry->video->frames == 2);
  // As far as floating point does it: one standard deviation.
  gaze::ProbeOptions options;
  const gaze::ProbeInput input(noisy, 0, options);
  const at::Tensor change = (input.perturbed(input.columns, 3).to(at::kFloat) - noisy.to(at::kFloat)).abs();
  const double deviation = noisy.to(at::kDouble).std().item<double>();
  const at::Tensor inside = input.columns.strip_of.eq(3).expand_as(noisy);
  CATCH_CHECK(change.masked_select(inside.logical_not()).max().item<float>() == 0);
  CATCH_CHECK(change.masked_select(inside).eq(std::round(deviation)).all().item<bool>());
}

CATCH_TEST_CASE("a probe says of other types what to do") {
  using Catch::Matchers::Contains;
  const at::Tensor picture = noise({1, 3, 40, 56});
  for (const at::ScalarType type : {at::kLong, at::kInt, at::kShort, at::kChar, at::kBool}) {
    CATCH_CHECK_THROWS_WITH(probed("    x = x.float()\n", picture.to(type), of(gaze::ProbeMedium::Picture)),
                            Contains("floating point or uint8 [batch, channels") && Contains(c10::toString(type)) &&
                                Contains("wrap the model"));
  }
  CATCH_CHECK_THROWS_WITH(probed("    x = x.float()\n", picture.gt(0).to(at::kByte), of(gaze::ProbeMedium::Picture)),
                          Contains("uint8 values in 0..255") && Contains("by 255"));
}

CATCH_TEST_CASE("a probe finds windows and how far they are shifted") {
  const auto windows = [](int64_t shift) {
    return "    y = torch.conv2d(x, self.patch, None, [8, 8]).roll([" + std::to_string(-shift) + ", " +
           std::to_string(-shift) +
           "], [2, 3])\n"
           "    x = y.reshape([x.size(0), 12, 2, 3, 3, 4]).permute([0, 2, 4, 3, 5, 1]).reshape([-1, 12, 12])\n";
  };
  for (const int64_t shift : {0, 1}) {
    torch::jit::Module module = attends(windows(shift) +
                                        "    h = ((x @ self.q).reshape([x.size(0), 12, 2, 6]).transpose(1, 2), "
                                        "(x @ self.k).reshape([x.size(0), 12, 2, 6]).transpose(1, 2))\n"
                                        "    x = (torch.softmax(h[0] @ h[1].transpose(2, 3), -1) @ h[1]).transpose(1, "
                                        "2).reshape([x.size(0), 12, 12])\n");
    const gaze::ProbeResult result = gaze::probe(module, "forward", with_text(noise({2, 3, 48, 96})), 0);
    CATCH_REQUIRE(result.sites.size() == 2);
    const gaze::ProbedSite& site = result.sites[0];
    CATCH_CAPTURE(site.verdict, site.site.heads);
    CATCH_CHECK_FALSE(site.geometry);
    const std::string shifted = shift > 0 ? ", shifted by 1 x 1 cells" : ":";
    CATCH_CHECK(site.verdict.find("6 x 12 cells of 8 x 8 pixels in windows of 3 x 4 cells, 2 x 3 windows" + shifted) ==
                0);
  }
}

CATCH_TEST_CASE("a probe finds keys that drift towards the middle, by their order") {
  // Each key is the mean of the patches around it, as behind a deep backbone; at the border, of those that there are.
  const std::string drift =
      "    y = torch.conv2d(x, self.patch, None, [8, 8])\n"
      "    y = torch.avg_pool2d(y, 3, 1, 1, False, False)\n" +
      kRows;
  const gaze::ProbeResult result = gaze::probe(attends(drift), "forward", with_text(noise({1, 3, 40, 56})), 0);
  CATCH_REQUIRE(result.sites.size() == 1);
  CATCH_CAPTURE(result.sites[0].verdict);
  CATCH_REQUIRE(result.sites[0].geometry);
  CATCH_CHECK(result.sites[0].geometry->rows == 5);
  CATCH_CHECK(result.sites[0].geometry->cols == 7);
  CATCH_CHECK(result.sites[0].verdict.find("placed by their order") != std::string::npos);
}

CATCH_TEST_CASE("a probe refuses a module in training mode") {
  torch::jit::Module module = planted(kRows);
  module.register_attribute("training", c10::BoolType::get(), true);
  CATCH_CHECK_THROWS_WITH(gaze::probe(module, "forward", inputs(40, 56), 0),
                          Catch::Matchers::Contains("evaluation mode") && Catch::Matchers::Contains("eval()"));
  module.eval();
  CATCH_CHECK(gaze::probe(module, "forward", inputs(40, 56), 0).sites.size() == 1);
  CATCH_CHECK_THROWS_WITH(
      gaze::probe(planted(kRows + "    x = torch.dropout(x, 0.5, True)\n"), "forward", inputs(40, 56), 0),
      Catch::Matchers::Contains("expected the same keys from two runs") && Catch::Matchers::Contains("dropout"));
}

CATCH_TEST_CASE("attach measures a geometry that its profile wants verified") {
  const auto arguments = inputs(40, 56);
  gaze::Profile profile = gaze::proposed_profile(gaze::probe(planted(kRows), "forward", arguments, 0));
  profile.verify = true;
  const auto attached = [&](const gaze::Profile& stated, const std::vector<c10::IValue>* example) {
    torch::jit::Module module = planted(kRows);
    gaze::Options options = hooks_test::options();
    options.profile_in_code = stated;
    return gaze::attach(module, options, example).enabled();
  };
  using Catch::Matchers::Contains;
  CATCH_CHECK(attached(profile, &arguments));
  CATCH_CHECK_THROWS_WITH(attached(profile, nullptr), Contains("example_inputs: expected those of forward"));
  gaze::Profile wrong = profile;
  std::swap(wrong.geometry->rows, wrong.geometry->cols);
  CATCH_CHECK_THROWS_WITH(attached(wrong, &arguments),
                          Contains("7 x 5") && Contains("5 x 7") && Contains("gaze probe --out"));
  wrong.verify = false;
  CATCH_CHECK(attached(wrong, &arguments));
  wrong = profile;
  wrong.image.reset();
  CATCH_CHECK_THROWS_WITH(attached(wrong, &arguments), Contains("image.argument.forward"));
  wrong.geometry.reset();
  CATCH_CHECK_THROWS_WITH(attached(wrong, &arguments), Contains("geometry: expected one to verify"));
}

namespace {

bool verified(torch::jit::Module module, gaze::Profile profile, const std::vector<c10::IValue>& example) {
  profile.verify = true;
  gaze::Options options = hooks_test::options();
  options.profile_in_code = std::move(profile);
  return gaze::attach(module, options, &example).enabled();
}

/// Pictures of 40 x 56 pixels among text, as many keys as there are of id 7; `images` lays them out as [n, 3, 40, 56].
torch::jit::Module fused(const std::string& images) {
  torch::jit::Module module("Fused");
  auto generator = at::detail::createCPUGenerator(3);
  const auto parameter = [&](const char* name, std::vector<int64_t> sizes) {
    module.register_parameter(name, at::randn(sizes, generator) * 0.3, false);
  };
  parameter("patch", {kSize, 3, 8, 8});
  parameter("words", {9, kSize});
  parameter("q", {kSize, kSize});
  parameter("k", {kSize, kSize});
  module.define("def answer(self, ids, image):\n    image = " + images + R"JIT(
    y = torch.conv2d(image, self.patch, None, [8, 8]).flatten(2).transpose(1, 2).reshape(-1, 12)
    x = self.words[ids]
    x = x.masked_scatter((ids == 7).unsqueeze(-1).expand_as(x), y)
    return torch.softmax((x @ self.q) @ (x @ self.k).transpose(1, 2) * 0.3, -1) @ x
def forward(self, ids):
    return self.words[ids]
)JIT");
  return module;
}

at::Tensor prompt_of(int64_t pictures) {
  std::vector<int64_t> ids = {1, 2};
  for (int64_t i = 0; i < pictures; ++i) {
    ids.insert(ids.end(), 35, 7);
    ids.push_back(3);
  }
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

gaze::Profile fused_profile(int64_t rows, int64_t cols) {
  return gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "image": {"argument": {"answer": 1}},
    "geometry": {"rows": )" + std::to_string(rows) +
                             R"(, "cols": )" + std::to_string(cols) +
                             R"(, "spans": {"placeholder": 7, "argument": {"answer": 0}}}})");
}

}  // namespace

CATCH_TEST_CASE("attach verifies by the method that the example's arguments fit, and where a placeholder stands") {
  using Catch::Matchers::Contains;
  const std::vector<c10::IValue> one = {prompt_of(1), noise({1, 3, 40, 56})};
  CATCH_CHECK(verified(fused("image"), fused_profile(5, 7), one));
  CATCH_CHECK_THROWS_WITH(verified(fused("image"), fused_profile(7, 5), one),
                          Contains("expected 7 x 5 cells") && Contains("5 x 7 cells"));
  CATCH_CHECK_THROWS_WITH(verified(fused("image"), fused_profile(5, 7), {prompt_of(1)}),
                          Contains("verify: image.argument.forward: expected the index of the picture"));
  CATCH_CHECK_THROWS_WITH(
      verified(fused("image"), fused_profile(5, 7), {int64_t{1}}),
      Contains("example_inputs: expected the arguments of forward, or of a method that the profile names (answer), got "
               "1 that none of them takes"));
  CATCH_CHECK_THROWS_WITH(verified(fused("image"), fused_profile(5, 7), {prompt_of(0), noise({0, 3, 40, 56})}),
                          Contains("argument 1: expected a picture") || Contains("expected a run of 7"));
  gaze::Profile floats = fused_profile(5, 7);
  floats.spans->argument["answer"] = 1;
  CATCH_CHECK_THROWS_WITH(verified(fused("image"), floats, one), Contains("geometry.spans.argument.answer: expected"));
}

CATCH_TEST_CASE("attach verifies every picture of a prompt, each in its own span") {
  using Catch::Matchers::Contains;
  const std::vector<c10::IValue> two = {prompt_of(2), noise({2, 3, 40, 56})};
  CATCH_CHECK(verified(fused("image"), fused_profile(5, 7), two));
  CATCH_CHECK(verified(fused("image.flatten(0, 1)"), fused_profile(5, 7), {prompt_of(2), noise({1, 2, 3, 40, 56})}));
  CATCH_CHECK_THROWS_WITH(verified(fused("image"), fused_profile(7, 5), two),
                          Contains("7 x 5 cells") && Contains("for picture 0") && Contains("for picture 1"));
  // The second picture's keys stand where the first one's should.
  CATCH_CHECK_THROWS_WITH(verified(fused("image.flip([0])"), fused_profile(5, 7), two),
                          Contains("for picture 0 with the keys in their places, got 0 % there"));
  CATCH_CHECK_THROWS_WITH(
      verified(fused("torch.cat([image, image[:1]])"), fused_profile(5, 7), {prompt_of(3), noise({2, 3, 40, 56})}),
      Contains("geometry.spans: expected one for each of the 2 pictures in argument 1, got 3."));
}

CATCH_TEST_CASE("attach verifies the times of a sound") {
  using Catch::Matchers::Contains;
  const auto profile = [](double seconds_per_key) {
    return gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["*"]},
      "sound": {"argument": {"forward": 0}, "sample_rate_hz": 1000}, "geometry": {"time": {"keys": 30,
      "seconds_per_key": )" + std::to_string(seconds_per_key) +
                               "}}}");
  };
  const auto example = with_text(noise({1, 610}));
  CATCH_CHECK(verified(attends(kWave), profile(0.02), example));
  gaze::Profile whole_row = profile(0.02);
  whole_row.geometry->cols = 0;
  CATCH_CHECK(verified(attends(kWave), whole_row, example));
  CATCH_CHECK_THROWS_WITH(verified(attends(kWave), profile(0.025), example),
                          Contains("25.0 ms") && Contains("20.0 ms"));
  gaze::Profile silent = profile(0.02);
  silent.sound.reset();
  CATCH_CHECK_THROWS_WITH(verified(attends(kWave), silent, example),
                          Contains("verify: sound.argument.forward: expected the index of the samples"));
}

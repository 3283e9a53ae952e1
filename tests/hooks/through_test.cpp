// SPDX-License-Identifier: MIT
// A decoder that sees a picture through latents: its map is carried on to the picture's own keys.
#include <gaze/render/overlay.hpp>

#include "hooks_test.hpp"
#include "render/layouts.hpp"
#include "support/devices.hpp"

using hooks_test::MemorySink;
using hooks_test::worst;

namespace {

constexpr int64_t kLatent = 7, kFirst = 100;  // ids: a latent's place; 100 + j attends to latent j
constexpr int64_t kRows = 3, kCols = 5, kCells = kRows * kCols, kPatch = 4, kSize = 3 + kCells;

// Two layers each, whose keys are the features, after a class token where `leading` is 1.
const char* const kSoftmax = R"JIT(
def forward(self, features, latents):
    k = features.unsqueeze(1)
    x = torch.matmul(torch.softmax(torch.matmul(latents, k.transpose(-2, -1)), -1), k)
    return torch.matmul(torch.softmax(torch.matmul(x * 3, k.transpose(-2, -1)), -1), k).squeeze(1)
)JIT";
const char* const kFused = R"JIT(
def forward(self, features, latents):
    k = features.unsqueeze(1)
    q = latents.expand([features.size(0), 1, latents.size(0), latents.size(1)])
    x = torch.scaled_dot_product_attention(q, k, k, scale=1.0)
    return torch.scaled_dot_product_attention(x * 3, k, k, scale=1.0).squeeze(1)
)JIT";
// A perceiver: the latents are keys as well.
const char* const kPerceiver = R"JIT(
def forward(self, features, latents):
    k = features.unsqueeze(1)
    x = latents.expand([features.size(0), 1, latents.size(0), latents.size(1)])
    for_first = torch.cat([k, x], 2)
    x = torch.matmul(torch.softmax(torch.matmul(x, for_first.transpose(-2, -1)), -1), for_first)
    for_second = torch.cat([k, x], 2)
    return torch.matmul(torch.softmax(torch.matmul(x * 3, for_second.transpose(-2, -1)), -1), for_second).squeeze(1)
)JIT";

/// Every patch becomes one feature: its mean colour and a code of its cell. A text token attends to a latent by its id.
torch::jit::Module model(const char* resampler_code, at::Device device = at::kCPU) {
  torch::jit::Module resampler("Resampler");
  resampler.define(resampler_code);
  torch::jit::Module decoder("Decoder");
  decoder.define(R"JIT(
def forward(self, ids, latents, cache):
    found = torch.cat([latents, torch.eye(latents.size(1), device=latents.device).expand([latents.size(0), latents.size(1), latents.size(1)])], -1)
    x = torch.zeros([ids.size(0), ids.size(1), found.size(2)], device=latents.device)
    x = x.masked_scatter((ids == 7).unsqueeze(-1).expand_as(x), found)
    keys = torch.cat([cache, x], 1)
    wanted = (ids.unsqueeze(-1) - 100 == torch.arange(latents.size(1), device=latents.device)).float() * 6
    q = torch.cat([torch.zeros([ids.size(0), ids.size(1), latents.size(2)], device=latents.device), wanted], -1)
    mask = torch.ones([ids.size(1), keys.size(1)], device=latents.device).tril(keys.size(1) - ids.size(1)) > 0
    scores = torch.matmul(q, keys.transpose(-2, -1)).masked_fill(mask.logical_not(), float("-inf"))
    return torch.matmul(torch.softmax(scores, -1), keys), keys
)JIT");
  torch::jit::Module module("Model");
  module.register_module("resampler", resampler);
  module.register_module("decoder", decoder);
  module.define(R"JIT(
def features(self, image, leading: int):
    patches = torch.avg_pool2d(image, [4, 4], [4, 4]).flatten(2).transpose(1, 2)
    codes = torch.eye(15, device=image.device).expand([image.size(0), 15, 15])
    cells = torch.cat([patches, codes], -1)
    return torch.cat([torch.full([image.size(0), leading, 18], 0.1, device=image.device), cells], 1)

def encode(self, image, latents, leading: int):
    return self.resampler.forward(self.features(image, leading), latents)

def decode(self, ids, latents, cache):
    return self.decoder.forward(ids, latents, cache)

def prefill(self, ids, image, latents, leading: int):
    found = self.encode(image, latents, leading).reshape([ids.size(0), -1, 18])
    return self.decode(ids, found, torch.zeros([ids.size(0), 0, 18 + found.size(1)], device=found.device))

def step(self, ids, count: int, cache):
    return self.decode(ids, torch.zeros([ids.size(0), count, 18], device=cache.device), cache)
)JIT");
  module.to(device);
  return module;
}

at::Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed)).mul(0.7);
}
at::Tensor images(int64_t count, uint64_t seed = 3) { return noise({count, 3, kRows * kPatch, kCols * kPatch}, seed); }

/// Latents that look at these cells.
at::Tensor latents_at(const std::vector<int64_t>& cells) {
  at::Tensor latents = at::zeros({static_cast<int64_t>(cells.size()), kSize});
  for (size_t j = 0; j < cells.size(); ++j) latents[static_cast<int64_t>(j)][3 + cells[j]] = 20;
  return latents;
}

/// (id, how often), in order.
at::Tensor prompt(const std::vector<std::pair<int64_t, int64_t>>& parts) {
  std::vector<int64_t> ids;
  for (const auto& [id, count] : parts) ids.insert(ids.end(), static_cast<size_t>(count), id);
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

// ---- the same in float64, written out

at::Tensor features64(const at::Tensor& image, int64_t leading) {
  const at::Tensor pooled = at::avg_pool2d(image.to(at::kDouble), {4, 4}, {4, 4}).flatten(2).transpose(1, 2);
  const at::Tensor codes = at::eye(kCells, at::kDouble).expand({image.size(0), kCells, kCells});
  const at::Tensor first = at::full({image.size(0), leading, kSize}, 0.1, at::kDouble);
  return at::cat({first, at::cat({pooled, codes}, -1)}, 1);
}
at::Tensor softmax64(const at::Tensor& q, const at::Tensor& k) {
  const at::Tensor e = q.matmul(k.transpose(-2, -1)).exp();
  return e / e.sum(-1, true);
}
/// What each latent is made of, over the cells: [batch, latents, cells], rows that sum to 1.
at::Tensor made_of64(const at::Tensor& image, const at::Tensor& latents, int64_t leading, bool perceiver) {
  const at::Tensor features = features64(image, leading);
  at::Tensor x = latents.to(at::kDouble).expand({image.size(0), -1, -1});
  at::Tensor sum;
  for (const double gain : {1.0, 3.0}) {
    const at::Tensor keys = perceiver ? at::cat({features, x}, 1) : features;
    const at::Tensor weights = softmax64(x * gain, keys);
    sum = sum.defined() ? sum + weights : weights;
    x = weights.matmul(keys);
  }
  const at::Tensor cells = sum.narrow(-1, leading, kCells);
  return cells / cells.sum(-1, true);
}
/// The decoder's row of the token 100 + j after `keys` keys: a weight e^6 for its latent, 1 for every other key.
at::Tensor row64(int64_t keys, int64_t at) {
  at::Tensor row = at::ones({keys}, at::kDouble);
  row[at] = std::exp(6.0);
  return row / row.sum();
}

// ---- requests

gaze::Profile profile(const std::string& geometry, const std::string& through = R"({"match": ["resampler*"]})") {
  return gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["decoder"]}, "heads": {"reduce": "mean"},
                                 "through": )" +
                             through + R"(, "geometry": )" + geometry + "}");
}
const std::string kPlaceholders =
    R"({"rows": 3, "cols": 5, "spans": {"placeholder": 7, "argument": {"prefill": 0, "decode": 0}}})";

struct Host {
  explicit Host(torch::jit::Module given, const gaze::Profile& profile, int64_t deferred = 0,
                int64_t budget = int64_t{64} << 20)
      : module(std::move(given)) {
    gaze::Options options = hooks_test::options(sink);
    options.profile_in_code = profile;
    options.style.normalise.subtract_sinks = false;
    options.deferred_tokens = deferred;
    options.queue_bytes = budget;
    gaze = gaze::attach(module, options);
  }
  c10::IValue call(const char* method, std::vector<c10::IValue> inputs) {
    return module.get_method(method)(std::move(inputs));
  }
  std::vector<gaze::AttentionRecord> records() {
    CATCH_REQUIRE(gaze.flush());
    return sink->records();
  }
  torch::jit::Module module;
  std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze;
};

/// The records of one request, around what `run` calls.
std::vector<gaze::AttentionRecord> captured(Host& host, const std::function<void(gaze::Request&)>& run,
                                            std::vector<gaze::RequestSpec> specs = std::vector<gaze::RequestSpec>(1)) {
  gaze::Request request = host.gaze.begin(std::move(specs));
  run(request);
  request.finish();
  return host.records();
}

/// Prompt and two steps, of `rows` rows with `count` latents each.
void answer(Host& host, const at::Tensor& ids, const at::Tensor& image, const at::Tensor& latents,
            int64_t leading = 0) {
  const at::Device device = image.device();
  auto cache = host.call("prefill", {ids, image, latents, leading}).toTuple()->elements()[1];
  const int64_t count = cache.toTensor().size(2) - kSize;
  for (const int64_t id : {kFirst + 1, kFirst + 2}) {
    const at::Tensor next = at::full({ids.size(0), 1}, id, at::TensorOptions(at::kLong).device(device));
    cache = host.call("step", {next, count, cache}).toTuple()->elements()[1];
  }
}

at::Tensor photo() { return at::arange(23 * 37 * 3).remainder(251).to(at::kByte).view({23, 37, 3}); }

std::string refused(Host& host, const std::function<void(gaze::Request&)>& run, gaze::DropReason reason,
                    const gaze::RequestSpec& spec = {}) {
  const auto records = captured(host, run, {spec});
  CATCH_REQUIRE(records.size() == 1);
  CATCH_CHECK(records[0].error_reason == reason);
  return records[0].error;
}

}  // namespace

CATCH_TEST_CASE("device: through latents: the overlay is hottest where the token's latent looks") {
  const std::vector<int64_t> cells = {13, 4, 7};
  for (const char* code : {kSoftmax, kFused}) {
    Host host(model(code), profile(kPlaceholders));
    const auto records =
        captured(host,
                 [&](gaze::Request&) {
                   answer(host, prompt({{1, 2}, {kLatent, 3}, {2, 1}, {kFirst, 1}}), images(1), latents_at(cells));
                 },
                 {{.image = photo()}});
    CATCH_REQUIRE(records.size() == 1);
    const gaze::AttentionRecord& record = records[0];
    CATCH_REQUIRE(record.error == "");
    CATCH_CHECK(record.keys == 7);
    const gaze::Composition composition = gaze::compose(record);
    const gaze::test::Layout drawn{"", gaze::test::grid_of(kRows, kCols), kRows, kCols, {}};
    for (size_t token = 0; token < 3; ++token) {
      CATCH_CAPTURE(token);
      const gaze::Overlay& overlay = composition.words.at(token);
      CATCH_CHECK_FALSE(overlay.diffuse);
      CATCH_CHECK(gaze::test::in_cell(drawn, cells[token], overlay.hot_x, overlay.hot_y, 37, 23));
    }
    CATCH_REQUIRE(record.maps[0].through);
    CATCH_CHECK(record.maps[0].through->latents == 3);
    CATCH_CHECK(record.maps[0].through->keys == kCells);
    CATCH_REQUIRE(record.maps[0].through->sites.size() == 2);
    CATCH_CHECK(record.maps[0].through->sites[0].name == "resampler");
    CATCH_CHECK(record.maps[0].through->sites[1].calls == 1);
  }
}

CATCH_TEST_CASE("device: through latents: map, mass and lift are those of float64, in every form and mode") {
  const at::Tensor latents = noise({4, kSize}, 5);
  const at::Tensor ids = prompt({{1, 2}, {kLatent, 4}, {2, 3}, {kFirst, 1}});  // 10 keys, latents from the 2nd on
  struct Form {
    const char* code;
    int64_t leading;
    std::string specials;
  };
  const std::vector<Form> forms = {{kSoftmax, 0, ""},
                                   {kFused, 1, R"("leading": 1, )"},
                                   {kPerceiver, 0, R"("trailing": 4, )"},
                                   {kPerceiver, 2, R"("leading": 2, "trailing": 4, )"}};
  for (const at::Device device : gaze::test::devices()) {
    for (const Form& form : forms) {
      for (const int64_t deferred : {0, 4}) {
        CATCH_CAPTURE(device.str(), form.code, form.leading, deferred);
        Host host(model(form.code, device), profile("{" + form.specials + kPlaceholders.substr(1)), deferred);
        const at::Tensor image = images(2);
        const auto records = captured(
            host,
            [&](gaze::Request&) {
              if (device.is_cpu()) return answer(host, ids.repeat({2, 1}), image, latents, form.leading);
              // Ids on a device are not read.
              answer(host, ids.repeat({2, 1}).to(device), image.to(device), latents.to(device), form.leading);
            },
            std::vector<gaze::RequestSpec>(2, [&] {
              gaze::RequestSpec spec;
              spec.geometry = gaze::test::grid_of(kRows, kCols);
              spec.geometry->leading = form.leading;
              spec.geometry->trailing = form.code == kPerceiver ? 4 : 0;
              spec.geometry->spans = {{2, 4}};
              spec.image = photo();
              return spec;
            }()));
        CATCH_REQUIRE(records.size() == 2);
        const at::Tensor made_of = made_of64(image, latents, form.leading, form.code == kPerceiver);
        for (int64_t b = 0; b < 2; ++b) {
          const gaze::AttentionRecord& record = records[static_cast<size_t>(b)];
          CATCH_REQUIRE(record.error == "");
          std::vector<at::Tensor> maps;
          std::vector<double> mass;
          for (int64_t t = 0; t < 3; ++t) {
            const at::Tensor over_latents = row64(10 + t, 2 + t).narrow(0, 2, 4);
            mass.push_back(over_latents.sum().item<double>());
            maps.push_back(over_latents.matmul(made_of[b]));
          }
          const at::Tensor wanted = at::stack(maps);
          CATCH_CHECK(worst(record.maps[0].map_tk, wanted) < 2e-6);
          CATCH_CHECK(worst(record.maps[0].mass_t, at::tensor(mass, at::kDouble)) < 2e-6);
          CATCH_CHECK(worst(record.maps[0].map_tk.sum(1), at::tensor(mass, at::kDouble)) < 2e-6);
          // Lift: 1 where a latent's uniform share, spread evenly over the cells, would lie.
          if (!device.is_cpu()) continue;
          const at::Tensor visible = at::tensor({10.0, 11.0, 12.0}, at::kDouble).unsqueeze(1);
          CATCH_CHECK(worst(gaze::compose(record).lift_wc, wanted * visible * kCells / 4) < 1e-4);
        }
      }
    }
  }
}

CATCH_TEST_CASE("device: through latents: tiles and the whole picture, each resampled by itself") {
  // Two tiles beside each other and the picture as a third; a key before each tile's latents in the decoder.
  const at::Tensor latents = noise({3, kSize}, 6);
  const at::Tensor image = images(3);
  const at::Tensor ids =
      prompt({{1, 2}, {5, 1}, {kLatent, 3}, {5, 1}, {kLatent, 3}, {5, 1}, {kLatent, 3}, {kFirst, 1}});
  for (const bool first : {false, true}) {
    CATCH_CAPTURE(first);
    Host host(model(kSoftmax),
              profile(std::string(R"({"kind": "tiles", "rows": 3, "cols": 5,
        "tiles": {"rows": 1, "cols": 2}, "thumbnail": {"rows": 3, "cols": 5, "at": ")") +
                      (first ? "first" : "last") + R"("}, "spans": {"placeholder": 7, "argument": {"prefill": 0}}})"));
    const auto records =
        captured(host, [&](gaze::Request&) { answer(host, ids, image, latents); }, {{.image = photo()}});
    CATCH_REQUIRE(records.size() == 1);
    const gaze::AttentionRecord& record = records[0];
    CATCH_REQUIRE(record.error == "");
    const at::Tensor made_of = made_of64(image, latents, 0, false);
    const at::Tensor row = row64(15, 3);
    std::vector<at::Tensor> units;
    double mass = 0;
    for (int64_t u = 0; u < 3; ++u) {
      const at::Tensor over_latents = row.narrow(0, 3 + 4 * u, 3);
      mass += over_latents.sum().item<double>();
      units.push_back(over_latents.matmul(made_of[u]));
    }
    CATCH_CHECK(worst(record.maps[0].map_tk[0], at::cat(units)) < 2e-6);
    CATCH_CHECK(std::abs(record.maps[0].mass_t[0].item<double>() - mass) < 2e-6);
    CATCH_CHECK(record.maps[0].through->latents == 9);
    CATCH_CHECK(record.maps[0].through->gaps);
    // Cell (1, 7) is cell (1, 2) of the second tile, with its part of the thumbnail's cell (1, 3).
    const int64_t tile = first ? 2 : 1;
    const int64_t whole = first ? 0 : 2;
    const double wanted = units[static_cast<size_t>(tile)][1 * kCols + 2].item<double>() +
                          units[static_cast<size_t>(whole)][1 * kCols + 3].item<double>() / 2;
    // 45 keys of 30 cells, which 9 latents of 15 visible keys stand for.
    const double lift = gaze::compose(record).lift_wc[0][1 * 10 + 7].item<double>();
    CATCH_CHECK(std::abs(lift - wanted * 15 * 45 / 9 * 30 / 45) < 1e-5);
  }
}

CATCH_TEST_CASE("device: through latents: of two pictures the chosen one, encoded in one call or in two") {
  const at::Tensor latents = noise({2, kSize}, 8);
  const at::Tensor image = images(2);
  const at::Tensor ids = prompt({{1, 1}, {kLatent, 2}, {2, 2}, {kLatent, 2}, {kFirst + 3, 1}});
  const at::Tensor made_of = made_of64(image, latents, 0, false);
  for (const int64_t picture : {0, 1}) {
    for (const bool apart : {false, true}) {
      CATCH_CAPTURE(picture, apart);
      gaze::RequestSpec spec;
      spec.geometry = gaze::test::grid_of(kRows, kCols);
      spec.geometry->picture = picture;
      spec.geometry->pictures = 2;
      Host host(model(kSoftmax), profile(kPlaceholders));
      const auto records =
          captured(host,
                   [&](gaze::Request&) {
                     std::vector<at::Tensor> found;
                     for (int64_t i = 0; i < (apart ? 2 : 1); ++i) {
                       found.push_back(host.call("encode", {apart ? image.narrow(0, i, 1) : image, latents, 0})
                                           .toTensor()
                                           .reshape({1, -1, kSize}));
                     }
                     host.call("decode", {ids, at::cat(found, 1), at::zeros({1, 0, kSize + 4})});
                   },
                   {spec});
      CATCH_REQUIRE(records.size() == 1);
      CATCH_REQUIRE(records[0].error == "");
      const at::Tensor over_latents = row64(8, 6).narrow(0, 1 + 4 * picture, 2);
      CATCH_CHECK(worst(records[0].maps[0].map_tk[0], over_latents.matmul(made_of[picture])) < 2e-6);
      CATCH_CHECK_FALSE(records[0].maps[0].through->gaps);
    }
  }
}

CATCH_TEST_CASE("device: through latents: a decoder over latents alone, and features that every step computes anew") {
  const at::Tensor latents = noise({4, kSize}, 9);
  const at::Tensor image = images(1);
  gaze::Profile last = profile(R"({"rows": 3, "cols": 5})");
  last.rows.of = gaze::TokenRows::Of::Last;
  Host host(model(kSoftmax), last);
  const auto records = captured(host, [&](gaze::Request&) {
    const at::Tensor found = host.call("encode", {image, latents, 0}).toTensor();
    // Keys [latents]: the ids are placeholders, the last of which attends to nothing but all.
    host.call("decode", {prompt({{kLatent, 4}}), found, at::zeros({1, 0, kSize + 4})});
    host.call("encode", {images(1, 77), latents, 0});
    host.call("decode", {prompt({{kLatent, 4}}), found, at::zeros({1, 0, kSize + 4})});
  });
  CATCH_REQUIRE(records.size() == 1);
  CATCH_REQUIRE(records[0].error == "");
  const at::Tensor wanted = made_of64(image, latents, 0, false)[0].mean(0);
  CATCH_CHECK(worst(records[0].maps[0].map_tk, at::stack({wanted, wanted})) < 2e-6);
  CATCH_CHECK(worst(records[0].maps[0].mass_t, at::ones({2}, at::kDouble)) < 2e-6);
  CATCH_CHECK(records[0].maps[0].through->sites[0].calls == 1);
}

CATCH_TEST_CASE("device: through latents: beams keep the picture they came from") {
  const at::Tensor latents = noise({3, kSize}, 10);
  const at::Tensor image = images(2);
  const at::Tensor ids = prompt({{1, 1}, {kLatent, 3}, {kFirst, 1}}).repeat({2, 1});
  Host host(model(kSoftmax), profile(kPlaceholders));
  const auto records = captured(host,
                                [&](gaze::Request& request) {
                                  host.call("prefill", {ids, image, latents, 0});
                                  request.reorder({1, 0, 1});
                                },
                                {{.id = "a"}, {.id = "b"}});
  CATCH_REQUIRE(records.size() == 3);
  const at::Tensor made_of = made_of64(image, latents, 0, false);
  const at::Tensor over_latents = row64(5, 1).narrow(0, 1, 3);
  for (size_t i = 0; i < 3; ++i) {
    const int64_t from = i == 1 ? 0 : 1;
    CATCH_CHECK(records[i].request_id == (from == 0 ? "a" : "b"));
    CATCH_CHECK(worst(records[i].maps[0].map_tk[0], over_latents.matmul(made_of[from])) < 2e-6);
  }
}

CATCH_TEST_CASE("device: through latents: calls without a request, and NaN in a latent's weights") {
  const at::Tensor latents = noise({3, kSize}, 11);
  Host host(model(kSoftmax), profile(kPlaceholders));
  const at::Tensor ids = prompt({{1, 1}, {kLatent, 3}, {kFirst, 1}}).repeat({2, 1});
  at::Tensor image = images(2);
  image[1][0][5][5] = std::nan("");
  host.call("prefill", {ids, image, latents, 0});
  const auto records = host.records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].maps[0].flags_t[0].item<int64_t>() == 0);
  CATCH_CHECK((records[1].maps[0].flags_t[0].item<int64_t>() & gaze::ops::kRowNonFinite) != 0);
  CATCH_CHECK_THROWS_WITH(gaze::compose(records[1]), Catch::Contains("expected finite weights"));
}

CATCH_TEST_CASE("device: through an encoder: its self-attention is rolled out over layers") {
  torch::jit::Module encoder("Encoder");
  encoder.define(R"JIT(
def forward(self, x):
    for_second = x + torch.matmul(torch.softmax(torch.matmul(x, x.transpose(-2, -1)), -1), x)
    k = for_second.unsqueeze(1)
    return for_second + torch.scaled_dot_product_attention(k * 2, k, k, scale=0.5).squeeze(1)
)JIT");
  torch::jit::Module module("Model");
  module.register_module("encoder", encoder);
  module.define(R"JIT(
def forward(self, x, q):
    y = self.encoder.forward(x)
    return torch.matmul(torch.softmax(torch.matmul(q, y.transpose(-2, -1)), -1), y)
)JIT");
  const at::Tensor x = noise({2, 1 + kCells, 6}, 12);
  const at::Tensor q = noise({2, 1, 6}, 13);
  for (const at::Device device : gaze::test::devices()) {
    torch::jit::Module moved = module.clone();
    gaze::Profile profile = gaze::parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["attention*"]},
        "through": {"match": ["encoder*"], "reduce": "rollout"}, "geometry": {"rows": 3, "cols": 5, "leading": 1}})");
    profile.heads = gaze::ops::HeadReduce::Mean;
    const auto sites = gaze::find_sites(moved).sites;
    CATCH_REQUIRE(sites.size() == 3);
    profile.sites = {sites[2].name};
    Host host(moved, profile);
    const auto records = captured(
        host,
        [&](gaze::Request&) {
          host.call("forward", {x.to(device), q.to(device)});
        },
        std::vector<gaze::RequestSpec>(2));
    CATCH_REQUIRE(records.size() == 2);
    // Abnar & Zuidema (2020), written out.
    const at::Tensor x64 = x.to(at::kDouble);
    const at::Tensor eye = at::eye(1 + kCells, at::kDouble);
    const at::Tensor a = softmax64(x64, x64);
    const at::Tensor second = x64 + a.matmul(x64);
    const at::Tensor b = softmax64(second, second);
    const at::Tensor y = second + b.matmul(second);
    const at::Tensor rolled = (b + eye).matmul(a + eye) / 4;
    const at::Tensor cells = rolled.narrow(2, 1, kCells);
    const at::Tensor wanted = softmax64(q.to(at::kDouble), y).matmul(cells / cells.sum(-1, true));
    for (int64_t row = 0; row < 2; ++row) {
      CATCH_REQUIRE(records[static_cast<size_t>(row)].error == "");
      CATCH_CHECK(worst(records[static_cast<size_t>(row)].maps[0].map_tk, wanted[row]) < 2e-6);
      CATCH_CHECK(records[static_cast<size_t>(row)].maps[0].through->rollout);
    }
  }
}

CATCH_TEST_CASE("device: through latents: what cannot be composed is refused with what was expected and found") {
  using gaze::DropReason;
  const at::Tensor latents = noise({3, kSize}, 14);
  const at::Tensor image = images(1);
  const at::Tensor ids = prompt({{1, 1}, {kLatent, 3}, {kFirst, 1}});
  const auto prefill = [&](Host& host, const at::Tensor& of, const at::Tensor& given) {
    return [&host, of, given, latents](gaze::Request&) { host.call("prefill", {of, given, latents, 0}); };
  };
  {  // The features were kept from before the request.
    Host host(model(kSoftmax), profile(kPlaceholders));
    const at::Tensor found = host.call("encode", {image, latents, 0}).toTensor();
    CATCH_CHECK(refused(
                    host,
                    [&](gaze::Request&) {
                      host.call("decode", {ids, found, at::zeros({1, 0, kSize + 3})});
                    },
                    DropReason::NoAttention) ==
                "through: expected a call of the sites between before the first attention over latents, got none while "
                "the request was open. Open the request before the picture is encoded: what latents that are kept from "
                "earlier were made of is not known.");
  }
  {  // A grid that does not divide the keys.
    Host host(model(kSoftmax), profile(R"({"rows": 4, "cols": 4, "first_key": 1})"));
    CATCH_CHECK_THAT(refused(host, prefill(host, ids, image), DropReason::GridMismatch),
                     Catch::Matchers::StartsWith("geometry: expected 16 keys (4 x 4 cells), got 15."));
  }
  {  // The latents are keys of the perceiver too.
    Host host(model(kPerceiver), profile(kPlaceholders));
    CATCH_CHECK_THAT(refused(host, prefill(host, ids, image), DropReason::GridMismatch),
                     Catch::Matchers::StartsWith("geometry: expected 15 keys (3 x 5 cells), got 18. With these rows "
                                                 "and cols the specials would be 3"));
  }
  {  // A span that is not the latents'.
    Host host(model(kSoftmax), profile(R"({"rows": 3, "cols": 5, "spans": [{"first_key": 1, "keys": 2}]})"));
    CATCH_CHECK(refused(host, prefill(host, ids, image), DropReason::GridMismatch) ==
                "through: expected 3 latents in the row (1 x 3, as the sites between gave), got 2. Correct "
                "geometry.spans or the placeholder, which count latents, or through.match.");
  }
  {  // A span beyond the keys.
    Host host(model(kSoftmax), profile(R"({"rows": 3, "cols": 5, "first_key": 3})"));
    CATCH_CHECK_THAT(
        refused(host, prefill(host, ids, image), DropReason::GridMismatch),
        Catch::Matchers::StartsWith("geometry.spans[0]: expected at least 1 latent within keys 0..4 of the "
                                    "row, got 3 from 3."));
  }
  {  // Nothing says where the latents are.
    Host host(model(kSoftmax), profile(R"({"rows": 3, "cols": 5})"));
    CATCH_CHECK_THAT(refused(host, prefill(host, ids, image), DropReason::GridMismatch),
                     Catch::Matchers::StartsWith("through: expected 3 latents in the row (1 x 3, as the sites between "
                                                 "gave), got 5 keys, because neither spans nor first_key"));
  }
  {  // Another number of pictures.
    Host host(model(kSoftmax), profile(kPlaceholders));
    gaze::RequestSpec spec;
    spec.geometry = gaze::test::grid_of(kRows, kCols);
    spec.geometry->picture = 0;
    spec.geometry->pictures = 2;
    CATCH_CHECK_THAT(refused(host, prefill(host, ids, image), DropReason::GridMismatch, spec),
                     Catch::Matchers::StartsWith("through: expected 2 pictures of 1 resampled unit (tiles and "
                                                 "thumbnail, or one) in each row, got 1 unit."));
    spec.geometry->pictures = 0;
    spec.geometry->picture = 1;
    Host other(model(kSoftmax), profile(kPlaceholders));
    CATCH_CHECK_THAT(refused(other, prefill(other, ids, image), DropReason::GridMismatch, spec),
                     Catch::Matchers::StartsWith("geometry.picture: expected which of 1 picture the overlay is for, "
                                                 "0..0, got 1."));
  }
  {  // More than memory is granted for.
    Host host(model(kSoftmax), profile(kPlaceholders), 0, 100);
    CATCH_CHECK(
        refused(host, prefill(host, ids, image), DropReason::HostBudget) ==
        "through: expected maps within 100 bytes (options.queue_bytes), got 1 x 3 x 15 values more than 0 bytes "
        "of maps. Raise GAZE_QUEUE_BYTES.");
  }
  {  // A rollout of what is no self-attention.
    Host host(model(kSoftmax), profile(kPlaceholders, R"({"match": ["resampler*"], "reduce": "rollout"})"));
    CATCH_CHECK_THAT(refused(host, prefill(host, ids, image), DropReason::ShapeMismatch),
                     Catch::Matchers::StartsWith("resampler: expected self-attention, as many queries as keys, for a "
                                                 "rollout, got 3 queries and 15 keys."));
  }
}

CATCH_TEST_CASE(
    "device: through latents: sites that are not there, or are captured themselves, are refused at set-up") {
  const auto attach = [](const std::string& text) {
    torch::jit::Module module = model(kSoftmax);
    gaze::Options options = hooks_test::options();
    options.profile_in_code = gaze::parse_profile(text);
    gaze::attach(module, options);
  };
  CATCH_CHECK_THROWS_WITH(
      attach(R"({"gaze_profile": 1, "sites": {"match": ["decoder"]}, "through": {"match": ["qformer.*"]}})"),
      Catch::StartsWith("profile: through.match: expected a pattern of sites this model has (") &&
          Catch::Contains("got \"qformer.*\""));
  CATCH_CHECK_THROWS_WITH(
      attach(R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "through": {"match": ["resampler"]}})"),
      Catch::StartsWith("profile: through.match: expected sites other than those of sites.match, got resampler in "
                        "both."));
}

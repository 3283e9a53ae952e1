// SPDX-License-Identifier: MIT
#include "hooks_test.hpp"

using gaze::SiteKind;
using gaze::SiteRelation;
using hooks_test::load;

namespace {

std::vector<std::string> names(const gaze::SiteReport& report) {
  std::vector<std::string> result;
  for (const auto& site : report.sites) result.push_back(site.name);
  return result;
}

const std::vector<std::string> kDecoderSites = {"layers.0.self_attn",  "layers.0.cross_attn", "layers.1.self_attn",
                                                "layers.1.cross_attn", "layers.2.self_attn",  "layers.2.cross_attn"};

}  // namespace

CATCH_TEST_CASE("kinds and relations are written as words, and what is not stated as none") {
  CATCH_CHECK(name(SiteKind::Softmax) == std::string("softmax"));
  CATCH_CHECK(name(SiteKind::Sdpa) == std::string("sdpa"));
  CATCH_CHECK(name(SiteRelation::Self) == std::string("self"));
  CATCH_CHECK(name(SiteRelation::Cross) == std::string("cross"));
  CATCH_CHECK(name(SiteRelation::Unknown) == std::string("unknown"));
  CATCH_CHECK(name(gaze::Site().kind) == std::string());
  CATCH_CHECK(name(gaze::Site().relation) == std::string("unknown"));
}

CATCH_TEST_CASE("sites of scripted layers that share one type carry their own names") {
  for (const char* model : {"softmax", "sdpa", "functional", "inplace", "einsum"}) {
    CATCH_CAPTURE(model);
    const auto report = gaze::find_sites(load(model));
    CATCH_CHECK(names(report) == kDecoderSites);
    CATCH_CHECK(report.unknown.empty());
    for (const auto& site : report.sites) {
      CATCH_CAPTURE(site.name);
      const bool self = site.name.find("self") != std::string::npos;
      CATCH_CHECK(site.relation == (self ? SiteRelation::Self : SiteRelation::Cross));
      CATCH_CHECK(site.kind == (std::string(model) == "sdpa" ? SiteKind::Sdpa : SiteKind::Softmax));
      CATCH_CHECK(site.heads == 4);
      CATCH_CHECK(site.methods == std::vector<std::string>{"forward", "generate"});
      CATCH_CHECK(site.proposed == !self);
      CATCH_CHECK(site.source.find(".py:") != std::string::npos);
    }
  }
}

CATCH_TEST_CASE("sites of a traced model carry the module's names") {
  const auto report = gaze::find_sites(load("traced"));
  CATCH_CHECK(names(report) == kDecoderSites);
}

CATCH_TEST_CASE("sites of a frozen model are told apart although their names are gone") {
  const auto report = gaze::find_sites(load("frozen"));
  CATCH_CHECK(report.sites.size() == 6);
  const auto found = names(report);
  CATCH_CHECK(std::set<std::string>(found.begin(), found.end()).size() == 6);
}

CATCH_TEST_CASE("sites in forks, branches and behind interfaces are found") {
  CATCH_CHECK(names(gaze::find_sites(load("fork"))) == std::vector<std::string>{"left", "right"});
  const auto branch = names(gaze::find_sites(load("branch")));
  CATCH_CHECK(std::set<std::string>(branch.begin(), branch.end()) == std::set<std::string>{"short", "long", "unused"});
  CATCH_CHECK(names(gaze::find_sites(load("interface"))) == std::vector<std::string>{"inner"});
  const auto multihead = gaze::find_sites(load("multihead"));
  CATCH_REQUIRE_FALSE(multihead.sites.empty());
  for (const auto& site : multihead.sites) CATCH_CHECK(site.name.rfind("attn", 0) == 0);
}

CATCH_TEST_CASE("a softmax over classes is no site; one over similarities is reported as not understood") {
  const auto report = gaze::find_sites(load("classifier"));
  CATCH_CHECK(report.sites.empty());
  CATCH_REQUIRE(report.unknown.size() == 1);
  CATCH_CHECK(report.unknown[0].why.find("reaches no product") != std::string::npos);
  CATCH_CHECK(report.unknown[0].source.find("make_models.py:") != std::string::npos);
}

CATCH_TEST_CASE("a softmax over another axis than the product with the values sums over is not understood") {
  const auto report = gaze::find_sites(load("wrongaxis"));
  CATCH_CHECK(report.sites.empty());
  CATCH_REQUIRE(report.unknown.size() == 1);
  CATCH_CHECK(report.unknown[0].why.find("another axis") != std::string::npos);
  auto module = load("wrongaxis");
  CATCH_CHECK_THROWS_AS(gaze::attach(module, hooks_test::options()), gaze::Error);
}

CATCH_TEST_CASE("a mask beside the tokens does not make a text tower the one that sees several inputs") {
  torch::jit::Module module("Towers");
  module.define(R"JIT(
def forward(self, pixels, tokens, attention_mask):
    x = pixels * 2.0
    y = tokens * attention_mask
    return torch.matmul(torch.softmax(torch.matmul(x, x.transpose(-2, -1)), -1), x), \
        torch.matmul(torch.softmax(torch.matmul(y, y.transpose(-2, -1)), -1), y)
)JIT");
  const auto report = gaze::find_sites(module);
  CATCH_REQUIRE(report.sites.size() == 2);
  CATCH_CHECK(report.sites[0].k_reads == std::vector<std::string>{"pixels"});
  CATCH_CHECK(report.sites[1].k_reads == std::vector<std::string>{"tokens", "attention_mask"});
  CATCH_CHECK(report.sites[0].proposed);
  CATCH_CHECK(report.sites[1].proposed);
}

CATCH_TEST_CASE("calls in one module have names of their own, numbered from the second on") {
  torch::jit::Module inner("Inner");
  inner.define(R"JIT(
def forward(self, x, y):
    x = torch.matmul(torch.softmax(torch.matmul(x, y.transpose(-2, -1)), -1), y)
    x = torch.scaled_dot_product_attention(x, y, y)
    return torch.matmul(torch.softmax(torch.matmul(x * 2, y.transpose(-2, -1)), -1), y)
)JIT");
  torch::jit::Module module("Outer");
  module.register_module("inner", inner);
  module.define("def forward(self, x, y):\n    return self.inner.forward(x, y)\n");
  const auto report = gaze::find_sites(module);
  CATCH_REQUIRE(report.sites.size() == 3);
  CATCH_CHECK(report.sites[0].name == "inner");
  CATCH_CHECK(report.sites[1].name == "inner#2");
  CATCH_CHECK(report.sites[2].name == "inner#3");
}

CATCH_TEST_CASE("self-attention over latents is proposed with the sites it is to be composed through") {
  using Names = std::vector<std::string>;
  const auto site = [](std::string name, SiteRelation relation, std::string tower, Names q, Names k) {
    gaze::Site made;
    made.name = std::move(name);
    made.relation = relation;
    made.tower = std::move(tower);
    made.q_reads = std::move(q);
    made.k_reads = std::move(k);
    return made;
  };
  // A Q-Former as BLIP-2 has it, its second cross-attention included, a text tower beside, and a language model behind.
  std::vector<gaze::Site> sites = {
      site("vision.0", SiteRelation::Self, "vision", {"image"}, {"image"}),
      site("qformer.0.self", SiteRelation::Self, "qformer", {}, {}),
      site("qformer.0.cross", SiteRelation::Cross, "qformer", {}, {"image"}),
      site("qformer.1.self", SiteRelation::Self, "qformer", {"image"}, {"image"}),
      site("qformer.1.cross", SiteRelation::Cross, "qformer", {"image"}, {"image"}),
      site("text.0", SiteRelation::Self, "text", {"ids"}, {"ids"}),
      site("language.0", SiteRelation::Self, "language", {"image", "ids"}, {"image", "ids"}),
      site("language.1", SiteRelation::Self, "language", {"image", "ids"}, {"image", "ids"})};
  gaze::propose(sites);
  for (const auto& each : sites) {
    CATCH_CAPTURE(each.name);
    const bool language = each.tower == "language";
    CATCH_CHECK(each.proposed == language);
    CATCH_CHECK(each.through == (language ? Names{"qformer.0.cross", "qformer.1.cross"} : Names{}));
  }
  // Object queries with nothing behind them, and text that looks at a picture: cross-attention is what is wanted.
  for (const bool text : {false, true}) {
    sites = {site("encoder.0", SiteRelation::Self, "encoder", {"image"}, {"image"}),
             site("decoder.0.cross", SiteRelation::Cross, "decoder", text ? Names{"ids"} : Names{}, {"image"}),
             site("decoder.1.self", SiteRelation::Self, "decoder", {"image", "ids"}, {"image", "ids"}),
             site("head.0", SiteRelation::Self, "head", {"image"}, {"image"})};
    gaze::propose(sites);
    for (const auto& each : sites) {
      CATCH_CAPTURE(text, each.name);
      CATCH_CHECK(each.proposed == (each.relation == SiteRelation::Cross));
      CATCH_CHECK(each.through.empty());
    }
  }
}

CATCH_TEST_CASE("heads that only their width is written of are counted by the projection's features") {
  const auto heads_of = [](const std::string& split) {
    torch::jit::Module module("Heads");
    const auto parameter = [&](const char* name, std::vector<int64_t> sizes) {
      module.register_parameter(name, at::ones(sizes), false);
    };
    parameter("q", {24, 16});
    parameter("kv", {32, 16});
    module.define("def split(self, x):\n    return " + split + R"JIT(.transpose(1, 2)
def forward(self, x):
    q = self.split(torch.linear(x, self.q))
    k, v = torch.linear(x, self.kv).chunk(2, -1)
    return torch.scaled_dot_product_attention(q, self.split(k), self.split(v), enable_gqa=True)
)JIT");
    const auto report = gaze::find_sites(module);
    CATCH_REQUIRE(report.sites.size() == 1);
    return std::pair(report.sites[0].heads, report.sites[0].kv_heads);
  };
  for (const char* split : {"x.unflatten(2, [-1, 8])", "x.view([x.size(0), x.size(1), -1, 8])"}) {
    CATCH_CAPTURE(split);
    CATCH_CHECK(heads_of(split) == std::pair<int64_t, int64_t>(3, 2));
  }
}

CATCH_TEST_CASE("looking for sites leaves graphs as they are") {
  auto module = load("fork");
  const std::string before = module.get_method("forward").graph()->toString();
  (void)gaze::find_sites(module);
  CATCH_CHECK(module.get_method("forward").graph()->toString() == before);
}

CATCH_TEST_CASE("keys from a cache, through tuples and lists, do not hide that attention is self-attention") {
  for (const char* file : {"/stickers_softmax.pt", "/stickers_sdpa.pt"}) {
    const auto report = gaze::find_sites(torch::jit::load(std::string(GAZE_SAMPLE_MODELS) + file));
    CATCH_REQUIRE(report.sites.size() == 6);
    for (const auto& site : report.sites) {
      CATCH_CAPTURE(file, site.name);
      CATCH_CHECK(site.relation ==
                  (site.name.find("self") != std::string::npos ? SiteRelation::Self : SiteRelation::Cross));
      CATCH_CHECK(site.heads == 4);
    }
  }
}

// SPDX-License-Identifier: MIT
#include "hooks_test.hpp"

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

CATCH_TEST_CASE("sites of scripted layers that share one type carry their own names") {
  for (const char* model : {"softmax", "sdpa", "functional", "inplace", "einsum"}) {
    CATCH_CAPTURE(model);
    const auto report = gaze::find_sites(load(model));
    CATCH_CHECK(names(report) == kDecoderSites);
    CATCH_CHECK(report.unknown.empty());
    for (const auto& site : report.sites) {
      CATCH_CAPTURE(site.name);
      const bool self = site.name.find("self") != std::string::npos;
      CATCH_CHECK(site.relation == (self ? "self" : "cross"));
      CATCH_CHECK(site.kind == (std::string(model) == "sdpa" ? "sdpa" : "softmax"));
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
  CATCH_CHECK_THROWS_AS(gaze::attach(module, hooks_test::options(std::make_shared<hooks_test::MemorySink>())),
                        gaze::Error);
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
      CATCH_CHECK(site.relation == (site.name.find("self") != std::string::npos ? "self" : "cross"));
      CATCH_CHECK(site.heads == 4);
    }
  }
}

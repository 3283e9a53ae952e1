// SPDX-License-Identifier: MIT
// A model that searches with beams in a loop of its own cannot be followed, and that is said.
#include <gaze/hooks/sites.hpp>

#include "hooks_test.hpp"

namespace {

/// A decode loop over one attention; `turn` is what happens at the end of a turn to x, the cache and the tokens.
torch::jit::Module looped(const std::string& turn) {
  torch::jit::Module module("Looped");
  auto generator = at::detail::createCPUGenerator(3);
  module.register_parameter("table", at::randn({64, 8}, generator), false);
  module.register_parameter("project", at::randn({8, 8}, generator), false);
  module.define(R"JIT(
def generate(self, x, cache, beams, steps: int):
    tokens = x.argmax(-1)
    caches = [cache, cache]
    for t in range(steps):
        k = torch.cat([caches[0], x @ self.project], 1)
        position = torch.arange(k.size(1))
        k = k + self.table[position]
        x = torch.matmul(torch.softmax(torch.matmul(x, k.transpose(-2, -1)), -1), k)
        tokens = torch.cat([tokens, x.argmax(-1)], 1)
        caches = [torch.cat([caches[0], x], 1), caches[1]]
)JIT" + turn + "    return x, tokens\n");
  return module;
}

bool gathers(const std::string& turn) {
  const gaze::SiteReport report = gaze::find_sites(looped(turn));
  CATCH_REQUIRE(report.sites.size() == 1);
  return report.sites[0].gathers_rows;
}

const std::string kBeams = R"JIT(
        caches = [caches[0].index_select(0, beams), caches[1].index_select(0, beams)]
        tokens = tokens.index_select(0, beams)
)JIT";

gaze::AttentionRecord captured(int64_t batch, const std::string& turn) {
  torch::jit::Module module = looped(turn);
  const auto rows = static_cast<size_t>(batch);
  const auto calls = [&](gaze::Request&) {
    module.get_method("generate")(
        {at::randn({batch, 1, 8}), at::randn({batch, 4, 8}), at::arange(batch).flip(0), int64_t{3}});
  };
  const auto records =
      hooks_test::captured(module, hooks_test::options(), calls, std::vector<gaze::RequestSpec>(rows)).records;
  CATCH_REQUIRE(records.size() == rows);
  CATCH_REQUIRE(records[0].error == "");
  return records[0];
}

}  // namespace

CATCH_TEST_CASE("a loop that gathers its cache or its tokens by beams is noticed, in the forms it is written") {
  for (const std::string& turn :
       {kBeams, std::string("        caches = [c.index_select(0, beams) for c in caches]\n"),
        std::string("        caches = [c[beams] for c in caches]\n"), std::string("        tokens = tokens[beams]\n"),
        std::string("        if t > 0:\n            caches = [caches[0][beams], caches[1][beams]]\n"),
        std::string("        chosen = x.mean([1, 2]).topk(x.size(0))[1]\n        x = x.index_select(0, chosen)\n"),
        std::string("        fresh: List[Tensor] = []\n        for c in caches:\n"
                    "            fresh.append(c.index_select(0, beams))\n        caches = fresh\n")}) {
    CATCH_CAPTURE(turn);
    CATCH_CHECK(gathers(turn));
  }
}

CATCH_TEST_CASE("loops without beams are not taken for some") {
  for (const char* turn : {"        x = x * 1.0\n",
                           // Of another axis: keys that are left out, the last token.
                           "        caches = [caches[0].index_select(1, position[1:]), caches[1]]\n",
                           "        caches = [caches[0][:, position], caches[1]]\n",
                           // Experts: rows are taken, worked on and put back.
                           "        flat = (x * 2.0).flatten(0, 1)\n        some = flat.sum(1).topk(1)[1]\n"
                           "        x = x + torch.relu(flat[some] @ self.project).sum()\n",
                           // A mask that clears finished rows.
                           "        tokens[tokens > 5] = 5\n"}) {
    CATCH_CAPTURE(turn);
    CATCH_CHECK_FALSE(gathers(turn));
  }
}

CATCH_TEST_CASE("gathers outside of the attention's loop do not count") {
  torch::jit::Module module("After");
  module.define(R"JIT(
def generate(self, x, memory, beams, steps: int):
    for t in range(steps):
        x = torch.matmul(torch.softmax(torch.matmul(x, memory.transpose(-2, -1)), -1), memory)
    for t in range(steps):
        x = x.index_select(0, beams)
    return x
)JIT");
  const gaze::SiteReport report = gaze::find_sites(module);
  CATCH_REQUIRE(report.sites.size() == 1);
  CATCH_CHECK_FALSE(report.sites[0].gathers_rows);
}

CATCH_TEST_CASE("rows of a batch in such a loop are flagged, those of one row or of another loop are not") {
  const auto flagged = [](int64_t batch, const std::string& turn) {
    const at::Tensor flags_t = captured(batch, turn).maps[0].flags_t;
    CATCH_CHECK(flags_t.size(0) == 3);
    return flags_t.bitwise_and(static_cast<int64_t>(gaze::ops::kRowGathered)).ne(0).all().item<bool>();
  };
  CATCH_CHECK(flagged(3, kBeams));
  CATCH_CHECK_FALSE(flagged(1, kBeams));
  CATCH_CHECK_FALSE(flagged(3, "        x = x * 1.0\n"));
}

// SPDX-License-Identifier: MIT
// What an attention's output is multiplied with before it is added to the rest is found, and said.
#include <torch/csrc/jit/api/module.h>
#include <gaze/hooks/sites.hpp>

#include <cmath>

#include "hooks_test.hpp"

namespace {

/// One attention whose output goes through `join`, which makes y of out and x.
torch::jit::Module gated(const std::string& join) {
  torch::jit::Module module("Gated");
  auto generator = at::detail::createCPUGenerator(3);
  module.register_parameter("gate", at::tensor({0.5F}), false);
  module.register_parameter("channels", at::randn({8}, generator), false);
  module.register_parameter("project", at::randn({8, 8}, generator), false);
  module.define(R"JIT(
def forward(self, x, memory):
    attn = torch.softmax(torch.matmul(x @ self.project, memory.transpose(-2, -1)), -1)
    out = torch.linear(torch.matmul(attn, memory).contiguous(), self.project)
)JIT" + join + "    return y\n");
  return module;
}

gaze::Site only_site(const torch::jit::Module& module) {
  const gaze::SiteReport report = gaze::find_sites(module);
  CATCH_REQUIRE(report.sites.size() == 1);
  return report.sites[0];
}

}  // namespace

CATCH_TEST_CASE("a gate of one parameter is read, whichever way it is written") {
  for (const char* join : {"    y = x + out * torch.tanh(self.gate)\n", "    y = torch.tanh(self.gate) * out + x\n",
                           "    y = x + torch.dropout(out, 0.1, False) * torch.tanh(self.gate.view([1, 1, 1]))\n",
                           "    y = x.add(out.mul(self.gate.tanh()))\n"}) {
    CATCH_CAPTURE(join);
    const gaze::Site site = only_site(gated(join));
    CATCH_REQUIRE(site.gate);
    CATCH_REQUIRE(site.gate->value);
    CATCH_CHECK(std::abs(*site.gate->value - std::tanh(0.5)) < 1e-7);
  }
  const gaze::Site sigmoid = only_site(gated("    y = x + out * torch.sigmoid(self.gate)\n"));
  CATCH_REQUIRE((sigmoid.gate && sigmoid.gate->value));
  CATCH_CHECK(std::abs(*sigmoid.gate->value - 1 / (1 + std::exp(-0.5))) < 1e-7);
}

CATCH_TEST_CASE("a gate of a frozen file is read from what freezing left") {
  torch::jit::Module module = gated("    y = x + out * torch.tanh(self.gate)\n");
  module.eval();
  const gaze::Site site = only_site(torch::jit::freeze(module));
  CATCH_REQUIRE((site.gate && site.gate->value));
  CATCH_CHECK(std::abs(*site.gate->value - std::tanh(0.5)) < 1e-6);
}

CATCH_TEST_CASE("a gate that is computed, or one for every channel, is not constant") {
  for (const char* join :
       {"    y = x + out * torch.sigmoid(x @ self.project)\n", "    y = x + out * torch.tanh(self.channels)\n",
        "    y = x + out * torch.tanh(memory.mean())\n"}) {
    CATCH_CAPTURE(join);
    const gaze::Site site = only_site(gated(join));
    CATCH_REQUIRE(site.gate);
    CATCH_CHECK_FALSE(site.gate->value);
  }
}

CATCH_TEST_CASE("what is no gate is not taken for one") {
  for (const char* join : {"    y = x + out\n", "    y = x + out * 0.5\n", "    y = x + out * self.channels\n",
                           "    y = (x + out) * torch.tanh(self.gate)\n", "    y = x * torch.tanh(self.gate) + out\n",
                           "    y = torch.tanh(out) * x\n"}) {
    CATCH_CAPTURE(join);
    CATCH_CHECK_FALSE(only_site(gated(join)).gate);
  }
}

CATCH_TEST_CASE("a record says the gate of every site") {
  for (const bool fixed : {true, false}) {
    torch::jit::Module module =
        gated(fixed ? "    y = x + out * torch.tanh(self.gate)\n" : "    y = x + out * torch.sigmoid(out)\n");
    const auto record = hooks_test::captured(module, hooks_test::options(), [&](gaze::Request&) {
                          module.forward({at::randn({1, 1, 8}), at::randn({1, 5, 8})});
                        }).only();
    CATCH_REQUIRE(record.sites.size() == 1);
    const gaze::SiteUse site = record.sites[0];
    CATCH_CHECK(site.gated);
    CATCH_CHECK(site.gate.has_value() == fixed);
    if (fixed) CATCH_CHECK(std::abs(*site.gate - std::tanh(0.5)) < 1e-7);
  }
}

// SPDX-License-Identifier: MIT
// A frozen file is read as the plain one: its parameters are constants, its branches and layers are all that is left.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/frozen_linear_transpose.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/serialization/export.h>

#include <sstream>

#include "graph/left_names.hpp"
#include "hooks_test.hpp"

namespace {

using gaze::SiteRelation;
using torch::jit::Module;

Module saved_and_loaded(const Module& module) {
  std::stringstream file;
  module.save(file);
  return torch::jit::load(file);
}

Module frozen(Module module) {
  module.eval();
  return saved_and_loaded(torch::jit::freeze(module));
}

/// What optimize_for_inference makes where torch has no oneDNN: x @ transposed + bias.
Module transposed(Module module) {
  module.eval();
  Module made = torch::jit::freeze(module);
  auto graph = made.get_method("forward").graph();
  CATCH_REQUIRE(torch::jit::FrozenLinearTranspose(graph));
  return saved_and_loaded(made);
}

/// A module of parameters of these sizes, and the code of its methods.
Module scripted(const std::vector<std::pair<const char*, std::vector<int64_t>>>& parameters, const std::string& code) {
  Module module("Scripted");
  auto generator = at::detail::createCPUGenerator(5);
  for (const auto& [name, sizes] : parameters) module.register_parameter(name, at::randn(sizes, generator), false);
  if (!code.empty()) module.define(code);
  return module;
}

struct Said {
  gaze::SiteRelation relation;
  int64_t heads, kv_heads;
  bool proposed;
  bool operator==(const Said&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Said& said) {
  return out << name(said.relation) << " " << said.heads << "/" << said.kv_heads << (said.proposed ? " *" : "");
}

std::vector<Said> said_of(const Module& module) {
  std::vector<Said> said;
  for (const gaze::Site& site : gaze::find_sites(module).sites) {
    said.push_back({site.relation, site.heads, site.kv_heads, site.proposed});
  }
  return said;
}

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const gaze::Site& site : gaze::find_sites(module).sites) names.push_back(site.name);
  return names;
}

}  // namespace

CATCH_TEST_CASE("heads and relation of a frozen file are those of the plain one, however it projects and splits") {
  for (const char* split : {"x.unflatten(2, [-1, 8])", "x.view([x.size(0), x.size(1), -1, 8])",
                            "x.reshape([x.size(0), x.size(1), -1, 8])"}) {
    for (const bool cross : {false, true}) {
      CATCH_CAPTURE(split, cross);
      const Module module = scripted(
          {{"q", {24, 16}}, {"kv", {32, 16}}, {"bias", {24}}}, std::string("def split(self, x):\n    return ") + split +
                                                                   ".transpose(1, 2)\n" + R"JIT(
def forward(self, x, memory):
    q = self.split(torch.linear(x, self.q, self.bias))
    k, v = torch.linear()JIT" + (cross ? "memory" : "x") + R"JIT(, self.kv).chunk(2, -1)
    return torch.scaled_dot_product_attention(q, self.split(k), self.split(v), enable_gqa=True)
)JIT");
      const std::vector<Said> wanted{{cross ? SiteRelation::Cross : SiteRelation::Self, 3, 2, true}};
      CATCH_CHECK(said_of(module) == wanted);
      CATCH_CHECK(said_of(frozen(module)) == wanted);
      CATCH_CHECK(said_of(transposed(module)) == wanted);
    }
  }
}

CATCH_TEST_CASE("matrices that are multiplied by without a linear are read from what freezing left") {
  for (const char* project :
       {"torch.matmul(x, self.w)", "torch.matmul(x, self.w) + self.bias", "self.bias + x @ self.w",
        "torch.addmm(self.bias, x.flatten(0, 1), self.w).view([x.size(0), x.size(1), 24])",
        "torch.matmul(x, self.w.t().t())"}) {
    CATCH_CAPTURE(project);
    const Module module = scripted({{"w", {16, 24}}, {"k", {24, 16}}, {"bias", {24}}},
                                   std::string("def forward(self, x):\n    q = ") + project + R"JIT(
    q = q.view([x.size(0), x.size(1), -1, 8]).transpose(1, 2)
    k = torch.linear(x, self.k).view([x.size(0), x.size(1), 3, 8]).transpose(1, 2)
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
)JIT");
    CATCH_CHECK(said_of(frozen(module)).at(0).heads == 3);
    CATCH_CHECK(said_of(frozen(module)) == said_of(module));
  }
}

CATCH_TEST_CASE("one linear that a device's freezing made of three is cut into features") {
  const Module module = scripted({{"qkv", {40, 16}}}, R"JIT(
def forward(self, x):
    all = torch.linear(x, self.qkv)
    size = [x.size(0), x.size(1), -1, 8]
    q = torch.slice(all, -1, 0, 24, 1).view(size).transpose(1, 2)
    k = torch.slice(all, -1, 24, 32, 1).view(size).transpose(1, 2)
    v = torch.slice(all, -1, 32, 40, 1).view(size).transpose(1, 2)
    return torch.scaled_dot_product_attention(q, k, v, enable_gqa=True)
)JIT");
  CATCH_CHECK(said_of(frozen(module)) == std::vector<Said>{{SiteRelation::Self, 3, 1, true}});
}

CATCH_TEST_CASE("a packed projection that branches on what it is given is read by every branch") {
  // As F._in_projection_packed: for self-attention, for keys that are the values, and for three inputs.
  const std::string code = R"JIT(
def forward(self, x, m, n):
    q, k, v = )JIT";
  const std::string branches = R"JIT(
    if k is v:
        if q is k:
            proj = torch.linear(q, self.w).unflatten(-1, [3, 16]).unsqueeze(0).transpose(0, -2).squeeze(-2)
            a, b, c = proj[0], proj[1], proj[2]
        else:
            w_q, w_kv = self.w.split([16, 32])
            kv = torch.linear(k, w_kv).unflatten(-1, [2, 16]).unsqueeze(0).transpose(0, -2).squeeze(-2)
            a, b, c = torch.linear(q, w_q), kv[0], kv[1]
    else:
        w_q, w_k, w_v = self.w.chunk(3)
        a, b, c = torch.linear(q, w_q), torch.linear(k, w_k), torch.linear(v, w_v)
    size = [q.size(0), -1, 4, 4]
    return torch.scaled_dot_product_attention(a.view(size).transpose(1, 2), b.view(size).transpose(1, 2), c.view(size).transpose(1, 2))
)JIT";
  for (const auto& [arguments, relation] :
       {std::pair("x, x, x", SiteRelation::Self), std::pair("x, m, m", SiteRelation::Cross),
        std::pair("x, m, n", SiteRelation::Cross)}) {
    CATCH_CAPTURE(arguments);
    const Module module = scripted({{"w", {48, 16}}}, code + arguments + branches);
    const std::vector<Said> wanted{{relation, 4, 4, true}};
    CATCH_CHECK(said_of(module) == wanted);
    CATCH_CHECK(said_of(frozen(module)) == wanted);
  }
}

CATCH_TEST_CASE("queries that freezing computed from parameters are cross-attention, and their heads are known") {
  const Module module = scripted({{"latents", {1, 5, 24}}, {"q", {24, 24}}, {"k", {24, 16}}}, R"JIT(
def forward(self, x):
    q = torch.linear(self.latents, self.q).view([1, 5, 3, 8]).transpose(1, 2)
    k = torch.linear(x, self.k).view([x.size(0), x.size(1), 3, 8]).transpose(1, 2)
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
)JIT");
  CATCH_CHECK(said_of(frozen(module)) == std::vector<Said>{{SiteRelation::Cross, 3, 3, true}});
  CATCH_CHECK(said_of(frozen(module)) == said_of(module));
}

CATCH_TEST_CASE("heads that stand beside the batch are the factor that the graph holds") {
  const Module module = scripted({{"q", {24, 16}}, {"k", {24, 16}}}, R"JIT(
def forward(self, x):
    x = x.reshape([x.size(0), x.size(1), 16])
    rows = x.size(0) * 3
    q = torch.linear(x, self.q).transpose(0, 1).contiguous().view([x.size(1), rows, 8]).transpose(0, 1)
    k = torch.linear(x, self.k).transpose(0, 1).contiguous().view([x.size(1), rows, 8]).transpose(0, 1)
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), k)
)JIT");
  const std::vector<Said> wanted{{SiteRelation::Self, 3, 3, true}};
  CATCH_CHECK(said_of(module) == wanted);
  CATCH_CHECK(said_of(frozen(module)) == wanted);
  CATCH_CHECK(said_of(transposed(module)) == wanted);
}

CATCH_TEST_CASE("the keys and values of one packed projection are not taken for two heads") {
  const Module module = scripted({{"q", {16, 16}}, {"kv", {32, 16}}}, R"JIT(
def split(self, x):
    return x.view([x.size(0), -1, 4]).transpose(0, 1)
def forward(self, x, m):
    kv = torch.linear(m, self.kv).unflatten(-1, [2, m.size(-1)]).unsqueeze(0).transpose(0, -2).squeeze(-2)
    k = self.split(kv[0])
    q = self.split(torch.linear(x, self.q))
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), self.split(kv[1]))
)JIT");
  for (const Module& form : {module, frozen(module)}) CATCH_CHECK(said_of(form).at(0).kv_heads != 2);
}

CATCH_TEST_CASE("heads are counted behind a norm whose weight stands in front, before the split or after it") {
  const std::string code = R"JIT(
def norm(self, x, w):
    return w * (x * torch.rsqrt(x.pow(2).mean([-1], True) + 1e-6)).to(x.dtype)
def forward(self, x):
    shape = [x.size(0), x.size(1), -1, 4]
    q = self.norm(torch.linear(x, self.q).view(shape), self.narrow).transpose(1, 2)
    k = self.norm(torch.linear(x, self.k), self.wide).view(shape).transpose(1, 2)
    return torch.scaled_dot_product_attention(q, k, k).transpose(1, 2).flatten(2)
)JIT";
  const Module module = scripted({{"q", {16, 16}}, {"k", {16, 16}}, {"narrow", {4}}, {"wide", {16}}}, code);
  const std::vector<Said> wanted{{SiteRelation::Self, 4, 4, true}};
  CATCH_CHECK(said_of(module) == wanted);
  CATCH_CHECK(said_of(frozen(module)) == wanted);
}

CATCH_TEST_CASE("heads that are mixed after the softmax by a folded linear layer are captured before") {
  const Module module = scripted({{"q", {16, 16}}, {"k", {16, 16}}, {"mix", {4, 4}}}, R"JIT(
def forward(self, x):
    q = torch.linear(x, self.q).view([x.size(0), x.size(1), 4, 4]).transpose(1, 2)
    k = torch.linear(x, self.k).view([x.size(0), x.size(1), 4, 4]).transpose(1, 2)
    attn = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)
    mixed = torch.linear(attn.transpose(1, 3), self.mix).transpose(1, 3)
    return torch.matmul(mixed, k)
)JIT");
  const std::vector<Said> wanted{{SiteRelation::Self, 4, 4, true}};
  for (const Module& form : {module, frozen(module), transposed(module)}) {
    CATCH_CHECK(said_of(form) == wanted);
    CATCH_CHECK(gaze::find_sites(form).unknown.empty());
  }
}

CATCH_TEST_CASE("queries that a norm's weight stands in front of compare no channels") {
  const Module module = scripted({{"q", {16, 16}}, {"k", {16, 16}}, {"scale", {8}}}, R"JIT(
def split(self, x):
    return (self.scale * x.view([x.size(0), x.size(1), -1, 8])).transpose(1, 2)
def forward(self, x):
    q = self.split(torch.linear(x, self.q))
    k = self.split(torch.linear(x, self.k))
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)), -1), k)
)JIT");
  for (const Module& form : {module, frozen(module), transposed(module)}) {
    CATCH_CHECK_FALSE(gaze::find_sites(form).sites.at(0).channels);
  }
}

CATCH_TEST_CASE("a matrix that a branch makes unless it raises is the one that it makes") {
  const Module module = scripted({{"q", {16, 16}}, {"k", {16, 16}}}, R"JIT(
def project(self, x, matrix: Optional[Tensor]):
    if matrix is None:
        assert False
        whole = uninitialized(Tensor)
    else:
        whole = matrix
    return torch.linear(x, whole).view([x.size(0), x.size(1), 4, 4]).transpose(1, 2)
def forward(self, x):
    k = self.project(x, self.k)
    return torch.scaled_dot_product_attention(self.project(x, self.q), k, k)
)JIT");
  CATCH_CHECK(said_of(module) == std::vector<Said>{{SiteRelation::Self, 4, 4, true}});
  CATCH_CHECK(said_of(frozen(module)) == said_of(module));
}

CATCH_TEST_CASE("an arm that an attribute leaves out does not speak for the site") {
  Module attn = scripted({{"q", {16, 16}}, {"k", {16, 16}}}, "");
  attn.register_attribute("packed", c10::BoolType::get(), true);
  attn.define(R"JIT(
def forward(self, x, m):
    if not self.packed:
        return torch.scaled_dot_product_attention(x.unsqueeze(1), x.unsqueeze(1), x.unsqueeze(1)).squeeze(1)
    else:
        q = torch.linear(x, self.q).view([x.size(0), x.size(1), 4, 4]).transpose(1, 2)
        k = torch.linear(m, self.k).view([m.size(0), m.size(1), 4, 4]).transpose(1, 2)
        return torch.scaled_dot_product_attention(q, k, k).transpose(1, 2).flatten(2)
)JIT");
  Module module("Outer");
  module.register_module("attn", attn);
  module.define("def forward(self, x, m):\n    return self.attn.forward(x, m)\n");
  const std::vector<Said> wanted{{SiteRelation::Cross, 4, 4, true}};
  CATCH_CHECK(said_of(module) == wanted);
  CATCH_CHECK(said_of(frozen(module)) == wanted);
}

CATCH_TEST_CASE("a factor that no tanh or sigmoid made is no gate") {
  for (const float factor : {1.5F, 0.5F}) {
    Module module = scripted({{"k", {16, 16}}}, "");
    module.register_parameter("gamma", at::tensor({factor}), false);
    module.define(R"JIT(
def forward(self, x):
    k = torch.linear(x, self.k)
    return x + self.gamma * torch.matmul(torch.softmax(torch.matmul(k, k.transpose(-2, -1)), -1), k)
)JIT");
    CATCH_CHECK(gaze::find_sites(frozen(module)).sites.at(0).gate.has_value() == (factor < 1));
  }
}

CATCH_TEST_CASE("layers that were initialised alike stay apart when the host freezes them") {
  Module module("Alike");
  for (const char* name : {"a", "b"}) {
    Module layer("Layer");
    layer.register_parameter("weight", at::ones({16, 16}), false);
    module.register_module(name, layer);
  }
  module.define(R"JIT(
def forward(self, x):
    q = torch.linear(x, self.a.weight)
    x = x + torch.scaled_dot_product_attention(q, q, q)
    q = torch.linear(x, self.b.weight)
    return x + torch.scaled_dot_product_attention(q, q, q)
)JIT");
  module.eval();
  const Module made = torch::jit::freeze(module);
  for (torch::jit::Node* node : made.get_method("forward").graph()->nodes()) node->setSourceRange({});  // as of a loop
  CATCH_CHECK(names_of(made).size() == 2);
  CATCH_CHECK(names_of(made).front() != names_of(made).back());
}

CATCH_TEST_CASE("a frequency of positions is no projection") {
  const std::string code = R"JIT(
def rotate(self, x):
    angle = torch.matmul(self.frequency, torch.ones_like(x[:, :1, :, 0])).transpose(1, 2)
    return torch.cos(angle) * x
def forward(self, x, memory):
    q = self.rotate(self.norm(torch.linear(x, self.q)).unsqueeze(1).contiguous())
    k = self.rotate(self.norm(torch.linear(memory, self.k)).unsqueeze(1).contiguous())
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1), k)
def norm(self, x):
    return torch.layer_norm(x, [8], self.scale).contiguous().clone().contiguous()
)JIT";
  const Module module = scripted({{"frequency", {1, 8, 1}}, {"q", {8, 16}}, {"k", {8, 16}}, {"scale", {8}}}, code);
  CATCH_CHECK(said_of(frozen(module)).at(0).relation == SiteRelation::Cross);
}

CATCH_TEST_CASE("sites of a frozen file have names that stay, and tell towers, layers and what they attend to") {
  const Module plain = hooks_test::load("frozen");
  const std::vector<std::string> wanted = {"make_models.0.self",  "make_models.0.cross", "make_models.1.self",
                                           "make_models.1.cross", "make_models.2.self",  "make_models.2.cross"};
  CATCH_CHECK(names_of(plain) == wanted);
  CATCH_CHECK(names_of(saved_and_loaded(plain)) == wanted);
  for (const gaze::Site& site : gaze::find_sites(plain).sites) {
    CATCH_CHECK(site.methods == std::vector<std::string>{"forward", "generate"});
    CATCH_CHECK(site.tower == "make_models");
    CATCH_CHECK(site.heads == 4);
    CATCH_CHECK(site.proposed == (site.relation == SiteRelation::Cross));
  }
}

CATCH_TEST_CASE("a module that the host froze itself keeps its paths") {
  auto module = hooks_test::load("softmax");
  const auto wanted = names_of(module);
  module.eval();
  CATCH_CHECK(names_of(torch::jit::freeze(module)) == wanted);
}

CATCH_TEST_CASE("layers that were initialised alike are told apart, and methods that share a module agree") {
  const auto module = [](bool alike) {
    Module made("Two");
    auto generator = at::detail::createCPUGenerator(6);
    const at::Tensor q = at::randn({8, 8}, generator);
    made.register_parameter("a", q, false);
    made.register_parameter("b", alike ? q.clone() : at::randn({8, 8}, generator), false);
    made.define(R"JIT(
def encode(self, x):
    q = torch.linear(x, self.a)
    return x + torch.scaled_dot_product_attention(q, q, q)
def decode(self, x):
    q = torch.linear(x, self.b)
    return x + torch.scaled_dot_product_attention(q, q, q)
def forward(self, x):
    return self.decode(self.encode(x))
)JIT");
    made.eval();
    return saved_and_loaded(torch::jit::freeze(made, std::vector<std::string>{"encode", "decode"}));
  };
  CATCH_CHECK(gaze::find_sites(module(true)).sites.size() >= 2);
  const auto sites = gaze::find_sites(module(false)).sites;
  CATCH_REQUIRE(sites.size() == 2);
  CATCH_CHECK(sites[0].name != sites[1].name);
  for (const gaze::Site& site : sites) {
    CATCH_CAPTURE(site.name);
    CATCH_CHECK(site.methods.size() == 2);  // forward, and the one that it calls
  }
}

namespace {

gaze::LeftSite left(std::vector<std::string> calls, SiteRelation relation = SiteRelation::Self,
                    const void* matrix = nullptr) {
  gaze::LeftSite made;
  made.calls = std::move(calls);
  made.file = "modeling_bart.py";
  made.op = "aten::softmax";
  made.relation = relation;
  made.matrix = matrix;
  return made;
}

std::vector<std::string> named(const std::vector<gaze::LeftSite>& sites) {
  std::vector<std::string> names;
  for (const gaze::LeftName& each : gaze::names_of_left(sites)) names.push_back(each.name);
  return names;
}

}  // namespace

CATCH_TEST_CASE("torch's own lines tell calls of a layer apart, and name no tower") {
  const Module module = frozen(scripted({{"a", {8, 8}}, {"b", {8, 8}}, {"c", {8, 8}}, {"d", {8, 8}}}, R"JIT(
def attend(self, x, matrix):
    q = torch.linear(x, matrix)
    return x + torch.scaled_dot_product_attention(q, q, q)
def forward(self, x):
    return self.attend(self.attend(self.attend(self.attend(x, self.a), self.b), self.c), self.d)
)JIT"));
  size_t call = 0;
  for (torch::jit::Node* node : module.get_method("forward").graph()->nodes()) {
    if (node->kind() != c10::Symbol::fromQualString("aten::scaled_dot_product_attention")) continue;
    const std::string stack = "/lib/torch/nn/modules/transformer.py(" + std::to_string(5 + call++ % 2) +
                              "): forward\n/app/modeling_bart.py(3): forward\n";
    node->setSourceRange({std::make_shared<torch::jit::Source>(stack), 0, stack.size()});
  }
  CATCH_CHECK(names_of(module) ==
              std::vector<std::string>{"bart.0.self", "bart.0.self_2", "bart.1.self", "bart.1.self_2"});
}

CATCH_TEST_CASE("towers are told by the lines that call them: one after the other, or in turns") {
  using Names = std::vector<std::string>;
  const auto encoder = left({"forward", "m.py:1", "layer.py:5"});
  const auto self = left({"forward", "m.py:2", "layer.py:7"});
  const auto cross = left({"forward", "m.py:2", "layer.py:8"}, SiteRelation::Cross);
  CATCH_CHECK(named({encoder, encoder, self, cross, self, cross}) == Names{"bart_1.0.self", "bart_1.1.self",
                                                                           "bart_2.0.self", "bart_2.0.cross",
                                                                           "bart_2.1.self", "bart_2.1.cross"});
  CATCH_CHECK(named({self, cross, self, cross}) == Names{"bart.0.self", "bart.0.cross", "bart.1.self", "bart.1.cross"});
  CATCH_CHECK(named({}).empty());
}

CATCH_TEST_CASE("towers of a scripted file are told by what their layers add to") {
  using Names = std::vector<std::string>;
  const int values[3] = {};
  std::vector<gaze::LeftSite> sites(4, left({"forward", "m.py:2"}));
  for (size_t i = 0; i < 4; ++i) sites[i].stream = {&values[i / 2]};
  CATCH_CHECK(named(sites) == Names{"bart_1.0.self", "bart_1.1.self", "bart_2.0.self", "bart_2.1.self"});
}

CATCH_TEST_CASE("equal weights make one name in two methods and in the arms of a branch, not in two layers") {
  using Names = std::vector<std::string>;
  const int matrix = 0;
  const auto one = left({"forward", "m.py:2"}, SiteRelation::Self, &matrix);
  CATCH_CHECK(named({one, one}) == Names{"bart_1.0.self", "bart_2.0.self"});
  const auto again = left({"generate", "m.py:2"}, SiteRelation::Self, &matrix);
  CATCH_CHECK(named({one, again}) == Names{"bart.0.self", "bart.0.self"});
  auto other_arm = one;
  other_arm.instead_of = 0;
  CATCH_CHECK(named({one, other_arm}) == Names{"bart.0.self", "bart.0.self"});
  auto fast_path = one;
  fast_path.op = "aten::_native_multi_head_attention";
  CATCH_CHECK(named({fast_path, one}) == Names{"bart.0.self", "bart.0.self"});
}

// SPDX-License-Identifier: MIT
// Inputs by the names of schemas: those that LibTorch has, and some that no LibTorch has.
#include "graph/arguments.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <map>
#include <set>

#include "graph/op_traits.hpp"
#include "hooks_test.hpp"

namespace {

using gaze::Arg;
using torch::jit::Stack;

using Overloads = std::map<std::string, std::vector<c10::FunctionSchema>>;

Overloads overloads_by_op() {
  Overloads found;
  for (const auto& op : torch::jit::getAllOperators()) found[op->schema().name()].push_back(op->schema());
  return found;
}

/// Whether a tensor, or an element of any type, goes in.
bool takes_tensors(const c10::FunctionSchema& schema) {
  return std::any_of(schema.arguments().begin(), schema.arguments().end(), [](const c10::Argument& argument) {
    const std::string type = argument.type()->str();
    return type.find("Tensor") != std::string::npos || type == "t[]";
  });
}

/// Overloads that do without, because they do something else.
bool does_without(const std::string& overload, Arg which) {
  static const std::map<Arg, std::set<std::string>> kWithout = {
      {Arg::Operand,
       {"aten::add.t", "aten::einsum", "aten::einsum.sublist", "aten::len.Tensor", "aten::len.t", "aten::mul.left_t",
        "aten::mul.right_", "aten::mul_.t", "aten::repeat_interleave.Tensor", "aten::repeat_interleave.Tensor_out",
        "aten::where"}},
      {Arg::Other, {"aten::add.t", "aten::add_.t", "aten::mul.left_t", "aten::mul.right_", "aten::mul_.t"}},
      {Arg::Equation, {"aten::einsum.sublist"}},
      {Arg::Tensors, {"aten::einsum.sublist"}},
      {Arg::At, {"aten::__getitem__.Dict_Tensor"}},
      {Arg::Indices, {"aten::index.list_Tensor"}},
      {Arg::Dim,
       {"aten::mean", "aten::mean.dtype_out", "aten::select.t", "aten::slice.t", "aten::squeeze", "aten::sum",
        "aten::sum.out"}},
      {Arg::Keepdim, {"aten::mean", "aten::mean.dtype_out", "aten::sum", "aten::sum.out"}},
      {Arg::Start, {"aten::flatten.DimnameList"}},
      {Arg::End, {"aten::flatten.DimnameList"}},
      {Arg::Sizes, {"aten::view.dtype"}},
  };
  const auto found = kWithout.find(which);
  return found != kWithout.end() && found->second.count(overload) != 0;
}

/// What is asked of each operator, by any of the names that the table has.
std::map<std::string, std::map<Arg, std::string>> everything_asked(const Overloads& overloads) {
  std::map<std::string, std::map<Arg, std::string>> asked;
  for (const gaze::ArgumentName& row : gaze::kArgumentNames) {
    for (const char* op : row.ops) {
      std::string& names = asked[op][row.which];
      names += (names.empty() ? "" : " or ") + std::string(row.name);
    }
  }
  torch::jit::Graph graph;
  for (const auto& [op, schemas] : overloads) {
    if (op.rfind("aten::", 0) != 0) continue;
    const auto traits = gaze::traits_of(graph.create(c10::Symbol::fromQualString(op)));
    if ((traits & ~gaze::TellsShape) != 0) asked[op].try_emplace(Arg::Operand, "self or input");
  }
  return asked;
}

CATCH_TEST_CASE("every overload of LibTorch has the arguments that readers of graphs ask for") {
  const Overloads overloads = overloads_by_op();
  std::vector<std::string> missing;
  size_t checked = 0;
  for (const auto& [op, asked] : everything_asked(overloads)) {
    const auto found = overloads.find(op);
    if (found == overloads.end()) {
      missing.push_back("this LibTorch has no operator " + op);
      continue;
    }
    for (const c10::FunctionSchema& schema : found->second) {
      const std::string overload = op + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
      if (!takes_tensors(schema)) continue;
      for (const auto& [which, names] : asked) {
        ++checked;
        const bool has = gaze::place_of(c10::Symbol::fromQualString(op), schema, which).has_value();
        if (has || does_without(overload, which)) continue;
        missing.push_back(
            c10::str("expected an argument named ", names, " in ", schema,
                     ". Give its name in hooks/src/graph/argument_names.hpp, or say in this test that the "
                     "overload does without"));
      }
    }
  }
  for (const std::string& line : missing) CATCH_UNSCOPED_INFO(line);
  CATCH_CHECK(missing.empty());
  CATCH_CHECK(checked > 500);
}

/// Operators of torch as another release might declare them: one argument more in front, the others in another order.
void register_moved() {
  static std::once_flag once;
  std::call_once(once, [] {
    const auto define = [](const char* schema, void (*operation)(Stack&)) {
      torch::jit::registerOperator(
          torch::jit::Operator(schema, torch::jit::Operation(operation), c10::AliasAnalysisKind::FROM_SCHEMA));
    };
    using torch::jit::pack;
    using torch::jit::pop;
    define("aten::linear.moved(str new, Tensor weight, Tensor input) -> Tensor", [](Stack& stack) {
      const at::Tensor input = pop(stack).toTensor();
      const at::Tensor weight = pop(stack).toTensor();
      pop(stack);
      pack(stack, at::linear(input, weight));
    });
    define("aten::view.moved(str new, int[] size, Tensor self) -> Tensor", [](Stack& stack) {
      const at::Tensor self = pop(stack).toTensor();
      const auto size = pop(stack).toIntVector();
      pop(stack);
      pack(stack, self.view(size).clone());
    });
    define("aten::transpose.moved(str new, int dim1, int dim0, Tensor self) -> Tensor", [](Stack& stack) {
      const at::Tensor self = pop(stack).toTensor();
      const int64_t dim0 = pop(stack).toInt();
      const int64_t dim1 = pop(stack).toInt();
      pop(stack);
      pack(stack, self.transpose(dim0, dim1).clone());
    });
    define("aten::matmul.moved(str new, Tensor other, Tensor self) -> Tensor", [](Stack& stack) {
      const at::Tensor self = pop(stack).toTensor();
      const at::Tensor other = pop(stack).toTensor();
      pop(stack);
      pack(stack, at::matmul(self, other));
    });
    define("aten::softmax.moved(str new, int dim, Tensor self) -> Tensor", [](Stack& stack) {
      const at::Tensor self = pop(stack).toTensor();
      const int64_t dim = pop(stack).toInt();
      pop(stack);
      pack(stack, at::softmax(self, dim));
    });
    define(
        "aten::scaled_dot_product_attention.moved(str new, float scale, bool is_causal, Tensor value, Tensor key, "
        "Tensor query) -> Tensor",
        [](Stack& stack) {
          const at::Tensor query = pop(stack).toTensor();
          const at::Tensor key = pop(stack).toTensor();
          const at::Tensor value = pop(stack).toTensor();
          const bool causal = pop(stack).toBool();
          const double scale = pop(stack).toDouble();
          pop(stack);
          pack(stack, at::scaled_dot_product_attention(query, key, value, {}, 0.0, causal, scale));
        });
  });
}

torch::jit::Module attentions(const char* forward) {
  torch::jit::Module module("Attentions");
  auto generator = at::detail::createCPUGenerator(7);
  for (const char* name : {"wq", "wk"}) module.register_parameter(name, at::randn({16, 16}, generator) * 0.25, false);
  module.define(forward);
  return module;
}

CATCH_TEST_CASE("arguments that another LibTorch adds and moves change no site and no captured weight") {
  register_moved();
  auto usual = attentions(R"JIT(
def forward(self, x, y):
    q = torch.transpose(torch.view(torch.linear(x, self.wq), [2, 5, 4, 4]), 1, 2)
    k = torch.transpose(torch.view(torch.linear(y, self.wk), [2, 7, 4, 4]), 1, 2)
    a = torch.matmul(torch.softmax(torch.matmul(q, torch.transpose(k, -2, -1)), -1), k)
    return torch.scaled_dot_product_attention(a, k, k, None, 0.0, True, scale=0.75)
)JIT");
  auto moved = attentions(R"JIT(
def forward(self, x, y):
    q = torch.transpose("", 2, 1, torch.view("", [2, 5, 4, 4], torch.linear("", self.wq, x)))
    k = torch.transpose("", 2, 1, torch.view("", [2, 7, 4, 4], torch.linear("", self.wk, y)))
    a = torch.matmul("", k, torch.softmax("", -1, torch.matmul("", torch.transpose("", -1, -2, k), q)))
    return torch.scaled_dot_product_attention("", 0.75, True, k, k, a)
)JIT");
  const auto expected = gaze::find_sites(usual);
  const auto found = gaze::find_sites(moved);
  CATCH_REQUIRE(expected.sites.size() == 2);
  CATCH_REQUIRE(expected.sites[0].heads == 4);
  CATCH_REQUIRE(expected.unknown.empty());
  CATCH_CHECK(found.unknown.empty());
  CATCH_REQUIRE(found.sites.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CATCH_CAPTURE(i, found.sites[i].name);
    CATCH_CHECK(found.sites[i].name == expected.sites[i].name);
    CATCH_CHECK(found.sites[i].kind == expected.sites[i].kind);
    CATCH_CHECK(found.sites[i].relation == expected.sites[i].relation);
    CATCH_CHECK(found.sites[i].heads == expected.sites[i].heads);
    CATCH_CHECK(found.sites[i].kv_heads == expected.sites[i].kv_heads);
    CATCH_CHECK(found.sites[i].channels == expected.sites[i].channels);
    CATCH_CHECK(found.sites[i].q_reads == expected.sites[i].q_reads);
    CATCH_CHECK(found.sites[i].k_reads == expected.sites[i].k_reads);
  }
  const auto inputs = hooks_test::inputs(2, 5, 7);
  const auto captured = [&](torch::jit::Module& module) {
    auto gaze = gaze::attach(module, hooks_test::options(std::make_shared<hooks_test::MemorySink>()));
    return gaze.capture_weights([&] { module.forward(inputs); });
  };
  const auto of_usual = captured(usual);
  const auto of_moved = captured(moved);
  CATCH_REQUIRE(of_usual.size() == 2);
  CATCH_REQUIRE(of_moved.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CATCH_CHECK(of_moved[i].site == of_usual[i].site);
    CATCH_CHECK(hooks_test::same_bytes(of_moved[i].attn_bhqk, of_usual[i].attn_bhqk));
  }
}

}  // namespace

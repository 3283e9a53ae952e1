// SPDX-License-Identifier: MIT
// Whatever kind of tensor meets a tap, the host's call goes on as without it; what cannot be captured is counted.
#include <ATen/FunctionalTensorWrapper.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/operator.h>

#include "hooks_test.hpp"

using hooks_test::load;
using hooks_test::MemorySink;

namespace {

struct Kind {
  std::string name;
  at::Tensor tensor;
};

/// Every kind of tensor that can be made here, of shape [2, 4, 3, 3] where the kind has a shape.
std::vector<Kind> made_kinds() {
  const at::Tensor dense = at::rand({2, 4, 3, 3});
  std::vector<Kind> kinds;
  kinds.push_back({"undefined", {}});
  kinds.push_back({"nested", at::_nested_tensor_from_mask(at::rand({2, 3, 4}),
                                                          at::tensor({1, 1, 0, 1, 1, 1}).view({2, 3}).to(at::kBool))});
  kinds.push_back({"sparse", dense.to_sparse()});
  kinds.push_back({"sparse rows", at::rand({3, 3}).to_sparse_csr()});
  kinds.push_back({"quantized", at::quantize_per_tensor(dense, 0.01, 0, at::kQUInt8)});
  kinds.push_back({"mkldnn", dense.to_mkldnn()});
  kinds.push_back({"meta", at::empty({2, 4, 3, 3}, at::TensorOptions().device(at::kMeta))});
  kinds.push_back({"zero", at::_efficientzerotensor({2, 4, 3, 3}, at::TensorOptions().dtype(at::kFloat))});
  kinds.push_back({"functional", at::functionalization::impl::to_functional_tensor(dense)});
  kinds.push_back({"batched", at::_add_batch_dim(dense, 0, 1)});
  return kinds;
}

/// A tensor of nothing but a dispatch key, for those of which none can be made: sub-classes of Python, fake tensors,
/// back ends that are not here.
std::vector<Kind> bare_kinds() {
  std::vector<Kind> kinds;
  for (uint8_t k = 1; k <= static_cast<uint8_t>(c10::DispatchKey::EndOfFunctionalityKeys) - 1; ++k) {
    const auto key = static_cast<c10::DispatchKey>(k);
    if (key == c10::DispatchKey::NestedTensor) continue;  // torch itself takes it for its class; there is a real one
    const auto set = c10::DispatchKeySet(key) | c10::DispatchKeySet(c10::BackendComponent::CPUBit);
    const c10::Storage memory = at::empty({1}).storage();
    kinds.push_back({c10::toString(key), at::detail::make_tensor<c10::TensorImpl>(c10::Storage(memory), set,
                                                                                  caffe2::TypeMeta::Make<float>())});
  }
  return kinds;
}

/// The id in the module's graph of the first node of a kind.
int64_t id_of(const torch::jit::Module& module, const char* kind) {
  auto& function = torch::jit::toGraphFunction(module.get_method("forward").function());
  for (torch::jit::Node* node : function.optimized_graph()->nodes()) {
    if (std::string_view(node->kind().toQualString()) == kind)
      return node->inputs().back()->node()->i(torch::jit::attr::value);
  }
  CATCH_FAIL("no " << kind);
  return -1;
}

void call(const char* name, torch::jit::Stack& stack) {
  const auto found = torch::jit::findOperatorFor({name, ""});
  CATCH_REQUIRE(found != nullptr);
  found->getOperation()(stack);
}

bool same_tensor(const c10::IValue& value, const at::Tensor& tensor) {
  return value.isTensor() && value.toTensor().unsafeGetTensorImpl() == tensor.unsafeGetTensorImpl();
}

}  // namespace

CATCH_TEST_CASE("a tap hands through every kind of tensor, and what it cannot read is counted") {
  torch::jit::Module softmax = load("softmax");
  torch::jit::Module sdpa = load("sdpa");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze on_softmax = gaze::attach(softmax, hooks_test::options(sink, {"layers.*"}));
  gaze::Gaze on_sdpa = gaze::attach(sdpa, hooks_test::options(sink, {"layers.*"}));
  const int64_t tap = id_of(softmax, "gaze::tap"), observe = id_of(sdpa, "gaze::observe");
  const at::Tensor plain = at::rand({2, 4, 3, 3});
  std::vector<Kind> kinds = made_kinds();
  for (Kind& kind : bare_kinds()) kinds.push_back(std::move(kind));
  int64_t refused = 0;
  for (const Kind& kind : kinds) {
    CATCH_CAPTURE(kind.name);
    for (const bool open : {false, true}) {
      const auto run = [&](gaze::Gaze& gaze, const char* name, std::vector<c10::IValue> inputs) {
        gaze::Request request = open ? gaze.begin(std::vector<gaze::RequestSpec>(2)) : gaze::Request();
        const at::Tensor first = inputs.front().toTensor();
        torch::jit::Stack stack(std::move(inputs));
        CATCH_CHECK_NOTHROW(call(name, stack));
        CATCH_REQUIRE(stack.size() == 1);
        CATCH_CHECK(same_tensor(stack[0], first));
        request.finish();
      };
      run(on_softmax, "gaze::tap", {kind.tensor, -2, -1, 0, false, tap});
      run(on_softmax, "gaze::offer", {kind.tensor, c10::IValue(), id_of(softmax, "gaze::offer")});
      run(on_sdpa, "gaze::observe", {kind.tensor, plain, plain, c10::IValue(), false, c10::IValue(), observe});
      run(on_sdpa, "gaze::observe", {plain, kind.tensor, plain, c10::IValue(), false, c10::IValue(), observe});
      run(on_sdpa, "gaze::observe", {plain, plain, kind.tensor, c10::IValue(), false, c10::IValue(), observe});
      run(on_sdpa, "gaze::observe", {plain, plain, plain, kind.tensor, false, c10::IValue(), observe});
      for (size_t at = 0; at < 8; ++at) {
        const at::Tensor& k = kind.tensor;
        const at::Tensor x = at::rand({2, 3, 8}), weight = at::rand({24, 8}), bias = at::rand({24});
        const auto one = [&](size_t n, const at::Tensor& otherwise) { return n == at ? k : otherwise; };
        run(on_sdpa, "gaze::observe_packed",
            {one(0, plain), one(1, x), one(2, x), one(3, weight), one(4, bias), 4,
             at == 5 ? c10::IValue(k) : c10::IValue(), c10::IValue(), true, one(6, at::ones({8})),
             one(7, at::ones({8})), 1e-5, observe});
      }
    }
    ++refused;
  }
  CATCH_REQUIRE(on_softmax.flush());
  CATCH_REQUIRE(on_sdpa.flush());
  // Dense is what a tap can read; what only stands before it (autograd, autocast) has no memory of its own here.
  CATCH_CHECK(refused == static_cast<int64_t>(kinds.size()));
  int64_t unsupported = 0;
  for (const auto& record : sink->records()) {
    if (record.error_reason != gaze::DropReason::UnsupportedTensor || record.error.empty()) continue;
    ++unsupported;
    CATCH_CHECK(record.error.find("in dense memory, got a tensor of ") != std::string::npos);
  }
  CATCH_CHECK(unsupported >= 2 * 5 * (refused - 4));
  CATCH_CHECK(on_softmax.stats().in_flight == 0);
  CATCH_CHECK(on_sdpa.stats().in_flight == 0);
}

CATCH_TEST_CASE("a padded encoder layer makes nested tensors, and is captured as it answers") {
  const auto make = [] {
    torch::manual_seed(3);
    torch::jit::Module layer("encoder");
    const auto parameter = [&](const char* name, at::IntArrayRef sizes) {
      layer.register_parameter(name, at::rand(sizes) - 0.5, false);
    };
    parameter("in_w", {96, 32});
    parameter("in_b", {96});
    parameter("out_w", {32, 32});
    parameter("out_b", {32});
    parameter("n1_w", {32});
    parameter("n1_b", {32});
    parameter("n2_w", {32});
    parameter("n2_b", {32});
    parameter("f1_w", {64, 32});
    parameter("f1_b", {64});
    parameter("f2_w", {32, 64});
    parameter("f2_b", {32});
    layer.define(R"(
      def forward(self, x, visible):
          n = torch._nested_tensor_from_mask(x, visible, False)
          y = torch._transformer_encoder_layer_fwd(n, 32, 4, self.in_w, self.in_b, self.out_w, self.out_b, False, False,
                                                   1e-5, self.n1_w, self.n1_b, self.n2_w, self.n2_b, self.f1_w, self.f1_b,
                                                   self.f2_w, self.f2_b, None, None)
          return y.to_padded_tensor(0.0)
    )");
    layer.eval();
    return layer;
  };
  const at::NoGradGuard no_grad;
  torch::jit::Module plain = make();
  torch::jit::Module tapped = make();
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(tapped, hooks_test::options(sink));
  const std::vector<c10::IValue> inputs{at::rand({2, 5, 32}),
                                        at::tensor({1, 1, 1, 0, 0, 1, 1, 1, 1, 1}).view({2, 5}).to(at::kBool)};
  const at::Tensor wanted = plain.forward(inputs).toTensor();
  CATCH_CHECK(hooks_test::same_bytes(tapped.forward(inputs).toTensor(), wanted));  // nobody opened a request
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(2));
  CATCH_CHECK(hooks_test::same_bytes(tapped.forward(inputs).toTensor(), wanted));
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 4);
  for (const auto& record : sink->records()) {
    CATCH_CAPTURE(record.error);
    CATCH_CHECK(record.error.empty());
    CATCH_CHECK(record.maps[0].map_tk.sizes() == at::IntArrayRef({1, 5}));
  }
  // The first row's last two keys are padding.
  CATCH_CHECK(sink->records()[2].maps[0].map_tk.slice(1, 3).eq(0).all().item<bool>());
  CATCH_CHECK(sink->records()[3].maps[0].map_tk.slice(1, 3).gt(0).any().item<bool>());
}

CATCH_TEST_CASE("arguments of every kind reach a model as they are") {
  const auto make = [] {
    torch::jit::Module module("takes_anything");
    module.define(R"(
      def forward(self, x, other):
          return (torch.softmax(x.matmul(x.transpose(1, 2)), -1).matmul(x), other)
    )");
    return module;
  };
  const at::Tensor x = at::rand({1, 4, 8});
  for (const Kind& kind : made_kinds()) {
    CATCH_CAPTURE(kind.name);
    if (kind.name == "undefined") continue;  // no argument of a scripted method
    torch::jit::Module plain = make();
    torch::jit::Module tapped = make();
    auto sink = std::make_shared<MemorySink>();
    gaze::Options options = hooks_test::options(sink);
    gaze::Profile profile;
    profile.image = gaze::ImageInput();
    profile.image->argument["forward"] = 1;
    options.profile_in_code = profile;
    gaze::Gaze gaze = gaze::attach(tapped, options);
    const auto wanted = plain.forward({x, kind.tensor}).toTuple();
    for (const bool open : {false, true}) {
      gaze::Request request = open ? gaze.begin() : gaze::Request();
      const auto got = tapped.forward({x, kind.tensor}).toTuple();
      CATCH_CHECK(same_tensor(got->elements()[1], kind.tensor));
      CATCH_CHECK(hooks_test::same_bytes(got->elements()[0].toTensor(), wanted->elements()[0].toTensor()));
    }
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().in_flight == 0);
  }
}

CATCH_TEST_CASE("weights, queries and keys that are negated lazily are captured as they are meant") {
  torch::jit::Module softmax = load("softmax");
  torch::jit::Module sdpa = load("sdpa");
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"layers.*"});
  options.deferred_tokens = 4;
  gaze::Gaze on_softmax = gaze::attach(softmax, options);
  gaze::Gaze on_sdpa = gaze::attach(sdpa, options);
  const auto negated = [](const at::Tensor& x) { return at::_neg_view(x.neg()); };
  const at::Tensor weights = at::rand({1, 4, 1, 6}).softmax(-1), q = at::randn({1, 4, 1, 4}),
                   k = at::randn({1, 4, 6, 4});
  const auto record_of = [&](gaze::Gaze& gaze, const char* name, std::vector<c10::IValue> inputs) {
    gaze::Request request = gaze.begin();
    torch::jit::Stack stack(std::move(inputs));
    call(name, stack);
    request.finish();
    CATCH_REQUIRE(gaze.flush());
    return sink->records().back().maps[0].map_tk;
  };
  const int64_t tap = id_of(softmax, "gaze::tap"), observe = id_of(sdpa, "gaze::observe");
  CATCH_CHECK(at::allclose(record_of(on_softmax, "gaze::tap", {negated(weights), -2, -1, 4, false, tap}),
                           record_of(on_softmax, "gaze::tap", {weights, -2, -1, 4, false, tap})));
  CATCH_CHECK(at::allclose(
      record_of(on_sdpa, "gaze::observe", {q, negated(q), negated(k), c10::IValue(), false, c10::IValue(), observe}),
      record_of(on_sdpa, "gaze::observe", {q, q, k, c10::IValue(), false, c10::IValue(), observe})));
}

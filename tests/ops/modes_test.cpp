// SPDX-License-Identifier: MIT
// What a host relies on: no mode of its own changes a result, nothing allocates in the loop, errors say what to mend.
#include <ATen/FunctionalTensorWrapper.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Allocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/normalise.hpp>
#include <gaze/ops/reduce.hpp>

#include <cstdlib>
#include <functional>
#include <limits>
#include <new>
#include <thread>

#include "overlay.hpp"
#include "tensors.hpp"

namespace {

/// Counts this thread's allocations while it lives: operator new of the whole process and torch's allocators.
thread_local bool counting = false;
thread_local long allocations = 0;

void* counted(std::size_t bytes) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

void* counted(std::size_t bytes, std::align_val_t alignment) {
  if (counting) ++allocations;
  const auto step = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (bytes + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}

struct TensorMemory : c10::MemoryReportingInfoBase {
  bool memoryProfilingEnabled() const override { return true; }
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    if (counting && bytes > 0) ++allocations;
  }
};

long allocations_of(const std::function<void()>& call) {
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, std::make_shared<TensorMemory>());
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return counted(bytes, alignment); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return counted(bytes, alignment); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

using namespace gaze::ops;
using namespace gaze::test;

namespace {

struct Inputs {
  explicit Inputs(at::Device device, at::ScalarType dtype = at::kFloat) {
    Random random(30);
    attn = random.weights({2, 4, 3, 33}, dtype, 0, device);
    q = random.tensor({2, 4, 3, 8}, dtype, -2, 2, device);
    k = random.tensor({2, 2, 33, 8}, dtype, -2, 2, device);
    layers = random.weights({3, 9, 9}, at::kFloat, 0, device);
  }
  at::Tensor attn, q, k, layers;
};

/// Every op once; all their numbers.
std::vector<double> everything(const Inputs& in, Accumulator& to) {
  std::vector<double> out;
  const auto keep = [&](const at::Tensor& x) {
    CATCH_CHECK_FALSE(x.requires_grad());
    const std::vector<double> values = values_of(x);
    out.insert(out.end(), values.begin(), values.end());
  };
  const RowRange range{1, 1, 2, 4, 0};
  reduce(in.attn, range, {}, to);
  attend_reduce({in.q, in.k, std::nullopt, true}, range, {}, to);
  keep(attend({in.q, in.k, std::nullopt}, range));
  const Reduced done = finish(to, 2, {});
  keep(done.map_tc);
  keep(done.mass_t);
  keep(done.visible_t);
  keep(rollout(in.layers));
  keep(compose(in.layers[0], in.layers[1]));
  const Normalised normal = normalise(done.map_tc, done.visible_t, {});
  keep(normal.value_tc);
  keep(top_mass(done.map_tc));
  const at::Tensor colours = colour(normal.value_tc, Colormap::Turbo);
  keep(blend(colours, colours, normal.value_tc));
  keep(overlay(colours, normal.lift_tc, top_mass(normal.lift_tc), {0.5, 0, 0.1, 0}, {}));
  return out;
}

std::vector<double> plain_results(at::Device device) {
  Accumulator to = make_accumulator(2, 20, device);
  return everything(Inputs(device), to);
}

}  // namespace

CATCH_TEST_CASE("results are the same in grad, no-grad, inference and autocast mode") {
  for (const at::Device device : devices()) {
    const std::vector<double> want = plain_results(device);
    {
      Inputs in(device);
      for (at::Tensor* x : {&in.attn, &in.q, &in.k, &in.layers}) x->requires_grad_();
      Accumulator to = make_accumulator(2, 20, device);
      const auto version = in.attn._version();
      CATCH_CHECK(everything(in, to) == want);
      CATCH_CHECK_FALSE(to.map_tc.requires_grad());
      CATCH_CHECK(to.map_tc.grad_fn() == nullptr);
      CATCH_CHECK(in.attn._version() == version);
    }
    {
      const at::NoGradGuard no_grad;
      Accumulator to = make_accumulator(2, 20, device);
      CATCH_CHECK(everything(Inputs(device), to) == want);
    }
    {
      const c10::InferenceMode inference;
      const Inputs in(device);
      CATCH_CHECK(in.attn.is_inference());
      Accumulator to = make_accumulator(2, 20, device);
      CATCH_CHECK(everything(in, to) == want);
    }
    {
      const bool before = at::autocast::is_autocast_enabled(device.type());
      at::autocast::set_autocast_enabled(device.type(), true);
      Accumulator to = make_accumulator(2, 20, device);
      const std::vector<double> got = everything(Inputs(device), to);
      at::autocast::set_autocast_enabled(device.type(), before);
      CATCH_CHECK(got == want);
    }
  }
}

CATCH_TEST_CASE("an accumulator made in one mode can be filled in another") {
  for (const at::Device device : devices()) {
    const std::vector<double> want = plain_results(device);
    std::optional<Accumulator> made_inside;
    {
      const c10::InferenceMode inference;
      made_inside = make_accumulator(2, 20, device);
    }
    CATCH_CHECK_FALSE(made_inside->map_tc.is_inference());
    CATCH_CHECK(everything(Inputs(device), *made_inside) == want);

    Accumulator made_outside = make_accumulator(2, 20, device);
    Inputs inference_inputs(at::kCPU);
    {
      const c10::InferenceMode inference;
      inference_inputs = Inputs(device);
      reduce(inference_inputs.attn, {1, 1, 2, 4, 0}, {}, made_outside);
    }
    // The host left inference mode; its tensors are inference tensors still.
    attend_reduce({inference_inputs.q, inference_inputs.k, std::nullopt, true}, {1, 1, 2, 4, 0}, {}, made_outside);
    CATCH_CHECK(values_of(made_outside.calls_t) == std::vector<double>{2, 2});
    CATCH_CHECK(values_of(made_outside.map_tc) == values_of(made_inside->map_tc));
  }
}

CATCH_TEST_CASE("reduce and attend_reduce allocate nothing after the first call of a size") {
  // The counter counts: what must allocate does. The compiler may leave out what it sees to be unused.
  CATCH_REQUIRE(allocations_of([] {
                  int* volatile made = new int(1);
                  delete made;
                }) == 1);
  CATCH_REQUIRE(allocations_of([] { at::empty({1000}); }) >= 1);

  for (const at::Device device : devices()) {
    for (const auto dtype : kWeightDtypes) {
      for (const Layout layout : kLayouts) {
        CATCH_CAPTURE(device.str(), c10::toString(dtype), name(layout));
        const Inputs in(device, dtype);
        const at::Tensor attn = laid_out(in.attn, layout), q = laid_out(in.q, layout), k = laid_out(in.k, layout);
        const std::optional<at::Tensor> mask = laid_out(Random(31).tensor({3, 33}, dtype, -1, 1, device), layout);
        const Scores scores{q, k, mask, true};
        const RowRange range{1, 0, 3, 4, 0};
        for (const auto heads : {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Weighted, HeadReduce::TopK}) {
          Accumulator to = make_accumulator(3, 20, device);
          const ReduceOptions by{heads, 0, 2, LayerReduce::Mean};
          const auto step = [&] {
            reduce(attn, range, by, to);
            attend_reduce(scores, range, by, to);
          };
          step();
          CATCH_CHECK(allocations_of(step) == 0);
          CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{4, 4, 4});
        }
      }
    }
  }
}

CATCH_TEST_CASE("overlay_out allocates nothing after the first call of a size") {
  for (const at::Device device : devices()) {
    Random random(33);
    const at::Tensor rgb = random.tensor({480, 640, 3}, at::kByte, 0, 255.99, device);
    const at::Tensor value = random.tensor({24, 24}, at::kFloat, 0, 1, device);
    const std::optional<at::Tensor> inside = value.gt(0.7);
    at::Tensor out = at::empty_like(rgb);
    const auto frame = [&] { overlay_out(rgb, value, inside, {24.0 / 600, -0.1, 24.0 / 400, -0.1}, {}, out); };
    frame();
    CATCH_CHECK(allocations_of(frame) == 0);
  }
}

CATCH_TEST_CASE("threads with accumulators of their own do not disturb each other") {
  for (const at::Device device : devices()) {
    const std::vector<double> want = plain_results(device);
    std::vector<std::vector<double>> got(4);
    std::vector<std::thread> threads;
    for (auto& each : got) {
      threads.emplace_back([&each, device] {
        const Inputs in(device);
        Accumulator to = make_accumulator(2, 20, device);
        for (int i = 0; i < 50; ++i) {
          reduce(in.attn, {1, 1, 2, 4, 0}, {}, to);
          attend_reduce({in.q, in.k, std::nullopt, true}, {1, 1, 2, 4, 0}, {}, to);
        }
        each = values_of(finish(to, 2, {}).map_tc);
      });
    }
    for (std::thread& each : threads) each.join();
    Accumulator once = make_accumulator(2, 20, device);
    const Inputs in(device);
    reduce(in.attn, {1, 1, 2, 4, 0}, {}, once);
    attend_reduce({in.q, in.k, std::nullopt, true}, {1, 1, 2, 4, 0}, {}, once);
    const std::vector<double> mean = values_of(finish(once, 2, {}).map_tc);
    for (const auto& each : got) {
      CATCH_CHECK(each == got[0]);
      CATCH_CHECK(differs(each, mean, {1e-6, 1e-5}) == "");  // a hundred roundings of a running sum
    }
  }
}

CATCH_TEST_CASE("errors name the argument, what was expected and what came") {
  const at::Tensor attn = at::empty({2, 4, 3, 33}).fill_(1.0 / 33);
  const at::Tensor q = at::empty({2, 4, 3, 8}).zero_(), k = at::empty({2, 2, 33, 8}).zero_();
  const std::optional<at::Tensor> none;
  Accumulator to = make_accumulator(2, 20, at::kCPU);
  const auto bytes = at::TensorOptions().dtype(at::kByte);
  at::Tensor rgb = at::empty({4, 5, 3}, bytes).zero_();
  const at::Tensor value = at::empty({4, 5}).zero_();

  const auto broken = [&](auto change) {
    Accumulator copy = to;
    change(copy);
    return error_of([&] { reduce(attn, {0, 0, 1, 0, 0}, {}, copy); });
  };
  struct Case {
    std::string got, want;
  };
  const std::vector<Case> cases = {
      {error_of([&] { reduce({}, {}, {}, to); }), "gaze::reduce: attn_bhqk: expected a tensor, got an undefined one"},
      {error_of([&] { reduce(attn.to(at::kMeta), {}, {}, to); }),
       "gaze::reduce: attn_bhqk: expected a cpu or cuda tensor, got meta"},
      {error_of([&] { reduce(attn.to_sparse(), {}, {}, to); }),
       "gaze::reduce: attn_bhqk: expected a strided tensor, got layout Sparse"},
      {error_of([&] { reduce(attn[0], {}, {}, to); }),
       "gaze::reduce: attn_bhqk: expected [batch, heads, queries, keys] with at least one head, got [4, 3, 33]"},
      {error_of([&] { reduce(attn.to(at::kDouble), {}, {}, to); }),
       "gaze::reduce: attn_bhqk: expected Float, Half or BFloat16, got Double"},
      {error_of([&] {
         reduce(attn, {2, 0, 1, 0, 0}, {}, to);
       }),
       "gaze::reduce: range.batch: expected 0..1, got 2"},
      {error_of([&] {
         reduce(attn, {-1, 0, 1, 0, 0}, {}, to);
       }),
       "gaze::reduce: range.batch: expected 0..1, got -1"},
      {error_of([&] {
         reduce(attn, {0, 2, 2, 0, 0}, {}, to);
       }),
       "gaze::reduce: range.queries: expected rows within 0..3, got 2 from 2"},
      {error_of([&] {
         reduce(attn, {0, 1, std::numeric_limits<int64_t>::max(), 0, 0}, {}, to);
       }),
       "gaze::reduce: range.queries: expected rows within 0..3, got 9223372036854775807 from 1"},
      {error_of([&] {
         reduce(attn, {0, 0, 1, 14, 0}, {}, to);
       }),
       "gaze::reduce: range.first_key: expected 20 cells within 33 keys, got first key 14"},
      {error_of([&] {
         reduce(attn, {0, 0, 1, -1, 0}, {}, to);
       }),
       "gaze::reduce: range.first_key: expected 20 cells within 33 keys, got first key -1"},
      {error_of([&] {
         reduce(attn, {0, 0, 2, 0, 1}, {}, to);
       }),
       "gaze::reduce: range.first_token: expected rows within an accumulator of 2 tokens, got 2 from 1"},
      {error_of([&] {
         reduce(attn, {}, {HeadReduce::One, 4, 1, LayerReduce::Mean}, to);
       }),
       "gaze::reduce: options.head: expected 0..3, got 4"},
      {error_of([&] {
         reduce(attn, {}, {HeadReduce::TopK, 0, 0, LayerReduce::Mean}, to);
       }),
       "gaze::reduce: options.k: expected at least 1, got 0"},
      {error_of([&] {
         reduce(attn, {}, {HeadReduce::Mean, 0, 1, LayerReduce::Rollout}, to);
       }),
       "gaze::reduce: options.layers: expected a reduction that can be accumulated, got Rollout"},
      {error_of([&] {
         reduce(attn, {}, {static_cast<HeadReduce>(6), 0, 1, LayerReduce::Mean}, to);
       }),
       "gaze::reduce: options.heads: expected a HeadReduce, got 6"},
      {broken([](Accumulator& a) { a.map_tc = a.map_tc.t(); }),
       "gaze::reduce: accumulator.map_tc: expected rows whose cells are adjacent and that do not overlap, got strides "
       "[1, 20]"},
      {broken([](Accumulator& a) { a.calls_t = a.calls_t.to(at::kLong); }),
       "gaze::reduce: accumulator.calls_t: expected Int, got Long"},
      {broken([](Accumulator& a) { a.mass_t = a.mass_t.narrow(0, 0, 1); }),
       "gaze::reduce: accumulator.mass_t: expected [2], got [1]"},
      {broken([](Accumulator& a) { a.rows_t = at::Tensor(); }),
       "gaze::reduce: accumulator.rows_t: expected a tensor, got an undefined one"},
      {broken([](Accumulator& a) { a.map_tc = a.map_tc.to(at::kMeta); }),
       "gaze::reduce: accumulator.map_tc: expected a cpu or cuda tensor, got meta"},

      {error_of([&] {
         attend({attn, k, none}, {});
       }),
       "gaze::attend: k_bhkd: expected [batch, kv_heads, keys, size] = [2, *, *, 33], got [2, 2, 33, 8]"},
      {error_of([&] {
         attend({q, k.to(at::kHalf), none}, {});
       }),
       "gaze::attend: k_bhkd: expected Float, got Half"},
      {error_of([&] {
         attend({q, at::empty({2, 3, 33, 8}), none}, {});
       }),
       "gaze::attend: k_bhkd: expected kv_heads that divide 4 heads, got 3"},
      {error_of([&] {
         attend({q, k, none, false, std::nan("")}, {});
       }),
       "gaze::attend: scale: expected a finite number, got nan"},
      {error_of([&] {
         attend({q, k, at::empty({4, 33})}, {});
       }),
       "gaze::attend: mask: expected a shape that broadcasts to [2, 4, 3, 33], got [4, 33]"},
      {error_of([&] {
         attend({q, k, at::empty({3, 33}, bytes)}, {});
       }),
       "gaze::attend: mask (Bool aside): expected Float, Half or BFloat16, got Byte"},
      {error_of([&] {
         attend_reduce({q, k, none}, {0, 0, 3, 0, 0}, {}, to);
       }),
       "gaze::attend_reduce: range.first_token: expected rows within an accumulator of 2 tokens, got 3 from 0"},

      {error_of([&] { make_accumulator(2, 0, at::kCPU); }),
       "gaze::make_accumulator: cells: expected at least 1, got 0"},
      {error_of([&] { finish(to, 3, {}); }), "gaze::finish: tokens: expected 0..2, got 3"},
      {error_of([&] { rollout(value); }), "gaze::rollout: attn_lqk: expected [layers, n, n], got [4, 5]"},
      {error_of([&] {
         at::Tensor after = value;
         rollout_rows(value, value, after);
       }),
       "gaze::rollout_rows: before_km: expected [5, n], got [4, 5]"},
      {error_of([&] { compose(value, value); }), "gaze::compose: made_of_nk: expected [5, keys], got [4, 5]"},
      {error_of([&] { normalise(value, value, {}); }), "gaze::normalise: visible_t: expected shape [4], got [4, 5]"},
      {error_of([&] {
         normalise(value, at::empty({4}), {true, 0, false});
       }),
       "gaze::normalise: options.percentile: expected a share in (0, 1], got 0"},
      {error_of([&] { colour(rgb, Colormap::Gray); }), "gaze::colour: value: expected Float, got Byte"},
      {error_of([&] { colour(value, static_cast<Colormap>(6)); }),
       "gaze::colour: colormap: expected a Colormap, got 6"},
      {error_of([&] { blend(value, rgb, value); }), "gaze::blend: rgb_hwc: expected Byte, got Float"},
      {error_of([&] { blend(rgb.transpose(0, 1), rgb, value); }),
       "gaze::blend: rgb_hwc: expected a contiguous tensor, got strides [3, 15, 1]"},
      {error_of([&] { blend(rgb, rgb, value.t()); }), "gaze::blend: value_yx: expected shape [4, 5], got [5, 4]"},
      {error_of([&] {
         blend(rgb, rgb, value, {1.5, 0});
       }),
       "gaze::blend: options.alpha_max: expected 0..1, got 1.5"},
      {error_of([&] { top_mass(value, 1.5); }), "gaze::top_mass: share: expected 0..1, got 1.5"},
      {error_of([&] { overlay(value, value, none, {}, {}); }), "gaze::overlay: rgb_hwc: expected Byte, got Float"},
      {error_of([&] { overlay(rgb.transpose(0, 1), value, none, {}, {}); }),
       "gaze::overlay: rgb_hwc: expected a contiguous tensor, got strides [3, 15, 1]"},
      {error_of([&] { overlay(rgb.narrow(0, 0, 0), value, none, {}, {}); }),
       "gaze::overlay: rgb_hwc: expected [height, width, 3] with at least one pixel, got [0, 5, 3]"},
      {error_of([&] { overlay_out(rgb, value, none, {}, {}, rgb); }),
       "gaze::overlay: out_hwc: expected memory apart from rgb_hwc's, got an overlap"},
      {error_of([&] {
         at::Tensor out = at::empty({5, 4, 3}, bytes);
         overlay_out(rgb, value, none, {}, {}, out);
       }),
       "gaze::overlay: out_hwc: expected shape [4, 5, 3], got [5, 4, 3]"},
      {error_of([&] { overlay(rgb, value.t(), none, {}, {}); }),
       "gaze::overlay: value_yx: expected a contiguous tensor, got strides [1, 5]"},
      {error_of([&] { overlay(rgb, value[0], none, {}, {}); }),
       "gaze::overlay: value_yx: expected [rows, cols] with at least one cell, got [5]"},
      {error_of([&] { overlay(rgb, value, value, {}, {}); }), "gaze::overlay: inside_yx: expected Bool, got Float"},
      {error_of([&] { overlay(rgb, value, value.narrow(0, 0, 3).gt(0), {}, {}); }),
       "gaze::overlay: inside_yx: expected shape [4, 5], got [3, 5]"},
      {error_of([&] {
         overlay(rgb, value, none, {1, NAN, 1, 0}, {});
       }),
       "gaze::overlay: place: expected finite numbers, got 1, nan"},
      {error_of([&] { overlay(rgb, value, none, {}, {.most_sms = -1}); }),
       "gaze::overlay: options.most_sms: expected 0 (all) or more, got -1"},
      {error_of([&] { overlay(rgb, value, none, {}, {.colormap = static_cast<Colormap>(6)}); }),
       "gaze::overlay: colormap: expected a Colormap, got 6"},
      {error_of([&] {
         overlay(rgb, value, none, {}, {.blend = {0.5, -1}});
       }),
       "gaze::overlay: options.alpha_start: expected 0..1, got -1"},
      {error_of([&] {
         blend(rgb, rgb, value, {0.5, 0.4, 0.3});
       }),
       "gaze::blend: options.alpha_full: expected alpha_start..1, got 0.3"},
      {error_of([&] { overlay(rgb, value, none, {}, {.contour_pixels = 65}); }),
       "gaze::overlay: options.contour_pixels: expected 1..64, got 65"},
      {error_of([&] { overlay(rgb, value, none, {}, {.border_pixels = -1}); }),
       "gaze::overlay: options.border_pixels: expected 0..64, got -1"},
  };
  for (const Case& each : cases) {
    CATCH_CAPTURE(each.want);
    CATCH_CHECK(each.got.substr(0, each.want.size()) == each.want);
  }
  const std::string none_in_memory =
      "gaze::reduce: attn_bhqk: expected a tensor whose memory holds its values (at::empty_like(x).copy_(x) is one), "
      "got DispatchKeySet(";
  for (const at::Tensor& x :
       {at::_neg_view(attn), at::_efficientzerotensor(attn.sizes(), attn.options()),
        at::quantize_per_tensor(attn, 0.01, 0, at::kQUInt8), at::_add_batch_dim(attn.unsqueeze(0), 0, 1),
        at::functionalization::impl::to_functional_tensor(attn),
        at::_nested_tensor_from_mask(attn[0], attn[0].select(2, 0).gt(0))}) {
    CATCH_CAPTURE(x.key_set());
    CATCH_CHECK(error_of([&] { reduce(x, {}, {}, to); }).substr(0, none_in_memory.size()) == none_in_memory);
  }
  CATCH_CHECK(values_of(to.calls_t) == std::vector<double>{0, 0});  // refused calls leave no trace
}

CATCH_TEST_CASE("the ops are nobody's by name: torch's dispatcher knows none") {
  plain_results(at::kCPU);
  for (const c10::OperatorName& op : c10::Dispatcher::singleton().getAllOpNames()) {
    CATCH_CHECK(op.name.substr(0, 6) != "gaze::");
  }
}

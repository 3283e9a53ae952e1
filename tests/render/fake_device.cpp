// SPDX-License-Identifier: MIT
#include "fake_device.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace gaze::test::fake {
namespace {

#ifdef GAZE_FAKE_CUDA  // instead of a GPU, over the emulated kernels
constexpr c10::DeviceType kType = c10::DeviceType::CUDA;
constexpr c10::DispatchKey kKey = c10::DispatchKey::CUDA;
#else
constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
constexpr c10::DispatchKey kKey = c10::DispatchKey::PrivateUse1;
#endif
constexpr c10::DeviceIndex kDevices = 2;  // streams are known by their ids, whichever device they are of

/// Work of one stream; a job that returns false has to wait.
using Job = std::function<bool()>;
struct Work {
  Job job;
  bool counts = true;  // false: not the work of anybody's
};

/// What one allocation has, as torch's caching allocator keeps it.
struct Block {
  void* data;
  size_t bytes;
  c10::StreamId home;
  std::set<c10::StreamId> others;  // streams it was recorded for
  bool of_graph = false;           // the memory is a graph's for ever
};

// A host's threads and Gaze's worker meet here.
std::recursive_mutex mutex;
// What is still queued, or spoilt and not given back yet, when a program ends is no leak: these two live for ever.
auto& streams = *new std::map<c10::StreamId, std::deque<Work>>;
c10::StreamId last_stream = 0;
c10::StreamId slowest = 0;
thread_local c10::DeviceIndex current_device = 0;
thread_local c10::StreamId current_streams[kDevices] = {};
std::set<const void*> pinned;
auto& freed = *new std::vector<void*>;
auto& graphs_own = *new std::vector<void*>;  // memory of graphs: never anybody's again
c10::StreamId recording = -1;
std::vector<Job>* recorded = nullptr;

void enqueue(c10::StreamId stream, Job job, bool counts = true) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (stream == recording && recorded != nullptr) return recorded->push_back(std::move(job));
  streams[stream].push_back({std::move(job), counts});
}

void enqueue(Job job) { enqueue(current_streams[current_device], std::move(job)); }

bool run_first(c10::StreamId stream) {
  std::deque<Work>& jobs = streams[stream];
  if (jobs.empty() || !jobs.front().job()) return false;
  if (stream == 0 && jobs.front().counts) ++log().default_jobs;
  jobs.pop_front();
  return true;
}

/// The first job of every stream; the slow one's only where no other can go on.
bool step() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  bool progress = false;
  for (const auto& [stream, jobs] : streams) {  // a job may add to others
    if (stream != slowest) progress = run_first(stream) || progress;
  }
  if (progress || run_first(slowest)) return true;
  for (void* data : freed) std::free(data);
  freed.clear();
  return false;
}

void wait() {
  ++log().synchronous;
  run_all();
}

struct Event {
  int64_t recorded = 0;
  int64_t done = 0;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device to) const override {
    return c10::Device(kType, std::exchange(current_device, to.index()));
  }
  c10::Device getDevice() const override { return c10::Device(kType, current_device); }
  void setDevice(c10::Device to) const override { current_device = to.index(); }
  void uncheckedSetDevice(c10::Device to) const noexcept override { current_device = to.index(); }
  c10::Stream getStream(c10::Device of) const override {
    return c10::Stream(c10::Stream::UNSAFE, of, current_streams[of.index()]);
  }
  c10::Stream getDefaultStream(c10::Device of) const override { return c10::Stream(c10::Stream::UNSAFE, of, 0); }
  c10::Stream getStreamFromGlobalPool(c10::Device of, bool) const override {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    return c10::Stream(c10::Stream::UNSAFE, of, ++last_stream);
  }
  c10::Stream exchangeStream(c10::Stream to) const override {
    const c10::StreamId before = std::exchange(current_streams[to.device_index()], to.id());
    return c10::Stream(c10::Stream::UNSAFE, to.device(), before);
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (*event == nullptr) *event = new std::shared_ptr<Event>(std::make_shared<Event>());
    const std::shared_ptr<Event> shared = *static_cast<std::shared_ptr<Event>*>(*event);
    const int64_t version = ++shared->recorded;
    enqueue(stream.id(), [shared, version] {
      shared->done = version;
      return true;
    });
  }
  void block(void* event, const c10::Stream& stream) const override {
    const std::shared_ptr<Event> shared = *static_cast<std::shared_ptr<Event>*>(event);
    enqueue(stream.id(), [shared, version = shared->recorded] { return shared->done >= version; });
  }
  // The answer first: what was enqueued a moment ago is never done yet.
  bool queryEvent(void* event) const override {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    ++log().queries;
    const Event& asked = **static_cast<std::shared_ptr<Event>*>(event);
    const bool done = asked.done == asked.recorded;
    step();
    return done;
  }
  void synchronizeStream(const c10::Stream&) const override { wait(); }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<std::shared_ptr<Event>*>(event);
  }
};

/// Whoever next gets memory of a stream may use it at once: what was still read elsewhere is spoilt.
void free_block(void* context) {
  const std::unique_ptr<Block> block(static_cast<Block*>(context));
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  log().live_bytes -= static_cast<int64_t>(block->bytes);
  if (block->of_graph) {
    graphs_own.push_back(block->data);
    // Within the graph others may have it from here on, at every replay.
    if (block->home == recording && recorded != nullptr) {
      recorded->push_back([data = block->data, bytes = block->bytes] { return std::memset(data, 0xff, bytes), true; });
    }
    return;
  }
  std::vector<Job>* const paused = std::exchange(recorded, nullptr);
  const auto left = std::make_shared<size_t>(block->others.size());
  for (const c10::StreamId other : block->others) {
    enqueue(
        other, [left] { return --*left, true; }, false);
  }
  enqueue(
      block->home,
      [left, data = block->data, bytes = block->bytes] {
        if (*left > 0) return false;
        std::memset(data, 0xff, bytes);
        freed.push_back(data);
        return true;
      },
      false);
  recorded = paused;
}

struct Memory final : c10::Allocator {
  explicit Memory(bool is_pinned) : is_pinned_(is_pinned) {}
  c10::DataPtr allocate(size_t bytes) override {
    void* data = std::calloc(bytes + 1, 1);
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    if (!is_pinned_) {
      ++log().allocations;
      log().live_bytes += static_cast<int64_t>(bytes);
      const c10::StreamId home = current_streams[current_device];
      auto* const block = new Block{data, bytes, home, {}, home == recording && recorded != nullptr};
      return {data, block, &free_block, c10::Device(kType, current_device)};
    }
    pinned.insert(data);
    return {data, data, &unpin, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  static void unpin(void* data) {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    pinned.erase(data);
    std::free(data);
  }
  bool is_pinned_;
};
Memory device_memory(false), pinned_memory(true);

bool is_pinned(const void* data) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  return pinned.count(data) > 0;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
};

constexpr c10::DispatchKeySet kKeys(kKey);

c10::Device chosen(std::optional<at::Device> device) {
  return device && device->has_index() ? *device : c10::Device(kType, current_device);
}

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(chosen(device));
  return at::Tensor(at::detail::empty_generic(size, &device_memory, kKeys, dtype.value_or(at::kFloat), format));
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(chosen(device));
  return at::Tensor(at::detail::empty_strided_generic(size, stride, &device_memory, kKeys, dtype.value_or(at::kFloat)));
}

at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

/// The same memory for the processor's operators, which it does not keep.
at::Tensor as_on_cpu(const at::Tensor& there) {
  if (!there.defined() || there.is_cpu()) return there;
  return at::from_blob(there.mutable_data_ptr(), there.sizes(), there.strides(),
                       at::TensorOptions().dtype(there.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  // Pageable memory is staged at once; all other memory is read when its turn comes.
  const bool staged = self.is_cpu() && !is_pinned(self.const_data_ptr());
  TORCH_CHECK(!non_blocking || !dst.is_cpu() || is_pinned(dst.storage().data()),
              "a copy into pageable memory would block");
  if (dst.is_cpu()) log().largest_back = std::max(log().largest_back, static_cast<int64_t>(dst.nbytes()));
  enqueue([source = staged ? self.clone() : as_on_cpu(self), to = as_on_cpu(dst)] {
    const at::AutoDispatchBelowADInplaceOrView quiet;
    to.copy_(source);
    return true;
  });
  if (!non_blocking && (self.is_cpu() || dst.is_cpu())) wait();
  return dst;
}

at::Tensor& copy(at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  copy_from(from.expand_as(self), self, non_blocking);
  return self;
}

void record_stream(at::Tensor& tensor, c10::Stream stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  ++log().record_streams;
  auto* const block = static_cast<Block*>(tensor.storage().data_ptr().get_context());
  if (stream.id() != block->home) block->others.insert(stream.id());
}

c10::IValue on_cpu(const c10::IValue& value) {
  if (value.isTensor()) return as_on_cpu(value.toTensor());
  if (!value.isTensorList()) return value;
  std::vector<at::Tensor> all;
  for (const at::Tensor& each : value.toTensorVector()) all.push_back(as_on_cpu(each));
  return all;
}

/// Every other operator: that of the processor, when its turn comes. Shapes and dtypes of results are those of a call
/// at once, with whatever the arguments hold by then.
void any_operator(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const size_t count = schema.arguments().size();
  const torch::jit::Stack given(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  stack->resize(stack->size() - count);
  torch::jit::Stack arguments;
  bool writes = false;
  for (size_t i = 0; i < count; ++i) {
    const auto* alias = schema.arguments()[i].alias_info();
    writes = writes || (alias != nullptr && alias->isWrite());
    const bool device = given[i].isDevice() || (schema.arguments()[i].name() == "device" && !given[i].isNone());
    arguments.push_back(device ? c10::IValue(c10::Device(c10::kCPU)) : on_cpu(given[i]));
  }
  const auto call = [op, arguments] {
    const at::AutoDispatchBelowADInplaceOrView quiet;
    torch::jit::Stack each = arguments;
    op.callBoxed(each);
    return each;
  };
  const auto later = [](auto job) {
    enqueue([job] {
      job();
      return true;
    });
  };
  if (writes) {
    later(call);
    for (const c10::Argument& result : schema.returns()) {
      for (size_t i = 0; i < count; ++i) {
        const auto* alias = schema.arguments()[i].alias_info();
        if (alias != nullptr && result.alias_info() != nullptr && *alias == *result.alias_info())
          stack->push_back(given[i]);
      }
    }
    return;
  }
  const torch::jit::Stack now = call();
  const bool tensors = std::all_of(now.begin(), now.end(), [](const c10::IValue& each) { return each.isTensor(); });
  if (!tensors) {  // the host wants to know
    wait();
    for (c10::IValue& each : call()) stack->push_back(std::move(each));
    return;
  }
  std::vector<at::Tensor> results;
  for (const c10::IValue& each : now) {
    const at::Tensor& like = each.toTensor();
    const at::Tensor there = empty_strided(like.sizes(), like.strides(), like.scalar_type(), {}, {}, {});
    results.push_back(as_on_cpu(there));
    stack->push_back(there);
  }
  later([call, results] {
    const torch::jit::Stack values = call();
    for (size_t i = 0; i < results.size(); ++i) results[i].copy_(values[i].toTensor());
  });
}

}  // namespace

at::Device device(c10::DeviceIndex index) {
  static std::once_flag once;
  std::call_once(once, [] {
    static const Guard guard;
    [[maybe_unused]] static Hooks hooks;
#ifndef GAZE_FAKE_CUDA
    c10::register_privateuse1_backend("fake");
    at::RegisterPrivateUse1HooksInterface(&hooks);
#endif
    c10::impl::device_guard_impl_registry[static_cast<size_t>(kType)].store(&guard);
    c10::SetAllocator(kType, &device_memory);
    auto* library = new torch::Library(torch::Library::IMPL, "aten", kKey, __FILE__, __LINE__);
    library->impl("empty.memory_format", empty);
    library->impl("empty_strided", empty_strided);
    library->impl("as_strided", as_strided);
    library->impl("view", static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(at::native::view));
    library->impl("_copy_from", copy_from);
    library->impl("copy_", copy);
    library->impl("record_stream", record_stream);
    auto* others = new torch::Library(torch::Library::IMPL, "_", kKey, __FILE__, __LINE__);
    others->fallback(torch::CppFunction::makeFromBoxedFunction<&any_operator>());
  });
  return c10::Device(kType, index);
}

Log& log() {
  static Log all;
  return all;
}

at::Tensor upload(const at::Tensor& host) {
  at::Tensor there = at::empty(host.sizes(), host.options().device(device()));
  return there.copy_(host, /*non_blocking=*/true);
}

c10::Stream new_stream() { return c10::impl::VirtualGuardImpl(kType).getStreamFromGlobalPool(device(), false); }

void make_slowest(c10::StreamId stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  slowest = stream;
}

void launch(const std::function<void()>& kernel) {
  enqueue([kernel] {
    kernel();
    return true;
  });
}

void Graph::begin() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  recording = current_streams[current_device];
  recorded = &jobs_;
}

void Graph::end() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  recording = -1;
  recorded = nullptr;
}

void Graph::replay() const {
  for (const auto& job : jobs_) enqueue(job);
}

void run_all() {
  while (step()) {
  }
}

}  // namespace gaze::test::fake

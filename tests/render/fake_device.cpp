// SPDX-License-Identifier: MIT
#include "fake_device.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace gaze::test::fake {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);

/// Work of one stream; a job that returns false has to wait.
using Job = std::function<bool()>;
std::map<c10::StreamId, std::deque<Job>> streams;
c10::StreamId last_stream = 0;
thread_local c10::StreamId current = 0;
std::set<const void*> pinned;

void enqueue(c10::StreamId stream, Job job) { streams[stream].push_back(std::move(job)); }

bool run_first(c10::StreamId stream) {
  std::deque<Job>& jobs = streams[stream];
  if (jobs.empty() || !jobs.front()()) return false;
  jobs.pop_front();
  if (stream == 0) ++log().default_jobs;
  return true;
}

/// The first job of every stream; the model's own stream is slow and comes last.
bool step() {
  bool progress = false;
  for (c10::StreamId stream = 1; stream <= last_stream; ++stream) progress = run_first(stream) || progress;
  return progress || run_first(0);
}

struct Event {
  int64_t recorded = 0;
  int64_t done = 0;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::UNSAFE, kDevice, current); }
  c10::Stream getDefaultStream(c10::Device) const override { return c10::Stream(c10::Stream::UNSAFE, kDevice, 0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
    return c10::Stream(c10::Stream::UNSAFE, kDevice, ++last_stream);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream before = getStream(kDevice);
    current = stream.id();
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
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
    ++log().queries;
    const Event& asked = **static_cast<std::shared_ptr<Event>*>(event);
    const bool done = asked.done == asked.recorded;
    step();
    return done;
  }
  void synchronizeStream(const c10::Stream&) const override {
    ++log().synchronous;
    run_all();
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<std::shared_ptr<Event>*>(event);
  }
};

struct Memory final : c10::Allocator {
  explicit Memory(bool is_pinned) : is_pinned_(is_pinned) {}
  c10::DataPtr allocate(size_t bytes) override {
    void* data = std::calloc(bytes + 1, 1);
    if (!is_pinned_) return {data, data, &std::free, kDevice};
    pinned.insert(data);
    return {data, data, &unpin, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  static void unpin(void* data) {
    pinned.erase(data);
    std::free(data);
  }
  bool is_pinned_;
};
Memory device_memory(false), pinned_memory(true);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* data) const override { return pinned.count(data) > 0; }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
};

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::Tensor(at::detail::empty_generic(size, &device_memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                              dtype.value_or(at::kFloat), format));
}

at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  TORCH_CHECK(self.is_contiguous() && dst.is_contiguous() && self.scalar_type() == dst.scalar_type());
  // Pageable memory is staged at once; all other memory is read when its turn comes.
  const bool staged = self.is_cpu() && pinned.count(self.const_data_ptr()) == 0;
  const at::Tensor source = staged ? self.clone() : self;
  TORCH_CHECK(!dst.is_cpu() || pinned.count(dst.storage().data()) > 0, "a copy into pageable memory would block");
  enqueue(current, [source, dst] {
    std::memcpy(dst.mutable_data_ptr(), source.const_data_ptr(), source.nbytes());
    return true;
  });
  if (!non_blocking) {
    ++log().synchronous;
    run_all();
  }
  return dst;
}

void record_stream(at::Tensor&, c10::Stream) { ++log().record_streams; }

}  // namespace

at::Device device() {
  static std::once_flag once;
  std::call_once(once, [] {
    static const Guard guard;
    static Hooks hooks;
    c10::register_privateuse1_backend("fake");
    c10::impl::device_guard_impl_registry[static_cast<size_t>(kType)].store(&guard);
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::SetAllocator(kType, &device_memory);
    auto* library = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
    library->impl("empty.memory_format", empty);
    library->impl("as_strided", as_strided);
    library->impl("view", static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(at::native::view));
    library->impl("_copy_from", copy_from);
    library->impl("record_stream", record_stream);
  });
  return kDevice;
}

Log& log() {
  static Log all;
  return all;
}

at::Tensor upload(const at::Tensor& host) {
  at::Tensor there = at::empty(host.sizes(), host.options().device(device()));
  return there.copy_(host, /*non_blocking=*/true);
}

void run_all() {
  while (step()) {
  }
}

}  // namespace gaze::test::fake

// SPDX-License-Identifier: MIT
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <atomic>

#include "check.hpp"

namespace gaze::ops {
namespace {

struct Count {
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> bytes{0};

  void add(const at::Tensor& tensor) noexcept {
    calls.fetch_add(1, std::memory_order_relaxed);
    bytes.fetch_add(static_cast<int64_t>(tensor.nbytes()), std::memory_order_relaxed);
  }
  [[nodiscard]] Traffic snapshot() const noexcept {
    return {calls.load(std::memory_order_relaxed), bytes.load(std::memory_order_relaxed)};
  }
};

struct Counts {
  std::array<Count, static_cast<size_t>(Cargo::kCount)> to_device, to_host;
};

Counts& counts() noexcept {
  static Counts all;
  return all;
}

Count& of(std::array<Count, static_cast<size_t>(Cargo::kCount)>& side, Cargo cargo) noexcept {
  return side[static_cast<size_t>(cargo)];
}

/// A GPU copies to the host one after the other: a model's few bytes wait at most for as many.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

void copy_in_pieces(const at::Tensor& source, const at::Tensor& destination) {
  const int64_t count = source.numel(), most = kPieceBytes / source.element_size();
  if (count <= most) {
    destination.copy_(source, /*non_blocking=*/true);
    return;
  }
  const at::Tensor from = source.view({-1}), to = destination.view({-1});
  for (int64_t first = 0; first < count; first += most) {
    const int64_t piece = std::min(most, count - first);
    to.narrow(0, first, piece).copy_(from.narrow(0, first, piece), /*non_blocking=*/true);
  }
}

}  // namespace

Transferred transferred() noexcept {
  const Counts& all = counts();
  Transferred all_so_far;
  for (size_t i = 0; i < all_so_far.to_host.size(); ++i) {
    all_so_far.to_device[i] = all.to_device[i].snapshot();
    all_so_far.to_host[i] = all.to_host[i].snapshot();
  }
  return all_so_far;
}

Route route_to(at::Device device) { return {device, !device.is_cpu()}; }

at::Tensor to_device(const at::Tensor& source, const Route& route, Cargo cargo) {
  GAZE_CHECK(source.defined(), "to_device", "source", "a tensor, got an undefined one");
  if (!route.crosses || !source.is_cpu()) return source;
  const at::AutoDispatchBelowADInplaceOrView quiet;
  at::Tensor there = at::empty(source.sizes(), source.options().device(route.device));
  // From pageable memory the bytes are staged before the call returns, so nothing has to be kept for the device.
  there.copy_(source.contiguous(), /*non_blocking=*/true);
  of(counts().to_device, cargo).add(source);
  return there;
}

at::Tensor host_buffer(at::IntArrayRef sizes, at::ScalarType dtype, const Route& route) {
  // Kept between requests: an inference tensor could not be written outside inference mode.
  const c10::InferenceMode normal(false);
  const bool page_locked = route.crosses && !route.device.is_cpu();
  return at::empty(sizes, at::TensorOptions().dtype(dtype).pinned_memory(page_locked));
}

void to_host(const at::Tensor& source, const at::Tensor& destination, const Route& route, Cargo cargo) {
  constexpr const char* op = "to_host";
  GAZE_CHECK(source.defined() && destination.defined(), op, "source and destination", "tensors, got an undefined one");
  if (!route.crosses) {
    GAZE_CHECK(source.is_same(destination), op, "destination", "the source itself where nothing crosses");
    return;
  }
  GAZE_CHECK(destination.is_cpu(), op, "destination", "host memory, got ", destination.device());
  GAZE_CHECK(destination.scalar_type() == source.scalar_type(), op, "destination", source.scalar_type(), ", got ",
             destination.scalar_type());
  GAZE_CHECK(destination.sizes() == source.sizes(), op, "destination", "shape ", source.sizes(), ", got ",
             destination.sizes());
  GAZE_CHECK(destination.is_contiguous(), op, "destination", "a contiguous tensor, got strides ",
             destination.strides());
  const at::AutoDispatchBelowADInplaceOrView quiet;
  // Strides are resolved on the device: a copy between layouts would go through temporaries.
  copy_in_pieces(source.contiguous(), destination);
  of(counts().to_host, cargo).add(source);
}

}  // namespace gaze::ops

// SPDX-License-Identifier: MIT
#include <c10/util/Exception.h>
#include <gaze/ops/device.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

#include "base/utf8.hpp"

namespace c10 {
class AcceleratorError;  // LibTorch before 2.8 has none
}

namespace gaze {
namespace {

template <typename Type>
concept Known = requires {
  sizeof(Type);
};

template <typename Accelerator = c10::AcceleratorError>
DropReason reason_of(const c10::Error& error, DropReason otherwise) {
  constexpr int32_t kMemoryAllocation = 2;  // of the CUDA runtime
  const char* text = error.what_without_backtrace();
  if constexpr (Known<Accelerator>) {
    if (const auto* device = dynamic_cast<const Accelerator*>(&error)) {
      return device->get_error_code() == kMemoryAllocation ? DropReason::CudaOom : DropReason::CudaError;
    }
  } else if (std::strstr(text, "CUDA error") != nullptr) {
    return DropReason::CudaError;
  }
  // The host's allocator has no type of its own.
  return std::strstr(text, "DefaultCPUAllocator") != nullptr ? DropReason::HostBudget : otherwise;
}

void copy(std::string_view from, char* text, size_t size) {
  const std::string_view part = beginning(from, size - 1);
  std::copy(part.begin(), part.end(), text);
  text[part.size()] = 0;
}

}  // namespace

DropReason reason_of_current_exception(DropReason otherwise) noexcept {
  if (!std::current_exception()) return otherwise;
  try {
    throw;
  } catch (const Error& error) {
    return error.reason();
  } catch (const c10::OutOfMemoryError&) {
    return DropReason::CudaOom;
  } catch (const std::bad_alloc&) {
    return DropReason::HostBudget;
  } catch (const ops::LaunchError&) {
    return DropReason::CudaError;
  } catch (const c10::Error& error) {
    return reason_of(error, otherwise);
  } catch (...) {
    return otherwise;
  }
}

void text_of_current_exception(char* text, size_t size) noexcept {
  if (!std::current_exception()) return copy("no exception", text, size);
  try {
    throw;
  } catch (const c10::Error& error) {
    copy(error.what_without_backtrace(), text, size);
  } catch (const std::bad_alloc&) {
    copy("not enough memory", text, size);
  } catch (const std::exception& error) {
    copy(error.what(), text, size);
  } catch (...) {
    copy("unknown exception", text, size);
  }
}

const char* name(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::NotFinished:
      return "not_finished";
    case DropReason::NotSampled:
      return "not_sampled";
    case DropReason::QueueBytes:
      return "queue_bytes";
    case DropReason::TokenLimit:
      return "token_limit";
    case DropReason::HostBudget:
      return "host_budget";
    case DropReason::HookException:
      return "hook_exception";
    case DropReason::NoAttention:
      return "no_attention";
    case DropReason::GridMismatch:
      return "grid_mismatch";
    case DropReason::ShapeMismatch:
      return "shape_mismatch";
    case DropReason::NonFinite:
      return "non_finite";
    case DropReason::RowSum:
      return "row_sum";
    case DropReason::Labels:
      return "labels";
    case DropReason::DecodeFailed:
      return "decode_failed";
    case DropReason::RenderError:
      return "render_error";
    case DropReason::OutDir:
      return "out_dir";
    case DropReason::DiskFull:
      return "disk_full";
    case DropReason::IoError:
      return "io_error";
    case DropReason::Shutdown:
      return "shutdown";
    case DropReason::SelfCheck:
      return "self_check";
    case DropReason::RingFull:
      return "ring_full";
    case DropReason::CudaOom:
      return "cuda_oom";
    case DropReason::CudaError:
      return "cuda_error";
    case DropReason::StreamCapturing:
      return "stream_capturing";
    case DropReason::NoRequest:
      return "no_request";
    case DropReason::UnsupportedTensor:
      return "unsupported_tensor";
    case DropReason::SiteOrder:
      return "site_order";
    case DropReason::OptedOut:
      return "opted_out";
    case DropReason::Withdrawn:
      return "withdrawn";
    case DropReason::RateLimited:
      return "rate_limited";
    case DropReason::Breaker:
      return "breaker";
    case DropReason::NotKept:
      return "not_kept";
    case DropReason::RedactionFailed:
      return "redaction_failed";
    case DropReason::Superseded:
      return "superseded";
    case DropReason::Quota:
      return "quota";
    case DropReason::Internal:
      return "internal";
    case DropReason::kCount:
      break;
  }
  return "internal";
}

}  // namespace gaze

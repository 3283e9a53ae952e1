// SPDX-License-Identifier: MIT
#include <gaze/render/status.hpp>

namespace gaze {

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
    case DropReason::Superseded:
      return "superseded";
    case DropReason::Internal:
      return "internal";
    case DropReason::kCount:
      break;
  }
  return "internal";
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
#include "capture/prompt_spans.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/status.hpp>

namespace gaze {
namespace {

[[noreturn]] void refuse_ids(const std::string& text) {
  throw Error("geometry.spans: " + text + ", or give the request's geometry its spans (gaze::spans_of).",
              DropReason::GridMismatch);
}

/// Waits for the copy, and so for what was enqueued before it.
at::Tensor on_host(const at::Tensor& ids_bt) {
  const ops::Route route = ops::route_to(ids_bt.device());
  if (!route.crosses) return ids_bt;
  const c10::InferenceMode normal(false);
  const at::Tensor here_bt = ops::host_buffer(ids_bt.sizes(), ids_bt.scalar_type(), route);
  ops::to_host(ids_bt, here_bt, route, ops::Cargo::Figures);
  c10::impl::VirtualGuardImpl(route.device.type()).getStream(route.device).synchronize();
  return here_bt;
}

}  // namespace

void PromptSpans::read(const at::Tensor& ids, int64_t placeholder) {
  spans_.clear();
  if (ids.dim() != 2 || (ids.scalar_type() != at::kLong && ids.scalar_type() != at::kInt)) {
    unread_ = c10::str("expected the prompt's token ids as int64 [batch, tokens], got ", ids.scalar_type(), " ",
                       ids.sizes(), ". Correct spans.argument");
    return;
  }
  unread_.clear();
  placeholder_ = placeholder;
  tokens_ = ids.size(1);
  const at::Tensor ids_bt = on_host(ids).to(at::kLong).contiguous();
  for (int64_t b = 0; b < ids_bt.size(0); ++b) {
    const auto count = static_cast<size_t>(tokens_);
    spans_.push_back(spans_of({ids_bt.const_data_ptr<int64_t>() + b * tokens_, count}, placeholder));
  }
}

const std::vector<KeySpan>& PromptSpans::of(int64_t row, int64_t pictures) const {
  if (!unread_.empty()) refuse_ids(unread_);
  if (row >= static_cast<int64_t>(spans_.size())) {
    refuse_ids("expected token ids of every batch row, got " + std::to_string(spans_.size()) +
               " rows. Correct spans.argument");
  }
  const std::vector<KeySpan>& found = spans_[static_cast<size_t>(row)];
  const auto count = static_cast<int64_t>(found.size());
  if (pictures > 0 ? count == pictures : count > 0) return found;
  refuse_ids("expected " + (pictures > 0 ? std::to_string(pictures) : "at least 1") + " run" +
             (pictures == 1 || pictures == 0 ? "" : "s") + " of the placeholder " + std::to_string(placeholder_) +
             " among the prompt's " + std::to_string(tokens_) + " token ids, one for each picture, got " +
             std::to_string(count) + ". Correct spans.placeholder or pictures");
}

}  // namespace gaze

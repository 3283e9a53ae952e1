// SPDX-License-Identifier: MIT
#include "capture/head_detail.hpp"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {
namespace {

constexpr int64_t kFirstRoom = 16;  // tokens

at::Tensor with_room(const at::Tensor& kept, int64_t tokens) {
  std::vector<int64_t> sizes = kept.sizes().vec();
  const int64_t had = sizes[2];
  sizes[2] = tokens;
  at::Tensor wider = at::zeros(sizes, kept.options());
  wider.narrow(2, 0, had).copy_(kept, /*non_blocking=*/true);
  return wider;
}

/// Of the exception that is being handled.
const char* why_not() noexcept {
  const DropReason reason = reason_of_current_exception(DropReason::HookException);
  const bool memory = reason == DropReason::HostBudget || reason == DropReason::CudaOom;
  return memory ? "not enough memory" : "a site's weights could not be read";
}

}  // namespace

void HeadDetail::leave(const char* why) noexcept {
  left_out_ = why;
  sites_.clear();
  bytes_ = 0;
}

HeadDetail::Site& HeadDetail::at(int64_t site, const AttentionCall& call, const std::vector<KeySpan>& media) {
  const auto found = std::lower_bound(sites_.begin(), sites_.end(), site,
                                      [](const Site& kept, int64_t sought) { return kept.site < sought; });
  if (found != sites_.end() && found->site == site) return *found;
  Site made{site, {}};
  for (const KeySpan& span : media) {
    made.media.push_back(
        {at::zeros({call.batch(), call.heads(), 0, span.keys}, at::TensorOptions(call.device()).dtype(at::kByte)),
         at::zeros({call.batch(), call.heads(), 0}, at::TensorOptions(call.device()).dtype(at::kFloat))});
  }
  return *sites_.insert(found, std::move(made));
}

void HeadDetail::make_room(Site& kept, int64_t tokens) {
  const int64_t had = kept.media.front().root_bhtk.size(2);
  if (tokens <= had) return;
  const int64_t room = std::min(rules_.max_tokens, std::max({tokens, 2 * had, kFirstRoom}));
  for (const Kept& each : kept.media) {
    const int64_t rows = each.most_bht.size(0) * each.most_bht.size(1) * (room - had);
    bytes_ += rows * (each.root_bhtk.size(3) + static_cast<int64_t>(sizeof(float)));
  }
  if (bytes_ > rules_.budget_bytes) return leave("more than GAZE_QUEUE_BYTES holds");
  for (Kept& each : kept.media) {
    each.root_bhtk = with_room(each.root_bhtk, room);
    each.most_bht = with_room(each.most_bht, room);
  }
}

void HeadDetail::add(int64_t site, const AttentionCall& call, const ops::RowRange& rows,
                     const std::vector<KeySpan>& media) noexcept {
  if (left_out_ != nullptr) return;
  try {
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    Site& kept = at(site, call, media);
    if (kept.media.front().root_bhtk.size(1) != call.heads()) return leave("a site's number of heads changed");
    make_room(kept, rows.first_token + rows.queries);
    if (left_out_ != nullptr) return;
    for (int64_t b = 0; b < call.batch(); ++b) {
      const at::Tensor weight_htk = call.weights(b, rows.first_query, rows.queries).detach();
      for (size_t m = 0; m < media.size(); ++m) {
        const Kept& to = kept.media[m];
        ops::quantise_out(weight_htk.narrow(2, media[m].first_key, media[m].keys),
                          {to.root_bhtk[b].narrow(1, rows.first_token, rows.queries),
                           to.most_bht[b].narrow(1, rows.first_token, rows.queries)});
      }
    }
  } catch (...) {
    leave(why_not());
  }
}

void HeadDetail::reorder(const std::vector<int64_t>& from) noexcept {
  try {
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    const at::Tensor from_b = at::tensor(from, at::kLong);
    bytes_ = 0;
    for (Site& site : sites_) {
      for (Kept& kept : site.media) {
        kept.root_bhtk = kept.root_bhtk.index_select(0, from_b.to(kept.root_bhtk.device()));
        kept.most_bht = kept.most_bht.index_select(0, from_b.to(kept.most_bht.device()));
        bytes_ += static_cast<int64_t>(kept.root_bhtk.nbytes() + kept.most_bht.nbytes());
      }
    }
    if (bytes_ > rules_.budget_bytes) leave("more than GAZE_QUEUE_BYTES holds");
  } catch (...) {
    leave(why_not());
  }
}

Detail HeadDetail::of(int64_t row, size_t medium, int64_t tokens, at::Device device) const {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  Detail detail;
  if (left_out_ != nullptr) {
    detail.left_out = left_out_;
    return detail;
  }
  for (const Site& site : sites_) {
    const Kept& kept = site.media[medium];
    const auto first = [&](const at::Tensor& of_bht) {
      const at::Tensor rows_ht = of_bht.size(2) < tokens ? with_room(of_bht, tokens)[row] : of_bht[row];
      return rows_ht.narrow(1, 0, tokens).contiguous().to(device, /*non_blocking=*/true);
    };
    detail.sites.push_back({rules_.name(site.site), {first(kept.root_bhtk), first(kept.most_bht)}});
  }
  return detail;
}

void HeadDetail::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const Site& site : sites_) {
    for (const Kept& kept : site.media) {
      see(kept.root_bhtk);
      see(kept.most_bht);
    }
  }
}

}  // namespace gaze

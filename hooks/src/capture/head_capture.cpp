// SPDX-License-Identifier: MIT
#include "capture/head_capture.hpp"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

namespace gaze {

void HeadCapture::add(int64_t site, const AttentionCall& call, const ops::RowRange& rows) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  for (int64_t b = 0; b < call.batch(); ++b) {
    const at::Tensor span_hts =
        call.weights(b, rows.first_query, rows.queries).detach().narrow(2, spans()[0].first_key, spans()[0].keys);
    kept.push_back({site, b, rows.first_token,
                    span_hts.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous()});
  }
}

void HeadCapture::forget(int64_t site, int64_t first_token) {
  std::erase_if(kept, [&](const HeadRows& rows) { return rows.site == site && rows.first_token >= first_token; });
}

}  // namespace gaze

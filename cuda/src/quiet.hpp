// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>

namespace gaze::ops {

/// Whatever mode the host is in: no graph is recorded, no version counted, nothing cast.
struct Quiet {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

}  // namespace gaze::ops

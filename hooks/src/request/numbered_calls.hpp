// SPDX-License-Identifier: MIT
// Calls that come without names: of which request of which thread they are, and of which site. Knows no TorchScript.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "request/site_order.hpp"

namespace gaze {

struct BoundRequest;

/// Of an open request. While any lives open, taps look at what runs.
class NumberedCalls {
 public:
  explicit NumberedCalls(const std::vector<StepSite>& told);
  ~NumberedCalls();
  NumberedCalls(const NumberedCalls&) = delete;
  NumberedCalls& operator=(const NumberedCalls&) = delete;

  /// Whether a request of this process is open that wants them. Cost: one load.
  [[nodiscard]] static bool wanted() noexcept { return open_.load(std::memory_order_relaxed) > 0; }
  void close() noexcept;

  std::mutex mutex;  ///< of the order
  SiteOrder order;
  std::vector<int64_t> found;  ///< indices of sites that were not told, by their number

 private:
  static inline std::atomic<int64_t> open_{0};
  std::atomic<bool> closed_{false};
};

/// The newest request of this thread that captures calls without names; null: none.
BoundRequest* wants_numbered() noexcept;
/// The site's index for push_call; negative: none. Where it cannot be told the request ends with a reason.
int64_t site_of_numbered(BoundRequest& request, const SiteOrder::Call& call) noexcept;

}  // namespace gaze

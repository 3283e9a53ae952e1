// SPDX-License-Identifier: MIT
// What is made of a request's attention calls. Knows no TorchScript.
#pragma once

#include <gaze/ops/reduce.hpp>
#include <gaze/render/token_rows.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "capture/attention_call.hpp"
#include "capture/site_list.hpp"

namespace gaze {

class TokenCapture;

/// Which sites count, and how: the same for every request of an attach.
struct CaptureRules {
  explicit CaptureRules(size_t most_sites) : sites(most_sites) {}

  SiteList sites;  ///< may grow while a request is open
  ops::ReduceOptions reduce;
  ops::ReduceOptions text_reduce;  ///< of a text that is the only medium
  TokenRows rows;
  bool through_rollout = false;  ///< the product of the layers between, instead of their mean
  int64_t encoder_sites = 0;     ///< how many are
  int64_t max_tokens = 0;
  int64_t deferred_tokens = 0;
  int64_t budget_bytes = 0;  ///< of what is kept beside the accumulators

  [[nodiscard]] bool is_selected(int64_t site) const noexcept { return sites[site].selected; }
  [[nodiscard]] bool is_text(int64_t site) const noexcept { return sites[site].text; }
  [[nodiscard]] bool is_between(int64_t site) const noexcept { return sites[site].between; }
  [[nodiscard]] bool is_encoder(int64_t site) const noexcept { return sites[site].encoder; }
  [[nodiscard]] bool inputs_stay(int64_t site) const noexcept { return sites[site].site.inputs_stay; }
  [[nodiscard]] bool keys_live_on(int64_t site) const noexcept { return sites[site].site.keys_live_on; }
  [[nodiscard]] const std::string& name(int64_t site) const noexcept { return sites[site].site.name; }
  [[nodiscard]] const std::vector<int64_t>& heads(int64_t site) const noexcept { return sites[site].heads; }
};

/// Of one request. Calls are given one at a time.
class Capture {
 public:
  Capture() = default;
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  virtual ~Capture() = default;

  [[nodiscard]] virtual bool wants(int64_t site) const noexcept = 0;
  /// @throws gaze::Error; what it kept is then of no use
  virtual void on_call(int64_t site, const AttentionCall& call) = 0;
  /// Null where it is another one.
  [[nodiscard]] virtual TokenCapture* as_tokens() noexcept { return nullptr; }
};

}  // namespace gaze

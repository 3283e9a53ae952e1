// SPDX-License-Identifier: MIT
// Which site an attention call is of, where calls come without names: they run in the same order in every step of the
// model. What does not fit is refused, never guessed. Knows no tensors.
#pragma once

#include <gaze/hooks/dispatcher.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// Of one request.
class SiteOrder {
 public:
  /// What a call shows of itself. 0: not known.
  struct Call {
    int64_t heads = 0, kv_heads = 0, head_size = 0;
    int64_t queries = 0, keys = 0;
    bool weights = false;  ///< they are there; else queries and keys
  };
  /// What `call` is of a site with that many heads: heads that share keys may come as queries of theirs.
  [[nodiscard]] static Call unpacked(Call call, int64_t heads, int64_t kv_heads) noexcept;
  static constexpr int64_t kNone = -1;  ///< of no site that counts
  /// Sites of a step where none were told: a model with more is taken for one whose steps cannot be told.
  static constexpr size_t kMostFound = 1024;

  /// @param told  the calls of a step, in their order; empty: they are found
  explicit SiteOrder(const std::vector<StepSite>& told);

  /// The host says that a step begins.
  void step();
  /// @return number of the site in what was told, or in the order found; kNone; unset: from now on nothing is known
  std::optional<int64_t> next(const Call& call);
  /// No call comes any more.
  void end();
  /// Why nothing is known any more; empty: it is.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

 private:
  struct Known {
    std::string name;
    int64_t heads = 0, kv_heads = 0, head_size = 0;
    bool in_step = true;
    int64_t keys = -1, queries = 0;  // of its latest call
  };
  std::optional<int64_t> found(const Call& call);
  std::optional<int64_t> before_steps(const Call& call);
  std::optional<int64_t> in_marked_step(const Call& call);
  std::optional<int64_t> in_row(const Call& call);
  std::optional<int64_t> add(const Call& call);
  std::optional<int64_t> take(size_t site, const Call& call);
  std::optional<int64_t> refuse(const std::string& text);
  [[nodiscard]] static bool alike(const Known& site, const Call& call);
  [[nodiscard]] static bool goes_on(const Known& site, const Call& call);
  [[nodiscard]] std::string what_stands_at(size_t site) const;
  void check_whole();

  std::vector<Known> sites_;
  const bool told_;
  bool calls_before_steps_ = false;  // told sites that run before the first step
  int64_t steps_ = 0;                // marked, or found
  bool marked_ = false;
  bool grown_ = false;  // unmarked: the second step was found
  size_t first_ = 0;    // unmarked: of a later step's
  size_t next_ = 0;     // the site that is expected
  bool begun_ = false;  // some call of the running step was seen
  std::string problem_;
};

}  // namespace gaze

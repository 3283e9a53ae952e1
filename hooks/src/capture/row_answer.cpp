// SPDX-License-Identifier: MIT
#include "capture/row_answer.hpp"

#include <ATen/TensorOperators.h>

namespace gaze {

void RowAnswer::divide() {
  if (!weight_t.defined()) return;
  const ops::Reduced reduced = ops::finish({.map_tc = map_tk.narrow(1, 0, keys),
                                            .weight_t = weight_t,
                                            .mass_t = mass_t,
                                            .visible_t = visible_t,
                                            .calls_t = {},
                                            .flags_t = {},
                                            .rows_t = rows_t},
                                           map_tk.size(0), by);
  map_tk = reduced.map_tc.contiguous();
  mass_t = reduced.mass_t;
  visible_t = reduced.visible_t;
  // Of its own memory: the sums end here.
  flags_t = beyond.defined() ? flags_t.bitwise_or(beyond.to(flags_t.device(), at::kInt).mul(int64_t{ops::kRowBeyond}))
                             : flags_t.clone();
  weight_t = rows_t = beyond = at::Tensor();
}

}  // namespace gaze

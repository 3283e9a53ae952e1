// SPDX-License-Identifier: MIT
// What a profile says of the call that is probed.
#pragma once

#include <gaze/render/profile.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

/// Where the pictures of the prompt are: the geometry's spans, or the placeholder's runs among the call's ids; empty
/// where neither is stated.
/// @param ids  by argument of `method`, as `first_rows`
/// @throws gaze::Error when a placeholder is stated, and the call has no ids or none of it.
std::vector<KeySpan> stated_spans(const Profile& profile, const std::string& method,
                                  const std::vector<std::vector<int64_t>>& ids);

}  // namespace gaze

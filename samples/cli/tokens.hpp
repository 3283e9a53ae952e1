// SPDX-License-Identifier: MIT
// Token ids of the sample models.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/profile.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::cli {

/// Texts of an answer's tokens up to the end token; "#id" where the vocabulary has none.
std::vector<std::string> texts_of(const at::Tensor& ids_t, const Profile& profile);

/// int64 [1, n].
at::Tensor row_of(const std::vector<int64_t>& ids);

/// Rows [1, n] of one length as [batch, n].
at::Tensor stack_rows(const std::vector<at::Tensor>& rows);

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "tokens.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

namespace gaze::cli {

std::vector<std::string> texts_of(const at::Tensor& ids_t, const Profile& profile) {
  std::vector<std::string> texts;
  const at::Tensor ids = ids_t.cpu().contiguous();
  for (int64_t t = 0; t < ids.numel(); ++t) {
    const int64_t id = ids.const_data_ptr<int64_t>()[t];
    if (id == profile.eos) break;
    const bool known = id >= 0 && id < static_cast<int64_t>(profile.vocabulary.size());
    texts.push_back(known ? profile.vocabulary[static_cast<size_t>(id)] : "#" + std::to_string(id));
  }
  return texts;
}

at::Tensor row_of(const std::vector<int64_t>& ids) { return at::tensor(at::ArrayRef<int64_t>(ids)).unsqueeze(0); }

at::Tensor stack_rows(const std::vector<at::Tensor>& rows) { return at::cat(rows); }

}  // namespace gaze::cli

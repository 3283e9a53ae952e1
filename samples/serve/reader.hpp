// SPDX-License-Identifier: MIT
// The sample model that reads stickers, with Gaze attached, as a server runs it.
#pragma once

#include <cli/stickers.hpp>
#include <gaze/gaze.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "batcher.hpp"
#include "question.hpp"

namespace torch::jit {
struct Module;
}

namespace gaze::serve {

/// Stands the calls of several threads.
class Reader {
 public:
  /// Capture as the environment says it, changed later by `gaze().control`. @param bundles  empty: GAZE_OUT_DIR
  /// @param published  called for each bundle, on Gaze's thread, with the request's id and its folder
  /// @throws std::exception where model and profile are not those of a stickers model
  Reader(const std::string& model, const std::string& profile, const std::string& bundles,
         std::function<void(const std::string&, const std::string&)> published);
  ~Reader();

  /// @throws HttpError for a picture that is none, and for words that the model does not know
  [[nodiscard]] Job prepare(Question question) const;
  /// Answers each row, or says why not: one that the model cannot take is no other's failure.
  void answer(std::vector<Job>& batch);

  [[nodiscard]] Gaze& gaze() noexcept { return gaze_; }

 private:
  std::vector<Answer> run(std::vector<Job*>& rows);

  cli::Stickers stickers_;
  std::unique_ptr<torch::jit::Module> module_;
  Gaze gaze_;
};

}  // namespace gaze::serve

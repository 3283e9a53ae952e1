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
#include "capture_switch.hpp"
#include "question.hpp"

namespace gaze::serve {

/// Stands the calls of several threads.
class Reader {
 public:
  /// Capture as the environment says it, changed later by the switch. @param bundles  empty: GAZE_OUT_DIR
  /// @param published  called for each bundle, on Gaze's thread, with the request's id and its folder
  /// @throws std::exception where model and profile are not those of a stickers model
  Reader(const std::string& model, const std::string& profile, const std::string& bundles,
         std::function<void(const std::string&, const std::string&)> published);
  ~Reader();

  /// @throws HttpError for a picture that is none, and for words that the model does not know
  [[nodiscard]] Job prepare(Question question) const;
  /// Answers each row, or says why not: one that the model cannot take is no other's failure.
  void answer(std::vector<Job>& batch);

  [[nodiscard]] CaptureSwitch& capture() noexcept { return *capture_; }
  [[nodiscard]] Gaze& gaze() noexcept { return gaze_; }

 private:
  struct Modules;
  std::vector<Answer> run(std::vector<Job*>& rows, bool captured);

  cli::Stickers stickers_;
  std::unique_ptr<Modules> modules_;
  std::unique_ptr<CaptureSwitch> capture_;
  Gaze gaze_;
};

}  // namespace gaze::serve

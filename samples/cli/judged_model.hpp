// SPDX-License-Identifier: MIT
// A model under capture whose answers are judged; nothing is drawn or written.
#pragma once

#include <gaze/gaze.hpp>
#include <gaze/render/ground.hpp>
#include <gaze/render/sources.hpp>

#include <functional>
#include <memory>
#include <string>

#include "script.hpp"

namespace gaze::cli {

class JudgedModel {
 public:
  /// @param profile  says the limits, the heads and the layers; the environment says nothing
  JudgedModel(const std::string& path, at::Device device, const Profile& profile);
  ~JudgedModel();

  [[nodiscard]] Model& model();
  /// Runs `call` within a request.
  /// @throws Refusal when no map could be made
  GroundedAnswer judge(RequestSpec spec, const std::function<void(Request&)>& call);
  /// Likewise: what its text's parts have of the answer's attention.
  AnswerSources read(RequestSpec spec, const std::function<void(Request&)>& call);

 private:
  class Kept;
  AttentionRecord record_of(RequestSpec spec, const std::function<void(Request&)>& call);
  Model model_;
  std::shared_ptr<Kept> sink_;
  Gaze gaze_;
};

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
// The verbs that read and compose photographs, in a build without image files.
#include "console.hpp"
#include "heads_picture.hpp"
#include "photo_file.hpp"
#include "probe_picture.hpp"
#include "verbs.hpp"

namespace gaze::cli {

int demo(const DemoArguments& /*arguments*/) {
  throw Refusal("demo: expected a build with OpenCV, got one without. Build with -DGAZE_WITH_OPENCV=ON.");
}

int evaluate(const EvaluateArguments& /*arguments*/) {
  throw Refusal("evaluate: expected a build with OpenCV, got one without. Build with -DGAZE_WITH_OPENCV=ON.");
}

int demo_speech(const DemoArguments& arguments) { return demo(arguments); }

int evaluate_speech(const EvaluateArguments& arguments) { return evaluate(arguments); }

int evaluate_grounding(const EvaluateArguments& arguments) { return evaluate(arguments); }

int evaluate_speech_grounding(const EvaluateArguments& arguments) { return evaluate(arguments); }

void expect_pictures() {
  throw Refusal("--picture: expected a build with OpenCV, got one without. Build with -DGAZE_WITH_OPENCV=ON.");
}

void write_probe_picture(const std::string& /*path*/, const at::Tensor& /*input_chw*/, const ProbeResult& /*result*/) {
  expect_pictures();
}

void write_heads_picture(const std::string& /*path*/, const HeadsResult& /*result*/) { expect_pictures(); }

Picture photo_file(const std::string& path) { return path; }

}  // namespace gaze::cli

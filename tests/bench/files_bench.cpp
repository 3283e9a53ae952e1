// SPDX-License-Identifier: MIT
// From a grid of values to the bytes of a PNG file, on a photograph.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gaze/ops/overlay.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <opencv2/imgcodecs.hpp>

#include "codecs/image_codec.hpp"
#include "harness.hpp"
#include "opencv_chain.hpp"

namespace gaze_bench {
namespace {

constexpr int kHeight = 1080, kWidth = 1920;
constexpr const char* kPhotograph = GAZE_BENCH_SOURCE "/samples/data/demo/coffee.jpg";

/// The photograph mirrored to the frame's size: scaled up it would be smoother than photographs are.
at::Tensor photograph() {
  const cv::Mat small = cv::imread(kPhotograph);
  if (small.empty()) throw std::runtime_error(std::string("cannot read ") + kPhotograph);
  at::Tensor rgb_hwc = at::empty({kHeight, kWidth, 3}, at::kByte);
  cv::Mat frame(kHeight, kWidth, CV_8UC3, rgb_hwc.data_ptr());
  cv::Mat wide;
  cv::copyMakeBorder(small, wide, 0, std::max(kHeight - small.rows, 0), 0, std::max(kWidth - small.cols, 0),
                     cv::BORDER_REFLECT);
  cv::cvtColor(wide(cv::Rect(0, 0, kWidth, kHeight)), frame, cv::COLOR_BGR2RGB);
  return rgb_hwc;
}

at::Tensor grid() {
  at::manual_seed(1);
  return at::rand({24, 24});
}

Way gaze_frames(std::shared_ptr<std::string> file) {
  return {"gaze", [file, rgb_hwc = photograph(), value_yx = grid(),
                   out_hwc = at::empty({kHeight, kWidth, 3}, at::kByte)]() mutable {
            gaze::ops::overlay_out(rgb_hwc, value_yx, std::nullopt, {24.0 / kWidth, 0, 24.0 / kHeight, 0}, {}, out_hwc);
            *file = gaze::encode_image(out_hwc, gaze::ImageFormat::Png);
          }};
}

Way opencv_frames() {
  const auto chain = std::make_shared<OpenCvChain>(photograph(), grid());
  return {"OpenCV", [chain, file = std::vector<uchar>()]() mutable { cv::imencode(".png", chain->run(), file); }};
}

/// Runs in a process of its own, which prints one number of milliseconds per frame.
Way matplotlib_frames() {
  if (settings().python.empty()) throw Skip("no matplotlib: give --python= an interpreter that has it");
  const std::string command = "'" + settings().python + "' '" GAZE_BENCH_SOURCE "/tests/bench/matplotlib_frames.py' '" +
                              kPhotograph + "' " + std::to_string(kWidth) + " " + std::to_string(kHeight) + " " +
                              (settings().smoke ? "1" : "7");
  Way way{"matplotlib"};
  FILE* const output = popen(command.c_str(), "r");
  if (output == nullptr) throw Skip("cannot run " + settings().python);
  for (double ms = 0; std::fscanf(output, "%lf", &ms) == 1;) way.measured_ms.push_back(ms);
  if (pclose(output) != 0 || way.measured_ms.empty()) throw Skip("matplotlib did not run in " + settings().python);
  return way;
}

Subject frames_subject(const std::function<Way()>& peer, double faster) {
  Subject subject;
  const auto file = std::make_shared<std::string>();
  subject.ours = gaze_frames(file);
  subject.peers = {peer()};
  subject.check = [file, run = subject.ours.run]() mutable -> std::string {
    run();
    // Lossless: decoded and encoded by others, it is the same picture.
    const cv::Mat read = cv::imdecode(std::vector<uchar>(file->begin(), file->end()), cv::IMREAD_COLOR);
    if (read.rows != kHeight || read.cols != kWidth) return "OpenCV cannot read the PNG";
    at::Tensor expected = at::empty({kHeight, kWidth, 3}, at::kByte);
    gaze::ops::overlay_out(photograph(), grid(), std::nullopt, {24.0 / kWidth, 0, 24.0 / kHeight, 0}, {}, expected);
    cv::Mat bgr;
    cv::cvtColor(cv::Mat(kHeight, kWidth, CV_8UC3, expected.data_ptr()), bgr, cv::COLOR_RGB2BGR);
    return cv::norm(read, bgr, cv::NORM_INF) == 0 ? "" : "the PNG holds another picture";
  };
  if (at::get_num_threads() == 1) subject.gates = {{Gate::Kind::FasterThan, faster}};
  return subject;
}

}  // namespace

void add_files_lines() {
  if (!settings().device.is_cpu()) return;
  for (const int threads : thread_counts())
    add("1080p frame and PNG", threads, [] { return frames_subject(opencv_frames, 5); });
  add("1080p frame and PNG, matplotlib", 1, [] { return frames_subject(matplotlib_frames, 50); });
}

}  // namespace gaze_bench

// SPDX-License-Identifier: MIT
// From a grid of values to the finished frame.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gaze/ops/overlay.hpp>

#include <memory>
#include <optional>

#include "harness.hpp"
#include "overlay_params.hpp"
#include "support/resampled.hpp"
#ifdef GAZE_WITH_OPENCV
#include "opencv_chain.hpp"
#endif

namespace gaze_bench {
namespace {

namespace ops = gaze::ops;
using gaze::kernels::cpu::Isa;

constexpr int64_t kGrid = 24;

struct Frame {
  const char* name;
  int64_t height, width;
};
constexpr Frame kFrames[] = {{"224x224", 224, 224}, {"1080p", 1080, 1920}, {"4K", 2160, 3840}};

/// Buffers of one way.
struct Work {
  at::Tensor rgb_hwc, value_yx, out_hwc;
  std::optional<at::Tensor> inside_yx;
};

Work make_work(const Frame& frame) {
  at::manual_seed(1);
  const auto bytes = at::TensorOptions().device(settings().device).dtype(at::kByte);
  return {at::randint(0, 256, {frame.height, frame.width, 3}, bytes), at::rand({kGrid, kGrid}, bytes.dtype(at::kFloat)),
          at::zeros({frame.height, frame.width, 3}, bytes), std::nullopt};
}

std::vector<Work> make_works(const Frame& frame) {
  std::vector<Work> works;
  for (size_t set = 0; set < buffer_sets(); ++set) works.push_back(make_work(frame));
  return works;
}

ops::CellAffine place(const Frame& frame) {
  return {kGrid / static_cast<double>(frame.width), 0, kGrid / static_cast<double>(frame.height), 0};
}

/// Against the resampled map, coloured and blended by the separate ops on the CPU, from which a channel may differ
/// by 3 (`overlay_out`).
std::string compare(const Frame& frame, const Work& work) {
  const at::Tensor value_yx =
      gaze::test::resampled(work.value_yx, place(frame), frame.height, frame.width, ops::Interpolation::Bilinear)
          .to(at::kFloat);
  const at::Tensor expected = ops::blend(work.rgb_hwc.cpu(), ops::colour(value_yx, ops::Colormap::Turbo), value_yx);
  const auto off = (expected.to(at::kInt) - work.out_hwc.cpu().to(at::kInt)).abs().max().item<int>();
  return off <= 3 ? "" : "a channel is off by " + std::to_string(off);
}

Way torch_chain(const Frame& frame) {
  const Work work = make_work(frame);
  const at::Tensor table =
      ops::colour(at::arange(256, at::kFloat) / 255, ops::Colormap::Turbo).to(settings().device, at::kFloat);
  return {"torch", [=, out = at::Tensor()]() mutable {
            const at::Tensor value =
                at::upsample_bilinear2d(work.value_yx.view({1, 1, kGrid, kGrid}), {frame.height, frame.width}, false);
            const at::Tensor index = (value * 255).round_().to(at::kLong).view(-1);
            const at::Tensor colour = table.index_select(0, index).view(work.rgb_hwc.sizes());
            out = at::lerp(work.rgb_hwc.to(at::kFloat), colour, 0.5).round_().to(at::kByte);
          }};
}

#ifdef GAZE_WITH_OPENCV
Way opencv_chain(const Frame& frame) {
  const auto chain = std::make_shared<OpenCvChain>(make_work(frame).rgb_hwc, at::rand({kGrid, kGrid}));
  return {"OpenCV", [chain] { chain->run(); }};
}
#endif

Subject subject_of(const Frame& frame, Way ours) {
  Subject subject;
  subject.ours = std::move(ours);
#ifdef GAZE_WITH_OPENCV
  if (settings().device.is_cpu()) subject.peers.push_back(opencv_chain(frame));
#endif
  subject.peers.push_back(torch_chain(frame));
  subject.bytes = 2 * 3 * frame.height * frame.width;
  return subject;
}

/// Through the op, as everyone calls it.
Subject op_subject(const Frame& frame) {
  auto works = std::make_shared<std::vector<Work>>(make_works(frame));
  auto draw = [frame, works, next = size_t{0}]() mutable {
    Work& work = (*works)[next++ % works->size()];
    ops::overlay_out(work.rgb_hwc, work.value_yx, work.inside_yx, place(frame), {}, work.out_hwc);
  };
  Subject subject = subject_of(frame, {"gaze", draw});
  subject.check = [=]() mutable {
    draw();
    return compare(frame, works->front());
  };
  const bool small = frame.height < 1080;
  if (settings().device.is_cuda()) {
    subject.gates.push_back({Gate::Kind::FasterThan, 10});
    if (!small) subject.gates.push_back({Gate::Kind::ShareOfCopy, frame.height > 1080 ? 0.8 : 0.6});
  } else if (at::get_num_threads() == 1 && !small) {
    subject.gates.push_back({Gate::Kind::TimesTheCopy, 3.3});
  }
  return subject;
}

/// With the outline of the cells that hold half of the mass: what a bundle's pictures cost.
Subject outline_subject(const Frame& frame) {
  auto works = std::make_shared<std::vector<Work>>(make_works(frame));
  for (Work& work : *works)
    work.inside_yx = ops::top_mass(work.value_yx.view({1, kGrid * kGrid})).view({kGrid, kGrid}).contiguous();
  return subject_of(frame, {"gaze", [frame, works, next = size_t{0}]() mutable {
                              Work& work = (*works)[next++ % works->size()];
                              ops::overlay_out(work.rgb_hwc, work.value_yx, work.inside_yx, place(frame), {},
                                               work.out_hwc);
                            }});
}

/// The CPU's kernel, with the instructions of one set.
Subject isa_subject(const Frame& frame, Isa isa) {
  if (!gaze::kernels::cpu::has(isa)) throw Skip(std::string("no ") + gaze::kernels::cpu::name(isa));
  const Work work = make_work(frame);
  const gaze::kernels::OverlayParams params =
      ops::overlay_params(work.rgb_hwc, work.value_yx, work.inside_yx, place(frame), {}, work.out_hwc);
  const auto scratch =
      std::make_shared<std::vector<double>>(gaze::kernels::cpu::overlay_workspace(params) / sizeof(double) + 1);
  const auto draw = [=] { gaze::kernels::cpu::overlay(params, 0, frame.height, scratch->data(), isa); };
  Subject subject = subject_of(frame, {"gaze", [=, keep = work] { draw(); }});
  subject.check = [=] {
    draw();
    return compare(frame, work);
  };
#ifdef GAZE_WITH_OPENCV
  subject.gates = {{Gate::Kind::FasterThan, isa == Isa::Avx512 ? 3.7 : 2.4}};
#endif
  return subject;
}

}  // namespace

void add_overlay_lines() {
  for (const Frame& frame : kFrames) {
    const std::string title = std::string("overlay 24x24 to ") + frame.name;
    for (const int threads : thread_counts()) add(title, threads, [=] { return op_subject(frame); });
    if (!settings().device.is_cpu()) continue;
    for (const Isa isa : {Isa::Avx2, Isa::Avx512})
      add(title + ", " + gaze::kernels::cpu::name(isa), 1, [=] { return isa_subject(frame, isa); });
  }
  add("overlay 24x24 to 1080p with outline", 1, [] { return outline_subject(kFrames[1]); });
}

}  // namespace gaze_bench

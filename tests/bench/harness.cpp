// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <benchmark/benchmark.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/device.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#ifdef GAZE_WITH_OPENCV
#include <opencv2/core.hpp>
#endif
#include <random>

#include "report.hpp"

namespace gaze_bench {
namespace {

std::mt19937& chance() {
  static std::mt19937 engine(1);
  return engine;
}

c10::Stream stream() { return c10::impl::VirtualGuardImpl(settings().device.type()).getStream(settings().device); }

double host_ms(const Way& way) {
  if (way.before) way.before();
  const auto begun = std::chrono::steady_clock::now();
  way.run();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
  return took.count() / static_cast<double>(way.units);
}

/// Between two events, around so many runs that the events do not matter. A large copy ahead of them keeps the device
/// busy while the host asks for the runs: measured is the device, not the host.
double device_ms(const Way& way) {
  constexpr int kRuns = 16;
  static const at::Tensor ahead =
      at::empty({int64_t{2} << 30}, at::TensorOptions().device(settings().device).dtype(at::kByte));
  static at::Tensor behind = at::empty_like(ahead);
  if (way.before) way.before();
  c10::Event begun(settings().device.type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event ended(settings().device.type(), c10::EventFlag::BACKEND_DEFAULT);
  behind.copy_(ahead, /*non_blocking=*/true);
  begun.record(stream());
  for (int run = 0; run < kRuns; ++run) way.run();
  ended.record(stream());
  ended.synchronize();
  return begun.elapsedTime(ended) / kRuns / static_cast<double>(way.units);
}

double once_ms(const Way& way) { return settings().device.is_cpu() || way.waits ? host_ms(way) : device_ms(way); }

Way copy_of(int64_t bytes) {
  const auto options = at::TensorOptions().device(settings().device).dtype(at::kByte);
  std::vector<std::pair<at::Tensor, at::Tensor>> sets;
  for (size_t set = 0; set < buffer_sets(); ++set)
    sets.emplace_back(at::ones({bytes / 2}, options), at::zeros({bytes / 2}, options));
  return {"copy", [sets, next = size_t{0}]() mutable {
            const auto& [from, to] = sets[next++ % sets.size()];
            if (from.is_cpu())
              std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
            else
              to.copy_(from, /*non_blocking=*/true);
          }};
}

/// Times of the ways, and how often each may run: a slow peer must not decide how long a line takes.
struct Measured {
  const Way* way;
  int64_t rounds = 0;
  std::vector<double> ms = {};
};

void prepare(Measured& measured, int64_t rounds, double seconds) {
  measured.ms = measured.way->measured_ms;
  if (!measured.way->run) return;
  measured.rounds = rounds;
  if (settings().smoke) return;
  once_ms(*measured.way);  // first touch, scratch memory, primitives that are made once
  const auto begun = std::chrono::steady_clock::now();
  once_ms(*measured.way);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  measured.rounds =
      std::clamp<int64_t>(static_cast<int64_t>(seconds / took.count()), std::min<int64_t>(7, rounds), rounds);
}

void run_line(benchmark::State& state, const std::string& name, int threads, const std::function<Subject()>& make) {
  Line line{name, threads};
  try {
    if (settings().device.is_cuda() && !at::hasCUDA()) throw Skip("no CUDA device");
    if (const std::string missing = gaze::ops::missing_for(settings().device); !missing.empty()) throw Skip(missing);
    at::set_num_threads(threads);
#ifdef GAZE_WITH_OPENCV
    cv::setNumThreads(threads);
#endif
    const Subject subject = make();
    const std::string wrong = subject.check ? subject.check() : "";
    if (!wrong.empty()) throw std::runtime_error("wrong result: " + wrong);

    std::vector<Measured> all{{&subject.ours}};
    for (const Way& peer : subject.peers) all.push_back({&peer});
    const Way copy = subject.bytes > 0 ? copy_of(subject.bytes) : Way{};
    if (subject.bytes > 0) all.push_back({&copy});
    for (Measured& measured : all) prepare(measured, static_cast<int64_t>(state.max_iterations), subject.seconds);

    std::vector<size_t> order(all.size());
    std::iota(order.begin(), order.end(), size_t{0});
    int64_t round = 0;
    for ([[maybe_unused]] auto _ : state) {
      std::shuffle(order.begin(), order.end(), chance());
      for (const size_t i : order) {
        Measured& measured = all[i];
        // Spread evenly over the rounds.
        if (round * measured.rounds / state.max_iterations == (round + 1) * measured.rounds / state.max_iterations)
          continue;
        measured.ms.push_back(once_ms(*measured.way));
      }
      state.SetIterationTime(all[0].ms.empty() ? 1e-9 : all[0].ms.back() / 1e3);
      ++round;
    }

    line.ours = Times(all[0].ms);
    for (size_t peer = 0; peer < subject.peers.size(); ++peer)
      line.peers.emplace_back(subject.peers[peer].name, Times(all[1 + peer].ms));
    if (subject.bytes > 0) line.copy = Times(all.back().ms);
    line.bytes = subject.bytes;
    line.gates = subject.gates;

    state.counters["ours_ms"] = line.ours.median();
    for (const auto& [peer, times] : line.peers) {
      const Ratio ratio = ratio_of(times, line.ours);
      state.counters[peer + "_ms"] = times.median();
      state.counters[peer + "_x"] = ratio.median;
      state.counters[peer + "_x_low"] = ratio.low;
    }
    if (subject.bytes > 0) {
      state.counters["MB"] = static_cast<double>(subject.bytes) / 1e6;
      state.counters["GB/s"] = static_cast<double>(subject.bytes) / line.ours.median() / 1e6;
      state.counters["of_copy"] = ratio_of(*line.copy, line.ours).median;
    }
  } catch (const Skip& skip) {
    line.skipped = skip.what();
  } catch (const std::exception& error) {
    line.error = error.what();
  }
  if (!line.skipped.empty()) state.SkipWithError(("skipped: " + line.skipped).c_str());
  if (!line.error.empty()) state.SkipWithError(line.error.c_str());
  report(std::move(line));
}

}  // namespace

void synchronise() {
  if (!settings().device.is_cpu()) stream().synchronize();
}

std::vector<int> thread_counts() {
  static const int all = at::get_num_threads();
  return all > 1 && !settings().smoke ? std::vector<int>{1, all} : std::vector<int>{all};
}

void add(const std::string& name, int threads, std::function<Subject()> make) {
  benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                               [=](benchmark::State& state) { run_line(state, name, threads, make); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(settings().smoke ? 1 : settings().rounds);
}

void add_bytes(const std::string& name, int64_t want, std::function<int64_t()> measure) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 int64_t bytes = 0;
                                 for ([[maybe_unused]] auto _ : state) {
                                   bytes = measure();
                                   state.SetIterationTime(1e-9);  // nothing is timed
                                 }
                                 state.counters["bytes"] = static_cast<double>(bytes);
                                 report_bytes(name, want, bytes);
                               })
      ->UseManualTime()
      ->Iterations(1);
}

}  // namespace gaze_bench

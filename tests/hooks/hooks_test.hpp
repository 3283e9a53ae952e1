// SPDX-License-Identifier: MIT
// What the tests of hooks share: the models beside this file, a sink that keeps records, one request from attach to its
// records, an eager reference.
#pragma once

#include <c10/core/Event.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/script.h>
#include <gaze/gaze.hpp>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/media.hpp"
#include "support/test.hpp"

namespace hooks_test {

inline torch::jit::Module load(const std::string& name) {
  return torch::jit::load(std::string(GAZE_TEST_MODELS) + "/" + name + ".pt");
}

/// Keeps every record.
class MemorySink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    // Tests read on streams of their own.
    while (record.ready && !record.ready->query()) std::this_thread::yield();
    const std::lock_guard<std::mutex> lock(mutex_);
    records_.push_back(record);
  }
  [[nodiscard]] std::vector<gaze::AttentionRecord> records() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return records_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<gaze::AttentionRecord> records_;
};

/// Keeps every line of a log.
class Lines {
 public:
  gaze::LogLine take() {
    return [kept = kept_](gaze::LogLevel /*level*/, std::string_view line) {
      const std::lock_guard<std::mutex> lock(kept->mutex);
      kept->lines.emplace_back(line);
      kept->said.notify_all();
    };
  }
  [[nodiscard]] std::vector<std::string> all() const {
    const std::lock_guard<std::mutex> lock(kept_->mutex);
    return kept_->lines;
  }
  /// Waits for as many; CTest ends a test that waits in vain.
  [[nodiscard]] std::vector<std::string> at_least(size_t count) const {
    std::unique_lock<std::mutex> lock(kept_->mutex);
    kept_->said.wait(lock, [&] { return kept_->lines.size() >= count; });
    return kept_->lines;
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::condition_variable said;
    std::vector<std::string> lines;
  };
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();  // a log may outlive the test's own
};

/// Capture into this sink, at all sites unless some are named.
inline gaze::Options options(const std::shared_ptr<gaze::Sink>& sink, const std::vector<std::string>& sites = {}) {
  gaze::Options made;
  made.capture = true;
  made.read_environment = false;
  made.sink = sink;
  made.log = "off";
  if (!sites.empty()) {
    gaze::Profile profile;
    profile.sites = sites;
    made.profile_in_code = profile;
  }
  return made;
}
inline gaze::Options options(const std::vector<std::string>& sites = {}) {
  return options(std::make_shared<MemorySink>(), sites);
}

/// What a request left behind.
struct Captured {
  [[nodiscard]] const gaze::AttentionRecord& only() const {
    CATCH_REQUIRE(records.size() == 1);
    return records[0];
  }
  std::vector<gaze::AttentionRecord> records;
  gaze::Stats stats;
};

/// Attaches to the module under these options, but for their sink, and runs the calls in one request.
inline Captured captured(torch::jit::Module module, gaze::Options options,
                         const std::function<void(gaze::Request&)>& calls,
                         std::vector<gaze::RequestSpec> specs = std::vector<gaze::RequestSpec>(1)) {
  const auto sink = std::make_shared<MemorySink>();
  options.sink = sink;
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin(std::move(specs));
  calls(request);
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  return {sink->records(), gaze.stats()};
}

/// That every request is accounted for.
inline void check_law(const gaze::Stats& stats) {
  CATCH_CHECK(stats.begun == stats.sampled + stats.declined());
  CATCH_CHECK(stats.sampled == stats.written + stats.in_flight + stats.lost());
}

/// The largest difference between two tensors of one shape, in float64 on the host.
inline double worst(const at::Tensor& got, const at::Tensor& wanted) {
  CATCH_REQUIRE(got.sizes() == wanted.sizes());
  return (got.to(at::kCPU, at::kDouble) - wanted.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

/// x [batch, queries, 16] and memory [batch, keys, 16] of a seed.
inline std::vector<c10::IValue> inputs(int64_t batch, int64_t queries, int64_t keys, uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  return {at::randn({batch, queries, 16}, generator), at::randn({batch, keys, 16}, generator)};
}

inline bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const at::Tensor left = a.detach().contiguous();
  const at::Tensor right = b.detach().contiguous();
  return std::memcmp(left.data_ptr(), right.data_ptr(), left.nbytes()) == 0;
}

/// The weights of one SoftmaxAttention, written out in float64 from its parameters. [batch, 4, queries, keys]
inline at::Tensor eager_weights(const torch::jit::Module& attention, const at::Tensor& x, const at::Tensor& memory) {
  const at::NoGradGuard no_grad;
  const auto project = [&](const char* name, const at::Tensor& input) {
    const auto linear = attention.attr(name).toModule();
    const at::Tensor y = input.to(at::kDouble).matmul(linear.attr("weight").toTensor().to(at::kDouble).t()) +
                         linear.attr("bias").toTensor().to(at::kDouble);
    return y.view({y.size(0), y.size(1), 4, 4}).transpose(1, 2);
  };
  const at::Tensor scores = project("q", x).matmul(project("k", memory).transpose(-2, -1)) * 0.5;
  const at::Tensor e = (scores - scores.amax(-1, true)).exp();
  return e / e.sum(-1, true);
}

}  // namespace hooks_test

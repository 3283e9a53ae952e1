// SPDX-License-Identifier: MIT
// A host that ends while bundles are drawn: host_ends MODE MODEL FOLDER SEED. Exit status 7 unless something went
// wrong. What tests/faults/ends.cpp has not: sinks of the host's own, and handles that end in other places.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/serialization/import.h>
#include <gaze/gaze.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <thread>

namespace {

constexpr int kEnded = 7;

gaze::Gaze destroyed_last;  // constructed before attach, so destroyed after what attach left

/// Writes bundles until it is told to block, or to leave.
class OwnSink : public gaze::Sink {
 public:
  enum class At { Blocks, Exits };
  explicit OwnSink(At at) : at_(at) {}
  void consume(const gaze::AttentionRecord& /*record*/) override {
    if (at_ == At::Exits) std::exit(kEnded);
    entered_.set_value();
    std::promise<void>().get_future().wait();
  }
  void wait_until_entered() { entered_.get_future().wait(); }

 private:
  At at_;
  std::promise<void> entered_;
};

/// Writes bundles, and tells how many were begun.
class CountedBundles : public gaze::Sink {
 public:
  explicit CountedBundles(const std::string& folder) : bundles_(options(folder)) {}
  void consume(const gaze::AttentionRecord& record) override {
    ++begun_;
    begun_.notify_all();
    bundles_.consume(record);
  }
  void wait_for(int count) {
    for (int begun = begun_.load(); begun < count; begun = begun_.load()) begun_.wait(begun);
  }

 private:
  static gaze::BundleOptions options(const std::string& folder) {
    gaze::BundleOptions made;
    made.out_dir = folder;
    return made;
  }
  gaze::BundleSink bundles_;
  std::atomic<int> begun_{0};
};

std::vector<c10::IValue> inputs() { return {at::ones({1, 2, 16}), at::ones({1, 6, 16})}; }

gaze::Gaze attach(torch::jit::Module& module, const std::string& folder, std::shared_ptr<gaze::Sink> sink = nullptr) {
  gaze::Options options;
  options.capture = true;
  options.read_environment = false;
  options.out_dir = folder;
  options.sink = std::move(sink);
  options.log = "off";
  gaze::Profile profile;
  profile.sites = {"layers.*.cross_attn"};
  gaze::Geometry geometry;
  geometry.rows = 2;
  geometry.cols = 3;
  profile.geometry = geometry;
  options.profile_in_code = profile;
  return gaze::attach(module, options);
}

void answer(gaze::Gaze& gaze, torch::jit::Module& module, const at::Tensor& picture_hwc) {
  gaze::Request request = gaze.begin({.id = "of a host that ends", .image = picture_hwc, .prompt = "where?"});
  for (int token = 0; token < 4; ++token) module.forward(inputs());
  request.label({"a", "golden", "retriever", "dog"});
  request.finish();
}

/// What was freed a moment ago holds something else by now.
void fill_freed_memory() {
  for (size_t bytes = 16; bytes <= 512; bytes += 16) {
    for (int i = 0; i < 200; ++i) std::memset(std::malloc(bytes), 0x3f, bytes);
  }
}

[[noreturn]] void run(const std::string& mode, const std::string& model, const std::string& folder, int seed) {
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;
  torch::jit::Module module = torch::jit::load(model);
  if (mode == "sink_exits") {
    auto* gaze = new gaze::Gaze(attach(module, folder, std::make_shared<OwnSink>(OwnSink::At::Exits)));
    answer(*gaze, module, {});
    std::promise<void>().get_future().wait();
  }
  if (mode == "sink_blocks") {
    auto sink = std::make_shared<OwnSink>(OwnSink::At::Blocks);
    auto* gaze = new gaze::Gaze(attach(module, folder, sink));
    answer(*gaze, module, {});
    sink->wait_until_entered();
    std::exit(kEnded);
  }

  const at::Tensor picture_hwc = at::arange(240 * 320 * 3, at::kInt).remainder(251).to(at::kByte).view({240, 320, 3});
  auto bundles = std::make_shared<CountedBundles>(folder);
  auto* leaked = new gaze::Gaze(attach(module, folder, bundles));
  for (int i = 0; i < 12; ++i) answer(*leaked, module, picture_hwc);
  if (mode == "held_answer") {
    // By then what a thread kept for itself is gone.
    static gaze::Gaze* flushed = leaked;
    std::atexit([] {
      fill_freed_memory();
      flushed->flush();
    });
    for (int call = 0; call < 4; ++call) module.forward(inputs());
    std::exit(kEnded);
  }
  if (mode == "open_request") {
    // A tensor of the host's that goes last: LibTorch looks at what it keeps for the thread whenever one goes.
    static at::Tensor last = at::ones(1000);
    std::atexit([] {
      fill_freed_memory();
      last.reset();
    });
    static gaze::Request never_finished = leaked->begin();
    module.forward(inputs());
    std::exit(kEnded);
  }
  const gaze::Request open = leaked->begin();
  // The end meets another moment of the drawing in every run.
  bundles->wait_for(1 + seed % 4);
  for (int i = 0; i < seed % 89; ++i) module.forward(inputs());
  if (mode == "earlier_handle") destroyed_last = std::move(*leaked);
  if (mode == "shutdown") leaked->shutdown(std::chrono::milliseconds(1));
  if (mode == "local_handle") const gaze::Gaze local = std::move(*leaked);
  if (mode == "exit_of_a_thread") std::thread([] { std::exit(kEnded); }).join();
  std::exit(kEnded);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: host_ends MODE MODEL FOLDER SEED\n");
    return 2;
  }
  run(argv[1], argv[2], argv[3], std::atoi(argv[4]));
}

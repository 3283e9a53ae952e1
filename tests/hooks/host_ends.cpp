// SPDX-License-Identifier: MIT
// A host that ends while bundles are drawn: host_ends MODE MODEL FOLDER SEED. Exit status 7 unless something went
// wrong. As a plugin, `run_host` is called by plugin_host.cpp, which then unloads it.
#include <sys/wait.h>
#include <torch/script.h>
#include <unistd.h>
#include <gaze/gaze.hpp>

#include <cstdio>
#include <cstdlib>
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

bool balanced(const gaze::Stats& stats) {
  return stats.begun == stats.sampled + stats.drops(gaze::DropReason::NotSampled) &&
         stats.sampled == stats.written + stats.in_flight + stats.lost() && stats.in_flight >= 0;
}

/// What a child may do, each in a child of its own; ends the process.
[[noreturn]] void child(int what, gaze::Gaze& gaze, torch::jit::Module& module, gaze::Request& request,
                        const std::string& model, const std::string& folder) {
  alarm(120);  // its signal is what the parent sees of one that hangs
  switch (what) {
    case 0:
      if (!balanced(gaze.stats())) _exit(1);
      request.finish();
      if (gaze.flush(std::chrono::milliseconds::max())) _exit(2);
      gaze.shutdown(std::chrono::milliseconds::max());
      _exit(balanced(gaze.stats()) ? kEnded : 3);
    case 1:
      module.forward(inputs());
      std::exit(kEnded);
    case 2:
      gaze.begin().finish();
      module.forward(inputs());
      _exit(balanced(gaze.stats()) ? kEnded : 4);
    case 3: {
      torch::jit::Module other = torch::jit::load(model);
      gaze::Gaze own = attach(other, folder);
      answer(own, other, at::full({24, 32, 3}, 99, at::kByte));
      if (!own.flush() || own.stats().written != 1) _exit(5);
      std::exit(kEnded);
    }
    default:
      _exit(kEnded);
  }
}

int forks(torch::jit::Module& module, const std::string& model, const std::string& folder, int count) {
  gaze::Gaze gaze = attach(module, folder);
  gaze::Request open = gaze.begin();
  std::atomic<bool> ended{false};
  std::thread looks([&] {
    while (!ended.load()) {
      if (!balanced(gaze.stats())) std::abort();
    }
  });
  std::thread works([&] {
    torch::jit::Module own = module;
    while (!ended.load()) {
      answer(gaze, own, at::full({24, 32, 3}, 99, at::kByte));
      if (!gaze.flush()) std::abort();
    }
  });
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) child(i % 5, gaze, module, open, model, folder + "/of-child");
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kEnded) continue;
    std::fprintf(stderr, "child %d that does %d ended with %#x\n", i, i % 5, static_cast<unsigned>(status));
    ++wrong;
  }
  ended.store(true);
  looks.join();
  works.join();
  open.finish();
  answer(gaze, module, at::full({24, 32, 3}, 99, at::kByte));
  if (!gaze.flush() || !balanced(gaze.stats()) || gaze.stats().in_flight != 0) ++wrong;
  return wrong == 0 ? kEnded : 1;
}

int run(const std::string& mode, const std::string& model, const std::string& folder, int seed) {
  at::set_num_threads(1);
  const torch::NoGradGuard no_grad;
  torch::jit::Module module = torch::jit::load(model);
  if (mode == "fork") return forks(module, model, folder, seed);

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
  auto* leaked = new gaze::Gaze(attach(module, folder));
  for (int i = 0; i < 12; ++i) answer(*leaked, module, picture_hwc);
  // The end meets another moment of the drawing in every run.
  for (int i = 0; i < seed % 97; ++i) module.get_method("forward").graph();
  gaze::Request open = leaked->begin();
  for (int i = 0; i < seed % 89; ++i) module.forward(inputs());
  if (mode.starts_with("static_handle")) {
    static gaze::Gaze kept;
    kept = std::move(*leaked);
  }
  if (mode == "earlier_handle") destroyed_last = std::move(*leaked);
  if (mode == "shutdown") leaked->shutdown(std::chrono::milliseconds(1));
  if (mode == "local_handle") const gaze::Gaze local = std::move(*leaked);
  if (mode == "quick_exit") std::quick_exit(kEnded);
  if (mode == "exit_of_a_thread") std::thread([] { std::exit(kEnded); }).join();
  if (mode.ends_with("return")) return kEnded;
  std::exit(kEnded);
}

}  // namespace

#ifdef GAZE_PLUGIN
extern "C" __attribute__((visibility("default"))) int run_host(const char* mode, const char* model, const char* folder,
                                                               int seed) {
  return run(mode, model, folder, seed);
}
#else
int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: host_ends MODE MODEL FOLDER SEED\n");
    return 2;
  }
  return run(argv[1], argv[2], argv[3], std::atoi(argv[4]));
}
#endif

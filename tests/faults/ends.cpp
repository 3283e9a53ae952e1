// SPDX-License-Identifier: MIT
// Processes that end, or fork, while bundles are drawn: gaze_ends short|whole [exits] [plugin] [forks].
// Every host is a process of its own: forked from this one, or started anew where it matters what was loaded when.
#include <ATen/Parallel.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "host.hpp"
#include "work.hpp"

extern char** environ;

namespace gaze::test {
namespace {

constexpr int kStatus = 7;  // what every host that ends well ends with
const char* const kEnds[] = {"return",      "return-leaked", "return-static", "exit",
                             "exit-leaked", "exit-static",   "quick_exit",    "_exit"};
std::string folder;
std::string program;
long hurt = 0;

/// Ends the process, or returns the status that main is to return.
int end_by(const std::string& how, int round) {
  alarm(60);
  const at::NoGradGuard no_grad;
  torch::jit::Module model = null_model();
  auto gaze = std::make_unique<Gaze>(attach_busy(model, folder));
  // Another moment of its work each time.
  keep_busy(*gaze, model, 1 + round % 3);
  if (how.ends_with("-leaked")) gaze.release();
  if (how.ends_with("-static")) {
    static std::unique_ptr<Gaze> kept;
    kept = std::move(gaze);
  }
  if (how.starts_with("exit")) std::exit(kStatus);
  if (how == "quick_exit") std::quick_exit(kStatus);
  if (how == "_exit") _exit(kStatus);
  return kStatus;
}

void judge(const std::string& what, int status, std::map<std::string, long>& fates) {
  std::string fate = "well";
  if (WIFSIGNALED(status)) {
    fate = WTERMSIG(status) == SIGALRM ? "hung" : std::string(strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != kStatus) {
    fate = "status " + std::to_string(WEXITSTATUS(status));
  }
  if (fate != "well") ++hurt;
  ++fates[what + ": " + fate];
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

int start(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawn(&child, words[0].c_str(), nullptr, nullptr, arguments.data(), environ) != 0) return -1;
  return wait_for(child);
}

void show(const std::map<std::string, long>& fates) {
  for (const auto& [fate, count] : fates) std::fprintf(stderr, "%s %ld\n", fate.c_str(), count);
}

/// In a forked child the status that its main is to return; else nothing.
std::optional<int> exits(int rounds) {
  std::map<std::string, long> fates;
  for (const char* const how : kEnds) {
    for (int round = 0; round < rounds; ++round) {
      int status = 0;
      if (round % 5 == 0) {
        status = start({program, "end", how, folder, std::to_string(round)});
      } else {
        std::fflush(nullptr);
        const pid_t child = fork();
        if (child == 0) return end_by(how, round);
        status = wait_for(child);
      }
      judge(how, status, fates);
    }
    std::fprintf(stderr, "ends: %s tried %d times\n", how, rounds);
  }
  show(fates);
  return {};
}

/// A host that links neither Gaze nor LibTorch opens a plugin which does, and closes it.
void plugins(int rounds) {
  std::map<std::string, long> fates;
  for (const char* const how : {"dlclose-static", "dlclose-leaked"}) {
    for (int round = 0; round < rounds; ++round)
      judge(how, start({GAZE_PLUGIN_HOST, GAZE_PLUGIN, how, folder, std::to_string(kStatus)}), fates);
  }
  show(fates);
}

class CountingSink final : public Sink {
 public:
  void consume(const AttentionRecord&) override { ++records; }
  std::atomic<int> records{0};
};

/// What a child does with a handle whose worker it does not have.
void child_of_fork(int kind, Gaze& gaze, torch::jit::Module& model, Request& open) {
  const Marked in({1});
  const at::NoGradGuard no_grad;
  switch (kind) {
    case 0:
      (void)gaze.stats();
      break;
    case 1:
      open.finish();
      break;
    case 2:
      gaze.flush(std::chrono::milliseconds(50));
      break;
    case 3:
      gaze.shutdown(std::chrono::milliseconds(100));
      break;
    case 4: {
      Request request = gaze.begin();
      request.finish();
      break;
    }
    case 5:
      run(model, in, kPrompt);
      break;
    case 6: {
      Request request = gaze.begin();
      run(model, in, kPrompt);
      request.label({"w"});
      request.finish();
      break;
    }
    case 7:
      gaze = {};
      break;
    default: {  // a capture of the child's own, of the same model
      Options options = null_options(null_profile());
      const auto sink = std::make_shared<CountingSink>();
      options.sink = sink;
      Gaze own = attach(model, options);
      Request request = own.begin();
      run(model, in, kPrompt);
      request.finish();
      run(model, in, kPrompt);  // for which nobody opened a request
      if (!own.flush(std::chrono::seconds(10)) || sink->records != 2 || own.stats().written != 2) _exit(1);
      break;
    }
  }
}

std::optional<int> forks(int rounds) {
  std::map<std::string, long> fates;
  const at::NoGradGuard no_grad;
  torch::jit::Module model = null_model();
  Gaze gaze = attach_busy(model, folder);
  int64_t opened = keep_busy(gaze, model, 0);
  // Other threads that hold what a child may want: one that asks, and one whose calls are answers that nobody asked
  // for.
  torch::jit::Module other = null_model();
  Gaze unasked = attach_busy(other, folder);
  std::atomic<bool> stop{false};
  std::thread asks([&] {
    while (!stop.load()) (void)gaze.stats();
  });
  std::thread answers([&] {
    const at::NoGradGuard no_grad_here;
    const Marked in({1});
    while (!stop.load()) {
      if (unasked.stats().in_flight > 8) {  // the worker is behind
        std::this_thread::yield();
        continue;
      }
      for (int token = 0; token < 3; ++token) run(other, in, token == 0 ? kPrompt : kStep);
    }
  });
  for (int round = 0; round < rounds; ++round) {
    if (gaze.stats().in_flight == 0) opened += keep_busy(gaze, model, 0);
    Request open = gaze.begin();
    ++opened;
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      child_of_fork(round % 9, gaze, model, open);
      if (round / 9 % 2 == 0) _exit(kStatus);
      std::exit(kStatus);
    }
    judge("fork " + std::to_string(round % 9), wait_for(child), fates);
  }
  stop = true;
  asks.join();
  answers.join();
  const bool flushed = gaze.flush(std::chrono::minutes(2));
  const Stats stats = gaze.stats();
  const int64_t wanted = opened - rounds;
  if (!flushed || !breach(stats).empty() || stats.begun != opened || stats.written != wanted) {
    ++hurt;
    std::fprintf(stderr, "the parent of forks: expected %ld written, got %s %s\n", static_cast<long>(wanted),
                 shown(stats).c_str(), breach(stats).c_str());
  }
  show(fates);
  return {};
}

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  using namespace gaze::test;
  at::set_num_threads(1);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "end" && argc == 5) {
    folder = argv[3];
    return end_by(argv[2], std::atoi(argv[4]));
  }
  if (mode != "short" && mode != "whole") {
    std::fprintf(stderr, "gaze_ends: expected short or whole, got \"%s\".\n", mode.c_str());
    return 2;
  }
  const bool whole = mode == "whole";
  const auto wanted = [&](const char* name) {
    return argc == 2 || std::any_of(argv + 2, argv + argc, [&](const char* each) { return std::string(each) == name; });
  };
  char pattern[] = "/tmp/gaze-ends-XXXXXX";
  if (mkdtemp(pattern) == nullptr) return 2;
  folder = pattern;
  program = std::filesystem::read_symlink("/proc/self/exe");
  {  // what loads lazily is loaded before the first fork
    const at::NoGradGuard no_grad;
    torch::jit::Module model = null_model();
    gaze::Gaze gaze = attach_busy(model, folder);
    keep_busy(gaze, model, 1);
  }
  if (wanted("exits")) {
    if (const auto status = exits(whole ? 200 : 5)) return *status;
  }
  if (wanted("plugin")) plugins(whole ? 200 : 5);
  if (wanted("forks")) forks(whole ? 500 : 20);
  std::filesystem::remove_all(folder);
  std::printf("ends: %ld hurt\n", hurt);
  return hurt == 0 ? 0 : 1;
}

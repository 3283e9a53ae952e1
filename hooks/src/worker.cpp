// SPDX-License-Identifier: MIT
#include "worker.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <gaze/ops/device.hpp>

#include <atomic>

#include "log.hpp"

namespace gaze {
namespace {

std::atomic<int> fork_generation{0};  // a forked child has the queue but not the thread

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1); }); });
}

void be_modest() {
  setpriority(PRIO_PROCESS, 0, 10);  // 0: this thread, on Linux
  cpu_set_t mask;
  if (sched_getaffinity(getpid(), sizeof(mask), &mask) == 0) sched_setaffinity(0, sizeof(mask), &mask);
  // A pool of its own would take the host's cores. at::set_num_threads is process-wide, OpenMP's setting is this
  // thread's.
  at::get_num_threads();
  if (auto* set_threads = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set_threads(1);
}

}  // namespace

void Counters::begun(int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.begun += requests;
}

void Counters::sampled(int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.sampled += requests;
  stats_.in_flight += requests;
}

void Counters::written() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.written;
  --stats_.in_flight;
}

void Counters::dropped(DropReason reason, int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.dropped[static_cast<size_t>(reason)] += requests;
  stats_.in_flight -= requests;
}

void Counters::not_sampled(int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.dropped[static_cast<size_t>(DropReason::NotSampled)] += requests;
}

void Counters::self_check_failed() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.dropped[static_cast<size_t>(DropReason::SelfCheck)];
}

void Counters::taps(int64_t calls, int64_t tokens_dropped) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.taps += calls;
  stats_.tokens_dropped += tokens_dropped;
}

Stats Counters::snapshot() const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

Worker::Worker(std::shared_ptr<Sink> sink, int64_t queue_bytes, std::shared_ptr<Counters> counters)
    : state_(std::make_shared<State>()) {
  state_->sink = std::move(sink);
  state_->budget_bytes = queue_bytes;
  state_->counters = std::move(counters);
  watch_forks();
  fork_generation_ = fork_generation.load();
  // The new thread inherits the mask: no signal of the host is ever handled on it, and a file size limit is an error
  // there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([state = state_] { run(state); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Worker::~Worker() { shutdown(std::chrono::seconds(5)); }

void Worker::push(AttentionRecord&& record) noexcept {
  try {
    if (fork_generation.load() != fork_generation_) {
      state_->counters->dropped(DropReason::Shutdown);
      return;
    }
    const int64_t bytes = record.bytes();
    {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      if (state_->stop) {
        state_->counters->dropped(DropReason::Shutdown);
        return;
      }
      if (state_->queued_bytes + bytes > state_->budget_bytes) {
        state_->counters->dropped(DropReason::QueueBytes);
        return;
      }
      state_->queue.push_back(std::move(record));
      state_->queued_bytes += bytes;
    }
    state_->work.notify_one();
  } catch (...) {
    state_->counters->dropped(DropReason::HostBudget);
  }
}

void Worker::consume(State& state, const AttentionRecord& record) {
  DropReason reason = DropReason::RenderError;
  std::string text;
  try {
    state.sink->consume(record);
    state.counters->written();
    return;
  } catch (const Error& error) {
    reason = error.reason();
    text = error.what();
  } catch (const std::exception& error) {
    text = error.what();
  } catch (...) {
    text = "unknown exception";
  }
  state.counters->dropped(reason);
  // Each message once: a broken disk must not fill the log as well.
  if (state.told.size() < 64 && state.told.emplace(reason, text).second)
    log::warn(std::string(name(reason)) + ": " + text);
}

void Worker::run(const std::shared_ptr<State>& state) {
  be_modest();
  ops::allow_calls_while_capturing();
  std::unique_lock<std::mutex> lock(state->mutex);
  while (true) {
    state->work.wait(lock, [&] { return state->stop || !state->queue.empty(); });
    if (state->queue.empty()) break;
    AttentionRecord record = std::move(state->queue.front());
    state->queue.pop_front();
    const int64_t bytes = record.bytes();
    state->busy = true;
    lock.unlock();
    consume(*state, record);
    record = AttentionRecord();
    lock.lock();
    state->queued_bytes -= bytes;
    state->busy = false;
    state->idle.notify_all();
  }
  state->ended = true;
  state->idle.notify_all();
}

bool Worker::flush(std::chrono::milliseconds timeout) noexcept {
  try {
    if (fork_generation.load() != fork_generation_) return false;
    std::unique_lock<std::mutex> lock(state_->mutex);
    return state_->idle.wait_for(lock, timeout, [&] { return state_->queue.empty() && !state_->busy; });
  } catch (...) {
    return false;
  }
}

void Worker::shutdown(std::chrono::milliseconds timeout) noexcept {
  try {
    if (!thread_.joinable()) return;
    if (fork_generation.load() != fork_generation_) {
      thread_.detach();  // the thread exists in the parent only
      return;
    }
    bool ended = false;
    {
      std::unique_lock<std::mutex> lock(state_->mutex);
      state_->stop = true;
      state_->work.notify_all();
      ended = state_->idle.wait_for(lock, timeout, [&] { return state_->ended; });
      if (!ended) {
        state_->counters->dropped(DropReason::Shutdown, static_cast<int64_t>(state_->queue.size()));
        state_->queue.clear();
      }
    }
    if (ended) {
      thread_.join();
    } else {
      thread_.detach();
      log::warn("shutdown: the sink did not return within " + std::to_string(timeout.count()) +
                " ms; its thread is left behind");
    }
  } catch (...) {
    if (thread_.joinable()) thread_.detach();
  }
}

}  // namespace gaze

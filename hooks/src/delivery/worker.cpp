// SPDX-License-Identifier: MIT
#include "delivery/worker.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <gaze/ops/device.hpp>
#include <gaze/ops/part.hpp>
#include <gaze/render/digest.hpp>
#include <gaze/render/stop.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <system_error>
#include <utility>

#include "capture/stream_order.hpp"
#include "delivery/drop_report.hpp"
#include "delivery/pushed_records.hpp"
#include "process/fork_gate.hpp"

namespace gaze {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How long the end of the process waits for a sink that looks at nothing.
constexpr std::chrono::seconds kExitWait{5};

/// How often a sink looks after what it keeps.
constexpr std::chrono::seconds kTidyPause{60};

void be_modest() {
  pthread_setname_np(pthread_self(), "gaze-worker");
  setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, getpid()) + 10);  // 0: this thread, on Linux; 19 at most
  cpu_set_t mask;
  if (sched_getaffinity(getpid(), sizeof(mask), &mask) == 0) sched_setaffinity(0, sizeof(mask), &mask);
  // A pool of its own would take the host's cores. at::set_num_threads is process-wide, OpenMP's setting is this
  // thread's.
  at::get_num_threads();
  if (auto* set_threads = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set_threads(1);
}

/// From now on, at most the end of time.
Clock::time_point after(milliseconds timeout) {
  const auto now = Clock::now();
  if (timeout <= milliseconds::zero()) return now;
  if (timeout >= std::chrono::duration_cast<milliseconds>(Clock::time_point::max() - now))
    return Clock::time_point::max();
  return now + timeout;
}

}  // namespace

struct Worker::State {
  PushedRecords pushed;  // the host's threads wait for nobody

  std::mutex mutex;
  std::condition_variable idle;  // nothing queued nor being written, or the thread has ended
  Queue queue;                   // as they came, behind
  Queue compacted;               // those that waited
  bool busy = false;
  bool stop = false;
  std::atomic<bool> ended{false};
  std::atomic<bool> joined{false};  // or about to be, by one thread
  std::atomic<bool> summed_up{false};
  std::atomic<Stop> order{Stop::No};
  int64_t budget_bytes = 0;
  int generation = fork_generation();
  pthread_t thread{};
  std::shared_ptr<Sink> sink;
  std::shared_ptr<Counters> counters;
  std::shared_ptr<const Log> log;
  std::shared_ptr<Chores> chores;
  Guard guard;
  DropReport report;  // of the worker's thread

  [[nodiscard]] bool forked() const noexcept { return generation != fork_generation(); }
  [[nodiscard]] bool own_thread() const noexcept { return pthread_equal(pthread_self(), thread) != 0; }
  [[nodiscard]] DropReport::Say say() const {
    return [this](LogLevel level, const char* line) { log->say(level, line); };
  }

  void run() noexcept;
  /// Behind the mutex.
  [[nodiscard]] bool nothing_waits() const { return queue.empty() && compacted.empty() && pushed.empty(); }
  /// Room in the budget, without the mutex.
  bool reserve(int64_t bytes) noexcept;
  void compact_waiting() noexcept;
  Queue take() noexcept;
  void consume(Queued& queued) noexcept;
  void tidy() noexcept;
  [[nodiscard]] bool has_room(int64_t bytes) const noexcept {
    return fits_beside(bytes, counters->queue_bytes().load(std::memory_order_relaxed));
  }
  /// What is beside an answer never keeps one out that waits alone.
  [[nodiscard]] bool fits_beside(int64_t bytes, int64_t held) const noexcept {
    return held == 0 ? bytes - kBesideBytes <= budget_bytes : bytes <= budget_bytes - held;
  }
  Clock::time_point tell_drops() noexcept;
  /// The thread takes no record any more.
  void ask_to_end() noexcept;
  /// What is queued is dropped, and the sink told to give up what it is at.
  void give_up() noexcept;
  bool wait_for_end(Clock::time_point deadline) noexcept;
  void join() noexcept;
  void sum_up() noexcept;
};

namespace {

using States = std::list<std::shared_ptr<Worker::State>>;

/// Threads that were started and not joined. Behind the fork gate; leaked, as it is needed until the very end.
States& live_states() {
  static auto* states = new States;
  return *states;
}

struct CallBeforeEnd {
  void (*call)();
  int generation = fork_generation();
};
/// Behind the fork gate; leaked as they are.
std::list<CallBeforeEnd>& calls_before_end() {
  static auto* calls = new std::list<CallBeforeEnd>;
  return *calls;
}

/// Runs before what was constructed or loaded earlier is destroyed: a thread that went on drawing would meet its ruins.
void end_all() noexcept {
  std::list<CallBeforeEnd> calls;
  {
    const std::lock_guard<std::mutex> lock(fork_gate());
    calls.swap(calls_before_end());
  }
  for (const CallBeforeEnd& each : calls) {
    if (each.generation == fork_generation()) each.call();
  }
  States states;
  {
    const std::lock_guard<std::mutex> lock(fork_gate());
    states.swap(live_states());
  }
  const auto ours = [](const auto& state) {
    return !state->forked() && !state->own_thread() && state->order.load() != Stop::Freeze;
  };
  for (const auto& state : states) {
    if (!ours(state)) continue;
    state->ask_to_end();
    state->give_up();
  }
  const auto deadline = Clock::now() + kExitWait;
  for (const auto& state : states) {
    if (!ours(state)) continue;
    if (!state->wait_for_end(deadline)) {
      state->order.store(Stop::Freeze, std::memory_order_release);
      state->log->error(
          "exit: expected the sink to return within 5 s, it did not; its thread is held where it looks next. Let the "
          "sink look at gaze::stopping().");
    }
    state->sum_up();
  }
  // A frozen thread still reads its state.
  const std::lock_guard<std::mutex> lock(fork_gate());
  live_states().splice(live_states().end(), states);
}

void end_all_at_exit() {
  static std::once_flag once;
  std::call_once(once, [] {
    (void)live_states();  // allocates, which it must not do behind the gate
    (void)calls_before_end();
    (void)sha256_of("");  // libcrypto registers its own end with its first use: it must come after ours
    std::atexit([] { end_all(); });
    ops::before_parts_end([] { end_all(); });
  });
}

/// Once more: what the first record made for the first time, in libraries below us, is destroyed earlier than they are.
void end_all_before_what_drawing_made() {
  static std::once_flag once;
  std::call_once(once, [] { std::atexit([] { end_all(); }); });
}

/// Joins the threads that ended after their shutdown had not waited longer.
void join_ended() noexcept {
  States ended;
  {
    const std::lock_guard<std::mutex> lock(fork_gate());
    States& states = live_states();
    for (auto each = states.begin(); each != states.end();) {
      const auto here = each++;
      if (!(*here)->forked() && (*here)->ended.load()) ended.splice(ended.end(), states, here);
    }
  }
  for (const auto& state : ended) state->join();
}

}  // namespace

void before_workers_end(void (*call)()) {
  end_all_at_exit();
  std::list<CallBeforeEnd> one{{call}};
  const std::lock_guard<std::mutex> lock(fork_gate());
  calls_before_end().splice(calls_before_end().end(), one);
}

Worker::Worker(std::shared_ptr<Sink> sink, int64_t queue_bytes, std::shared_ptr<Counters> counters,
               std::shared_ptr<const Log> log, std::shared_ptr<Chores> chores, Guard guard)
    : state_(std::make_shared<State>()) {
  state_->sink = std::move(sink);
  state_->budget_bytes = queue_bytes;
  state_->counters = std::move(counters);
  state_->log = std::move(log);
  state_->chores = std::move(chores);
  state_->guard = std::move(guard);
  end_all_at_exit();
  join_ended();
  States entry{state_};
  auto argument = std::make_unique<std::shared_ptr<State>>(state_);
  // The new thread inherits the mask: no signal of the host is ever handled on it, and a file size limit is an error
  // there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto main = [](void* given) -> void* {
    const std::unique_ptr<std::shared_ptr<State>> state(static_cast<std::shared_ptr<State>*>(given));
    (*state)->run();
    return nullptr;
  };
  const int failed = pthread_create(&state_->thread, nullptr, main, argument.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) {
    throw Error("attach: expected one thread for rendering, got: " + std::generic_category().message(failed) +
                    ". Raise the limit on threads (ulimit -u, or pids.max of the control group).",
                DropReason::HostBudget);
  }
  static_cast<void>(argument.release());  // the thread's
  const std::lock_guard<std::mutex> lock(fork_gate());
  live_states().splice(live_states().begin(), entry);
}

Worker::~Worker() { shutdown(std::chrono::seconds(5)); }

namespace {

bool fits(Worker::State& state, Queued& queued) {
  queued.bytes = bytes_of(queued);
  return state.has_room(queued.bytes);
}

/// Rather than the answer, what it can do without.
void leave_without_room(Worker::State& state, Queued& queued) {
  if (fits(state, queued)) return;
  for (MediumMap& map : queued.record.maps) {
    if (map.detail) map.detail = Detail{{}, map.detail->if_flagged, "no room among the waiting requests"};
  }
  if (fits(state, queued) || !queued.rest) return;
  queued.rest->lighten(queued.record);
  queued.bytes = bytes_of(queued);
}

}  // namespace

void Worker::prepare(at::Device device) noexcept {
  try {
    ops::prepare(device);
    state_->sink->prepare(device);
  } catch (...) {  // the record that needs it says what is missing
  }
}

void Worker::push(AttentionRecord&& record, std::unique_ptr<RecordRest> rest) noexcept {
  State& state = *state_;
  DropReason reason = DropReason::HostBudget;
  try {
    auto one = PushedRecords::make({std::move(record), std::move(rest), 0});
    Queued& queued = one->one.front();
    leave_without_room(state, queued);
    const int64_t bytes = queued.bytes;
    if (state.forked() || state.pushed.closed()) {
      reason = DropReason::Shutdown;
    } else if (!state.reserve(bytes)) {
      reason = DropReason::QueueBytes;
    } else if (state.pushed.add(one)) {
      state.counters->bell().ring();
      return;
    } else {
      state.counters->queue_bytes().fetch_sub(bytes);
      reason = DropReason::Shutdown;
    }
  } catch (...) {  // no memory for the queue
  }
  state.counters->dropped(reason);
}

bool Worker::State::reserve(int64_t bytes) noexcept {
  int64_t held = counters->queue_bytes().load(std::memory_order_relaxed);
  do {
    if (!fits_beside(bytes, held)) return false;
  } while (!counters->queue_bytes().compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
  return true;
}

// All that wait but one, before the next is drawn: it takes a fraction of the time, and makes room for those to come.
void Worker::State::compact_waiting() noexcept {
  if (guard) return;  // what is kept of a record is decided when it is whole
  while (order.load(std::memory_order_acquire) == Stop::No) {
    Queue one;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      pushed.gather(queue);
      if (queue.empty() || (compacted.empty() && queue.size() == 1)) return;
      one.splice(one.begin(), queue, queue.begin());
      busy = true;
    }
    Queued& queued = one.front();
    int64_t bytes = queued.bytes;
    try {
      sink->compact(queued.record);
      bytes = bytes_of(queued);
    } catch (...) {  // it waits as it is
    }
    const std::lock_guard<std::mutex> lock(mutex);
    counters->queue_bytes() += bytes - std::exchange(queued.bytes, bytes);
    compacted.splice(compacted.end(), one);
    busy = false;
  }
}

Queue Worker::State::take() noexcept {
  Queue one;
  const std::lock_guard<std::mutex> lock(mutex);
  pushed.gather(queue);
  if (queue.empty() && compacted.empty()) return one;  // whatever comes meanwhile is for the next turn
  Queue& from = compacted.empty() ? queue : compacted;
  one.splice(one.begin(), from, from.begin());
  busy = true;
  return one;
}

void Worker::State::consume(Queued& queued) noexcept {
  try {
    prepare_to_read(queued.record);
    if (queued.rest) std::exchange(queued.rest, nullptr)->complete(queued.record);
    if (guard) guard(queued.record);
    sink->consume(queued.record);
    counters->written();
    if (chores) chores->outcome(queued.record, DropReason::kCount);
  } catch (...) {
    DropReason reason = reason_of_current_exception(DropReason::RenderError);
    if (!Counters::ends_a_request(reason)) reason = DropReason::RenderError;  // a host's sink may throw anything
    text_of_current_exception(report.because(reason), DropReport::kTextBytes);
    counters->dropped(reason);
    if (chores) chores->outcome(queued.record, reason);
  }
}

void Worker::State::tidy() noexcept {
  try {
    sink->tidy();
  } catch (...) {  // the next time, then
  }
}

Clock::time_point Worker::State::tell_drops() noexcept {
  if (counters->unnoticed() == 0) return Clock::time_point::max();
  const auto now = Clock::now();
  counters->notice(~report.resting(now));
  return report.tell(counters->snapshot(), now, say());
}

void Worker::State::run() noexcept {
  try {
    be_modest();
  } catch (...) {  // less modest, then
  }
  const StopScope scope(order);
  bool first = true;
  Clock::time_point next_tidy = Clock::now() + kTidyPause;
  while (true) {
    Clock::time_point next_look = tell_drops();
    if (Clock::now() >= next_tidy) {
      tidy();
      next_tidy = Clock::now() + kTidyPause;
    }
    next_look = std::min(next_look, next_tidy);
    if (chores) next_look = std::min(next_look, chores->run(Clock::now()));
    compact_waiting();
    Queue next = take();
    if (next.empty()) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (stop && nothing_waits()) break;
        if (!nothing_waits()) continue;
      }
      counters->bell().wait_until(next_look);
      continue;
    }
    consume(next.front());
    while (order.load(std::memory_order_acquire) == Stop::Freeze) ::pause();
    const int64_t bytes = next.front().bytes;
    next.clear();
    if (std::exchange(first, false)) end_all_before_what_drawing_made();
    const std::lock_guard<std::mutex> lock(mutex);
    counters->queue_bytes() -= bytes;
    busy = false;
    if (nothing_waits()) idle.notify_all();
  }
  sum_up();
  if (chores) chores->end();
  const std::lock_guard<std::mutex> lock(mutex);
  ended.store(true);
  idle.notify_all();
}

void Worker::State::ask_to_end() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    stop = true;
    pushed.close(queue);
  }
  counters->bell().ring();
}

void Worker::State::give_up() noexcept {
  Queue left;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    Stop expected = Stop::No;
    order.compare_exchange_strong(expected, Stop::GiveUp);
    pushed.close(queue);
    left.swap(compacted);
    left.splice(left.end(), queue);
    for (const Queued& each : left) counters->queue_bytes() -= each.bytes;
    if (!busy) idle.notify_all();
  }
  counters->dropped(DropReason::Shutdown, static_cast<int64_t>(left.size()));
}

bool Worker::State::wait_for_end(Clock::time_point deadline) noexcept {
  {
    std::unique_lock<std::mutex> lock(mutex);
    if (!idle.wait_until(lock, deadline, [&] { return ended.load(); })) return false;
  }
  join();
  return true;
}

void Worker::State::join() noexcept {
  if (!joined.exchange(true)) pthread_join(thread, nullptr);
}

void Worker::State::sum_up() noexcept {
  if (!summed_up.exchange(true)) DropReport::sum_up(counters->snapshot(), say());
}

bool Worker::flush(milliseconds timeout) noexcept {
  if (state_->forked() || state_->own_thread()) return false;
  std::unique_lock<std::mutex> lock(state_->mutex);
  return state_->idle.wait_until(lock, after(timeout), [&] { return state_->nothing_waits() && !state_->busy; });
}

void Worker::shutdown(milliseconds timeout) noexcept {
  State& state = *state_;
  if (state.forked()) return;
  const Clock::time_point deadline = after(timeout);
  state.ask_to_end();
  if (!state.own_thread()) {
    if (state.wait_for_end(deadline)) return join_ended();
    if (state.order.load() == Stop::No) {
      state.log->warn(
          "shutdown: expected the sink to return in time, it did not; its thread ends when it does, or at its next "
          "frame.");
    }
  }
  state.give_up();
  state.sum_up();
}

}  // namespace gaze

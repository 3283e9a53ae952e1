// SPDX-License-Identifier: MIT
// What host threads leave for the worker: nothing is lost, each thread's are in order, and whoever comes late is told.
#include <test.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "delivery/pushed_records.hpp"
#include "delivery/worker.hpp"

namespace {

std::unique_ptr<gaze::PushedRecords::Pushed> one_of(int64_t thread, int64_t number) {
  gaze::Queued queued;
  queued.record.process = thread;
  queued.record.keys = number;
  return gaze::PushedRecords::make(std::move(queued));
}

}  // namespace

CATCH_TEST_CASE("records that come while others are gathered are gathered next, each thread's in order") {
  constexpr int64_t kThreads = 3, kEach = 20'000;
  gaze::PushedRecords pushed;
  std::atomic<int64_t> refused{0};
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < kEach; ++i) {
        auto one = one_of(t, i);
        if (!pushed.add(one)) ++refused;
      }
    });
  }
  std::vector<int64_t> next(kThreads, 0);
  int64_t gathered = 0, out_of_order = 0;
  while (gathered < kThreads * kEach) {
    gaze::Queue queue;
    pushed.gather(queue);
    if (queue.empty()) std::this_thread::yield();
    for (const gaze::Queued& each : queue) {
      out_of_order += each.record.keys != next[static_cast<size_t>(each.record.process)]++ ? 1 : 0;
      ++gathered;
    }
  }
  for (std::thread& thread : threads) thread.join();
  CATCH_CHECK(out_of_order == 0);
  CATCH_CHECK(refused.load() == 0);
  CATCH_CHECK(pushed.empty());
}

CATCH_TEST_CASE("once it is closed nothing can be left any more, and all that was is there") {
  gaze::PushedRecords pushed;
  for (int64_t i = 0; i < 3; ++i) {
    auto one = one_of(0, i);
    CATCH_REQUIRE(pushed.add(one));
    CATCH_CHECK(one == nullptr);
  }
  CATCH_CHECK_FALSE(pushed.empty());
  CATCH_CHECK_FALSE(pushed.closed());
  gaze::Queue queue;
  pushed.close(queue);
  CATCH_CHECK(queue.size() == 3);
  CATCH_CHECK(pushed.closed());
  CATCH_CHECK(pushed.empty());
  auto late = one_of(0, 3);
  CATCH_CHECK_FALSE(pushed.add(late));
  CATCH_REQUIRE(late != nullptr);
  CATCH_CHECK(late->one.size() == 1);
  pushed.gather(queue);
  pushed.close(queue);
  CATCH_CHECK(queue.size() == 3);
}

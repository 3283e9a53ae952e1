// SPDX-License-Identifier: MIT
// A thread for each connection, so many and no more.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gaze::serve {

class ConnectionPool final : public httplib::TaskQueue {
 public:
  /// What is to become of a connection, for the task that runs on this thread.
  enum class Turn { Serve, Refuse, Drop };
  static Turn turn() noexcept;

  ConnectionPool(size_t connections, size_t waiting);
  void enqueue(std::function<void()> task) override;
  void shutdown() override;

 private:
  using Tasks = std::deque<std::function<void()>>;
  void work(Tasks& tasks, Turn turn);

  const size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Tasks waiting_, refused_;
  size_t idle_ = 0;  // threads that serve, and have nothing to
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gaze::serve

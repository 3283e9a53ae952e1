// SPDX-License-Identifier: MIT
#include "connection_pool.hpp"

namespace gaze::serve {
namespace {

constexpr size_t kMostRefused = 64;
thread_local ConnectionPool::Turn my_turn = ConnectionPool::Turn::Drop;

}  // namespace

ConnectionPool::Turn ConnectionPool::turn() noexcept { return my_turn; }

ConnectionPool::ConnectionPool(size_t connections, size_t waiting) : most_waiting_(waiting) {
  threads_.emplace_back([this] { work(refused_, Turn::Refuse); });
  for (size_t i = 0; i < connections; ++i) threads_.emplace_back([this] { work(waiting_, Turn::Serve); });
}

void ConnectionPool::enqueue(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Tasks& tasks = waiting_.size() < idle_ + most_waiting_ ? waiting_ : refused_;
    if (&tasks == &waiting_ || refused_.size() < kMostRefused) {
      tasks.push_back(std::move(task));
      task = nullptr;
    }
  }
  changed_.notify_all();
  if (task) task();  // this thread's turn is to drop
}

void ConnectionPool::shutdown() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ConnectionPool::work(Tasks& tasks, Turn turn) {
  my_turn = turn;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    idle_ += turn == Turn::Serve ? 1 : 0;
    changed_.wait(lock, [&] { return !tasks.empty() || ended_; });
    idle_ -= turn == Turn::Serve ? 1 : 0;
    if (tasks.empty()) return;
    const std::function<void()> task = std::move(tasks.front());
    tasks.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
#include "batcher.hpp"

#include <algorithm>

namespace gaze::serve {
namespace {

bool go_together(const Job& one, const Job& other) { return one.prompt_ids.size() == other.prompt_ids.size(); }

}  // namespace

Batcher::Batcher(size_t threads, size_t max_batch, std::chrono::milliseconds max_wait, Run run)
    : max_batch_(max_batch), max_wait_(max_wait), run_(std::move(run)) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Batcher::~Batcher() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::future<Answer> Batcher::ask(Job job) {
  std::future<Answer> answer = job.answer.get_future();
  job.arrived = std::chrono::steady_clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(job));
  }
  changed_.notify_all();
  return answer;
}

size_t Batcher::queued() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return queue_.size();
}

std::vector<Job> Batcher::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return !queue_.empty() || ending_; });
    if (queue_.empty()) return {};
    const auto goes = [&](const Job& job) { return go_together(queue_.front(), job); };
    const auto enough = std::min(max_batch_, static_cast<size_t>(std::count_if(queue_.begin(), queue_.end(), goes)));
    const auto due = queue_.front().arrived + max_wait_;
    if (enough < max_batch_ && !ending_ && std::chrono::steady_clock::now() < due) {
      changed_.wait_until(lock, due);
      continue;  // another thread may have taken it
    }
    // The oldest is moved to the back of the batch, so that it is there to compare with until the end.
    std::vector<Job> batch;
    for (size_t i = 1; i < queue_.size() && batch.size() + 1 < enough;) {
      if (!goes(queue_[i])) {
        ++i;
        continue;
      }
      batch.push_back(std::move(queue_[i]));
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
    return batch;
  }
}

void Batcher::work() {
  for (std::vector<Job> batch = next(); !batch.empty(); batch = next()) run_(batch);
}

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
// Gathers requests into batches, and runs them on threads of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "question.hpp"

namespace gaze::serve {

struct Answer {
  std::string text;
  bool captured = false;
  size_t batch_size = 0;
};

struct Job {
  Question question;
  at::Tensor input_chw;             ///< the picture as the model wants it
  std::vector<int64_t> prompt_ids;  ///< of the rows of a batch as many
  std::promise<Answer> answer;      ///< or what the model threw
  std::chrono::steady_clock::time_point arrived = {};
};

class Batcher {
 public:
  /// Answers every row of a batch: with prompts of one length.
  using Run = std::function<void(std::vector<Job>& batch)>;

  Batcher(size_t threads, size_t max_batch, std::chrono::milliseconds max_wait, Run run);
  ~Batcher();  ///< answers what is queued

  std::future<Answer> ask(Job job);
  [[nodiscard]] size_t queued() const;

 private:
  void work();
  /// The oldest job and those that go with it, once they are enough or it has waited long enough; none: the end.
  std::vector<Job> next();

  const size_t max_batch_;
  const std::chrono::milliseconds max_wait_;
  const Run run_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gaze::serve

// SPDX-License-Identifier: MIT
// Clients of a server on this machine: each asks, waits for the answer, and asks again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "load_questions.hpp"

namespace gaze::serve {

struct LoadPlan {
  int port = 0;
  size_t clients = 8;
  size_t requests = 1000;  ///< at most, of all clients together
  double seconds = 10;     ///< no question is asked later
  std::string prefix;      ///< of the requests' ids, so that none comes twice
};

/// What became of one request.
struct Asked {
  std::string id;
  size_t question = 0;  ///< index
  int status = 0;       ///< 0: no answer
  double seconds = 0;
  std::string answer, bundle;  ///< empty bundle: none
  int64_t batch_size = 0;
};

struct LoadResult {
  std::vector<Asked> asked;
  double seconds = 0;  ///< of them all
};

/// Each client goes through the questions from another one on, around and around.
LoadResult run_clients(const LoadPlan& plan, const std::vector<LoadQuestion>& questions);

/// W3C Trace Context that holds the question's number.
std::string traceparent_of(uint32_t number);

struct LoadFigures {
  size_t answered = 0, failed = 0, right = 0, captured = 0;
  double per_second = 0, p50_ms = 0, p99_ms = 0, mean_batch = 0;
  double drawing_seconds = 0;  ///< from the last answer until every bundle was drawn, where that was waited for
};
LoadFigures figures_of(const LoadResult& result, const std::vector<LoadQuestion>& questions);

/// The middle one; of an even number the mean of both. 0: there are none.
double median(std::vector<double> values);

/// The value of a metric of the server's /metrics, its labels included as written; 0: there is none such.
double metric_of(int port, const std::string& name);

}  // namespace gaze::serve

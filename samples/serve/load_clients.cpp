// SPDX-License-Identifier: MIT
#include "load_clients.hpp"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace gaze::serve {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

Asked ask(httplib::Client& client, const LoadQuestion& question, std::string id) {
  Asked asked;
  asked.id = std::move(id);
  const httplib::Headers headers = {{"X-Request-Id", asked.id}, {"traceparent", traceparent_of(question.number)}};
  const httplib::MultipartFormDataItems parts = {{"picture", question.jpeg, "scene.jpg", "image/jpeg"},
                                                 {"prompt", question.prompt, "", ""}};
  const auto begun = Clock::now();
  const httplib::Result result = client.Post("/v1/answer", headers, parts);
  asked.seconds = seconds_since(begun);
  if (!result) return asked;
  asked.status = result->status;
  const auto json = nlohmann::json::parse(result->body, nullptr, /*allow_exceptions=*/false);
  if (asked.status != 200 || !json.is_object() || json.value("id", "") != asked.id) return asked;
  asked.answer = json.value("answer", "");
  asked.batch_size = json.value("batch_size", 0);
  if (json["bundle"].is_string()) asked.bundle = json["bundle"].get<std::string>();
  return asked;
}

/// The smallest value that is no less than this share of them. @param sorted  not empty
double quantile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

}  // namespace

std::string traceparent_of(uint32_t number) {
  char text[64];
  std::snprintf(text, sizeof text, "00-%032x-%016x-01", number + 1, number + 1);
  return text;
}

LoadResult run_clients(const LoadPlan& plan, const std::vector<LoadQuestion>& questions) {
  std::vector<std::vector<Asked>> by_client(plan.clients);
  std::atomic<size_t> next{0}, done{0};
  std::atomic<bool> over{false};
  const auto begun = Clock::now();
  std::vector<std::thread> threads;
  for (size_t c = 0; c < plan.clients; ++c) {
    threads.emplace_back([&, c] {
      httplib::Client client("127.0.0.1", plan.port);
      client.set_keep_alive(true);
      client.set_tcp_nodelay(true);
      client.set_read_timeout(60);
      while (seconds_since(begun) < plan.seconds) {
        const size_t i = next++;
        if (i >= plan.requests) return;
        const size_t which = i % questions.size();
        by_client[c].push_back(ask(client, questions[which], plan.prefix + std::to_string(i)));
        by_client[c].back().question = which;
        ++done;
      }
    });
  }
  std::thread progress([&] {
    for (auto last = Clock::now(); !over; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
      if (seconds_since(last) < 2) continue;
      last = Clock::now();
      std::fprintf(stderr, "gaze_load: %s%zu answers, %.0f of %.0f s\n", plan.prefix.c_str(), done.load(),
                   seconds_since(begun), plan.seconds);
    }
  });
  for (std::thread& thread : threads) thread.join();
  LoadResult result;
  result.seconds = seconds_since(begun);
  over = true;
  progress.join();
  for (auto& asked : by_client) std::move(asked.begin(), asked.end(), std::back_inserter(result.asked));
  return result;
}

LoadFigures figures_of(const LoadResult& result, const std::vector<LoadQuestion>& questions) {
  LoadFigures figures;
  std::vector<double> seconds;
  for (const Asked& asked : result.asked) {
    if (asked.status != 200) {
      ++figures.failed;
      continue;
    }
    ++figures.answered;
    figures.right += asked.answer == questions[asked.question].truth ? 1 : 0;
    figures.captured += asked.bundle.empty() ? 0 : 1;
    figures.mean_batch += static_cast<double>(asked.batch_size);
    seconds.push_back(asked.seconds);
  }
  if (seconds.empty()) return figures;
  std::sort(seconds.begin(), seconds.end());
  const auto count = static_cast<double>(seconds.size());
  figures.per_second = count / result.seconds;
  figures.p50_ms = quantile(seconds, .5) * 1000;
  figures.p99_ms = quantile(seconds, .99) * 1000;
  figures.mean_batch /= count;
  return figures;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double metric_of(int port, const std::string& name) {
  httplib::Client client("127.0.0.1", port);
  client.set_read_timeout(60);
  const httplib::Result result = client.Get("/metrics");
  if (!result) return 0;
  double sum = 0;  // whatever their labels
  std::istringstream lines(result->body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ") || line.starts_with(name + "{"))
      sum += std::strtod(line.c_str() + line.rfind(' '), nullptr);
  }
  return sum;
}

}  // namespace gaze::serve

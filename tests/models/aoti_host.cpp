// SPDX-License-Identifier: MIT
// Runs a package as a host does: aoti_host PACKAGE.pt2 HELD.pt NAMED. HELD.pt holds the inputs of each run, and the
// attention weights of each call, from the eager model. Exit 0: off, on and off again gave the same bytes, and the
// calls captured are the eager model's.
#include <gaze/hooks/aoti.hpp>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "aoti_runs.hpp"

namespace {

void run_all(const std::string& file, const torch::jit::Module& held, bool named) {
  const Runs inputs = runs_of(held, "inputs"), weights = runs_of(held, "weights");
  const std::vector<std::string> names = texts_of(held, "names");
  auto package = std::make_unique<Package>(file);
  Package other(file);  // of the same file, and not attached
  const std::string expected = run(*package, inputs);
  auto sink = std::make_shared<Kept>();
  const char* const last =
      named ? R"({"gaze_profile": 1, "sites": {"match": ["*.cross_attn"]}, "heads": {"reduce": "mean"}})"
            : R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "heads": {"reduce": "mean"}})";
  gaze::Gaze gaze = gaze::attach(*package, options(sink, last));
  check(run(*package, inputs) == expected, "the same bytes with no request");
  gaze::Request request = gaze.begin();
  check(run(*package, inputs) == expected, "the same bytes with a request");
  check(run(other, inputs) == expected, "the same bytes of another package");
  request.finish();
  check(gaze.flush(), "a record");
  check(sink->records.size() == 1, "one record, got " + std::to_string(sink->records.size()));
  check(sink->records[0].error.empty(), "no error, got " + sink->records[0].error);
  const auto runs = static_cast<int64_t>(inputs.size());
  check(sink->records[0].maps[0].tokens() == runs, "a row for each run");
  std::vector<std::string> seen;
  for (const gaze::SiteUse& site : sink->records[0].sites) {
    check(site.calls == runs, site.name + " in each run");
    seen.push_back(site.name);
  }
  std::vector<std::string> wanted;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!named) wanted.push_back("attention" + std::to_string(i));
    if (named && names[i].find("cross") != std::string::npos) wanted.push_back(names[i]);
  }
  check(seen == wanted, "the package's sites");
  // Every call's weights, in order.
  size_t call = 0;
  for (size_t step = 0; step < inputs.size(); ++step) {
    const auto exact = gaze.capture_weights([&] { package->run(inputs[step]); });
    check(exact.size() == weights[step].size(), "as many calls as the eager model has");
    for (size_t i = 0; i < exact.size(); ++i, ++call) {
      const double worst = (exact[i].attn_bhqk - weights[step][i]).abs().max().item<double>();
      check(worst < 1e-5,
            "the eager model's weights, got " + std::to_string(worst) + " from them at call " + std::to_string(call));
    }
  }
  bool refused = false;
  try {
    gaze::attach(*package, options(sink, last));
  } catch (const gaze::Error&) {
    refused = true;
  }
  check(refused, "a second attach to be refused");

  // Several threads, while requests come and go.
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        gaze::Request mine = gaze.begin();
        wrong += run(*package, inputs) == expected ? 0 : 1;
        if (n % 2 == 0) mine.finish();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  check(wrong == 0, "the same bytes in every thread");
  check(gaze.flush(), "all records");
  for (const gaze::AttentionRecord& record : sink->records)
    check(record.error.empty(), "no error, got " + record.error);
  check(sink->records.size() == 31, "31 records, got " + std::to_string(sink->records.size()));

  gaze.shutdown();
  check(run(*package, inputs) == expected, "the same bytes once it is off again");
  // Unloaded while attached; the next one may lie where it did.
  gaze::Gaze again = gaze::attach(*package, options(sink, last));
  check(again.enabled(), "an attach after the first ended");
  package.reset();
  Package next(file);
  check(run(next, inputs) == expected, "the same bytes of a package that was loaded later");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    const at::NoGradGuard no_grad;
    run_all(argv[1], torch::jit::load(argv[2]), std::strcmp(argv[3], "named") == 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

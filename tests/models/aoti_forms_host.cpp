// SPDX-License-Identifier: MIT
// Runs a package of several forms of attention: aoti_forms_host PACKAGE.pt2 HELD.pt OUTPUTS LIBRARY. HELD.pt holds the
// inputs of each run, each call's weights in the eager model, and the sites in the order of their calls. LIBRARY: what
// the package needs, without which it must be refused; empty: nothing. Writes the outputs' bytes to OUTPUTS, and prints
// the largest difference of a weight.
#include <dlfcn.h>
#include <gaze/hooks/aoti.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "aoti_runs.hpp"

namespace {

constexpr const char* kAll = R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "heads": {"reduce": "mean"}})";

void check_refused_without(const std::string& file) {
  std::string said;
  try {
    Package package(file);
  } catch (const std::exception& error) {
    said = error.what();
  }
  check(said.find("gaze::observe_") != std::string::npos,
        "a package that asks for its operators, got \"" + said + "\"");
}

/// One request of as many rows as the inputs have.
gaze::Request begin(gaze::Gaze& gaze, const Runs& inputs) {
  return gaze.begin(std::vector<gaze::RequestSpec>(static_cast<size_t>(inputs[0][0].size(0))));
}

double check_weights(gaze::Gaze& gaze, Package& package, const torch::jit::Module& held) {
  const Runs inputs = runs_of(held, "inputs"), weights = runs_of(held, "weights");
  const std::vector<std::string> sites = texts_of(held, "sites");
  double worst = 0;
  for (size_t step = 0; step < inputs.size(); ++step) {
    const auto exact = gaze.capture_weights([&] { package.run(inputs[step]); });
    check(exact.size() == sites.size(),
          std::to_string(sites.size()) + " calls as the eager model has, got " + std::to_string(exact.size()));
    for (size_t i = 0; i < exact.size(); ++i) {
      check(exact[i].site == sites[i], sites[i] + ", got " + exact[i].site);
      const at::Tensor given = exact[i].attn_bhqk.flatten(0, 1), expected = weights[step][i].flatten(0, 1);
      check(given.sizes() == expected.sizes(), "weights of the eager model's sizes at " + sites[i]);
      worst = std::max(worst, (given - expected).abs().max().item<double>());
    }
  }
  check(worst < 1e-5, "the eager model's weights, got " + std::to_string(worst) + " from them");
  return worst;
}

/// Two captures at once: what one package calls is none of the other's.
void check_apart(gaze::Gaze& gaze, Package& package, const std::string& file, const Runs& inputs) {
  Package other(file);
  const auto sink = std::make_shared<Kept>();
  gaze::Gaze others = gaze::attach(other, options(sink, kAll));
  const auto exact = others.capture_weights([&] { package.run(inputs[0]); });
  check(exact.empty(), "no call of another package, got " + std::to_string(exact.size()));
  check(!gaze.capture_weights([&] { package.run(inputs[0]); }).empty(), "its own calls");
  others.shutdown();
}

void check_threads(gaze::Gaze& gaze, Package& package, const Runs& inputs, const std::string& expected) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        gaze::Request mine = begin(gaze, inputs);
        wrong += run(package, inputs) == expected ? 0 : 1;
        if (n % 2 == 0) mine.finish();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  check(wrong == 0, "the same bytes in every thread");
}

void run_all(const std::string& file, const torch::jit::Module& held, const std::string& outputs) {
  const Runs inputs = runs_of(held, "inputs");
  const std::vector<std::string> sites = texts_of(held, "sites");
  auto package = std::make_unique<Package>(file);
  const std::string expected = run(*package, inputs);
  std::ofstream(outputs, std::ios::binary) << expected;
  const auto sink = std::make_shared<Kept>();
  gaze::Gaze gaze = gaze::attach(*package, options(sink, kAll));
  check(run(*package, inputs) == expected, "the same bytes with no request");
  gaze::Request request = begin(gaze, inputs);
  check(run(*package, inputs) == expected, "the same bytes with a request");
  request.finish();
  const auto rows = static_cast<size_t>(inputs[0][0].size(0));
  check(gaze.flush() && sink->records.size() == rows, "a record of each row");
  check(sink->records[0].error.empty(), "no error, got " + sink->records[0].error);
  check(sink->records[0].sites.size() == sites.size(),
        "all sites, got " + std::to_string(sink->records[0].sites.size()));
  for (const gaze::SiteUse& site : sink->records[0].sites) {
    check(std::find(sites.begin(), sites.end(), site.name) != sites.end(), "a known site, got " + site.name);
    check(site.calls == static_cast<int64_t>(inputs.size()), site.name + " in each run");
  }
  const double worst = check_weights(gaze, *package, held);
  check_apart(gaze, *package, file, inputs);
  check_threads(gaze, *package, inputs, expected);
  check(gaze.flush(), "all records");
  check(sink->records.size() == 31 * rows, "31 records of each row, got " + std::to_string(sink->records.size()));
  for (const gaze::AttentionRecord& each : sink->records) check(each.error.empty(), "no error, got " + each.error);
  gaze.shutdown();
  check(run(*package, inputs) == expected, "the same bytes once it is off again");
  gaze::Gaze again = gaze::attach(*package, options(sink, kAll));
  package.reset();
  Package next(file);
  check(run(next, inputs) == expected, "the same bytes of a package that was loaded later");
  again.shutdown();
  gaze::Gaze third = gaze::attach(next, options(sink, kAll));
  check_weights(third, next, held);
  std::printf("%zu sites, %zu runs, weights off by at most %.1e\n", sites.size(), inputs.size(), worst);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    const at::NoGradGuard no_grad;
    if (*argv[4] != '\0') {
      check_refused_without(argv[1]);
      check(dlopen(argv[4], RTLD_NOW) != nullptr, "the operators' library");
    }
    run_all(argv[1], torch::jit::load(argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

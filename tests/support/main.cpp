// SPDX-License-Identifier: MIT
// The main function of every Catch2 program, and what it prints for CTest's log, which holds many cases of one process:
// each case as it starts, so that a killed process names the one it was in; why a case skips; and at the end how many
// passed, failed and skipped.
#define CATCH_CONFIG_MAIN
#include "support/test.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

class CaseLines : public Catch::TestEventListenerBase {
 public:
  using Catch::TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo& /*info*/) override {
    // A case that ends the process would take those after it along, unseen.
    std::atexit([] {
      if (!ended_) std::_Exit(EXIT_FAILURE);
    });
  }

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    print("case: " + info.name);
    why_.clear();
  }

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const std::string message = stats.assertionResult.getMessage();
    if (stats.assertionResult.getResultType() == Catch::ResultWas::Warning && message.rfind(kSkip, 0) == 0) {
      why_ = message.substr(kSkip.size());
    }
    return false;
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (why_.empty() || stats.totals.testCases.failed > 0) return;
    ++skipped_;
    print("skipped (" + why_ + "): " + stats.testInfo.name);
  }

  void testRunEnded(const Catch::TestRunStats& stats) override {
    ended_ = true;
    const Catch::Counts& cases = stats.totals.testCases;
    print("gaze-cases: " + std::to_string(cases.passed + cases.failedButOk - skipped_) + " passed, " +
          std::to_string(cases.failed) + " failed, " + std::to_string(skipped_) + " skipped");
  }

 private:
  static void print(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  inline static const std::string kSkip = "gaze-skip: ";
  inline static bool ended_ = false;
  std::string why_;  // of the case that runs
  size_t skipped_ = 0;
};
CATCH_REGISTER_LISTENER(CaseLines)

}  // namespace

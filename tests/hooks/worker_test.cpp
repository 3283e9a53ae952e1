// SPDX-License-Identifier: MIT
// The queue's budget, sinks that fail or hang, and a bounded end.
#include <condition_variable>
#include <future>

#include "hooks_test.hpp"

using hooks_test::load;
using hooks_test::MemorySink;

namespace {

/// Blocks until let go.
class GateSink : public MemorySink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    entered_.set_value();
    open_.get_future().wait();
    MemorySink::consume(record);
  }
  void wait_until_entered() { entered_.get_future().wait(); }
  void open() { open_.set_value(); }

 private:
  std::promise<void> entered_;
  std::promise<void> open_;
};

class ThrowingSink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    if (record.request_id == "gaze") throw gaze::Error("no space", gaze::DropReason::DiskFull);
    if (record.request_id == "std") throw std::runtime_error("other");
    throw 42;
  }
};

void run(gaze::Gaze& gaze, torch::jit::Module& module, const std::string& id) {
  gaze::Request request = gaze.begin({.id = id});
  module.forward(hooks_test::inputs(1, 2, 6));
  request.finish();
}

}  // namespace

CATCH_TEST_CASE("a full queue drops and counts, and the host does not wait") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<GateSink>();
  gaze::Options options = hooks_test::options(sink);
  options.queue_bytes = 1;  // nothing fits
  gaze::Gaze gaze = gaze::attach(module, options);
  run(gaze, module, "a");
  run(gaze, module, "b");
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::QueueBytes) == 2);
  CATCH_CHECK(gaze.stats().in_flight == 0);
}

CATCH_TEST_CASE("a sink that throws anything is counted by reason and the next record is served") {
  torch::jit::Module module = load("softmax");
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(std::make_shared<ThrowingSink>()));
  for (const char* id : {"gaze", "std", "int", "gaze"}) run(gaze, module, id);
  CATCH_REQUIRE(gaze.flush());
  const auto stats = gaze.stats();
  CATCH_CHECK(stats.drops(gaze::DropReason::DiskFull) == 2);
  CATCH_CHECK(stats.drops(gaze::DropReason::RenderError) == 2);
  CATCH_CHECK(stats.written == 0);
  CATCH_CHECK(stats.in_flight == 0);
}

CATCH_TEST_CASE("shutdown returns although the sink hangs; what waited is dropped and counted") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<GateSink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  run(gaze, module, "hangs");
  sink->wait_until_entered();
  run(gaze, module, "waits");
  CATCH_CHECK_FALSE(gaze.flush(std::chrono::milliseconds(1)));
  gaze.shutdown(std::chrono::milliseconds(10));
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Shutdown) == 1);
  CATCH_CHECK(gaze.stats().in_flight == 1);  // the one in the sink
  CATCH_CHECK_FALSE(gaze.enabled());
  CATCH_CHECK_FALSE(gaze.begin());
  gaze.shutdown(std::chrono::milliseconds(10));
  sink->open();
}

CATCH_TEST_CASE("shutdown writes what is queued when there is time") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  for (int i = 0; i < 20; ++i) run(gaze, module, std::to_string(i));
  gaze.shutdown();
  CATCH_CHECK(sink->records().size() == 20);
  CATCH_CHECK(gaze.stats().written == 20);
}

CATCH_TEST_CASE("a request that outlives its handle ends harmlessly") {
  torch::jit::Module module = load("softmax");
  gaze::Request request;
  {
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(std::make_shared<MemorySink>()));
    request = gaze.begin();
  }
  CATCH_CHECK_NOTHROW(module.forward(hooks_test::inputs(1, 2, 6)));
  request.finish();
  CATCH_CHECK_NOTHROW(module.forward(hooks_test::inputs(1, 2, 6)));
}

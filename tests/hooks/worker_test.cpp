// SPDX-License-Identifier: MIT
// The queue's budget, sinks that fail or hang, and a bounded end.
#include <pthread.h>
#include <sys/resource.h>
#include <gaze/render/stop.hpp>

#include <atomic>
#include <condition_variable>
#include <future>
#include <thread>

#include "allocation_count.hpp"
#include "hooks_test.hpp"

using hooks_test::Lines;
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

/// Writes down what it is asked for, gives up prompts, and is held at one step until it is opened.
class CompactingSink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override { step("draw " + record.request_id); }
  void compact(gaze::AttentionRecord& record) override {
    step("compact " + record.request_id);
    if (record.request_id == "3") throw std::bad_alloc();
    record.prompt = std::string();
  }
  void hold_at(const std::string& step) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_ = step;
    entered_ = false;
  }
  void wait_until_entered() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return entered_; });
  }
  void open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = steps_.back();
    changed_.notify_all();
  }
  std::vector<std::string> steps() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return steps_;
  }

 private:
  void step(const std::string& name) {
    std::unique_lock<std::mutex> lock(mutex_);
    steps_.push_back(name);
    if (name != held_) return;
    entered_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ == name; });
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> steps_;
  std::string held_ = "draw 0", open_;
  bool entered_ = false;
};

class ThrowingSink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    if (record.request_id == "gaze") throw gaze::Error("no space", gaze::DropReason::DiskFull);
    if (record.request_id == "std") throw std::runtime_error("other");
    throw 42;
  }
};

/// Does what it is told to with each record.
class CallSink : public gaze::Sink {
 public:
  explicit CallSink(std::function<void(const gaze::AttentionRecord&)> call) : call_(std::move(call)) {}
  void consume(const gaze::AttentionRecord& record) override { call_(record); }

 private:
  std::function<void(const gaze::AttentionRecord&)> call_;
};

gaze::Options logged(const std::shared_ptr<gaze::Sink>& sink, const Lines& lines) {
  gaze::Options options = hooks_test::options(sink);
  options.log = "warn";
  options.on_log = Lines(lines).take();
  return options;
}

bool balanced(const gaze::Stats& stats) {
  return stats.begun == stats.sampled + stats.drops(gaze::DropReason::NotSampled) &&
         stats.sampled == stats.written + stats.in_flight + stats.lost() && stats.in_flight >= 0;
}

void run(gaze::Gaze& gaze, torch::jit::Module& module, const std::string& id) {
  gaze::Request request = gaze.begin({.id = id});
  module.forward(hooks_test::inputs(1, 2, 6));
  request.finish();
}

}  // namespace

CATCH_TEST_CASE("while the sink hangs the queue fills, drops and counts, and the host does not wait") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<GateSink>();
  gaze::Options options = hooks_test::options(sink);
  options.queue_bytes = 1 << 16;  // of a few records
  gaze::Gaze gaze = gaze::attach(module, options);
  run(gaze, module, "hangs");
  sink->wait_until_entered();
  int64_t others = 0;
  for (; others < 10000 && gaze.stats().drops(gaze::DropReason::QueueBytes) == 0; ++others) run(gaze, module, "more");
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::QueueBytes) == 1);
  CATCH_CHECK(others > 1);
  CATCH_CHECK(gaze.stats().in_flight == others);  // the one in the sink, and all that wait
  CATCH_CHECK(gaze.stats().written == 0);
  sink->open();
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("the worker's thread is known by its name, and goes behind the host's") {
  torch::jit::Module module = load("softmax");
  char name[32] = {};
  int nice = 0;
  gaze::Gaze gaze =
      gaze::attach(module, hooks_test::options(std::make_shared<CallSink>([&](const gaze::AttentionRecord&) {
                     pthread_getname_np(pthread_self(), name, sizeof name);
                     nice = getpriority(PRIO_PROCESS, 0);
                   })));
  run(gaze, module, "one");
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(std::string(name) == "gaze-worker");
  CATCH_CHECK(nice == std::min(19, getpriority(PRIO_PROCESS, 0) + 10));
}

CATCH_TEST_CASE("what waits is compacted before the next is drawn, in order, and the budget holds more") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<CompactingSink>();
  gaze::Options options = hooks_test::options(sink);
  gaze::Gaze gaze = gaze::attach(module, options);
  run(gaze, module, "0");
  sink->wait_until_entered();
  for (int i = 1; i < 6; ++i) run(gaze, module, std::to_string(i));
  sink->open();
  CATCH_REQUIRE(gaze.flush());
  // Nobody waits behind the first; the last of them waits behind others as well. Compacting 3 throws.
  const std::vector<std::string> wanted = {"draw 0", "compact 1", "compact 2", "compact 3", "compact 4", "compact 5",
                                           "draw 1", "draw 2",    "draw 3",    "draw 4",    "draw 5"};
  CATCH_CHECK(sink->steps() == wanted);
  CATCH_CHECK(gaze.stats().written == 6);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("a queue full of pixels has room again as they are compacted") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<CompactingSink>();
  gaze::Options options = hooks_test::options(sink);
  const auto asked = [&](gaze::Gaze& gaze, int id) {
    gaze::RequestSpec spec;
    spec.id = std::to_string(id);
    spec.prompt = std::string(60'000, 'p');  // what the sink gives up
    gaze::Request request = gaze.begin(std::move(spec));
    module.forward(hooks_test::inputs(1, 2, 6));
    request.finish();
  };
  options.queue_bytes = 360'000;  // of five
  gaze::Gaze gaze = gaze::attach(module, options);
  asked(gaze, 0);
  sink->wait_until_entered();
  int others = 1;
  for (; gaze.stats().drops(gaze::DropReason::QueueBytes) == 0; ++others) asked(gaze, others);
  CATCH_REQUIRE(others < 9);
  sink->hold_at("draw 1");
  sink->open();
  sink->wait_until_entered();  // all others are small by now
  int more = 0;
  for (; more < 100 && gaze.stats().drops(gaze::DropReason::QueueBytes) == 1; ++more) asked(gaze, 100 + more);
  CATCH_CHECK(more >= 4);
  sink->open();
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(gaze.stats().in_flight == 0);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("200 answers about pictures that end at once wait within the default budget") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<CompactingSink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  run(gaze, module, "0");
  sink->wait_until_entered();  // nothing is compacted meanwhile
  const at::Tensor photo_hwc = at::zeros({480, 640, 3}, at::kByte);
  for (int i = 0; i < 200; ++i) {
    gaze::RequestSpec spec;
    spec.image = gaze::Picture(photo_hwc);
    gaze::Request request = gaze.begin(std::move(spec));
    module.forward(hooks_test::inputs(1, 2, 6));
    request.finish();
  }
  CATCH_CHECK(gaze.stats().lost() == 0);
  sink->open();
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(gaze.stats().written == 201);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("shutdown counts what was compacted and not drawn") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<CompactingSink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  run(gaze, module, "0");
  sink->wait_until_entered();
  for (int i = 1; i < 6; ++i) run(gaze, module, std::to_string(i));
  sink->hold_at("draw 1");
  sink->open();
  sink->wait_until_entered();
  gaze.shutdown(std::chrono::milliseconds(0));
  sink->open();
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Shutdown) == 4);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("a record beyond the queue's budget is dropped and counted") {
  torch::jit::Module module = load("softmax");
  gaze::Options options = hooks_test::options(std::make_shared<GateSink>());
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
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options());
    request = gaze.begin();
  }
  CATCH_CHECK_NOTHROW(module.forward(hooks_test::inputs(1, 2, 6)));
  request.finish();
  CATCH_CHECK_NOTHROW(module.forward(hooks_test::inputs(1, 2, 6)));
}

CATCH_TEST_CASE("the counters add up at every instant, whatever happens to requests") {
  torch::jit::Module module = load("softmax");
  std::atomic<int64_t> records{0};
  gaze::Options options = hooks_test::options(std::make_shared<CallSink>([&](const gaze::AttentionRecord&) {
    if (++records % 7 == 0) throw gaze::Error("no space", gaze::DropReason::DiskFull);
  }));
  options.sample_rate = 0.5;
  options.queue_bytes = 30'000;  // of three
  gaze::Gaze gaze = gaze::attach(module, options);
  std::atomic<bool> ended{false};
  std::atomic<int64_t> looks{0}, wrong{0};
  std::vector<std::thread> watchers, workers;
  for (int i = 0; i < 2; ++i) {
    watchers.emplace_back([&] {
      do {
        if (!balanced(gaze.stats())) ++wrong;
        ++looks;
      } while (!ended.load());
    });
  }
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&, i] {
      torch::jit::Module own = module;
      for (int n = 0; n < 300; ++n) {
        gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>(static_cast<size_t>(1 + n % 2)));
        if (n % 5 != 0) own.forward(hooks_test::inputs(1 + n % 2, 2, 6));
        if (n % 3 == 0) request.reorder(n % 2 == 0 ? std::vector<int64_t>{0, 0, 0} : std::vector<int64_t>{1});
        if ((n + i) % 4 != 0) request.finish();
        if (n % 11 == 0) own.forward(hooks_test::inputs(2, 2, 6));  // a request of its own
      }
    });
  }
  for (auto& thread : workers) thread.join();
  CATCH_CHECK(gaze.flush());
  gaze.shutdown();
  run(gaze, module, "late");
  ended.store(true);
  for (auto& thread : watchers) thread.join();
  CATCH_CHECK(wrong.load() == 0);
  CATCH_CHECK(looks.load() > 0);
  const gaze::Stats stats = gaze.stats();
  CATCH_CHECK(balanced(stats));
  CATCH_CHECK(stats.in_flight == 0);
  CATCH_CHECK(stats.lost() > 0);
  CATCH_CHECK(stats.drops(gaze::DropReason::NotSampled) > 0);
}

CATCH_TEST_CASE("flush and shutdown take any timeout") {
  using std::chrono::milliseconds;
  for (const milliseconds timeout :
       {milliseconds::max(), milliseconds(std::chrono::hours(24 * 365 * 300)), milliseconds::max() - milliseconds(1)}) {
    CATCH_CAPTURE(timeout.count());
    torch::jit::Module module = load("softmax");
    auto sink = std::make_shared<GateSink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
    run(gaze, module, "waits");
    sink->wait_until_entered();
    std::thread opener([&] { sink->open(); });
    CATCH_CHECK(gaze.flush(timeout));
    opener.join();
    CATCH_CHECK(gaze.stats().written == 1);
    gaze.shutdown(timeout);
    CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Shutdown) == 0);
  }
  for (const milliseconds timeout : {milliseconds::min(), milliseconds(-1), milliseconds(0)}) {
    CATCH_CAPTURE(timeout.count());
    torch::jit::Module module = load("softmax");
    auto sink = std::make_shared<GateSink>();
    gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
    run(gaze, module, "hangs");
    sink->wait_until_entered();
    run(gaze, module, "waits");
    CATCH_CHECK_FALSE(gaze.flush(timeout));
    gaze.shutdown(timeout);
    CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Shutdown) == 1);
    sink->open();
  }
}

CATCH_TEST_CASE("reasons that end no request, thrown by a sink, are counted as its failure") {
  torch::jit::Module module = load("softmax");
  const std::vector<int> reasons = {static_cast<int>(gaze::DropReason::NotSampled),
                                    static_cast<int>(gaze::DropReason::SelfCheck),
                                    static_cast<int>(gaze::DropReason::TokenLimit),
                                    static_cast<int>(gaze::DropReason::kCount),
                                    1000,
                                    -1};
  size_t next = 0;
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(std::make_shared<CallSink>([&](const auto&) {
                                   throw gaze::Error("x", static_cast<gaze::DropReason>(reasons[next++]));
                                 })));
  for (size_t i = 0; i < reasons.size(); ++i) run(gaze, module, "x");
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::RenderError) == static_cast<int64_t>(reasons.size()));
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("several threads may shut down at once") {
  torch::jit::Module module = load("softmax");
  auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink));
  for (int i = 0; i < 5; ++i) run(gaze, module, std::to_string(i));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { gaze.shutdown(); });
  for (auto& thread : threads) thread.join();
  CATCH_CHECK(sink->records().size() == 5);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("a sink may ask the handle anything, and does not wait for itself") {
  torch::jit::Module module = load("softmax");
  gaze::Gaze* handle = nullptr;
  std::promise<bool> flushed;
  Lines lines;
  gaze::Gaze gaze = gaze::attach(module, logged(std::make_shared<CallSink>([&](const gaze::AttentionRecord&) {
                                                  (void)handle->stats();
                                                  const bool all = handle->flush(std::chrono::milliseconds::max());
                                                  handle->shutdown(std::chrono::milliseconds::max());
                                                  flushed.set_value(all);
                                                }),
                                                lines));
  handle = &gaze;
  run(gaze, module, "a");
  CATCH_CHECK_FALSE(flushed.get_future().get());
  gaze.shutdown(std::chrono::milliseconds::max());
  CATCH_CHECK(gaze.stats().written == 1);
  CATCH_CHECK(balanced(gaze.stats()));
}

CATCH_TEST_CASE("after a shutdown that did not wait, a sink that looks gives its record up") {
  torch::jit::Module module = load("softmax");
  std::promise<void> entered, ended;
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(std::make_shared<CallSink>([&](const auto&) {
                                   CATCH_CHECK_FALSE(gaze::stopping());
                                   entered.set_value();
                                   while (!gaze::stopping()) std::this_thread::yield();
                                   ended.set_value();
                                   gaze::throw_if_stopping();
                                 })));
  run(gaze, module, "a");
  entered.get_future().wait();
  gaze.shutdown(std::chrono::milliseconds(0));
  ended.get_future().wait();
  gaze.shutdown(std::chrono::milliseconds::max());
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Shutdown) == 1);
  CATCH_CHECK(gaze.stats().in_flight == 0);
  CATCH_CHECK_FALSE(gaze::stopping());  // nobody stops this thread
}

CATCH_TEST_CASE("a worker without memory drops and counts, and goes on") {
  torch::jit::Module module = load("softmax");
  Lines lines;
  int64_t consumed = 0;
  gaze::Gaze gaze = gaze::attach(module, logged(std::make_shared<CallSink>([&](const gaze::AttentionRecord& record) {
                                                  ++consumed;
                                                  // From here on, until the next record is given to this sink.
                                                  hooks_test::fail_allocations(record.request_id == "exhausted");
                                                  if (record.request_id != "exhausted") return;
                                                  std::string text(1000, 'x');
                                                  text.resize(100000);
                                                }),
                                                lines));
  run(gaze, module, "first");
  for (int i = 0; i < 20; ++i) run(gaze, module, "exhausted");
  CATCH_REQUIRE(gaze.flush());
  // The record itself could not be completed any more, so the sink never saw it.
  CATCH_CHECK(consumed == 2);
  const gaze::Stats stats = gaze.stats();
  CATCH_CHECK(stats.written == 1);
  CATCH_CHECK(stats.drops(gaze::DropReason::HostBudget) == 20);
  CATCH_CHECK(balanced(stats));
  gaze.shutdown();
}

CATCH_TEST_CASE("the first drop of a reason is said at once, also when no record reaches the worker, and once") {
  torch::jit::Module module = load("softmax");
  Lines lines;
  gaze::Options options = logged(std::make_shared<MemorySink>(), lines);
  options.queue_bytes = 1;
  gaze::Gaze gaze = gaze::attach(module, options);
  for (int i = 0; i < 100; ++i) run(gaze, module, "too large");
  CATCH_REQUIRE(lines.at_least(1)[0].find(": queue_bytes: expected room") != std::string::npos);
  { const gaze::Request lost = gaze.begin(); }
  CATCH_CHECK(lines.at_least(2)[1].find("dropped 1 request: not_finished: ") == 0);
  gaze.shutdown();
  const auto all = lines.all();
  CATCH_REQUIRE(all.size() == 3);
  CATCH_CHECK(all[2] ==
              "shutdown: 0 of 101 captured requests were written; dropped were 1 not_finished, 100 queue_bytes");
}

CATCH_TEST_CASE("a new reason is said however many others were said before") {
  torch::jit::Module module = load("softmax");
  Lines lines;
  gaze::Gaze gaze =
      gaze::attach(module, logged(std::make_shared<CallSink>([](const gaze::AttentionRecord& record) {
                                    throw gaze::Error("path " + record.request_id,
                                                      record.request_id == "gone" ? gaze::DropReason::OutDir
                                                                                  : gaze::DropReason::DecodeFailed);
                                  }),
                                  lines));
  for (int i = 0; i < 80; ++i) run(gaze, module, std::to_string(i));
  run(gaze, module, "gone");
  CATCH_REQUIRE(gaze.flush());
  const auto said = lines.at_least(2);
  CATCH_CHECK(said[0].find("dropped 1 request: decode_failed: path ") == 0);
  CATCH_CHECK(said[1] == "dropped 1 request: out_dir: path gone");
  CATCH_CHECK(lines.all().size() == 2);
}

CATCH_TEST_CASE("a line of the log is one line, of plain characters and bounded, whatever it tells of") {
  torch::jit::Module module = load("softmax");
  Lines lines;
  const std::string escape = "\x1b[2J", forged = "\n[2026-01-01] [host] [error] forged", end = "\r\x07\x7f";
  const std::string not_utf8 = "\xff\xc0\xaf\xed\xa0\x80",
                    c1 = "\xc2\x9b"
                         "31m",
                    separator = "\xe2\x80\xa8";
  int64_t reason = 0;
  gaze::Gaze gaze = gaze::attach(module, logged(std::make_shared<CallSink>([&](const gaze::AttentionRecord&) {
                                                  static constexpr gaze::DropReason kReasons[] = {
                                                      gaze::DropReason::DecodeFailed, gaze::DropReason::Labels,
                                                      gaze::DropReason::NonFinite, gaze::DropReason::RowSum};
                                                  const auto each = kReasons[reason++];
                                                  if (reason == 1) throw gaze::Error(escape + forged + end, each);
                                                  if (reason == 2)
                                                    throw gaze::Error(not_utf8 + c1 + separator + "\xc3\xa9", each);
                                                  throw gaze::Error(std::string(1 << 20, '\xff'), each);
                                                }),
                                                lines));
  for (int i = 0; i < 4; ++i) run(gaze, module, "x");
  CATCH_REQUIRE(gaze.flush());
  gaze.shutdown();
  for (const std::string& line : lines.all()) {
    CATCH_CAPTURE(line);
    CATCH_CHECK(line.size() <= 1000);
    for (const char c : line) CATCH_REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    for (const std::string& bad : {std::string("\xff"), c1, separator, std::string("\xed\xa0")})
      CATCH_CHECK(line.find(bad) == std::string::npos);
  }
  CATCH_CHECK(lines.all()[0].find("forged") != std::string::npos);
}

CATCH_TEST_CASE("a log that throws, calls the handle or causes lines itself does no harm") {
  torch::jit::Module module = load("softmax");
  std::atomic<int> lines{0};
  gaze::Gaze* handle = nullptr;
  gaze::Options options = hooks_test::options(std::make_shared<ThrowingSink>());
  options.log = "debug";
  options.on_log = [&](gaze::LogLevel, std::string_view) {
    ++lines;
    if (handle != nullptr) {
      (void)handle->stats();
      (void)handle->flush(std::chrono::milliseconds::max());
      { const gaze::Request lost = handle->begin(); }
    }
    torch::jit::Module other = load("sdpa");
    gaze::Options inner = hooks_test::options();
    inner.log = "debug";
    inner.on_log = [&](gaze::LogLevel, std::string_view) { lines += 1000; };
    (void)gaze::attach(other, inner);  // says that it is attached
    throw std::runtime_error("from the log");
  };
  gaze::Gaze gaze = gaze::attach(module, options);
  CATCH_CHECK(lines.load() > 0);
  CATCH_CHECK(lines.load() < 1000);
  handle = &gaze;
  for (const char* id : {"gaze", "std", "int"}) run(gaze, module, id);
  gaze.shutdown(std::chrono::milliseconds::max());
  CATCH_CHECK(lines.load() >= 4);
  CATCH_CHECK(gaze.stats().written == 0);
  CATCH_CHECK(balanced(gaze.stats()));
}

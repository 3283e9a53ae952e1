// SPDX-License-Identifier: MIT
// A host that does everything at once, and looks at the counters all the while:
// gaze_torture short|whole [law] [sampling] [overlap].
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/jit/serialization/import.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "host.hpp"
#ifdef GAZE_FAULT_SHIM
#include "shim.hpp"
#endif

namespace gaze::test {
namespace {

using std::chrono::minutes;

/// What did not hold; the first few of a kind are shown.
class Findings {
 public:
  void add(const std::string& text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (++count_ <= 8) std::fprintf(stderr, "  %s\n", text.c_str());
  }
  [[nodiscard]] long count() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  mutable std::mutex mutex_;
  long count_ = 0;
};

Findings findings;

void expect(bool holds, const std::string& text) {
  if (!holds) findings.add(text);
}

/// Request "r7" has prompt "p7", labels "w7", a picture marked 7, and a map that is highest at key 7.
class MarkSink final : public Sink {
 public:
  explicit MarkSink(bool maps_are_marked) : maps_are_marked_(maps_are_marked) {}

  void consume(const AttentionRecord& record) override {
    const int64_t count = ++seen;
    if (hold && count % 64 == 0) hold();
    if (!record.error.empty()) throw Error(record.error, record.error_reason);
    if (record.request_id.rfind("call-", 0) == 0) {
      ++automatic;
    } else {
      check(record);
    }
    if (throw_every > 0 && count % throw_every == 0) throw std::runtime_error("the sink's own fault");
  }

  std::atomic<int64_t> seen{0}, automatic{0};
  std::function<void()> hold;  // set before the first request
  int64_t throw_every = 0;

 private:
  void check(const AttentionRecord& record) const {
    const int64_t mark = std::atoll(record.request_id.c_str() + 1);
    const std::string text = std::to_string(mark);
    expect(record.prompt == "p" + text, record.request_id + " has the prompt " + record.prompt);
    expect(has_mark(std::get<gaze::PictureMedium>(record.maps[0].medium).picture.tensor, mark),
           record.request_id + " has another request's picture");
    for (const std::string& label : record.labels)
      expect(label == "w" + text, record.request_id + " has the label " + label);
    if (!maps_are_marked_) return;
    const at::Tensor hottest_t = record.maps[0].map_tk.argmax(-1);
    expect(hottest_t.eq(mark % kKeys).all().item<bool>(), record.request_id + " has another request's map");
  }
  const bool maps_are_marked_;
};

RequestSpec spec_of(int64_t mark) {
  RequestSpec spec;
  spec.id = "r" + std::to_string(mark);
  spec.prompt = "p" + std::to_string(mark);
  spec.image = marked_picture(mark);
  return spec;
}

void label(Request& request, const std::vector<int64_t>& marks, size_t tokens) {
  for (size_t row = 0; row < marks.size(); ++row)
    request.label(std::vector<std::string>(tokens, "w" + std::to_string(marks[row])), row);
}

void expect_marks(const at::Tensor& out, const std::vector<int64_t>& marks) {
  for (size_t b = 0; b < marks.size(); ++b)
    expect(std::llround(out[static_cast<int64_t>(b)][0][0][0].item<double>()) == marks[b], "an answer changed");
}

/// Two attached models: the null model, and one that forks (tests/hooks/models), with requests in both at once.
class Host {
 public:
  Host() : model_(null_model()), forked_(torch::jit::load(std::string(GAZE_TEST_MODELS) + "/fork.pt")) {
    auto generator = at::detail::createCPUGenerator(1);
    x_ = at::randn({1, 1, 16}, generator);
    memory_ = at::randn({1, kKeys, 16}, generator);
    want_ = forked_.forward({x_, memory_}).toTensor().clone();
    Profile profile = null_profile();
    profile.image.reset();
    Options options = null_options(null_profile());
    options.queue_bytes = 256 << 10;
    options.sink = sink = std::make_shared<MarkSink>(true);
    sink->throw_every = 7;
    // The queue fills up while the sink holds still.
    sink->hold = [this] {
      const int64_t before = gaze.stats().drops(DropReason::QueueBytes);
      while (!ended.load() && gaze.stats().drops(DropReason::QueueBytes) == before) std::this_thread::yield();
    };
    gaze = attach(model_, options);
    options = null_options(profile);
    options.sink = forked_sink = std::make_shared<MarkSink>(false);
    forked_gaze = attach(forked_, options);
  }

  /// One request, or what else a host does, of a kind that the generator chooses.
  void act(std::mt19937& random) {
    const auto kind = random() % 9;
    std::vector<int64_t> marks(kind == 0 ? 1 + random() % 4 : 1);
    for (int64_t& mark : marks) mark = next_mark_++;
    const Marked in(marks);
    const auto forward = [&](int64_t queries = kPrompt) { expect_marks(run(model_, in, queries), marks); };
    if (kind == 8) {  // no request: each call is one
      ++opened;
      forward();
      return;
    }
    std::vector<RequestSpec> specs;
    for (const int64_t mark : marks) specs.push_back(spec_of(mark));
    opened += static_cast<int64_t>(marks.size());
    Request request = gaze.begin(std::move(specs));
    if (kind == 1) {  // destroyed unfinished
      forward();
    } else if (kind == 2) {  // finished on another thread, twice
      forward();
      label(request, marks, 1);
      std::thread([other = std::move(request)]() mutable {
        other.finish();
        other.finish();
      }).join();
    } else if (kind == 3) {  // the model throws in the middle
      try {
        run(model_, in, kPrompt, "failing");
        findings.add("the model's exception was lost");
      } catch (const std::exception&) {  // its own
      }
      forward();
      request.finish();
    } else if (kind == 4) {  // two tokens of a fused attention
      for (const int64_t queries : {kPrompt, kStep}) expect_marks(run(model_, in, queries, "fused"), marks);
      label(request, marks, 2);
      request.finish();
    } else if (kind == 5) {  // another request takes its handle
      opened += 1;
      request = gaze.begin(spec_of(marks[0]));
      forward();
      request.finish();
    } else if (kind == 6) {  // a model within a model's request
      const int64_t mark = next_mark_++;
      ++forked_opened;
      Request inner = forked_gaze.begin(spec_of(mark));
      for (const int64_t queries : {kPrompt, kStep}) {
        forward(queries);
        expect(at::equal(forked_.forward({x_, memory_}).toTensor(), want_), "an answer of the forking model changed");
      }
      label(request, marks, 2);
      label(inner, {mark}, 2);
      if (random() % 2 == 0) std::swap(request, inner);
      inner.finish();
      request.finish();
    } else {
      forward();
      forward(kStep);
      label(request, marks, 2);
      request.finish();
      request.finish();
    }
  }

  std::shared_ptr<MarkSink> sink, forked_sink;
  Gaze gaze, forked_gaze;
  std::atomic<int64_t> opened{0}, forked_opened{0};
  std::atomic<bool> ended{false};

 private:
  torch::jit::Module model_, forked_;
  at::Tensor x_, memory_, want_;
  std::atomic<int64_t> next_mark_{1};
};

/// The counters' law at every look that two threads take while eight open requests.
void law(bool whole) {
  const int64_t least_looks = whole ? 100'000'000 : 300'000;
  const int64_t least_acts = whole ? 200'000 : 3'000;
  Host host;
  std::atomic<int64_t> looks{0}, broken{0}, acts{0};
  std::atomic<bool> stop{false};
  const auto watch = [&](const Gaze& gaze) {
    while (!stop.load(std::memory_order_relaxed)) {
      const Stats stats = gaze.stats();
      ++looks;
      if (const std::string text = breach(stats); !text.empty()) {
        ++broken;
        findings.add(text + " (" + shown(stats) + ")");
      }
    }
  };
  std::thread first(watch, std::cref(host.gaze));
  std::thread second(watch, std::cref(host.gaze));
  std::thread third(watch, std::cref(host.forked_gaze));
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&, seed] {
      const at::NoGradGuard no_grad;
      std::mt19937 random(seed);
      while (acts.fetch_add(1) < least_acts || looks.load() < least_looks) host.act(random);
    });
  }
  for (std::thread& thread : threads) thread.join();
  host.ended = true;
  expect(host.gaze.flush(minutes(5)) && host.forked_gaze.flush(minutes(5)), "flush did not end");
  stop = true;
  for (std::thread* const thread : {&first, &second, &third}) thread->join();

  const Stats stats = host.gaze.stats();
  const Stats forked = host.forked_gaze.stats();
  for (const Stats& each : {stats, forked}) {
    expect(breach(each).empty(), breach(each));
    expect(each.in_flight == 0, "in flight at the end: " + shown(each));
  }
  expect(stats.begun == host.opened.load(), "begun: " + shown(stats));
  expect(forked.begun == host.forked_opened.load(), "begun: " + shown(forked));
  expect(stats.drops(DropReason::QueueBytes) > 0 && stats.drops(DropReason::NotFinished) > 0 &&
             stats.drops(DropReason::RenderError) > 0 && stats.written > 0,
         "expected a full queue, unfinished requests and a throwing sink, got " + shown(stats));
  std::fprintf(stderr, "law: %ld looks, %ld broken; %ld requests on 8 threads, %ld records compared; %s\n",
               static_cast<long>(looks), static_cast<long>(broken), static_cast<long>(stats.begun + forked.begun),
               static_cast<long>(host.sink->seen + host.forked_sink->seen), shown(stats).c_str());
}

/// A request that sampling decided against is none, and nothing of it is captured under another name.
void sampling(bool whole) {
  const int64_t requests = whole ? 5000 : 1000;
  const int64_t calls = 50;
  const at::NoGradGuard no_grad;
  const Marked in({1});
  for (const double rate : {0.0, 0.01, 1.0}) {
    torch::jit::Module model = null_model();
    Options options = null_options(null_profile());
    const auto sink = std::make_shared<MarkSink>(true);
    options.sink = sink;
    options.sample_rate = rate;
    Gaze gaze = attach(model, options);
    const int64_t opened = rate == 0.01 ? requests : requests / 10;
    for (int64_t i = 0; i < opened; ++i) {
      Request request = gaze.begin(spec_of(1));
      for (int64_t call = 0; call < calls; ++call) run(model, in, call == 0 ? kPrompt : kStep);
      request.finish();
      if (i % 64 == 0) gaze.flush();
    }
    gaze.flush();
    const Stats stats = gaze.stats();
    const std::string at_rate = " at rate " + std::to_string(rate) + ": ";
    expect(stats.begun == opened, "begun is not what the host opened" + at_rate + shown(stats));
    expect(breach(stats).empty(), breach(stats));
    expect(sink->automatic == 0,
           "captured outside of the sampled requests" + at_rate + std::to_string(sink->automatic.load()) + " calls");
    expect(sink->seen == stats.sampled, "records" + at_rate + std::to_string(sink->seen.load()) + ", " + shown(stats));
    expect(rate != 0.0 || stats.sampled == 0, "sampled" + at_rate + shown(stats));
    expect(rate != 1.0 || stats.written == opened, "written" + at_rate + shown(stats));
    // Of 1000 draws 10 are expected; fewer than 1 or more than 40 come once in 20,000 times, and draws are a sequence.
    expect(rate != 0.01 || (stats.sampled >= opened / 1000 && stats.sampled <= opened / 25),
           "share" + at_rate + shown(stats));
    const int64_t before = stats.begun;
    for (int64_t call = 0; call < calls; ++call) run(model, in, kPrompt);
    gaze.flush();
    expect(gaze.stats().begun == before + calls, "calls without a request" + at_rate + shown(gaze.stats()));
    std::fprintf(stderr, "sampling%s%s\n", at_rate.c_str(), shown(gaze.stats()).c_str());
  }
}

#ifdef GAZE_FAULT_SHIM
/// Requests of one thread that overlap: what a finished one leaves behind is found by counting, not by the clock.
class Overlap {
 public:
  Overlap() : in_({1}), model_(null_model()) {
    Options options = null_options(null_profile());
    options.sink = std::make_shared<MarkSink>(true);
    gaze_ = attach(model_, options);
    for (int i = 0; i < 4; ++i) finish(gaze_.begin(spec_of(1)));
  }

  /// As a scheduler does: the next one is opened before the last one is finished.
  void in_pairs(int64_t count) {
    Request last = gaze_.begin(spec_of(1));
    Costs early;
    for (int64_t i = 0; i < count; ++i) {
      Request next = gaze_.begin(spec_of(1));
      if (i == count / 10) early = costs();
      if (i == count - 1) compare("in pairs", early, costs());
      finish(std::move(last));
      last = std::move(next);
    }
    finish(std::move(last));
  }

  /// All open, then finished from the first to the last, or the other way.
  void all_open(int64_t count, bool first_first) {
    const Costs early = costs();
    std::deque<Request> open;
    for (int64_t i = 0; i < count; ++i) open.push_back(gaze_.begin(spec_of(1)));
    const Costs held = costs();
    expect(held.of_a_call <= early.of_a_call + kSlack, "a call allocates more where requests are open");
    while (!open.empty()) {
      finish(std::move(first_first ? open.front() : open.back()));
      first_first ? open.pop_front() : open.pop_back();
    }
    open.shrink_to_fit();
    compare(first_first ? "first opened, first finished" : "last opened, first finished", early, costs());
  }

 private:
  static constexpr long kSlack = 100;  // blocks of queues, which come and go
  struct Costs {
    long live = 0, of_a_call = 0;
  };

  void finish(Request request) {
    run(model_, in_, kPrompt);
    request.finish();
    if (++finished_ % 64 == 0) gaze_.flush();
  }

  Costs costs() {
    gaze_.flush();
    Costs found;
    found.live = gaze_fault_live();
    gaze_fault_memory(gettid(), 0, false, false);
    run(model_, in_, kPrompt);
    gaze_fault_end(&found.of_a_call);
    gaze_.flush();
    return found;
  }

  static void compare(const std::string& how, const Costs& early, const Costs& late) {
    std::fprintf(stderr, "overlap, %s: %ld allocations live, then %ld; a call makes %ld, then %ld\n", how.c_str(),
                 early.live, late.live, early.of_a_call, late.of_a_call);
    expect(late.live <= early.live + kSlack, "overlapping requests leave allocations behind, " + how);
    expect(late.of_a_call <= early.of_a_call + kSlack, "a call allocates more, " + how);
  }

  Marked in_;
  torch::jit::Module model_;
  Gaze gaze_;
  int64_t finished_ = 0;
};

void overlap(bool whole) {
  const int64_t count = whole ? 20'000 : 2'000;
  const at::NoGradGuard no_grad;
  Overlap().in_pairs(count);
  Overlap().all_open(count, true);
  Overlap().all_open(count, false);
}
#endif

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  using namespace gaze::test;
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode != "short" && mode != "whole") {
    std::fprintf(stderr, "gaze_torture: expected short or whole, got \"%s\".\n", mode.c_str());
    return 2;
  }
  at::set_num_threads(1);
  const bool whole = mode == "whole";
  const auto wanted = [&](const char* name) {
    return argc == 2 || std::any_of(argv + 2, argv + argc, [&](const char* each) { return std::string(each) == name; });
  };
  if (wanted("law")) law(whole);
  if (wanted("sampling")) sampling(whole);
#ifdef GAZE_FAULT_SHIM
  if (wanted("overlap")) overlap(whole);
#endif
  std::printf("torture: %ld findings\n", findings.count());
  return findings.count() == 0 ? 0 : 1;
}

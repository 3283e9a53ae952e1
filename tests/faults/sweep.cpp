// SPDX-License-Identifier: MIT
// Makes the n-th allocation or system call of Gaze fail, for every n, once and for ever, and looks at the host after
// each: gaze_fault_sweep short|whole [SWEEP...]. `short` tries a sample of them, `list` names the sweeps.
//
// A child process, forked when LibTorch is warm, works through n by n until one hurts it; the next child goes on
// behind. Where a failure struck is told by its call path.
#include <ATen/Parallel.h>
#include <cxxabi.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <new>
#include <set>
#include <sstream>

#include "host.hpp"
#include "shim.hpp"

namespace gaze::test {
namespace {

using std::chrono::seconds;

enum class Target { Host, Worker, Attach };
enum class Fault { Allocation, Call, ShortWrites };

/// One request of a host, or what else is done while a fault lies in wait.
class Rig;
using Work = void (*)(Rig&);

struct Sweep {
  const char* name;
  Target target;
  Fault fault;
  bool for_ever;
  int error;  // of calls
  Work work;
  bool sound = false;
  double sample_rate = 1;
  int64_t deferred_tokens = 0;
};

/// What a child tells its parent; in shared memory, so that it survives the child.
struct Report {
  long number = 0;    // being tried
  long failed = 0;    // injected failures at this number
  long tried = 0;     // numbers whose looks are done
  long sites = 0;     // counted in the last run
  bool done = false;  // no number is left
  char hurt[600] = {};
  char outcome[64] = {};
  std::array<long, static_cast<size_t>(DropReason::kCount)> drops{};
  GazeFaultTrace trace{};
};

int count_descriptors() {
  int count = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

std::set<pid_t> threads() {
  std::set<pid_t> found;
  DIR* const folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') found.insert(std::atoi(entry->d_name));
  }
  closedir(folder);
  return found;
}

class CountingSink final : public Sink {
 public:
  void consume(const AttentionRecord& record) override {
    if (!record.error.empty()) throw Error(record.error, record.error_reason);
  }
};

/// The host of one child.
class Rig {
 public:
  Rig(const Sweep& sweep, torch::jit::Module module, const std::string& folder)
      : one({1}), three({1, 2, 3}), model(std::move(module)) {
    const at::NoGradGuard no_grad;
    for (const char* const method : {"forward", "fused"}) {
      for (const Marked* const in : {&one, &three}) {
        for (const int64_t queries : {kPrompt, kStep})
          answers_.push_back({method, in, queries, test::run(model, *in, queries, method)});
      }
    }
    options = null_options(sweep.sound ? null_sound_profile() : null_profile());
    options.sample_rate = sweep.sample_rate;
    options.deferred_tokens = sweep.deferred_tokens;
    options.log = "warn";
    if (sweep.sound) options.word_files = {WordFile::Vtt, WordFile::Srt, WordFile::TextGrid};
    if (sweep.target == Target::Host) {
      options.sink = std::make_shared<CountingSink>();
    } else {
      options.out_dir = folder;
    }
  }

  /// Calls the model and compares its answer with the one it gave before it was attached to.
  void run(const Marked& in, int64_t queries, const char* method = "forward") {
    const at::Tensor got = test::run(model, in, queries, method);
    for (const Answer& answer : answers_) {
      if (std::strcmp(answer.method, method) != 0 || answer.in != &in || answer.queries != queries) continue;
      if (got.sizes() == answer.out.sizes() && std::memcmp(got.data_ptr(), answer.out.data_ptr(), got.nbytes()) == 0)
        return;
    }
    throw std::runtime_error("the model's output changed");
  }

  /// Longer than what a string holds without an allocation.
  static RequestSpec spec() {
    RequestSpec made;
    made.id = "a request id that does not fit into a small string";
    made.prompt = "a prompt that does not fit into a small string";
    made.image = marked_picture(7);
    return made;
  }
  static RequestSpec sound_spec() {
    RequestSpec made = spec();
    made.image = {};
    made.sound = tone();
    return made;
  }
  static std::vector<std::string> labels() {
    return {"a label that does not fit into a small string", " another one that does not fit either"};
  }

  Marked one, three;
  torch::jit::Module model;
  Options options;
  Gaze gaze;

 private:
  struct Answer {
    const char* method;
    const Marked* in;
    int64_t queries;
    at::Tensor out;
  };
  std::vector<Answer> answers_;
};

void explicit_request(Rig& rig) {
  Request request = rig.gaze.begin(Rig::spec());
  rig.run(rig.one, kPrompt);
  rig.run(rig.one, kStep);
  request.tokens({1, 2});
  request.label(Rig::labels());
  request.finish();
}

void automatic_request(Rig& rig) { rig.run(rig.one, kPrompt); }

void automatic_batch(Rig& rig) { rig.run(rig.three, kPrompt); }

void batch(Rig& rig) {
  Request request = rig.gaze.begin({Rig::spec(), Rig::spec(), Rig::spec()});
  rig.run(rig.three, kPrompt);
  rig.run(rig.three, kStep);
  for (size_t row = 0; row < 3; ++row) request.label(Rig::labels(), row);
  request.finish();
}

void reordered(Rig& rig) {
  Request request = rig.gaze.begin(Rig::spec());
  rig.run(rig.one, kPrompt);
  request.label(Rig::labels());
  request.reorder({0, 0, 0});
  rig.run(rig.three, kStep);
  request.reorder({2, 1});
  request.reorder({0});
  request.finish();
}

void fused_request(Rig& rig) {
  Request request = rig.gaze.begin({Rig::spec(), Rig::spec(), Rig::spec()});
  rig.run(rig.three, kPrompt, "fused");
  for (int step = 0; step < 2; ++step) rig.run(rig.three, kStep, "fused");
  request.finish();
}

void unfinished(Rig& rig) {
  const Request request = rig.gaze.begin(Rig::spec());
  rig.run(rig.one, kPrompt);
}

void throwing_model(Rig& rig) {
  const auto fail = [&] {
    try {
      run(rig.model, rig.one, kPrompt, "failing");
    } catch (const std::exception& error) {
      if (std::strstr(error.what(), "failed on purpose") != nullptr) return;
      throw;
    }
    throw std::runtime_error("the model's own exception was lost");
  };
  fail();
  Request request = rig.gaze.begin(Rig::spec());
  fail();
  rig.run(rig.one, kPrompt);
  request.finish();
}

void sound_request(Rig& rig) {
  Request request = rig.gaze.begin(Rig::sound_spec());
  request.window(0, 1);
  rig.run(rig.one, kPrompt);
  rig.run(rig.one, kStep);
  request.sound(tone());
  request.label(Rig::labels());
  request.finish();
}

/// The picture's keys are a prompt's tokens as well.
void text_request(Rig& rig) {
  RequestSpec spec = Rig::spec();
  for (int64_t k = 0; k < kKeys; ++k)
    spec.text.tokens.push_back(" a token of the prompt that is longer than a small string");
  spec.text.sources = {{SourceKind::Passage, "an id that does not fit into a small string", 0, 6},
                       {SourceKind::User, "another id that does not fit into a small string", 6, 20}};
  Request request = rig.gaze.begin(std::move(spec));
  rig.run(rig.one, kPrompt);
  rig.run(rig.one, kStep);
  request.label(Rig::labels());
  request.finish();
}

constexpr auto kHost = Target::Host;
constexpr auto kWorker = Target::Worker;
constexpr auto kAllocation = Fault::Allocation;

std::vector<Sweep> sweeps() {
  std::vector<Sweep> all;
  for (const bool for_ever : {false, true}) {
    const auto add = [&](Sweep sweep) {
      sweep.for_ever = for_ever;
      all.push_back(sweep);
    };
    add({"host-explicit", kHost, kAllocation, false, 0, explicit_request});
    add({"host-automatic", kHost, kAllocation, false, 0, automatic_request});
    add({"host-automatic-batch", kHost, kAllocation, false, 0, automatic_batch});
    add({"host-batch", kHost, kAllocation, false, 0, batch});
    add({"host-reorder", kHost, kAllocation, false, 0, reordered});
    add({"host-fused", kHost, kAllocation, false, 0, fused_request});
    add({"host-deferred", kHost, kAllocation, false, 0, fused_request, false, 1, 4});
    add({"host-unfinished", kHost, kAllocation, false, 0, unfinished});
    add({"host-throwing-model", kHost, kAllocation, false, 0, throwing_model});
    add({"host-sound", kHost, kAllocation, false, 0, sound_request, true});
    add({"host-text", kHost, kAllocation, false, 0, text_request});
    add({"host-unsampled", kHost, kAllocation, false, 0, explicit_request, false, 0});
    add({"host-unsampled-automatic", kHost, kAllocation, false, 0, automatic_batch, false, 0});
    add({"worker-picture", kWorker, kAllocation, false, 0, explicit_request});
    add({"worker-sound", kWorker, kAllocation, false, 0, sound_request, true});
    add({"worker-text", kWorker, kAllocation, false, 0, text_request});
    add({"attach", Target::Attach, kAllocation, false, 0, explicit_request});
  }
  for (const int error : {ENOSPC, EIO, EACCES, EMFILE, ENOSYS, EDQUOT, EROFS, ENOENT, ENOTDIR, ENFILE, ELOOP, ESTALE,
                          EPERM, EINTR, EINVAL, EEXIST}) {
    all.push_back({"calls-picture", kWorker, Fault::Call, false, error, explicit_request});
    all.push_back({"calls-sound", kWorker, Fault::Call, false, error, sound_request, true});
  }
  for (const int error : {ENOSPC, EMFILE, EIO, EACCES})
    all.push_back({"calls-picture", kWorker, Fault::Call, true, error, explicit_request});
  all.push_back({"short-writes-text", kWorker, Fault::ShortWrites, true, 0, text_request});
  all.push_back({"short-writes-picture", kWorker, Fault::ShortWrites, true, 0, explicit_request});
  all.push_back({"short-writes-sound", kWorker, Fault::ShortWrites, true, 0, sound_request, true});
  return all;
}

std::string title(const Sweep& sweep) {
  std::string text = sweep.name;
  if (sweep.fault == Fault::Call) text += std::string(" ") + strerrorname_np(sweep.error);
  return text + (sweep.fault == Fault::ShortWrites ? "" : sweep.for_ever ? " for ever" : " once");
}

/// Tries number after number in a child.
class Child {
 public:
  Child(const Sweep& sweep, Report& report, torch::jit::Module model, const std::string& folder)
      : sweep_(sweep), report_(report), rig_(sweep, std::move(model), folder) {}

  /// Counts the sites only.
  void count() {
    if (sweep_.target == Target::Attach) {
      try_attach(0);
      return;
    }
    start();
    arm(0);
    sweep_.work(rig_);
    rig_.gaze.flush(seconds(20));
    gaze_fault_end(&report_.sites);
  }

  void work_through(long first, long step) {
    gaze_fault_trace(&report_.trace);
    if (sweep_.target != Target::Attach) start();
    for (long number = first;; number += step) {
      report_.number = number;
      report_.failed = 0;
      alarm(40);
      const std::string hurt = sweep_.target == Target::Attach ? try_attach(number) : try_request(number);
      ++report_.tried;
      std::strncpy(report_.hurt, hurt.c_str(), sizeof(report_.hurt) - 1);
      if (!hurt.empty()) return;
      // Nothing was left to fail.
      if (report_.failed == 0 && sweep_.fault != Fault::ShortWrites) break;
      if (sweep_.fault == Fault::ShortWrites && number >= 3) break;
    }
    report_.done = true;
  }

 private:
  void start() {
    const std::set<pid_t> before = threads();
    rig_.gaze = attach(rig_.model, rig_.options);
    for (const pid_t thread : threads()) {
      if (before.count(thread) == 0) worker_ = thread;
    }
    for (int i = 0; i < 3; ++i) {  // what is made once is made now
      sweep_.work(rig_);
      rig_.gaze.flush(seconds(20));
    }
  }

  void arm(long number) const {
    const pid_t thread = sweep_.target == Target::Worker ? worker_ : gettid();
    if (sweep_.fault == Fault::ShortWrites) {
      gaze_fault_short_writes(thread);
    } else if (sweep_.fault == Fault::Call) {
      gaze_fault_calls(thread, number, sweep_.for_ever, sweep_.error);
    } else {
      // All that the worker allocates is for Gaze; on the host's threads only what it does within Gaze.
      gaze_fault_memory(thread, number, sweep_.for_ever, sweep_.target != Target::Worker);
    }
  }

  /// The request that a fault lies in wait for, and the one after it.
  std::string once(long number) {
    const Stats before = rig_.gaze.stats();
    std::string threw;
    arm(number);
    try {
      sweep_.work(rig_);
    } catch (const std::exception& error) {
      threw = error.what();
    }
    const bool flushed = rig_.gaze.flush(seconds(20));
    report_.failed = gaze_fault_end(&report_.sites);
    if (!threw.empty()) return "the host was thrown at: " + threw;
    if (!flushed) return "flush did not end within 20 s";
    const Stats after = rig_.gaze.stats();
    if (const std::string broken = breach(after); !broken.empty()) return broken + " (" + shown(after) + ")";
    if (after.in_flight != 0) return "in flight after flush: " + std::to_string(after.in_flight);
    for (size_t i = 0; i < after.dropped.size(); ++i) report_.drops[i] += after.dropped[i] - before.dropped[i];

    try {
      sweep_.work(rig_);
    } catch (const std::exception& error) {
      return "the host was thrown at by the next request: " + std::string(error.what());
    }
    if (!rig_.gaze.flush(seconds(20))) return "the next request is not done within 20 s";
    const Stats next = rig_.gaze.stats();
    if (const std::string broken = breach(next); !broken.empty()) return "next request: " + broken;
    const int64_t wanted = sweep_.work == unfinished || sweep_.sample_rate == 0 ? 0 : 1;
    if (next.written - after.written < wanted) return "the next request was not written: " + shown(next);
    return {};
  }

  std::string try_request(long number) {
    const long live = gaze_fault_live();
    const int descriptors = count_descriptors();
    std::string hurt = once(number);
    if (!hurt.empty()) return hurt;
    // What a failure leaves once is a cache, a log line that was said; what it leaves every time is a leak.
    long grown = gaze_fault_live() - live;
    for (int again = 0; again < 3 && grown > 0 && hurt.empty(); ++again) {
      const long sooner = gaze_fault_live();
      hurt = once(number);
      grown = gaze_fault_live() - sooner;
    }
    if (hurt.empty() && grown > 0) return "leaks " + std::to_string(grown) + " allocations each time";
    if (hurt.empty() && count_descriptors() > descriptors) return "leaks a file descriptor";
    return hurt;
  }

  /// A module of its own for every number: what attach leaves in one must not be what the next one finds.
  std::string try_attach(long number) {
    rig_.model = null_model();
    std::string outcome = "attached";
    {
      Gaze gaze;
      arm(number);
      try {
        gaze = attach(rig_.model, rig_.options);
      } catch (const Error&) {
        outcome = "gaze::Error";
      } catch (const std::bad_alloc&) {
        outcome = "std::bad_alloc";
      } catch (const std::exception& error) {
        outcome = std::string("leaves as another exception: ") + error.what();
      }
      report_.failed = gaze_fault_end(&report_.sites);
      std::strncpy(report_.outcome, outcome.c_str(), sizeof(report_.outcome) - 1);
      if (outcome.rfind("leaves", 0) == 0) return outcome.substr(0, 300);
    }
    try {
      automatic_request(rig_);
      rig_.gaze = attach(rig_.model, rig_.options);
      sweep_.work(rig_);
      if (!rig_.gaze.flush(seconds(20))) return "the first request after a failed attach is not done within 20 s";
    } catch (const std::exception& error) {
      return std::string("after a failed attach: ") + error.what();
    }
    const Stats stats = rig_.gaze.stats();
    rig_.gaze = {};
    if (const std::string broken = breach(stats); !broken.empty()) return broken;
    if (stats.written < 1) return "the first request after a failed attach was not written: " + shown(stats);
    return {};
  }

  const Sweep& sweep_;
  Report& report_;
  Rig rig_;
  pid_t worker_ = 0;
};

/// What the symbol table of a library calls an address, without arguments; empty where it has no name for it.
std::string function_at(const void* address) {
  Dl_info found{};
  if (dladdr(address, &found) == 0 || found.dli_fname == nullptr) return {};
  // Of the libraries of the house also those that they export to nobody.
  const bool ours = std::strstr(found.dli_fname, "/libgaze_") != nullptr;
  std::string function;
  if (ours) {
    std::ostringstream command;
    command << "addr2line -Cfe " << found.dli_fname << " 0x" << std::hex
            << reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(found.dli_fbase) - 1
            << " 2>/dev/null";
    std::array<char, 1000> line{};
    FILE* const pipe = popen(command.str().c_str(), "r");
    if (pipe != nullptr && std::fgets(line.data(), static_cast<int>(line.size()), pipe) != nullptr)
      function = line.data();
    if (pipe != nullptr) pclose(pipe);
  } else if (found.dli_sname != nullptr) {
    char* const readable = abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, nullptr);
    function = readable != nullptr ? readable : found.dli_sname;
    std::free(readable);
  }
  for (const std::string nowhere = "(anonymous namespace)::"; function.find(nowhere) != std::string::npos;)
    function.erase(function.find(nowhere), nowhere.size());
  return function.substr(0, function.find_first_of("(<[\n"));
}

/// The call path of a failure, innermost first: the innermost functions of LibTorch, then those of Gaze.
std::string path_of(const GazeFaultTrace& trace) {
  std::string text;
  const auto tell = [&](const std::string& function) { text += (text.empty() ? "in " : " < ") + function; };
  for (int i = 0, of_torch = 0, of_gaze = 0; i < trace.depth && of_gaze < 4; ++i) {
    const std::string function = function_at(trace.frames[i]);
    if (function.rfind("gaze::", 0) == 0) {
      ++of_gaze;
      tell(function);
    } else if (of_gaze == 0 && of_torch < 3 &&
               (function.rfind("torch::", 0) == 0 || function.rfind("c10::", 0) == 0 ||
                function.rfind("at::", 0) == 0)) {
      ++of_torch;
      tell(function);
    }
  }
  return text.empty() ? "no function of Gaze in the call path" : text;
}

/// One kind of hurt has one text whatever the numbers in it.
std::string without_digits(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }), text.end());
  return text;
}

/// LibTorch's alias analysis ends the process when memory for it is gone, wherever it is used. Only attach, which is
/// set-up, uses it; nothing of ours can prevent it.
bool of_torch_alone(const Sweep& sweep, const std::string& where) {
  return sweep.target == Target::Attach && where.rfind("in torch::jit::AliasDb", 0) == 0;
}

struct Totals {
  long tried = 0, hurt = 0, of_torch = 0;
};

class Driver {
 public:
  explicit Driver(bool whole) : whole_(whole) {
    char pattern[] = "/tmp/gaze-faults-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp failed");
    folder_ = pattern;
    report_ = new (mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Report();
    warm_up();
  }
  ~Driver() { std::filesystem::remove_all(folder_); }

  void run(const Sweep& sweep) {
    const std::string name = title(sweep);
    std::map<std::string, long> hurts;
    long tried = 0;
    std::array<long, static_cast<size_t>(DropReason::kCount)> drops{};
    *report_ = Report();
    in_child([&](Child& child) { child.count(); }, sweep);
    const long sites = report_->sites;
    // A prime step that leaves about as many as fit the time.
    const long wanted = sweep.target == Target::Host ? 60 : sweep.fault == Fault::Call ? 12 : 25;
    const long step = whole_ ? 1 : std::max(1L, sites / wanted);
    for (long first = 1;;) {
      *report_ = Report();
      const int status = in_child([&](Child& child) { child.work_through(first, step); }, sweep);
      tried += report_->tried;
      for (size_t i = 0; i < drops.size(); ++i) drops[i] += report_->drops[i];
      std::string hurt = report_->hurt;
      if (WIFSIGNALED(status)) {
        ++tried;
        hurt = WTERMSIG(status) == SIGALRM ? "the host hung"
                                           : std::string("the host died: ") + strsignal(WTERMSIG(status));
      } else if (WEXITSTATUS(status) != 0 && hurt.empty()) {
        ++tried;
        hurt = "the host exited with " + std::to_string(WEXITSTATUS(status));
      }
      if (hurt.empty()) break;
      const std::string where = path_of(report_->trace);
      ++(of_torch_alone(sweep, where) ? totals_.of_torch : totals_.hurt);
      if (WIFSIGNALED(status)) hurt += ", " + last_words();
      if (hurts[without_digits(hurt) + where]++ == 0) {
        std::fprintf(stderr, "  %s, number %ld: %s\n    %s\n", name.c_str(), report_->number, hurt.c_str(),
                     where.c_str());
      }
      first = report_->number + step;
      if (sweep.fault == Fault::ShortWrites || first > sites + sites / 8 + 8) break;
    }
    totals_.tried += tried;
    long bad = 0;
    for (const auto& [what, count] : hurts) bad += count;
    std::fprintf(stderr, "%s: %ld sites, %ld tried, %ld hurt", name.c_str(), sites, tried, bad);
    for (size_t i = 0; i < drops.size(); ++i) {
      if (drops[i] != 0) std::fprintf(stderr, ", %s %ld", gaze::name(static_cast<DropReason>(i)), drops[i]);
    }
    std::fprintf(stderr, "\n");
    std::filesystem::remove_all(folder_ + "/bundles");
  }

  [[nodiscard]] Totals totals() const { return totals_; }

 private:
  /// Loads and runs everything once, so that children do not: no thread is left when they are forked.
  void warm_up() {
    for (const Sweep& sweep : sweeps()) {
      if (sweep.target != Target::Worker || sweep.fault != Fault::Allocation || sweep.for_ever) continue;
      Rig rig(sweep, null_model(), folder_ + "/bundles");
      rig.options.log = "off";
      rig.gaze = attach(rig.model, rig.options);
      sweep.work(rig);
      rig.gaze.flush(seconds(20));
    }
    Rig rig(sweeps().front(), null_model(), folder_);
    rig.options.log = "off";
    rig.gaze = attach(rig.model, rig.options);
    for (const Work work : {automatic_batch, batch, reordered, fused_request, throwing_model}) work(rig);
    rig.gaze.flush(seconds(20));
    if (gaze_fault_live() <= 0) throw std::runtime_error("the fault library is not in front of the C library's");
  }

  int in_child(const std::function<void(Child&)>& work, const Sweep& sweep) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      const int words = open((folder_ + "/words").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(words, 2);
      close(words);
      alarm(40);
      Child runs(sweep, *report_, null_model(), folder_ + "/bundles");
      work(runs);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
  }

  /// What a child that died said last.
  [[nodiscard]] std::string last_words() const {
    std::ifstream file(folder_ + "/words");
    std::string line, last;
    while (std::getline(file, line)) {
      if (line.find("terminate") != std::string::npos || line.find("what()") != std::string::npos) last += line + " ";
    }
    return last.empty() ? "without a word" : last;
  }

  const bool whole_;
  std::string folder_;
  Report* report_;
  Totals totals_;
};

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  using namespace gaze::test;
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "list") {
    for (const Sweep& sweep : sweeps()) std::printf("%s\n", title(sweep).c_str());
    return 0;
  }
  if (mode != "short" && mode != "whole") {
    std::fprintf(stderr, "gaze_fault_sweep: expected short, whole or list, got \"%s\".\n", mode.c_str());
    return 2;
  }
  // A digit that a sheet's date has for the first time stays in the cache of glyphs, and would look like a leak.
  ::setenv("SOURCE_DATE_EPOCH", "1767323045", 1);
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;
  Driver driver(mode == "whole");
  for (const Sweep& sweep : sweeps()) {
    const auto wanted = [&](const char* name) { return title(sweep).rfind(name, 0) == 0; };
    if (argc > 2 && std::none_of(argv + 2, argv + argc, wanted)) continue;
    driver.run(sweep);
  }
  const Totals totals = driver.totals();
  std::printf("faults: %ld tried, %ld hurt the host, %ld ended within LibTorch's own alias analysis\n", totals.tried,
              totals.hurt, totals.of_torch);
  return totals.tried > 0 && totals.hurt == 0 ? 0 : 1;
}

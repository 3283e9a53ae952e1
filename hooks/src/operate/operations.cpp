// SPDX-License-Identifier: MIT
#include "operate/operations.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/gaze.hpp>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/otel.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "process/fork_gate.hpp"

namespace gaze {
namespace {

using std::chrono::seconds;
constexpr seconds kLook{1}, kWrite{10};

int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

/// A directory of bundles. The process that locked it first writes status.json; others have a file of their own name.
struct Desk {
  int directory = -1;  // kept open: by it a process is found that writes here
  bool first = false;
};

/// A child of a process has captures of its own; those of the process it came from are nobody's there.
struct Register {
  const int generation = fork_generation();
  std::mutex mutex;
  std::vector<std::weak_ptr<Operations>> captures;
  std::map<std::string, Desk> desks;
};

/// Leaked: needed until the very end.
Register& the_register() {
  static std::atomic<Register*> current{nullptr};
  Register* found = current.load(std::memory_order_acquire);
  while (found == nullptr || found->generation != fork_generation()) {
    auto* made = new Register;
    if (current.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

std::vector<std::shared_ptr<Operations>> captures_in(Register& all, const std::string* out_dir) {
  std::vector<std::shared_ptr<Operations>> found;
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (const auto& each : all.captures) {
    auto capture = each.lock();
    if (capture && (out_dir == nullptr || capture->out_dir() == *out_dir)) found.push_back(std::move(capture));
  }
  return found;
}

std::string own_name(const char* stem, const char* ending) {
  return std::string(stem) + "-" + std::to_string(::getpid()) + ending;
}

/// False once another directory stands there, or none.
bool is_at(int directory, const std::string& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(directory, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

/// Whether status.json of the directory is this process's.
bool writes_status(const std::string& out_dir) {
  Register& all = the_register();
  const std::lock_guard<std::mutex> lock(all.mutex);
  Desk& desk = all.desks[out_dir];
  if (desk.directory >= 0 && !is_at(desk.directory, out_dir)) {
    ::close(std::exchange(desk.directory, -1));
    desk.first = false;
  }
  if (desk.directory < 0) desk.directory = ::open(out_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (desk.directory < 0) return true;  // nobody writes there
  if (!desk.first) desk.first = ::flock(desk.directory, LOCK_EX | LOCK_NB) == 0;
  return desk.first;
}

int64_t device_to_host_bytes() {
  int64_t bytes = 0;
  for (const ops::Traffic& traffic : ops::transferred().to_host) bytes += traffic.bytes;
  return bytes;
}

Operations::Places completed(Operations::Places places) {
  if (const size_t at = places.metrics_file.find("%p"); at != std::string::npos)
    places.metrics_file.replace(at, 2, std::to_string(::getpid()));
  if (!places.bundles) places.out_dir.clear();
  return places;
}

/// Without one that can be read the capture goes on.
std::unique_ptr<DriftState> drift_from(const Operations::Places& places, const std::shared_ptr<const Log>& log) {
  if (places.drift_baseline.empty()) return nullptr;
  if (!places.bundles) {
    log->warn("drift: expected bundles, of whose answers Gaze measures the figures, got a sink of the host's own; " +
              places.drift_baseline + " is not compared with.");
    return nullptr;
  }
  try {
    return std::make_unique<DriftState>(places.drift_baseline, log);
  } catch (const Error& error) {
    log->warn(std::string("drift: ") + error.what() + " Nothing is compared with it.");
    return nullptr;
  }
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::vector<std::pair<std::string, std::string>> control_texts(const Control& control) {
  return {{"capture", control.capture ? "on" : "off"},
          {"sample_rate", number_text(control.sample_rate)},
          {"next", std::to_string(control.next)},
          {"ids", control.ids},
          {"prompts", control.prompts},
          {"per_second", number_text(control.per_second)},
          {"keep", text_of(control.keep)}};
}

}  // namespace

std::vector<CaptureFacts> facts_of_all(const std::string* out_dir) {
  std::vector<CaptureFacts> facts;
  for (const auto& capture : captures_in(the_register(), out_dir)) facts.push_back(capture->facts());
  return facts;
}

std::string metrics_text() { return metrics_text(facts_of_all(), device_to_host_bytes()); }

Operations::Operations(Places places, std::shared_ptr<Counters> counters, std::shared_ptr<ControlState> control,
                       std::shared_ptr<const Log> log, std::shared_ptr<Chores> before)
    : places_(completed(std::move(places))),
      counters_(std::move(counters)),
      control_(std::move(control)),
      log_(std::move(log)),
      before_(std::move(before)),
      drift_(drift_from(places_, log_)) {}

void Operations::begin(Identity identity) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    identity_ = std::move(identity);
  }
  {
    Register& all = the_register();
    const std::lock_guard<std::mutex> lock(all.mutex);
    std::erase_if(all.captures, [](const auto& each) { return each.expired(); });
    all.captures.push_back(weak_from_this());
  }
  // What was said to a process of this number that is no more.
  if (!places_.out_dir.empty()) ::unlink((places_.out_dir + "/" + own_name("control", ".txt")).c_str());
  live_.store(true);
  counters_->bell().ring();
}

bool Operations::measured(const AnswerFigures& figures) {
  totals.add(figures);
  if (!places_.otel_dir.empty()) figures_ = figures;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (identity_.model_sha256.empty()) identity_.model_sha256 = figures.model_sha256;
  }
  if (drift_ && drift_->add(figures)) next_write_ = {};
  const KeepRule keep = control_->keep();
  if (keep.everything()) return true;
  return (keep.flagged && figures.flagged) || (keep.slow_seconds > 0 && figures.open_seconds >= keep.slow_seconds) ||
         (keep.long_tokens > 0 && figures.tokens >= keep.long_tokens);
}

CaptureFacts Operations::facts() const {
  CaptureFacts facts;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    facts.model = identity_.model.empty() ? "unnamed" : identity_.model;
    facts.model_sha256 = identity_.model_sha256;
    facts.profile_sha256 = identity_.profile_sha256;
    facts.torch_version = identity_.torch_version;
    facts.layers = identity_.layers;
    facts.sites = identity_.sites;
    facts.attached_ms = identity_.attached_ms;
    facts.queue_budget_bytes = identity_.queue_budget_bytes;
  }
  facts.out_dir = places_.out_dir;
  const Control control = control_->get();
  facts.control = control_texts(control);
  facts.on = live_.load() && control.capture;
  facts.sample_rate = control.sample_rate;
  const Stats stats = counters_->snapshot();
  facts.begun = stats.begun;
  facts.sampled = stats.sampled;
  facts.written = stats.written;
  facts.in_flight = stats.in_flight;
  facts.taps = stats.taps;
  facts.tap_seconds = stats.tap_seconds;
  facts.tokens_dropped = stats.tokens_dropped;
  facts.queue_bytes = stats.queue_bytes;
  for (size_t reason = 0; reason < stats.dropped.size(); ++reason) {
    facts.dropped.emplace_back(name(static_cast<DropReason>(reason)), stats.dropped[reason]);
  }
  facts.breaker = control_->breaker.open() ? name(control_->breaker.reason()) : nullptr;
  facts.breaker_opened = control_->breaker.opened();
  facts.answers = &totals;
  if (drift_) facts.drift = drift_->facts();
  if (places_.bundles) facts.bundle_bytes = places_.bundles->bytes_written();
  return facts;
}

void Operations::told(const char* what, const std::string& problem) noexcept {
  if (problem == last_problem_) return;
  last_problem_ = problem;
  if (!problem.empty()) log_->warn(std::string(what) + ": " + problem);
}

void Operations::look_at_control() {
  std::vector<std::string> texts;
  for (const std::string& file : {std::string("control.txt"), own_name("control", ".txt")}) {
    std::string refused;
    const std::string path = places_.out_dir + "/" + file;
    texts.push_back(read_own_file(path, refused));
    if (!refused.empty()) told("control", path + ": " + refused + "; it decides nothing.");
  }
  const bool changed = texts != control_texts_ && !(control_texts_.empty() && texts[0].empty() && texts[1].empty());
  if (!changed && texts[0].empty() && texts[1].empty()) return;
  const Control before = control_->get();
  const std::vector<std::string> problems = control_->set_files(texts, now_ms() / 1000);
  control_texts_ = std::move(texts);
  if (changed) {
    for (const std::string& problem : problems) log_->warn("control: " + problem);
  }
  if (const Control now = control_->get(); !(now == before) && (changed || now.capture != before.capture)) {
    std::string line = "control:";
    for (const auto& [name, value] : control_texts(now)) {
      if (!value.empty()) line.append(" ").append(name).append(" ").append(value).append(";");
    }
    line.pop_back();
    log_->info(line);
    next_write_ = {};
  }
}

void Operations::write(bool ended) {
  const auto mine = [&](const std::string* out_dir) {
    const auto all = captures_in(the_register(), out_dir);
    return all.empty() || all.front().get() == this;
  };
  try {
    if (!places_.out_dir.empty() && mine(&places_.out_dir)) {
      std::vector<CaptureFacts> facts = facts_of_all(&places_.out_dir);
      if (facts.empty()) facts.push_back(this->facts());
      // Opens, and makes, the directory; only then can it be locked.
      const bool first = writes_status(places_.out_dir);
      replace_file(places_.out_dir + "/" + (first ? "status.json" : own_name("status", ".json")),
                   status_json(facts, now_ms(), ended && facts.size() == 1), FileFor::Owner, places_.strict_out_dir);
    }
    if (!places_.metrics_file.empty() && mine(nullptr)) {
      std::vector<CaptureFacts> facts = facts_of_all();
      if (facts.empty()) facts.push_back(this->facts());
      replace_file(places_.metrics_file, metrics_text(facts, device_to_host_bytes()), FileFor::Everybody, false);
    }
    told("status", {});
  } catch (const Error& error) {
    told("status", error.what());
  }
}

Chores::Clock::time_point Operations::run(Clock::time_point now) noexcept {
  Clock::time_point next = before_ ? before_->run(now) : Clock::time_point::max();
  if (!live_.load()) return next;
  try {
    if (now >= next_look_) {
      next_look_ = now + kLook;
      if (!places_.out_dir.empty()) look_at_control();
    }
    if (now >= next_write_) {
      next_write_ = now + kWrite;
      write(false);
    }
  } catch (...) {  // without memory, say: the next look tries again
  }
  const bool files = !places_.out_dir.empty();
  const bool any = files || !places_.metrics_file.empty();
  return any ? std::min(next, files ? std::min(next_look_, next_write_) : next_write_) : next;
}

void Operations::trace(const AttentionRecord& record, DropReason reason) {
  try {
    append_otel(places_.otel_dir, otel_lines(record, figures_ ? &*figures_ : nullptr, bundle_, reason));
  } catch (const Error& error) {
    told("otel", error.what());
  }
}

void Operations::outcome(const AttentionRecord& record, DropReason reason) noexcept {
  const bool well = reason == DropReason::kCount || reason == DropReason::NotKept;
  if (well) {
    control_->breaker.succeeded();
  } else {
    control_->breaker.failed(reason, std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
  }
  try {
    if (!places_.otel_dir.empty()) trace(record, reason);
  } catch (...) {  // without memory, say
  }
  figures_.reset();
  bundle_.clear();
}

void Operations::end() noexcept {
  if (before_) before_->end();
  if (!live_.exchange(false)) return;
  try {
    write(true);
    if (!places_.out_dir.empty()) ::unlink((places_.out_dir + "/" + own_name("control", ".txt")).c_str());
    Register& all = the_register();
    const std::lock_guard<std::mutex> lock(all.mutex);
    std::erase_if(all.captures, [&](const auto& each) { return each.expired() || each.lock().get() == this; });
  } catch (...) {
  }
}

}  // namespace gaze

// SPDX-License-Identifier: MIT
// A host at full load for a while, under hard limits that are the configured numbers: memory, descriptors, threads, the
// queue, and the counters at every look. `gaze_soak [SECONDS]`.
#include <ATen/Parallel.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "host.hpp"

namespace gaze::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int64_t kQueueBytes = int64_t{16} << 20;
constexpr int64_t kDrawingBytes = int64_t{48} << 20;  // of the worker, beside the queue: pages, codecs, one answer
constexpr int64_t kQuotaBytes = int64_t{1} << 20;
constexpr int64_t kBundleBytes = int64_t{64} << 10;                         // more than one of these answers takes
constexpr int64_t kLedgerBytes = (int64_t{8} << 20) + (int64_t{64} << 10);  // deleted.jsonl, folded, and chain.json
constexpr int kHosts = 2, kSpareDescriptors = 24;

struct Bytes {
  int64_t bundles = 0, ledger = 0;  // the ledger's are the files beside the bundles
};

/// All files below; under the ledger's lock, so that nothing is published or deleted while they are summed.
Bytes bytes_below(const std::string& folder) {
  const int lock = ::open((folder + "/.chain.lock").c_str(), O_RDWR | O_CLOEXEC);
  if (lock >= 0) ::flock(lock, LOCK_EX);
  Bytes bytes;
  std::error_code failed;
  for (fs::recursive_directory_iterator each(folder, failed), end; !failed && each != end; each.increment(failed)) {
    std::error_code gone;
    const auto size = each->is_regular_file(gone) ? each->file_size(gone) : 0;
    if (!gone) (each.depth() == 0 ? bytes.ledger : bytes.bundles) += static_cast<int64_t>(size);
  }
  if (lock >= 0) ::close(lock);
  return bytes;
}

int64_t entries(const char* folder) { return std::distance(fs::directory_iterator(folder), fs::directory_iterator()); }

/// A line of /proc/self/status, in bytes.
int64_t status_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return std::strtoll(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return -1;
}

void limit(int resource, int64_t most) {
  rlimit now{};
  getrlimit(static_cast<__rlimit_resource>(resource), &now);
  now.rlim_cur = static_cast<rlim_t>(most);
  setrlimit(static_cast<__rlimit_resource>(resource), &now);
}

void answer(Gaze& gaze, torch::jit::Module& model, int64_t number) {
  RequestSpec spec;
  spec.id = std::to_string(number);
  spec.image = Picture(marked_picture(number));
  Request request = gaze.begin(std::move(spec));
  run(model, Marked({number}), kPrompt, "fused");
  request.label({"word"});
  request.finish();
}

struct Seen {
  int64_t looks = 0, breaches = 0, most_queue = 0, most_rss = 0, most_threads = 0, most_descriptors = 0,
          most_bundles = 0, most_ledger = 0;
  std::vector<int64_t> rss, allocated;  // as long from the start on as they get, or they would grow themselves

  explicit Seen(int64_t most_looks)
      : rss(static_cast<size_t>(most_looks), 0), allocated(static_cast<size_t>(most_looks), 0) {}
  void look(const Gaze& gaze, const std::string& folder) {
    const Stats stats = gaze.stats();
    const auto at = static_cast<size_t>(looks++);
    breaches += breach(stats).empty() ? 0 : 1;
    most_queue = std::max(most_queue, stats.queue_bytes);
    rss.at(at) = status_bytes("VmRSS");
    most_rss = std::max(most_rss, rss.at(at));
    const auto heap = ::mallinfo2();
    allocated.at(at) = static_cast<int64_t>(heap.uordblks + heap.hblkhd);
    most_threads = std::max(most_threads, entries("/proc/self/task"));
    most_descriptors = std::max(most_descriptors, entries("/proc/self/fd"));
    const Bytes bytes = bytes_below(folder);
    most_bundles = std::max(most_bundles, bytes.bundles);
    most_ledger = std::max(most_ledger, bytes.ledger);
  }
  /// Of the last third less the first's, medians.
  [[nodiscard]] int64_t growth(const std::vector<int64_t>& all) const {
    const std::vector<int64_t> bytes(all.begin(), all.begin() + looks);
    const auto median = [](std::vector<int64_t> part) {
      std::nth_element(part.begin(), part.begin() + static_cast<int64_t>(part.size() / 2), part.end());
      return part[part.size() / 2];
    };
    const auto third = static_cast<int64_t>(bytes.size() / 3);
    return third == 0 ? 0 : median({bytes.end() - third, bytes.end()}) - median({bytes.begin(), bytes.begin() + third});
  }
};

int told(const char* what, int64_t got, int64_t most) {
  std::printf("soak: %s %ld, at most %ld%s\n", what, static_cast<long>(got), static_cast<long>(most),
              got > most ? ": BEYOND" : "");
  return got > most ? 1 : 0;
}

int soak(const std::string& folder, int64_t seconds) {
  torch::jit::Module model = null_model();
  for (int i = 0; i < 3; ++i) run(model, Marked({1}), kPrompt, "fused");
  Options options = null_options(null_profile());
  options.out_dir = folder;
  options.queue_bytes = kQueueBytes;
  options.quota_bytes = kQuotaBytes;
  Gaze gaze = attach(model, options);
  for (int64_t number = 0; number < 20; ++number) answer(gaze, model, number);
  gaze.flush();
  std::atomic<bool> stop{false};
  std::atomic<int64_t> asked{0};
  const int64_t rss = status_bytes("VmRSS"), data = status_bytes("VmData"), descriptors = entries("/proc/self/fd");
  const int64_t threads = entries("/proc/self/task") + kHosts;
  limit(RLIMIT_NOFILE, descriptors + kSpareDescriptors);
  limit(RLIMIT_DATA, data + kHosts * (int64_t{80} << 20) + kQueueBytes + kDrawingBytes);
  std::vector<std::thread> hosts;
  for (int t = 0; t < kHosts; ++t) {
    hosts.emplace_back([&, t] {
      at::set_num_threads(1);
      for (int64_t number = t; !stop.load(); number += kHosts) {
        answer(gaze, model, number);
        asked.fetch_add(1);
      }
    });
  }
  Seen seen(seconds * 20 + 2);
  const auto begun = Clock::now();
  for (auto next = begun; Clock::now() - begun < std::chrono::seconds(seconds); next += std::chrono::milliseconds(50)) {
    std::this_thread::sleep_until(next);
    seen.look(gaze, folder);
    if (seen.looks % 1200 == 0)
      std::fprintf(stderr, "soak: %ld s, %ld requests, %ld written\n", static_cast<long>(seen.looks / 20),
                   static_cast<long>(asked.load()), static_cast<long>(gaze.stats().written));
  }
  stop.store(true);
  for (std::thread& host : hosts) host.join();
  gaze.flush(std::chrono::minutes(5));  // the worker goes behind whatever else the machine does
  seen.look(gaze, folder);              // most of what waited is written by now
  const Stats stats = gaze.stats();
  std::printf("soak: %ld s, %ld requests, %ld written, %ld dropped for the queue, %ld looks\n",
              static_cast<long>(seconds), static_cast<long>(asked.load()), static_cast<long>(stats.written),
              static_cast<long>(stats.drops(DropReason::QueueBytes)), static_cast<long>(seen.looks));
  int found = 0;
  found += told("looks at which the counters did not add up", seen.breaches, 0);
  found += told("queue bytes", seen.most_queue, kQueueBytes);
  found += told("resident bytes beyond the start", seen.most_rss - rss, kQueueBytes + kDrawingBytes);
  found += told("growth of resident bytes in the last two thirds", seen.growth(seen.rss), int64_t{8} << 20);
  found += told("growth of allocated bytes in the last two thirds", seen.growth(seen.allocated), int64_t{1} << 20);
  found += told("threads", seen.most_threads, threads);
  found += told("descriptors", seen.most_descriptors, descriptors + kSpareDescriptors);
  found +=
      told("dropped for memory, descriptors or another reason", stats.lost() - stats.drops(DropReason::QueueBytes), 0);
  found += told("bytes of bundles", seen.most_bundles, kQuotaBytes + kBundleBytes);
  found += told("bytes of the ledger's files", seen.most_ledger, kLedgerBytes);
  found += told("in flight at the end", stats.in_flight + stats.queue_bytes, 0);
  return found + (stats.written > 0 ? 0 : 1);
}

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  const int64_t seconds = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 6;
  if (seconds < 3) {
    std::fprintf(stderr, "gaze_soak: expected at least 3 seconds, got %s.\n", argv[1]);
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "gaze-soak-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  const int found = gaze::test::soak(folder, seconds);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  std::printf("soak: %d findings\n", found);
  return found == 0 ? 0 : 1;
}

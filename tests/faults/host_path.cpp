// SPDX-License-Identifier: MIT
// What the host's thread does within a request: it takes no lock that the worker ever takes, waits for nothing, reads
// and writes no file, and from an answer's second token on allocates nothing. Stands before the C library to see it.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "host.hpp"

namespace {

/// Who calls: a thread of the host within a request, its thread otherwise, or any other thread, which is the worker.
enum class Who { Other, Host, HostInRequest };
thread_local Who who = Who::Other;
thread_local long allocations = 0;

/// Addresses, without allocating: many more than there are locks.
class Seen {
 public:
  void add(const void* address) noexcept {
    for (std::atomic<const void*>& place : places_) {
      const void* there = place.load(std::memory_order_relaxed);
      if (there == address) return;
      if (there == nullptr && (place.compare_exchange_strong(there, address) || there == address)) return;
    }
    overflown_.store(true);
  }
  [[nodiscard]] std::set<const void*> all() const {
    std::set<const void*> found;
    for (const auto& place : places_) {
      if (place.load() != nullptr) found.insert(place.load());
    }
    return found;
  }
  [[nodiscard]] bool overflown() const { return overflown_.load(); }

 private:
  std::array<std::atomic<const void*>, 4096> places_{};
  std::atomic<bool> overflown_{false};
};

Seen locked_by_host, locked_by_worker;
std::atomic<long> waits{0}, files{0};
std::atomic<const char*> last_call{""};
std::atomic<bool> watching{false};

void note_lock(const void* lock) noexcept {
  if (!watching.load(std::memory_order_relaxed)) return;
  if (who == Who::HostInRequest) locked_by_host.add(lock);
  if (who == Who::Other) locked_by_worker.add(lock);
}

void note(std::atomic<long>& count, const char* call) noexcept {
  if (who != Who::HostInRequest || !watching.load(std::memory_order_relaxed)) return;
  count.fetch_add(1);
  last_call.store(call);
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define GAZE_BEFORE(name) static auto* real = next<decltype(name)>(#name)

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  ++allocations;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
void free(void* memory) noexcept { __libc_free(memory); }

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  GAZE_BEFORE(pthread_mutex_lock);
  note_lock(mutex);
  return real(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  GAZE_BEFORE(pthread_mutex_trylock);
  note_lock(mutex);
  return real(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  GAZE_BEFORE(pthread_rwlock_rdlock);
  note_lock(lock);
  return real(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  GAZE_BEFORE(pthread_rwlock_wrlock);
  note_lock(lock);
  return real(lock);
}
int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  GAZE_BEFORE(pthread_cond_wait);
  note(waits, "pthread_cond_wait");
  return real(condition, mutex);
}
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  GAZE_BEFORE(pthread_cond_timedwait);
  note(waits, "pthread_cond_timedwait");
  return real(condition, mutex, until);
}
int sem_wait(sem_t* semaphore) {
  GAZE_BEFORE(sem_wait);
  note(waits, "sem_wait");
  return real(semaphore);
}
int poll(pollfd* files_to_poll, nfds_t count, int timeout) {
  GAZE_BEFORE(poll);
  note(waits, "poll");
  return real(files_to_poll, count, timeout);
}
int nanosleep(const timespec* time, timespec* left) {
  GAZE_BEFORE(nanosleep);
  note(waits, "nanosleep");
  return real(time, left);
}
int open(const char* path, int flags, ...) {
  GAZE_BEFORE(open);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  note(files, "open");
  return real(path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
  GAZE_BEFORE(openat);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  note(files, "openat");
  return real(directory, path, flags, mode);
}
ssize_t read(int file, void* bytes, size_t size) {
  GAZE_BEFORE(read);
  note(files, "read");
  return real(file, bytes, size);
}
ssize_t write(int file, const void* bytes, size_t size) {
  GAZE_BEFORE(write);
  note(files, "write");
  return real(file, bytes, size);
}
int fsync(int file) {
  GAZE_BEFORE(fsync);
  note(files, "fsync");
  return real(file);
}
}

namespace gaze::test {
namespace {

constexpr int kSteps = 12, kAnswers = 60;

/// Allocations of every step of an answer, in a request or not.
std::array<long, kSteps> answer(Gaze* gaze, torch::jit::Module& model, int64_t number) {
  std::array<long, kSteps> of_steps{};
  const at::Tensor image = marked_picture(number);
  RequestSpec spec;
  spec.id = "request " + std::to_string(number);
  spec.image = Picture(image);
  const at::Tensor k = at::zeros({1, 1, kKeys, kSize});
  who = Who::HostInRequest;
  Request request;
  if (gaze != nullptr) request = gaze->begin(std::move(spec));
  for (int step = 0; step < kSteps; ++step) {
    std::vector<c10::IValue> inputs = {image, k, k, step == 0 ? kPrompt : kStep};
    const long before = allocations;
    model.get_method("fused")(std::move(inputs));
    of_steps[static_cast<size_t>(step)] = allocations - before;
  }
  request.finish();
  who = Who::Host;
  return of_steps;
}

int findings(const char* what, bool found) {
  std::printf("host path: %s%s\n", what, found ? ": FOUND" : "");
  return found ? 1 : 0;
}

/// A host that waits for the worker within a request is seen, or nothing above says anything.
int control(Gaze& gaze, torch::jit::Module& model) {
  const auto host_before = locked_by_host.all();
  answer(&gaze, model, 0);
  watching.store(true);
  who = Who::HostInRequest;
  gaze.flush();
  who = Who::Host;
  watching.store(false);
  const auto host = locked_by_host.all(), worker = locked_by_worker.all();
  const bool seen = std::any_of(host.begin(), host.end(), [&](const void* lock) {
    return host_before.count(lock) == 0 && worker.count(lock) != 0;
  });
  return findings("a flush within a request was not seen", !seen);
}

int host_path(const std::string& folder) {
  who = Who::Host;
  torch::jit::Module model = null_model();
  for (int64_t warm = 0; warm < 4; ++warm) answer(nullptr, model, warm);
  const auto off = answer(nullptr, model, 4);
  Options options = null_options(null_profile());
  options.sink = nullptr;
  options.out_dir = folder;
  options.delivery = Delivery::Map;
  Gaze gaze = attach(model, options);
  for (int64_t warm = 0; warm < 4; ++warm) answer(&gaze, model, warm);
  gaze.flush();
  watching.store(true);
  std::array<long, kSteps> on{};
  for (int64_t number = 0; number < kAnswers; ++number) {
    on = answer(&gaze, model, number);
    gaze.control({.per_second = number % 2 == 0 ? 1e6 : 0});
  }
  gaze.flush();
  watching.store(false);
  const Stats stats = gaze.stats();
  int found = 0;
  std::set<const void*> both;
  const auto host = locked_by_host.all(), worker = locked_by_worker.all();
  std::set_intersection(host.begin(), host.end(), worker.begin(), worker.end(), std::inserter(both, both.end()));
  std::printf("host path: %ld answers, locks of the host's thread %zu, of the worker's %zu, of both %zu\n",
              static_cast<long>(stats.written), host.size(), worker.size(), both.size());
  for (const void* lock : both) {
    Dl_info of{};
    const bool known = dladdr(lock, &of) != 0;
    std::printf("  %p %s %s\n", lock, known && of.dli_fname != nullptr ? of.dli_fname : "",
                known && of.dli_sname != nullptr ? of.dli_sname : "");
  }
  found += findings("answers that were not written", stats.written != kAnswers + 4);
  found += findings("locks that the worker takes as well", !both.empty() || locked_by_host.overflown());
  found += findings("the worker was seen", worker.empty());
  std::printf("host path: waits %ld, files %ld, the last %s\n", waits.load(), files.load(), last_call.load());
  found += findings("waits", waits.load() != 0);
  found += findings("files", files.load() != 0);
  long more = 0;
  for (int step = 1; step < kSteps; ++step)
    more += std::max(0L, on[static_cast<size_t>(step)] - off[static_cast<size_t>(step)]);
  std::printf("host path: allocations of a later step %ld, captured %ld\n", off[kSteps - 1], on[kSteps - 1]);
  found += findings("allocations after the first token", more != 0);
  return found + control(gaze, model);
}

}  // namespace
}  // namespace gaze::test

int main() {
  std::string folder = (std::filesystem::temp_directory_path() / "gaze-host-path-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  const int found = gaze::test::host_path(folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  std::printf("host path: %d findings\n", found);
  return found == 0 ? 0 : 1;
}

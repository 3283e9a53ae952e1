// SPDX-License-Identifier: MIT
// Stands in front of the C library's allocator and of the calls that write files. Knows nothing of Gaze but its
// libraries' names. What runs before `ready` or while a plan is looked at passes through.
#include "shim.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

enum class Kind { None, Memory, Calls };

struct Plan {
  std::atomic<Kind> kind{Kind::None};
  std::atomic<pid_t> thread{0}, short_writes{0};
  std::atomic<long> at{0}, seen{0}, failed{0};
  std::atomic<bool> for_ever{false}, under_gaze{false};
  std::atomic<int> error{0};
};
Plan plan;
std::atomic<long> live{0};
std::atomic<GazeFaultTrace*> trace{nullptr};

struct Code {
  uintptr_t begin, end;
};
constexpr int kMaxCode = 32;
Code gaze_code[kMaxCode];
int gaze_codes = 0;

// The first access of a dynamic thread-local variable may allocate.
__attribute__((tls_model("initial-exec"))) thread_local bool looking = false;

int note_code(dl_phdr_info* library, size_t, void*) {
  if (library->dlpi_name == nullptr || strstr(library->dlpi_name, "/libgaze_") == nullptr) return 0;
  if (strstr(library->dlpi_name, "/libgaze_fault") != nullptr) return 0;
  for (int i = 0; i < library->dlpi_phnum && gaze_codes < kMaxCode; ++i) {
    const ElfW(Phdr)& part = library->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const uintptr_t begin = library->dlpi_addr + part.p_vaddr;
    gaze_code[gaze_codes++] = {begin, begin + part.p_memsz};
  }
  return 0;
}

bool is_gaze(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (int i = 0; i < gaze_codes; ++i) {
    if (at >= gaze_code[i].begin && at < gaze_code[i].end) return true;
  }
  return false;
}

bool fails(Kind kind) {
  if (plan.kind.load(std::memory_order_acquire) != kind || looking || gettid() != plan.thread) return false;
  looking = true;
  const bool under_gaze = plan.under_gaze;
  void* frames[64];
  int depth = 0;
  bool counts = true;
  if (under_gaze) {
    depth = backtrace(frames, 64);
    counts = false;
    for (int i = 0; i < depth && !counts; ++i) counts = is_gaze(frames[i]);
  }
  bool failing = false;
  if (counts) {
    const long number = ++plan.seen;
    failing = plan.at > 0 && (number == plan.at || (plan.for_ever && number > plan.at));
    if (failing) {
      ++plan.failed;
      if (GazeFaultTrace* const to = trace) {
        if (!under_gaze) depth = backtrace(frames, 64);
        memcpy(to->frames, frames, sizeof(frames));
        to->depth = depth;
      }
    }
  }
  looking = false;
  return failing;
}

void* out_of_memory() {
  errno = ENOMEM;
  return nullptr;
}

void* counted(void* memory) {
  if (memory != nullptr) live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

bool call_fails() {
  if (!fails(Kind::Calls)) return false;
  errno = plan.error;
  return true;
}

void begin(Kind kind, pid_t thread, long at, bool for_ever, bool under_gaze, int error) {
  void* frames[4];
  looking = true;
  backtrace(frames, 4);  // its first call loads a library
  gaze_codes = 0;
  dl_iterate_phdr(note_code, nullptr);
  looking = false;
  plan.thread = thread;
  plan.at = at;
  plan.for_ever = for_ever;
  plan.under_gaze = under_gaze;
  plan.error = error;
  plan.seen = 0;
  plan.failed = 0;
  plan.kind.store(kind, std::memory_order_release);
}

// The C library's own function of that name.
template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

mode_t mode_of(int flags, va_list rest) { return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; }

}  // namespace

#define GAZE_NEXT(function) static auto* const real = next<decltype(function)>(#function)

extern "C" {

void gaze_fault_memory(pid_t thread, long at, bool for_ever, bool under_gaze) {
  begin(Kind::Memory, thread, at, for_ever, under_gaze, ENOMEM);
}
void gaze_fault_calls(pid_t thread, long at, bool for_ever, int error) {
  begin(Kind::Calls, thread, at, for_ever, false, error);
}
void gaze_fault_short_writes(pid_t thread) { plan.short_writes = thread; }
long gaze_fault_end(long* seen) {
  plan.kind.store(Kind::None, std::memory_order_release);
  plan.short_writes = 0;
  if (seen != nullptr) *seen = plan.seen;
  return plan.failed;
}
long gaze_fault_live() { return live; }
void gaze_fault_trace(GazeFaultTrace* to) { trace = to; }

void* malloc(size_t size) noexcept { return fails(Kind::Memory) ? out_of_memory() : counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) noexcept {
  return fails(Kind::Memory) ? out_of_memory() : counted(__libc_calloc(count, size));
}
void* realloc(void* memory, size_t size) noexcept {
  if (size > 0 && fails(Kind::Memory)) return out_of_memory();
  void* const moved = __libc_realloc(memory, size);
  if (memory == nullptr) return counted(moved);
  if (size == 0) live.fetch_sub(1, std::memory_order_relaxed);
  return moved;
}
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  if (fails(Kind::Memory)) return ENOMEM;
  void* const made = counted(__libc_memalign(alignment, size));
  if (made == nullptr) return ENOMEM;
  *memory = made;
  return 0;
}
void* memalign(size_t alignment, size_t size) noexcept {
  return fails(Kind::Memory) ? out_of_memory() : counted(__libc_memalign(alignment, size));
}
void* aligned_alloc(size_t alignment, size_t size) noexcept { return memalign(alignment, size); }
void free(void* memory) noexcept {
  if (memory != nullptr) live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(memory);
}

int open(const char* path, int flags, ...) {
  GAZE_NEXT(open);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return call_fails() ? -1 : real(path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
  GAZE_NEXT(openat);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return call_fails() ? -1 : real(directory, path, flags, mode);
}
int mkdir(const char* path, mode_t mode) noexcept {
  GAZE_NEXT(mkdir);
  return call_fails() ? -1 : real(path, mode);
}
int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  GAZE_NEXT(mkdirat);
  return call_fails() ? -1 : real(directory, path, mode);
}
int fstat(int file, struct stat* found) noexcept {
  GAZE_NEXT(fstat);
  return call_fails() ? -1 : real(file, found);
}
int fstatat(int directory, const char* path, struct stat* found, int flags) noexcept {
  GAZE_NEXT(fstatat);
  return call_fails() ? -1 : real(directory, path, found, flags);
}
ssize_t read(int file, void* bytes, size_t size) {
  GAZE_NEXT(read);
  return call_fails() ? -1 : real(file, bytes, size);
}
ssize_t write(int file, const void* bytes, size_t size) {
  GAZE_NEXT(write);
  if (file <= 2) return real(file, bytes, size);
  if (call_fails()) return -1;
  if (size > 1 && plan.short_writes != 0 && gettid() == plan.short_writes) size = 1 + size / 7;
  return real(file, bytes, size);
}
int fsync(int file) {
  GAZE_NEXT(fsync);
  return call_fails() ? -1 : real(file);
}
int fdatasync(int file) {
  GAZE_NEXT(fdatasync);
  return call_fails() ? -1 : real(file);
}
int close(int file) {
  GAZE_NEXT(close);
  if (!call_fails()) return real(file);
  const int error = errno;
  real(file);  // a close that fails has closed
  errno = error;
  return -1;
}
int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  GAZE_NEXT(renameat);
  return call_fails() ? -1 : real(from_directory, from, to_directory, to);
}
int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
  GAZE_NEXT(renameat2);
  return call_fails() ? -1 : real(from_directory, from, to_directory, to, flags);
}
int unlinkat(int directory, const char* path, int flags) noexcept {
  GAZE_NEXT(unlinkat);
  return call_fails() ? -1 : real(directory, path, flags);
}
int flock(int file, int operation) noexcept {
  using Flock = int(int, int);
  static auto* const real = next<Flock>("flock");
  return call_fails() ? -1 : real(file, operation);
}
ssize_t getrandom(void* bytes, size_t size, unsigned flags) {
  using Getrandom = ssize_t(void*, size_t, unsigned);
  static auto* const real = next<Getrandom>("getrandom");
  return call_fails() ? -1 : real(bytes, size, flags);
}
long syscall(long number, ...) noexcept {
  GAZE_NEXT(syscall);
  va_list rest;
  va_start(rest, number);
  long argument[6];
  for (long& each : argument) each = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_renameat2 && call_fails()) return -1;
  return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
}

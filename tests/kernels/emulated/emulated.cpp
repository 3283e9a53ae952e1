// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

namespace emulated {
namespace {

enum class State { Ready, AtWarp, AtBlock, Done };

struct Fibre {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state = State::Ready;
};

constexpr std::size_t kStackBytes = 256 * 1024;

ucontext_t scheduler;
std::vector<Fibre> fibres;
std::size_t running;
const std::function<void()>* body;

void leave(State state) {
  fibres[running].state = state;
  swapcontext(&fibres[running].context, &scheduler);
}

void start_fibre() {
  (*body)();
  leave(State::Done);
}

void make_ready(Fibre& fibre) {
  if (!fibre.stack) fibre.stack.reset(new char[kStackBytes]);
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack.get();
  fibre.context.uc_stack.ss_size = kStackBytes;
  fibre.context.uc_link = nullptr;
  fibre.state = State::Ready;
  makecontext(&fibre.context, start_fibre, 0);
}

bool all(std::size_t first, std::size_t last, State wanted) {
  bool some = false;
  for (std::size_t i = first; i < last; ++i) {
    if (fibres[i].state == State::Done) continue;
    if (fibres[i].state != wanted) return false;
    some = true;
  }
  return some;
}

void release(std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    if (fibres[i].state != State::Done) fibres[i].state = State::Ready;
  }
}

void run_block() {
  const std::size_t threads = fibres.size();
  while (true) {
    bool ran = false;
    for (std::size_t i = 0; i < threads; ++i) {
      if (fibres[i].state != State::Ready) continue;
      ran = true;
      running = i;
      thread_index.x = static_cast<unsigned>(i);
      swapcontext(&scheduler, &fibres[i].context);
    }
    for (std::size_t w = 0; w < threads; w += 32) {
      if (all(w, w + 32, State::AtWarp)) release(w, w + 32);
    }
    if (all(0, threads, State::AtBlock)) release(0, threads);
    if (all(0, threads, State::Done)) return;
    bool ready = false, live = false;
    for (const Fibre& fibre : fibres) {
      ready |= fibre.state == State::Ready;
      live |= fibre.state != State::Done;
    }
    if (!live) return;
    if (!ready && !ran) throw std::logic_error("kernel: threads wait for different things");
    if (!ready) throw std::logic_error("kernel: threads of a warp or block do not meet");
  }
}

}  // namespace

void wait_for_warp() { leave(State::AtWarp); }
void wait_for_block() { leave(State::AtBlock); }

void run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread) {
  if (block.x % 32 != 0 || block.x > 1024 || block.y != 1 || block.z != 1) {
    throw std::logic_error("kernel: expected a block of whole warps in one dimension, at most 1024 threads");
  }
  // Exactly what was asked for, so that an address sanitizer sees a read behind it; filled, so that nothing relies on
  // zeros.
  std::unique_ptr<char[]> shared(new char[shared_bytes]);
  std::memset(shared.get(), 0xff, shared_bytes);
  dynamic_shared = shared.get();
  grid_size = grid;
  block_size = block;
  body = &thread;
  fibres.resize(block.x);
  const unsigned blocks = grid.x * grid.y * grid.z;
  for (unsigned i = 0; i < blocks; ++i) {
    block_index = dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
    std::for_each(fibres.begin(), fibres.end(), make_ready);
    run_block();
  }
}

}  // namespace emulated

/// For those that load the kernels as a library.
extern "C" __attribute__((visibility("default"))) emulated::Runtime* emulated_runtime() { return &emulated::runtime; }

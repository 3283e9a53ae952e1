// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "loaded_module.hpp"

namespace emulated {
namespace {

constexpr unsigned kWarp = 32, kMostThreads = 1024;
constexpr std::size_t kStackBytes = 256 * 1024;
constexpr char kPoison = '\xff';  // NaN, -1 and a NaN of double

enum class State { Ready, AtWarp, AtBlock, Done };

/// Where a thread waits.
struct Wait {
  std::string_view what = {};
  unsigned mask = 0;
  bool of_all = false;  ///< none of those meant may have left
  std::uint64_t shown = 0;
};

struct Fibre {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state = State::Ready;
  Wait wait;
  Lanes lanes;  ///< what came of the last meeting of a warp
  Votes votes;  ///< and of the block
};

struct Block {
  dim3 index;
  std::vector<Fibre> fibres;
  std::unique_ptr<char[]> dynamic;
  std::vector<char> kept;  ///< its static shared memory while others run
  bool begun = false;
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  unsigned below(unsigned bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<unsigned>((state_ >> 32) * bound >> 32);
  }
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (unsigned i = static_cast<unsigned>(items.size()); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t state_;
};

ucontext_t scheduler;
Fibre* running = nullptr;
const std::function<void()>* body = nullptr;
std::string refusal;  ///< of the thread that ran last

void leave(State state) {
  running->state = state;
  swapcontext(&running->context, &scheduler);
}

void start_fibre() {
  (*body)();
  leave(State::Done);
}

// Variables beside each other have an address sanitizer's zones between them: those are not touched, and nothing is
// checked here.
__attribute__((no_sanitize("address"))) void copy_raw(char* to, const char* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to[i] = from[i];
}

void poison_static_shared() {
  static const std::vector<char> poison(kSharedBytes, kPoison);  // no variable is larger
  for (const std::span<char>& variable : static_shared()) copy_raw(variable.data(), poison.data(), variable.size());
}

void keep_static_shared(std::vector<char>& kept) {
  kept.clear();
  for (const std::span<char>& variable : static_shared()) {
    kept.resize(kept.size() + variable.size());
    copy_raw(kept.data() + kept.size() - variable.size(), variable.data(), variable.size());
  }
}

void restore_static_shared(const std::vector<char>& kept) {
  const char* from = kept.data();
  for (const std::span<char>& variable : static_shared()) {
    copy_raw(variable.data(), from, variable.size());
    from += variable.size();
  }
}

std::size_t written_static_shared() {
  std::size_t bytes = 0;
  for (const std::span<char>& variable : static_shared()) {
    if (std::any_of(variable.begin(), variable.end(), [](char c) { return c != kPoison; })) bytes += variable.size();
  }
  return bytes;
}

/// One launch under way.
class Grid {
 public:
  explicit Grid(const Launch& launch)
      : launch_(launch), calm_(runtime.seed == 0), random_(runtime.seed + runtime.launches.size()) {
    order_.resize(std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (!calm_) random_.shuffle(order_);
  }

  void run() {
    const std::size_t most = calm_ ? 1 : std::max(runtime.resident_blocks, 1u);
    while (next_ < order_.size() || !resident_.empty()) {
      while (next_ < order_.size() && resident_.size() < most) resident_.push_back(begin_block(order_[next_++]));
      // Now and then another block: each change copies all shared memory.
      if (current_ == nullptr || random_.below(8) == 0) enter(*resident_[random_.below(count(resident_))]);
      step(*current_);
      if (all_done(*current_)) end_current();
    }
  }

 private:
  template <typename T>
  static unsigned count(const std::vector<T>& items) {
    return static_cast<unsigned>(items.size());
  }

  std::unique_ptr<Block> begin_block(std::size_t number) {
    std::unique_ptr<Block> block;
    if (idle_.empty()) {
      block = std::make_unique<Block>();
    } else {
      block = std::move(idle_.back());
      idle_.pop_back();
    }
    const std::size_t across = launch_.grid.x, down = launch_.grid.y;
    block->index = dim3(static_cast<unsigned>(number % across), static_cast<unsigned>(number / across % down),
                        static_cast<unsigned>(number / across / down));
    block->fibres.resize(launch_.block.x);
    for (Fibre& fibre : block->fibres) make_ready(fibre);
    // Exactly what was asked for, so that an address sanitizer sees a read behind it.
    block->dynamic.reset(new char[launch_.shared_bytes]);
    std::memset(block->dynamic.get(), kPoison, launch_.shared_bytes);
    block->begun = false;
    return block;
  }

  static void make_ready(Fibre& fibre) {
    if (!fibre.stack) fibre.stack.reset(new char[kStackBytes]);
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = nullptr;
    fibre.state = State::Ready;
    makecontext(&fibre.context, start_fibre, 0);
  }

  void enter(Block& block) {
    if (current_ == &block) return;
    if (current_ != nullptr) keep_static_shared(current_->kept);
    if (block.begun) {
      restore_static_shared(block.kept);
    } else {
      poison_static_shared();
    }
    block.begun = true;
    current_ = &block;
    block_index = block.index;
    dynamic_shared = block.dynamic.get();
  }

  void end_current() {
    if (!looked_at_shared_ && launch_.shared_bytes > 0) check_shared(launch_.shared_bytes + written_static_shared());
    looked_at_shared_ = true;
    const auto done =
        std::find_if(resident_.begin(), resident_.end(), [&](const auto& each) { return each.get() == current_; });
    idle_.push_back(std::move(*done));
    resident_.erase(done);
    current_ = nullptr;
  }

  void check_shared(std::size_t bytes) const {
    const auto asked = runtime.most_shared_bytes.find(launch_.function);
    if (bytes > kSharedBytes && asked == runtime.most_shared_bytes.end())
      fail(std::to_string(bytes) + " bytes of shared memory, its variables among them, and it asked for no more than " +
           std::to_string(kSharedBytes));
  }

  /// One warp runs until it waits.
  void step(Block& block) {
    std::vector<unsigned> ready;
    for (unsigned w = 0; w * kWarp < count(block.fibres); ++w) {
      const auto first = block.fibres.begin() + w * kWarp;
      if (std::any_of(first, first + kWarp, [](const Fibre& each) { return each.state == State::Ready; }))
        ready.push_back(w);
    }
    if (ready.empty()) return release_block(block);
    const unsigned first = kWarp * ready[calm_ ? 0 : random_.below(count(ready))];
    std::vector<unsigned> lanes(kWarp);
    std::iota(lanes.begin(), lanes.end(), 0u);
    if (!calm_) random_.shuffle(lanes);
    for (const unsigned lane : lanes) {
      if (block.fibres[first + lane].state == State::Ready) run_thread(block, first + lane);
    }
    release_warp(std::span(block.fibres).subspan(first, kWarp));
  }

  void run_thread(Block& block, unsigned thread) {
    running = &block.fibres[thread];
    thread_index.x = thread;
    swapcontext(&scheduler, &running->context);
    if (!refusal.empty()) fail(std::exchange(refusal, {}));
  }

  /// Lanes go on whose whole mask has come to the same place.
  void release_warp(std::span<Fibre> warp) const {
    for (unsigned i = 0; i < kWarp; ++i) {
      if (warp[i].state != State::AtWarp) continue;
      const Wait& wait = warp[i].wait;
      bool complete = true;
      for (unsigned j = 0; j < kWarp; ++j) {
        if ((wait.mask >> j & 1u) == 0) continue;
        if (warp[j].state == State::Done) {
          if (wait.of_all) fail(std::string(wait.what) + ": lane " + std::to_string(j) + " of its mask has left");
          continue;
        }
        complete &= warp[j].state == State::AtWarp && warp[j].wait.mask == wait.mask && warp[j].wait.what == wait.what;
      }
      if (complete) let_go(warp, wait.mask);
    }
  }

  static void let_go(std::span<Fibre> warp, unsigned mask) {
    Lanes lanes = {};
    for (unsigned j = 0; j < kWarp; ++j) {
      if ((mask >> j & 1u) != 0) lanes.value[j] = warp[j].wait.shown;
    }
    for (unsigned j = 0; j < kWarp; ++j) {
      if ((mask >> j & 1u) == 0 || warp[j].state == State::Done) continue;
      warp[j].lanes = lanes;
      warp[j].state = State::Ready;
    }
  }

  /// No thread can run: all that have not left must wait for the block, at the same place.
  void release_block(Block& block) const {
    Votes votes = {0, 0};
    const Fibre* one = nullptr;
    for (const Fibre& fibre : block.fibres) {
      if (fibre.state == State::Done) continue;
      if (one == nullptr) one = &fibre;
      if (fibre.state != State::AtBlock || one->state != State::AtBlock || fibre.wait.what != one->wait.what)
        fail("threads that are to meet do not: " + std::string(one->wait.what) + " and " +
             std::string(fibre.wait.what));
      ++votes.all;
      votes.yes += fibre.wait.shown != 0 ? 1 : 0;
    }
    if (one->wait.of_all && votes.all < block.fibres.size())
      fail(std::string(one->wait.what) + ": threads of the block have left");
    for (Fibre& fibre : block.fibres) {
      if (fibre.state == State::Done) continue;
      fibre.votes = votes;
      fibre.state = State::Ready;
    }
  }

  static bool all_done(const Block& block) {
    return std::all_of(block.fibres.begin(), block.fibres.end(),
                       [](const Fibre& each) { return each.state == State::Done; });
  }

  [[noreturn]] void fail(const std::string& why) const {
    const dim3 at = current_->index;
    throw std::logic_error("kernel " + launch_.kernel + ", block " + std::to_string(at.x) + " " + std::to_string(at.y) +
                           " " + std::to_string(at.z) + ": " + why);
  }

  const Launch& launch_;
  const bool calm_;
  Random random_;
  std::vector<std::size_t> order_;  ///< of the blocks
  std::size_t next_ = 0;
  std::vector<std::unique_ptr<Block>> resident_;
  Block* current_ = nullptr;
  bool looked_at_shared_ = false;
  static inline std::vector<std::unique_ptr<Block>> idle_;  // with their stacks
};

void wait(State state, const Wait& wait) {
  running->wait = wait;
  leave(state);
}

void check_mask(const char* what, unsigned mask) {
  if ((mask >> lane() & 1u) == 0)
    refuse(std::string(what) + ": lane " + std::to_string(lane()) + " is not in its own mask");
}

}  // namespace

void refuse(const std::string& why) {
  refusal = "thread " + std::to_string(thread_index.x) + ": " + why;
  while (true) leave(State::Done);
}

void give_way() {
  if (runtime.seed != 0) leave(State::Ready);
}

void wait_for_warp(const char* what, unsigned mask) {
  check_mask(what, mask);
  wait(State::AtWarp, {what, mask, false, 0});
}

const Lanes& meet(const char* what, unsigned mask, std::uint64_t mine) {
  check_mask(what, mask);
  wait(State::AtWarp, {what, mask, true, mine});
  return running->lanes;
}

void wait_for_block(const char* what) { wait(State::AtBlock, {what, 0, false, 0}); }

Votes vote(const char* what, bool mine) {
  wait(State::AtBlock, {what, 0, true, mine ? 1u : 0u});
  return running->votes;
}

Launch record(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes, std::size_t parameter_bytes) {
  const Launch launch{name_of(kernel), kernel, grid, block, shared_bytes, parameter_bytes};
  const auto refuse_launch = [&](const std::string& why) {
    throw std::logic_error("kernel " + launch.kernel + ": " + why);
  };
  if (block.x % kWarp != 0 || block.x == 0 || block.x > kMostThreads || block.y != 1 || block.z != 1)
    refuse_launch("expected a block of whole warps in one dimension, at most 1024 threads, got " +
                  std::to_string(block.x) + " x " + std::to_string(block.y) + " x " + std::to_string(block.z));
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > kMostBlocksAcross || grid.y > kMostBlocksDown ||
      grid.z > kMostBlocksDown)
    refuse_launch("expected a grid of 1 to 2147483647 x 65535 x 65535 blocks, got " + std::to_string(grid.x) + " x " +
                  std::to_string(grid.y) + " x " + std::to_string(grid.z));
  if (parameter_bytes > kMostParameterBytes)
    refuse_launch("expected at most 32764 bytes of parameters, got " + std::to_string(parameter_bytes));
  const auto asked = runtime.most_shared_bytes.find(kernel);
  const std::size_t most = asked == runtime.most_shared_bytes.end() ? kSharedBytes : asked->second;
  if (shared_bytes > most)
    refuse_launch("expected at most " + std::to_string(most) + " bytes of dynamic shared memory, got " +
                  std::to_string(shared_bytes));
  runtime.launches.push_back(launch);
  return launch;
}

void run(const Launch& launch, const std::function<void()>& thread) {
  grid_size = launch.grid;
  block_size = launch.block;
  body = &thread;
  Grid(launch).run();
}

}  // namespace emulated

/// For those that load the kernels as a library.
extern "C" __attribute__((visibility("default"))) emulated::Runtime* emulated_runtime() { return &emulated::runtime; }

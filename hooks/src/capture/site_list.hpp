// SPDX-License-Identifier: MIT
// The sites of one attach, as captures read them while more are found. Knows no TorchScript.
#pragma once

#include <gaze/hooks/sites.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace gaze {

/// A site, and what becomes of its calls.
struct CaptureSite {
  Site site;
  bool selected = false;       ///< its rows make the map
  bool between = false;        ///< stands between the picture and the selected ones
  bool text = false;           ///< its rows make the map of a text
  bool encoder = false;        ///< makes what the selected ones' keys are, of what lies at the same places
  std::vector<int64_t> heads;  ///< of a selected site those that count, ascending; empty: all
};

/// Read by any thread, without a lock, while another appends: what is in it neither moves nor changes.
class SiteList {
 public:
  explicit SiteList(size_t capacity) : chunks_((capacity + kChunk - 1) / kChunk), capacity_(capacity) {}

  [[nodiscard]] int64_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  [[nodiscard]] bool full() const noexcept { return size() == static_cast<int64_t>(capacity_); }
  /// @param index  below size(), as this thread or one before it saw it
  [[nodiscard]] const CaptureSite& operator[](int64_t index) const noexcept {
    return (*chunks_[static_cast<size_t>(index) / kChunk])[static_cast<size_t>(index) % kChunk];
  }
  /// One thread at a time, while it is not full. @throws std::bad_alloc, and is then as before
  void append(CaptureSite site) {
    const auto index = static_cast<size_t>(size());
    std::unique_ptr<Chunk>& chunk = chunks_[index / kChunk];
    if (!chunk) chunk = std::make_unique<Chunk>();
    (*chunk)[index % kChunk] = std::move(site);
    size_.store(static_cast<int64_t>(index) + 1, std::memory_order_release);
  }

 private:
  static constexpr size_t kChunk = 64;
  using Chunk = std::array<CaptureSite, kChunk>;
  std::vector<std::unique_ptr<Chunk>> chunks_;  // its length never changes
  const size_t capacity_;
  std::atomic<int64_t> size_{0};
};

}  // namespace gaze

// SPDX-License-Identifier: MIT
// Bounded memory in which frames are drawn on a device and come back to the host.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>
#include <gaze/ops/transfer.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace gaze {

/// Thread-safe; its slots belong to one thread each. All work on the slots of a device is enqueued on `stream()`, which
/// is what makes memory that returns to the ring safe to use again while a copy is still under way.
class GAZE_API FrameRing {
 public:
  struct Limits {
    int64_t slots = 12;                  ///< frames of all requests at a time
    int64_t bytes = int64_t{128} << 20;  ///< kept on either side; a single frame may be larger
    int64_t in_flight = 3;               ///< frames of one request at a time, which leaves slots to the others
  };
  struct Buffer;

  /// Where one frame is drawn, and where it arrives. Goes back to the ring when destroyed.
  class GAZE_API Slot {
   public:
    Slot(Slot&& other) noexcept;
    Slot& operator=(Slot&&) = delete;
    ~Slot();

    /// uint8 [height, width, 3] on the device; to be drawn into.
    [[nodiscard]] at::Tensor& frame() noexcept { return frame_hwc_; }
    /// Enqueues the way back on the device's current stream.
    void submit();
    /// Whether the submitted frame is in host memory. Never waits.
    [[nodiscard]] bool arrived() const;
    /// The submitted frame in host memory, waited for. Valid while the slot lives.
    [[nodiscard]] const at::Tensor& wait() const;

   private:
    friend class FrameRing;
    Slot(FrameRing& ring, std::unique_ptr<Buffer> buffer) noexcept;
    void shape(int64_t height, int64_t width);
    FrameRing& ring_;
    std::unique_ptr<Buffer> buffer_;
    at::Tensor frame_hwc_, host_hwc_;
  };

  /// Without `route.crosses` a frame arrives where it was drawn, and nothing is bounded but the frames of one request.
  explicit FrameRing(const ops::Route& route) : FrameRing(route, Limits()) {}
  FrameRing(const ops::Route& route, Limits limits);
  ~FrameRing();
  FrameRing(const FrameRing&) = delete;
  FrameRing& operator=(const FrameRing&) = delete;

  /// The ring that all models on a device share. Nothing crosses to the CPU: there, each call makes a ring.
  static std::shared_ptr<FrameRing> of(at::Device device);

  /// Memory for one frame; nullopt when the slots or the bytes are in use.
  std::optional<Slot> take(int64_t height, int64_t width);

  /// Makes the memory for as many frames of that size as one request has in flight, unless some is there: page-locked
  /// memory takes milliseconds to have, under a lock of the driver's.
  void prepare(int64_t height, int64_t width);

  [[nodiscard]] const ops::Route& route() const noexcept { return route_; }
  [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
  /// Gaze's own stream of the device; none on the CPU.
  [[nodiscard]] const std::optional<c10::Stream>& stream() const noexcept { return stream_; }
  /// Bytes held on one side, in use or kept for the next frames.
  [[nodiscard]] int64_t held_bytes() const;

 private:
  std::unique_ptr<Buffer> reserve(int64_t bytes);
  std::unique_ptr<Buffer> reuse(int64_t bytes);
  void drop_idle(int64_t until);
  void give_back(std::unique_ptr<Buffer> buffer) noexcept;

  const ops::Route route_;
  const Limits limits_;
  std::optional<c10::Stream> stream_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Buffer>> idle_;
  int64_t in_use_ = 0;
  int64_t held_bytes_ = 0;
};

}  // namespace gaze

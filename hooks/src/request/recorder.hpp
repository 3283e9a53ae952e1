// SPDX-License-Identifier: MIT
// What one attach keeps: options, profile, the selected sites, the worker. Knows no TorchScript.
#pragma once

#include <gaze/hooks/options.hpp>
#include <gaze/hooks/sites.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "delivery/worker.hpp"
#include "operate/control_state.hpp"
#include "process/fork_gate.hpp"
#include "request/held_answers.hpp"
#include "request/replays.hpp"
#include "request/request_row.hpp"
#include "request/site_table.hpp"

namespace gaze {

struct AttachedModel;

class Recorder {
 public:
  /// @throws gaze::Error when the profile does not fit `model`.
  Recorder(Options options, Profile profile, AttachedModel& model);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Whether the sample takes what begins now.
  [[nodiscard]] bool sample() noexcept { return draw(control->sample_rate()); }
  /// Of a request that is captured; asked once for each.
  [[nodiscard]] RowDetail detail_of(const RequestSpec& spec) noexcept;
  /// In a child of the process that attached: its worker is not there, and what other threads held is as it was.
  [[nodiscard]] bool forked() const noexcept { return generation_ != fork_generation(); }
  /// Whether the current stream of a device of the model records a CUDA graph.
  [[nodiscard]] bool records_graph() const;
  [[nodiscard]] bool live() const noexcept { return active.load(std::memory_order_acquire) && !forked(); }
  /// Index of the picture among a method's arguments, or -1.
  [[nodiscard]] int64_t image_argument(int64_t method) const noexcept {
    return image_arguments_[static_cast<size_t>(method)];
  }
  /// Index of the recording among a method's arguments, or -1.
  [[nodiscard]] int64_t sound_argument(int64_t method) const noexcept {
    return sound_arguments_[static_cast<size_t>(method)];
  }
  /// Index of the prompt's token ids among a method's arguments, or -1.
  [[nodiscard]] int64_t ids_argument(int64_t method) const noexcept {
    return ids_arguments_[static_cast<size_t>(method)];
  }
  /// Index of the ids of the text that is looked at among a method's arguments, or -1.
  [[nodiscard]] int64_t text_argument(int64_t method) const noexcept {
    return text_arguments_[static_cast<size_t>(method)];
  }
  /// Whether a method's argument is the picture, the recording or the prompt's ids.
  [[nodiscard]] bool reads(int64_t method, int64_t argument) const noexcept {
    return argument >= 0 && (image_argument(method) == argument || sound_argument(method) == argument ||
                             ids_argument(method) == argument || text_argument(method) == argument);
  }
  /// Fields of a record that are the same for every request.
  [[nodiscard]] AttentionRecord blank_record() const;

  Options options;
  Profile profile;                                                   ///< without its vocabulary
  const std::shared_ptr<const std::vector<std::string>> vocabulary;  ///< outlives it in records
  AttachedModel& model;
  SiteTable sites;
  const CaptureRules& rules = sites.rules();
  std::atomic<bool> active{false};  ///< nothing is captured while false, nor in a forked child
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  std::shared_ptr<ControlState> control = std::make_shared<ControlState>(Control());
  std::shared_ptr<HeldAnswers> held = std::make_shared<HeldAnswers>();
  Replays replays;
  std::unique_ptr<Worker> worker;
  std::vector<at::Device> devices;  ///< that hold parameters of the model, but for the CPU; known at attach
  int64_t dated_ms = 0;             ///< what every record is dated by; 0: its own time
  std::string parameters_sha256;    ///< as in AttentionRecord; of a front end that does not say: empty

 private:
  /// True for this share of the calls.
  [[nodiscard]] bool draw(double share) noexcept;

  std::string profile_sha256_, host_name_;
  std::vector<int64_t> image_arguments_, sound_arguments_, ids_arguments_, text_arguments_;
  std::atomic<uint64_t> draws_{0};
  std::atomic<int64_t> next_details_{0};  // requests that still get every head's map
  const int generation_ = fork_generation();
};

}  // namespace gaze

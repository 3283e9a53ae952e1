// SPDX-License-Identifier: MIT
// Completes records on the worker with what is too slow or too late for the host's thread.
#pragma once

#include <gaze/render/sink.hpp>

#include <cstdint>
#include <memory>
#include <string>

#include "config/log.hpp"
#include "delivery/counters.hpp"

namespace gaze {

/// By which a file is known again.
struct FileState {
  bool regular = false;
  uint64_t inode = 0;
  int64_t bytes = 0, changed_ns = 0;
  friend bool operator==(const FileState&, const FileState&) = default;
};

class CompletingSink : public Sink {
 public:
  CompletingSink(std::shared_ptr<Sink> next, std::string model_path, std::shared_ptr<Counters> counters,
                 std::shared_ptr<const Log> log);
  void consume(const AttentionRecord& record) override;
  void compact(AttentionRecord& record) override { next_->compact(record); }
  void prepare(at::Device device) override { next_->prepare(device); }
  void tidy() override { next_->tidy(); }

 private:
  std::shared_ptr<Sink> next_;
  std::string model_path_;
  std::shared_ptr<Counters> counters_;
  std::shared_ptr<const Log> log_;
  FileState at_attach_;
  std::string sha256_;
  bool hashed_ = false;
};

}  // namespace gaze

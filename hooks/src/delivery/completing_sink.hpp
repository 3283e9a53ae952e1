// SPDX-License-Identifier: MIT
// Completes records on the worker with what is too slow or too late for the host's thread.
#pragma once

#include <gaze/render/sink.hpp>

#include <memory>
#include <string>

#include "config/log.hpp"
#include "delivery/counters.hpp"

namespace gaze {

class CompletingSink : public Sink {
 public:
  CompletingSink(std::shared_ptr<Sink> next, std::string model_path, std::shared_ptr<Counters> counters,
                 std::shared_ptr<const Log> log);
  void consume(const AttentionRecord& record) override;

 private:
  std::shared_ptr<Sink> next_;
  std::string model_path_;
  std::shared_ptr<Counters> counters_;
  std::shared_ptr<const Log> log_;
  std::string sha256_;
  bool hashed_ = false;
};

}  // namespace gaze

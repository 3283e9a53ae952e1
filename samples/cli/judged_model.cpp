// SPDX-License-Identifier: MIT
#include "judged_model.hpp"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "console.hpp"

namespace gaze::cli {

/// Keeps what was found in the last request.
class JudgedModel::Judge final : public Sink {
 public:
  void consume(const AttentionRecord& record) override {
    std::optional<GroundedAnswer> answer;
    std::string error = "no record";
    try {
      answer = ground(record);
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_ = std::move(answer);
    error_ = std::move(error);
  }

  GroundedAnswer take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!answer_) throw Refusal("expected a map for every answer, got: " + error_);
    return *std::exchange(answer_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<GroundedAnswer> answer_;
  std::string error_ = "no record";
};

JudgedModel::JudgedModel(const std::string& path, at::Device device, const Profile& profile)
    : model_(path, device), sink_(std::make_shared<Judge>()) {
  Options options;
  options.profile_in_code = profile;
  options.capture = true;
  options.read_environment = false;  // limits hold at the profile's own settings
  options.queue_bytes = int64_t{1} << 30;
  options.log = "error";
  options.sink = sink_;
  gaze_ = attach(model_.module(), options);
}

JudgedModel::~JudgedModel() = default;

Model& JudgedModel::model() { return model_; }

GroundedAnswer JudgedModel::judge(RequestSpec spec, const std::function<void(Request&)>& call) {
  Request request = gaze_.begin(std::move(spec));
  call(request);
  request.finish();
  gaze_.flush(std::chrono::minutes(5));
  return sink_->take();
}

}  // namespace gaze::cli

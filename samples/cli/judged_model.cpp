// SPDX-License-Identifier: MIT
#include "judged_model.hpp"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "console.hpp"

namespace gaze::cli {

/// Keeps the last request's record.
class JudgedModel::Kept final : public Sink {
 public:
  void consume(const AttentionRecord& record) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    record_ = record;
  }

  AttentionRecord take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!record_) throw Refusal("expected a map for every answer, got no record");
    return *std::exchange(record_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<AttentionRecord> record_;
};

namespace {

template <class Find>
auto found_in(const AttentionRecord& record, Find find) {
  try {
    return find(record);
  } catch (const Error& error) {
    throw Refusal(std::string("expected a map for every answer, got: ") + error.what());
  }
}

}  // namespace

JudgedModel::JudgedModel(const std::string& path, at::Device device, const Profile& profile)
    : model_(path, device), sink_(std::make_shared<Kept>()) {
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

AttentionRecord JudgedModel::record_of(RequestSpec spec, const std::function<void(Request&)>& call) {
  Request request = gaze_.begin(std::move(spec));
  call(request);
  request.finish();
  gaze_.flush(std::chrono::minutes(5));
  return sink_->take();
}

GroundedAnswer JudgedModel::judge(RequestSpec spec, const std::function<void(Request&)>& call) {
  return found_in(record_of(std::move(spec), call), gaze::ground);
}

AnswerSources JudgedModel::read(RequestSpec spec, const std::function<void(Request&)>& call) {
  return found_in(record_of(std::move(spec), call), gaze::answer_sources);
}

}  // namespace gaze::cli

// SPDX-License-Identifier: MIT
#include "delivery/completing_sink.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <torch/version.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/stop.hpp>

#include <array>
#include <cerrno>

namespace gaze {
namespace {

/// Of a regular file; nothing else is waited for, as a FIFO or a device could hold the worker for ever.
class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] FileState state() const {
    struct stat status {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return {true, static_cast<uint64_t>(status.st_ino), static_cast<int64_t>(status.st_size),
            static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
  }
  /// Bytes read; 0 at the end, -1 on failure.
  ssize_t read(char* bytes, size_t room) const {
    ssize_t count = ::read(fd_, bytes, room);
    while (count < 0 && errno == EINTR) count = ::read(fd_, bytes, room);
    return count;
  }

 private:
  int fd_;
};

/// Lower-case hexadecimal SHA-256 of the file as it was then; empty, with a log line, when it cannot be read or is
/// another one now.
std::string sha256_of_file(const std::string& path, const FileState& then, const Log& log) {
  const auto none = [&](const std::string& text) {
    log.warn("model_path: " + text + "; request.json will hold no hash.");
    return std::string();
  };
  const std::string unreadable = "expected a readable file, got " + path;
  const File file(path);
  const FileState now = file.state();
  if (!now.regular) return none(unreadable);
  if (then.regular && now != then)
    return none("expected the file that was there when the model was attached, got " + path +
                ", which was replaced since");
  Digest digest;
  std::array<char, 65536> buffer{};
  for (ssize_t count = 1; count > 0;) {
    throw_if_stopping();
    count = file.read(buffer.data(), buffer.size());
    if (count < 0) return none(unreadable);
    digest.add(buffer.data(), static_cast<size_t>(count));
  }
  return digest.hex();
}

}  // namespace

CompletingSink::CompletingSink(std::shared_ptr<Sink> next, std::string model_path, std::shared_ptr<Counters> counters,
                               std::shared_ptr<const Log> log)
    : next_(std::move(next)), model_path_(std::move(model_path)), counters_(std::move(counters)), log_(std::move(log)) {
  if (!model_path_.empty()) at_attach_ = File(model_path_).state();
}

void CompletingSink::consume(const AttentionRecord& record) {
  if (!hashed_ && !model_path_.empty()) sha256_ = sha256_of_file(model_path_, at_attach_, *log_);
  hashed_ = true;
  AttentionRecord complete = record;  // tensors are shared, not copied
  complete.model_sha256 = sha256_;
  complete.torch_version = TORCH_VERSION;
  const Stats stats = counters_->snapshot();
  for (size_t i = 0; i < stats.dropped.size(); ++i) {
    if (stats.dropped[i] > 0) complete.drops[name(static_cast<DropReason>(i))] = stats.dropped[i];
  }
  next_->consume(complete);
}

}  // namespace gaze

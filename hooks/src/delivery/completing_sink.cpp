// SPDX-License-Identifier: MIT
#include "delivery/completing_sink.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <torch/version.h>
#include <unistd.h>
#include <gaze/render/stop.hpp>

#include <array>
#include <cerrno>

namespace gaze {
namespace {

/// Of a regular file; nothing else is waited for, as a FIFO or a device could hold the worker for ever.
class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
    struct stat status {};
    regular_ = fd_ >= 0 && ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] bool regular() const { return regular_; }
  /// Bytes read; 0 at the end, -1 on failure.
  ssize_t read(char* bytes, size_t room) const {
    ssize_t count = ::read(fd_, bytes, room);
    while (count < 0 && errno == EINTR) count = ::read(fd_, bytes, room);
    return count;
  }

 private:
  int fd_;
  bool regular_;
};

/// Lower-case hexadecimal SHA-256 of a file; empty, with a log line, when it cannot be read.
std::string sha256_of(const std::string& path, const Log& log) {
  const auto unreadable = [&] {
    log.warn("model_path: expected a readable file, got " + path + "; request.json will hold no hash. Correct it.");
    return std::string();
  };
  const File file(path);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!file.regular() || !context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) return unreadable();
  std::array<char, 65536> buffer{};
  for (ssize_t count = 1; count > 0;) {
    throw_if_stopping();
    count = file.read(buffer.data(), buffer.size());
    if (count < 0) return unreadable();
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(count));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

}  // namespace

CompletingSink::CompletingSink(std::shared_ptr<Sink> next, std::string model_path, std::shared_ptr<Counters> counters,
                               std::shared_ptr<const Log> log)
    : next_(std::move(next)),
      model_path_(std::move(model_path)),
      counters_(std::move(counters)),
      log_(std::move(log)) {}

void CompletingSink::consume(const AttentionRecord& record) {
  if (!hashed_ && !model_path_.empty()) sha256_ = sha256_of(model_path_, *log_);
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

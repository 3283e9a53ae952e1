// SPDX-License-Identifier: MIT
#include "delivery/guard.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace gaze {
namespace {

constexpr size_t kLeastKey = 16, kMostKey = 4096;
constexpr size_t kHashBytes = 6;  // 12 hexadecimal digits

/// What is wrong with a key's file; never what is in it.
[[noreturn]] void refuse_key(const char* got) {
  throw Error(std::string("hash_key (GAZE_HASH_KEY): expected a regular file of 16 to 4096 bytes that nobody but its "
                          "owner may read, as content=hashed needs one, got ") +
              got + ". Make one: (umask 077; head -c 32 /dev/urandom > gaze.key).");
}

std::string read_key(const std::string& path) {
  if (path.empty()) refuse_key("none");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) refuse_key("one that cannot be opened");
  struct stat status {};
  std::string key(kMostKey + 1, '\0');
  const bool is_file = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t count = is_file ? ::read(fd, key.data(), key.size()) : -1;
  ::close(fd);
  if (count < 0) refuse_key("one that cannot be read");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) refuse_key("one with rights for its group or others");
  key.resize(static_cast<size_t>(count));
  if (key.size() < kLeastKey || key.size() > kMostKey) refuse_key("one of another size");
  return key;
}

std::string keyed_hash(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
           text.size(), bytes.data(), &size) == nullptr)
    throw Error("redaction: expected a keyed hash, got none.", DropReason::RedactionFailed);
  std::string hex;
  for (size_t i = 0; i < kHashBytes; ++i) {
    constexpr const char* kDigits = "0123456789abcdef";
    hex += kDigits[bytes[i] >> 4];
    hex += kDigits[bytes[i] & 15];
  }
  return hex;
}

/// What a host's function throws may hold what was to be hidden, so nothing of it is told.
Redaction asked(const Redact& redact, const AttentionRecord& record) {
  try {
    return redact(record);
  } catch (...) {  // refused below
  }
  throw Error("redaction: expected options.redact to return, it threw. Nothing of this request is kept.",
              DropReason::RedactionFailed);
}

}  // namespace

Guard guard_of(Content content, const std::string& hash_key, Redact redact) {
  if (content == Content::Full && !redact) return {};
  HashText hash;
  if (content == Content::Hashed)
    hash = [key = read_key(hash_key)](const std::string& text) { return keyed_hash(key, text); };
  return [content, hash = std::move(hash), redact = std::move(redact)](AttentionRecord& record) {
    try {
      if (redact) apply(asked(redact, record), record);
      limit(content, hash, record);
    } catch (...) {
      record.maps.clear();
      record.labels.clear();
      record.prompt.clear();
      record.attributes.clear();
      throw;
    }
  };
}

}  // namespace gaze

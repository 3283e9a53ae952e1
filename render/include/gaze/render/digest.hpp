// SPDX-License-Identifier: MIT
// SHA-256, as files and manifests name what they mean.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace gaze {

class GAZE_API Digest {
 public:
  /// @throws std::bad_alloc
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(const void* bytes, size_t size) noexcept;
  void add(std::string_view text) noexcept { add(text.data(), text.size()); }
  /// Lower-case hexadecimal; nothing is added afterwards.
  [[nodiscard]] std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

GAZE_API std::string sha256_of(std::string_view text);

}  // namespace gaze

// SPDX-License-Identifier: MIT
// SHA-256 of what a record came from. Knows no TorchScript.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace gaze {

class Digest {
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

std::string sha256_of(std::string_view text);

}  // namespace gaze

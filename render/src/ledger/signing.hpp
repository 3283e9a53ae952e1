// SPDX-License-Identifier: MIT
// Ed25519 signatures in DSSE envelopes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace gaze::ledger {

/// A pair of keys, or the public one alone.
class Key {
 public:
  /// A file with a private key in PEM, without a passphrase, that nobody but its owner may read or write.
  /// @throws gaze::Error beginning with "signing_key:"
  static std::shared_ptr<const Key> read_private(const std::string& path);
  /// A file with a public key in PEM. @throws gaze::Error beginning with "key:"
  static std::shared_ptr<const Key> read_public(const std::string& path);

  /// SHA-256 of the 32 bytes of the public key, in hexadecimal.
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  /// Base64 of the signature over DSSE's encoding of type and body. @throws gaze::Error (Internal)
  [[nodiscard]] std::string sign(std::string_view type, std::string_view body) const;
  [[nodiscard]] bool verifies(std::string_view type, std::string_view body, std::string_view signature) const;

 private:
  explicit Key(std::shared_ptr<void> key);
  std::shared_ptr<void> key_;
  std::string id_;
};

}  // namespace gaze::ledger

// SPDX-License-Identifier: MIT
#include "ledger/signing.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/status.hpp>

#include <array>
#include <cstdio>
#include <new>
#include <vector>

#include "base/base64.hpp"
#include "base/files.hpp"
#include "base/utf8.hpp"

namespace gaze::ledger {
namespace {

constexpr size_t kMostKeyBytes = 16384;
constexpr size_t kSignatureBytes = 64;

// Without it libcrypto would ask at the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writes*/, void* /*data*/) { return -1; }

std::string encoded(std::string_view type, std::string_view body) {
  std::string text = "DSSEv1 " + std::to_string(type.size()) + " ";
  text.append(type).append(" ").append(std::to_string(body.size())).append(" ").append(body);
  return text;
}

using Read = EVP_PKEY* (*)(BIO*, EVP_PKEY**, pem_password_cb*, void*);

std::shared_ptr<void> parsed(const std::string& pem, Read read) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bytes(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  if (!bytes) throw std::bad_alloc();
  EVP_PKEY* key = read(bytes.get(), nullptr, no_passphrase, nullptr);
  if (key == nullptr) return nullptr;
  std::shared_ptr<void> held(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); });
  return EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? held : nullptr;
}

[[noreturn]] void refuse(const std::string& argument, const std::string& expected, const std::string& path,
                         const std::string& found, const std::string& mend) {
  throw Error(argument + ": expected " + expected + ", got '" + excerpt(path, 1000) + "'" + found + ". " + mend);
}

std::string read_key_file(const std::string& argument, const std::string& what, const std::string& path) {
  try {
    return files::read(path, argument + ": " + what, kMostKeyBytes);
  } catch (const Error& error) {
    throw Error(error.what());
  }
}

}  // namespace

Key::Key(std::shared_ptr<void> key) : key_(std::move(key)) {
  std::array<unsigned char, 32> raw{};
  size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(static_cast<EVP_PKEY*>(key_.get()), raw.data(), &size) != 1) throw std::bad_alloc();
  id_ = sha256_of({reinterpret_cast<const char*>(raw.data()), size});
}

std::shared_ptr<const Key> Key::read_private(const std::string& path) {
  const std::string expected = "a file with an Ed25519 private key in PEM, without a passphrase";
  const std::string mend = "Make one: openssl genpkey -algorithm ed25519 -out key.pem && chmod 600 key.pem.";
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
    refuse("signing_key", expected, path, ", which is no file that can be read", mend);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    refuse("signing_key", "a file that only its owner may read", path, ", which others may", "chmod 600 it.");
  const std::string pem = read_key_file("signing_key", "file", path);
  std::shared_ptr<void> key = parsed(pem, PEM_read_bio_PrivateKey);
  if (!key) refuse("signing_key", expected, path, ", which holds none", mend);
  return std::shared_ptr<const Key>(new Key(std::move(key)));
}

std::shared_ptr<const Key> Key::read_public(const std::string& path) {
  const std::string pem = read_key_file("key", "file", path);
  std::shared_ptr<void> key = parsed(pem, PEM_read_bio_PUBKEY);
  if (!key)
    refuse("key", "a file with an Ed25519 public key in PEM", path, ", which holds none",
           "Make it of the private one: openssl pkey -in key.pem -pubout -out public.pem.");
  return std::shared_ptr<const Key>(new Key(std::move(key)));
}

std::string Key::sign(std::string_view type, std::string_view body) const {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!context) throw std::bad_alloc();
  const std::string text = encoded(type, body);
  std::array<unsigned char, kSignatureBytes> signature{};
  size_t size = signature.size();
  auto* key = static_cast<EVP_PKEY*>(key_.get());
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size()) != 1)
    throw Error("signing_key: libcrypto cannot sign with it.", DropReason::Internal);
  return base64({reinterpret_cast<const char*>(signature.data()), size});
}

bool Key::verifies(std::string_view type, std::string_view body, std::string_view signature) const {
  // 64 bytes are 88 characters, of which two fill up.
  if (signature.size() != 88) return false;
  std::array<unsigned char, 66> bytes{};
  if (EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(signature.data()), 88) != 66) return false;
  if (base64({reinterpret_cast<const char*>(bytes.data()), kSignatureBytes}) != signature) return false;
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!context) throw std::bad_alloc();
  const std::string text = encoded(type, body);
  auto* key = static_cast<EVP_PKEY*>(key_.get());
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), bytes.data(), kSignatureBytes,
                          reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
}

}  // namespace gaze::ledger

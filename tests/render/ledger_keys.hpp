// SPDX-License-Identifier: MIT
// A pair of keys in files.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <string>

namespace gaze::test {

struct KeyFiles {
  std::string secret, open;

  explicit KeyFiles(const std::string& folder, const std::string& name = "key")
      : secret(folder + "/" + name + ".pem"), open(folder + "/" + name + ".public.pem") {
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"),
                                                             EVP_PKEY_free);
    const auto write = [](const std::string& path, auto put) {
      std::FILE* file = std::fopen(path.c_str(), "w");
      put(file);
      std::fclose(file);
    };
    write(secret,
          [&](std::FILE* file) { PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    write(open, [&](std::FILE* file) { PEM_write_PUBKEY(file, key.get()); });
    ::chmod(secret.c_str(), 0600);
  }
};

}  // namespace gaze::test

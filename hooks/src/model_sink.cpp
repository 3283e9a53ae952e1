// SPDX-License-Identifier: MIT
#include "model_sink.hpp"

#include <openssl/evp.h>
#include <torch/version.h>
#include <gaze/render/stop.hpp>

#include <array>
#include <filesystem>
#include <fstream>

namespace gaze {
namespace {

/// Lower-case hexadecimal SHA-256 of a file; empty, with a log line, when it cannot be read.
std::string sha256_of(const std::string& path, const Log& log) {
  std::error_code failed;
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, failed)) file.open(path, std::ios::binary);  // opening a FIFO would wait
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!file.is_open() || !context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    log.warn("model_path: expected a readable file, got " + path + "; request.json will hold no hash. Correct it.");
    return "";
  }
  std::array<char, 65536> buffer{};
  while (file) {
    throw_if_stopping();
    file.read(buffer.data(), buffer.size());
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(file.gcount()));
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

ModelSink::ModelSink(std::shared_ptr<Sink> next, std::string model_path, std::shared_ptr<Counters> counters,
                     std::shared_ptr<const Log> log)
    : next_(std::move(next)),
      model_path_(std::move(model_path)),
      counters_(std::move(counters)),
      log_(std::move(log)) {}

void ModelSink::consume(const AttentionRecord& record) {
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

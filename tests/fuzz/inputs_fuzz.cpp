// SPDX-License-Identifier: MIT
// A file of inputs, as torch.save writes them, is refused or holds tensors whose every element can be read. The bytes
// are the file's pickle; the archive around it, with two storages, is made here.
#include <ATen/core/Tensor.h>
#include <caffe2/serialize/inline_container.h>
#include <unistd.h>

#include <fstream>

#include "cli/saved_values.hpp"
#include "fuzz.hpp"

namespace {

/// Files of one process, removed with it.
struct Folder {
  std::string path;
  Folder() {
    char pattern[] = "/dev/shm/gaze-fuzz-XXXXXX";
    GAZE_HOLDS(mkdtemp(pattern) != nullptr);
    path = pattern;
  }
  ~Folder() {
    unlink((path + "/inputs.pt").c_str());
    rmdir(path.c_str());
  }
};

/// The last element lies in the storage that the file holds.
void expect_within_storage(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided || tensor.numel() == 0) return;
  __int128 last = tensor.storage_offset();
  GAZE_HOLDS(last >= 0);
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    GAZE_HOLDS(tensor.size(d) >= 0 && tensor.stride(d) >= 0);
    last += static_cast<__int128>(tensor.size(d) - 1) * tensor.stride(d);
  }
  GAZE_HOLDS((last + 1) * static_cast<__int128>(tensor.itemsize()) <= static_cast<__int128>(tensor.storage().nbytes()));
}

void write(const std::string& path, const uint8_t* pickle, size_t size) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  caffe2::serialize::PyTorchStreamWriter archive([&](const void* bytes, size_t count) {
    file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
    return count;
  });
  const std::string storage(256, '\x3f');
  archive.writeRecord("data.pkl", pickle, size);
  archive.writeRecord("data/0", storage.data(), storage.size());
  archive.writeRecord("data/1", storage.data(), storage.size());
  archive.writeEndOfFile();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  write(folder.path + "/inputs.pt", data, size);
  try {
    gaze::cli::read_saved(folder.path + "/inputs.pt").visit([](const c10::IValue& value) {
      if (value.isTensor() && value.toTensor().defined()) expect_within_storage(value.toTensor());
      return value.isTensor();
    });
  } catch (const std::exception&) {  // refused
  }
  return 0;
}
